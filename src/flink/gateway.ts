/** Flink's SQL gateway: statements of SQL over REST, in a session. */
import { setTimeout as wait } from 'node:timers/promises';
import { TaxiflowError } from '../errors.ts';
import { ask, badAnswer, FlinkRefused } from './http.ts';

const WHAT = "Flink's SQL gateway";
const POLL_MS = 50;
/** A statement that starts a job waits for nothing but its submission. */
const PATIENCE_MS = 120_000;
const SUPPORTED = /^(1\.(19|20)|2\.\d+)\./;

export interface StatementResult {
  /** Of a statement that started one. */
  readonly job: string | undefined;
  readonly rows: readonly (readonly unknown[])[];
}

interface Page {
  readonly resultType?: 'NOT_READY' | 'PAYLOAD' | 'EOS';
  readonly jobID?: string;
  readonly isQueryResult?: boolean;
  readonly nextResultUri?: string;
  readonly results?: { readonly data?: readonly { readonly fields: readonly unknown[] }[] };
}

/** The version of Flink behind a gateway. Throws `flink-unreachable`, `flink-bad-answer`, `flink-version`. */
export async function gatewayVersion(gateway: string): Promise<string> {
  const url = `${gateway}/v1/info`;
  const { productName, version } = await infoAt(url);
  if (productName !== 'Apache Flink' || typeof version !== 'string')
    throw badAnswer(WHAT, url, 'it names no version of Apache Flink');
  if (SUPPORTED.test(version)) return version;
  throw new TaxiflowError('flink-version', `${WHAT} at ${gateway} is of Flink ${version}`, {
    hint: 'use Flink 1.19, 1.20 or 2.x',
  });
}

/** Whatever else listens there, the job manager above all, refuses the path. */
async function infoAt(url: string): Promise<{ productName?: unknown; version?: unknown }> {
  try {
    return await ask(WHAT, 'GET', url);
  } catch (error) {
    if (!(error instanceof FlinkRefused)) throw error;
    throw badAnswer(WHAT, url, `it is status ${error.refusal.status}`);
  }
}

/** A session: settings and temporary tables last as long as it does. */
export class GatewaySession {
  /** Its settings, those of the cluster among them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly #url: string;

  private constructor(url: string, settings: Record<string, string>) {
    this.#url = url;
    this.settings = settings;
  }

  static async open(gateway: string): Promise<GatewaySession> {
    const sessions = `${gateway}/v1/sessions`;
    return await translated(async () => {
      const { sessionHandle } = await ask<{ sessionHandle?: unknown }>(WHAT, 'POST', sessions, {});
      if (typeof sessionHandle !== 'string' || !/^[\w-]+$/.test(sessionHandle))
        throw badAnswer(WHAT, sessions, 'it names no session');
      const url = `${sessions}/${sessionHandle}`;
      const { properties } = await ask<{ properties?: Record<string, string> }>(WHAT, 'GET', url);
      return new GatewaySession(url, properties ?? {});
    });
  }

  /** Runs one statement to its end, or until its job is submitted. Throws `flink-refused`, `flink-session-lost`, … */
  async run(statement: string): Promise<StatementResult> {
    return await translated(() => this.#run(statement), statement);
  }

  async #run(statement: string): Promise<StatementResult> {
    const { operationHandle } = await ask<{ operationHandle?: unknown }>(
      WHAT,
      'POST',
      `${this.#url}/statements`,
      {
        statement,
      },
    );
    const operation = `${this.#url}/operations/${String(operationHandle)}`;
    const rows: (readonly unknown[])[] = [];
    let job: string | undefined;
    const deadline = Date.now() + PATIENCE_MS;
    for (let token = 0; Date.now() < deadline; ) {
      const page = await ask<Page>(WHAT, 'GET', `${operation}/result/${token}?rowFormat=JSON`);
      job = page.jobID ?? job;
      if (page.resultType === 'NOT_READY') await wait(POLL_MS);
      else {
        for (const { fields } of page.results?.data ?? []) rows.push(fields);
        const isSubmission = page.jobID !== undefined && page.isQueryResult !== true;
        if (page.resultType === 'EOS' || isSubmission) return { job, rows };
        token++;
      }
    }
    throw new TaxiflowError(
      'flink-refused',
      `${firstLine(statement)}: no answer within ${PATIENCE_MS / 1_000} s`,
      {
        hint: "look into the gateway's log",
      },
    );
  }

  async close(): Promise<void> {
    // A session that is gone is closed.
    await ask(WHAT, 'DELETE', this.#url).catch(() => {});
  }
}

/** The address of the job manager behind a gateway, as its own settings have it. */
export function addressIn(settings: Readonly<Record<string, string>>): string {
  const { 'rest.address': address = 'localhost', 'rest.port': port = '8081' } = settings;
  return `http://${address}:${port}`;
}

/** The address of the job manager behind a gateway. */
export async function clusterOf(gateway: string): Promise<string> {
  await gatewayVersion(gateway);
  const session = await GatewaySession.open(gateway);
  await session.close();
  return addressIn(session.settings);
}

function firstLine(statement: string): string {
  const line = statement.trim().split('\n')[0]!;
  return line.length > 80 ? `${line.slice(0, 80)}…` : line;
}

async function translated<T>(work: () => Promise<T>, statement?: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof FlinkRefused)) throw error;
    const { why, text } = error.refusal;
    if (/Session '[^']*' does not exist|session .*does not exist/i.test(text))
      throw new TaxiflowError('flink-session-lost', 'the session at the SQL gateway has ended', {
        hint: 'run the command again; sql-gateway.session.idle-timeout is how long a session lasts',
      });
    const at = statement === undefined ? WHAT : firstLine(statement);
    throw new TaxiflowError('flink-refused', `${at}: ${why}`, { hint: hintFor(text) });
  }
}

function hintFor(text: string): string {
  const connector = /Could not find any factory for identifier '([^']+)'/.exec(text)?.[1];
  if (connector !== undefined)
    return `put the jar of the connector "${connector}" into lib/ of the gateway and of the cluster: "taxiflow flink sql" names it`;
  if (/ClassNotFoundException|NoClassDefFoundError/.test(text))
    return 'a jar is missing in lib/ of the gateway or of the cluster: "taxiflow flink sql" names all that are needed';
  if (/NoResourceAvailable|Could not acquire the minimum required resources/.test(text))
    return 'the cluster has too few free task slots: it needs one for each open shard';
  return '"taxiflow flink sql" prints the statements, and the log of the gateway has the whole error';
}
