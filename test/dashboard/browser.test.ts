/** The page in a real browser, against what DuckDB finds in the same trips. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { putRecords, tripEndingAt, watermarkAt } from '../cli/model.ts';
import { SHARED_DATA, temporaryFolder, withoutSamples } from '../files.ts';
import {
  type OpenPage,
  openPage,
  type PageOptions,
  startChromium,
  withoutChromium,
} from '../services/chromium.ts';
import { freePort } from '../services/service.ts';
import { following, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';
import { cells, number } from './looking.ts';
import { asText, figure, looked, settled, sweep } from './results-page.ts';
import { dashboard, type Expected, expected, kill, morning, processed, run, running } from './support.ts';

describe('the page in a browser', { skip: withoutChromium }, () => {
  let browser: Browser;
  let folder: string;
  let file: string;
  let oracle: Expected;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
    file = await morning(folder);
    [browser, oracle] = await Promise.all([startChromium(), expected(file), processed(folder, file)]);
  });

  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A page over the golden state. */
  async function golden(
    t: TestContext,
    look: (opened: OpenPage) => Promise<void>,
    { hash = '', ...options }: PageOptions & { readonly hash?: string } = {},
  ) {
    const { url } = await dashboard(t, ['--data-dir', folder, '--port', '0']);
    const settle = async (opened: OpenPage) => {
      await settled(opened.page);
      await look(opened);
    };
    await looked(browser, url + hash, settle, options);
  }

  it('shows the pick-ups of every window as DuckDB counts them, in all, in the list and in the table', (t) =>
    golden(t, async ({ page }) => {
      assert.match(
        (await page.locator('#window-by').textContent())!,
        /^by drop-off time · time as in the files$/,
      );
      await pickupsOf(page, oracle);
    }));

  it('shows minutes to the airports of all trips, as DuckDB has them, in the lines and in the tables', (t) =>
    golden(t, ({ page }) => minutesOf(page, oracle), { hash: '#results?view=trip_duration' }));

  for (const [name, sample] of [
    ['coordinates of June 2015', 'yellow_2015-06_coords_10k_crlf.csv.gz'],
    ['zones of January 2024', 'yellow_2024-01_locid_10k.csv.gz'],
  ] as const) {
    it(`shows totals of every window as DuckDB has them: ${name}`, { skip: withoutSamples }, async (t) => {
      const dataDir = temporaryFolder(t);
      const file = join(SHARED_DATA, sample);
      const at = ['--data-dir', dataDir];
      await run('replay', file, '--speedup', 'max', ...at);
      await run('process', '--until-end', '--drain', ...at);
      const found = await expected(file);
      const { url } = await dashboard(t, [...at, '--port', '0']);
      await looked(browser, url, async ({ page }) => {
        await settled(page);
        const ofZones = sample.includes('2024');
        assert.equal(await page.locator('#zones-note').isVisible(), ofZones, 'the note of zones');
        await pickupsOf(page, found);
        await page.locator('#view').selectOption('trip_duration');
        await page.locator('#figure option:checked[value=avg_trip_duration]').waitFor({ state: 'attached' });
        await minutesOf(page, found);
      });
    });
  }

  it('draws a cell at its place, shows its figures under the pointer, and pins it by a click', (t) =>
    golden(t, async ({ page }) => {
      const first = page.locator('#areas button').first();
      const picked = await first.locator('.figure').textContent();
      const code = await first.locator('.code').textContent();
      await first.focus();
      const tip = page.locator('#tip');
      const shown = tip.locator('.picked b');
      assert.equal(await shown.textContent(), picked, 'figures of the area that has the focus');
      // The tooltip is above the middle of the cell's upper edge.
      const box = (await tip.boundingBox())!;
      await page.locator('#slider').focus();
      await tip.waitFor({ state: 'hidden' });
      await page.mouse.move(box.x + box.width / 2, box.y + box.height + 14 + 6);
      await tip.waitFor();
      assert.equal(await shown.textContent(), picked, 'figures under the pointer');
      assert.equal(await tip.locator('.code').textContent(), code);
      await page.mouse.down();
      await page.mouse.up();
      await page.mouse.move(5, 5);
      await page.locator(`#areas button[aria-pressed=true] .code`, { hasText: code! }).waitFor();
      assert.match(page.url(), new RegExp(`area=${code}`), 'the address has it');
      const name = await first.locator('.label').textContent();
      const keys = await page.locator('#through-key .series').allTextContents();
      assert.deepEqual(keys, [`${name} ${picked}`], 'it has a line through the day');
      await first.click();
      await page.locator('#through').waitFor({ state: 'hidden' });
      assert.doesNotMatch(page.url(), /area=/, 'another click lets go of it');
    }));

  it('plays, pauses and follows by keyboard alone', (t) =>
    golden(t, async ({ page }) => {
      const slider = page.locator('#slider');
      const last = oracle.starts('pickup_count').length - 1;
      assert.equal(
        await page.locator('#live').getAttribute('aria-pressed'),
        'false',
        'a finished job begins at its busiest window',
      );
      await slider.focus();
      await page.keyboard.press('Home');
      assert.equal(await slider.inputValue(), '0');
      assert.match(
        (await slider.getAttribute('aria-valuetext'))!,
        /^Thursday,? 14 January 2016, 00:00 to 00:10: [\d,]+ pick-ups$/,
      );
      await page.keyboard.press('End');
      assert.equal(await slider.inputValue(), String(last));
      await page.keyboard.press('ArrowLeft');
      assert.equal(await slider.inputValue(), String(last - 1));
      await page.keyboard.press('Home');
      await page.keyboard.press(' ');
      await page.locator('#play', { hasText: 'Pause' }).waitFor();
      await page.locator('#slider:not([aria-valuetext*="00:00 to"])').waitFor();
      await page.keyboard.press(' ');
      await page.locator('#play', { hasText: 'Play' }).waitFor();
      await page.locator('#live').focus();
      await page.keyboard.press('Enter');
      assert.equal(await slider.inputValue(), String(last), 'live is the newest window');
      assert.equal(await page.locator('#live').getAttribute('aria-pressed'), 'true');
      await page.locator('#play').focus();
      await page.keyboard.press('Enter');
      await page.locator('#live[aria-pressed=true]').waitFor();
      await page.locator('#play', { hasText: 'Play' }).waitFor();
      assert.equal(await slider.inputValue(), String(last), 'playing ends at the newest window');
    }));

  it('the focused element is visibly focused, wherever it is', (t) =>
    golden(t, async ({ page }) => {
      const stops: string[] = [];
      for (;;) {
        await page.keyboard.press('Tab');
        const [tag, name, line, wide, away] = (await page.evaluate(`(() => {
          const found = document.activeElement;
          const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(found);
          const name = found.ariaLabel ?? found.textContent;
          return [found.tagName, name, outlineStyle, parseFloat(outlineWidth), parseFloat(outlineOffset)];
        })()`)) as [string, string, string, number, number];
        if (tag === 'BODY') break;
        assert.ok(line !== 'none' && wide >= 2, `${tag} ${name}: ${line} ${wide} px`);
        assert.ok(name !== '', `${tag} has a name`);
        // The map is clipped at its edges.
        if (tag === 'CANVAS' || name.startsWith('Zoom')) assert.ok(away <= -wide, `${name}: ${away} px`);
        stops.push(tag);
      }
      // Skip link, tabs, keys, what is shown, search, link; the map; areas, the other view, its tables; time.
      const areas = Array<string>(10).fill('BUTTON');
      assert.deepEqual(stops, [
        ...['A', 'A', 'A', 'A', 'BUTTON', 'SELECT', 'INPUT', 'BUTTON'],
        ...['CANVAS', 'BUTTON', 'BUTTON', 'BUTTON'],
        ...[...areas, 'BUTTON', 'SUMMARY'],
        ...['BUTTON', 'INPUT', 'BUTTON'],
      ]);
    }));

  it('without WebGL it says so and still shows the figures', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--port', '0']);
    const { page } = await openPage(browser, url);
    await page.addInitScript('HTMLCanvasElement.prototype.getContext = () => null');
    await page.reload();
    await page.locator('#map-note', { hasText: 'it needs WebGL 2' }).waitFor();
    const first = page.locator('#areas button').first();
    assert.ok(number((await first.locator('.figure').textContent())!) > 0, 'figures');
    await first.click();
    assert.equal(await first.getAttribute('aria-pressed'), 'true');
    await page.context().close();
  });

  it('is small without the map library', (t) =>
    golden(t, async ({ page }) => {
      const sizes = (await page.evaluate(
        'performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation")).map((e) => [e.name, e.encodedBodySize])',
      )) as [string, number][];
      const own = sizes.filter(([name]) => !name.includes('/vendor/'));
      for (const part of ['main.js', 'style.css', 'zones.json', 'api/history', 'api/windows'])
        assert.ok(
          own.some(([name, size]) => name.includes(part) && size > 0),
          `${part} was seen`,
        );
      const bytes = own.reduce((sum, [, size]) => sum + size, 0);
      assert.ok(bytes < 300_000, `${bytes} bytes, results and all`);
    }));

  it('says when the server is killed, and recovers by itself when it is started again', async (t) => {
    const args = ['--data-dir', folder];
    // A port that no other process gets by chance in between.
    const first = await dashboard(t, [...args, '--port', String(await freePort())]);
    const { page } = await openPage(browser, first.url);
    await page.locator('#pill[data-state=done]').waitFor();
    const total = await page.locator('#total').textContent();
    await first.kill();
    await page.locator('#pill[data-state=offline]').waitFor();
    assert.match(
      (await page.locator('#notice').textContent())!,
      /No connection to the server; figures are from \d+ s ago/,
    );
    assert.equal(await page.locator('#total').textContent(), total, 'figures stay in sight');
    await dashboard(t, [...args, '--port', String(first.port)]);
    await page.locator('#pill[data-state=done]').waitFor();
    assert.equal(await page.locator('#total').textContent(), total);
    await page.context().close();
  });

  it('with more pages than a browser has connections, the oldest make room and go on when they are shown', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--port', '0']);
    const first = (await openPage(browser, url)).page;
    await first.locator('#pill[data-state=done]').waitFor();
    const next = async () => {
      const page = await first.context().newPage();
      await page.goto(url);
      await page.locator('#pill[data-state=done]').waitFor();
      return page;
    };
    const others: Page[] = [];
    for (let i = 0; i < 4; i++) others.push(await next());
    for (let i = 0; i < 3; i++) await others[0]!.reload();
    await others[0]!.locator('#pill[data-state=done]').waitFor();
    assert.equal(await first.locator('#pill').getAttribute('data-state'), 'done', 'five have room');
    for (let i = 4; i < 7; i++) others.push(await next());
    await first.locator('#pill[data-state=crowded]').waitFor();
    assert.match((await first.locator('#notice').textContent())!, /^\s*Five newer pages are open;/);
    assert.ok((await figure(first, '#total')) > 0, 'figures stay in sight');
    await first.locator('#notice').click();
    await first.locator('#pill[data-state=done]').waitFor();
    await others[3]!.locator('#pill[data-state=crowded]').waitFor();
    assert.equal(await others[6]!.locator('#pill').getAttribute('data-state'), 'done');
    await first.context().close();
  });

  it("shows the oracle's figures after a processor was started, killed and started again", async (t) => {
    const dataDir = temporaryFolder(t);
    const at = ['--data-dir', dataDir];
    const { url } = await dashboard(t, [...at, '--port', '0']);
    const { page, complaints } = await openPage(browser, url);
    await page.locator('#notice', { hasText: /No processor has run in .* yet/ }).waitFor();
    await run('stream', 'create', ...at);
    const flow = ['process', '--app', 'live', '--checkpoint-interval', '100ms', ...at];

    const first = running(t, flow);
    await page.locator('#notice', { hasText: 'No trips yet' }).waitFor();
    await run('replay', file, '--speedup', 'max', '--until', '2016-01-14T02:00:00Z', ...at);
    await page.locator('#window-time', { hasText: /01:40 – 01:50|01:50 – 02:00/ }).waitFor();
    await page.locator('#pill[data-state=live], #pill[data-state=waiting]').waitFor();
    await kill(first);
    await page.locator('#pill[data-state=killed]').waitFor();
    assert.match(
      (await page.locator('#notice').textContent())!,
      /The processor ended without a word, as if it was killed; figures are from \d+ s ago\. “(npx )?taxiflow process --stream local:taxi-trip-events --app live --data-dir \S+”, with the same options, goes on/,
    );

    const second = running(t, flow);
    await page.locator('#pill[data-state=live], #pill[data-state=waiting]').waitFor();
    await run('replay', file, '--speedup', 'max', '--seek', '2016-01-14T02:00:00Z', ...at);
    const last = oracle.starts('pickup_count').length - 1;
    // The last window waits for a watermark that never comes.
    await page.locator(`#slider[max="${last - 1}"], #slider[max="${last}"]`).waitFor();
    await kill(second, 'SIGINT');
    await run('process', '--app', 'live', '--until-end', '--drain', ...at);
    await page.locator(`#slider[max="${last}"]`).waitFor();
    await pickupsOf(page, oracle);
    assert.deepEqual(complaints, []);
    await page.context().close();
  });

  it('fills during the demo, while trips flow', async (t) => {
    const demo = following(t, [
      // A day takes a minute, so that a browser that is slow to start is in time.
      ...['demo', '--trips', '20000', '--speedup', '1440', '--port', '0', '--exit'],
      ...['--data-dir', temporaryFolder(t)],
    ]);
    const address = () => /live page: (\S+)\n/.exec(demo.said())?.[1];
    await demo.until('it says where its page is', () => address() !== undefined);
    const { page } = await openPage(browser, address()!);
    await page.locator('#pill[data-state=live]').waitFor();
    const slider = page.locator('#slider');
    const seen = new Set<string>();
    await demo.until('windows come one after the other, and the newest is shown', async () => {
      if (await slider.isEnabled()) seen.add(await slider.inputValue());
      return seen.size >= 5;
    });
    assert.equal(await page.locator('#live').getAttribute('aria-pressed'), 'true');
    await demo.interrupt();
    await page.locator('#pill[data-state=offline]').waitFor();
    assert.ok((await page.locator('#areas button').count()) > 0, 'areas stay in sight');
    await page.context().close();
  });

  it('shows refused records of the job as plain text', async (t) => {
    const dataDir = temporaryFolder(t);
    const at = ['--data-dir', dataDir];
    const trips = ['10:01', '10:02', '10:03', '10:04'].map((time) => tripEndingAt(`2016-03-10T${time}:00Z`));
    const bad = '<img src=/nothing onerror="document.title=1"><script>document.title=2</script>';
    const records = [...trips, watermarkAt('2016-03-10T10:30:00Z'), `${bad}\n`, `${bad}\n`];
    await putRecords(dataDir, 'own', records);
    const ran = await taxiflow(['process', '--stream', 'local:own', '--until-end', ...at]);
    assert.equal(ran.code, 3, 'no trip was used');
    const { url } = await dashboard(t, [...at, '--port', '0']);
    const { page, complaints, requests } = await openPage(browser, `${url}#job`);
    await page.getByLabel('Records read, as a table').waitFor();
    assert.deepEqual(
      (await cells(page, 'Records read, as a table')).map((row) => row.slice(0, 2)),
      [
        ['processed', '0'],
        ['filtered, in no view', '4'],
        ['watermarks', '1'],
        ['duplicates', '0'],
        ['late', '0'],
        ['unreadable', '2'],
        ['read in all', '7'],
      ],
    );
    const refused = page.locator('details[data-reason="not-readable"]');
    assert.equal(await refused.locator('.figure').textContent(), '2');
    await refused.locator('summary').click();
    await refused.locator('code').first().waitFor();
    assert.deepEqual(await refused.locator('code').allTextContents(), [bad, bad], 'as text');
    assert.deepEqual(complaints, []);
    assert.ok(!requests.some((address) => address.endsWith('/nothing')), 'no image of a record was loaded');
    await page.context().close();
  });

  it('names the shard of the job that holds the watermark back', async (t) => {
    const dataDir = temporaryFolder(t);
    const at = ['--data-dir', dataDir];
    await run('stream', 'create', 'local:two', '--shards', '2', ...at);
    // All of it goes to the first shard.
    await putRecords(dataDir, 'two', [
      tripEndingAt('2016-03-10T10:01:00Z'),
      watermarkAt('2016-03-10T10:30:00Z'),
    ]);
    const child = running(t, ['process', '--stream', 'local:two', '--checkpoint-interval', '100ms', ...at]);
    const { url } = await dashboard(t, [...at, '--app', 'two', '--port', '0']);
    const { page } = await openPage(browser, `${url}#job`);
    await page
      .locator('.shards .quiet', { hasText: 'shard 1 has no watermark yet and holds all windows back' })
      .waitFor();
    await page.locator('#notice', { hasText: 'No window has fired yet' }).waitFor();
    const [first, second] = await cells(page, 'Shards, as a table');
    assert.deepEqual([first![1], second![1]], ['2016-03-10 10:30', 'none yet']);
    await kill(child);
    await page.context().close();
  });

  it('draws cells smaller than a pixel', async (t) => {
    const dataDir = temporaryFolder(t);
    const at = ['--data-dir', dataDir];
    const views = join(dataDir, 'views.json');
    const [lat, lon] = ['pickup_lat', 'pickup_lon'].map((name) => ({ op: 'field', name }));
    const fine = {
      name: 'pickup_count',
      by: { location: { op: 'geohash', lat, lon, precision: 8 } },
      window: { kind: 'tumbling', size_ms: 3_600_000 },
      aggregates: { pickup_count: { fn: 'count' } },
    };
    writeFileSync(views, JSON.stringify([fine]));
    await run('replay', file, '--speedup', 'max', ...at);
    await run('process', '--views', views, '--until-end', '--drain', ...at);
    const { url } = await dashboard(t, [...at, '--port', '0']);
    const { page } = await openPage(browser, url);
    await page.locator('#map-note').waitFor({ state: 'hidden' });
    await page.locator('#pill[data-state=done]').waitFor();
    assert.ok((await figure(page, '#areas-count')) > 1_000, 'many cells');
    const city = page.locator('#map canvas');
    await page.locator('#slider').press('End');
    const without = await city.screenshot();
    await page.locator('#slider').press('Home');
    await until('the map shows other cells', async () => !without.equals(await city.screenshot()));
    await page.context().close();
  });

  it('reports an unreadable state, with what to do', async (t) => {
    const dataDir = temporaryFolder(t);
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--app', 'broken', '--port', '0']);
    const { page } = await openPage(browser, url);
    await page.locator('#notice', { hasText: 'No processor has run' }).waitFor();
    mkdirSync(join(dataDir, 'apps'), { recursive: true });
    writeFileSync(
      join(dataDir, 'apps', 'broken.sqlite'),
      'this is no database, whatever its name says. '.repeat(100),
    );
    await page.locator('#notice', { hasText: 'The state of app "broken" is damaged' }).waitFor();
    await page.locator('#notice', { hasText: 'Restore a backup of the file' }).waitFor();
    await page.context().close();
  });
});

