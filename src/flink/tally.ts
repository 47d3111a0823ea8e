/** Counts what a stream holds, by taxiflow's own rules, beside a job of Flink that reads it: what the job is checked against. */
import { KIND, TripColumns } from '../events/columns.ts';
import { decoderOf, recordBytes } from '../events/decode.ts';
import type { Position, StreamReader } from '../streams/ports.ts';
import { unpacked } from '../streams/unpack.ts';

export interface Tally {
  readonly records: number;
  /** Neither trips nor watermarks. */
  readonly dead: number;
  /** Trips behind the last watermark of their own shard. */
  readonly behind: number;
}

const LIMIT = 10_000;

/** Shards that are read at once. */
const AT_ONCE = 32;

type Counts = { -readonly [K in keyof Tally]: number };

/** Reads every shard up to what is there now. */
export async function tallyOf(reader: StreamReader, from: Position, signal: AbortSignal): Promise<Tally> {
  const total: Counts = { records: 0, dead: 0, behind: 0 };
  const waiting = (await reader.shards()).map(({ id }) => id);
  const readNext = async (): Promise<void> => {
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop())
      await countShard(reader, id, from, signal, total);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, readNext));
  return total;
}

async function countShard(
  reader: StreamReader,
  id: string,
  from: Position,
  signal: AbortSignal,
  total: Counts,
): Promise<void> {
  const decode = decoderOf([]);
  const columns = new TripColumns();
  let watermark = Number.NEGATIVE_INFINITY;
  let position = from;
  const began = Date.now();
  for (let isOver = false; !isOver && !signal.aborted; ) {
    const batch = await reader.read(id, position, LIMIT);
    const isPlain = decode(recordBytes(batch), columns);
    for (const part of isPlain ? [batch] : unpacked(batch)) {
      if (!isPlain) decode(recordBytes(part), columns);
      watermark = count(part.count, columns, watermark, total);
    }
    const isNew = batch.count > 0 && batch.arrivals[batch.count - 1]! > began;
    isOver = batch.ended || batch.atTip || isNew;
    position = batch.next;
  }
}

/** Returns the watermark behind the last of the records. */
function count(records: number, columns: TripColumns, before: number, total: Counts): number {
  let watermark = before;
  let next = 0;
  total.records += records;
  total.dead += columns.dead.length;
  for (let row = 0; row < records; row++) {
    if (columns.watermarkRows[next] === row) watermark = Math.max(watermark, columns.watermarks[next++]!);
    else if (columns.kind[row] === KIND.trip && columns.numbers.dropoff_datetime[row]! < watermark)
      total.behind++;
  }
  return watermark;
}
