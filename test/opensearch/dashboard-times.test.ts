/** The times of the saved dashboard, fitted beside a run: what is asked, what is changed, and what is left alone. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import {
  DashboardTimes,
  type DashboardTimesOptions,
  isTrusted,
} from '../../src/opensearch/dashboard-times.ts';
import { savedObjectsOf } from '../../src/opensearch/saved-objects.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { TestClock } from '../clock.ts';
import { type FakeDashboards, type Stored, startDashboards } from '../services/dashboards.ts';
import { type Answer, type Server, serve } from '../services/http.ts';

const DASHBOARD = 'dashboard:Taxi-Trips-Dashboard';

/** Time that all but stands still until a test moves it, since requests go on outside the event loop. */
const stillClock = () => new TestClock({ step: 0.001 });

interface World {
  readonly clock: TestClock;
  readonly search: Server;
  readonly dashboards: FakeDashboards;
  readonly times: DashboardTimes;
  readonly notes: string[];
  /** The first and the last time of the results that a search finds. */
  results: readonly [string, string] | undefined;
  /** What the index templates say of Dashboards. */
  noted: string | undefined;
  /** Answers of OpenSearch that come instead. */
  instead: (path: string) => Answer | undefined;
  /** The times of the dashboard, as it is stored. */
  shown(): unknown[];
  /** The methods of what Dashboards was asked since the last call. */
  asked(): string[];
}

async function world(t: TestContext, options: Partial<DashboardTimesOptions> = {}): Promise<World> {
  const clock = stillClock();
  const dashboards = await startDashboards(t);
  for (const object of savedObjectsOf('', taxiViews()))
    dashboards.objects.set(
      `${object.type}:${object.id}`,
      JSON.parse(JSON.stringify(object)) as unknown as Stored,
    );
  const search = await serve(t, ({ path }) => made.instead(path) ?? answer(made, path));
  const notes: string[] = [];
  const times = new DashboardTimes({
    access: { url: search.url },
    prefix: '',
    views: taxiViews(),
    clock,
    env: {},
    onNote: (note) => notes.push(note),
    ...options,
  });
  t.after(() => times.close());
  let seen = 0;
  const made: World = {
    clock,
    search,
    dashboards,
    times,
    notes,
    results: ['2016-01-11T08:09:59.999Z', '2016-01-12T23:59:59.999Z'],
    noted: dashboards.url,
    instead: () => undefined,
    shown: () => {
      const { timeFrom, timeTo } = dashboards.objects.get(DASHBOARD)!.attributes;
      return [timeFrom, timeTo];
    },
    asked: () => {
      const since = dashboards.asked.slice(seen).map(({ method }) => method);
      seen = dashboards.asked.length;
      return since;
    },
  };
  return made;
}

function answer({ results, noted }: World, path: string): Answer {
  if (path.startsWith('/_index_template/')) {
    const _meta = { description: 'x', ...(noted === undefined ? {} : { dashboards: noted }) };
    return { body: { index_templates: [{ name: path.split('/')[2], index_template: { _meta } }] } };
  }
  if (!path.includes('_search')) return { body: {} };
  const [min, max] = (results ?? []).map((time) => ({ value: Date.parse(time) }));
  return { body: { aggregations: { min: min ?? { value: null }, max: max ?? { value: null } } } };
}

function save(w: World, attributes: Record<string, unknown>): void {
  Object.assign(w.dashboards.objects.get(DASHBOARD)!.attributes, attributes);
}

const THE_DAYS = ['2016-01-11T00:00:00.000Z', '2016-01-13T00:00:00.000Z'];

