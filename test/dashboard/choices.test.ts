/** What is chosen on the page: in its address, by keys, and by the search of areas. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startChromium, withoutChromium } from '../services/chromium.ts';
import { accessible } from './looking.ts';
import { ownViews } from './own-views.ts';
import { looked, settled } from './results-page.ts';
import { dashboard } from './support.ts';

/** What the page shows, as one reads it. */
async function shown(page: Page) {
  const value = (id: string) => page.locator(id).inputValue();
  return {
    view: await value('#view'),
    figure: await value('#figure'),
    time: await page.locator('#window-time').textContent(),
    pins: await page.locator('#areas [aria-pressed=true] .code').allTextContents(),
    tab: await page.locator('nav [aria-current=page]').textContent(),
  };
}

const notice = async (page: Page) =>
  (await page.locator('#notice[data-state=nonsense]').isVisible())
    ? (await page.locator('#notice-text').textContent())!
    : '';

describe('what is chosen on the page', { skip: withoutChromium }, () => {
  let browser: Browser;
  let folder: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
    await ownViews(folder);
    browser = await startChromium();
  });

  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A page of the user's own views. */
  async function own(t: TestContext, hash: string, look: (page: Page, url: string) => Promise<void>) {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'own', '--port', '0']);
    await looked(browser, url + hash, async ({ page }) => {
      await settled(page);
      await look(page, url);
    });
  }

  it('an address brings back all that is chosen, and the way back leads through it', (t) =>
    own(t, '#results?view=zones&figure=fare&at=2016-01-14T02:00', async (page, url) => {
      const first = { view: 'zones', figure: 'fare', time: '02:00 – 03:00', pins: [], tab: 'Results' };
      assert.deepEqual(await shown(page), first);
      const item = page.locator('#areas button').first();
      const code = (await item.locator('.code').textContent())!;
      await item.click();
      await page.waitForURL(new RegExp(`area=${code}`));
      await page.locator('#view').selectOption('fares_by_payment');
      await page.locator('#figure').selectOption('trips');
      await page.locator('#filters select').selectOption({ label: 'cash' });
      await page.locator('#tab-job').click();
      assert.equal(new URL(page.url()).hash.split('?')[0], '#job');
      assert.match(page.url(), /view=fares_by_payment&figure=trips.*key\.payment_type=2/);
      const address = page.url();

      await page.goBack();
      await page.waitForURL(/#results.*key\.payment_type=2/);
      await page.goBack();
      assert.equal(await page.locator('#filters select').inputValue(), '', 'no word chosen');
      await page.goBack();
      await page.locator('#figure option:checked[value=average]').waitFor({ state: 'attached' });
      await page.goBack();
      await page.locator(`#areas [aria-pressed=true] .code`, { hasText: code }).waitFor();
      assert.deepEqual(await shown(page), { ...first, pins: [code] });
      await page.goBack();
      await page.locator('#areas [aria-pressed=true]').waitFor({ state: 'detached' });
      assert.deepEqual(await shown(page), first);
      for (let i = 0; i < 5; i++) await page.goForward();
      await page.locator('#job').waitFor();
      assert.equal(page.url(), address);

      await page.goto('about:blank');
      await page.goto(address.replace('#job', '#results'));
      await page.locator('#figures').waitFor();
      await page.locator('#filters select option:checked[value="2"]').waitFor({ state: 'attached' });
      const again = await shown(page);
      assert.deepEqual([again.view, again.figure], ['fares_by_payment', 'trips'], `${url} as a link`);
    }));

  it('another job of the folder is shown by its name, and one that is not there is said to be missing', async (t) => {
    const { url } = await dashboard(t, ['--data-dir', folder, '--app', 'own', '--port', '0']);
    await looked(browser, `${url}#results?app=golden`, async ({ page }) => {
      await settled(page);
      assert.equal(await page.locator('#app').textContent(), 'golden');
      assert.equal((await shown(page)).view, 'pickup_count');
      await page.evaluate("location.hash = '#results?app=own'");
      await page.locator('#app', { hasText: 'own' }).waitFor();
      await page.locator('#view option:checked[value=fares]').waitFor({ state: 'attached' });
    });
    const opened = browser.newContext();
    const page = await (await opened).newPage();
    for (const app of ['nobody', '../../etc/passwd', '<img src=x onerror=alert(1)>']) {
      await page.goto('about:blank');
      await page.goto(`${url}#results?app=${encodeURIComponent(app)}`);
      await page.locator('#pill[data-state=no-job]').waitFor();
      assert.equal(await page.locator('#notice-text').textContent(), `There is no job “${app}” here.`);
    }
    await (await opened).close();
  });

  for (const [what, query, said] of [
    ['a view', 'view=nothing', /this job has no view “nothing”/],
    ['a figure', 'view=fares&figure=nothing', /fares has no figure “nothing”/],
    ['a time', 'view=fares&at=yesterday', /“yesterday” is no time/],
    ['a window', 'view=fares&at=2016-02-14T00:17', /no window is that of 2016-02-14 00:17/],
    ['an area', 'view=fares&area=nowhere', /no results are of the area “nowhere”/],
    ['a key', 'view=fares&key.colour=red', /fares has no key “colour”/],
    ['a word', 'view=fares&colour=red', /“colour” means nothing here/],
    ['the name of a prototype', '__proto__=1&key.__proto__=1&view=__proto__', /“__proto__”/],
    [
      'quotes',
      'view=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E',
      /no view “"><img src=x onerror=alert\(1\)>”/,
    ],
    ['broken escapes', 'view=%E0%A4%A&figure=%', /no view/],
    ['much', `view=fares&at=${'9'.repeat(10_000)}`, /“9{200,300}…$/],
  ] as const) {
    it(`nonsense in an address is told, and the rest is shown: ${what}`, (t) =>
      own(t, `#results?${query}`, async (page) => {
        await page.locator('#notice[data-state=nonsense]').waitFor();
        assert.match(await notice(page), said);
        assert.equal((await shown(page)).view, 'fares');
        assert.notEqual(await page.locator('#total').textContent(), '');
        const [wide, there] = (await page.evaluate('[document.scrollingElement.scrollWidth, innerWidth]')) as [number, number]; // biome-ignore format: one question
        assert.ok(wide <= there, 'it makes nothing wider');
        for (const key of ['Home', 'End']) await page.locator('#slider').press(key);
        await page.locator('#notice[data-state=nonsense]').waitFor({ state: 'hidden' });
      }));
  }

  it('an unknown page is told', (t) =>
    own(t, '#__proto__', async (page) => {
      assert.match(await notice(page), /there is no page “__proto__”/);
      assert.equal((await shown(page)).tab, 'Results');
    }));

  it('keys work anywhere on the page', (t) =>
    own(t, '#results?view=zones', async (page) => {
      const slider = page.locator('#slider');
      const last = (await slider.getAttribute('max'))!;
      const at = () => slider.inputValue();
      const press = (key: string) => page.keyboard.press(key);
      await press('Home');
      assert.equal(await at(), '0');
      await press('ArrowRight');
      await press('ArrowRight');
      assert.equal(await at(), '2');
      await press('ArrowLeft');
      assert.equal(await at(), '1');
      await press('End');
      assert.equal(await at(), last);
      await press('Home');
      await press('l');
      assert.deepEqual(
        [await at(), await page.locator('#live').getAttribute('aria-pressed')],
        [last, 'true'],
      );
      await press('Home');
      await press(' ');
      await page.locator('#play', { hasText: 'Pause' }).waitFor();
      await press(' ');
      await page.locator('#play', { hasText: 'Play' }).waitFor();
      await press('2');
      await page.locator('#job').waitFor();
      await press('3');
      await page.locator('#sql').waitFor();
      await press('1');
      await page.locator('#results').waitFor();
      for (const key of ['f', 'F']) await press(key);
      await press('/');
      assert.equal(await page.evaluate('document.activeElement.id'), 'search');
    }));

  it('keys are letters in a field, and browsers keep theirs', (t) =>
    own(t, '#results?view=zones', async (page) => {
      const slider = page.locator('#slider');
      await page.keyboard.press('Home');
      await page.locator('#search').click();
      await page.keyboard.type('l 123?/f');
      assert.equal(await page.locator('#search').inputValue(), 'l 123?/f');
      await page.keyboard.press('ArrowLeft');
      await page.keyboard.press('End');
      assert.equal(await slider.inputValue(), '0', 'the time stays');
      assert.ok(await page.locator('#results').isVisible(), 'and the page');
      assert.ok(!(await page.locator('#keys').isVisible()), 'and no list of keys');
      await page.keyboard.press('Escape');
      assert.equal(await page.locator('#search').inputValue(), '', 'Escape clears it');
      assert.equal(await page.evaluate('document.activeElement.id'), '');
      await page.keyboard.press('Control+l');
      assert.equal(await slider.inputValue(), '0', 'Ctrl-L is the browser’s');
    }));

  it('the keys are listed in a dialog that everybody can use', (t) =>
    own(t, '', async (page) => {
      const dialog = page.locator('#keys');
      await page.keyboard.press('?');
      await dialog.waitFor();
      const keys = await dialog.locator('kbd').allTextContents();
      assert.deepEqual(keys, ['Space', '←', '→', 'Home', 'End', 'L', 'Esc', 'F', '/', '1', '2', '3', '?']);
      await accessible(page, 'the list of keys');
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      await page.locator('#keys-open').click();
      await dialog.waitFor();
      await dialog.locator('button').click();
      await dialog.waitFor({ state: 'hidden' });
    }));

  it('areas are found by name, by number and by geohash, with the keyboard alone', (t) =>
    own(t, '#results?view=zones', async (page) => {
      const search = page.locator('#search');
      const found = page.locator('#found [role=option]');
      await page.keyboard.press('/');
      await page.keyboard.type('jfk');
      await found.first().waitFor();
      assert.match((await found.first().textContent())!, /^JFK Airport Queens 132$/);
      assert.equal(await search.getAttribute('aria-expanded'), 'true');
      assert.equal(await search.getAttribute('aria-activedescendant'), 'found-0');
      await page.keyboard.press('Enter');
      await page.waitForURL(/area=132/);
      assert.match((await page.locator('#through-key').textContent())!, /^JFK Airport/);
      assert.equal(await search.getAttribute('aria-expanded'), 'false');

      await page.keyboard.type('161');
      assert.match((await found.first().textContent())!, /161$/);
      await page.keyboard.press('Enter');
      await page.waitForURL(/area=132&area=161/);

      await page.keyboard.type('upper');
      assert.ok((await found.count()) > 2);
      await page.keyboard.press('ArrowDown');
      assert.equal(await search.getAttribute('aria-activedescendant'), 'found-1');
      await page.keyboard.press('ArrowUp');
      await page.keyboard.press('ArrowUp');
      const last = (await found.count()) - 1;
      assert.equal(await search.getAttribute('aria-activedescendant'), `found-${last}`, 'round to the last');
      assert.equal(await page.locator('#found [aria-selected=true]').count(), 1);
      await accessible(page, 'the search');
      await page.keyboard.press('Escape');
      await page.locator('#found').waitFor({ state: 'hidden' });

      await search.fill('no such place');
      assert.equal(await found.textContent(), 'No area of that name has results');
      await page.keyboard.press('Enter');
      await search.fill('<b>x</b>');
      assert.equal(await page.locator('#found b').count(), 0);

      await page.locator('#view').selectOption('fares');
      await page.locator('#stage-title', { hasText: 'fares' }).waitFor({ state: 'attached' });
      await page.locator('#areas button').first().waitFor();
      const code = (await page.locator('#areas .code').first().textContent())!;
      await search.fill(code.toUpperCase());
      await page.keyboard.press('Enter');
      await page.waitForURL(new RegExp(`area=${code}`));
    }));
});
