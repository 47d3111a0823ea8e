/** Views as SQL for a cluster, and the way of its results home, without a cluster. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import { rootCause } from '../../src/flink/http.ts';
import { queriesOf } from '../../src/flink/queries.ts';
import { DocumentReader } from '../../src/flink/result-document.ts';
import { folderUri } from '../../src/flink/result-files.ts';
import { scriptOf } from '../../src/flink/script.ts';
import { refuseAggregated, subtasksFor } from '../../src/flink/shards.ts';
import { TakenFiles } from '../../src/flink/taken-files.ts';
import { openReader, openWriter, parseTarget } from '../../src/streams/connectors.ts';
import type { View } from '../../src/views/language.ts';
import { viewsOfSql } from '../../src/views/sql/views.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { temporaryFolder } from '../files.ts';
import { createStream, startKinesis } from '../services/kinesis.ts';
import { taxiflow } from '../taxiflow.ts';

const view = (window: string, select = 'COUNT(*) AS n', key = '') =>
  viewsOfSql(
    `CREATE VIEW v AS SELECT window_start, window_end, ${key === '' ? '' : `${key}, `}${select} FROM TABLE(${window}) GROUP BY window_start, window_end${key === '' ? '' : `, ${key}`}`,
    'views.sql',
  )[0]!;
const TEN_MINUTES = "TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '10' MINUTE)";

test('what Flink can not do is refused with what is nearest', () => {
  const refused = (views: readonly View[]) => {
    try {
      queriesOf(views, 'dropoff');
      return undefined;
    } catch (error) {
      const { code, message, hint } = error as { code: string; message: string; hint: string };
      assert.equal(code, 'no-flink-sql', message);
      assert.ok(hint.length > 10);
      return message;
    }
  };
  assert.match(refused([view(TEN_MINUTES, 'PERCENTILE(total_amount, 0.5) AS m')])!, /no percentile/);
  assert.match(refused([view(TEN_MINUTES, 'FIRST_VALUE(total_amount) AS f')])!, /by arrival/);
  assert.equal(
    refused([view(TEN_MINUTES, 'FIRST_VALUE(trip_id) AS f, LAST_VALUE(pickup_datetime) AS l')]),
    undefined,
  );
  assert.match(
    refused([
      view("HOP(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '25' MINUTE, INTERVAL '1' HOUR)"),
    ])!,
    /whole slides/,
  );
  assert.match(refused([{ ...view(TEN_MINUTES), time: 'arrival' }])!, /by arrival/);
  const local: View = {
    ...view(TEN_MINUTES),
    name: 'local',
    window: { kind: 'tumbling', size_ms: 86_400_000, time_zone: 'America/New_York' },
  };
  assert.match(refused([view(TEN_MINUTES), local])!, /one time zone/);
  assert.match(
    refused([{ ...local, window: { ...local.window, offset_ms: 86_400_000 } as View['window'] }])!,
    /offset/,
  );
  assert.equal(refused([local]), undefined);
});

test('views of one source share one look for copies, and one table', () => {
  const hour = {
    ...view("TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '15' MINUTE)"),
    name: 'w',
  };
  const session = {
    ...view("SESSION(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '5' MINUTE)"),
    name: 's',
  };
  const pickup = { ...view(TEN_MINUTES), name: 'p', time: 'pickup' as const };
  const { sources, views } = queriesOf([view(TEN_MINUTES), hour, session, pickup], 'dropoff');
  assert.deepEqual(
    sources.map(({ time }) => time),
    ['dropoff', 'pickup'],
  );
  const looks = views.filter((sql) => sql.includes('ROW_NUMBER'));
  assert.deepEqual(
    looks.map((sql) => /INTERVAL '([^']+)' (\w+)\)\)\)/.exec(sql)?.slice(1).join(' ')),
    ['5 MINUTE', '0.001 SECOND', '10 MINUTE'],
  );
});

test('the tables of both connectors name the stream, and no credentials', () => {
  const definition = {
    app: 'a',
    views: taxiViews(),
    eventTime: 'dropoff' as const,
    target: { kind: 'files' as const, uri: 's3://bucket/results' },
    source: {
      arn: 'arn:aws:kinesis:eu-west-1:123456789012:stream/trips',
      endpoint: undefined,
      from: Date.UTC(2016, 0, 1),
      connector: 'kinesis-4' as const,
      maxDisorder: undefined,
    },
  };
  const [old] = scriptOf(definition).tables;
  for (const part of [
    "'stream' = 'trips'",
    "'aws.region' = 'eu-west-1'",
    "'AT_TIMESTAMP'",
    "'2016-01-01T00:00:00.000Z'",
    "'uniform'",
  ])
    assert.ok(old!.includes(part), part);
  const [now] = scriptOf({ ...definition, source: { ...definition.source, connector: 'kinesis-5' } }).tables;
  for (const part of [
    "'stream.arn' = 'arn:aws:kinesis:eu-west-1:123456789012:stream/trips'",
    "'source.init.position' = 'AT_TIMESTAMP'",
  ])
    assert.ok(now!.includes(part), part);
  assert.doesNotMatch(`${old}${now}`, /secret|accesskey/i);
});

test('shards of uneven size are refused, as two would share a subtask', () => {
  const whole = 1n << 128n;
  const shard = (id: string, from: bigint, to: bigint) => ({
    id,
    parents: [],
    firstHashKey: from,
    lastHashKey: to - 1n,
    open: true,
  });
  const even = [0n, 1n, 2n, 3n].map((i) => shard(`s${i}`, (whole * i) / 4n, (whole * (i + 1n)) / 4n));
  assert.equal(subtasksFor(even, 'trips'), 4);
  const uneven = [
    shard('a', 0n, whole / 8n),
    shard('b', whole / 8n, whole / 4n),
    shard('c', whole / 4n, whole),
  ];
  assert.throws(() => subtasksFor(uneven, 'trips'), { code: 'flink-refused' });
});

test('aggregated records are refused for the connector that does not unpack them', async (t) => {
  const emulator = await startKinesis(t);
  const place = { dataDir: '', endpointUrl: emulator.endpoint, region: 'us-east-1' };
  for (const aggregate of [false, true]) {
    const stream = `aggregate-${aggregate}`;
    await createStream(emulator, stream, 2);
    const writer = await openWriter(parseTarget(stream), { ...place, aggregate, watermarks: true });
    const record = Buffer.from(
      '{"type":"trip","trip_id":1,"replay":"r","dropoff_datetime":"2016-01-01T00:00:00.000Z"}\n',
    );
    const data = Buffer.concat([record, record, record]);
    const ends = Uint32Array.from([1, 2, 3], (n) => n * record.length);
    await writer.put({ count: 3, data, ends, hashes: new Uint32Array(3) });
    await writer.close();
    const reader = await openReader(parseTarget(stream), place);
    const look = reader.shards().then((shards) => refuseAggregated(reader, shards, { at: 'trim-horizon' }));
    await (aggregate ? assert.rejects(look, /does not unpack/) : look);
    await reader.close();
  }
});

test('ranges stand for the files of a writer, in any order', () => {
  const taken = new TakenFiles();
  for (const n of [3, 0, 1, 7, 2]) taken.add(`v/part-a-0-${n}`);
  taken.add('v/one.json');
  const again = new TakenFiles(taken.entries());
  assert.deepEqual(again.entries(), [
    ['v/part-a-0-*', '0-3,7'],
    ['v/one.json', '0'],
  ]);
  for (const n of [0, 1, 2, 3, 7]) assert.ok(again.has(`v/part-a-0-${n}`));
  for (const name of ['v/part-a-0-4', 'v/part-a-1-0', 'v/two.json'])
    assert.equal(again.has(name), false, name);
});

test('a result is read as the embedded engine writes it', () => {
  const [pickups] = taxiViews();
  const reader = new DocumentReader(pickups!);
  const row = {
    view: 'pickup_count',
    window_start: '2016-01-01T00:00:00Z',
    window_end: '2016-01-01T00:10:00Z',
    location: 'dr5ru7',
    pickup_count: 3,
  };
  assert.equal(
    reader.read(row).text,
    '{"view":"pickup_count","window_start":"2016-01-01T00:00:00.000Z","window_end":"2016-01-01T00:10:00.000Z","timestamp":"2016-01-01T00:09:59.999Z","location":"dr5ru7","pickup_count":3}',
  );
  for (const [change, problem] of [
    [{ window_end: '2016-01-01T00:11:00Z' }, /no window/],
    [{ window_start: '2016-01-01T00:01:00Z', window_end: '2016-01-01T00:11:00Z' }, /no window/],
    [{ location: null }, /location is missing/],
    [{ location: 7 }, /not a text/],
    [{ pickup_count: 1.5 }, /whole number/],
    [{ pickup_count: undefined }, /no pickup_count/],
    [{ window_start: 'soon' }, /not a time/],
  ] as const)
    assert.throws(() => reader.read({ ...row, ...change }), problem);
});

test('results come home once: copies are counted, contradictions and nonsense are dead letters', async (t) => {
  const folder = temporaryFolder(t);
  const results = join(folder, 'results', 'pickup_count');
  mkdirSync(results, { recursive: true });
  const line = (location: string, n: number) =>
    `${JSON.stringify({ view: 'pickup_count', window_start: '2016-01-01T00:00:00Z', window_end: '2016-01-01T00:10:00Z', timestamp: '', location, pickup_count: n })}\n`;
  writeFileSync(join(results, 'part-a-0-0'), line('dr5ru7', 3) + line('dr5ru8', 4));
  writeFileSync(join(results, '.part-a-0-1.inprogress.x'), line('dr5ru9', 9));
  const options = { dataDir: folder, app: 'home', resultsFrom: join(folder, 'results'), untilEnd: true };
  const first = await (await openProcessor(options)).run();
  assert.equal(first.counters.results, 2);
  writeFileSync(
    join(results, 'part-b-0-0'),
    `${line('dr5ru7', 3)}${line('dr5ru8', 5)}{"view":"other"}\nnot json\n${line('dr5ru6', 2)}`,
  );
  const processor = await openProcessor(options);
  const { counters, totals } = await processor.run();
  assert.deepEqual(
    {
      read: counters.read,
      processed: counters.processed,
      duplicate: counters.duplicate,
      dead: counters.dead,
    },
    { read: 5, processed: 1, duplicate: 1, dead: 3 },
  );
  assert.equal(totals.results, 3);
  assert.deepEqual(
    [...processor.results()].map((row) => [row['location'], row['pickup_count']]),
    [
      ['dr5ru7', 3],
      ['dr5ru8', 4],
      ['dr5ru6', 2],
    ],
  );
  const last = await (await openProcessor(options)).run();
  assert.equal(last.counters.read, 0, 'no file is read twice');
});

test('a line without an end is a dead letter, whatever its length', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'results'));
  writeFileSync(join(folder, 'results', 'part-a-0-0'), `{"view":"${'x'.repeat(5_000_000)}`);
  const { counters } = await (
    await openProcessor({
      dataDir: folder,
      app: 'home',
      resultsFrom: join(folder, 'results'),
      untilEnd: true,
    })
  ).run();
  assert.deepEqual([counters.read, counters.dead], [1, 1]);
});

test('places of results', () => {
  assert.equal(folderUri('/tmp/a/'), 'file:///tmp/a');
  assert.equal(folderUri('file:/tmp/a'), 'file:///tmp/a');
  assert.equal(folderUri('s3://bucket/a/'), 's3://bucket/a');
  assert.throws(() => folderUri('http://host/a'), { code: 'usage' });
});

test('of a Java stack trace, the innermost cause is told', () => {
  const trace = JSON.stringify({
    errors: [
      'Internal server error.',
      '<Exception on server side:\norg.apache.flink.A: outer\n\tat x.Y\nCaused by: org.apache.flink.table.api.ValidationException: Could not find any factory\n\tat z\n',
    ],
  });
  assert.equal(rootCause(trace), 'ValidationException: Could not find any factory');
  assert.equal(rootCause('plain'), 'plain');
});

test('what contradicts itself on the command line is a mistake in its use', async () => {
  for (const [args, problem] of [
    [['--engine', 'flink'], /needs --flink-gateway/],
    [['--flink-gateway', 'http://localhost:1'], /needs --engine flink/],
    [
      ['--engine', 'flink', '--flink-gateway', 'http://localhost:1', '--allowed-lateness', '1m'],
      /never corrected/,
    ],
    [
      ['--engine', 'flink', '--flink-gateway', 'http://localhost:1', '--detach', '--output', 'x'],
      /takes no results/,
    ],
    [
      ['--engine', 'flink', '--flink-gateway', 'http://elsewhere:1', '--stream', 'trips'],
      /can't write into the data folder/,
    ],
    [
      ['--engine', 'flink', '--flink-gateway', 'http://user:secret@localhost:1', '--stream', 'trips'],
      /password in it/,
    ],
    [
      ['--engine', 'flink', '--flink-gateway', 'user:secret@flink:1', '--stream', 'trips'],
      /not the URL of a server/,
    ],
    [['--results-from', '/tmp/x', '--drain', '--until-end'], /--results-from takes results/],
  ] as const) {
    const { code, stderr } = await taxiflow(['process', ...args]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, problem);
    assert.doesNotMatch(stderr, /secret/);
  }
  const local = await taxiflow(['process', '--engine', 'flink', '--flink-gateway', 'http://localhost:1']);
  assert.equal(local.code, 2);
  assert.match(local.stderr, /reads streams of Amazon Kinesis/);
});

test('views that Flink refuses leave no state behind, which would be one of these views', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'views.sql');
  writeFileSync(
    file,
    `CREATE VIEW m AS SELECT window_start, window_end, PERCENTILE(total_amount, 0.5) AS m FROM TABLE(${TEN_MINUTES}) GROUP BY window_start, window_end;`,
  );
  const place = [
    '--data-dir',
    join(folder, 'data'),
    '--engine',
    'flink',
    '--flink-gateway',
    'http://localhost:1',
  ];
  const { code, stderr } = await taxiflow(['process', '--stream', 'trips', '--views', file, ...place]);
  assert.equal(code, 2);
  assert.match(stderr, /no percentile/);
  assert.equal(existsSync(join(folder, 'data', 'apps')), false);
});
