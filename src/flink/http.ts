/** Requests to the two REST interfaces of Flink: the SQL gateway's and the job manager's. */
import { systemCode, TaxiflowError } from '../errors.ts';
import { printable, shownUrl } from '../printable.ts';

const TIMEOUT_MS = 30_000;
/** Bytes of an answer that are read. */
const LONGEST = 50_000_000;

/** What answered with an error. */
export interface Refusal {
  readonly status: number;
  /** In one line, the innermost cause of what Flink says. */
  readonly why: string;
  /** All that it says. */
  readonly text: string;
}

/** An error that Flink answered with. */
export class FlinkRefused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.why);
    this.refusal = refusal;
  }
}

/** The address of an interface, without a slash at its end. Throws `usage`. */
export function checkedUrl(url: string, option: string): string {
  const { protocol, username, password, search, hash } = URL.canParse(url)
    ? new URL(url)
    : ({} as Partial<URL>);
  if ((protocol !== 'http:' && protocol !== 'https:') || search || hash)
    throw new TaxiflowError(
      'usage',
      `${option} ${printable(url.replace(/^.*@/, '…@'))} is not the URL of a server`,
      {
        hint: 'write for example http://localhost:8083',
        exitCode: 2,
      },
    );
  if (username || password)
    throw new TaxiflowError(
      'usage',
      `${option} ${shownUrl(url)} has a password in it, which would be shown`,
      {
        hint: 'reach a protected Flink through a tunnel or a proxy on this machine',
        exitCode: 2,
      },
    );
  return url.replace(/\/+$/, '');
}

/** One request; `what` names who is asked. Throws `flink-unreachable`, `flink-bad-answer` and `FlinkRefused`. */
export async function ask<T extends object>(
  what: string,
  method: 'GET' | 'POST' | 'DELETE' | 'PATCH',
  url: string,
  body?: unknown,
): Promise<T> {
  const { status, text } = await answerOf(what, method, url, body);
  if (status >= 400) throw new FlinkRefused({ status, why: rootCause(text), text });
  try {
    const answer: unknown = JSON.parse(text === '' ? '{}' : text);
    if (typeof answer === 'object' && answer !== null) return answer as T;
  } catch {
    // What is no JSON is no answer of Flink's.
  }
  throw badAnswer(what, url, `it is no JSON: ${printable(text.slice(0, 100))}`);
}

export function badAnswer(what: string, url: string, problem: string): TaxiflowError {
  return new TaxiflowError(
    'flink-bad-answer',
    `${what} at ${url} gave an answer that is not Flink's: ${problem}`,
    {
      hint: `check the address: Flink's SQL gateway listens on port 8083, its job manager on 8081`,
    },
  );
}

async function answerOf(what: string, method: string, url: string, body: unknown) {
  try {
    const response = await fetch(url, {
      method,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined
        ? {}
        : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    return { status: response.status, text: await textOf(response, what, url) };
  } catch (error) {
    if (error instanceof TaxiflowError) throw error;
    const cause = error instanceof Error ? error.cause : undefined;
    const why = systemCode(cause) ?? (error instanceof Error ? error.message : String(error));
    throw new TaxiflowError(
      'flink-unreachable',
      `${what} at ${new URL(url).origin} does not answer: ${why}`,
      {
        hint: 'check that it runs and that this machine reaches it',
        cause: error,
      },
    );
  }
}

/** The body, as far as it is believed. */
async function textOf({ body }: Response, what: string, url: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > LONGEST) throw badAnswer(what, url, `it is longer than ${LONGEST / 1e6} MB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** The innermost cause in a Java stack trace, or the first line of what is none. */
export function rootCause(text: string): string {
  const lines = messagesIn(text).flatMap((message) => message.split('\n'));
  const causes = lines
    .filter((line) => /^\s*Caused by: /.test(line))
    .map((line) => line.replace(/^\s*Caused by: /, ''));
  const wrapped = lines.filter((line) => line.trim() !== '' && !/^\s*(at |\.\.\. )/.test(line));
  const line = causes.at(-1) ?? wrapped.find((one) => !/^<Exception|Internal server error/.test(one)) ?? text;
  return printable(
    line
      .replace(/^(?:[\w$]+\.)+(?=[\w$]+(?:Exception|Error)\b)/, '')
      .trim()
      .slice(0, 500),
  );
}

/** The texts of an error: `{"errors":[…]}`, or what is there. */
function messagesIn(text: string): string[] {
  try {
    const { errors } = JSON.parse(text) as { errors?: unknown };
    if (Array.isArray(errors)) return errors.map(String);
  } catch {
    // It is plain text.
  }
  return [text];
}
