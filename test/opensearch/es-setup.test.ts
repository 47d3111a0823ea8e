/** `taxiflow es-setup` with a real OpenSearch, and against what is none. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect } from '../../src/opensearch/connection.ts';
import { reach } from '../../src/opensearch/setup.ts';
import { firstIndex, mappingOf } from '../../src/opensearch/templates.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { lines, run } from '../cli/model.ts';
import { TestClock } from '../clock.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { startDashboards } from '../services/dashboards.ts';
import { type Asked, emptyOpenSearch, serve } from '../services/http.ts';
import {
  type OpenSearch,
  productOf,
  startOpenSearch,
  withoutOpenSearch,
  withoutVersion,
} from '../services/opensearch.ts';
import { freePort } from '../services/service.ts';
import type { Ran } from '../taxiflow.ts';

/** es-setup for one prefix of a server, so that tests share it without meeting. */
function setupOf({ endpoint }: OpenSearch, prefix: string) {
  return (args: readonly string[] = [], code = 0): Promise<Ran> =>
    run(['es-setup', '--endpoint', endpoint, '--index-prefix', prefix, ...args], { code });
}

/** Views with every kind of key and aggregate, as a user writes them. */
const OWN_VIEWS = `
export const views = ({ view, field, geohash, choose, gt, minutesBetween, count, countDistinct, sum, avg, min, max, tumbling, sliding }) => [
  view({
    name: 'everything',
    by: {
      start: geohash('pickup', 6),
      end: geohash('dropoff', 3),
      vendor: field('vendor_id'),
      riders: field('passenger_count'),
      size: choose([[gt(field('trip_distance'), 5), 'long']], 'short'),
      share: choose([[gt(field('trip_distance'), 5), 1.5]], 1),
    },
    window: tumbling('10m'),
    aggregates: {
      trips: count(),
      vendors: countDistinct(field('vendor_id')),
      miles: sum(field('trip_distance')),
      minutes: sum(minutesBetween(field('pickup_datetime'), field('dropoff_datetime'))),
      mean: avg(minutesBetween(field('pickup_datetime'), field('dropoff_datetime'))),
      first: min(field('pickup_datetime')),
      dearest: max(field('total_amount')),
      zone: max(field('pickup_zone')),
    },
  }),
  view({ name: 'by_time', by: { started: field('pickup_datetime') }, window: sliding('1h', '30m'), aggregates: { n: count() } }),
];`;

interface Index {
  readonly aliases: Record<string, { is_write_index?: boolean }>;
  readonly mappings: unknown;
}

