/** What Kinesis gives, as a batch of records. */
import type { Position, RecordBatch } from '../ports.ts';
import { piecesOf } from './aggregation.ts';

/** A record as Kinesis gives it, by whichever way. */
export interface FetchedRecord {
  /** Bytes, or base64. */
  readonly data: string | Uint8Array;
  readonly sequence: string;
  /** Epoch ms. */
  readonly arrival: number;
}

/**
 * Records as the engine takes them: aggregated ones unpacked, each with the sequence number it came under, and `/n`
 * behind it for the n-th of an aggregated record.
 */
export function toBatch(records: readonly FetchedRecord[], position: Position): RecordBatch {
  let room = 0;
  for (const { data } of records)
    room += typeof data === 'string' ? Math.ceil(data.length / 4) * 3 : data.length;
  const bytes = Buffer.allocUnsafe(room);
  const ends: number[] = [];
  /** Which of `records` each one came in, and the first that came in each. */
  const origins: number[] = [];
  const firsts: number[] = [];
  let at = 0;
  for (const [i, { data }] of records.entries()) {
    if (typeof data !== 'string') bytes.set(data, at);
    const end = at + (typeof data === 'string' ? bytes.write(data, at, 'base64') : data.length);
    const pieces = piecesOf(bytes, at, end) ?? [at, end];
    firsts.push(ends.length);
    for (let k = 0; k < pieces.length; k += 2) {
      // What is unpacked is shorter than what it was packed in, so it never runs into what is still to come.
      if (pieces[k] !== at) bytes.copyWithin(at, pieces[k]!, pieces[k + 1]);
      at += pieces[k + 1]! - pieces[k]!;
      ends.push(at);
      origins.push(i);
    }
  }
  const last = records.at(-1);
  return {
    count: ends.length,
    data: bytes.subarray(0, at),
    ends: Uint32Array.from(ends),
    arrivals: Float64Array.from(origins, (origin) => records[origin]!.arrival),
    next: last ? { at: 'after', sequence: last.sequence, arrival: last.arrival } : position,
    atTip: false,
    ended: false,
    lost: undefined,
    sequenceOf: (row) => {
      const origin = origins[row]!;
      const first = firsts[origin]!;
      const alone = (firsts[origin + 1] ?? ends.length) - first === 1;
      const { sequence } = records[origin]!;
      return alone ? sequence : `${sequence}/${row - first + 1}`;
    },
  };
}

/** The longest time from the arrival of a record until readers see it, and more than clocks within Kinesis differ. */
const UNSEEN_MS = 5_000;

/** A position of which everything is read at the time `ms` of Kinesis, so that a quiet shard is not taken for a gap. */
export function quietUntil(position: Position, ms: number): Position {
  if (position.at === 'latest') return position;
  const until = ms - UNSEEN_MS;
  return { ...position, arrival: Math.max(position.arrival ?? until, until) };
}
