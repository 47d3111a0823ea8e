/** The "Job" page in a real browser, against what `taxiflow status` says. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { bytes, count, rate } from '../../src/dashboard/page/format.ts';
import { temporaryFolder } from '../files.ts';
import {
  type OpenPage,
  openPage,
  type PageOptions,
  startChromium,
  withoutChromium,
} from '../services/chromium.ts';
import { freePort } from '../services/service.ts';
import { until } from '../until.ts';
import { accessible, cells } from './looking.ts';
import { dashboard, kill, morning, run, running } from './support.ts';

const PHONE = { width: 375, height: 720 };

interface Status {
  readonly totals: Record<string, number>;
  readonly checkpoints: { number: number; duration_ms: number; bytes: number }[];
  readonly history: {
    begins: boolean;
    most_trips_per_second: number;
    most_results_per_second: number;
  }[];
  readonly sinks: { name: string; pending: number; since: string | null; trouble: string | null }[];
}

describe('the job page in a browser', { skip: withoutChromium }, () => {
  let browser: Browser;
  let folder: string;
  let status: Status;

  /** Two runs of one job with a time between them, a savepoint, and another job. */
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
    const file = await morning(folder);
    const at = ['--data-dir', folder];
    const golden = ['process', '--app', 'golden', '--until-end', '--checkpoint-interval', '50ms', ...at];
    await run('replay', file, '--speedup', 'max', ...at);
    await run(...golden, '--output', join(folder, 'out.ndjson'));
    await run(...golden, '--output', join(folder, 'out.ndjson'));
    await run('process', '--app', 'second', '--until-end', ...at);
    await run('savepoint', 'create', '--app', 'golden', ...at);
    status = JSON.parse(await run('status', '--app', 'golden', '--json', ...at)) as Status;
    browser = await startChromium();
  });

  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function golden(t: TestContext, look: (opened: OpenPage) => Promise<void>, options?: PageOptions) {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'golden', '--port', '0']);
    const opened = await openPage(browser, `${url}#job`, options);
    // Status, past and jobs come one after the other.
    for (const part of ['.course .chart .most', '.checkpoints .bar', '.jobs a'])
      await opened.page.locator(part).first().waitFor();
    await look(opened);
    assert.deepEqual(opened.complaints, [], 'nothing on the console');
    await opened.page.context().close();
  }

  it('has charts with axes, the peaks of the state, and the time without a processor', (t) =>
    golden(t, async ({ page }) => {
      const most = (of: 'most_trips_per_second' | 'most_results_per_second') =>
        status.history.reduce((found, point) => Math.max(found, point[of]), 0);
      const peaks = await page.locator('.course .peak-text').allTextContents();
      assert.ok(most('most_trips_per_second') > 1_000);
      assert.equal(peaks[0], `peak ${rate(most('most_trips_per_second'))} /s`);
      assert.equal(peaks[1], `peak ${rate(most('most_results_per_second'))} /s`);
      assert.equal(status.history.filter(({ begins }) => begins).length, 2);
      for (const chart of await page.locator('.course .chart').all()) {
        assert.ok((await chart.locator('.grid').count()) >= 2, 'values at the side');
        assert.ok((await chart.locator('.mark + .scale-text').count()) >= 1, 'times below');
        assert.equal(await chart.locator('.gap').count(), 1, 'one gap');
      }
      const zone = await page.evaluate('Intl.DateTimeFormat().resolvedOptions().timeZone');
      const note = (await page.locator('.course .quiet').textContent())!;
      assert.ok(note.includes(`your time (${zone})`) && note.includes('2 runs'), note);
      assert.match((await page.locator('.event-time').textContent())!, /trip time, as in the files/);
    }));

  it('has the checkpoints of the state, as bars and as a table', (t) =>
    golden(t, async ({ page }) => {
      const { checkpoints } = status;
      assert.equal(await page.locator('.checkpoints .bar').count(), 2 * checkpoints.length);
      const longest = checkpoints.reduce((found, { duration_ms }) => Math.max(found, duration_ms), 0);
      assert.equal(
        await page.locator('.checkpoints .peak-text').first().textContent(),
        `peak ${rate(longest)} ms`,
      );
      await page.locator('.checkpoints summary').click();
      const rows = await cells(page, 'Checkpoints, as a table');
      assert.deepEqual(
        rows.map(([number, , took, wrote]) => [number, took, wrote]),
        checkpoints
          .toReversed()
          .map((found) => [count(found.number), `${rate(found.duration_ms)} ms`, bytes(found.bytes)]),
      );
    }));

  it('reads its charts by keyboard and by pointer', (t) =>
    golden(t, async ({ page }) => {
      const chart = page.locator('.checkpoints .chart');
      const text = () => chart.getAttribute('aria-valuetext');
      const { checkpoints } = status;
      await chart.focus();
      await chart.press('Home');
      assert.match((await text())!, new RegExp(`^checkpoint ${checkpoints[0]!.number} at `));
      await chart.press('ArrowRight');
      assert.match((await text())!, new RegExp(`^checkpoint ${checkpoints[1]!.number} at `));
      await chart.press('End');
      const last = checkpoints.at(-1)!;
      assert.match(
        (await text())!,
        new RegExp(`^checkpoint ${count(last.number)} at .*${bytes(last.bytes)}$`),
      );
      assert.equal(await page.locator('.checkpoints .readout').textContent(), await text());
      const bar = (await page.locator('.checkpoints .bar').first().boundingBox())!;
      await page.mouse.move(bar.x + bar.width / 2, bar.y + bar.height / 2);
      assert.match((await text())!, new RegExp(`^checkpoint ${checkpoints[0]!.number} at `));
      assert.equal(page.url().split('#')[1], 'job', 'the keys were those of the chart');
    }));

  it('switches to another job of the folder, and back', (t) =>
    golden(t, async ({ page }) => {
      await page.locator('.jobs a').nth(1).click();
      await page.locator('#app', { hasText: 'second' }).waitFor();
      assert.equal(page.url().split('#')[1], 'job?app=second');
      await page.locator('.jobs tr', { hasText: 'second (shown)' }).waitFor();
      await page.goBack();
      await page.locator('#app', { hasText: 'golden' }).waitFor();
      await page.locator('.jobs tr', { hasText: 'golden (shown)' }).waitFor();
    }));

  it('lists jobs, savepoints and settings, and speaks of no failure after a run that is over', (t) =>
    golden(t, async ({ page }) => {
      const jobs = await cells(page, 'Jobs, as a table');
      assert.deepEqual(
        jobs.map(([app, state]) => [app, state]),
        [
          ['golden (shown)', 'finished'],
          ['second', 'finished'],
        ],
      );
      assert.equal(await page.locator('.jobs a').nth(1).getAttribute('href'), '#job?app=second');
      const [savepoint, ...others] = await cells(page, 'Savepoints, as a table');
      assert.equal(others.length, 0);
      assert.match(savepoint![0]!, /^golden-\d+-.*\.savepoint$/);
      assert.equal(savepoint![1], count(status.checkpoints.at(-1)!.number));
      const settings = (await page.locator('.settings').textContent())!;
      for (const words of [
        'windows of 10 minutes',
        'drop-off of the trip',
        'every 50 ms',
        process.versions.node,
      ])
        assert.ok(settings.includes(words), `${words} in ${settings}`);
      assert.equal(
        await page.locator('.summary').textContent(),
        'The run is over: everything was read, and its results are here.',
      );
      const text = (await page.locator('#cards').textContent())!;
      assert.doesNotMatch(
        text.replace(/Runs that failed\s*None: no run has ended with an error\./, ''),
        /fail|error|blocked|crash|killed|goes on from/i,
      );
    }));

  for (const [name, options] of [
    ['light', {}],
    ['dark', { dark: true }],
    ['a phone', PHONE],
    ['a phone in the dark', { ...PHONE, dark: true }],
  ] as const)
    it(`axe finds nothing serious and nothing is clipped: ${name}`, (t) =>
      golden(
        t,
        async ({ page }) => {
          await page.locator('.checkpoints summary').click();
          await accessible(page, 'Job');
          const [stream, state] = await Promise.all(
            ['.node.stream', '.node.state'].map((node) => page.locator(node).boundingBox()),
          );
          if ('width' in options) assert.ok(state!.y >= stream!.y + stream!.height, 'from top to bottom');
          else assert.ok(state!.x >= stream!.x + stream!.width, 'from left to right');
        },
        options,
      ));

  it('says which sink is blocked, why and since when, and is renewed in place', async (t) => {
    const dataDir = temporaryFolder(t);
    const at = ['--data-dir', dataDir];
    const file = await morning(dataDir, 2_000);
    await run('replay', file, '--speedup', 'max', ...at);
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const child = running(t, [
      'process',
      '--opensearch',
      nobody,
      '--output',
      join(dataDir, 'o.ndjson'),
      ...at,
    ]);
    const { url } = await dashboard(t, [...at, '--port', '0']);
    const { page, complaints } = await openPage(browser, `${url}#job`);
    const edge = page.locator('.edge.blocked .words');
    await edge.filter({ hasText: /^[\d,]{3,} results wait, blocked for / }).waitFor();
    const now = JSON.parse(await run('status', '--json', ...at)) as Status;
    const sink = now.sinks.find(({ trouble }) => trouble !== null)!;
    const words = (await edge.textContent())!;
    assert.ok(words.startsWith(`${count(sink.pending)} results wait, blocked for `), words);
    assert.ok(words.endsWith(`: ${sink.trouble}`) && words.includes('ECONNREFUSED'), words);
    assert.equal(
      await page.locator('.summary').textContent(),
      `${sink.name} holds up its own results; the rest of the line goes on.`,
    );
    assert.equal(await page.locator('.node.slow-part h3').textContent(), 'opensearch');
    const since = await inZone(page, Date.parse(sink.since!));
    const trouble = (await page.locator('.sinks .trouble').textContent())!;
    assert.ok(trouble.includes(`Since ${since} (`), trouble);
    assert.equal(await page.locator('.edge.flows .words').last().textContent(), 'has all results so far');

    // Renewed, not made anew: what has the focus keeps it, and a node stays the same.
    await page.locator('.course .chart').first().focus();
    await page.evaluate("document.querySelector('.node.sink').same = true");
    const age = await page.locator('.checkpoint dd').first().textContent();
    await until(
      'a later checkpoint is shown',
      async () => (await page.locator('.checkpoint dd').first().textContent()) !== age,
    );
    assert.equal(await page.evaluate("document.querySelector('.node.sink').same"), true);
    assert.equal(await page.evaluate("document.activeElement.classList.contains('chart')"), true);
    await kill(child);
    await page.locator('.summary', { hasText: 'No processor runs now.' }).waitFor();
    assert.equal(await page.locator('.edge.blocked').count(), 0);
    assert.deepEqual(complaints, []);
    await page.context().close();
  });
});

/** A time of the wall, as the browser has it. */
function inZone(page: Page, ms: number): Promise<string> {
  return page.evaluate(`new Date(${ms}).toTimeString().slice(0, 8)`) as Promise<string>;
}