test('with a real OpenSearch', { skip: withoutOpenSearch }, async (t) => {
  const search = await startOpenSearch(t);
  const put = (path: string, body?: unknown) => search.request('PUT', path, body);
  const views = taxiViews();

  await t.test(
    'makes templates and aliases; a second run has nothing to do; --check finds no difference',
    async () => {
      const setup = setupOf(search, 'a-');
      const first = await setup(['--json']);
      assert.deepEqual(first.json<{ done: string[] }>().done, [
        'made index template taxiflow-a-pickup_count',
        'made index a-pickup_count-000001 with the alias a-pickup_count',
        'made index template taxiflow-a-trip_duration',
        'made index a-trip_duration-000001 with the alias a-trip_duration',
      ]);
      for (const view of views) {
        const name = `a-${view.name}`;
        const indices = await search.request<Record<string, Index>>('GET', `/${name}`);
        assert.deepEqual(Object.keys(indices), [`${name}-000001`]);
        const { aliases, mappings } = indices[`${name}-000001`]!;
        assert.deepEqual(aliases, { [name]: { is_write_index: true } });
        assert.deepEqual(mappings, mappingOf(view));
      }
      const second = await setup(['--json']);
      assert.deepEqual(second.json<{ done: string[] }>().done, []);
      assert.match(second.stderr, /nothing to do/);
      const check = await setup(['--check', '--json']);
      assert.deepEqual(check.json<{ differences: string[] }>().differences, []);
      const plain = await setup(['--check']);
      assert.equal(plain.stdout, '');
    },
  );

  await t.test(
    'an index that comes later has the mapping: by rollover, or by writing without es-setup',
    async () => {
      await setupOf(search, 'b-')();
      await search.request('POST', '/b-pickup_count/_rollover');
      await search.request('DELETE', '/b-trip_duration-000001');
      await put('/b-trip_duration/_doc/1', { view: 'trip_duration', trip_count: 2 });
      for (const [index, view] of [
        ['b-pickup_count-000002', views[0]!],
        ['b-trip_duration', views[1]!],
      ] as const) {
        const found = await search.request<Record<string, Index>>('GET', `/${index}`);
        assert.deepEqual(found[index]?.mappings, mappingOf(view));
      }
      const { stderr } = await setupOf(search, 'b-')(['--check']);
      assert.match(stderr, /note: b-trip_duration is an index of its own/);
    },
  );

  await t.test(
    'tampered with: --check names each difference with exit code 3, es-setup mends what can be',
    async () => {
      const setup = setupOf(search, 'c-');
      await setup();
      const template = await search.request<{
        index_templates: { index_template: Record<string, unknown> }[];
      }>('GET', '/_index_template/taxiflow-c-pickup_count');
      const { index_template: body } = template.index_templates[0]!;
      await put('/_index_template/taxiflow-c-pickup_count', {
        ...body,
        priority: 1,
        template: {
          settings: { number_of_replicas: 0 },
          mappings: { dynamic: 'strict', properties: { location: { type: 'keyword' } } },
        },
      });
      await search.request('DELETE', '/_index_template/taxiflow-c-trip_duration');
      await put('/c-trip_duration-000001/_mapping', { dynamic: true });
      await search.request('POST', '/_aliases', {
        actions: [{ remove: { index: 'c-pickup_count-000001', alias: 'c-pickup_count' } }],
      });
      const { stdout } = await setup(['--check'], 3);
      const differences = stdout.trimEnd().split('\n');
      assert.equal(differences.length, 4, stdout);
      assert.match(
        differences[0]!,
        /^index template taxiflow-c-pickup_count: priority is 1, not 214, .*location is a keyword, not a geo_point/,
      );
      assert.equal(differences[1], 'alias c-pickup_count: it is missing');
      assert.equal(differences[2], 'index template taxiflow-c-trip_duration: it is missing');
      assert.equal(differences[3], 'index c-trip_duration-000001: dynamic is true, not strict');

      await setup();
      await setup(['--check']);
      const mended = await search.request<{
        index_templates: { index_template: { template: { settings: unknown } } }[];
      }>('GET', '/_index_template/taxiflow-c-pickup_count');
      assert.deepEqual(
        mended.index_templates[0]!.index_template.template.settings,
        { index: { number_of_replicas: '0' } },
        "settings are the user's own",
      );
    },
  );

  await t.test(
    'a mapping that contradicts the views is named, and nothing is sent; a missing field is added',
    async () => {
      const setup = setupOf(search, 'd-');
      const { location: _, pickup_count: __, ...rest } = mappingOf(views[0]!).properties;
      await put('/d-pickup_count', {
        mappings: { properties: { ...rest, location: { type: 'keyword' }, more: { type: 'long' } } },
      });
      const check = await setup(['--check', '--json'], 3);
      const { differences } = check.json<{ differences: string[] }>();
      assert.ok(
        differences.includes('index d-pickup_count: location is a keyword, not a geo_point'),
        differences.join('\n'),
      );
      assert.ok(
        differences.includes('index d-pickup_count: more is there, but not in the view'),
        differences.join('\n'),
      );
      const refused = await setup([], 1);
      assert.match(
        refused.stderr,
        /\nError: an index contradicts the views: index d-pickup_count: location is a keyword, not a geo_point\nTry: .*--delete --with-data/,
      );
      await assert.rejects(
        search.request('GET', '/_index_template/taxiflow-d-pickup_count'),
        /404/,
        'nothing was made',
      );

      await search.request('DELETE', '/d-pickup_count');
      await put('/d-pickup_count', {
        mappings: {
          dynamic: 'strict',
          properties: { ...rest, location: { type: 'geo_point' }, more: { type: 'long' } },
        },
      });
      const mended = await setup();
      assert.match(mended.stderr, /mended the mapping of index d-pickup_count/);
      assert.match(mended.stderr, /left as it is: index d-pickup_count: more is there/);
      const left = await setup(['--check'], 3);
      assert.equal(left.stdout, 'index d-pickup_count: more is there, but not in the view\n');
    },
  );

  await t.test("a data stream of somebody else's is refused, and nothing is sent", async () => {
    const setup = setupOf(search, 'l-');
    await put('/_index_template/streams', {
      index_patterns: ['l-pickup_count'],
      priority: 900,
      data_stream: {},
      template: { mappings: mappingOf(views[0]!) },
    });
    await put('/_data_stream/l-pickup_count');
    const { differences } = (await setup(['--check', '--json'], 3)).json<{ differences: string[] }>();
    const told = 'l-pickup_count is a data stream, which takes no result twice';
    assert.ok(differences.includes(told), differences.join('\n'));
    const { stderr } = await setup([], 1);
    assert.match(stderr, /\nError: [^\n]*l-pickup_count is a data stream[^\n]*\nTry: [^\n]*--index-prefix/);
    await assert.rejects(search.request('GET', '/l-trip_duration'), /404/, 'nothing was made');
    const kept = await setup(['--delete', '--with-data']);
    assert.match(kept.stderr, /kept: l-pickup_count is a data stream, and not from here/);
  });

  await t.test('several indices and none to write to: the newest', async () => {
    const setup = setupOf(search, 'e-');
    await setup();
    await search.request('POST', '/e-pickup_count/_rollover');
    const add = (index: string) => ({ add: { index, alias: 'e-pickup_count', is_write_index: false } });
    await search.request('POST', '/_aliases', {
      actions: ['e-pickup_count-000001', 'e-pickup_count-000002'].map(add),
    });
    const { stdout } = await setup(['--check'], 3);
    assert.equal(stdout, 'alias e-pickup_count: it has several indices and none to write to\n');
    await setup();
    await put('/e-pickup_count/_doc/1', { pickup_count: 3 });
    const { _index } = await search.request<{ _index: string }>('GET', '/e-pickup_count-000002/_doc/1');
    assert.equal(_index, 'e-pickup_count-000002');
    await setup(['--check']);

    const only = { index: 'e-trip_duration-000001', alias: 'e-trip_duration', is_write_index: false };
    await search.request('POST', '/_aliases', { actions: [{ add: only }] });
    const check = await setup(['--check'], 3);
    assert.equal(check.stdout, 'alias e-trip_duration: it has no index to write to\n');
    await setup();
    await put('/e-trip_duration/_doc/1', { trip_count: 3 });
    await setup(['--check']);
  });

  await t.test('--dry-run prints requests that do what es-setup does, and sends none', async () => {
    const setup = setupOf(search, 'f-');
    const { stdout } = await setup(['--dry-run']);
    await assert.rejects(search.request('GET', '/_index_template/taxiflow-f-pickup_count'), /404/);
    const requests = lines<{ to: string; method: string; path: string; body: unknown }>(stdout);
    assert.ok(
      requests.every(({ to }) => to === 'opensearch'),
      'no Dashboards were named',
    );
    for (const { method, path, body } of requests) await search.request(method, path, body);
    await setup(['--check']);
  });

  await t.test('--delete keeps documents unless --with-data says so, and what is not from here', async () => {
    const setup = setupOf(search, 'g-');
    await setup();
    await put('/g-pickup_count/_doc/1', { pickup_count: 3 });
    await put('/somebodys', {});
    await search.request('POST', '/_aliases', {
      actions: [{ add: { index: 'somebodys', alias: 'g-trip_duration' } }],
    });
    await put('/_index_template/somebodys', { index_patterns: ['somebodys-*'] });
    const dry = await setup(['--delete', '--dry-run']);
    assert.equal(lines(dry.stdout).length, 3);

    const kept = await setup(['--delete']);
    assert.match(kept.stderr, /kept: index g-pickup_count-000001 holds 1 document; --with-data/);
    assert.match(kept.stderr, /kept: index somebodys has the alias g-trip_duration, but is not from here/);
    assert.match(kept.stderr, /deleted index g-trip_duration-000001/);
    assert.equal((await search.request<{ _id: string }>('GET', '/g-pickup_count/_doc/1'))._id, '1');
    await assert.rejects(search.request('GET', '/_index_template/taxiflow-g-pickup_count'), /404/);

    await search.request('POST', '/g-pickup_count-000001/_close');
    const closed = await setup(['--delete']);
    assert.match(closed.stderr, /kept: index g-pickup_count-000001 is closed/);
    await setup(['--delete', '--with-data']);
    await assert.rejects(search.request('GET', '/g-pickup_count'), /404/);
    await search.request('GET', '/somebodys');
    await search.request('GET', '/_index_template/somebodys');
    const again = await setup(['--delete', '--with-data']);
    assert.match(again.stderr, /nothing to delete/);
  });

  await t.test("every result of the default views and of a user's own is taken as it is", async (t) => {
    const folder = temporaryFolder(t);
    const viewsFile = join(folder, 'views.mjs');
    writeFileSync(viewsFile, OWN_VIEWS);
    const data = ['--data-dir', join(folder, 'data')];
    await run(['replay', fixture('yellow-2015.csv'), '--speedup', 'max', ...data]);
    for (const [prefix, own] of [
      ['h-', []],
      ['i-', ['--views', viewsFile]],
    ] as const) {
      const output = join(folder, `${prefix}.ndjson`);
      await run([
        'process',
        '--until-end',
        '--drain',
        '--app',
        prefix.slice(0, 1),
        '--output',
        output,
        ...own,
        ...data,
      ]);
      await setupOf(search, prefix)(own);
      const results = lines<{ view: string }>(readFileSync(output, 'utf8'));
      assert.ok(results.length > 50, `${results.length} results`);
      const bulk = results
        .map((result) => `{"index":{"_index":"${prefix}${result.view}"}}\n${JSON.stringify(result)}\n`)
        .join('');
      const response = await fetch(`${search.endpoint}/_bulk?refresh=true`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: bulk,
      });
      const { errors, items } = (await response.json()) as {
        errors: boolean;
        items: { index: { error?: unknown } }[];
      };
      assert.equal(errors, false, JSON.stringify(items.find(({ index }) => index.error)));
      await setupOf(search, prefix)([...own, '--check']);
    }

    // Cells of the map are the cells of the results.
    const cells = new Map<string, number>();
    for (const { view, location, pickup_count } of lines<{
      view: string;
      location: string;
      pickup_count: number;
    }>(readFileSync(join(folder, 'h-.ndjson'), 'utf8')))
      if (view === 'pickup_count') cells.set(location, (cells.get(location) ?? 0) + pickup_count);
    const { aggregations } = await search.request<{
      aggregations: { cells: { buckets: { key: string; sum: { value: number } }[] } };
    }>('POST', '/h-pickup_count/_search', {
      size: 0,
      aggs: {
        cells: {
          geohash_grid: { field: 'location', precision: 6, size: 65_535 },
          aggs: { sum: { sum: { field: 'pickup_count' } } },
        },
      },
    });
    assert.deepEqual(
      new Map(aggregations.cells.buckets.map(({ key, sum }) => [key, sum.value] as const).sort()),
      new Map([...cells].sort()),
    );
  });

  await t.test('the dashboard shows the times of the results, once there are some', async (t) => {
    const fake = await startDashboards(t);
    const setup = (args: string[] = []) => setupOf(search, 'j-')(['--dashboards', fake.url, ...args]);
    const times = () => {
      const { timeFrom, timeTo } = fake.objects.get('dashboard:j-Taxi-Trips-Dashboard')!.attributes;
      return [timeFrom, timeTo];
    };
    await setup();
    assert.deepEqual(times(), ['2009-01-01T00:00:00.000Z', 'now']);
    await put('/j-pickup_count/_doc/1?refresh', { timestamp: '2016-01-11T08:09:59.999Z' });
    await put('/j-trip_duration/_doc/1?refresh', { timestamp: '2016-01-12T23:59:59.999Z' });
    const check = await setup(['--check']);
    assert.equal(check.stdout, '', 'no difference, only results');
    const fitted = await setup();
    assert.match(fitted.stderr, /fitted the dashboard to the times of the results/);
    assert.deepEqual(times(), ['2016-01-11T00:00:00.000Z', '2016-01-13T00:00:00.000Z']);
    assert.match((await setup()).stderr, /nothing to do/);
    fake.objects.get('dashboard:j-Taxi-Trips-Dashboard')!.attributes['timeFrom'] = 'now-1h';
    assert.match((await setup()).stderr, /nothing to do/, "times of the user's own are left");
    await put('/j-pickup_count/_doc/2?refresh', { timestamp: '2017-01-01T00:09:59.999Z' });
    await setup();
    assert.deepEqual(times(), ['2016-01-11T00:00:00.000Z', '2017-01-02T00:00:00.000Z']);
    await setup(['--delete', '--with-data']);
    assert.equal(fake.objects.size, 0);
  });

  await t.test('process fits the dashboard to its results, with nothing done by hand', async (t) => {
    const fake = await startDashboards(t);
    const folder = temporaryFolder(t);
    const data = ['--data-dir', join(folder, 'data')];
    const output = join(folder, 'results.ndjson');
    const times = () => {
      const { timeFrom, timeTo } = fake.objects.get('dashboard:m-Taxi-Trips-Dashboard')!.attributes;
      return [timeFrom, timeTo];
    };
    await setupOf(search, 'm-')(['--dashboards', fake.url]);
    await setupOf(search, 'm-')(['--check', '--dashboards', fake.url]);
    await setupOf(search, 'm-')();
    assert.deepEqual(times(), ['2009-01-01T00:00:00.000Z', 'now']);
    const toSearch = ['--opensearch', search.endpoint, '--index-prefix', 'm-'];
    const process = ['process', '--until-end', '--drain', '--output', output, ...toSearch, ...data];
    const days = async (file: string) => {
      await run(['replay', fixture(file), '--speedup', 'max', ...data]);
      const { stderr } = await run(process);
      assert.doesNotMatch(stderr, /note: the times/);
      const results = lines<{ timestamp: string }>(readFileSync(output, 'utf8'));
      const shown = results.map(({ timestamp }) => timestamp.slice(0, 10));
      const [first = '', last = ''] = [shown.sort()[0], shown.at(-1)];
      const next = new Date(Date.parse(last) + 86_400_000).toISOString();
      return [`${first}T00:00:00.000Z`, next];
    };
    const before = await days('yellow-2009.csv');
    assert.deepEqual(times(), before);
    const after = await days('yellow-2015.csv');
    assert.notDeepEqual(after, before);
    assert.deepEqual(times(), after, 'the range grows');

    fake.objects.get('dashboard:m-Taxi-Trips-Dashboard')!.attributes['timeTo'] = 'now';
    fake.objects.get('dashboard:m-Taxi-Trips-Dashboard')!.attributes['timeFrom'] = '2009-01-01T00:00:00.000Z';
    fake.instead = () => ({ status: 500, body: 'broken' });
    const failing = await run(process);
    assert.match(failing.stderr, /note: the times of the saved dashboard are not fitted: .*\(500\).*broken/);
    fake.instead = () => undefined;
    await run([...process, '--dashboards', fake.url]);
    assert.deepEqual(times(), after);
    await setupOf(search, 'm-')(['--delete', '--with-data']);
  });

  await t.test('--wait waits for a server that is still starting', async () => {
    await search.stop();
    const setup = setupOf(search, 'k-');
    const [waited] = await Promise.all([setup(['--wait', '10m']), search.start()]);
    assert.match(waited.stderr, /made index k-pickup_count-000001/);
    await setup(['--check']);
  });
});

