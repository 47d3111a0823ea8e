/** The saved objects, their import and reading back; and the tests' own Dashboards against recordings of a real one. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { connect } from '../../src/opensearch/connection.ts';
import { type Dashboards, importObjects, readObject } from '../../src/opensearch/dashboards.ts';
import { keptDashboard } from '../../src/opensearch/kept-dashboard.ts';
import {
  ndjson,
  objectDifferences,
  type SavedObject,
  savedObjectsOf,
} from '../../src/opensearch/saved-objects.ts';
import { mappingOf } from '../../src/opensearch/templates.ts';
import { count, tumbling, view } from '../../src/views/language.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { type FakeDashboards, type Stored, startDashboards } from '../services/dashboards.ts';
import { emptyOpenSearch, serve } from '../services/http.ts';
import { type Ran, taxiflow } from '../taxiflow.ts';

type Json = Record<string, unknown>;

describe('saved objects', () => {
  const objects = savedObjectsOf('nyc-', taxiViews());
  const find = (id: string) => objects.find((object) => object.id === id)!;
  const parsed = (object: SavedObject, attribute: string) =>
    JSON.parse(String(object.attributes[attribute])) as Json;

  test('each is a line of JSON, and so is all JSON inside', () => {
    const lines = ndjson(objects).trimEnd().split('\n');
    assert.equal(lines.length, 5);
    for (const line of lines) {
      const { attributes } = JSON.parse(line) as SavedObject;
      for (const [name, value] of Object.entries(attributes))
        if (name.endsWith('JSON') || name === 'visState')
          assert.doesNotThrow(() => JSON.parse(String(value)), name);
      const meta = attributes['kibanaSavedObjectMeta'] as { searchSourceJSON: string } | undefined;
      if (meta) assert.doesNotThrow(() => JSON.parse(meta.searchSourceJSON));
    }
  });

  test('every reference is to an object before it, and is used', () => {
    for (const [i, object] of objects.entries()) {
      for (const { type, id, name } of object.references) {
        const at = objects.findIndex((other) => other.type === type && other.id === id);
        assert.ok(at >= 0 && at < i, `${object.id} refers to ${type} ${id}`);
        assert.ok(JSON.stringify(object.attributes).includes(name), `${name} is used by ${object.id}`);
      }
    }
    assert.equal(
      new Set(objects.map(({ type, id }) => `${type}:${id}`)).size,
      objects.length,
      'ids are unique',
    );
  });

  test('every field of a visualization is in the mapping of its view, with a type its aggregation takes', () => {
    const takes: Record<string, string[]> = {
      avg: ['long', 'double'],
      date_histogram: ['date'],
      terms: ['keyword'],
    };
    const visualizations = objects.filter(({ type }) => type === 'visualization');
    assert.equal(visualizations.length, 2);
    for (const object of visualizations) {
      // The map says its fields in its specification, see below.
      const [reference] = object.references;
      if (!reference) continue;
      const pattern = find(reference.id);
      const shown = taxiViews().find(({ name }) => `nyc-${name}` === pattern.attributes['title'])!;
      const { aggs } = parsed(object, 'visState') as { aggs: { type: string; params: { field: string } }[] };
      for (const { type, params } of aggs) {
        const mapped = mappingOf(shown).properties[params.field]?.type ?? 'nothing';
        assert.ok(takes[type]?.includes(mapped), `${object.id}: ${type} of ${params.field}, a ${mapped}`);
      }
    }
  });

  test('the map waits for what it needs, asks nobody for tiles, and sums up the index of its prefix', () => {
    const { type, params } = parsed(find('taxiflow-nyc-pickup-map'), 'visState') as {
      type: string;
      params: { spec: string };
    };
    assert.equal(type, 'vega');
    const spec = JSON.parse(params.spec) as {
      config: { kibana: { type: string; mapStyle: unknown; latitude: number; longitude: number } };
      data: { name: string; url?: { index: string; body: { aggs: Json } }; values?: Json[] }[];
    };
    const { kibana } = spec.config;
    assert.deepEqual([kibana.type, kibana.mapStyle], ['map', false]);
    const { latitude: lat, longitude: lon } = kibana;
    assert.ok(lat > 40.5 && lat < 41 && lon > -74.3 && lon < -73.7, `the centre is New York: ${lat}, ${lon}`);
    const asking = spec.data.filter(({ url }) => url);
    assert.deepEqual(
      asking.map(({ url }) => url?.index),
      ['nyc-pickup_count'],
    );
    assert.deepEqual(Object.keys(mappingOf(taxiViews()[0]!).properties).slice(-2), [
      'location',
      'pickup_count',
    ]);
    assert.match(
      JSON.stringify(asking[0]?.url),
      /"field":"location","precision":6\b.*"field":"pickup_count"/,
    );
    assert.match(JSON.stringify(asking[0]?.url), /"%context%":true,"%timefield%":"timestamp"/);
  });

  test('every ring of the outlines turns right at its southern end: turned left, Vega fills the rest of the world', () => {
    const { params } = parsed(find('taxiflow-nyc-pickup-map'), 'visState') as { params: { spec: string } };
    const { data } = JSON.parse(params.spec) as {
      data: { name: string; values: { geometry: { coordinates: [number, number][][][] } }[] }[];
    };
    const land = data.find(({ name }) => name === 'land')!.values;
    assert.equal(land.length, 6, 'five boroughs and what is around them');
    for (const ring of land.flatMap(({ geometry }) => geometry.coordinates.flat())) {
      assert.deepEqual(ring[0], ring.at(-1), 'closed');
      const points = ring.slice(1);
      const south = points.reduce((low, [, lat], i) => (lat < points[low]![1] ? i : low), 0);
      const [before, at, after] = [
        points.at(south - 1)!,
        points[south]!,
        points[(south + 1) % points.length]!,
      ];
      const turn = (at[0] - before[0]) * (after[1] - at[1]) - (at[1] - before[1]) * (after[0] - at[0]);
      assert.ok(turn <= 0, `${at}`);
    }
  });

  test('the dashboard shows both, side by side, and times of its own', () => {
    const dashboard = find('nyc-Taxi-Trips-Dashboard');
    const panels = parsed(dashboard, 'panelsJSON') as unknown as {
      panelRefName: string;
      gridData: { x: number; w: number; h: number };
      embeddableConfig: Json;
    }[];
    assert.deepEqual(
      panels.map(({ gridData: { x, w } }) => [x, w]),
      [
        [0, 24],
        [24, 24],
      ],
    );
    assert.deepEqual(
      panels.map(({ gridData: { h } }) => h),
      [23, 23],
      'the legend of the map is on a screen of 900 pixels',
    );
    // On a dashboard Dashboards looks for colours in the panel, not in the visualization.
    const { vis } = panels[1]!.embeddableConfig as { vis: { colors: Record<string, string> } };
    assert.deepEqual(Object.keys(vis.colors), ['JFK', 'LGA']);
    assert.deepEqual(parsed(find('taxiflow-nyc-airport-minutes'), 'uiStateJSON'), { vis });
    assert.deepEqual(
      panels.map(({ panelRefName }) => panelRefName),
      dashboard.references.map(({ name }) => name),
    );
    assert.equal(dashboard.attributes['timeRestore'], true);
    assert.ok(
      Date.parse(String(dashboard.attributes['timeFrom'])) <= Date.UTC(2009, 0),
      'from the first TLC file on',
    );
  });

  test('versions are those that Dashboards 2 knows', () => {
    for (const { type, migrationVersion } of objects) {
      const known = { visualization: '7.10.0', dashboard: '7.9.3', 'index-pattern': '7.6.0' }[type];
      assert.deepEqual(migrationVersion, { [type]: known });
    }
  });

  test('without a prefix the dashboard has the name of the reference', () => {
    const plain = savedObjectsOf('', taxiViews());
    assert.ok(
      plain.some(({ type, id }) => type === 'dashboard' && id === 'Taxi-Trips-Dashboard'),
      'by id',
    );
    const ids = new Set(plain.map(({ id }) => id));
    assert.ok(
      objects.every(({ id }) => !ids.has(id)),
      'two prefixes live side by side',
    );
  });

  test("a user's own views have index patterns; there is no dashboard of views that aren't there", () => {
    const own = view({ name: 'own', by: {}, window: tumbling('1h'), aggregates: { n: count() } });
    assert.deepEqual(
      savedObjectsOf('', [own]).map(({ type, id }) => `${type} ${id}`),
      ['index-pattern taxiflow-own'],
    );
    const mixed = savedObjectsOf('', [own, taxiViews()[1]!]);
    assert.deepEqual(
      mixed.map(({ type }) => type),
      ['index-pattern', 'index-pattern', 'visualization', 'dashboard'],
    );
  });

  test('differences: none to itself, whatever Dashboards adds; the times are left alone', () => {
    for (const object of objects) {
      const live = structuredClone(object) as unknown as { attributes: Json };
      if (object.type === 'index-pattern') live.attributes['fields'] = '[{"name":"location"}]';
      if (object.type === 'dashboard') live.attributes['timeFrom'] = 'now-1h';
      if (object.type === 'visualization') {
        const { title, ...state } = JSON.parse(String(live.attributes['visState'])) as Json;
        live.attributes['visState'] = JSON.stringify({ ...state, title });
      }
      assert.deepEqual(objectDifferences(live, object), []);
      assert.deepEqual(
        objectDifferences({ ...live, attributes: { ...live.attributes, title: 'x' } }, object),
        ['title differs'],
      );
    }
    const line = find('taxiflow-nyc-airport-minutes');
    const other = { ...line, references: [{ ...line.references[0]!, id: 'x' }] };
    assert.deepEqual(objectDifferences(other, line), ['references differ']);
    const vis = { ...line, attributes: { ...line.attributes, visState: 'torn {' } };
    assert.deepEqual(objectDifferences(vis, line), ['visState differs']);
  });
});

/** A dashboard of an earlier es-setup, as Dashboards 2.8 saves it after a user added a panel. */
const ADDED = 'e01e2939-d965-4d25-be0d-aee0f8ddb890';
const grid = (x: number, y: number, w: number, h: number, i: string) => ({ x, y, w, h, i });
const FORMER: Stored = {
  type: 'dashboard',
  id: 'Taxi-Trips-Dashboard',
  attributes: {
    ...savedObjectsOf('', taxiViews()).at(-1)!.attributes,
    panelsJSON: JSON.stringify([
      {
        ...{ version: '2.8.0', gridData: grid(0, 0, 24, 28, '1'), panelIndex: '1', panelRefName: 'panel_0' },
        embeddableConfig: { mapZoom: 11, mapCenter: [40.73, -73.94] },
      },
      {
        ...{ version: '2.8.0', gridData: grid(24, 0, 24, 28, '2'), panelIndex: '2', panelRefName: 'panel_1' },
        embeddableConfig: {},
      },
      {
        ...{ version: '2.8.0', gridData: grid(0, 28, 24, 15, ADDED), panelIndex: ADDED },
        ...{ panelRefName: 'panel_2', embeddableConfig: { hidePanelTitles: true } },
      },
    ]),
    ...{ timeFrom: 'now-1h', timeTo: 'now', refreshInterval: { pause: false, value: 10_000 } },
  },
  references: [
    { name: 'panel_0', type: 'visualization', id: 'taxiflow-pickup-map' },
    { name: 'panel_1', type: 'visualization', id: 'taxiflow-airport-minutes' },
    { name: 'panel_2', type: 'visualization', id: 'mine' },
  ],
};