describe('fitted', () => {
  test('to the first results, and again when they grow out of the range, either way', async (t) => {
    const w = await world(t);
    await w.times.follow(5);
    assert.deepEqual(w.shown(), THE_DAYS);
    w.clock.advance(60_000);
    w.results = ['2016-01-11T08:09:59.999Z', '2016-02-01T00:09:59.999Z'];
    await w.times.follow(6);
    assert.deepEqual(w.shown(), [THE_DAYS[0], '2016-02-02T00:00:00.000Z']);
    w.clock.advance(60_000);
    w.results = ['2015-12-31T23:59:59.999Z', '2016-02-01T00:09:59.999Z'];
    await w.times.follow(7);
    assert.deepEqual(w.shown(), ['2015-12-31T00:00:00.000Z', '2016-02-02T00:00:00.000Z']);
  });

  test('a range that holds more than the results is not made smaller', async (t) => {
    const w = await world(t);
    save(w, { timeFrom: THE_DAYS[0], timeTo: '2016-03-01T00:00:00.000Z' });
    await w.times.follow(5);
    assert.deepEqual(w.shown(), [THE_DAYS[0], '2016-03-01T00:00:00.000Z']);
  });

  test('Dashboards is asked only when the days of the results change, OpenSearch once in a while', async (t) => {
    const w = await world(t);
    await w.times.follow(5);
    assert.deepEqual(w.asked(), ['GET', 'PUT']);
    const searched = () => w.search.asked.filter(({ path }) => path.includes('_search')).length;
    assert.equal(searched(), 1);
    for (let delivered = 6; delivered < 100; delivered++) await w.times.follow(delivered);
    assert.equal(searched(), 1, 'not for each batch');
    w.clock.advance(60_000);
    w.results = ['2016-01-11T08:09:59.999Z', '2016-01-12T23:59:59.998Z'];
    await w.times.follow(100);
    await w.times.follow(100);
    assert.deepEqual([searched(), w.asked()], [2, []]);
    w.clock.advance(60_000);
    await w.times.follow(100);
    assert.equal(searched(), 2, 'not while nothing is delivered');
  });

  test('as soon as results can be searched', async (t) => {
    const w = await world(t);
    const { results } = w;
    w.results = undefined;
    await w.times.follow(5);
    assert.deepEqual(w.asked(), []);
    w.results = results;
    w.clock.advance(1_000);
    await w.times.follow(5);
    assert.deepEqual(w.shown(), THE_DAYS);
  });

  test('at the end of a run, after a refresh, without a look before', async (t) => {
    const w = await world(t);
    await w.times.finish(5, new AbortController().signal);
    assert.deepEqual(w.shown(), THE_DAYS);
    const paths = w.search.asked.map(({ path }) => path.replace(/\?.*/, ''));
    assert.deepEqual(paths, [
      '/_index_template/taxiflow-pickup_count',
      '/pickup_count,trip_duration/_refresh',
      '/pickup_count,trip_duration/_search',
    ]);
    await w.times.follow(6);
    assert.equal(w.search.asked.length, 3, 'then all is closed');
  });

  test('what somebody saved in between stays: the times follow with the next look', async (t) => {
    const w = await world(t);
    w.dashboards.instead = ({ method }) => {
      if (method === 'PUT') save(w, { description: 'saved by a user' });
      return undefined;
    };
    await w.times.follow(5);
    assert.equal(w.shown()[1], 'now');
    w.dashboards.instead = () => undefined;
    w.clock.advance(1_000);
    await w.times.follow(5);
    assert.deepEqual(w.shown(), THE_DAYS);
    assert.equal(w.dashboards.objects.get(DASHBOARD)?.attributes['description'], 'saved by a user');
    assert.deepEqual(w.notes, []);
  });

  test('nothing but the times is changed', async (t) => {
    const w = await world(t);
    const before = structuredClone(w.dashboards.objects);
    await w.times.follow(5);
    const [timeFrom, timeTo] = THE_DAYS;
    Object.assign(before.get(DASHBOARD)!.attributes, { timeFrom, timeTo });
    assert.deepEqual(w.dashboards.objects, before);
  });
});

