/** The same requests to the models and to what they stand for: a model must not be kinder, or other, than the server. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
// It must come before what it surrounds.
import './surroundings.ts';
import {
  DescribeStreamSummaryCommand,
  GetShardIteratorCommand,
  type GetShardIteratorCommandInput,
  KinesisClient,
  ListShardsCommand,
  type Shard,
  SplitShardCommand,
} from '@aws-sdk/client-kinesis';
import type { Client } from '@opensearch-project/opensearch';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { systemClock } from '../../src/clock.ts';
import type { TaxiflowError } from '../../src/errors.ts';
import { connect } from '../../src/opensearch/connection.ts';
import { type Condition, ObjectStore } from '../../src/s3/object-store.ts';
import { getRecords, putRecords } from '../../src/streams/kinesis/wire.ts';
import { createStream, startKinesis } from '../services/kinesis.ts';
import { startMinistack, storeObject, withoutMinistack } from '../services/ministack.ts';
import { startOpenSearch, withoutVersion } from '../services/opensearch.ts';
import { Faults } from './faults.ts';
import { answerKinesis, KinesisModel } from './kinesis-model.ts';
import { Network } from './network.ts';
import { answerS3, S3Model } from './s3-model.ts';
import { answerHttp, SearchModel } from './search-model.ts';
import { enter } from './surroundings.ts';
import { Machine, World } from './world.ts';

const STREAM = 'trips';
const SECRET = { accessKeyId: 'test', secretAccessKey: 'test' };

interface Models {
  readonly kinesis: KinesisModel;
  readonly s3: S3Model;
  readonly search: SearchModel;
}

/**
 * What `main` comes to in a world without faults, with the models of all servers. `open` comes before it: what it loads takes time that a
 * world does not have.
 */
async function inWorld<C, T>(
  open: () => Promise<C>,
  main: (opened: C, models: Models) => Promise<T>,
): Promise<T> {
  const world = new World(1, Date.now());
  const faults = new Faults(world, 1, new Set());
  const network = new Network(world, faults);
  const kinesis = new KinesisModel(world, faults, network, 2);
  const s3 = new S3Model(world, faults, network);
  const search = new SearchModel(world, faults, network);
  answerKinesis(kinesis);
  answerS3(s3);
  answerHttp(search);
  const opened = await open();
  let done: { result: T } | undefined;
  world.start('script', new Machine('here', '.'), async () => {
    try {
      done = { result: await main(opened, { kinesis, s3, search }) };
    } catch (error) {
      world.broken(error);
    }
  });
  enter(world);
  try {
    await world.run(() => done !== undefined, 600_000);
  } finally {
    enter(undefined);
    answerKinesis(undefined);
    answerS3(undefined);
    answerHttp(undefined);
  }
  return done!.result;
}

const nameOf = (error: unknown) => (error as Error).name;