describe('a dashboard that is there', () => {
  const ours = savedObjectsOf('', taxiViews()).at(-1)!;
  type Panel = { panelIndex: string; panelRefName: string; gridData: Json; embeddableConfig: Json };
  const panelsOf = ({ attributes }: { attributes: Readonly<Json> }) =>
    JSON.parse(String(attributes['panelsJSON'])) as Panel[];
  /** Ours, as a user saved it with other panels. */
  const saved = (change: (panels: Panel[]) => Panel[], attributes: Json = {}): Stored => ({
    ...structuredClone(ours),
    attributes: { ...ours.attributes, panelsJSON: JSON.stringify(change(panelsOf(ours))), ...attributes },
    references: [...ours.references, { name: 'panel_2', type: 'visualization', id: 'mine' }],
  });
  const mine = (y: number): Panel => ({
    ...{ panelIndex: ADDED, panelRefName: 'panel_2', gridData: grid(0, y, 48, 10, ADDED) },
    embeddableConfig: {},
  });

  test('of an earlier version: the panel that was added stays, ours are put right', () => {
    const kept = keptDashboard(ours, FORMER);
    const [map, lines, added] = panelsOf(kept);
    assert.deepEqual(added, panelsOf(FORMER)[2]);
    assert.deepEqual(
      [map?.gridData, lines?.gridData],
      [grid(0, 0, 24, 23, '1'), grid(24, 0, 24, 23, '2')],
      'the height that shows the legend',
    );
    assert.deepEqual(map?.embeddableConfig, {}, 'no zoom of the map before');
    assert.deepEqual(lines?.embeddableConfig, panelsOf(ours)[1]?.embeddableConfig, 'colours');
    assert.deepEqual(kept.references, FORMER.references);
    assert.deepEqual(kept.attributes['refreshInterval'], ours.attributes['refreshInterval']);
    assert.deepEqual([kept.attributes['timeFrom'], kept.attributes['timeTo']], ['now-1h', 'now']);
    assert.deepEqual(objectDifferences({ ...FORMER, ...kept }, keptDashboard(ours, kept)), [], 'once');
  });

  test('what a user made of it is no difference: panels, arrangement, settings of panels, refresh', () => {
    const live = saved(
      ([map, lines]) => [
        {
          ...lines!,
          gridData: grid(0, 10, 48, 28, '2'),
          embeddableConfig: { vis: { colors: { JFK: 'red' } } },
        },
        { ...map!, gridData: grid(0, 38, 20, 30, '1'), embeddableConfig: { hidePanelTitles: true } },
        mine(0),
      ],
      { refreshInterval: { pause: true, value: 0 } },
    );
    assert.deepEqual(objectDifferences(live, keptDashboard(ours, live)), []);
  });

  test('a panel of ours that was taken away comes back, and covers none that is there', () => {
    const bottom = saved(([map]) => [map!, mine(23)]);
    const [, , back] = panelsOf(keptDashboard(ours, bottom));
    assert.deepEqual(objectDifferences(bottom, keptDashboard(ours, bottom)), [
      'panelsJSON differs',
      'references differ',
    ]);
    assert.deepEqual({ ...back?.gridData, i: '' }, grid(24, 0, 24, 23, ''), 'its place is free');
    const top = saved(([map]) => [{ ...map!, gridData: grid(0, 10, 24, 23, '1') }, mine(0)]);
    const kept = keptDashboard(ours, top);
    const [, , below] = panelsOf(kept);
    assert.deepEqual({ ...below?.gridData, i: '' }, grid(24, 33, 24, 23, ''), 'below all');
    const names = new Set(kept.references.map(({ name }) => name));
    for (const { panelRefName } of panelsOf(kept)) assert.ok(names.has(panelRefName), panelRefName);
    assert.equal(new Set(panelsOf(kept).map(({ panelIndex }) => panelIndex)).size, 3);
  });

  test('a filter that was saved goes, and with it what it refers to', () => {
    const reference = {
      name: 'kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index',
      type: 'index-pattern',
      id: 'x',
    };
    const live = { ...saved((panels) => [...panels, mine(23)]) };
    const meta = { searchSourceJSON: '{"query":{"query":"","language":"kuery"},"filter":[{"meta":{}}]}' };
    const filtered = {
      ...live,
      attributes: { ...live.attributes, kibanaSavedObjectMeta: meta },
      references: [...live.references!, reference],
    };
    const kept = keptDashboard(ours, filtered);
    assert.deepEqual(objectDifferences(filtered, kept), [
      'kibanaSavedObjectMeta differs',
      'references differ',
    ]);
    assert.deepEqual(kept.references, live.references);
  });

  for (const panelsJSON of [
    'torn [',
    '{}',
    '[null]',
    '["x"]',
    '[{"panelIndex":"1"}]',
    '[{"gridData":null}]',
    undefined,
  ]) {
    test(`panels that make no sense are replaced: ${panelsJSON}`, () => {
      const live = { ...ours, attributes: { ...ours.attributes, panelsJSON } };
      assert.deepEqual(keptDashboard(ours, live), ours);
    });
  }
});