describe('T2 left alone', () => {
  for (const [what, times] of [
    ['relative times', { timeFrom: 'now-1h', timeTo: 'now' }],
    ['some hours of a day', { timeFrom: '2016-01-11T10:00:00.000Z', timeTo: '2016-01-11T12:00:00.000Z' }],
    ['from some hour on', { timeFrom: '2016-01-11T10:00:00.000Z', timeTo: '2016-01-12T00:00:00.000Z' }],
    ['the first hours', { timeFrom: '2016-01-11T00:00:00.000Z', timeTo: '2016-01-11T12:00:00.000Z' }],
  ] as const) {
    test(`times that a user saved: ${what}`, async (t) => {
      const w = await world(t);
      save(w, times);
      for (const [delivered, last] of [
        [5, '2016-01-12T23:59:59.999Z'],
        [6, '2016-02-01T00:00:00.000Z'],
        [7, '2016-03-01T00:00:00.000Z'],
      ] as const) {
        w.clock.advance(60_000);
        w.results = ['2016-01-11T08:09:59.999Z', last];
        await w.times.follow(delivered);
      }
      assert.deepEqual(w.shown(), [times.timeFrom, times.timeTo]);
      assert.ok(!w.asked().includes('PUT'));
    });
  }

  test('times that a user saves while the run goes on', async (t) => {
    const w = await world(t);
    await w.times.follow(5);
    save(w, { timeFrom: 'now-1h', timeTo: 'now' });
    w.clock.advance(60_000);
    w.results = ['2016-01-11T08:09:59.999Z', '2016-02-01T00:09:59.999Z'];
    await w.times.follow(6);
    assert.deepEqual(w.shown(), ['now-1h', 'now']);
  });

  test("a dashboard of that name that isn't from here", async (t) => {
    const w = await world(t);
    const before: Stored = {
      type: 'dashboard',
      id: 'Taxi-Trips-Dashboard',
      attributes: { title: 'theirs', timeFrom: '2009-01-01T00:00:00.000Z', timeTo: 'now' },
      references: [{ name: 'panel_0', type: 'visualization', id: 'theirs' }],
    };
    w.dashboards.objects.set(DASHBOARD, structuredClone(before));
    await w.times.follow(5);
    assert.deepEqual(w.dashboards.objects.get(DASHBOARD), before);
    assert.deepEqual(w.notes, []);
  });

  test('without a dashboard, or a note of where Dashboards is, nobody is told anything', async (t) => {
    const w = await world(t);
    w.dashboards.objects.clear();
    await w.times.follow(5);
    assert.deepEqual(w.asked(), ['GET']);
    const other = await world(t);
    other.noted = undefined;
    await other.times.follow(5);
    assert.deepEqual([other.asked(), other.notes, w.notes], [[], [], []]);
    assert.ok(other.search.asked.every(({ path }) => path.startsWith('/_index_template/')));
    const forbidden = await world(t);
    forbidden.instead = (path) => (path.startsWith('/_index_template/') ? { status: 403 } : undefined);
    await forbidden.times.follow(5);
    assert.deepEqual([forbidden.asked(), forbidden.notes], [[], []]);
  });
});

