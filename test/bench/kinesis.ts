/** What our Kinesis writer and reader cost beside the SDK alone, against a Kinesis that does nothing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import {
  GetRecordsCommand,
  KinesisClient,
  PutRecordsCommand,
  type PutRecordsRequestEntry,
} from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { Aggregate } from '../../dist/streams/kinesis/aggregation.js';
import { openKinesisWriter } from '../../dist/streams/kinesis/open-writer.js';
import { KinesisReader } from '../../dist/streams/kinesis/reader.js';
import type { OutgoingBatch, RecordBatch } from '../../dist/streams/ports.js';
import { spread } from '../../dist/streams/routing.js';
import { TestClock } from '../clock.ts';
import { compare } from './measure.ts';

const FLOOR = 0.8;
const PUT_RECORDS = 500;
/** As replay puts them. */
const BATCH_TRIPS = 4_000;
const PUTS_IN_FLIGHT = 8;
const AT_ONCE = 8;
const AGGREGATE_BYTES = 51_200;
const PUT_BYTES = 4_800_000;
/** What GetRecords gives at most: 10 MB, 10,000 records. */
const PAGE_BYTES = 6_000_000;
const STREAM = 'bench';

export async function kinesisBench(batches: readonly RecordBatch[]): Promise<boolean> {
  const server = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL('null-kinesis.ts', import.meta.url))],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  try {
    const [port] = (await once(server.stdout, 'data')) as [Buffer];
    const endpoint = `http://127.0.0.1:${String(port).trim()}`;
    Object.assign(process.env, {
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    });
    const sdk = new KinesisClient({ endpoint, requestHandler: new NodeHttpHandler({}) });
    const outgoing = outgoingOf(batches);
    let met = true;
    for (const aggregate of [false, true])
      met = (await writerBench(endpoint, sdk, outgoing, aggregate)) && met;
    for (const aggregate of [false, true])
      met = (await readerBench(endpoint, sdk, outgoing, aggregate)) && met;
    sdk.destroy();
    return met;
  } finally {
    server.kill();
  }
}

async function writerBench(
  endpoint: string,
  sdk: KinesisClient,
  outgoing: readonly OutgoingBatch[],
  aggregate: boolean,
): Promise<boolean> {
  const trips = outgoing.reduce((sum, batch) => sum + batch.count, 0);
  const writer = await openKinesisWriter({
    stream: STREAM,
    endpointUrl: endpoint,
    clock: new TestClock({ base: Date.now }),
    aggregate,
  });
  const prepared = requestsOf(outgoing.flatMap((batch) => entriesOf(batch, aggregate)));
  const met = await compare(
    `Kinesis writer, ${how(aggregate)} / the SDK alone, prepared`,
    FLOOR,
    async () => {
      let acknowledged = 0;
      await inParallel(outgoing, PUTS_IN_FLIGHT, async (batch) => {
        const put = await writer.put(batch);
        acknowledged += put.acknowledged;
      });
      if (acknowledged !== trips) throw new Error(`acknowledged ${acknowledged} of ${trips}`);
    },
    () =>
      inParallel(prepared, AT_ONCE, async (Records) => {
        const answer = await sdk.send(new PutRecordsCommand({ StreamName: STREAM, Records }));
        if (answer.Records?.length !== Records.length) throw new Error('not all were acknowledged');
      }),
    trips,
  );
  await writer.close();
  return met;
}

