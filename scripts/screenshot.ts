/**
 * Makes docs/screenshot.png: the page after a demo, in the evening rush hour.
 *
 *     npx taxiflow demo --speedup max && node --import tsx scripts/screenshot.ts
 */
import { fileURLToPath } from 'node:url';
import { serveDashboard } from '../src/dashboard/server.ts';
import { openPage, startChromium } from '../test/services/chromium.ts';

const TARGET = fileURLToPath(new URL('../docs/screenshot.png', import.meta.url));
/** The rush hour, with Times Square and Union Square compared. */
const SHOWN = '#results?at=2016-01-14T18:40&area=dr5ru7&area=dr5rsr';

const dataDir = process.argv[2] ?? '.taxiflow';
const server = await serveDashboard({ dataDir, app: 'demo', host: '127.0.0.1', port: 0 });
const browser = await startChromium();
try {
  const { page } = await openPage(browser, `${server.url}${SHOWN}`, { width: 1440, height: 900, scale: 1.5 });
  await page.locator('#map-note').waitFor({ state: 'hidden' });
  // It says that the day is over, until something is chosen.
  await page.locator('#slider').press('ArrowRight');
  await page.locator('#slider').press('ArrowLeft');
  await page.locator('#slider').blur();
  await page.locator('#notice').waitFor({ state: 'hidden' });
  // The map's worker still draws.
  await page.waitForTimeout(500);
  await page.screenshot({ path: TARGET });
  console.error(TARGET);
} finally {
  await browser.close();
  await server.close();
}
