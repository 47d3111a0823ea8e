/** The exported page: opened from disk in a real browser, and against what `taxiflow results` and the live page's server tell. */
import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import { exportPage } from '../../src/dashboard/export.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { lines, putRecords, tripEndingAt, watermarkAt } from '../cli/model.ts';
import { temporaryFolder } from '../files.ts';
import { type OpenPage, openPage, startChromium, withoutChromium } from '../services/chromium.ts';
import { following, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';
import { dashboard, morning, run } from './support.ts';

/** Every kind of view. */
const VIEWS = `
export const views = ({ tumbling, sliding, session, cumulating, field, geohash, count, sum, avg, percentile, countDistinct, max, min, aggregate, gte }) => [
  { name: 'fares', by: { location: geohash('pickup', 6) }, window: tumbling('1h'), aggregates: { trips: count(), average: avg(field('total_amount')) }, having: gte(aggregate('trips'), 3) },
  { name: 'payments', by: { payment_type: field('payment_type') }, window: tumbling('30m'), aggregates: { trips: count(), tip: avg(field('tip_amount')) } },
  { name: 'passengers', by: { vendor: field('vendor_id'), passengers: field('passenger_count') }, window: tumbling('1h'), aggregates: { trips: count() }, top: { n: 5, order: [{ name: 'trips', descending: true }], rank: 'place' } },
  { name: 'distance', by: {}, window: tumbling('30m'), aggregates: { p05: percentile(field('trip_distance'), 0.05), median: percentile(field('trip_distance'), 0.5), p95: percentile(field('trip_distance'), 0.95) } },
  { name: 'shifts', by: { vendor: field('vendor_id') }, window: session('1m'), aggregates: { trips: count(), longest: max(field('trip_distance')) } },
  { name: 'today', by: {}, window: cumulating('1d', '1h'), aggregates: { trips: count(), places: countDistinct(field('pickup_zone')), first_trip: min(field('dropoff_datetime')) } },
  { name: 'zones', by: { pickup_zone: field('pickup_zone') }, window: sliding('1h', '30m'), aggregates: { trips: count(), miles: sum(field('trip_distance')) } },
];
`;

/** What the table of a window shows besides places and words, by view. */
const FIGURES: Readonly<Record<string, readonly string[]>> = {
  fares: ['trips', 'average'],
  payments: ['trips', 'tip'],
  passengers: ['place', 'trips'],
  distance: ['p05', 'median', 'p95'],
  shifts: ['window_start', 'window_end', 'trips', 'longest'],
  today: ['trips', 'places', 'first_trip'],
  zones: ['trips', 'miles'],
};

const BAD = '</script><img src=/nothing onerror="document.title=1"><!--';

type Result = Readonly<Record<string, string | number | null>> & {
  readonly window_start: string;
  readonly window_end: string;
};

describe('an exported page', { skip: withoutChromium }, () => {
  let browser: Browser;
  let folder: string;
  let file: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
    file = join(folder, 'day & "night".html');
    browser = await startChromium();
    const at = ['--data-dir', folder];
    writeFileSync(join(folder, 'views.mjs'), VIEWS);
    // Trips with coordinates, and trips with zones.
    const files = [await morning(folder, 4_000), join(folder, 'zones.csv')];
    const day = ['--from', '2016-01-14', '--hours', '4', '--schema', 'yellow-2017'];
    await run('generate', '--trips', '3000', ...day, '--out', files[1]!);
    await run('replay', ...files, '--fields', 'payment_type', '--speedup', 'max', ...at);
    const views = ['--views', join(folder, 'views.mjs')];
    await run('process', '--app', 'all', ...views, '--until-end', '--drain', ...at);
    await run('dashboard', '--app', 'all', '--export', file, ...at);
  });

  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Opens the file from disk; it must ask for nothing and complain of nothing. */
  async function opened(fragment: string, look: (opened: OpenPage) => Promise<void>, path = file) {
    const url = pathToFileURL(path).href;
    const found = await openPage(browser, `${url}${fragment}`);
    await look(found);
    const others = found.requests.filter(
      (address) => address.replace(/#.*/, '') !== url && !/^(data|blob):/.test(address),
    );
    assert.deepEqual(others, [], 'it needs nothing but its file');
    assert.deepEqual(found.complaints, [], 'nothing on the console');
    await found.page.context().close();
  }

  it('shows the results of each window of every kind of view', () =>
    opened('#results', async ({ page }) => {
      await page.locator('#tables summary').click();
      for (const [view, fields] of Object.entries(FIGURES)) {
        await page.locator('#view').selectOption(view);
        const results = lines<Result>(
          await run('results', '--app', 'all', '--view', view, '--format', 'ndjson', '--data-dir', folder),
        );
        // Sessions are listed by when they ended, each with its own times.
        const windowOf = (time: string) => (view === 'shifts' ? '' : time);
        const wanted = results.map((result) => {
          const day = [result.window_start, result.window_end].every((at) => clock(at) === '00:00');
          const time = day ? 'all day' : `${clock(result.window_start)} – ${clock(result.window_end)}`;
          const row = fields.map((field) => shown(result[field] ?? null, field === 'place'));
          return [windowOf(time), ...row].join(' | ');
        });
        const found = (await tablesOf(page, fields.length)).flatMap(({ time, rows }) =>
          rows.map((row) => `${windowOf(time)} | ${row}`),
        );
        assert.ok(wanted.length >= 10, `${view} has results`);
        assert.deepEqual(found.sort(), wanted.sort(), view);
      }
    }));

  it('draws the map of the live page, and says of when it is', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'all', '--port', '0']);
    const at = '#results?view=fares&at=2016-01-14T02:00';
    const live = await openPage(browser, `${url}${at}`);
    await opened(at, async ({ page }) => {
      const notice = await page.locator('#notice').textContent();
      assert.match(
        notice ?? '',
        /As of 2016-01-14 23:59:59 by trip time, exported on \d.* 20\d\d, \d\d:\d\d/,
      );
      assert.equal(await page.locator('#pill').textContent(), 'Exported');
      assert.equal(await page.locator('#app').textContent(), 'all');
      assert.equal(await page.locator('#tab-sql').isVisible(), false, 'queries need a server');
      for (const one of [live.page, page])
        await one.locator('#window-time', { hasText: '02:00 – 03:00' }).waitFor();
      // Either page may still have been drawing when its map was taken.
      await until('the same pixels', async () => {
        const [here, there] = [await mapOf(page), await mapOf(live.page)];
        return here.length > 10_000 && here.equals(there);
      });
    });
    await live.page.context().close();
  });

  it('keeps what is shown in its address, and goes back and forward', () =>
    opened('#results?view=zones&figure=miles&at=2016-01-14T01:30&area=161', async ({ page }) => {
      const isShown = async (view: string, figure: string, time: string) => {
        await page.locator('#window-time', { hasText: time }).waitFor();
        assert.equal(await page.locator('#view').inputValue(), view);
        assert.equal(await page.locator('#figure').inputValue(), figure);
      };
      await isShown('zones', 'miles', '01:30 – 02:30');
      await page.locator('#through-key', { hasText: 'Midtown Center' }).waitFor();
      await page.locator('#tab-job').click();
      await page.getByLabel('Records read, as a table').waitFor();
      await page.locator('.course', { hasText: 'peak' }).first().waitFor();
      assert.match((await page.locator('#checkpoint-age').textContent()) ?? '', /^\d+ (s|min)$/);
      assert.equal(await page.locator('.jobs').count(), 0, 'no other jobs');
      await page.goBack();
      await page.locator('#results').waitFor();
      await isShown('zones', 'miles', '01:30 – 02:30');
      await page.locator('#view').selectOption('payments');
      await page.locator('#window-time', { hasText: '01:30 – 02:00' }).waitFor();
      await page.goBack();
      await isShown('zones', 'miles', '01:30 – 02:30');
      await page.goForward();
      await page.locator('#window-time', { hasText: '01:30 – 02:00' }).waitFor();
      assert.match(page.url(), /^file:.*#results\?view=payments&at=2016-01-14T01:30$/);
    }));

  it('says what in an address it does not have', async () => {
    await opened('#results?app=other', async ({ page }) => {
      await page.locator('#notice', { hasText: 'There is no job “other” here. This file has' }).waitFor();
    });
    await opened('#sql', async ({ page }) => {
      await page.locator('#notice', { hasText: 'there is no page “sql”' }).waitFor();
      await page.locator('#map-note').waitFor({ state: 'hidden' });
      assert.equal(await page.locator('#results').isVisible(), true);
    });
    await opened('#results?view=nope', async ({ page }) => {
      await page.locator('#notice', { hasText: 'this job has no view “nope”' }).waitFor();
    });
  });

  it('says that a file is not whole', async (t) => {
    const whole = readFileSync(file, 'utf8');
    const cut = join(temporaryFolder(t), 'cut.html');
    for (const share of [0.8, 0.999]) {
      writeFileSync(cut, whole.slice(0, Math.floor(whole.length * share)));
      const said = async ({ page }: OpenPage) => {
        await page.locator('#notice', { hasText: 'This file is not whole' }).waitFor();
      };
      await opened('', said, cut);
    }
  });

  it('shows hostile text as text', async (t) => {
    const dataDir = temporaryFolder(t);
    const at = ['--data-dir', dataDir];
    const trip = JSON.parse(tripEndingAt('2016-03-10T10:01:00Z')) as object;
    const records = [{ ...trip, vendor_id: BAD }, trip].map((record) => `${JSON.stringify(record)}\n`);
    await putRecords(dataDir, 'own', [...records, watermarkAt('2016-03-10T12:00:00Z'), `${BAD}\n`]);
    const views = join(dataDir, 'views.json');
    const window = { kind: 'tumbling', size_ms: 600_000 };
    const by = { vendor: { op: 'field', name: 'vendor_id' } };
    writeFileSync(views, JSON.stringify([{ name: 'v', by, window, aggregates: { trips: { fn: 'count' } } }]));
    await taxiflow(['process', '--stream', 'local:own', '--views', views, '--until-end', ...at]);
    const path = join(dataDir, 'own.html');
    await run('dashboard', '--export', path, ...at);
    assert.doesNotMatch(
      readFileSync(path, 'utf8'),
      /onerror="document/,
      'no text of the data is in the file as it is',
    );
    await opened(
      '#results',
      async ({ page }) => {
        await page.locator('#areas', { hasText: BAD }).waitFor();
        await page.locator('#tab-job').click();
        const refused = page.locator('details[data-reason="not-readable"]');
        await refused.locator('summary').click();
        assert.deepEqual(await refused.locator('code').allTextContents(), [BAD]);
        assert.equal(await page.title(), 'own – taxiflow');
      },
      path,
    );
  });

  it('has the bytes that the server of the live page sends', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'all', '--port', '0']);
    const answers = answersIn(file);
    let windows = 0;
    for (const [request, text] of answers) {
      if (request === '/api/contents') continue;
      const response = await fetch(new URL(request, url));
      assert.equal(text, await response.text(), request);
      if (request.startsWith('/api/windows')) windows++;
    }
    assert.ok(windows >= 7, `${windows} parts`);
    const { status, views, ...history } = contentsOf(file);
    const first = views[0]!;
    const live = (await (await fetch(`${url}api/history`)).json()) as object;
    assert.deepEqual({ ...history, view: first.name, labels: first.labels }, live);
    for (const { name, labels } of views) {
      const one = (await (await fetch(`${url}api/history?view=${name}`)).json()) as { labels: number[] };
      assert.deepEqual(labels, one.labels);
    }
    assert.equal(status.dataDir, '.taxiflow', 'no folder of this machine');
    assert.ok(!JSON.stringify(status).includes(folder));
  });

  it('may load nothing by its own policy', async () => {
    const html = readFileSync(file, 'utf8');
    const [, policy = ''] = /http-equiv="content-security-policy" content="([^"]+)"/.exec(html) ?? [];
    const rules = new Map(policy.split('; ').map((rule) => [rule.split(' ')[0]!, rule.split(' ').slice(1)]));
    assert.deepEqual(rules.get('default-src'), ["'none'"]);
    const allowed = /^('none'|'sha256-[\w+/]+=*'|blob:|data:)$/;
    for (const [rule, sources] of rules) {
      for (const source of sources) assert.match(source, allowed, rule);
    }
    assert.deepEqual(rules.get('connect-src'), ['blob:']);
    assert.doesNotMatch(policy, /unsafe/);
    assert.match(html, /MapLibre GL JS\. Its licence:[\s\S]*Redistribution and use/);
  });
});

