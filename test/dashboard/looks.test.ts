/** The page at the widths of phones and screens, in light and dark: whole, not wider than the window, and for everybody. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startChromium, withoutChromium } from '../services/chromium.ts';
import { until } from '../until.ts';
import { accessible } from './looking.ts';
import { ownViews } from './own-views.ts';
import { looked, settled } from './results-page.ts';
import { dashboard } from './support.ts';

const SIZES = [
  [320, 640],
  [375, 720],
  [540, 800],
  [768, 1024],
  [844, 390],
  [959, 700],
  [1024, 768],
  [1440, 900],
  [1920, 1080],
] as const;

/** By picture, a view that is drawn so. */
const VIEWS = { map: 'zones', lines: 'payments', sessions: 'shifts', list: 'best_parties' } as const;

/** Names of elements that are cut off at the side, or whose text is wider than they are. */
const CLIPPED = `[...document.querySelectorAll('main *, header *')].filter((found) => {
  if (!found.checkVisibility() || found.closest('svg, .scroll, #map, .unseen, [hidden]')) return false;
  const { left, right, width, height } = found.getBoundingClientRect();
  if (width === 0 || height === 0) return false;
  const scrolls = found.closest('.chart.sessions, .ranking, .side');
  const box = scrolls ? scrolls.getBoundingClientRect() : { left: 0, right: innerWidth };
  const spills = !found.firstElementChild && found.scrollWidth > found.clientWidth + 1 && found.clientWidth > 0
    && getComputedStyle(found).overflowX === 'visible' && getComputedStyle(found).display !== 'inline';
  return spills || left < box.left - 1 || right > box.right + 1;
}).map((found) => found.id || found.className || found.tagName)`;

/** Whether the map's canvas is as large as its box, in its pixels too, and painted to its corners. */
const PAINTED = `(() => {
  const box = document.getElementById('map').getBoundingClientRect();
  const canvas = document.querySelector('#map canvas');
  const drawn = canvas.getBoundingClientRect();
  return {
    box: [Math.round(box.width), Math.round(box.height)],
    drawn: [Math.round(drawn.width), Math.round(drawn.height)],
    pixels: [Math.round(canvas.width / devicePixelRatio), Math.round(canvas.height / devicePixelRatio)],
  };
})()`;

describe('the looks of the page', { skip: withoutChromium }, () => {
  let browser: Browser;
  let folder: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
    await ownViews(folder, 1_500);
    browser = await startChromium();
  });

  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('nothing is wider than the window or cut off at any width, and the map is painted whole', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'own', '--port', '0']);
    await looked(browser, `${url}#results?view=zones`, async ({ page }) => {
      await settled(page);
      for (const [picture, view] of Object.entries(VIEWS)) {
        await page.locator('#view').selectOption(view);
        await page
          .locator('#stage-title', { hasText: new RegExp(`^${view}\\b`) })
          .waitFor({ state: 'attached' });
        for (const [width, height] of SIZES) {
          await page.setViewportSize({ width, height });
          await painted(page, picture, `${view} at ${width}×${height}`);
        }
      }
    });
  });

  for (const [name, options] of [
    ['light', { width: 1440, height: 900 }],
    ['dark', { width: 1440, height: 900, dark: true }],
    ['a phone', { width: 375, height: 720 }],
    ['a phone, dark', { width: 320, height: 640, dark: true }],
  ] as const) {
    it(`axe finds nothing serious in any picture: ${name}`, async (t) => {
      const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'own', '--port', '0']);
      const look = async (page: Page) => {
        await settled(page);
        const paper = await page.evaluate('getComputedStyle(document.body).backgroundColor');
        const bright = Number(/\d+/.exec(String(paper))![0]) > 128;
        assert.equal(bright, !('dark' in options), `background ${paper}`);
        await page.locator('#tables summary').click();
        for (const view of Object.values(VIEWS)) {
          await page.locator('#view').selectOption(view);
          await page
            .locator('#stage-title', { hasText: new RegExp(`^${view}\\b`) })
            .waitFor({ state: 'attached' });
          await accessible(page, `${view}, ${name}`);
        }
      };
      await looked(browser, `${url}#results?view=zones`, ({ page }) => look(page), options);
    });
  }
});

async function painted(page: Page, picture: string, what: string): Promise<void> {
  assert.deepEqual(await page.evaluate(CLIPPED), [], `${what}: what is cut off`);
  const [needed, there] = (await page.evaluate('[document.scrollingElement.scrollWidth, innerWidth]')) as [number, number]; // biome-ignore format: one question
  assert.ok(needed <= there, `${what} is ${needed} px wide, the window ${there}`);
  if (picture !== 'map') return;
  const isWhole = `(({ box, drawn, pixels }) => String(drawn) === String(box) && String(pixels) === String(box))(${PAINTED})`;
  await until(`${what}: the map is painted whole`, async () => (await page.evaluate(isWhole)) === true);
  const { box } = (await page.evaluate(PAINTED)) as { box: [number, number] };
  assert.ok(box[0] > 200 && box[1] > 120, `${what}: a map of ${box.join('×')}`);
}
