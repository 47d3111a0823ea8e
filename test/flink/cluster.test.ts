/** The same views on a real Flink that reads a real emulator of Kinesis: results equal those of the embedded engine. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { definitionOf, FlinkJob, type FlinkOptions, openStream } from '../../src/app/flink-job.ts';
import { type FlinkRun, runOnFlink } from '../../src/app/flink-process.ts';
import { openProcessor } from '../../src/app/processor.ts';
import type { TaxiflowError } from '../../src/errors.ts';
import { FlinkCluster } from '../../src/flink/cluster.ts';
import { GatewaySession } from '../../src/flink/gateway.ts';
import { packageJob } from '../../src/flink/package.ts';
import { queriesOf } from '../../src/flink/queries.ts';
import { folderUri } from '../../src/flink/result-files.ts';
import { documentIds } from '../../src/sinks/opensearch/document-id.ts';
import type { ResultDocument } from '../../src/state/results.ts';
import { openAdmin, openWriter, parseTarget } from '../../src/streams/connectors.ts';
import { checkViews } from '../../src/views/check.ts';
import {
  count,
  countDistinct,
  eq,
  field,
  first,
  geohash,
  gt,
  last,
  min,
  modulo,
  multiply,
  sliding,
  stddev,
  sum,
  tumbling,
  type View,
  varianceSample,
  view,
} from '../../src/views/language.ts';
import { timeZoneOfView } from '../../src/views/sql/print.ts';
import { viewsOfSql } from '../../src/views/sql/views.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { ROOT, temporaryFolder } from '../files.ts';
import { trips } from '../golden/sql-trips.ts';
import { type Flink, startFlink, withoutFlink } from '../services/flink.ts';
import { createStream } from '../services/kinesis.ts';
import { startKinesisLocal } from '../services/kinesis-local.ts';
import { startMinistack, withoutMinistack } from '../services/ministack.ts';
import { startOpenSearch, withoutOpenSearch } from '../services/opensearch.ts';
import { until } from '../until.ts';

const FILE = join(ROOT, 'test', 'golden', 'sql-views.sql');
/** Names that URIs escape. */
const PLACE = 'flink #1 ü';
const skip = withoutFlink || withoutMinistack || withoutOpenSearch;

interface Place {
  readonly dataDir: string;
  readonly stream: string;
  readonly endpoint: string;
  readonly flink: Flink;
}

function optionsOf(
  { dataDir, stream, endpoint, flink }: Place,
  views: readonly View[],
  more: Partial<FlinkOptions> = {},
): FlinkOptions {
  const app = more.app ?? 'job';
  return {
    dataDir,
    stream,
    app,
    endpointUrl: endpoint,
    region: 'us-east-1',
    views,
    eventTime: 'dropoff',
    from: 'trim-horizon',
    gateway: flink.gateway,
    connector: 'kinesis-4',
    target: { kind: 'files', uri: folderUri(join(dataDir, PLACE, app, 'results')) },
    parallelism: 1,
    onNote: (note) => {
      if (process.env['SHOW']) console.log(new Date().toISOString(), note);
    },
    ...more,
  };
}

interface Hooks {
  readonly drain?: boolean;
  readonly followReshards?: boolean;
  readonly untilEnd?: boolean;
  readonly signal?: AbortSignal;
  readonly onFigures?: Parameters<typeof runOnFlink>[0]['onFigures'];
}

function run(
  place: Place,
  views: readonly View[],
  more: Partial<FlinkOptions> = {},
  hooks: Hooks = {},
): Promise<FlinkRun> {
  const options = optionsOf(place, views, more);
  return runOnFlink({
    ...options,
    processor: {
      dataDir: place.dataDir,
      app: options.app,
      views,
      region: 'us-east-1',
      endpointUrl: place.endpoint,
      checkpointInterval: 200,
    },
    untilEnd: hooks.untilEnd ?? true,
    drain: hooks.drain ?? false,
    followReshards: hooks.followReshards ?? false,
    signal: hooks.signal ?? new AbortController().signal,
    onSubmitted: () => {},
    onTaking: async () => {},
    onFigures:
      hooks.onFigures ??
      ((figures) => {
        if (process.env['SHOW']) console.log(new Date().toISOString(), JSON.stringify(figures));
      }),
  });
}

/** What the embedded engine makes of the same records. */
async function embedded(
  dataDir: string,
  views: readonly View[],
  app: string,
  drain: boolean,
): Promise<ResultDocument[]> {
  const processor = await openProcessor({ dataDir, views, app, untilEnd: true, drain });
  const { counters } = await processor.run();
  assert.equal(counters.late, 0, 'a trip that is late may count for Flink');
  return [...processor.results()];
}