async function readerBench(
  endpoint: string,
  sdk: KinesisClient,
  outgoing: readonly OutgoingBatch[],
  aggregate: boolean,
): Promise<boolean> {
  const shard = `shardId-${aggregate ? '1' : '0'}`.padEnd(20, '0');
  const pages = pagesOf(outgoing.flatMap((batch) => entriesOf(batch, aggregate)));
  let last = '';
  for (const [i, page] of pages.entries()) {
    const next = `${shard}-${i + 1}`;
    const body = JSON.stringify({
      MillisBehindLatest: pages.length - i,
      Records: page.map((entry, j) => ({
        Data: Buffer.from(entry.Data!).toString('base64'),
        PartitionKey: entry.PartitionKey,
        SequenceNumber: `4955555555555555555555555555555555${i}${String(j).padStart(8, '0')}`,
        ApproximateArrivalTimestamp: Date.now() / 1000,
      })),
      NextShardIterator: next,
    });
    await fetch(`${endpoint}/${i === 0 ? shard : last}`, { method: 'PUT', body });
    last = next;
  }
  const trips = outgoing.reduce((sum, batch) => sum + batch.count, 0);
  const reader = await KinesisReader.open({
    stream: STREAM,
    endpointUrl: endpoint,
    clock: new TestClock({ base: Date.now }),
  });
  const met = await compare(
    `Kinesis reader, ${how(aggregate)} / the SDK alone, same pages`,
    FLOOR,
    async () => {
      let position: Parameters<typeof reader.read>[1] = { at: 'trim-horizon' };
      let read = 0;
      for (let i = 0; i < pages.length; i++) {
        const batch = await reader.read(shard, position, 10_000);
        read += batch.count;
        position = batch.next;
      }
      if (read !== trips) throw new Error(`read ${read} of ${trips}`);
    },
    async () => {
      let iterator = shard;
      let bytes = 0;
      for (let i = 0; i < pages.length; i++) {
        const answer = await sdk.send(new GetRecordsCommand({ ShardIterator: iterator, Limit: 10_000 }));
        for (const record of answer.Records!) bytes += record.Data!.length;
        iterator = answer.NextShardIterator!;
      }
      if (bytes === 0) throw new Error('nothing read');
    },
    trips,
  );
  await reader.close();
  return met;
}

function how(aggregate: boolean): string {
  return aggregate ? 'aggregated' : 'plain';
}

/** The same trips in the batches that replay makes. */
function outgoingOf(batches: readonly RecordBatch[]): OutgoingBatch[] {
  const records = batches.flatMap(({ data, ends, count }) =>
    Array.from({ length: count }, (_, i) => data.subarray(i === 0 ? 0 : ends[i - 1], ends[i])),
  );
  const outgoing: OutgoingBatch[] = [];
  for (let from = 0; from < records.length; from += BATCH_TRIPS) {
    const part = records.slice(from, from + BATCH_TRIPS);
    let end = 0;
    outgoing.push({
      count: part.length,
      data: Buffer.concat(part),
      ends: Uint32Array.from(part, (record) => {
        end += record.length;
        return end;
      }),
      hashes: Uint32Array.from(part, (_, i) => spread(from + i)),
    });
  }
  return outgoing;
}

/** What goes over the wire for a batch, prepared in the plainest way. */
function entriesOf(batch: OutgoingBatch, aggregate: boolean): PutRecordsRequestEntry[] {
  const entries: PutRecordsRequestEntry[] = [];
  const key = String(1n << 127n);
  let filling: Aggregate | undefined;
  for (let i = 0, start = 0; i < batch.count; i++) {
    const end = batch.ends[i]!;
    if (!aggregate)
      entries.push({ PartitionKey: String(i), ExplicitHashKey: key, Data: batch.data.subarray(start, end) });
    else if (!filling?.add(batch.data, start, end)) {
      if (filling) entries.push({ PartitionKey: 'a', ExplicitHashKey: key, Data: filling.finish() });
      filling = new Aggregate('a', key, AGGREGATE_BYTES);
      filling.add(batch.data, start, end);
    }
    start = end;
  }
  if (filling) entries.push({ PartitionKey: 'a', ExplicitHashKey: key, Data: filling.finish() });
  return entries;
}

function requestsOf(entries: readonly PutRecordsRequestEntry[]): PutRecordsRequestEntry[][] {
  return grouped(entries, PUT_RECORDS, PUT_BYTES);
}

function pagesOf(entries: readonly PutRecordsRequestEntry[]): PutRecordsRequestEntry[][] {
  return grouped(entries, 10_000, PAGE_BYTES);
}

function grouped(
  entries: readonly PutRecordsRequestEntry[],
  most: number,
  mostBytes: number,
): PutRecordsRequestEntry[][] {
  const groups: PutRecordsRequestEntry[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    bytes += entry.Data!.length;
    const last = groups.at(-1);
    if (last && last.length < most && bytes <= mostBytes) last.push(entry);
    else {
      groups.push([entry]);
      bytes = entry.Data!.length;
    }
  }
  return groups;
}

async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