const start = (ms: number) => new Date(ms).toISOString();

async function pickupsOf(page: Page, oracle: Expected): Promise<void> {
  const windows = await sweep(page);
  const known = new Set(windows.map(({ start }) => start));
  for (const at of oracle.starts('pickup_count')) assert.ok(known.has(at), `the window of ${start(at)}`);
  for (const shown of windows) {
    const at = start(shown.start);
    const pickups = oracle.pickups(shown.start);
    const { trips, cells } = oracle.allPickups(shown.start);
    assert.equal(shown.figures['total'], trips === 0 ? '–' : asText(trips), `all pick-ups of ${at}`);
    assert.equal(shown.figures['areas-count'], asText(pickups.size), `areas of ${at}`);
    if (cells !== pickups.size)
      assert.equal(shown.terms['areas-count'], `of ${asText(cells)} areas shown`, `at ${at}`);
    assert.equal(shown.time.slice(0, 5), at.slice(11, 16));
    const rows = new Map(shown.rows.map((row) => [row[1]!, number(row[2]!)]));
    assert.deepEqual([...rows].sort(), [...pickups].sort(), `cells of ${at}`);
    const top = [...pickups.values()].sort((a, b) => b - a).slice(0, 10);
    assert.deepEqual(
      shown.list.map(({ figure }) => number(figure)),
      top,
      `busiest areas of ${at}`,
    );
    for (const { code, figure } of shown.list) assert.equal(number(figure), pickups.get(code), code);
  }
}

