/** How smoothly a browser plays a thousand windows of ten thousand cells, beside the pace of an empty page. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDashboard } from '../../dist/dashboard/dashboard.js';
import { cell, cellText } from '../../dist/views/geohash.js';
import { taxiViews } from '../../dist/views/taxi.js';
import { writtenState } from '../dashboard/support.ts';
import { openPage, startChromium, withoutChromium } from '../services/chromium.ts';

const WINDOWS = 1_000;
const CELLS = 10_000;
const START = Date.UTC(2016, 0, 14);
const MINUTES = 600_000;
const PLAYED_MS = 20_000;

/** Ms from frame to frame. */
const FRAMES = `new Promise((resolve) => {
  const found = [];
  const began = performance.now();
  let last = began;
  const step = (now) => {
    found.push(now - last);
    last = now;
    if (now - began < ${PLAYED_MS}) requestAnimationFrame(step);
    else resolve(found.slice(1));
  };
  requestAnimationFrame(step);
})`;

function writeWindows(dataDir: string): void {
  const places = Array.from({ length: CELLS }, (_, i) =>
    cellText(cell(40.56 + (i % 100) * 0.0031, -74.05 + Math.floor(i / 100) * 0.0032, 7), 7),
  );
  const state = writtenState(dataDir, 'playing', taxiViews());
  for (let i = 0; i < WINDOWS; i++) {
    const docs = places.map((location, n) => ({ location, pickup_count: 2 + ((n * 7 + i * 13) % 97) }));
    const start = START + i * MINUTES;
    state.fire({ view: 'pickup_count', start, end: start + MINUTES, docs });
  }
  state.close();
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}

/** Prints the times; nothing is asked of them, since a machine without a graphics card draws maps by its processor. */
export async function playingBench(): Promise<boolean> {
  if (withoutChromium) {
    console.log(`playing in a browser: ${withoutChromium}`);
    return true;
  }
  const dataDir = mkdtempSync(join(tmpdir(), 'taxiflow-bench-'));
  const browser = await startChromium();
  try {
    writeWindows(dataDir);
    const dashboard = await startDashboard(
      { dataDir, app: 'playing', host: '127.0.0.1', port: 0 },
      (error) => {
        throw error;
      },
    );
    const { page } = await openPage(browser, 'about:blank');
    const empty = (await page.evaluate(FRAMES)) as number[];
    const began = performance.now();
    await page.goto(`${dashboard.url}#results?at=2016-01-14T00:00`);
    await page.locator('#areas button').first().waitFor();
    const first = performance.now() - began;
    await page.locator('#map-note').waitFor({ state: 'hidden' });
    const at = () => page.locator('#slider').inputValue();
    const from = Number(await at());
    await page.locator('#play').click();
    const played = (await page.evaluate(FRAMES)) as number[];
    const windows = Number(await at()) - from;
    for (const [name, share] of [
      ['median', 0.5],
      ['95th percentile', 0.95],
    ] as const) {
      const [ours, baseline] = [quantile(played, share), quantile(empty, share)];
      const what = `ms a frame while playing, ${name} / of an empty page`;
      console.log(
        `${what.padEnd(58)} ${(ours / baseline).toFixed(2)}×  ${ours.toFixed(1)} against ${baseline.toFixed(1)} ms`,
      );
    }
    console.log(
      `${WINDOWS} windows of ${CELLS} cells: first figures after ${first.toFixed(0)} ms, ${windows} windows played in ${PLAYED_MS / 1_000} s`,
    );
    await dashboard.close();
    return true;
  } finally {
    await browser.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
