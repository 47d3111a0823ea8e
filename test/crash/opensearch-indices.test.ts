/**
 * The processor killed around its bulk requests while its indices roll over, are restored from a snapshot, swapped and
 * deleted, by the real binary and a real server: each result is there once, in its last version, the corrected ones and
 * those that were taken back included (O1, O2, O4, O5, O7). TAXIFLOW_KILLS says how often it is killed.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { temporaryFolder } from '../files.ts';
import { Line, sameLines } from '../golden/line.ts';
import { expectedLines } from '../golden/oracle.ts';
import { showsExactly } from '../golden/search.ts';
import {
  type OpenSearch,
  type OpenSearchVersion,
  productOf,
  startOpenSearch,
  withoutVersion,
} from '../services/opensearch.ts';
import { proxied } from '../services/search-proxy.ts';
import { taxiflow } from '../taxiflow.ts';

const KILLS = Number(process.env['TAXIFLOW_KILLS'] ?? 12);
const DAY = Date.UTC(2016, 0, 11);
const DAY_MS = 24 * 3_600_000;
const TO_END = ['--until-end', '--drain'];
const MOMENTS = ['before', 'between', 'after'] as const;
const EVENTS = [
  'rollover',
  'rollover',
  'restore',
  'rollover',
  'swap',
  'rollover',
  'delete',
  'rollover',
] as const;

/** Has results for windows with an odd number of trips, so one more trip retracts the result. */
const ODD = `export const views = ({ view, tumbling, count, aggregate, divide, truncate, multiply, ne }) => [view({
  name: 'odd', by: {}, window: tumbling('1m'), aggregates: { trips: count() },
  having: ne(aggregate('trips'), multiply(2, truncate(divide(aggregate('trips'), 2)))),
})];`;

for (const version of ['2.19.1', '3.8.0'] as const) {
  it(`${productOf(version)}: each result is stored once, whatever happens to the indices while the processor is killed`, {
    skip: withoutVersion(version),
  }, async (t) => {
    const search = await openSearchWithSnapshots(t, version);
    await t.test('the two views, with corrections', async (t) => {
      const killed = await killedOften(t, search, 'kept-', ['pickup_count', 'trip_duration'], []);
      await showsExactly(search, 'kept-', (await expectedLines(killed.files)).lines, 'after the kills');
    });
    await t.test('a view with retractions', async (t) => {
      const folder = temporaryFolder(t);
      const views = join(folder, 'odd.mjs');
      writeFileSync(views, ODD);
      const killed = await killedOften(t, search, 'odd-', ['odd'], ['--views', views]);
      sameLines(await oddShown(search), oddOf(killed.files), 'odd windows after the kills');
    });
  });
}

async function openSearchWithSnapshots(t: TestContext, version: OpenSearchVersion): Promise<OpenSearch> {
  const repository = temporaryFolder(t);
  const search = await startOpenSearch(t, { version, settings: { 'path.repo': repository } });
  await search.request('PUT', '/_snapshot/kept', { type: 'fs', settings: { location: repository } });
  return search;
}

/** Trips of a day in two files, the second of which corrects the results of the first. */
function dayTwice(t: TestContext): string[] {
  const folder = temporaryFolder(t);
  return [1, 2].map((seed) => {
    const file = join(folder, `trips-${seed}.csv`);
    const options = { from: '2016-01-11', hours: 24, seed, layout: 'yellow-2015', dirty: 0 } as const;
    writeFileSync(file, [...generateCsv({ trips: 6_000, ...options })].join(''));
    return file;
  });
}

async function killedOften(
  t: TestContext,
  search: OpenSearch,
  prefix: string,
  views: readonly string[],
  options: readonly string[],
): Promise<{ files: string[] }> {
  const files = dayTwice(t);
  const folder = temporaryFolder(t);
  const names = views.map((view) => `${prefix}${view}`);
  let victim: ChildProcess | undefined;
  let newest = 0;
  let moment: (typeof MOMENTS)[number] = 'before';
  let event: (typeof EVENTS)[number] = 'rollover';
  const kills: Record<string, number> = {};
  const proxy = await proxied(t, search.endpoint, async (bulk) => {
    const due = victim !== undefined && bulk.lines.some((line) => timeOf(line) >= newest);
    const kill = async () => {
      const killed = victim;
      victim = undefined;
      if (event === 'rollover') await rolledOver(search, names);
      if (killed?.kill('SIGKILL')) kills[`${event} ${moment}`] = (kills[`${event} ${moment}`] ?? 0) + 1;
    };
    if (due && moment === 'before') await kill();
    if (due && moment === 'before') return 'cut';
    const reply = await bulk.forward();
    if (due && moment === 'between') await kill();
    if (due && moment === 'between') return 'cut';
    if (due) setImmediate(() => void kill());
    return reply;
  });
  const flow = [
    ...['process', '--data-dir', folder, '--opensearch', proxy.endpoint, '--index-prefix', prefix],
    ...['--allowed-lateness', '1000d', ...options],
  ];
  for (let run = 0; run < KILLS; run++) {
    const half = Math.ceil(KILLS / 2);
    const [file, part] = run < half ? [files[0]!, run] : [files[1]!, run - half];
    const until = DAY + (DAY_MS * (part + 1)) / half;
    await new Line(folder, [file], 4).replay({ until, resume: part > 0 });
    [moment, event] = [MOMENTS[run % MOMENTS.length]!, EVENTS[run % EVENTS.length]!];
    newest = until - DAY_MS / 2 / half;
    if (event === 'restore') await snapshotted(search, names, `${prefix}${run}`);
    const ran = await taxiflow([...flow, '--checkpoint-interval', '5ms'], {
      onStart: (child) => {
        victim = child;
      },
    });
    assert.equal(ran.signal, 'SIGKILL', `it ended by itself: ${ran.stderr}`);
    if (event === 'restore') await restored(search, names, `${prefix}${run}`);
    if (event === 'swap') await swapped(search, names, run);
    if (event === 'delete') for (const name of names) await deleted(search, name);
  }
  for (const file of files) await new Line(folder, [file], 4).replay({ resume: true });
  const last = await taxiflow([...flow, ...TO_END]);
  assert.equal(last.code, 0, last.stderr);
  t.diagnostic(`kills: ${JSON.stringify(kills)}`);
  return { files };
}

