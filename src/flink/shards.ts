/** Whether a job of Flink reads the shards of a stream exactly: one subtask has one shard, and none is read beside its parents. */
import { TaxiflowError } from '../errors.ts';
import type { Position, Shard, StreamReader } from '../streams/ports.ts';

const WHOLE = 1n << 128n;
/** Records that are looked at. */
const SAMPLE = 100;

/** The number of open shards. Throws `flink-refused` where two of them would share a subtask, which loses trips in silence. */
export function subtasksFor(shards: readonly Shard[], stream: string): number {
  const open = shards.filter((shard) => shard.open);
  const count = BigInt(open.length);
  // As the connector's uniform assigner: by the middle of the shard's part of the hash keys.
  const places = open.map(
    ({ firstHashKey, lastHashKey }) => (((firstHashKey + lastHashKey) / 2n) * count) / WHOLE,
  );
  if (new Set(places).size === open.length) return open.length;
  throw new TaxiflowError(
    'flink-refused',
    `the ${open.length} open shards of ${stream} are of uneven size: two of them would share a subtask, and Flink would drop trips of the one behind`,
    {
      hint: `make them even with "taxiflow stream reshard ${stream} --shards ${open.length + 1}", or use the embedded engine`,
    },
  );
}

/** Closed shards that hold records from a position on: Flink reads them beside their children, and drops what is behind those. */
export async function refuseUnreadParents(
  reader: StreamReader,
  shards: readonly Shard[],
  from: Position,
  why: string,
): Promise<void> {
  const unread: string[] = [];
  for (const shard of shards.filter((one) => !one.open)) {
    let position = from;
    for (let isOver = false; !isOver; ) {
      const batch = await reader.read(shard.id, position, 1_000);
      if (batch.count > 0) unread.push(shard.id);
      isOver = batch.ended || batch.count > 0 || batch.atTip;
      position = batch.next;
    }
  }
  if (unread.length === 0) return;
  const named = unread.slice(0, 3).join(', ');
  const more = unread.length > 3 ? ` and ${unread.length - 3} others` : '';
  throw new TaxiflowError(
    'reshard-unread',
    `${named}${more} of ${reader.name} ${unread.length === 1 ? 'was' : 'were'} closed by a reshard and hold${unread.length === 1 ? 's' : ''} records ${why}: Flink reads closed shards beside those that follow them, and drops what is behind`,
    {
      hint: 'begin with --from at a time after the reshard, or use the embedded engine, which reads them in order',
    },
  );
}

/** Shards whose first records are packed by the Kinesis Producer Library, which the newer connector reads as one broken record. */
export async function refuseAggregated(
  reader: StreamReader,
  shards: readonly Shard[],
  from: Position,
): Promise<void> {
  if (from.at === 'latest') return;
  for (const { id } of shards) {
    const batch = await reader.read(id, from, SAMPLE);
    for (let row = 0; row < batch.count; row++)
      if (batch.sequenceOf(row).includes('/'))
        throw new TaxiflowError(
          'flink-refused',
          `${id} of ${reader.name} holds aggregated records, which the connector kinesis-5 does not unpack: all of their trips would be lost`,
          { hint: 'use Flink 1.20 with --flink-connector kinesis-4, or replay without --aggregate' },
        );
  }
}