/** The map at one place and size, once it doesn't move any more, as PNG. */
async function mapOf(page: Page): Promise<Buffer> {
  await page.locator('#map-note').waitFor({ state: 'hidden' });
  await page.evaluate("document.getElementById('notice').style.display = 'none'");
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.keyboard.press('f');
  let [before, now]: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(1)];
  await until('a map that stands still', async () => {
    [before, now] = [now, await page.locator('#map').screenshot()];
    return now.equals(before);
  });
  return now;
}

/** The last columns of the table of each window, from the first to the last. */
async function tablesOf(page: Page, columns: number): Promise<{ time: string; rows: string[] }[]> {
  await page.locator('#table-boxes table').first().waitFor();
  return page.evaluate(`(async () => {
    const slider = document.getElementById('slider');
    const found = [];
    for (let i = 0; i <= Number(slider.max); i++) {
      slider.value = i;
      slider.dispatchEvent(new Event('input'));
      while (document.getElementById('results').innerText.includes('Loading')) await new Promise(requestAnimationFrame);
      const table = document.querySelector('#table-boxes table');
      if (table.caption.textContent !== 'Results of the window') throw new Error(table.caption.textContent);
      const rows = [...table.tBodies[0].rows].map((row) =>
        [...row.cells].slice(-${columns}).map((cell) => cell.textContent).join(' | '));
      found.push({ time: document.getElementById('window-time').textContent, rows });
    }
    return found;
  })()`);
}