/** The line of an airport as the key of a chart has it. */
function keyOf(oracle: Expected, at: number, code: string): string {
  const found = oracle.airport(at, code);
  if (!found) return `${code} –`;
  const { minutes, trips } = found;
  return `${code} ${asText(minutes)}${minutes === trips ? '' : ` n ${asText(trips)}`}`;
}

async function minutesOf(page: Page, oracle: Expected): Promise<void> {
  const windows = await sweep(page);
  const starts = oracle.starts('trip_duration');
  const known = new Set(windows.map(({ start }) => start));
  for (const at of starts) assert.ok(known.has(at), `the window of ${start(at)}`);
  const codes = ['JFK', 'LGA'].filter((code) => starts.some((at) => oracle.airport(at, code)));
  for (const shown of windows) {
    const wanted = codes.map((code) => keyOf(oracle, shown.start, code));
    assert.deepEqual([...shown.key].sort(), wanted.sort(), `minutes of ${start(shown.start)}`);
    const code = codes.find((code) => shown.terms['total']?.endsWith(code))!;
    const found = oracle.airport(shown.start, code);
    assert.equal(shown.figures['total'], asText(found?.minutes), `${code} of ${start(shown.start)}`);
    if (found && found.trips !== found.minutes)
      assert.equal(shown.figures['total-n'], asText(found.trips), `trips to ${code}`);
  }
  const rows = await cells(page, 'minutes on average through time, as a table');
  const heads = await page
    .getByLabel('minutes on average through time, as a table')
    .locator('thead th')
    .allTextContents();
  const table = rows.map(([window, ...values]) => [
    Date.parse(`${window!.replace(' ', 'T')}Z`),
    ...codes.map((code) => values[heads.indexOf(code) - 1]),
  ]);
  const through = starts
    .toReversed()
    .slice(0, table.length)
    .map((at) => [at, ...codes.map((code) => asText(oracle.airport(at, code)?.minutes))]);
  assert.deepEqual(table, through, 'minutes of all windows');
}
