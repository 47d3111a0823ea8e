/** Exit codes of the command line. */
export const EXIT = { done: 0, failed: 1, usage: 2, rejected: 3, interrupted: 130 } as const;

export interface ErrorDetails {
  /** What the user can do next, printed as `Try: …`. */
  readonly hint?: string;
  readonly exitCode?: number;
  readonly cause?: unknown;
}

/** An error a user can act on: a stable `code`, one clear message, a hint and the exit code it sets. */
export class TaxiflowError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'TaxiflowError';
    this.code = code;
    this.hint = details.hint;
    this.exitCode = details.exitCode ?? EXIT.failed;
  }
}

/** A mistake in how a command was called: exit code 2. */
export function usageError(message: string, hint?: string): TaxiflowError {
  return new TaxiflowError('usage', message, { exitCode: EXIT.usage, ...(hint ? { hint } : {}) });
}

/** The system error code (`ENOENT`, `SQLITE_FULL`, …) an unknown error carries, if any. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}