async function taken(
  dataDir: string,
  app: string,
  place: Place,
  views: readonly View[],
): Promise<ResultDocument[]> {
  const processor = await openProcessor({
    dataDir,
    views,
    app,
    resultsFrom: join(place.dataDir, PLACE, app, 'results'),
    untilEnd: true,
  });
  try {
    return [...processor.results()];
  } finally {
    await processor.close();
  }
}

const byKey = (views: readonly View[]) => {
  const keys = new Map(views.map(({ name, by }) => [name, Object.keys(by)]));
  return (row: ResultDocument) =>
    JSON.stringify(
      ['view', 'window_start', 'window_end', ...keys.get(String(row['view']))!].map((name) => row[name]),
    );
};

/** Of doubles, a billionth may differ: Flink's sums depend on the order of trips. */
function assertSame(
  theirs: readonly ResultDocument[],
  ours: readonly ResultDocument[],
  views: readonly View[],
): void {
  const keyOf = byKey(views);
  const found = new Map(theirs.map((row) => [keyOf(row), row]));
  assert.equal(found.size, theirs.length, 'each result is there once');
  const wanted = new Map(ours.map((row) => [keyOf(row), row]));
  assert.deepEqual(
    [...found.keys()].filter((key) => !wanted.has(key)).slice(0, 5),
    [],
    'results that the embedded engine has not',
  );
  assert.deepEqual(
    [...wanted.keys()].filter((key) => !found.has(key)).slice(0, 5),
    [],
    'results that Flink has not',
  );
  for (const [key, row] of wanted) {
    const other = found.get(key)!;
    assert.deepEqual(Object.keys(other), Object.keys(row), key);
    for (const [name, a] of Object.entries(row)) {
      const b = other[name];
      const isSame =
        typeof a === 'number' && typeof b === 'number'
          ? Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a))
          : a === b;
      assert.ok(isSame, `${key}: ${name} is ${a}, in Flink ${b}`);
    }
  }
}

async function filled(
  t: TestContext,
  endpoint: string,
  stream: string,
  shards: number,
  onPart?: Parameters<typeof trips>[1],
  days = 6,
) {
  await createStream({ endpoint }, stream, shards);
  return written(t, endpoint, stream, onPart, days);
}

/** Writes trips into a stream, and the same into an embedded one. */
async function written(
  t: TestContext,
  endpoint: string,
  stream: string,
  onPart?: Parameters<typeof trips>[1],
  days = 6,
) {
  const writer = await openWriter(parseTarget(stream), {
    dataDir: '',
    endpointUrl: endpoint,
    region: 'us-east-1',
    watermarks: true,
  });
  try {
    return await trips(t, onPart, [writer], false, days);
  } finally {
    await writer.close();
  }
}

/** What SQL of our own does not say, or not so. */
const MORE: readonly View[] = checkViews([
  view({
    name: 'reserved',
    by: { local: field('vendor_id'), double: modulo(field('pickup_zone'), 4) },
    window: tumbling('1h'),
    aggregates: {
      stream: count(),
      int: sum(modulo(field('total_amount'), 7)),
      row: min(field('dropoff_datetime')),
    },
  }),
  view({
    name: 'cells_in_aggregates',
    by: {},
    window: sliding('2h', '1h'),
    aggregates: {
      cells: countDistinct(geohash('dropoff', 1)),
      there: count({ filter: eq(geohash('pickup', 5), 'dr5rs') }),
      picked: countDistinct(geohash('pickup', 4)),
    },
  }),
  view({
    name: 'spreads',
    by: { key_1: field('pickup_zone'), trip: field('vendor_id') },
    window: tumbling('6h'),
    aggregates: {
      zones: stddev(field('dropoff_zone')),
      sample: varianceSample(field('passenger_count')),
      none: stddev(multiply(field('trip_id'), 0)),
      first_zone: first(field('dropoff_zone')),
      when: last(field('pickup_datetime'), { filter: gt(field('trip_distance'), 3) }),
    },
  }),
]);

/** The views that Flink takes, by time zone. */
function viewsForFlink(): { utc: View[]; local: View[]; refused: string[] } {
  const refused: string[] = [];
  const views = viewsOfSql(readFileSync(FILE, 'utf8'), FILE).filter((view) => {
    try {
      queriesOf([view], 'dropoff');
      return true;
    } catch (error) {
      assert.equal((error as TaxiflowError).code, 'no-flink-sql');
      refused.push(view.name);
      return false;
    }
  });
  return {
    utc: [...views.filter((view) => timeZoneOfView(view) === undefined), ...MORE, ...taxiViews()],
    local: views.filter((view) => timeZoneOfView(view) !== undefined),
    refused,
  };
}

