/** The page's server over plain HTTP: which requests it answers, with what, and what it pushes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get, type IncomingHttpHeaders, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { hostname, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { startDashboard } from '../../src/dashboard/dashboard.ts';
import {
  type Changes,
  type Column,
  type History,
  type JobStatus,
  undiffed,
  type Windows,
  type WindowUpdate,
} from '../../src/dashboard/page/wire.ts';
import { cellText } from '../../src/views/geohash.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { following, taxiflow } from '../taxiflow.ts';
import { PATIENCE_MS, until } from '../until.ts';
import { dashboard, processed, run, type Served, writtenState } from './support.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function ask(
  url: string,
  options: { method?: string; path?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}

const withoutIpv6 =
  process.env['CI'] !== 'true' &&
  !Object.values(networkInterfaces())
    .flat()
    .some((at) => at?.address === '::1')
    ? 'this machine has no IPv6'
    : false;

interface Pushed {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: string;
}

/** Listens as a page does, up to the event that `until` accepts. */
function listen(
  url: string,
  after: string,
  until: (event: Pushed) => boolean,
  { headers = {}, view = '' } = {},
): Promise<Pushed[]> {
  return new Promise((resolve, reject) => {
    const events: Pushed[] = [];
    const sent = get(
      `${url}api/events?${new URLSearchParams({ after, view })}`,
      { agent: false, headers },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          const blocks = `${text}${chunk}`.split('\n\n');
          text = blocks.pop()!;
          for (const block of blocks) {
            const field = (name: string) => block.match(new RegExp(`^${name}: (.*)$`, 'm'))?.[1];
            if (field('event') === undefined) continue;
            events.push({ event: field('event')!, id: field('id'), data: field('data') ?? '' });
            if (!until(events.at(-1)!)) continue;
            clearTimeout(deadline);
            sent.destroy();
            resolve(events);
          }
        });
        response.on('end', () =>
          reject(new Error(`ended after ${events.map(({ event }) => event).join(', ')}`)),
        );
      },
    );
    sent.on('error', reject);
    const deadline = setTimeout(() => {
      sent.destroy();
      reject(new Error(`only heard ${events.map(({ event }) => event).join(', ')}`));
    }, PATIENCE_MS);
  });
}

async function historyOf(url: string, view = ''): Promise<History> {
  const { body } = await ask(`${url}api/history?view=${view}`);
  return JSON.parse(body.toString()) as History;
}

/** All windows of a view, piece by piece as a page loads them, oldest first. */
async function windowsOf(url: string, view: string): Promise<WindowUpdate[]> {
  const found: WindowUpdate[] = [];
  for (let before: number | null = Number.MAX_SAFE_INTEGER; before !== null; ) {
    const { body } = await ask(`${url}api/windows?${new URLSearchParams({ view, before: String(before) })}`);
    const { windows, next } = JSON.parse(body.toString()) as Windows;
    found.unshift(...windows.toReversed());
    before = next;
  }
  return found;
}

/** The results of all views, once the server has all of them: it looks at the state at intervals. */
async function allWindowsOf(url: string, dataDir: string, app: string): Promise<WindowUpdate[]> {
  const results = (await run('results', '--app', app, '--data-dir', dataDir, '--json')).trim();
  const count = (JSON.parse(results) as unknown[]).length;
  let all: WindowUpdate[] = [];
  await until('the server has all results', async () => {
    const { shapes } = await historyOf(url);
    const views = await Promise.all(shapes.map(({ name }) => windowsOf(url, name)));
    all = views.flat();
    return all.reduce((sum, { values }) => sum + values[0]!.length, 0) === count;
  });
  return all;
}

/** The values of a key field, row by row. */
function textsOf(column: Column): string[] {
  if (!('cells' in column)) return column.map(String);
  return [...undiffed(column.cells)].map((code) => cellText(code, column.precision));
}

