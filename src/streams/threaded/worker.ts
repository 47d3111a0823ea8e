/** A thread that reads shards of a stream for `ThreadedReader`. */
import { parentPort, workerData } from 'node:worker_threads';
import { toPlainError } from '../../errors.ts';
import { KIND, TripColumns } from '../../events/columns.ts';
import { usualTripDecoder } from '../../events/decode.ts';
import { PackedTrips, packTrips } from '../../events/packed.ts';
import { openReader } from '../connectors.ts';
import type { RecordBatch, StreamReader } from '../ports.ts';
import { MOST_ROWS } from '../unpack.ts';
import type { Answer, Opened, Question, SentBatch, Task } from './reader.ts';

const port = parentPort!;
const { target, options } = workerData as Task;
const decode = usualTripDecoder();
const columns = new TripColumns();
/** Bytes of words to remember from one batch to the next. */
const MOST_WORD_BYTES = 1 << 20;
const NOTHING = Buffer.alloc(0);

let reader: StreamReader;

async function answer(question: Question): Promise<Answer['value']> {
  switch (question.ask) {
    case 'open': {
      reader = await openReader(target, options);
      return { name: reader.name, identity: reader.identity } satisfies Opened;
    }
    case 'shards':
      return reader.shards();
    case 'remaining':
      return reader.remaining?.(question.shard, question.position);
    case 'read':
      return sent(await reader.read(question.shard, question.position, question.limit));
    case 'close':
      await (reader as StreamReader | undefined)?.close();
      return undefined;
  }
}

function sent(batch: RecordBatch): SentBatch {
  const sequences = Array.from({ length: batch.count }, (_, row) => batch.sequenceOf(row)).join('\n');
  const { packed, data, ends, sequenceOf: _, ...rest } = batch;
  if (packed) {
    const rows = packed.map(({ row, from, count, trips }) => ({ row, from, count, bytes: bytesOf(trips) }));
    return { ...rest, data, ends, packed: rows, sequences };
  }
  return { ...rest, ...inPackedRuns(batch), sequences };
}

function bytesOf(trips: unknown): Uint8Array {
  if (trips instanceof PackedTrips) return trips.bytes;
  throw new Error('these trips have no bytes');
}

/** The records with every run of usual trips packed. */
function inPackedRuns(batch: RecordBatch): Pick<SentBatch, 'data' | 'ends' | 'packed'> {
  const { count, data, ends } = batch;
  if (count > MOST_ROWS) return { data, ends, packed: [] };
  for (const words of Object.values(columns.dictionaries))
    if (words.bytes > MOST_WORD_BYTES) words.forgetAfter(0);
  decode(batch, columns);
  const packed: SentBatch['packed'][number][] = [];
  const kept: Buffer[] = [];
  const newEnds = new Uint32Array(count);
  let size = 0;
  for (let row = 0; row < count; ) {
    const from = row;
    if (columns.kind[row] === KIND.trip) {
      while (row < count && columns.kind[row] === KIND.trip) newEnds[row++] = size;
      const rows = Uint32Array.from({ length: row - from }, (_, i) => from + i);
      packed.push({ row: from, from: 0, count: row - from, bytes: packTrips(columns, rows) });
    } else {
      const start = row === 0 ? 0 : ends[row - 1]!;
      kept.push(data.subarray(start, ends[row]));
      size += ends[row]! - start;
      newEnds[row++] = size;
    }
  }
  return { data: kept.length > 0 ? Buffer.concat(kept) : NOTHING, ends: newEnds, packed };
}

port.on('message', (question: Question) => {
  const { number } = question;
  answer(question).then(
    (value) => port.postMessage({ number, value } satisfies Answer),
    (error: unknown) => port.postMessage({ number, error: toPlainError(error) } satisfies Answer),
  );
});
