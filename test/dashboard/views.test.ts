/** Views of every kind on the page, against what `taxiflow results` prints of them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startChromium, withoutChromium } from '../services/chromium.ts';
import { number } from './looking.ts';
import { ownViews, PICTURES } from './own-views.ts';
import { asText, looked, type ShownWindow, settled, sweep } from './results-page.ts';
import { dashboard, run } from './support.ts';

type Document = Readonly<Record<string, string | number | null>>;

interface Own {
  /** Whether the first key is a place, so that a table has its name too. */
  readonly hasPlace: boolean;
  readonly keys: readonly string[];
  readonly figures: readonly string[];
  /** Times begin and end a row of sessions. */
  readonly isSession?: boolean;
  readonly rank?: string;
}

/** Names of zones by number. */
const ZONES = new Map(
  (
    JSON.parse(readFileSync(new URL('../../src/dashboard/page/zones.json', import.meta.url), 'utf8')) as {
      zones: [id: number, name: string][];
    }
  ).zones,
);

/** What a table of each view has, in this order. */
const OWN: Readonly<Record<string, Own>> = {
  fares: { hasPlace: true, keys: ['location'], figures: ['trips', 'average', 'tips'] },
  payments: { hasPlace: false, keys: ['payment_type'], figures: ['trips', 'tip'] },
  parties: { hasPlace: false, keys: ['vendor', 'passengers'], figures: ['trips', 'longest'] },
  busiest: { hasPlace: true, keys: ['pickup_zone'], figures: ['trips'], rank: 'place' },
  best_parties: { hasPlace: false, keys: ['vendor', 'passengers'], figures: ['trips'], rank: 'place' },
  unranked: { hasPlace: false, keys: ['payment_type'], figures: ['trips'] },
  distance: { hasPlace: false, keys: [], figures: ['median', 'p05', 'p95'] },
  shifts: { hasPlace: false, keys: ['vendor'], figures: ['trips', 'longest'], isSession: true },
  today: { hasPlace: false, keys: [], figures: ['trips', 'places', 'first_trip'] },
  zones: { hasPlace: true, keys: ['pickup_zone'], figures: ['trips', 'fare'] },
  rides: { hasPlace: true, keys: ['from', 'to'], figures: ['trips'] },
  fares_by_payment: { hasPlace: true, keys: ['location', 'payment_type'], figures: ['average', 'trips'] },
};

const PAYMENTS = ['flex fare', 'credit card', 'cash', 'no charge', 'dispute', 'unknown', 'voided'];

/** A word of a key as people read it. */
function wordOf(key: string, value: string | number | null | undefined): string {
  if (key === 'payment_type') return PAYMENTS[Number(value)] ?? `payment type ${value}`;
  if (key === 'to') return `${ZONES.get(Number(value))} (${value})`;
  return `${key} ${value}`;
}

/** `2016-01-14T00:00:00.000Z` as the page writes it. */
function stamp(time: string): string {
  const clock = time.slice(17, 19) === '00' ? time.slice(11, 16) : time.slice(11, 19);
  return `${time.slice(0, 10)} ${clock}`;
}

function figureOf(name: string, value: string | number | null | undefined): string {
  return name === 'first_trip' && value ? stamp(String(value)) : asText(value as number | null);
}

/** A row of the table, without the name of its area. */
function rowOf({ hasPlace, keys, figures, isSession, rank }: Own, doc: Document): string[] {
  return [
    ...keys.map((key, i) => (hasPlace && i === 0 ? String(doc[key]) : wordOf(key, doc[key]))),
    ...(isSession ? [stamp(String(doc['window_start'])), stamp(String(doc['window_end']))] : []),
    ...(rank === undefined ? [] : [String(doc[rank])]),
    ...figures.map((name) => figureOf(name, doc[name])),
  ];
}

/** The window of a view that shows a result. */
function holds(view: string, { start, time }: ShownWindow, doc: Document): boolean {
  const [from, to] = [Date.parse(String(doc['window_start'])), Date.parse(String(doc['window_end']))];
  // Sessions are listed by when they ended; the windows of a day that grows, by their last hour.
  if (view === 'shifts') return to >= start + 20_000 && to < start + 40_000;
  if (view === 'today') {
    const end = time === 'all day' ? '00:00' : time.slice(-5);
    return end === String(doc['window_end']).slice(11, 16);
  }
  return from === start;
}

const pictureIn = (page: Page) =>
  page.evaluate(`(() => {
    const shown = { map: 'map-box', lines: 'stage-lines', sessions: 'stage-sessions', list: 'stage-list' };
    return Object.keys(shown).filter((name) => document.getElementById(shown[name]).checkVisibility());
  })()`);