interface Recorded {
  readonly status: number;
  readonly body: unknown;
}

const RECORDED = JSON.parse(
  readFileSync(fixture(join('dashboards-replies', 'dashboards-2.8.json')), 'utf8'),
) as Record<string, Recorded>;

describe("the tests' own Dashboards answers as the real one was recorded to", () => {
  const object = (type: string, id: string, title: string, more: Json = {}) => ({
    type,
    id,
    attributes: { title },
    references: [],
    ...more,
  });
  const ALL = [
    object('index-pattern', 'taxi-trip-count-pattern', 'taxi-trip-count*'),
    object('visualization', 'taxi-line', 'Trip duration to airports'),
    object('visualization', 'taxi-map', 'Taxi trips by location'),
    object('dashboard', 'taxi-dashboard', 'NYC taxi (lab)'),
  ];
  const line = (id: string, more: Json = {}) =>
    object('visualization', id, 'Trip duration to airports', more);
  const lines = (objects: Json[]) => objects.map((one) => `${JSON.stringify(one)}\n`).join('');
  const FILE = {
    name: 'x.ndjson',
    query: '?overwrite=true',
    headers: { 'osd-xsrf': 'true' } as Record<string, string>,
  };

  const REQUESTS: Record<
    string,
    { content: string; name?: string; query?: string; headers?: Record<string, string> }
  > = {
    ok: { content: lines(ALL) },
    conflict: { content: lines(ALL), query: '' },
    'no-xsrf': { content: lines(ALL), headers: {} },
    'wrong-extension': { content: lines(ALL), name: 'x.json' },
    'not-json': { content: 'not json\n' },
    'missing-reference': {
      content: lines([
        line('neg1', { references: [{ name: 'r', type: 'index-pattern', id: 'no-such-pattern' }] }),
      ]),
    },
    'newer-migration': { content: lines([line('neg2', { migrationVersion: { visualization: '7.17.0' } })]) },
    'extra-attribute': {
      content: lines([line('neg3', { attributes: { title: 'Trip duration to airports', bogus: 1 } })]),
    },
    'bad-attribute-type': {
      content: lines([
        object('dashboard', 'neg4', '', { attributes: { title: 'NYC taxi (lab)', hits: 'many' } }),
      ]),
    },
    'no-attributes': { content: lines([{ type: 'visualization', id: 'neg5' }]) },
    'bad-visState': {
      content: lines([
        line('neg6', { attributes: { title: 'Trip duration to airports', visState: '{torn' } }),
      ]),
    },
    'no-migrationVersion': { content: lines([line('neg7')]) },
    coreMigrationVersion: { content: lines([line('neg8', { coreMigrationVersion: '7.10.0' })]) },
    'unknown-type': { content: lines([object('lens', 'x', 'x')]) },
    'missing-visualization': {
      content: lines([
        object('dashboard', 'neg9', 'NYC taxi (lab)', {
          references: [{ name: 'panel_0', type: 'visualization', id: 'no-such-visualization' }],
        }),
      ]),
    },
    'missing-search': {
      content: lines([
        object('visualization', 'neg10', 'x', {
          references: [{ name: 'search_0', type: 'search', id: 'no-such-search' }],
        }),
      ]),
    },
  };

  const FROM = { timeFrom: '2016-01-01T00:00:00.000Z' };
  const UPDATES: Record<string, { body: Json; id?: string; headers?: Record<string, string> }> = {
    'update-ok': { body: { attributes: FROM } },
    'update-missing': { body: { attributes: FROM }, id: 'dashboard/no-such' },
    'update-unknown-type': { body: { attributes: FROM }, id: 'lens/x' },
    'update-no-xsrf': { body: { attributes: FROM }, headers: {} },
    'update-conflict': {
      body: { attributes: FROM, version: Buffer.from('[15,1]').toString('base64') },
    },
    'update-bad-version': { body: { attributes: FROM, version: 'nonsense' } },
    'update-no-attributes': { body: {} },
    'update-extra-attribute': { body: { attributes: { bogus: 1 } } },
    'update-extra-key': { body: { attributes: { timeTo: 'now' }, bogus: 1 } },
  };

  test('every recording but the one with ids made up by the server is looked at', () => {
    const looked = [...Object.keys(REQUESTS), ...Object.keys(UPDATES), 'createNewCopies'];
    assert.deepEqual(Object.keys(RECORDED).sort(), looked.sort());
  });

  for (const [name, request] of Object.entries(REQUESTS)) {
    test(name, async (t) => {
      const dashboards = await startDashboards(t);
      for (const one of ALL) dashboards.objects.set(`${one.type}:${one.id}`, one);
      const { content, name: file, query, headers } = { ...FILE, ...request };
      const form = new FormData();
      form.append('file', new Blob([content]), file);
      const response = await fetch(`${dashboards.url}/api/saved_objects/_import${query}`, {
        method: 'POST',
        headers,
        body: form,
      });
      const { status, body } = RECORDED[name]!;
      const answered = { status: response.status, body: await response.json() };
      if (name === 'not-json') {
        // In the words of the server's version of Node.
        const { message, ...rest } = answered.body as Json;
        assert.match(String(message), /Unexpected token/);
        assert.deepEqual(rest, { statusCode: 400, error: 'Bad Request' });
      } else assert.deepEqual(answered, { status, body });
    });
  }

  for (const [name, { body, id = 'dashboard/taxi-dashboard', headers }] of Object.entries(UPDATES)) {
    test(name, async (t) => {
      const dashboards = await startDashboards(t);
      for (const one of ALL) dashboards.objects.set(`${one.type}:${one.id}`, structuredClone(one));
      const response = await fetch(`${dashboards.url}/api/saved_objects/${id}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json', ...(headers ?? FILE.headers) },
        body: JSON.stringify(body),
      });
      // The number of a save, and when it was, are of the server's own.
      const comparable = (answer: unknown) =>
        JSON.parse(
          JSON.stringify(answer)
            .replaceAll(/current document has seqNo \[\d+\]/g, 'current document has seqNo []')
            .replaceAll(/"(updated_at|version)":"[^"]+"/g, '"$1":""'),
        ) as unknown;
      assert.deepEqual(
        { status: response.status, body: comparable(await response.json()) },
        { status: RECORDED[name]!.status, body: comparable(RECORDED[name]!.body) },
      );
    });
  }

  test('a version is of one save: with that of the last, an update goes through once', async (t) => {
    const dashboards = await startDashboards(t);
    const { url, objects } = dashboards;
    objects.set('dashboard:a', structuredClone(object('dashboard', 'a', 'a')) as Stored);
    const path = `${url}/api/saved_objects/dashboard/a`;
    const { version } = (await (await fetch(path)).json()) as { version: string };
    const update = async () => {
      const body = JSON.stringify({ attributes: FROM, version });
      return (await fetch(path, { method: 'PUT', headers: FILE.headers, body })).status;
    };
    assert.deepEqual([await update(), await update()], [200, 409]);
    assert.deepEqual(objects.get('dashboard:a')?.attributes, { title: 'a', ...FROM });
  });
});

async function client(t: TestContext, { url }: FakeDashboards): Promise<Dashboards> {
  const made = await connect({ url }, {});
  t.after(() => made.close());
  return { client: made, url };
}

describe('import', () => {
  const objects = savedObjectsOf('', taxiViews());

  test('all objects arrive as they were sent, twice over', async (t) => {
    const fake = await startDashboards(t);
    const dashboards = await client(t, fake);
    await importObjects(dashboards, objects);
    await importObjects(dashboards, objects);
    assert.deepEqual([...fake.objects.values()], JSON.parse(JSON.stringify(objects)));
    for (const object of objects)
      assert.deepEqual((await readObject(dashboards, object))?.attributes, object.attributes);
  });

  test('a success with nothing there is found out', async (t) => {
    const fake = await startDashboards(t);
    fake.forgetful = true;
    const error = {
      code: 'dashboards-import',
      message: /said success, but of index-pattern taxiflow-pickup_count it is not there/,
    };
    await assert.rejects(importObjects(await client(t, fake), objects), error);
  });

  test('a success with something else there is found out', async (t) => {
    const fake = await startDashboards(t);
    fake.forgetful = true;
    for (const object of objects)
      fake.objects.set(`${object.type}:${object.id}`, {
        ...object,
        attributes: { ...object.attributes, title: 'old' },
      });
    await assert.rejects(importObjects(await client(t, fake), objects), {
      message: /taxiflow-pickup_count title differs/,
    });
  });

  /** Each recorded refusal, and what of it a user has to read. */
  const REFUSALS: Record<string, RegExp> = {
    conflict: /index-pattern taxi-trip-count-pattern: conflict, and 3 more$/,
    'missing-reference': /visualization neg1: missing_references \(index-pattern no-such-pattern\)$/,
    'unknown-type': /lens x: unsupported_type$/,
    'extra-attribute': /visualization neg3: mapping set to strict, .*\[bogus\]/,
    'bad-attribute-type': /dashboard neg4: failed to parse field \[dashboard\.hits\]/,
    'newer-migration': /\(422\): Document "neg2".*\[7\.17\.0\]/,
    'no-xsrf': /\(400\): Request must contain the osd-xsrf header/,
    'no-attributes': /\(500\): An internal server error occurred/,
    'no-migrationVersion': /success true for 1 of 5 objects/,
  };
  for (const [name, words] of Object.entries(REFUSALS)) {
    test(`refused: ${name}`, async (t) => {
      const fake = await startDashboards(t);
      fake.instead = ({ path }) => (path.includes('_import') ? RECORDED[name] : undefined);
      await assert.rejects(importObjects(await client(t, fake), objects), {
        name: 'TaxiflowError',
        message: words,
      });
    });
  }
});

/** es-setup against an OpenSearch that takes everything and a Dashboards of the tests' own. */
async function setup(
  t: TestContext,
  dashboards: string,
  args: string[] = [],
  env: Record<string, string> = {},
): Promise<Ran> {
  const { url } = await serve(t, emptyOpenSearch);
  return taxiflow(['es-setup', '--endpoint', url, '--dashboards', dashboards, ...args], { env });
}

describe('es-setup --dashboards', { concurrency: 2 }, () => {
  test('imports all objects, once; finds an edit; mends it; takes all away', async (t) => {
    const fake = await startDashboards(t, { basePath: '/_dashboards' });
    const imports = () => fake.asked.filter(({ path }) => path.includes('_import')).length;
    const first = await setup(t, fake.url);
    assert.equal(first.code, 0, first.stderr);
    assert.deepEqual(
      [...fake.objects.keys()],
      [
        'index-pattern:taxiflow-pickup_count',
        'index-pattern:taxiflow-trip_duration',
        'visualization:taxiflow-pickup-map',
        'visualization:taxiflow-airport-minutes',
        'dashboard:Taxi-Trips-Dashboard',
      ],
    );
    assert.match(first.stderr, /imported .*dashboard Taxi-Trips-Dashboard/);
    assert.equal((await setup(t, fake.url)).code, 0);
    assert.equal(imports(), 1, 'the second run sends nothing');

    const lines = fake.objects.get('visualization:taxiflow-airport-minutes')!;
    lines.attributes['uiStateJSON'] = '{"vis":{}}';
    fake.objects.delete('dashboard:Taxi-Trips-Dashboard');
    const check = await setup(t, fake.url, ['--check', '--json']);
    assert.equal(check.code, 3);
    const { differences } = check.json<{ differences: string[] }>();
    assert.deepEqual(
      differences.filter((text) => !/template|alias/.test(text)),
      [
        'visualization taxiflow-airport-minutes: uiStateJSON differs',
        'dashboard Taxi-Trips-Dashboard: it is missing',
      ],
    );
    assert.equal(imports(), 1, '--check sends nothing');
    await setup(t, fake.url);
    assert.equal(imports(), 2);
    assert.match(
      String(fake.objects.get('visualization:taxiflow-airport-minutes')!.attributes['uiStateJSON']),
      /colors/,
    );

    fake.objects.set('visualization:mine', {
      type: 'visualization',
      id: 'mine',
      attributes: { title: 'mine' },
    });
    const removed = await setup(t, fake.url, ['--delete']);
    assert.equal(removed.code, 0, removed.stderr);
    assert.deepEqual([...fake.objects.keys()], ['visualization:mine'], "what isn't ours stays");
    assert.deepEqual(
      new Set(fake.asked.map(({ method, headers }) => `${method} ${headers['securitytenant']}`)),
      new Set(['GET global', 'POST global', 'DELETE global']),
      "not in the tenant of one user's own, which is the default where there are tenants",
    );
  });

  test('an older install is told, and mended; what a user added or set is kept', async (t) => {
    const fake = await startDashboards(t);
    await setup(t, fake.url);
    const map = fake.objects.get('visualization:taxiflow-pickup-map')!;
    const pattern = fake.objects.get('index-pattern:taxiflow-pickup_count')!;
    map.attributes['visState'] = JSON.stringify({
      title: 'Taxi pick-ups',
      type: 'tile_map',
      params: {},
      aggs: [],
    });
    pattern.attributes['fieldFormatMap'] = '{"pickup_count":{"id":"number"}}';
    fake.objects.set('dashboard:Taxi-Trips-Dashboard', structuredClone(FORMER));
    const check = await setup(t, fake.url, ['--check', '--json']);
    assert.deepEqual(
      check.json<{ differences: string[] }>().differences.filter((text) => !/template|alias/.test(text)),
      [
        'visualization taxiflow-pickup-map: its type is tile_map, not vega',
        'dashboard Taxi-Trips-Dashboard: panelsJSON differs',
        'dashboard Taxi-Trips-Dashboard: refreshInterval differs',
      ],
    );
    const { stderr } = await setup(t, fake.url);
    assert.match(stderr, /^imported visualization taxiflow-pickup-map, dashboard Taxi-Trips-Dashboard$/m);
    assert.match(
      String(fake.objects.get('visualization:taxiflow-pickup-map')!.attributes['visState']),
      /"vega"/,
    );
    assert.match(
      String(pattern.attributes['fieldFormatMap']),
      /number/,
      'what is as it should be is not sent',
    );
    const { attributes } = fake.objects.get('dashboard:Taxi-Trips-Dashboard')!;
    assert.match(String(attributes['panelsJSON']), new RegExp(ADDED));
    assert.equal(attributes['timeFrom'], 'now-1h');
    const last = await setup(t, fake.url, ['--check', '--json']);
    assert.ok(
      last.json<{ differences: string[] }>().differences.every((text) => /template|alias/.test(text)),
    );
  });

  test('the hint of --check can be pasted: it names Dashboards and the views too', async (t) => {
    const fake = await startDashboards(t);
    const views = join(temporaryFolder(t), 'views.json');
    writeFileSync(views, JSON.stringify([taxiViews()[1]]));
    const { stderr } = await setup(t, fake.url, ['--check', '--views', views]);
    const [, hint = ''] = /"(taxiflow es-setup [^"]*)"/.exec(stderr) ?? [];
    assert.ok(hint.includes(`--dashboards ${fake.url}`), stderr);
    assert.ok(hint.includes(`--views ${views}`), stderr);
  });

  test('one that sends to a page to log in is refused with its address, but not with what it adds', async (t) => {
    const location = 'https://login.example.com/oauth2/authorize?state=SECRET';
    const { url } = await serve(t, () => ({ status: 302, body: '', headers: { location } }));
    const { code, stderr } = await setup(t, url);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^Error: no OpenSearch Dashboards .* a redirection to https:\/\/login\.example\.com\/\S+\n/m,
    );
    assert.doesNotMatch(stderr, /SECRET/);
  });

  test('--dry-run prints the import and sends nothing', async (t) => {
    const fake = await startDashboards(t);
    const { code, stdout } = await setup(t, fake.url, ['--dry-run']);
    assert.equal(code, 0);
    const requests = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { to: string; path: string; body: unknown });
    const [last] = requests.slice(-1);
    assert.deepEqual(
      { ...last, body: undefined },
      {
        to: 'dashboards',
        method: 'POST',
        path: '/api/saved_objects/_import?overwrite=true',
        body: undefined,
      },
    );
    assert.deepEqual(last!.body, JSON.parse(JSON.stringify(savedObjectsOf('', taxiViews()))));
    assert.ok(
      fake.asked.every(({ method }) => method === 'GET'),
      'only looked',
    );
  });

  test('an import that says success with nothing there is exit code 1', async (t) => {
    const fake = await startDashboards(t);
    fake.forgetful = true;
    const { code, stderr } = await setup(t, fake.url);
    assert.equal(code, 1);
    assert.match(stderr, /\nError: [^\n]*said success, but [^\n]*\nTry: [^\n]+\n$/);
  });

  test('behind a password', async (t) => {
    const fake = await startDashboards(t, { user: 'ann:secret' });
    const refused = await setup(t, fake.url);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /^Error: OpenSearch Dashboards at .* wants to know who asks: Authentication required\nTry: .*OPENSEARCH_USERNAME/m,
    );
    const { code, stderr } = await setup(t, fake.url, [], {
      OPENSEARCH_USERNAME: 'ann',
      OPENSEARCH_PASSWORD: 'secret',
    });
    assert.equal(code, 0, stderr);
    assert.equal(fake.objects.size, 5);
  });

  test('--wait waits for a Dashboards that is still starting', async (t) => {
    const fake = await startDashboards(t);
    let asked = 0;
    fake.instead = () =>
      ++asked <= 2 ? { status: 503, body: 'OpenSearch Dashboards server is not ready yet' } : undefined;
    const impatient = await setup(t, fake.url);
    assert.equal(impatient.code, 1);
    assert.match(impatient.stderr, /not ready yet/);
    const { code, stderr } = await setup(t, fake.url, ['--wait']);
    assert.equal(code, 0, stderr);
    assert.equal(fake.objects.size, 5);
  });

  for (const [what, answer] of [
    ['a web server', { body: '<html>hello</html>' }],
    ['a server that has no such page', { status: 404, body: 'Not Found' }],
    ['OpenSearch itself', { status: 400, body: { error: 'no handler found for uri [/api/saved_objects]' } }],
  ] as const) {
    test(`refused: ${what}`, async (t) => {
      const { url, asked } = await serve(t, () => answer);
      const { code, stderr } = await setup(t, url);
      assert.equal(code, 1);
      assert.match(stderr, /^Error: no OpenSearch Dashboards answers at .*\nTry: .*--dashboards/m);
      assert.ok(
        asked.every(({ method }) => method === 'GET'),
        'nothing was sent',
      );
    });
  }
});
