/**
 * Records the progress of replays in one SQLite file under the data directory: how far each is acknowledged, so that it
 * can resume after any end (W7), and the rows it rejected.
 */
import { basename, join } from 'node:path';
import type { Clock } from '../clock.ts';
import { DEAD_LETTER_SCHEMA, type DeadLetterBuffer, DeadLetterTable } from '../dead-letters.ts';
import { translate } from '../errors.ts';
import { formatOf, openSqlite, refuseNewerFormat, type Sqlite, transaction } from '../sqlite.ts';

const FORMAT = 2;
const WHAT = 'the list of replays';

const SCHEMA = `
CREATE TABLE replays (
  key TEXT PRIMARY KEY,
  stream TEXT NOT NULL,
  stream_identity TEXT NOT NULL,
  replay TEXT NOT NULL,
  inputs TEXT NOT NULL,
  invoked_at INTEGER NOT NULL,
  next_id INTEGER NOT NULL,
  acknowledged INTEGER NOT NULL,
  watermark INTEGER,
  finished INTEGER NOT NULL CHECK (finished IN (0, 1)),
  started_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
${DEAD_LETTER_SCHEMA}
PRAGMA user_version = ${FORMAT};
`;

/** Format 1 stored only the name of the stream, not its identity. */
const FROM_FORMAT_1 = `
ALTER TABLE replays ADD COLUMN stream_identity TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 2;
`;

/** The watermark to which a replay has moved a stream. */
export interface StreamWatermark {
  readonly key: string;
  readonly inputs: string;
  /** Epoch ms. */
  readonly watermark: number;
}

export interface ReplayEntry {
  /** Hash of the stream, the input and the options that change what is sent. */
  readonly key: string;
  readonly stream: string;
  /** Distinguishes the stream from another of the same name. */
  readonly streamIdentity: string;
  /** The replay id in each trip. */
  readonly replay: string;
  readonly inputs: string;
  /** Epoch ms of the first run, for `--adapt-time invocation`. */
  readonly invokedAt: number;
  /** Every trip with a lower id is acknowledged. */
  readonly nextId: number;
  readonly acknowledged: number;
  /** The watermark of the acknowledged trips, epoch ms. */
  readonly watermark: number | null;
  readonly finished: boolean;
}

export function ledgerPath(dataDir: string): string {
  return join(dataDir, 'replays.sqlite');
}

/** A name for each replay, by its key: its files and stream, and its id if the name is not unique. */
export function replayNames(db: Sqlite): Map<string, string> {
  const rows = db.prepare('SELECT key, stream, replay, inputs FROM replays').all() as Pick<
    ReplayEntry,
    'key' | 'stream' | 'replay' | 'inputs'
  >[];
  const plain = ({ inputs, stream }: Pick<ReplayEntry, 'inputs' | 'stream'>) =>
    `replay of ${shownInputs(inputs.split(', '))} into ${stream}`;
  const alike = new Map<string, number>();
  for (const row of rows) alike.set(plain(row), (alike.get(plain(row)) ?? 0) + 1);
  return new Map(
    rows.map((row) => [row.key, alike.get(plain(row))! > 1 ? `${plain(row)} (${row.replay})` : plain(row)]),
  );
}

/** The first file without its folder, and the number of other files. */
function shownInputs([first = '', ...others]: readonly string[]): string {
  const count = others.length;
  return `${basename(first)}${count === 0 ? '' : ` and ${count} other${count > 1 ? 's' : ''}`}`;
}

export class ReplayLedger {
  readonly path: string;
  readonly #db: Sqlite;
  readonly #clock: Clock;

  constructor(dataDir: string, clock: Clock) {
    this.path = ledgerPath(dataDir);
    this.#clock = clock;
    this.#db = openSqlite(this.path, { what: WHAT });
    try {
      this.#translating(() => this.#prepare());
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** Makes the tables, or brings them up to date. */
  #prepare(): void {
    const format = () => formatOf(this.#db);
    if (format() === 0) {
      transaction(this.#db, () => {
        if (format() === 0) this.#db.exec(SCHEMA);
      });
    }
    if (format() === 1) {
      transaction(this.#db, () => {
        if (format() === 1) this.#db.exec(FROM_FORMAT_1);
      });
    }
    refuseNewerFormat(this.#db, WHAT, FORMAT, 'choose another --data-dir');
  }

  find(key: string): ReplayEntry | undefined {
    const row = this.#translating(() =>
      this.#db
        .prepare(
          `SELECT key, stream, stream_identity AS streamIdentity, replay, inputs, invoked_at AS invokedAt, next_id AS nextId, acknowledged, watermark, finished
           FROM replays WHERE key = ?`,
        )
        .get(key),
    ) as (Omit<ReplayEntry, 'finished'> & { finished: number }) | undefined;
    return row && { ...row, finished: row.finished === 1 };
  }

  /** The two replays that have moved a stream's watermark the furthest, furthest first. */
  furthest(streamIdentity: string): StreamWatermark[] {
    return this.#translating(() =>
      this.#db
        .prepare(
          `SELECT key, inputs, watermark FROM replays
           WHERE stream_identity = ? AND watermark IS NOT NULL ORDER BY watermark DESC LIMIT 2`,
        )
        .all(streamIdentity),
    ) as StreamWatermark[];
  }

  /** Saves the progress of a replay, and the rows rejected since the last save. */
  save(entry: ReplayEntry, rejected?: DeadLetterBuffer): void {
    const now = new Date(this.#clock.now()).toISOString();
    this.#translating(() =>
      transaction(this.#db, () => {
        this.#db
          .prepare(
            `INSERT INTO replays
               (key, stream, stream_identity, replay, inputs, invoked_at, next_id, acknowledged, watermark, finished, started_at, updated_at)
             VALUES (:key, :stream, :streamIdentity, :replay, :inputs, :invokedAt, :nextId, :acknowledged, :watermark, :finished, :now, :now)
             ON CONFLICT DO UPDATE SET stream_identity = :streamIdentity, replay = :replay, invoked_at = :invokedAt, next_id = :nextId,
               acknowledged = :acknowledged, watermark = :watermark, finished = :finished, updated_at = :now`,
          )
          .run({ ...entry, finished: entry.finished ? 1 : 0, now });
        if (rejected) new DeadLetterTable(this.#db, entry.key).write(rejected.take(), now);
      }),
    );
  }

  /** Removes the rejected rows of a replay, because its input is read again from the start. */
  clearRejected(key: string): void {
    this.#translating(() => transaction(this.#db, () => new DeadLetterTable(this.#db, key).clear()));
  }

  close(): void {
    this.#db.close();
  }

  #translating<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw translate(error, WHAT, this.path);
    }
  }
}