/** Epoch ms of the window of a line, for a deletion by its id; NaN for other lines. */
function timeOf(line: string): number {
  const found = /"window_start":"([^"]+)"/.exec(line) ?? /"_id":"[^|"]+\|([^|"]+)/.exec(line);
  return Date.parse(found?.[1] ?? '');
}

async function rolledOver(search: OpenSearch, names: readonly string[]): Promise<void> {
  for (const name of names) await search.request('POST', `/${name}/_rollover`).catch(() => {});
}

async function indicesOf(search: OpenSearch, name: string): Promise<string[]> {
  const found = await search.request<Record<string, unknown>>('GET', `/${name}/_alias`).catch(() => ({}));
  return Object.keys(found);
}

async function snapshotted(search: OpenSearch, names: readonly string[], as: string): Promise<void> {
  const indices = (await Promise.all(names.map((name) => indicesOf(search, name)))).flat();
  await search.request('PUT', `/_snapshot/kept/${as}?wait_for_completion=true`, {
    indices: indices.join(','),
    include_global_state: false,
  });
}

/** Restores the snapshot over the existing indices. */
async function restored(search: OpenSearch, names: readonly string[], from: string): Promise<void> {
  const indices = (await Promise.all(names.map((name) => indicesOf(search, name)))).flat().join(',');
  await search.request('POST', `/${indices}/_close`);
  await search.request('POST', `/_snapshot/kept/${from}/_restore?wait_for_completion=true`, {
    include_global_state: false,
    include_aliases: false,
  });
  await search.request('POST', `/${indices}/_open`);
  await search.request('GET', '/_cluster/health?wait_for_status=yellow&timeout=30s');
}

/** Points the alias to an empty index instead of its former ones. */
async function swapped(search: OpenSearch, names: readonly string[], run: number): Promise<void> {
  for (const name of names) {
    const fresh = `${name}-${100_000 + run * 1_000}`;
    await search.request('PUT', `/${fresh}`);
    const before = await indicesOf(search, name);
    const actions = before.map((index) => ({ remove: { index, alias: name } }));
    const add = { index: fresh, alias: name, is_write_index: true };
    await search.request('POST', '/_aliases', { actions: [...actions, { add }] });
  }
}

async function deleted(search: OpenSearch, name: string): Promise<void> {
  for (const index of await indicesOf(search, name)) await search.request('DELETE', `/${index}`);
}

async function oddShown(search: OpenSearch): Promise<string[]> {
  await search.request('POST', '/odd-odd/_refresh');
  const { hits } = await search.request<{
    hits: { hits: { _source: { window_start: string; trips: number } }[] };
  }>('GET', '/odd-odd/_search?size=10000');
  return hits.hits
    .map(({ _source }) => `${new Date(_source.window_start).toISOString()} ${_source.trips}`)
    .sort();
}

/** Computed from the text of the files alone. */
function oddOf(files: readonly string[]): string[] {
  const windows = new Map<string, number>();
  for (const file of files) {
    const [header = '', ...rows] = readFileSync(file, 'utf8').trimEnd().split('\n');
    const column = header.split(',').findIndex((name) => /dropoff_datetime/.test(name));
    for (const row of rows) {
      const minute = `${row.split(',')[column]!.slice(0, 16).replace(' ', 'T')}:00.000Z`;
      windows.set(minute, (windows.get(minute) ?? 0) + 1);
    }
  }
  return [...windows]
    .filter(([, trips]) => trips % 2 === 1)
    .map(([minute, trips]) => `${minute} ${trips}`)
    .sort();
}
