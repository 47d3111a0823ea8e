/** What commands tell on stderr besides text for people: with `--log json`, one event a line. */
import type { ErrorCode } from '../error-codes.ts';
import { escaped, printable, withoutSecrets } from '../printable.ts';

/** Stable codes of what is told, with their levels. `docs/formats.md` says what each means. */
export const EVENTS = {
  continues: 'info',
  lost: 'warn',
  'no-reader': 'warn',
  'no-watermark': 'warn',
  note: 'info',
  outcome: 'info',
  page: 'info',
  'page-failed': 'warn',
  progress: 'info',
  refused: 'warn',
  'sink-delivers': 'info',
  'sink-waits': 'warn',
  stream: 'info',
  unused: 'warn',
  warning: 'warn',
} as const satisfies Readonly<Record<string, 'info' | 'warn'>>;

export type EventCode = keyof typeof EVENTS;

/** Of an error that isn't a `TaxiflowError`. */
export const BUG = 'bug';

/** What an event has besides its message. */
export type Fields = Readonly<Record<string, unknown>>;

let asJson = false;

/** From now on, everything is told as JSON. */
export function logAsJson(): void {
  if (asJson) return;
  asJson = true;
  // Node.js prints its warnings as text.
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => tell('warning', `${name}: ${message}`));
}

export function isLogJson(): boolean {
  return asJson;
}

/** Tells one line; as text, its fields are left out. */
export function tell(code: EventCode, text: string, fields: Fields = {}): void {
  if (asJson) write(EVENTS[code], code, text.replace(/^note: /, ''), fields);
  else process.stderr.write(`${shown(text)}\n`);
}

/** Tells an error with its hint, and with the stack of one that is a bug. */
export function tellError(
  code: ErrorCode | typeof BUG,
  message: string,
  hint: string | undefined,
  stack?: string,
): void {
  if (asJson) {
    write('error', code, message, { ...(hint ? { hint } : {}), ...(stack ? { stack } : {}) });
    return;
  }
  const lines = [`Error: ${message}`, ...(hint ? [`Try: ${hint}`] : []), ...(stack ?? '').split('\n')];
  for (const line of lines.filter((line) => line !== '')) process.stderr.write(`${shown(line)}\n`);
}

/** On one line, with control characters escaped and secrets removed. */
export function shown(line: string): string {
  return printable(withoutSecrets(line));
}

function write(level: 'info' | 'warn' | 'error', code: string, message: string, fields: Fields): void {
  const event = { time: new Date().toISOString(), level, code, message, ...fields };
  const text = JSON.stringify(event, (_, value) =>
    typeof value === 'string' ? withoutSecrets(value) : value,
  );
  process.stderr.write(`${escaped(text)}\n`);
}