describe('views of every kind in a browser', { skip: withoutChromium }, () => {
  let browser: Browser;
  let folder: string;
  let documents: Document[];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
    await ownViews(folder);
    const text = await run('results', '--app', 'own', '--format', 'ndjson', '--data-dir', folder);
    documents = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Document);
    browser = await startChromium();
  });

  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('each is drawn as it has to be, and its tables have all of its results', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'own', '--port', '0']);
    await looked(browser, url, async ({ page }) => {
      await settled(page);
      for (const [view, own] of Object.entries(OWN)) {
        await page.locator('#view').selectOption(view);
        const wanted = documents.filter((doc) => doc['view'] === view);
        assert.ok(wanted.length > 0, `results of ${view}`);
        const windows = await sweepOf(page, view);
        assert.deepEqual(await pictureIn(page), [PICTURES[view]], `picture of ${view}`);
        let found = 0;
        for (const shown of windows) {
          const mine = wanted.filter((doc) => holds(view, shown, doc));
          const rows = shown.rows.map((row) => (own.hasPlace ? row.slice(1) : row));
          const what = `${view} of ${shown.time}`;
          assert.deepEqual(rows.map(String).sort(), mine.map((doc) => String(rowOf(own, doc))).sort(), what);
          found += rows.length;
          if (own.rank !== undefined || view === 'unranked') ranked(own, shown, mine, what);
          else if (own.keys.length === 1 && !own.isSession) inOrder(own, shown, mine, what);
        }
        assert.equal(found, wanted.length, `all of ${view}`);
      }
    });
  });

  it('the figures of whole windows are those of all their trips, for each figure', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'own', '--port', '0']);
    const of = (view: string) => documents.filter((doc) => doc['view'] === view);
    await looked(browser, `${url}#results?view=payments`, async ({ page }) => {
      await settled(page);
      for (const shown of await sweep(page)) {
        const mine = of('payments').filter((doc) => holds('payments', shown, doc));
        const trips = mine.map((doc) => Number(doc['trips']));
        const sum = trips.reduce((a, b) => a + b, 0);
        assert.equal(shown.figures['total'], sum === 0 ? '–' : asText(sum), shown.time);
      }
      await page.locator('#figure').selectOption('tip');
      await page.waitForURL(/figure=tip/);
      for (const shown of await sweep(page)) {
        const mine = of('payments').filter((doc) => holds('payments', shown, doc));
        const trips = mine.reduce((sum, doc) => sum + Number(doc['trips']), 0);
        const tips = mine.reduce((sum, doc) => sum + Number(doc['tip']) * Number(doc['trips']), 0);
        // An average of all trips, not of the averages.
        const average = Number(shown.figures['total']?.replace('–', 'NaN'));
        if (trips > 0) assert.ok(Math.abs(average - tips / trips) < 0.051, `${average}, not ${tips / trips}`);
        if (trips > 0) assert.equal(number(shown.figures['total-n']!), trips, `trips of ${shown.time}`);
      }
    });
  });

  it('a word chosen of a key is all that is shown, on the map and in the figures', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'own', '--port', '0']);
    await looked(browser, `${url}#results?view=fares_by_payment&figure=trips`, async ({ page }) => {
      await settled(page);
      const choice = page.locator('#filters select');
      assert.deepEqual((await choice.locator('option').allTextContents()).slice(0, 1), ['all']);
      await choice.selectOption({ label: 'cash' });
      await page.waitForURL(/key\.payment_type=2/);
      for (const shown of await sweep(page)) {
        const cash = documents.filter(
          (doc) =>
            doc['view'] === 'fares_by_payment' &&
            doc['payment_type'] === 2 &&
            holds('fares_by_payment', shown, doc),
        );
        const sum = cash.reduce((sum, doc) => sum + Number(doc['trips']), 0);
        assert.equal(shown.figures['total'], cash.length === 0 ? '–' : asText(sum), shown.time);
        const top = cash.map((doc) => Number(doc['trips'])).sort((a, b) => b - a);
        assert.deepEqual(
          shown.list.map(({ figure }) => number(figure)),
          top.slice(0, 10),
        );
      }
      // Averages of several words make none, so one is chosen.
      await page.locator('#figure').selectOption('average');
      await choice.selectOption({ label: 'credit card' });
      await page.waitForURL(/key\.payment_type=1/);
      assert.ok(!(await choice.locator('option').allTextContents()).includes('all'));
    });
  });
});

/** What is shown of each window, once the page has turned to a view. */
async function sweepOf(page: Page, view: string): Promise<ShownWindow[]> {
  await page.locator(`#stage-title`, { hasText: new RegExp(`^${view}\\b`) }).waitFor({ state: 'attached' });
  return sweep(page);
}

function ranked(own: Own, shown: ShownWindow, docs: readonly Document[], what: string): void {
  const items = own.hasPlace ? shown.list : shown.ranking;
  assert.equal(items.length, docs.length, what);
  const figures = items.map(({ figure }) => number(figure));
  assert.deepEqual(
    figures,
    [...figures].sort((a, b) => b - a),
    `${what}: in order`,
  );
  for (const [i, { rank, code, name }] of items.entries()) {
    const wanted = own.rank === undefined ? i + 1 : undefined;
    const doc = docs.find((doc) =>
      own.hasPlace
        ? String(doc[own.keys[0]!]) === code
        : own.keys.map((key) => wordOf(key, doc[key])).join(' · ') === name,
    );
    assert.ok(doc, `${what}: ${name}`);
    assert.equal(Number(rank), wanted ?? doc[own.rank!], `${what}: rank of ${name}`);
    assert.equal(figures[i], doc['trips'], `${what}: trips of ${name}`);
  }
}

function inOrder(own: Own, shown: ShownWindow, docs: readonly Document[], what: string): void {
  const [first] = own.figures as [string];
  const wanted = docs.map((doc) => Number(doc[first])).sort((a, b) => b - a);
  assert.deepEqual(
    shown.list.map(({ figure }) => number(figure)),
    wanted.slice(0, 10),
    what,
  );
}