/** All that a reader and a writer of Kinesis ask for, and what they can see of the answers. */
async function askKinesis(
  client: KinesisClient,
  split: (shard: string) => Promise<void>,
): Promise<unknown[]> {
  const seen: unknown[] = [];
  const HALF = 2n ** 127n;
  const iterator = async (shard: string, more: Omit<GetShardIteratorCommandInput, 'ShardId'>) => {
    const asked = new GetShardIteratorCommand({ StreamName: STREAM, ShardId: shard, ...more });
    return (await client.send(asked)).ShardIterator!;
  };
  const put = async (texts: readonly string[], hash: bigint) => {
    const answers = await putRecords(
      client,
      STREAM,
      texts.map((text) => ({ partitionKey: 'p', explicitHashKey: String(hash), data: Buffer.from(text) })),
    );
    // Until readers see it.
    await systemClock.sleep(100);
    return answers;
  };
  const read = async (from: string, limit = 100) => {
    const { records, next, behind } = await getRecords(client, STREAM, from, limit);
    const texts = records.map(({ data }) => Buffer.from(String(data), 'base64').toString());
    // The emulator claims the tip after every read.
    seen.push([texts, next !== undefined, texts.length < limit ? behind : 0]);
    return { next, records };
  };
  const shards = async () => {
    const Shards: Shard[] = [];
    for (let NextToken: string | undefined, more = true; more; more = NextToken !== undefined) {
      const asked = NextToken === undefined ? { StreamName: STREAM } : { NextToken };
      const page = await client.send(new ListShardsCommand(asked));
      Shards.push(...(page.Shards ?? []));
      NextToken = page.NextToken;
    }
    for (const { ShardId, ParentShardId, HashKeyRange, SequenceNumberRange } of Shards)
      seen.push([
        ShardId,
        ParentShardId ?? '',
        HashKeyRange,
        SequenceNumberRange?.EndingSequenceNumber != null,
      ]);
    return Shards.map(({ ShardId }) => ShardId!);
  };
  const { StreamDescriptionSummary } = await client.send(
    new DescribeStreamSummaryCommand({ StreamName: STREAM }),
  );
  seen.push(StreamDescriptionSummary?.StreamStatus, StreamDescriptionSummary?.OpenShardCount);
  const [low, high] = (await shards()) as [string, string];
  const first = await put(['a', 'b', 'c'], 0n);
  seen.push(first.map(({ ShardId, ErrorCode }) => [ShardId, ErrorCode ?? '']));
  const numbers = first.map(({ SequenceNumber }) => BigInt(SequenceNumber!));
  seen.push(numbers[0]! < numbers[1]! && numbers[1]! < numbers[2]!);
  await put(['x'], HALF);
  const begin = await read(await iterator(low, { ShardIteratorType: 'TRIM_HORIZON' }), 2);
  seen.push(begin.records[0]?.sequence === first[0]?.SequenceNumber);
  const rest = await read(begin.next!);
  const none = await read(rest.next!);
  const after = {
    ShardIteratorType: 'AFTER_SEQUENCE_NUMBER',
    StartingSequenceNumber: first[0]!.SequenceNumber!,
  } as const;
  await read(await iterator(low, after));
  await read(await iterator(high, { ShardIteratorType: 'LATEST' }));
  await read(await iterator(high, { ShardIteratorType: 'AT_TIMESTAMP', Timestamp: new Date(0) }));
  await split(low);
  const [, , left] = await shards();
  seen.push((await put(['d'], 1n)).map(({ ShardId }) => ShardId === left));
  // A closed shard ends behind its last record, and its iterators go on until there.
  let from = none.next;
  for (let reads = 0; from !== undefined && reads < 5; reads++)
    from = (await getRecords(client, STREAM, from, 10)).next;
  seen.push(from === undefined);
  await read(await iterator(left!, { ShardIteratorType: 'TRIM_HORIZON' }));
  const missing = iterator('shardId-000000000099', { ShardIteratorType: 'LATEST' });
  seen.push(await missing.then(() => 'found', nameOf));
  return seen;
}

describe('the models are what they stand for', () => {
  it('Kinesis: an emulator', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, STREAM, 2);
    const client = (endpoint: string) =>
      new KinesisClient({
        endpoint,
        region: 'us-east-1',
        credentials: SECRET,
        requestHandler: new NodeHttpHandler(),
      });
    const real = client(emulator.endpoint);
    t.after(() => real.destroy());
    const found = await askKinesis(real, async (ShardToSplit) => {
      await real.send(
        new SplitShardCommand({ StreamName: STREAM, ShardToSplit, NewStartingHashKey: String(2n ** 126n) }),
      );
      const summary = new DescribeStreamSummaryCommand({ StreamName: STREAM });
      while ((await real.send(summary)).StreamDescriptionSummary?.StreamStatus !== 'ACTIVE')
        await systemClock.sleep(10);
    });
    const model = await inWorld(
      async () => client('http://model'),
      (client, { kinesis }) => askKinesis(client, async (shard) => kinesis.split(kinesis.shard(shard))),
    );
    assert.deepEqual(model, found);
  });

  it('S3: ministack', { skip: withoutMinistack }, async (t: TestContext) => {
    const ministack = await startMinistack(t);
    Object.assign(process.env, ministack.env);
    await storeObject(ministack, 'states', 'other', 'x');
    const real = await ObjectStore.open('states', { endpointUrl: ministack.endpoint });
    const found = await askS3(real);
    const model = await inWorld(() => ObjectStore.open('states', { region: 'us-east-1' }), askS3);
    assert.deepEqual(model, found);
  });

  for (const version of ['2.19.1', '3.8.0'] as const)
    it(`OpenSearch ${version}`, { skip: withoutVersion(version) }, async (t: TestContext) => {
      const { endpoint } = await startOpenSearch(t, { version });
      const found = await askSearch(await connect({ url: endpoint }, {}));
      const model = await inWorld(() => connect({ url: 'http://model:9200' }, {}), askSearch);
      assert.deepEqual(model, found);
    });
});

