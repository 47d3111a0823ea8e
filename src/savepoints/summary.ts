/** What a state holds, in figures: for looking into a savepoint, and for comparing two. */
import type { Counters } from '../engine/state-store.ts';
import { PackedColumns } from '../packed-columns.ts';
import { readCheckpoint } from '../state/checkpoint-row.ts';
import { readIdentity, streamName } from '../state/identity.ts';
import type { StateRows } from '../state/rows.ts';
import type { Position } from '../streams/ports.ts';
import type { View } from '../views/language.ts';

export interface ShardSummary {
  readonly shard: string;
  readonly position: Position;
  /** Epoch ms; null before the first. */
  readonly watermark: number | null;
  readonly ended: boolean;
}

export interface WindowSummary {
  readonly view: string;
  /** Epoch ms. */
  readonly start: number;
  readonly end: number;
  readonly panes: number;
  /** Values of distinct counts. */
  readonly distinct: number;
  readonly bytes: number;
  /** Differs where the contents differ. */
  readonly digest: string;
}

export interface StateSummary {
  readonly stream: string;
  readonly views: readonly View[];
  readonly settings: string;
  readonly checkpoint: { readonly number: number; readonly at: string };
  readonly watermark: number | null;
  readonly counters: Counters;
  readonly shards: readonly ShardSummary[];
  /** Open windows, by view and start. */
  readonly windows: readonly WindowSummary[];
  readonly tripsSeen: number;
  /** Results kept, and the number that the next one gets. */
  readonly results: { readonly kept: number; readonly next: number };
  readonly cursors: readonly {
    readonly sink: string;
    readonly delivered: number;
    readonly pending: number;
  }[];
  readonly deadLetters: readonly { readonly reason: string; readonly count: number; readonly kept: number }[];
  /** Bytes by what they are for. */
  readonly sizes: { readonly windows: number; readonly results: number; readonly seen: number };
}

/** Of a state of the present format with a checkpoint. */
export function summaryOf(rows: StateRows): StateSummary {
  return rows.attempt(() => {
    const checkpoint = readCheckpoint(rows.db)!;
    const identity = readIdentity(rows.db);
    const windows = windowsIn(rows);
    return {
      stream: streamName(identity.stream),
      views: JSON.parse(identity.views) as View[],
      settings: identity.settings,
      checkpoint: { number: checkpoint.number, at: checkpoint.at },
      watermark: checkpoint.watermark,
      counters: checkpoint.counters,
      shards: checkpoint.shards.map(({ id, position, watermark, ended }) => ({
        shard: id,
        position,
        watermark,
        ended,
      })),
      windows,
      tripsSeen: seenIn(rows),
      results: { kept: sum(rows, 'SELECT sum(count) FROM firings'), next: checkpoint.nextResult },
      cursors: cursorsIn(rows, checkpoint.nextResult),
      deadLetters: rows
        .prepare("SELECT reason, count, kept FROM dead_letter_counts WHERE scope = '' ORDER BY reason")
        .all() as StateSummary['deadLetters'],
      sizes: {
        windows: windows.reduce((total, { bytes }) => total + bytes, 0),
        results: sum(rows, 'SELECT sum(length(docs)) FROM firings'),
        seen:
          sum(rows, 'SELECT sum(length(bits)) FROM seen_pages') +
          sum(rows, 'SELECT sum(length(ids)) FROM seen_ids'),
      },
    };
  });
}

function sum(rows: StateRows, sql: string): number {
  return (rows.prepare(sql).pluck().get() as number | null) ?? 0;
}

interface BlockRow {
  readonly view: string;
  readonly start: number;
  readonly end: number;
  readonly part: number;
  readonly kind: string;
  readonly block: number;
  readonly crc: number;
  readonly data: Buffer;
}

function windowsIn(rows: StateRows): WindowSummary[] {
  const found: { -readonly [K in keyof WindowSummary]: WindowSummary[K] }[] = [];
  const blocks = rows.prepare(
    `SELECT view, window_start AS start, window_end AS "end", part, kind, block, crc, data FROM panes
     ORDER BY view, window_start, window_end, part, kind, block`,
  );
  for (const row of blocks.iterate() as Iterable<BlockRow>) {
    const { view, start, end, part, kind, block, crc, data } = row;
    let window = found.at(-1);
    if (window?.view !== view || window.start !== start || window.end !== end) {
      window = { view, start, end, panes: 0, distinct: 0, bytes: 0, digest: '' };
      found.push(window);
    }
    const count = PackedColumns.read(data)?.count ?? 0;
    if (kind === 'panes') window.panes += count;
    else window.distinct += count;
    window.bytes += data.length;
    window.digest += `${part}${kind}${block}:${crc} `;
  }
  return found;
}

function seenIn(rows: StateRows): number {
  let seen = sum(rows, 'SELECT sum(behind - first) FROM seen_ranges');
  seen += sum(rows, 'SELECT sum(length(ids)) FROM seen_ids') / Float64Array.BYTES_PER_ELEMENT;
  for (const bits of rows.prepare('SELECT bits FROM seen_pages').pluck().iterate() as Iterable<Buffer>)
    for (let byte of bits) for (; byte !== 0; byte &= byte - 1) seen++;
  return seen;
}

function cursorsIn(rows: StateRows, next: number): StateSummary['cursors'] {
  const found = rows.prepare('SELECT sink, delivered FROM cursors ORDER BY sink').all() as {
    sink: string;
    delivered: number;
  }[];
  return found.map(({ sink, delivered }) => ({
    sink,
    delivered: delivered - 1,
    pending: Math.max(0, next - delivered),
  }));
}