describe('the server of the page', () => {
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
    const file = join(folder, 'trips.csv');
    copyFileSync(fixture('yellow-2015.csv'), file);
    await processed(folder, file);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const serve = (t: TestContext, ...args: string[]): Promise<Served> =>
    dashboard(t, ['--data-dir', folder, '--port', '0', ...args]);

  it('answers only to names of this machine', async (t) => {
    const { url, port } = await serve(t);
    for (const host of [
      `127.0.0.1:${port}`,
      `localhost:${port}`,
      'LOCALHOST',
      `[::1]:${port}`,
      hostname(),
      `127.0.0.1:1`,
      // An IP address, of the network or of a container, can't be a rebound DNS name.
      `192.0.2.7:${port}`,
      '[2001:db8::7]',
    ]) {
      assert.equal((await ask(url, { headers: { host } })).status, 200, host);
    }
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '127.0.0.1:80:80',
      '192.0.2.7.example:80',
      '192.0.2',
      '2130706433',
      '[::1',
    ]) {
      for (const path of ['/', '/api/history', '/api/events', '/nothing']) {
        assert.equal((await ask(url, { path, headers: { host } })).status, 421, `${host} ${path}`);
      }
    }
  });

  it('refuses all methods but GET and HEAD', async (t) => {
    const { url } = await serve(t);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE']) {
      const { status, headers } = await ask(url, { method });
      assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'], method);
    }
    for (const path of ['/', '/api/history', '/api/events']) {
      const head = await ask(url, { method: 'HEAD', path });
      assert.deepEqual([head.status, head.body.length], [200, 0], `HEAD ${path}`);
    }
  });

  it('serves no file outside of the page', async (t) => {
    const { url, port } = await serve(t);
    const paths = [
      '/../../../package.json',
      '/%2e%2e/%2e%2e/package.json',
      '/..%2f..%2fpackage.json',
      '/vendor/../../../cli/main.js',
      '/vendor/..\\..\\server.js',
      '//etc/passwd',
      '/wire.d.ts',
      '/index.html%00',
      '/vendor',
      '/api',
    ];
    for (const path of paths) {
      // Sent raw, since an HTTP client would normalise the path.
      const socket = connect(port, '127.0.0.1');
      socket.end(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
      const chunks: Buffer[] = [];
      for await (const chunk of socket) chunks.push(chunk as Buffer);
      assert.match(Buffer.concat(chunks).toString(), /^HTTP\/1.1 40[04] /, path);
    }
    const missing = await ask(url, { path: '/nothing' });
    assert.equal(missing.headers['x-content-type-options'], 'nosniff', 'refusals have the same headers');
  });

  it('allows no other origin on the page', async (t) => {
    const { url } = await serve(t);
    const { headers, body } = await ask(url);
    const policy = String(headers['content-security-policy']);
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'none'",
    ]) {
      assert.ok(policy.split('; ').includes(part), `${part} in ${policy}`);
    }
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    const html = body.toString();
    assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style/, 'nothing inline');
    assert.doesNotMatch(html, /https?:\/\//, 'no address elsewhere');
    const elsewhere = { 'sec-fetch-site': 'cross-site' };
    assert.equal(
      (await ask(url, { path: '/api/history', headers: elsewhere })).status,
      403,
      'requests from other sites are refused',
    );
    assert.equal((await ask(url, { headers: elsewhere })).status, 200, 'a link from elsewhere leads here');

    const tiled = await serve(t, '--tiles', 'https://tiles.example:8443/{z}/{x}/{y}.png');
    const tiledPolicy = String((await ask(tiled.url)).headers['content-security-policy']);
    assert.match(tiledPolicy, /connect-src 'self' https:\/\/tiles\.example:8443;/);
    assert.match(tiledPolicy, /img-src 'self' data: https:\/\/tiles\.example:8443;/);
    assert.match(tiledPolicy, /script-src 'self';/, 'tiles bring no scripts');
  });

  it('compresses, and answers 304 when nothing changed', async (t) => {
    const { url } = await serve(t);
    for (const path of ['/', '/main.js', '/style.css', '/outline.json', '/zones.json', '/api/history']) {
      const plain = await ask(url, { path });
      const [gz, br] = await Promise.all(
        ['gzip', 'gzip, deflate, br'].map((encoding) =>
          ask(url, { path, headers: { 'accept-encoding': encoding } }),
        ),
      );
      assert.equal(plain.headers['content-encoding'], undefined, path);
      assert.deepEqual(
        [gz!.headers['content-encoding'], br!.headers['content-encoding']],
        ['gzip', 'br'],
        path,
      );
      assert.deepEqual(gunzipSync(gz!.body), plain.body, `${path} in gzip`);
      assert.deepEqual(brotliDecompressSync(br!.body), plain.body, `${path} in brotli`);
      assert.equal(plain.headers.vary, 'accept-encoding');
    }
    const { etag = '' } = (await ask(url, { path: '/main.js' })).headers;
    for (const known of [etag, `"other", ${etag}`]) {
      const again = await ask(url, { path: '/main.js', headers: { 'if-none-match': known } });
      assert.deepEqual(
        [again.status, again.body.length, again.headers.vary],
        [304, 0, 'accept-encoding'],
        known,
      );
    }
    const changed = await ask(url, { path: '/main.js', headers: { 'if-none-match': 'W/"other"' } });
    assert.equal(changed.status, 200, 'another one');
    for (const [header, wanted] of [
      ['br;q=0, gzip', 'gzip'],
      ['gzip;q=0.5, br;q=0.000', 'gzip'],
      ['GZIP', 'gzip'],
      ['gzip; q=0', undefined],
      ['br;q=1.0', 'br'],
    ] as const) {
      const { headers } = await ask(url, { path: '/main.js', headers: { 'accept-encoding': header } });
      assert.equal(headers['content-encoding'], wanted, header);
    }
  });

  it('has all results of each view', async (t) => {
    const { url } = await serve(t);
    const { shapes } = await historyOf(url);
    const results = (await run('results', '--data-dir', folder, '--format', 'ndjson')).trim().split('\n');
    assert.ok(results.length > 10, 'there are results');
    for (const shape of shapes) {
      const names = [...shape.keys, ...shape.aggregates].map(({ name }) => name);
      const wanted = results
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ view }) => view === shape.name)
        .map((doc) => [doc['window_start'], doc['window_end'], ...names.map((name) => doc[name])].join());
      const windows = await windowsOf(url, shape.name);
      const shown = windows.flatMap(({ start, end, keys, values }) => {
        const columns = [...keys.map(textsOf), ...values];
        const times = [start, end].map((ms) => new Date(ms).toISOString());
        return values[0]!.map((_, row) => [...times, ...columns.map((column) => column[row])].join());
      });
      assert.deepEqual(shown.sort(), wanted.sort(), shape.name);
      const { labels, view } = await historyOf(url, shape.name);
      assert.equal(view, shape.name);
      assert.deepEqual(labels, [...new Set(windows.map(({ label }) => label))]);
    }
    assert.deepEqual(
      shapes.map(({ name }) => name),
      ['pickup_count', 'trip_duration'],
    );
    assert.equal((await historyOf(url, 'no such view')).view, 'pickup_count', 'or else the first');
  });

  it('answers for the job that is asked for, and for none of another name', async (t) => {
    const dataDir = temporaryFolder(t);
    const [first, second] = ['early', 'late'].map((app, i) => {
      const state = writtenState(dataDir, app, taxiViews());
      t.after(() => state.close());
      const start = Date.UTC(2016, 0, 14 + i);
      state.fire({
        view: 'pickup_count',
        start,
        end: start + 600_000,
        docs: [{ location: 'dr5ru7', pickup_count: 7 }],
      });
      return start;
    });
    writeFileSync(join(dataDir, 'secret.sqlite'), 'not a job');
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--app', 'early', '--port', '0']);
    const labels = async (app: string) =>
      (JSON.parse((await ask(`${url}api/history?app=${app}`)).body.toString()) as History).labels;
    assert.deepEqual(await labels(''), [first]);
    assert.deepEqual(await labels('early'), [first]);
    assert.deepEqual(await labels('late'), [second], 'another one of the folder');
    for (const path of ['history', 'windows', 'job', 'dead-letters', 'events']) {
      const there = await ask(`${url}api/${path}?app=late`, { method: 'HEAD' });
      assert.equal(there.status, 200, path);
      for (const app of [
        'nobody',
        '../secret',
        '../../etc/passwd',
        '%2e%2e%2fsecret',
        'late%00',
        'late/',
        '__proto__',
        'x'.repeat(10_000),
      ]) {
        // biome-ignore format: names
        const { status, body } = await ask(`${url}api/${path}?app=${app}`);
        assert.equal(status, 404, `${path} of ${app.slice(0, 20)}`);
        assert.doesNotMatch(body.toString(), /passwd|secret/, 'nothing of it is repeated');
      }
    }
    const jobs = JSON.parse((await ask(`${url}api/jobs`)).body.toString()) as { app: string }[];
    assert.deepEqual(
      jobs.map(({ app }) => app),
      ['early', 'late'],
    );
  });

  it('refuses a time that is none', async (t) => {
    const { url } = await serve(t);
    for (const before of ['x', '1e99', 'NaN', '1.5', '9'.repeat(400), '-Infinity'])
      assert.equal((await ask(`${url}api/windows?view=pickup_count&before=${before}`)).status, 400, before);
    for (const before of ['0', '-1', ''])
      assert.deepEqual(
        JSON.parse((await ask(`${url}api/windows?view=pickup_count&before=${before}`)).body.toString()),
        { windows: [], next: null },
        `nothing before ${before}`,
      );
  });

  it('only names windows that are too large to be pushed', async (t) => {
    const dataDir = temporaryFolder(t);
    const state = writtenState(dataDir, 'a', taxiViews());
    t.after(() => state.close());
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--port', '0']);
    const [start, end] = [Date.UTC(2016, 0, 14), Date.UTC(2016, 0, 14, 0, 10)];
    const cells = (count: number) =>
      Array.from({ length: count }, (_, i) => ({
        location: cellText(i * 1_001, 6),
        pickup_count: 1_000 + i,
      }));
    const totals = { keys: 9, all: { values: { pickup_count: 8 }, of: { pickup_count: 8 } }, groups: [] };
    const push = async (count: number, correction: boolean) => {
      const { id } = await historyOf(url);
      const heard = listen(url, id, ({ event }) => event === 'changes', { view: 'pickup_count' });
      state.fire({ view: 'pickup_count', start, end, docs: cells(count), totals, correction });
      return JSON.parse((await heard).at(-1)!.data) as Changes;
    };
    const small = await push(10, false);
    assert.deepEqual([small.windows[0]?.values[0]?.length, small.stale], [10, []]);
    const large = await push(60_000, true);
    assert.deepEqual([large.windows, large.stale], [[], [start]]);
    assert.equal(large.totals[0]?.windows[0]?.all.values[0], 8, 'its totals are told');
    assert.equal(
      (await windowsOf(url, 'pickup_count'))[0]!.values[0]!.length,
      60_000,
      'it is there to be asked for',
    );
  });

  it('pushes new results to a page that has the rest, and makes one that missed too much start again', async (t) => {
    const dataDir = temporaryFolder(t);
    const at = ['--data-dir', dataDir];
    const process = ['process', '--app', 'a', '--until-end', ...at];
    await run('replay', fixture('yellow-2015.csv'), '--speedup', 'max', '--limit', '200', ...at);
    await run(...process);
    const { url } = await dashboard(t, [...at, '--port', '0']);
    const { id, labels } = await historyOf(url);
    assert.ok(labels.length > 0, 'windows of the first half');

    const greeting = await listen(url, id, ({ event }) => event === 'status');
    assert.deepEqual(
      greeting.map(({ event }) => event),
      ['status'],
      'who knows all is told nothing else',
    );
    const status = JSON.parse(greeting[0]!.data) as JobStatus;
    assert.deepEqual([status.app, status.running, status.totals?.read], ['a', false, status.totals?.read]);

    const listening = listen(url, id, ({ event }) => event === 'changes');
    const ofOther = listen(url, id, ({ event }) => event === 'changes', { view: 'trip_duration' });
    await run('replay', fixture('yellow-2015.csv'), '--speedup', 'max', ...at);
    await run(...process, '--drain');
    const pushed = (await listening).at(-1)!;
    const pushedOther = JSON.parse((await ofOther).at(-1)!.data) as Changes;
    for (const { keys } of pushedOther.windows) assert.equal(keys.length, 2, 'results of its own view');
    const all = await allWindowsOf(url, dataDir, 'a');
    const now = await historyOf(url);
    assert.ok(now.labels.length > labels.length, 'more windows than before');
    const newest = (JSON.parse(pushed.data) as Changes).windows;
    assert.ok(newest.length > 0, 'windows were pushed');
    for (const window of newest)
      assert.ok(
        all.some((known) => known.label === window.label && known.keys.length === 1),
        'those of the view',
      );

    // A page that lost its connection resumes by the last event it saw, as browsers send it.
    const resumed = { headers: { 'last-event-id': id }, view: 'pickup_count' };
    const missed = await listen(url, '', ({ event }) => event === 'changes', resumed);
    assert.equal(missed.at(-1)!.data, pushed.data, 'what was missed comes again');
    for (const unknown of ['', 'other.1', `${id}9`]) {
      const events = await listen(url, unknown, ({ event }) => event === 'reset');
      assert.equal(events.at(-1)!.id, now.id, `"${unknown}" begins again`);
    }
  });

  it('tells a page that was away for a moment what it missed, also if it was the only one', async (t) => {
    const dataDir = temporaryFolder(t);
    const state = writtenState(dataDir, 'a', taxiViews());
    t.after(() => state.close());
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--port', '0']);
    const isOfWindow = ({ event }: Pushed) => event === 'changes' || event === 'reset';
    for (const [i, other] of ['', 'trip_duration'].entries()) {
      const [start, end] = [Date.UTC(2016, 0, 14 + i), Date.UTC(2016, 0, 14 + i, 0, 10)];
      const { id } = await historyOf(url);
      await listen(url, id, ({ event }) => event === 'status', { view: 'pickup_count' });
      // Another page keeps the server looking, or none does.
      const stays = other && listen(url, id, ({ event }) => event === 'changes', { view: other });
      state.fire({ view: 'pickup_count', start, end, docs: [{ location: 'dr5ru7', pickup_count: 7 }] });
      if (stays) await stays;
      const [missed] = (await listen(url, id, isOfWindow, { view: 'pickup_count' })).filter(isOfWindow);
      assert.equal(missed!.event, 'changes');
      const { windows } = JSON.parse(missed!.data) as Changes;
      assert.deepEqual(
        windows.map(({ label, values }) => [label, values]),
        [[start, [[7]]]],
        other === '' ? 'alone' : 'beside another one',
      );
    }
  });

  it('follows a state that is created again', async (t) => {
    const dataDir = temporaryFolder(t);
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--app', 'demo', '--port', '0']);
    assert.deepEqual((await historyOf(url)).labels, [], 'nothing yet');
    const demo = ['demo', '--data-dir', dataDir, '--trips', '3000', '--speedup', 'max'];
    const listening = listen(
      url,
      '',
      ({ event, data }) => event === 'status' && (JSON.parse(data) as JobStatus).totals?.read !== undefined,
    );
    await run(...demo);
    await listening;
    const first = await allWindowsOf(url, dataDir, 'demo');
    const { id } = await historyOf(url);
    assert.ok(first.length > 0, 'windows of the first demo');
    const reset = listen(url, id, ({ event }) => event === 'reset');
    await run(...demo, '--seed', '2');
    await reset;
    const second = await allWindowsOf(url, dataDir, 'demo');
    assert.notEqual((await historyOf(url)).id, id);
    assert.notDeepEqual(second, first);
  });

  it('reports a state that is damaged, emptied, removed and restored, and follows it', async (t) => {
    const dataDir = temporaryFolder(t);
    const file = join(dataDir, 'apps', 'a.sqlite');
    const whole = readFileSync(join(folder, 'apps', 'golden.sqlite'));
    mkdirSync(join(dataDir, 'apps'));
    writeFileSync(file, whole);
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--port', '0']);
    const trouble = async (wanted: string | undefined) => {
      const events = await listen(
        url,
        '',
        ({ event, data }) => event === 'status' && (JSON.parse(data) as JobStatus).trouble?.code === wanted,
      );
      return (JSON.parse(events.findLast(({ event }) => event === 'status')!.data) as JobStatus).trouble;
    };
    await trouble(undefined);
    const windows = (await historyOf(url)).labels.length;
    const damages: [what: string, damage: () => void, code: string][] = [
      // In place, so that the open file is the one that changes.
      ['another content', () => writeFileSync(file, randomBytes(whole.length)), 'corrupt'],
      [
        'pages of it',
        () => writeFileSync(file, Buffer.concat([whole.subarray(0, 8192), randomBytes(whole.length - 8192)])),
        'corrupt',
      ],
      ['cut off', () => writeFileSync(file, whole.subarray(0, 20_000)), 'corrupt'],
      ['empty', () => writeFileSync(file, ''), 'no-app'],
      ['gone', () => rmSync(file), 'no-app'],
    ];
    for (const [what, damage, code] of damages) {
      damage();
      assert.ok((await trouble(code))?.hint, `${what}: it is said what to do`);
      assert.equal((await ask(url, { path: '/metrics' })).status, 200, `${what}: metrics`);
      writeFileSync(file, whole);
      await trouble(undefined);
      assert.equal((await historyOf(url)).labels.length, windows, `${what}, and back`);
    }
  });

  it('is reached by IPv6', { skip: withoutIpv6 }, async (t) => {
    const { url, port } = await serve(t, '--host', '::1');
    assert.equal(url, `http://[::1]:${port}/`);
    assert.equal((await ask(url)).status, 200);
    assert.equal((await ask(url, { headers: { host: 'evil.example' } })).status, 421);
  });

  it('takes the next free port and prints it', async (t) => {
    const taken = createServer().listen(0, '127.0.0.1');
    t.after(() => taken.close());
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const { port: found } = await dashboard(t, ['--data-dir', folder, '--port', String(port)]);
    assert.ok(found > port && found <= port + 50, `${found} after ${port}`);
  });

  it('ends on Ctrl-C with code 0, with pages open', async (t) => {
    let url = '';
    const ran = await taxiflow(['dashboard', '--data-dir', folder, '--port', '0'], {
      onStart: (child) =>
        child.stdout!.once('data', async (chunk: Buffer) => {
          url = chunk.toString().trim();
          const page = get(`${url}api/events`, () => child.kill('SIGINT'));
          page.on('error', () => {});
          t.after(() => page.destroy());
        }),
    });
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
    assert.match(ran.stderr, /Ctrl-C stops it/);
  });

  it('reports mistakes in its options', async () => {
    const at = ['--data-dir', folder];
    for (const [args, message] of [
      [['--port', '70000'], /--port 70000 is not a valid port/],
      [['--port', '1.5'], /--port needs a whole number/],
      [['--tiles', 'ftp://x/{z}'], /is not a tile URL/],
      [['--tiles', "https://x.example/'; script-src *"], /is not a tile URL/],
      [['--tiles', 'https://x.example;script-src/{z}'], /is not a tile URL/],
      [['--tiles', 'https://x example/{z}'], /is not a tile URL/],
      [['--tiles', 'https://{s}.x.example/{z}/{x}/{y}'], /is not a tile URL/],
      [['--tiles', 'https://name:word@x.example/{z}'], /is not a tile URL/],
    ] as const) {
      const ran = await taxiflow(['dashboard', ...at, ...args]);
      assert.equal(ran.code, 2, args.join(' '));
      assert.match(ran.stderr, message);
    }
    const elsewhere = await taxiflow(['dashboard', ...at, '--host', '203.0.113.7', '--port', '0']);
    assert.equal(elsewhere.code, 1);
    assert.match(elsewhere.stderr, /can't be served at 203\.0\.113\.7:0 \(EADDRNOTAVAIL\)/);
  });

  it('runs as long as the processor with process --dashboard', async (t) => {
    const dataDir = temporaryFolder(t);
    await taxiflow(['stream', 'create', '--data-dir', dataDir]);
    const run = following(t, ['process', '--dashboard', '--port', '0', '--data-dir', dataDir]);
    const address = () => /live page: (\S+)\n/.exec(run.said())?.[1];
    await run.until('it says where its page is', () => address() !== undefined);
    const url = address()!;
    await listen(url, '', ({ event, data }) => event === 'status' && (JSON.parse(data) as JobStatus).running);
    const ended = await run.interrupt();
    assert.equal(ended.code, 130, ended.stderr);
    await assert.rejects(ask(url), { code: 'ECONNREFUSED' });
  });

  it('runs in a thread of its own beside a processor', async () => {
    const page = await startDashboard({ dataDir: folder, host: '127.0.0.1', port: 0 }, assert.ifError);
    assert.equal((await ask(page.url)).status, 200);
    assert.ok((await historyOf(page.url)).labels.length > 0, 'windows');
    await page.close();
    await assert.rejects(ask(page.url), { code: 'ECONNREFUSED' });
    await assert.rejects(startDashboard({ dataDir: folder, host: '203.0.113.7', port: 0 }, assert.ifError), {
      code: 'cannot-listen',
    });
  });
});