const clock = (iso: string) => (iso.slice(17, 19) === '00' ? iso.slice(11, 16) : iso.slice(11, 19));

/** A value as people read it. */
function shown(value: string | number | null, isPlain: boolean): string {
  if (value === null) return '–';
  if (typeof value === 'string') return `${value.slice(0, 10)} ${clock(value)}`;
  if (isPlain) return String(value);
  const digits = Number.isInteger(value) ? 0 : Math.abs(value) < 1 ? 2 : 1;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** What a file has, by what a server would be asked for. */
function answersIn(path: string): Map<string, string> {
  const html = readFileSync(path, 'utf8');
  const found = html.matchAll(/<script type="application\/gzip" data-answers="([^"]*)">([^<]*)<\/script>/g);
  return new Map(
    [...found].map(([, request, packed]) => [
      request!.replaceAll('&amp;', '&'),
      gunzipSync(Buffer.from(packed!, 'base64')).toString(),
    ]),
  );
}

interface Told {
  readonly status: {
    readonly running: boolean;
    readonly dataDir: string;
    readonly totals: { readonly results: number };
    readonly checkpoint: { readonly number: number };
  };
  readonly views: readonly { readonly name: string; readonly labels: readonly number[] }[];
  readonly totals: readonly {
    readonly view: string;
    readonly windows: readonly { readonly label: number }[];
  }[];
}

