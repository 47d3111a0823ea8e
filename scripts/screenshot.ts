/**
 * Makes docs/screenshot.png: the page after a demo, in the evening rush hour.
 *
 *     npx taxiflow demo --speedup max && node --import tsx scripts/screenshot.ts
 */
import { fileURLToPath } from 'node:url';
import { serveDashboard } from '../src/dashboard/server.ts';
import { openPage, startChromium } from '../test/services/chromium.ts';

const TARGET = fileURLToPath(new URL('../docs/screenshot.png', import.meta.url));
const RUSH = '18:40 – 18:50';

const server = await serveDashboard({ dataDir: '.taxiflow', app: 'demo', host: '127.0.0.1', port: 0 });
const browser = await startChromium();
try {
  const { page } = await openPage(browser, server.url, { width: 1440, height: 860, scale: 1.5 });
  await page.locator('#map-note').waitFor({ state: 'hidden' });
  const slider = page.locator('#slider');
  await slider.press('End');
  for (let left = Number(await slider.inputValue()); left > 0; left--) {
    if ((await page.locator('#window-time').textContent()) === RUSH) break;
    await slider.press('ArrowLeft');
  }
  await page.locator('#slider').blur();
  // The map's worker still draws.
  await page.waitForTimeout(500);
  await page.screenshot({ path: TARGET });
  console.error(TARGET);
} finally {
  await browser.close();
  await server.close();
}
