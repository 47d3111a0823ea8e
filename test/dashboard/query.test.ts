/** Queries of the page: what the server lets them do, and the box for them in a real browser. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import type { QueryFailure, QueryRows, QueryTables } from '../../src/dashboard/page/query-answer.ts';
import { Database } from '../../src/sqlite.ts';
import { lines } from '../cli/model.ts';
import { openPage, type PageOptions, startChromium, withoutChromium } from '../services/chromium.ts';
import { until } from '../until.ts';
import { dashboard, morning, processed, run, running } from './support.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n';

const folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
const APP = 'golden';
const state = join(folder, 'apps', `${APP}.sqlite`);
before(async () => processed(folder, await morning(folder, 5_000), APP));
after(() => rmSync(folder, { recursive: true, force: true }));

const serve = (t: TestContext) => dashboard(t, ['--data-dir', folder, '--port', '0']);
const addressOf = (url: string, sql: string) => `${url}api/query?sql=${encodeURIComponent(sql)}`;

interface Answered<T> {
  readonly status: number;
  readonly body: T;
}

async function ask<T = QueryRows>(
  url: string,
  sql: string,
  headers: Record<string, string> = {},
): Promise<Answered<T>> {
  const sent = get(addressOf(url, sql), { agent: false, headers });
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  const isJson = response.headers['content-type']?.startsWith('application/json');
  return { status: response.statusCode!, body: (isJson ? JSON.parse(text) : text) as T };
}

async function refused(url: string, sql: string, code: string, message: RegExp): Promise<void> {
  const { status, body } = await ask<QueryFailure>(url, sql);
  assert.equal(status, 400, sql);
  assert.equal(body.error.code, code, sql);
  assert.match(body.error.message, message);
  assert.ok(body.error.hint, `${sql} has a hint`);
}

describe('queries over HTTP', () => {
  it('answer with rows and the types of their columns, and without a query with the tables', async (t) => {
    const { url } = await serve(t);
    const sql = 'SELECT * FROM trip_duration ORDER BY window_start, location, airport_code';
    const { status, body } = await ask(url, sql);
    assert.equal(status, 200);
    const results = lines(
      await run('results', '--view', 'trip_duration', '--app', APP, '--data-dir', folder),
    );
    assert.ok(results.length > 5 && results.length < 1_000);
    const rows = results.map(({ view: _, ...row }) => Object.values(row));
    const inOrder = (list: readonly (readonly unknown[])[]) => list.map((row) => JSON.stringify(row)).sort();
    assert.deepEqual(inOrder(body.rows), inOrder(rows));
    assert.equal(body.cut, false);
    assert.ok(body.ms >= 0);
    const { tables } = (await ask<QueryTables>(url, '')).body;
    const [, table] = tables;
    assert.equal(table!.table, 'trip_duration');
    assert.deepEqual(body.columns, table!.columns);
    const mixed = await ask(url, "SELECT column1 AS a, x'01' AS b, null AS c FROM (VALUES (1), (1.5))");
    assert.deepEqual(mixed.body.columns, [
      { name: 'a', type: 'REAL' },
      { name: 'b', type: 'BLOB' },
      { name: 'c', type: 'NULL' },
    ]);
  });

  it('change nothing and read nothing but results', async (t) => {
    const { url } = await serve(t);
    const read = () => {
      const db = new Database(state, { readonly: true });
      const all = db.serialize();
      db.close();
      return all;
    };
    const before = read();
    const changing = [
      'DELETE FROM firings',
      'WITH a AS (SELECT 1) DELETE FROM firings',
      `ATTACH '${join(folder, 'stolen')}' AS a`,
      `VACUUM INTO '${join(folder, 'stolen')}'`,
      'PRAGMA writable_schema = 1',
      'SELECT 1; DELETE FROM firings',
    ];
    for (const sql of changing) await refused(url, sql, 'usage', /./);
    const others = [
      'dead_letters',
      'identity',
      'run',
      'cursors',
      'seen_pages',
      'window_destinations',
      'checkpoint',
    ];
    for (const table of others) {
      await refused(url, `SELECT * FROM ${table}`, 'bad-query', /only the tables of views/);
      await refused(
        url,
        `SELECT (SELECT count(*) FROM main.${table}) FROM pickup_count`,
        'bad-query',
        /only the/,
      );
    }
    assert.ok(before.equals(read()));
    assert.ok(!existsSync(join(folder, 'stolen')));
    await refused(url, 'SELECT * FROM pickups', 'bad-query', /no table pickups/);
  });

  it('are bounded in rows, characters, time and memory', async (t) => {
    const { url } = await serve(t);
    const numbers = ENDLESS.replace('count(*)', 'i');
    const many = await ask(url, numbers);
    assert.equal(many.status, 200);
    assert.deepEqual([many.body.rows.length, many.body.rows.at(-1), many.body.cut], [1_000, [1_000], true]);
    const exact = await ask(url, `${numbers} LIMIT 1000`);
    assert.deepEqual([exact.body.rows.length, exact.body.cut], [1_000, false]);
    const long = await ask(url, `SELECT hex(zeroblob(50000)), i FROM (${numbers})`);
    assert.ok(long.body.cut);
    assert.ok(long.body.rows.every(([text]) => String(text).length <= 2_001));
    assert.ok(JSON.stringify(long.body).length < 5_000_000);
    await refused(url, ENDLESS, 'query-stopped', /longer than 5 s/);
    const bombs = [
      'SELECT randomblob(400000000)',
      'SELECT zeroblob(500000000)',
      "SELECT printf('%.*c', 400000000, 'x')",
      `SELECT group_concat(randomblob(1000000)) FROM (${numbers})`,
      `${numbers} ORDER BY -i`,
    ];
    for (const sql of bombs) await refused(url, sql, 'query-stopped', /too much memory|longer than/);
    await refused(url, 'SELECT zeroblob(2000000000)', 'bad-query', /too long/);
    assert.equal((await ask(url, 'SELECT 1')).status, 200, 'the server is as well as before');
  });

  it('are at most two at once, and end with the page that asked', async (t) => {
    const { url } = await serve(t);
    const asked = [1, 2].map(() => get(addressOf(url, ENDLESS), { agent: false }).on('error', () => {}));
    await until('both run', async () => {
      const { status, body } = await ask<QueryFailure>(url, 'SELECT 1');
      return status === 503 && body.error.code === 'busy';
    });
    for (const request of asked) request.destroy();
    await until('there is room again', async () => (await ask(url, 'SELECT 1')).status === 200);
  });

  it('may be 8 kB long', async (t) => {
    const { url } = await serve(t);
    const ofLength = (bytes: number) => `SELECT 1 -- ${'é'.repeat((bytes - 12) / 2)}`;
    assert.equal((await ask(url, ofLength(8_192))).status, 200);
    const { status, body } = await ask<QueryFailure>(url, ofLength(8_194));
    assert.deepEqual([status, body.error.code], [414, 'usage']);
  });

  it('are refused to other hosts, sites and methods', async (t) => {
    const { url } = await serve(t);
    assert.equal((await ask(url, 'SELECT 1', { host: 'evil.example' })).status, 421);
    for (const site of ['cross-site', 'same-site', 'anything'])
      assert.equal((await ask(url, 'SELECT 1', { 'sec-fetch-site': site })).status, 403, site);
    for (const site of ['same-origin', 'none'])
      assert.equal((await ask(url, 'SELECT 1', { 'sec-fetch-site': site })).status, 200, site);
    const { status } = await fetch(addressOf(url, 'SELECT 1'), { method: 'POST' });
    assert.equal(status, 405);
  });

  const noProc = existsSync('/proc/self/task') ? false : 'needs /proc';
  it('end with the server, however that ends', { skip: noProc }, async (t) => {
    const server = running(t, ['dashboard', '--json', '--data-dir', folder, '--port', '0']);
    const [line] = (await once(createInterface({ input: server.stdout! }), 'line')) as [string];
    const { url } = JSON.parse(line) as { url: string };
    get(addressOf(url, ENDLESS), { agent: false }).on('error', () => {});
    const children = () => readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim();
    await until('it runs', () => children() !== '');
    const child = children();
    server.kill('SIGKILL');
    await until('it is gone', () => !existsSync(`/proc/${child}`));
  });
});

describe('the box for queries in a browser', { skip: withoutChromium }, () => {
  let browser: Browser;
  before(async () => {
    browser = await startChromium();
  });
  after(() => browser?.close());

  /** The page with the box; it must end without errors. */
  async function box(t: TestContext, look: (page: Page) => Promise<void>, options?: PageOptions) {
    const { url } = await serve(t);
    const { page, complaints } = await openPage(browser, `${url}#sql`, options);
    await page.locator('#query .query-tables button').first().waitFor();
    await look(page);
    // A refused query is an answer, which the browser notes all the same.
    assert.deepEqual(
      complaints.filter((text) => !/status of (400|503|414)/.test(text)),
      [],
    );
    await page.context().close();
  }

  const cells = async (page: Page) => {
    const rows = await page.locator('#query tbody tr').all();
    return Promise.all(rows.map((row) => row.locator('th, td').allTextContents()));
  };

  it('lists the tables, and shows what a query finds', (t) =>
    box(t, async (page) => {
      const chips = page.locator('#query .query-tables button');
      assert.deepEqual(await chips.allTextContents(), ['pickup_count', 'trip_duration']);
      await chips.first().click();
      const text = page.locator('#query textarea');
      assert.equal(
        await text.inputValue(),
        'SELECT * FROM pickup_count ORDER BY window_start DESC LIMIT 100',
      );
      await text.fill(
        'SELECT location, sum(pickup_count) AS n FROM pickup_count GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5',
      );
      await text.press('Control+Enter');
      await page.locator('#query tbody tr').nth(4).waitFor();
      const found = lines<{ location: string; n: number }>(
        await run('query', await text.inputValue(), '--app', APP, '--data-dir', folder),
      );
      assert.deepEqual(
        await cells(page),
        found.map(({ location, n }) => [location, String(n)]),
      );
      assert.match((await page.locator('#query [role=status]').textContent())!, /^5 rows in [\d,]+ ms$/);
      assert.equal(await page.locator('#query svg').count(), 0, 'cells are no times');
    }));

  it('draws a line where a number goes by time, and one for each of a few keys', (t) =>
    box(t, async (page) => {
      const text = page.locator('#query textarea');
      const drawn = async (sql: string) => {
        await text.fill(sql);
        await page.locator('#query .query-run').click();
        await page.locator('#query [role=status]', { hasText: 'rows in' }).waitFor();
        return page.locator('#query .query-line').count();
      };
      assert.equal(
        await drawn('SELECT window_start, sum(pickup_count) AS n FROM pickup_count GROUP BY 1'),
        1,
      );
      const points = (await page.locator('#query .query-line').getAttribute('d'))!.split(/[ML]/).slice(1);
      assert.equal(points.length, (await cells(page)).length, 'a point a window');
      await text.fill('');
      const keyed =
        'SELECT window_start, airport_code, avg(avg_trip_duration) FROM trip_duration GROUP BY 1, 2';
      await text.fill(keyed);
      await page.locator('#query .query-run').click();
      await page.locator('#query .query-name', { hasText: 'JFK' }).waitFor();
      assert.equal(await page.locator('#query .query-line').count(), 2);
    }));

  it('says what is wrong, what is cut, and ends what takes too long for its reader', (t) =>
    box(t, async (page) => {
      const text = page.locator('#query textarea');
      const button = page.locator('#query .query-run');
      await text.fill('SELECT * FROM pickups');
      await button.click();
      const alert = page.locator('#query [role=alert]');
      await alert.filter({ hasText: 'there is no table pickups' }).waitFor();
      assert.match((await alert.textContent())!, /Try: the tables are pickup_count, trip_duration/);
      await text.fill(`SELECT 1 -- ${'é'.repeat(50_000)}`);
      await button.click();
      await alert.filter({ hasText: 'a query is at most 8,192 bytes long' }).waitFor();
      await text.fill(`${ENDLESS.replace('count(*)', "i, '<b>' || i AS html, null AS none")}`);
      await button.click();
      await page.getByText('Cut after 1,000 rows').waitFor();
      assert.deepEqual(
        await page.locator('#query tbody tr').last().locator('th, td').allTextContents(),
        ['1000', '<b>1000', 'null'],
        'text is text',
      );
      await text.fill(ENDLESS);
      await button.click();
      await page.getByRole('button', { name: 'Stop' }).click();
      await page.locator('#query [role=status]', { hasText: 'Stopped' }).waitFor();
      await text.fill('SELECT 42 AS answer');
      await until('there is room again', async () => {
        await button.click();
        await page.locator('#query [role=status]', { hasText: /Failed|1 row in/ }).waitFor();
        return (await page.locator('#query td, #query th[scope=row]').allTextContents()).includes('42');
      });
    }));

  for (const [name, options] of Object.entries({
    light: {},
    dark: { dark: true },
    phone: { width: 320, height: 640 },
  }))
    it(`is accessible and fits: ${name}`, (t) =>
      box(
        t,
        async (page) => {
          const text = page.locator('#query textarea');
          await text.fill('SELECT * FROM trip_duration');
          await text.press('Control+Enter');
          await page.locator('#query tbody tr').first().waitFor();
          await page.evaluate(AXE);
          const serious = await page.evaluate(
            `axe.run('#query').then(({ violations }) => violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id }) => id))`,
          );
          assert.deepEqual(serious, []);
          const overflow = await page.evaluate<number>(
            'document.documentElement.scrollWidth - document.documentElement.clientWidth',
          );
          assert.ok(overflow <= 0, `${overflow} px too wide`);
        },
        options,
      ));
});