const contentsOf = (path: string) => JSON.parse(answersIn(path).get('/api/contents')!) as Told;

describe('dashboard --export', () => {
  const exported = (dataDir: string, ...args: readonly string[]) =>
    taxiflow(['dashboard', '--data-dir', dataDir, ...args]);

  /** A state with one small window. */
  async function small(t: TestContext, apps: readonly string[] = ['one']): Promise<string> {
    const dataDir = temporaryFolder(t);
    for (const app of apps) {
      await putRecords(dataDir, app, [tripEndingAt('2016-03-10T10:01:00Z')]);
      const views = join(dataDir, 'views.json');
      const window = { kind: 'tumbling', size_ms: 600_000 };
      writeFileSync(
        views,
        JSON.stringify([{ name: 'v', by: {}, window, aggregates: { n: { fn: 'count' } } }]),
      );
      await run(
        'process',
        '--stream',
        `local:${app}`,
        '--views',
        views,
        '--until-end',
        '--drain',
        '--data-dir',
        dataDir,
      );
    }
    return dataDir;
  }

  it('writes the day of the demo in less than 3 MB', async (t) => {
    const dataDir = temporaryFolder(t);
    await run('demo', '--speedup', 'max', '--exit', '--data-dir', dataDir);
    const file = join(dataDir, 'demo.html');
    const ran = await exported(dataDir, '--export', file, '--json');
    assert.equal(ran.code, 0, ran.stderr);
    const results = lines<Result>(await run('results', '--data-dir', dataDir, '--format', 'ndjson'));
    const windows = new Set(results.map(({ view, window_start }) => `${view} ${window_start}`));
    const { bytes, ...told } = ran.json<{ bytes: number }>();
    assert.deepEqual(told, {
      command: 'dashboard',
      file,
      app: 'demo',
      views: 2,
      windows: windows.size,
      results: results.length,
      from: results.reduce((first, { window_start }) => (window_start < first ? window_start : first), '9'),
      to: results.reduce((last, { window_end }) => (window_end > last ? window_end : last), ''),
    });
    assert.equal(bytes, statSync(file).size);
    assert.ok(bytes < 3_000_000, `${bytes} bytes`);
  });

  it('tells of one moment while the processor goes on', async (t) => {
    const dataDir = temporaryFolder(t);
    const demo = following(t, [
      ...['demo', '--trips', '100000', '--speedup', '4000', '--port', '0', '--exit'],
      ...['--data-dir', dataDir],
    ]);
    const file = join(dataDir, 'demo.html');
    const seen = new Set<number>();
    await demo.until('several moments are exported', async () => {
      const ran = await exported(dataDir, '--app', 'demo', '--export', file, '--json');
      if (ran.code !== 0) {
        assert.match(ran.stderr, /no processor has run|has no results yet/);
        return false;
      }
      const { status, views, totals } = contentsOf(file);
      assert.equal(status.running, true);
      // Each result is written once in this run, so the file has as many as the processor had counted then.
      assert.equal(ran.json<{ results: number }>().results, status.totals.results);
      for (const { name, labels } of views) {
        const totalled = totals.find(({ view }) => view === name)?.windows.map(({ label }) => label) ?? [];
        assert.deepEqual(
          labels.filter((label) => !totalled.includes(label)),
          [],
          name,
        );
      }
      seen.add(status.checkpoint.number);
      return seen.size >= 4;
    });
    await demo.interrupt();
  });

  it('replaces a file whole, also behind a link, and leaves nothing else', async (t) => {
    const dataDir = await small(t);
    const out = join(dataDir, 'out');
    mkdirSync(out);
    writeFileSync(join(out, 'old.html'), 'old');
    symlinkSync('old.html', join(out, 'link.html'));
    const ran = await exported(dataDir, '--export', join(out, 'link.html'));
    assert.deepEqual([ran.code, ran.stdout], [0, `${join(out, 'link.html')}\n`]);
    assert.match(ran.stderr, /1 result of app "one" from 2016-03-10T10:00:00Z to 2016-03-10T10:10:00Z/);
    assert.ok(lstatSync(join(out, 'link.html')).isSymbolicLink());
    assert.match(readFileSync(join(out, 'old.html'), 'utf8'), /<\/html>\s*$/);
    assert.deepEqual(readdirSync(out).sort(), ['link.html', 'old.html']);
  });

  it('refuses what it cannot do, with a hint', async (t) => {
    const dataDir = await small(t, ['one', 'two']);
    await putRecords(dataDir, 'none', [tripEndingAt('2016-03-10T10:01:00Z')]);
    await taxiflow(['process', '--stream', 'local:none', '--drain', '--until-end', '--data-dir', dataDir]);
    writeFileSync(join(dataDir, 'file'), '');
    const file = join(dataDir, 'out.html');
    const one = ['--app', 'one', '--export', file];
    for (const [args, code, message] of [
      [['--export', file], 1, /there are several apps in [\s\S]*Try: choose one with --app: none, one, two/],
      [['--app', 'three', '--export', file], 1, /there is no app "three"/],
      [['--app', '../one', '--export', file], 1, /there is no app/],
      [['--app', 'none', '--export', file], 1, /app "none" has no results yet[\s\S]*Try: /],
      [['--app', 'one', '--export', dataDir], 1, /what is no file[\s\S]*Try: /],
      [['--app', 'one', '--export', '/dev/null'], 1, /what is no file/],
      [['--app', 'one', '--export', join(dataDir, 'no', 'out.html')], 1, /the exported page[\s\S]*--export/],
      [
        ['--app', 'one', '--export', join(dataDir, 'file', 'out.html')],
        1,
        /the exported page[\s\S]*--export/,
      ],
      [['--app', 'one', '--export', '-'], 2, /--export writes a file/],
      [[...one, '--port', '9'], 2, /--port[\s\S]*Try: omit --port/],
      [[...one, '--host', '0.0.0.0'], 2, /--host[\s\S]*Try: omit --host/],
      [[...one, '--tiles', 'https://t.example/{z}/{x}/{y}.png'], 2, /--tiles[\s\S]*Try: omit --tiles/],
    ] as const) {
      const ran = await exported(dataDir, ...args);
      assert.deepEqual([ran.code, ran.stdout], [code, ''], `${args.join(' ')}: ${ran.stderr}`);
      assert.match(ran.stderr, message);
      assert.doesNotMatch(ran.stderr, /\n\s+at /, 'no stack');
    }
    const empty = await exported(temporaryFolder(t), '--export', file);
    assert.equal(empty.code, 1);
    assert.match(empty.stderr, /no processor has run in .* yet/);
    assert.deepEqual(
      readdirSync(dataDir).filter((name) => /html|partial/.test(name)),
      [],
    );
  });

  it('gives up on a page that is too large, or when it is stopped, and leaves an old file alone', async (t) => {
    const dataDir = await small(t);
    const file = join(dataDir, 'out.html');
    writeFileSync(file, 'old');
    const stopped = new AbortController();
    stopped.abort();
    for (const [code, more] of [
      ['page-too-large', { mostBytes: 500_000 }],
      ['interrupted', { signal: stopped.signal }],
    ] as const) {
      const signal = new AbortController().signal;
      await assert.rejects(
        exportPage({ dataDir, app: 'one', file, now: Date.now, signal, ...more }),
        (error) => error instanceof TaxiflowError && error.code === code && error.hint !== undefined,
      );
      assert.equal(readFileSync(file, 'utf8'), 'old');
      assert.deepEqual(
        readdirSync(dataDir).filter((name) => name.endsWith('.partial')),
        [],
      );
    }
  });
});
