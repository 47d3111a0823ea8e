/** An open page while what it shows changes: windows that load one by one, corrections, other views, a first coordinate. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser } from 'playwright-core';
import { ZONE_CENTROIDS } from '../../src/dataset/zone-centroids.ts';
import { cell, cellText } from '../../src/views/geohash.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { temporaryFolder } from '../files.ts';
import { startChromium, withoutChromium } from '../services/chromium.ts';
import { figure, looked, sweep } from './results-page.ts';
import { dashboard, morning, run, writtenState } from './support.ts';

const START = Date.UTC(2016, 0, 14);
const MINUTES = 600_000;

function fired(i: number, docs: readonly { location: string; pickup_count: number }[], correction = false) {
  const trips = docs.reduce((sum, { pickup_count }) => sum + pickup_count, 0);
  const all = { values: { pickup_count: trips }, of: { pickup_count: trips } };
  const totals = { keys: docs.length, all, groups: [] };
  const [start, end] = [START + i * MINUTES, START + (i + 1) * MINUTES];
  return { view: 'pickup_count', start, end, docs, totals, correction };
}

const cells = (count: number, pickups: number) =>
  Array.from({ length: count }, (_, i) => ({
    location: cellText(cell(40.56 + (i % 50) * 0.006, -74.05 + Math.floor(i / 50) * 0.006, 7), 7),
    pickup_count: pickups,
  }));

describe('a page whose state changes', { skip: withoutChromium }, () => {
  let browser: Browser;
  before(async () => {
    browser = await startChromium();
  });
  after(() => browser?.close());

  it('shows first figures before all are loaded, loads what one goes to first, and takes corrections', async (t) => {
    const dataDir = temporaryFolder(t);
    const state = writtenState(dataDir, 'a', taxiViews());
    t.after(() => state.close());
    const [windows, many] = [150, 1_000];
    for (let i = 0; i < windows; i += 50)
      state.fire(...Array.from({ length: 50 }, (_, n) => fired(i + n, cells(many, 1 + ((i + n) % 7)))));
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--port', '0']);
    await looked(browser, url, async ({ page }) => {
      await page.goto('about:blank');
      // Answers are held back, one by one.
      let asked: number[] = [];
      let open: () => void = () => {};
      let gate = new Promise<void>((resolve) => {
        open = resolve;
      });
      let passed = 0;
      await page.route('**/api/windows?*', async (route) => {
        asked.push(Number(new URL(route.request().url()).searchParams.get('before')));
        if (passed++ > 0) await gate;
        await route.continue();
      });
      await page.goto(`${url}#results?at=2016-01-14T16:40`);
      await page.locator('#areas button').first().waitFor();
      const at = START + 100 * MINUTES;
      assert.equal(asked[0], at + 1, 'the window that is asked for comes first');
      assert.equal(await figure(page), many * (1 + (100 % 7)));
      await page.locator('#slider').press('Home');
      assert.equal(await figure(page), many, 'totals are there before the results');
      assert.equal(await page.locator('#areas-none').textContent(), 'Loading …');
      asked = [];
      open();
      await page.locator('#areas button').first().waitFor();
      assert.ok(asked.includes(START + 1), `the first window is loaded soon: ${asked}`);
      const shown = await sweep(page);
      assert.equal(shown.length, windows);
      for (const [i, { figures, list }] of shown.entries()) {
        assert.deepEqual([figures['total'], figures['areas-count']], [(many * (1 + (i % 7))).toLocaleString('en-US'), '1,000'], `window ${i}`); // biome-ignore format: one comparison
        assert.equal(list[0]!.figure, String(1 + (i % 7)));
      }
      gate = Promise.resolve();
      // A small window is sent, a large one is only named and loaded again.
      for (const count of [900, 30_000]) {
        const docs = cells(many, 50 + count).map((doc) => ({ ...doc, pickup_count: 50 + count }));
        const large = Array.from({ length: count }, (_, i) => ({
          location: cellText(i * 1_001, 7),
          pickup_count: 3,
        }));
        state.fire(fired(5, count > many ? [...docs, ...large] : docs, true));
        await page.evaluate(
          "(() => { const s = document.getElementById('slider'); s.value = 5; s.dispatchEvent(new Event('input')); })()",
        );
        await page
          .locator('#areas button .figure', { hasText: (50 + count).toLocaleString('en-US') })
          .first()
          .waitFor();
      }
    });
  });

  it('draws zones as long as trips name zones only, and cells from the first coordinate on', async (t) => {
    const dataDir = temporaryFolder(t);
    const state = writtenState(dataDir, 'a', taxiViews());
    t.after(() => state.close());
    const zoned = new Set([...ZONE_CENTROIDS.values()].map(([lat, lon]) => cellText(cell(lat, lon, 6), 6)));
    state.fire(
      fired(
        0,
        [...zoned].map((location) => ({ location, pickup_count: 5 })),
      ),
    );
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--port', '0']);
    await looked(browser, url, async ({ page }) => {
      await page.locator('#zones-note').waitFor();
      state.fire(fired(1, [{ location: 'dr5ru7', pickup_count: 9 }]));
      await page.locator('#zones-note').waitFor({ state: 'hidden' });
      await page.locator('#areas .code', { hasText: 'dr5ru7' }).waitFor();
    });
  });

  it('keeps its colours while a day grows, and says when it has to change them', async (t) => {
    const dataDir = temporaryFolder(t);
    const state = writtenState(dataDir, 'a', taxiViews());
    t.after(() => state.close());
    state.fire(fired(0, cells(40, 4)));
    const { url } = await dashboard(t, ['--data-dir', dataDir, '--port', '0']);
    await looked(browser, url, async ({ page }) => {
      await page.locator('#scale .step').first().waitFor();
      const scale = () => page.locator('#scale').textContent();
      const before = await scale();
      for (let i = 1; i < 6; i++) state.fire(fired(i, cells(40, 4 + i)));
      await page.locator('#slider[max="5"]').waitFor();
      assert.equal(await scale(), before);
      assert.equal(await page.locator('#scale-note').isVisible(), false);
      state.fire(fired(6, cells(40, 20_000)));
      await page.locator('#scale-note', { hasText: 'The colours were set anew at 2016-01-14' }).waitFor();
      assert.notEqual(await scale(), before);
    });
  });

  it('follows a job that goes on with other views', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const at = ['--data-dir', folder];
    const views = join(folder, 'views.json');
    const write = (name: string) =>
      writeFileSync(
        views,
        JSON.stringify([
          {
            name,
            by: {},
            window: { kind: 'tumbling', size_ms: 3_600_000 },
            aggregates: { trips: { fn: 'count' } },
          },
        ]),
      );
    const file = await morning(folder, 500);
    await run('replay', file, '--speedup', 'max', ...at);
    write('first');
    await run('process', '--app', 'own', '--views', views, '--until-end', '--drain', ...at);
    const { url } = await dashboard(t, [...at, '--port', '0']);
    await looked(browser, url, async ({ page }) => {
      await page.locator('#view option:checked[value=first]').waitFor({ state: 'attached' });
      write('second');
      await run(
        'process',
        '--app',
        'own',
        '--views',
        views,
        '--accept-changes',
        '--backfill',
        '--until-end',
        '--drain',
        ...at,
      );
      await page.locator('#view option:checked[value=second]').waitFor({ state: 'attached' });
      assert.deepEqual(await page.locator('#view option').allTextContents(), ['second']);
      const shown = await sweep(page);
      const trips = shown.reduce((sum, { figures }) => sum + Number(figures['total']!.replace('–', '0')), 0);
      assert.equal(trips, 500);
    });
  });
});