async function askS3(store: ObjectStore): Promise<unknown[]> {
  const seen: unknown[] = [];
  const put = async (text: string, condition?: Condition, key = 'job/head.json') => {
    try {
      return await store.put(key, Buffer.from(text), condition);
    } catch (error) {
      seen.push((error as TaxiflowError).code);
      return undefined;
    }
  };
  const get = async (key: string) => seen.push((await store.get(key))?.bytes.toString() ?? 'none');
  // The model checks heads, so these are some.
  const head = (sequence: number) =>
    JSON.stringify({
      epoch: 1,
      sequence,
      owner: 'o',
      checkpoint: 0,
      next_result: 1,
      base: null,
      increments: [],
    });
  await get('job/head.json');
  seen.push((await store.head('job/head.json')) ?? 'none');
  const first = await put(head(1), { IfNoneMatch: '*' });
  await put(head(2), { IfNoneMatch: '*' });
  const second = await put(head(2), { IfMatch: first! });
  seen.push(second !== undefined && second !== first);
  await put(head(3), { IfMatch: first! });
  await put('x', { IfMatch: first! }, 'job/missing');
  await get('job/head.json');
  for (const key of ['job/c', 'job/a', 'job/b', 'jo']) await put(key, {}, key);
  const listed: string[] = [];
  for await (const { key, size } of store.list('job/')) listed.push(`${key} ${size}`);
  seen.push(listed);
  await store.delete('job/a');
  await store.delete('job/a');
  await get('job/a');
  return seen;
}

const BEGIN = Date.UTC(2016, 0, 1);
const PROPERTIES = {
  view: { type: 'keyword' },
  window_start: { type: 'date' },
  window_end: { type: 'date' },
};

type Items = {
  items: Record<string, { status: number; error?: { type: string; reason?: string }; _index: string }>[];
};

/** The version that a conflict is with. */
const currentIn = (reason = '') => /current version \[(\d+)\]/.exec(reason)?.[1] ?? '';

