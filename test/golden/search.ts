/** Compares what OpenSearch shows of a run, documents and dashboard aggregations, with the oracle. */
import assert from 'node:assert/strict';
import type { OpenSearch } from '../services/opensearch.ts';
import { sameLines } from './line.ts';
import { comparable } from './oracle.ts';

const PAGE = 1_000;

interface Hits {
  readonly _scroll_id: string;
  readonly hits: { readonly hits: readonly { readonly _id: string; readonly _source: object }[] };
}

interface Buckets {
  readonly buckets: readonly { readonly key: string | number; readonly value: { readonly value: number } }[];
}

type Result = Record<string, string | number>;

/** The expected mappings of the two views. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  pickup_count: { pickup_count: 'long' },
  trip_duration: {
    airport_code: 'keyword',
    trip_count: 'long',
    sum_trip_duration: 'long',
    avg_trip_duration: 'double',
  },
};

export interface IndexChoice {
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Fields to map otherwise. */
  readonly fields?: Readonly<Record<string, object>>;
}

/** Makes the index of a view by hand, and replaces an existing one. */
export async function makeIndex(
  search: OpenSearch,
  prefix: string,
  view: 'pickup_count' | 'trip_duration',
  { settings = {}, fields = {} }: IndexChoice = {},
): Promise<void> {
  const common = { view: 'keyword', location: 'geo_point' };
  const times = { window_start: 'date', window_end: 'date', timestamp: 'date' };
  const typed = Object.entries({ ...common, ...times, ...FIELDS[view] }).map(([name, type]) => [
    name,
    { type },
  ]);
  await search.request('DELETE', `/${prefix}${view}?ignore_unavailable=true`);
  await search.request('PUT', `/${prefix}${view}`, {
    settings,
    mappings: { dynamic: 'strict', properties: { ...Object.fromEntries(typed), ...fields } },
  });
}

/** All stored documents of both views, as comparable lines. */
export async function documents(search: OpenSearch, prefix: string): Promise<string[]> {
  const names = namesOf(prefix);
  await search.request('POST', `/${names}/_refresh`);
  const sources: string[] = [];
  let page = await search.request<Hits>('POST', `/${names}/_search?scroll=1m`, { size: PAGE });
  for (; page.hits.hits.length > 0; ) {
    for (const { _source } of page.hits.hits) sources.push(JSON.stringify(_source));
    const scroll = { scroll: '1m', scroll_id: page._scroll_id };
    page = await search.request<Hits>('POST', '/_search/scroll', scroll);
  }
  await search.request('DELETE', '/_search/scroll', { scroll_id: page._scroll_id });
  return comparable(sources.join('\n'));
}

/** The number of documents of both views. */
export async function countOf(search: OpenSearch, prefix: string): Promise<number> {
  const names = namesOf(prefix);
  await search.request('POST', `/${names}/_refresh`);
  return (await search.request<{ count: number }>('GET', `/${names}/_count`)).count;
}

/** Checks that the documents are the oracle's, and that map and lines of the dashboard show their sums. */
export async function showsExactly(
  search: OpenSearch,
  prefix: string,
  expected: readonly string[],
  what: string,
): Promise<void> {
  sameLines(await documents(search, prefix), expected, `documents, ${what}`);
  const results = expected.map((line) => JSON.parse(line) as Result);
  const cells = results.filter(({ view }) => view === 'pickup_count');
  assert.deepEqual(
    await aggregated(search, `${prefix}pickup_count`, {
      aggs: {
        by: { geohash_grid: { field: 'location', precision: 6, size: 10_000 }, ...sum('pickup_count') },
      },
    }),
    grouped(cells, ({ location }) => String(location), 'pickup_count', total),
    `pick-ups on the map, ${what}`,
  );
  const rides = results.filter(({ view }) => view === 'trip_duration');
  for (const airport of ['JFK', 'LGA']) {
    assert.deepEqual(
      await aggregated(search, `${prefix}trip_duration`, {
        query: { term: { airport_code: airport } },
        aggs: {
          by: {
            date_histogram: { field: 'timestamp', fixed_interval: '1h', min_doc_count: 1 },
            aggs: { value: { avg: { field: 'avg_trip_duration' } } },
          },
        },
      }),
      grouped(
        rides.filter(({ airport_code }) => airport_code === airport),
        ({ timestamp }) => String(Math.floor(Date.parse(String(timestamp)) / 3_600_000) * 3_600_000),
        'avg_trip_duration',
        (values) => total(values) / values.length,
      ),
      `minutes to ${airport} as a line, ${what}`,
    );
  }
}

function sum(field: string) {
  return { aggs: { value: { sum: { field } } } };
}

async function aggregated(search: OpenSearch, name: string, body: object): Promise<Record<string, string>> {
  const { aggregations } = await search.request<{ aggregations: { by: Buckets } }>(
    'POST',
    `/${name}/_search`,
    { size: 0, ...body },
  );
  return sortedByKey(aggregations.by.buckets.map(({ key, value }) => [String(key), value.value]));
}

function grouped(
  results: readonly Result[],
  keyOf: (result: Result) => string,
  field: string,
  combine: (values: readonly number[]) => number,
): Record<string, string> {
  const groups = new Map<string, number[]>();
  for (const result of results) {
    const key = keyOf(result);
    groups.set(key, [...(groups.get(key) ?? []), Number(result[field])]);
  }
  return sortedByKey([...groups].map(([key, values]) => [key, combine(values)]));
}

/** The last digits of a sum of doubles depend on the order; the first twelve don't. */
function sortedByKey(pairs: readonly (readonly [string, number])[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map(([key, value]) => [key, value.toPrecision(12)] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function namesOf(prefix: string): string {
  return `${prefix}pickup_count,${prefix}trip_duration`;
}