describe('T1 no failure gets out', () => {
  const FAILURES: readonly (readonly [string, (w: World) => void, RegExp])[] = [
    [
      'Dashboards fails',
      (w) => (w.dashboards.instead = () => ({ status: 500, body: 'x' })),
      /refuses \(500\)/,
    ],
    ['a web server', (w) => (w.dashboards.instead = () => ({ body: '<html>' })), /no OpenSearch Dashboards/],
    ['no right', (w) => (w.dashboards.instead = () => ({ status: 403, body: 'x' })), /does not allow this/],
    ['nobody is there', (w) => (w.noted = 'http://127.0.0.1:9'), /does not answer \(ECONNREFUSED\)/],
    ['a strange note', (w) => (w.noted = 'ftp://127.0.0.1/'), /is no URL of a server/],
    [
      'the search fails',
      (w) => (w.instead = (path) => (path.includes('_search') ? { status: 500 } : undefined)),
      /OpenSearch at/,
    ],
  ];
  for (const [what, fail, words] of FAILURES) {
    test(`${what}: a note, once, and another look after a minute`, async (t) => {
      const w = await world(t);
      fail(w);
      await w.times.follow(5);
      w.clock.advance(59_000);
      const asked = w.search.asked.length;
      await w.times.follow(6);
      assert.equal(w.search.asked.length, asked, 'not at once');
      w.clock.advance(1_000);
      await w.times.follow(6);
      assert.ok(w.search.asked.length > asked, 'but later');
      await w.times.finish(7, new AbortController().signal);
      assert.equal(w.notes.length, 1, w.notes.join('\n'));
      assert.match(w.notes[0]!, words);
      assert.match(w.notes[0]!, /"taxiflow es-setup --dashboards URL" fits them$/);
    });
  }

  test('a Dashboards that comes back is looked at again, though no more results were delivered', async (t) => {
    const w = await world(t);
    w.dashboards.instead = () => ({ status: 503, body: 'not ready yet' });
    await w.times.follow(5);
    w.dashboards.instead = () => undefined;
    await w.times.finish(5, new AbortController().signal);
    assert.deepEqual(w.shown(), THE_DAYS);
  });

  test('a Dashboards that never answers holds up the end of a run for seconds only', async (t) => {
    const w = await world(t);
    let reached = () => {};
    const isAsked = new Promise<void>((resolve) => (reached = resolve));
    const { url } = await serve(t, () => {
      reached();
      return undefined;
    });
    w.noted = url;
    const ended = w.times.finish(5, new AbortController().signal);
    await isAsked;
    w.clock.advance(5_000);
    await ended;
    assert.deepEqual(w.notes, []);
  });

  test('a run that is interrupted is not held up at all', async (t) => {
    const w = await world(t);
    await w.times.finish(5, AbortSignal.abort());
    assert.deepEqual([w.search.asked, w.dashboards.asked], [[], []]);
  });
});

describe('name and password', () => {
  const env = { OPENSEARCH_USERNAME: 'ann', OPENSEARCH_PASSWORD: 'secret' };
  const authorizations = (w: World) => w.dashboards.asked.map(({ headers }) => headers.authorization);

  test('go to a noted Dashboards on the host of OpenSearch, on a port of its own and as well protected', () => {
    const cases: [noted: string, server: string, trusted: boolean][] = [
      ['http://search:5601', 'http://search:9200', true],
      ['https://search:5601', 'http://search:9200', true],
      ['https://search:5601', 'https://search:9200', true],
      ['https://search/_dashboards', 'https://search', true],
      ['https://search:9200/_dashboards', 'https://search:9200', true],
      ['http://search:5601', 'https://search:9200', false],
      ['https://search:9999', 'https://search:9200', false],
      ['http://search:8080', 'http://search:9200', false],
      ['https://other:5601', 'https://search:9200', false],
      ['https://search.other.org', 'https://search', false],
    ];
    for (const [noted, server, trusted] of cases)
      assert.equal(isTrusted(new URL(noted), new URL(server)), trusted, `${noted} of ${server}`);
  });

  test('do not go to another port that the index templates name', async (t) => {
    const w = await world(t, { env });
    await w.times.follow(5);
    assert.deepEqual(authorizations(w), [undefined, undefined]);
  });

  test('do not go to another host that the index templates name', async (t) => {
    const w = await world(t, { env });
    w.noted = w.dashboards.url.replace('127.0.0.1', 'localhost');
    await w.times.follow(5);
    assert.deepEqual(authorizations(w), [undefined, undefined]);
  });

  test('go to another host that the user names', async (t) => {
    const w = await world(t);
    const dashboards = w.dashboards.url.replace('127.0.0.1', 'localhost');
    const access = { url: w.search.url };
    const given = { access, dashboards, env, prefix: '', views: taxiViews(), clock: w.clock };
    const times = new DashboardTimes({ ...given, onNote: (note) => w.notes.push(note) });
    t.after(() => times.close());
    w.noted = 'http://127.0.0.1:9';
    await times.follow(5);
    assert.deepEqual(w.shown(), THE_DAYS);
    assert.match(String(authorizations(w)[0]), /^Basic /);
  });
});