for (const version of ['2.19.1', '7.10.2'] as const) {
  test(`with ${productOf(version)}`, { skip: withoutVersion(version) }, async (t) => {
    const search = await startOpenSearch(t, { version });
    const setup = setupOf(search, 'nyc-');
    assert.match((await setup()).stderr, new RegExp(`^${productOf(version)} at `));
    assert.match((await setup()).stderr, /nothing to do/);
    await setup(['--check']);
    await search.request('PUT', `/${firstIndex('nyc-', 'trip_duration')}/_mapping`, {
      properties: { more: { type: 'long' } },
    });
    const { stdout } = await setup(['--check'], 3);
    assert.equal(stdout, 'index nyc-trip_duration-000001: more is there, but not in the view\n');
    await setup(['--delete']);
    assert.match((await setup(['--delete'])).stderr, /nothing to delete/);
  });
}

describe('with something else', { concurrency: 2 }, () => {
  for (const args of [[], ['--check'], ['--delete'], ['--delete', '--dry-run']]) {
    test(`nothing listens: es-setup ${args} ends by itself`, async () => {
      const endpoint = `http://localhost:${await freePort()}`;
      const { stdout, stderr } = await run(['es-setup', '--endpoint', endpoint, ...args], { code: 1 });
      assert.equal(stdout, '');
      assert.match(
        stderr,
        /^Error: OpenSearch at [^\n]*ECONNREFUSED[^\n]*\nTry: [^\n]+\n$/,
        'one line and a hint',
      );
    });
  }

  test('--wait gives up after its time', async () => {
    const endpoint = `http://localhost:${await freePort()}`;
    const { stderr } = await run(['es-setup', '--endpoint', endpoint, '--wait', '1s'], { code: 1 });
    assert.match(stderr, /^Error: OpenSearch at .* does not answer/);
  });

  test('--wait tries a cluster that stays red all the same, for that may be for another index', async (t) => {
    const { url } = await serve(t, (one) =>
      one.path.startsWith('/_cluster/health')
        ? { status: 408, body: { status: 'red', timed_out: true } }
        : emptyOpenSearch(one),
    );
    const { stderr } = await run(['es-setup', '--endpoint', url, '--wait', '1s']);
    assert.match(stderr, /made index trip_duration-000001/);
  });

  test('a wait that is over while the cluster is asked how it is ends in a try too', async (t) => {
    const clock = new TestClock();
    const { url, asked } = await serve(t, (one) => {
      if (!one.path.startsWith('/_cluster/health')) return emptyOpenSearch(one);
      clock.advance(1_000);
      return { status: 408, body: { status: 'red', timed_out: true } };
    });
    const client = await connect({ url });
    t.after(() => client.close());
    const target = { client, url, dashboards: undefined, prefix: '', views: taxiViews() };
    assert.deepEqual(await reach(target, 2_000, { clock }), { distribution: 'opensearch', number: '3.8.0' });
    assert.deepEqual(
      asked.map(({ path }) => path.split('?')[0]),
      ['/', '/_cluster/health', '/', '/_cluster/health', '/'],
    );
  });

  for (const [what, isMet, args] of [
    ['a template', (one) => one.method === 'GET' && one.path.startsWith('/_index_template'), []],
    ['an index', (one) => one.method === 'GET' && one.path === '/pickup_count', []],
    ['a template that is put', (one) => one.method === 'PUT' && one.path.startsWith('/_index_template'), []],
    ['an index that is made', (one) => one.method === 'PUT' && one.path === '/pickup_count-000001', []],
    ['a template to delete', (one) => one.path.startsWith('/_index_template'), ['--delete']],
    ['an index to delete', (one) => one.path === '/pickup_count', ['--delete']],
  ] as [string, (one: Pick<Asked, 'method' | 'path'>) => boolean, string[]][])
    test(`a proxy that answers for ${what} in place of the server is told`, async (t) => {
      const bodies = ['<html>', '', {}, { took: 1, index_templates: [] }];
      for (const body of bodies) {
        const { url } = await serve(t, (one) => (isMet(one) ? { body } : emptyOpenSearch(one)));
        const { stdout, stderr } = await run(['es-setup', '--endpoint', url, ...args], { code: 1 });
        assert.match(stderr, /^Error: [^\n]*answer[^\n]*\nTry: [^\n]+\n$/m, JSON.stringify(body));
        assert.equal(stdout, '');
      }
    });

  test('--wait does not wait for a server that is something else', async (t) => {
    const { url, asked } = await serve(t, () => ({ body: { version: { number: '8.13.0' } } }));
    const { stderr } = await run(['es-setup', '--endpoint', url, '--wait'], { code: 1 });
    assert.match(
      stderr,
      /^Error: Elasticsearch 8\.13\.0 is at .*\nTry: .*OpenSearch 2 and 3.*Elasticsearch 7\.10/,
    );
    assert.equal(asked.length, 1);
  });

  describe('--dry-run where nothing listens prints what an empty OpenSearch would be sent, and says so', () => {
    interface Told {
      readonly server: string;
      readonly assumed: string[];
      readonly requests: { to: string; method: string; path: string }[];
    }
    const dryRun = async (endpoint: string, dashboards: string) => {
      const args = ['es-setup', '--endpoint', endpoint, '--dashboards', dashboards, '--dry-run', '--json'];
      const { stderr, json } = await run(args);
      return { stderr, ...json<Told>() };
    };
    const nobody = async () => `http://localhost:${await freePort()}`;

    test('neither of them', async (t) => {
      const there = await serve(t, emptyOpenSearch);
      const fake = await startDashboards(t);
      const asked = await dryRun(there.url, fake.url);
      assert.deepEqual([asked.server, asked.assumed], ['OpenSearch 3.8.0', []]);
      const [endpoint, dashboards] = [await nobody(), await nobody()];
      const told = await dryRun(endpoint, dashboards);
      assert.deepEqual([told.server, told.assumed], ['OpenSearch', ['opensearch', 'dashboards']]);
      const text = (requests: unknown) => JSON.stringify(requests).replaceAll(fake.url, dashboards);
      assert.equal(text(told.requests), text(asked.requests), 'the same as an empty one is sent');
      assert.match(
        told.stderr,
        /^note: OpenSearch at [^\n]*ECONNREFUSED[^\n]*; assumed: a current OpenSearch that holds nothing\nnote: OpenSearch Dashboards at [^\n]*ECONNREFUSED[^\n]*; assumed: a current one that holds nothing\n5 requests would be sent\n$/,
      );
    });

    test('one of them is asked', async (t) => {
      const there = await serve(t, emptyOpenSearch);
      const told = await dryRun(there.url, await nobody());
      assert.deepEqual([told.server, told.assumed], ['OpenSearch 3.8.0', ['dashboards']]);
      const fake = await startDashboards(t);
      await run(['es-setup', '--endpoint', there.url, '--dashboards', fake.url]);
      const other = await dryRun(await nobody(), fake.url);
      assert.deepEqual([other.server, other.assumed], ['OpenSearch', ['opensearch']]);
      assert.deepEqual(new Set(other.requests.map(({ to }) => to)), new Set(['opensearch']));
    });

    test('one that answers what no server of ours does is still refused', async (t) => {
      const { url } = await serve(t, () => ({ body: '<html>' }));
      const args = ['es-setup', '--endpoint', url, '--dashboards', await nobody(), '--dry-run'];
      const { stdout, stderr } = await run(args, { code: 1 });
      assert.equal(stdout, '');
      assert.match(stderr, /^Error: /m);
    });
  });

  test('--insecure says so; a refusal of the server is told in its words', async (t) => {
    const { url } = await serve(t, (one) =>
      one.method === 'PUT'
        ? {
            status: 403,
            body: { error: { reason: 'no permissions for [indices:admin/index_template/put]' }, status: 403 },
          }
        : emptyOpenSearch(one),
    );
    const { stderr } = await run(['es-setup', '--endpoint', url, '--insecure'], { code: 1 });
    assert.match(stderr, /^note: --insecure: /);
    assert.match(stderr, /\nError: [^\n]*no permissions for \[indices:admin\/index_template\/put\]\nTry: /);
  });

  // Amazon's documentation says that it ignores the parameters of a POST that is signed.
  test('a search that does not put up with a missing index is one without results', async (t) => {
    const fake = await startDashboards(t);
    const { url } = await serve(t, (one) =>
      emptyOpenSearch(one.path.includes('_search') ? { method: 'GET', path: '/no-such' } : one),
    );
    await run(['es-setup', '--endpoint', url, '--dashboards', fake.url]);
    assert.equal(fake.objects.get('dashboard:Taxi-Trips-Dashboard')?.attributes['timeTo'], 'now');
  });

  for (const [args, names] of [
    ['--with-data', /--with-data needs --delete/],
    ['--check --dry-run', /--check/],
    ['--check --delete', /--check/],
    ['--wait soon', /--wait soon/],
    ['--index-prefix NYC', /--index-prefix NYC/],
    ['--endpoint localhost:9200', /localhost:9200/],
    ['--endpoint http://ann:secret@localhost:9200', /name or password in a URL/],
    ['--dashboards localhost:5601', /localhost:5601/],
  ] as const) {
    test(`a mistake: es-setup ${args}`, async () => {
      const { stderr } = await run(['es-setup', ...args.split(' ')], { code: 2 });
      assert.match(stderr, /^Error: [^\n]+\nTry: [^\n]+\n$/);
      assert.match(stderr, names);
      assert.doesNotMatch(stderr, /secret/);
    });
  }
});