async function askSearch(client: Client): Promise<unknown[]> {
  const seen: unknown[] = [];
  const request = async (method: 'GET' | 'PUT' | 'POST', path: string, body?: object) => {
    try {
      return (await client.transport.request({ method, path, ...(body ? { body } : {}) })).body as Record<
        string,
        unknown
      >;
    } catch (error) {
      seen.push([method, path, (error as { meta?: { statusCode?: number } }).meta?.statusCode]);
      return {};
    }
  };
  const bulk = async (action: 'index' | 'delete', target: object, version: number, start = BEGIN) => {
    const times = {
      window_start: new Date(start).toISOString(),
      window_end: new Date(start + 60_000).toISOString(),
    };
    const lines = [
      { [action]: { ...target, version, version_type: 'external_gte' } },
      ...(action === 'index' ? [{ view: 'v', ...times }] : []),
    ];
    const bulkBody = gzipSync(`${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
    const headers = { 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' };
    const { body } = await client.transport.request(
      { method: 'POST', path: '/_bulk', bulkBody },
      { headers },
    );
    // Whether a document is new or replaced makes no difference to the sink.
    for (const item of (body as unknown as Items).items)
      for (const [what, { status, error, _index }] of Object.entries(item))
        seen.push([what, status === 201 ? 200 : status, error?.type ?? '', currentIn(error?.reason), _index]);
  };
  const counted = async () => {
    await request('POST', '/trips/_refresh');
    seen.push((await request('POST', '/trips/_count', { query: { term: { view: 'v' } } }))['count']);
  };
  await request('GET', '/trips');
  await request('PUT', '/trips-000001', {
    mappings: { properties: PROPERTIES },
    aliases: { trips: { is_write_index: true }, guard: {} },
    // Readers see what a refresh has shown.
    settings: { refresh_interval: -1 },
  });
  await request('PUT', '/trips-000001', {});
  const one = { _index: 'guard', require_alias: true, _id: '1' };
  await bulk('index', one, 5);
  await bulk('index', one, 5);
  await bulk('index', one, 4);
  await counted();
  await bulk('delete', one, 6);
  await bulk('index', one, 5);
  await counted();
  await bulk('delete', { ...one, _id: '2' }, 7);
  await bulk('index', { ...one, _index: 'nowhere' }, 8);
  const described = Object.entries(await request('GET', '/trips')) as [
    string,
    { aliases: object; settings: { index: object } },
  ][];
  seen.push(
    described.map(([name, { aliases, settings }]) => [
      name,
      Object.keys(aliases).sort(),
      'uuid' in settings.index,
    ]),
  );
  const stats = (await request('GET', '/trips-000001/_stats/docs?level=shards'))['indices'] as Record<
    string,
    { shards: Record<string, { commit: { user_data: object } }[]> }
  >;
  seen.push('history_uuid' in stats['trips-000001']!.shards['0']![0]!.commit.user_data);
  await askForMissing({ request, bulk, seen });
  await askInTrouble({ request, bulk, seen });
  await client.close();
  return seen;
}

interface Script {
  readonly request: (
    method: 'GET' | 'PUT' | 'POST',
    path: string,
    body?: object,
  ) => Promise<Record<string, unknown>>;
  readonly bulk: (
    action: 'index' | 'delete',
    target: object,
    version: number,
    start?: number,
  ) => Promise<void>;
  readonly seen: unknown[];
}

/** What O7 asks for: numbers by window and index, and documents by their ids. */
async function askForMissing({ request, bulk, seen }: Script): Promise<void> {
  const times = [BEGIN, BEGIN + 60_000, BEGIN + 120_000];
  const iso = (ms: number) => new Date(ms).toISOString();
  await request('PUT', '/held-000001', { mappings: { properties: PROPERTIES }, aliases: { held: { is_write_index: true } }, settings: { refresh_interval: -1 } }); // biome-ignore format: an index
  await request('PUT', '/held-000002', { mappings: { properties: PROPERTIES }, aliases: { held: {} }, settings: { refresh_interval: -1 } }); // biome-ignore format: an index
  for (const [
    _id,
    _index,
    start,
  ] of [['a', 1, 0], ['b', 1, 0], ['c', 2, 0], ['d', 1, 1], ['a', 2, 1]] as const) // biome-ignore format: a document each
    await bulk('index', { _index: `held-00000${_index}`, _id }, 5, times[start]);
  const indices = { terms: { field: '_index', size: 2 } };
  const starts = { filter: [{ term: { view: 'v' } }, { terms: { window_start: times.map(iso) } }] };
  const ends = times.map(
    (time) => [time, { range: { window_end: { gte: iso(time), lt: iso(time + 60_001) } } }] as const,
  );
  const should = { filter: [{ term: { view: 'v' } }, { bool: { should: ends.map(([, range]) => range), minimum_should_match: 1 } }] }; // biome-ignore format: one query
  const windows = async () => {
    for (const [bool, asked] of [
      [starts, { terms: { field: 'window_start', size: 3 } }],
      [should, { filters: { filters: Object.fromEntries(ends) } }],
    ]) {
      // biome-ignore format: two searches
      const { aggregations } = await request('POST', '/held-000001,held-000002/_search?allow_partial_search_results=false', { size: 0, query: { bool }, aggs: { windows: { ...asked, aggs: { indices } } } }); // biome-ignore format: one search
      const { buckets } = (aggregations as { windows: { buckets: object } }).windows;
      for (const [key, bucket] of Object.entries(buckets)) {
        const found = bucket as { key?: number; doc_count: number; indices: { buckets: { key: string; doc_count: number }[] } }; // biome-ignore format: a bucket
        seen.push([
          found.key ?? key,
          found.doc_count,
          found.indices.buckets.map(({ key, doc_count }) => [key, doc_count]),
        ]);
      }
    }
  };
  const ids = async () => {
    const body = { size: 10_000, _source: false, query: { ids: { values: ['a', 'b', 'x', 'd'] } } };
    const { hits } = (await request('POST', '/held-000001,held-000002/_search', body))['hits'] as { hits: { _id: string; _index: string }[] }; // biome-ignore format: one search
    seen.push(hits.map(({ _id, _index }) => `${_id} ${_index}`).sort());
  };
  await windows();
  await ids();
  await request('POST', '/held/_refresh');
  await windows();
  await ids();
  await request('POST', '/held/_search', { size: 10_001 });
  await request('POST', '/held/_search', { size: 0, query: { terms: { window_start: Array.from({ length: 1_025 }, (_, i) => iso(BEGIN + i)) } } }); // biome-ignore format: one search
  await request('POST', '/nowhere/_search', { size: 0 });
}

/** Blocks, closed indices, rollovers, and what is remembered of deleted documents. */
async function askInTrouble({ request, bulk, seen }: Script): Promise<void> {
  await request('PUT', '/bad-000001', { mappings: { properties: PROPERTIES }, aliases: { bad: { is_write_index: true }, 'bad-guard': {} }, settings: { refresh_interval: -1 } }); // biome-ignore format: an index
  const first = { _index: 'bad-guard', require_alias: true, _id: '1' };
  const described = async () => {
    for (const [name, index] of Object.entries(await request('GET', '/bad'))) {
      const { aliases, settings } = index as { aliases: Record<string, object>; settings: { index: { blocks?: object; verified_before_close?: string } } }; // biome-ignore format: an index
      seen.push([
        name,
        aliases['bad'],
        settings.index.blocks ?? {},
        settings.index.verified_before_close ?? '',
      ]);
    }
  };
  for (const block of ['write', 'read_only_allow_delete']) {
    await request('PUT', '/bad-000001/_settings', { [`index.blocks.${block}`]: true });
    await described();
    await bulk('index', first, 5);
    await bulk('delete', first, 5);
    await request('PUT', '/bad-000001/_mapping', { _meta: { mine: block } });
    await request('POST', '/bad/_count');
    await request('PUT', '/bad-000001/_settings', { [`index.blocks.${block}`]: null });
  }
  await request('PUT', '/bad-000001/_mapping', { properties: { mine: { type: 'keyword' } } });
  await request('PUT', '/bad-000001/_mapping', { properties: { view: { type: 'date' } } });
  for (const index of Object.values(await request('GET', '/bad')))
    seen.push((index as { mappings: object }).mappings);
  await bulk('index', first, 5);
  await request('POST', '/bad-000001/_close');
  await described();
  await bulk('index', first, 6);
  await request('POST', '/bad/_refresh');
  await request('POST', '/bad/_count');
  await request('POST', '/bad/_search', { size: 0 });
  await request('POST', '/bad-000001/_open?wait_for_active_shards=1');
  await request('POST', '/bad/_refresh');
  // What another hand deletes has a version too, the next one.
  await request('POST', '/bad-000001/_delete_by_query', { query: { term: { view: 'v' } } });
  await bulk('index', first, 5);
  const gotten = async () => {
    const docs = ['1', '2'].map((_id) => ({ _index: 'bad-000001', _id, _source: false }));
    const answer = (await request('POST', '/_mget', { docs })) as { docs: { _id: string; found: boolean }[] };
    seen.push(answer.docs.map(({ _id, found }) => [_id, found]));
  };
  await gotten();
  await bulk('index', first, 6);
  await gotten();
  // A deletion is remembered for some time.
  await request('PUT', '/bad-000001/_settings', { 'index.gc_deletes': '500ms' });
  await bulk('delete', first, 8);
  await bulk('index', first, 7);
  await systemClock.sleep(1_500);
  await request('POST', '/bad/_refresh');
  await bulk('index', first, 7);
  await request('POST', '/bad/_rollover');
  await described();
  await bulk('index', { _index: 'bad', require_alias: true, _id: '2' }, 5);
  // Two indices, and none to write to.
  await request('POST', '/_aliases', {
    actions: [{ add: { index: 'bad-000002', alias: 'bad', is_write_index: false } }],
  });
  await bulk('index', { _index: 'bad', require_alias: true, _id: '3' }, 5);
  await described();
}
