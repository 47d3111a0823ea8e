/** Batches whose records hold several records each, as batches with one record a row. */
import { recordBytes } from '../events/decode.ts';
import { recordsIn } from '../events/lines.ts';
import type { RecordBatch } from './ports.ts';

/** Rows that are decoded at once: columns for more would take hundreds of megabytes. */
export const MOST_ROWS = 32_768;

/**
 * The records of a batch, at most `MOST_ROWS` at a time. Every part goes on where the whole batch does (`next`), so a
 * caller takes all of them before it keeps that position. The n-th of several in one record has `/n` behind its
 * sequence number.
 */
export function* unpacked(whole: RecordBatch): Generator<RecordBatch> {
  const batch: RecordBatch = whole.packed ? { ...whole, ...recordBytes(whole), packed: [] } : whole;
  let pieces: number[] = [];
  let rows: number[] = [];
  let numbers: number[] = [];
  for (let row = 0, start = 0; row < batch.count; row++) {
    const found = recordsIn(batch.data, start, batch.ends[row]!);
    for (let i = 0; i < found.length; i += 2) {
      pieces.push(found[i]!, found[i + 1]!);
      rows.push(row);
      numbers.push(found.length > 2 ? i / 2 + 1 : 0);
      if (rows.length < MOST_ROWS) continue;
      yield partOf(batch, pieces, rows, numbers);
      [pieces, rows, numbers] = [[], [], []];
    }
    start = batch.ends[row]!;
  }
  if (rows.length > 0) yield partOf(batch, pieces, rows, numbers);
}

/** `pieces` of the batch's data as records of their own, each with the row that it came in and its number there. */
function partOf(
  batch: RecordBatch,
  pieces: readonly number[],
  rows: readonly number[],
  numbers: readonly number[],
): RecordBatch {
  const ends = new Uint32Array(rows.length);
  let size = 0;
  for (let i = 0; i < rows.length; i++) {
    size += pieces[2 * i + 1]! - pieces[2 * i]!;
    ends[i] = size;
  }
  const data = Buffer.allocUnsafe(size);
  for (let i = 0, at = 0; i < rows.length; i++)
    at += batch.data.copy(data, at, pieces[2 * i]!, pieces[2 * i + 1]!);
  return {
    ...batch,
    count: rows.length,
    data,
    ends,
    arrivals: Float64Array.from(rows, (row) => batch.arrivals[row]!),
    sequenceOf: (row) => {
      const sequence = batch.sequenceOf(rows[row]!);
      return numbers[row] === 0 ? sequence : `${sequence}/${numbers[row]}`;
    },
  };
}
