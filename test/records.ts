import { type RecordBytes, recordText } from '../src/events/decode.ts';

/** The records of a batch as they came; of a packed trip, its text without white space around it. */
export function textsOf(batch: RecordBytes): string[] {
  const { count, data, ends, packed = [] } = batch;
  const isPacked = (i: number) => packed.some((rows) => i >= rows.row && i < rows.row + rows.count);
  return Array.from({ length: count }, (_, i) =>
    isPacked(i) ? recordText(batch, i) : data.toString('utf8', i === 0 ? 0 : ends[i - 1], ends[i]),
  );
}