test('views on a real Flink', { skip, timeout: 600_000 }, async (t) => {
  const emulator = await startMinistack(t);
  Object.assign(process.env, emulator.env);
  const { endpoint } = emulator;
  const flink = await startFlink(t, { env: emulator.env });
  const { dataDir } = await filled(t, endpoint, 'golden', 4);
  const place = { dataDir, stream: 'golden', endpoint, flink };
  const { utc, local, refused } = viewsForFlink();
  const expected = {
    utc: await embedded(dataDir, utc, 'utc', true),
    local: await embedded(dataDir, local, 'local', true),
  };

  await t.test('results of all views equal the embedded ones', async () => {
    assert.deepEqual(refused, ['hopping_unevenly', 'percentiles']);
    const { figures, tally, taken: home } = await run(place, utc, { app: 'flink-utc' }, { drain: true });
    assert.equal(figures?.late, 0);
    assert.equal(tally?.records, figures?.records);
    assert.equal(home?.counters.duplicate, 0);
    assert.equal(home?.counters.dead, 0);
    assertSame(await taken(dataDir, 'flink-utc', place, utc), expected.utc, utc);
  });

  await t.test('and with two subtasks a shard, by the time of New York', async () => {
    await run(place, local, { app: 'flink-local', parallelism: 2 }, { drain: true });
    assertSame(await taken(dataDir, 'flink-local', place, local), expected.local, local);
  });

  const some = utc.filter(({ name }) => ['all_trips', 'cells', 'hopping', 'zone_sessions'].includes(name));

  await t.test('a task manager that is killed while it reads changes nothing', async (t) => {
    const live = { ...place, stream: 'live' };
    let parts = 0;
    await createStream(emulator, 'live', 4);
    await FlinkJob.submit(optionsOf(live, some, { app: 'killed', checkpointInterval: 300 }));
    const here = await written(t, endpoint, 'live', async () => {
      if (++parts === 8 || parts === 14) await flink.restartTasks();
    });
    const { figures, taken: home } = await run(live, some, { app: 'killed', checkpointInterval: 300 });
    assert.ok(parts > 14 && (figures?.restarts ?? 0) > 0, `it was restarted ${figures?.restarts} times`);
    assert.equal(home?.counters.duplicate, 0);
    assertSame(
      await taken(dataDir, 'killed', live, some),
      await embedded(here.dataDir, some, 'here', false),
      some,
    );
  });

  await t.test('one that left follows again, and takes no result twice', async () => {
    const leave = new AbortController();
    const left = await run(
      place,
      some,
      { app: 'left' },
      {
        untilEnd: false,
        signal: leave.signal,
        onFigures: ({ results }) => {
          if (results > 0) leave.abort();
        },
      },
    );
    assert.equal(left.left, true);
    assert.equal(await left.job.cluster.stateOf(left.job.id), 'RUNNING');
    const again = await run(place, some, { app: 'left' });
    assert.equal(again.job.id, left.job.id);
    assertSame(
      await taken(dataDir, 'left', place, some),
      await embedded(dataDir, some, 'left-here', false),
      some,
    );
    await assert.rejects(run(place, [taxiViews()[0]!], { app: 'left' }), { code: 'other-state' });
  });

  await t.test('the package for Managed Flink runs as a jar', async () => {
    const reader = await openStream(optionsOf(place, some));
    const definition = await definitionOf(optionsOf(place, some, { app: 'packed' }), reader);
    await reader.close();
    const { path } = packageJob(definition, join(dataDir, 'job.jar'), undefined);
    const form = new FormData();
    form.append('jarfile', new Blob([readFileSync(path)]), 'job.jar');
    const uploaded = (await (
      await fetch(`${flink.manager}/jars/upload`, { method: 'POST', body: form })
    ).json()) as { filename: string };
    const jar = uploaded.filename.replace(/^.*\//, '');
    const run = await fetch(`${flink.manager}/jars/${jar}/run`, {
      method: 'POST',
      body: JSON.stringify({ parallelism: 4 }),
    });
    assert.equal(run.status, 200, await run.clone().text());
    const { jobid } = (await run.json()) as { jobid: string };
    const cluster = new FlinkCluster(flink.manager);
    const expected = await embedded(dataDir, some, 'packed-here', true);
    await until('all is read', async () => {
      const { behind, records } = await cluster.figures(jobid);
      return behind.length === 4 && behind.every(({ ms }) => ms === 0) && records > 10_000;
    });
    await cluster.stop(jobid, true, undefined);
    const home = await openProcessor({
      dataDir,
      views: some,
      app: 'packed',
      resultsFrom: join(dataDir, PLACE, 'packed', 'results'),
      untilEnd: true,
    });
    await home.run();
    assertSame([...home.results()], expected, some);
  });

  await t.test('Flink writes the same documents to OpenSearch, under the same ids', async (t) => {
    const search = await startOpenSearch(t);
    const target = { kind: 'opensearch' as const, url: search.endpoint, prefix: 'flink-' };
    const { taken: home, savepoint } = await run(place, some, { app: 'searched', target }, { drain: true });
    assert.equal(home, undefined);
    assert.ok(savepoint);
    const here = await openProcessor({
      dataDir,
      views: some,
      app: 'searched-here',
      untilEnd: true,
      drain: true,
    });
    await here.run();
    for (const view of some) {
      await search.request('POST', `/flink-${view.name}/_refresh`);
      const { hits } = await search.request<{ hits: { hits: { _id: string; _source: ResultDocument }[] } }>(
        'POST',
        `/flink-${view.name}/_search`,
        { size: 10_000 },
      );
      const idOf = documentIds(view);
      const ours = [...here.results({ view: view.name })];
      const ids = new Map(ours.map((row) => [idOf(JSON.stringify(row)), row]));
      assert.deepEqual(hits.hits.map(({ _id }) => _id).sort(), [...ids.keys()].sort());
      assertSame(
        hits.hits.map(({ _source }) => _source),
        ours,
        some,
      );
    }
  });

  await t.test('what goes wrong is told', async () => {
    const options = optionsOf(place, taxiViews(), { app: 'wrong' });
    await assert.rejects(FlinkJob.submit({ ...options, gateway: 'http://127.0.0.1:9' }), {
      code: 'flink-unreachable',
    });
    await assert.rejects(FlinkJob.submit({ ...options, gateway: flink.manager }), {
      code: 'flink-bad-answer',
    });
    await assert.rejects(FlinkJob.submit({ ...options, stream: 'local:trips' }), {
      code: 'contradicting-options',
    });
    await assert.rejects(FlinkJob.submit({ ...options, parallelism: 64 }), /256: one for each/);
    await assert.rejects(
      FlinkJob.submit({
        ...options,
        target: { kind: 'files', uri: folderUri(join(dataDir, PLACE, 'left', 'results')) },
      }),
      { code: 'output-in-use' },
    );
    const session = await GatewaySession.open(flink.gateway);
    await session.close();
    await assert.rejects(session.run('SHOW TABLES'), { code: 'flink-session-lost' });
    const other = await GatewaySession.open(flink.gateway);
    await assert
      .rejects(other.run("CREATE TABLE t (a INT) WITH ('connector' = 'nowhere'); "), {
        code: 'flink-refused',
      })
      .catch(() => {});
    await other.run("CREATE TEMPORARY TABLE t (a INT) WITH ('connector' = 'nowhere')");
    await assert.rejects(other.run('EXPLAIN SELECT * FROM t'), (error: TaxiflowError) => {
      assert.equal(error.code, 'flink-refused');
      assert.match(error.message, /nowhere/);
      assert.match(error.hint ?? '', /the jar of the connector "nowhere"/);
      return true;
    });
    await other.close();
    await flink.stopGateway();
    await assert.rejects(FlinkJob.submit(options), { code: 'flink-unreachable' });
  });
});

test('a job goes on with other shards after a reshard', {
  skip: withoutFlink,
  timeout: 600_000,
}, async (t) => {
  const emulator = await startKinesisLocal(t);
  Object.assign(process.env, emulator.env);
  const flink = await startFlink(t, { env: emulator.env });
  const views = viewsForFlink().utc.filter(({ name }) =>
    ['all_trips', 'cells', 'by_pickup_time'].includes(name),
  );
  const place = { dataDir: temporaryFolder(t), stream: 'resharded', endpoint: emulator.endpoint, flink };
  const admin = await openAdmin(parseTarget('resharded'), {
    dataDir: '',
    endpointUrl: emulator.endpoint,
    region: 'us-east-1',
  });
  t.after(() => admin.close());
  let parts = 0;
  const { dataDir } = await filled(
    t,
    emulator.endpoint,
    'resharded',
    8,
    async () => {
      if (++parts !== 3) return;
      const { figures, savepoint } = await run(place, views);
      assert.equal(figures?.behind.length, 16, 'two tables of eight shards each');
      assert.ok(savepoint);
      await admin.reshard(4);
    },
    2,
  );
  assert.ok(parts > 3, 'it was resharded');
  const { figures } = await run(place, views);
  assert.equal(figures?.late, 0);
  assert.equal(readdirSync(join(place.dataDir, 'apps')).length > 0, true);
  assertSame(
    await taken(place.dataDir, 'job', place, views),
    await embedded(dataDir, views, 'here', false),
    views,
  );
});
