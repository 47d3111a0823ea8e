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
  /** Records in batches with several on one line or in one record, of which Flink reads one at most. */
  readonly packed: number;
  /** Records in the Kinesis Producer Library's format. */
  readonly aggregated: number;
}

const LIMIT = 10_000;

/** Reads every shard up to what is there now. */
export async function tallyOf(reader: StreamReader, from: Position, signal: AbortSignal): Promise<Tally> {
  const total = { records: 0, dead: 0, behind: 0, packed: 0, aggregated: 0 };
  const decode = decoderOf([]);
  const columns = new TripColumns();
  for (const { id } of await reader.shards()) {
    let position = from;
    let watermark = Number.NEGATIVE_INFINITY;
    for (let isOver = false; !isOver && !signal.aborted; ) {
      const batch = await reader.read(id, position, LIMIT);
      for (let row = 0; row < batch.count; row++) if (batch.sequenceOf(row).includes('/')) total.aggregated++;
      const isPlain = decode(recordBytes(batch), columns);
      for (const part of isPlain ? [batch] : unpacked(batch)) {
        if (!isPlain) decode(recordBytes(part), columns);
        total.records += part.count;
        total.dead += columns.dead.length;
        let next = 0;
        for (let row = 0; row < part.count; row++) {
          if (columns.watermarkRows[next] === row)
            watermark = Math.max(watermark, columns.watermarks[next++]!);
          else if (columns.kind[row] === KIND.trip && columns.numbers.dropoff_datetime[row]! < watermark)
            total.behind++;
        }
        if (!isPlain) total.packed += part.count;
      }
      isOver = batch.ended || batch.atTip;
      position = batch.next;
    }
  }
  return total;
}
