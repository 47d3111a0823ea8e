/** The page "Results" in a browser: opens it, and reads window by window what it shows. */
import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';
import { type OpenPage, openPage, type PageOptions } from '../services/chromium.ts';
import { until } from '../until.ts';
import { number } from './looking.ts';

/** What the page shows of a window. */
export interface ShownWindow {
  /** Epoch ms, as the page's words say it. */
  readonly start: number;
  readonly time: string;
  /** Values below the time, by id. */
  readonly figures: Readonly<Record<string, string>>;
  readonly terms: Readonly<Record<string, string>>;
  readonly note: string;
  readonly key: readonly string[];
  /** The key of another view, by its title. */
  readonly others: Readonly<Record<string, readonly string[]>>;
  /** Figures of the list beside the picture, and of one that is the picture. */
  readonly list: readonly ListItem[];
  readonly ranking: readonly ListItem[];
  readonly rows: readonly (readonly string[])[];
  readonly isLoading: boolean;
}

export interface ListItem {
  readonly rank: string;
  readonly name: string;
  readonly code: string;
  readonly figure: string;
}

/** Drags the slider to each window and reads what is drawn. */
const SWEEP = `(() => {
  const byId = (id) => document.getElementById(id);
  const slider = byId('slider');
  const text = (found) => found?.textContent ?? '';
  const visible = (found) => found && found.checkVisibility();
  const list = (id) => [...byId(id).children].map(({ firstElementChild: item }) => {
    const of = (name) => text(item.querySelector('.' + name));
    return { rank: of('rank'), name: of('label'), code: of('code'), figure: of('figure') };
  });
  const key = (box) => visible(box) ? [...box.children].map(text) : [];
  const found = [];
  for (let i = 0; i <= Number(slider.max); i++) {
    slider.value = i;
    slider.dispatchEvent(new Event('input'));
    const facts = [...document.querySelectorAll('#figures dd')];
    const spoken = slider.getAttribute('aria-valuetext');
    const [, date, clock = '00:00'] = /^\\w+,? (\\d+ \\w+ \\d+), (?:(\\d+:[\\d:]+) to|all day|\\d+ \\w+ to)/.exec(spoken);
    const tables = [...document.querySelectorAll('#table-boxes section')];
    const results = tables.find((box) => box.ariaLabel.startsWith('Results of the window'));
    found.push({
      start: Date.parse(date + ' ' + clock + ' UTC'),
      time: text(byId('window-time')),
      figures: Object.fromEntries(facts.map((fact) => [fact.id, text(fact)])),
      terms: Object.fromEntries(facts.map((fact) => [fact.id, text(fact.previousElementSibling)])),
      note: visible(byId('whole-note')) ? text(byId('whole-note')) : '',
      key: [...key(byId('through-key')), ...key(byId('stage-key'))],
      others: Object.fromEntries([...document.querySelectorAll('.other')].map((other) =>
        [text(other.querySelector('.view-link')), key(other.querySelector('.key'))])),
      list: visible(byId('areas-box')) ? list('areas') : [],
      ranking: visible(byId('stage-list')) ? list('stage-list') : [],
      rows: [...results?.querySelectorAll('tbody tr') ?? []].map(({ cells }) => [...cells].map(text)),
      isLoading: visible(byId('whole-note')) && text(byId('whole-note')) === 'Loading …',
    });
  }
  slider.dispatchEvent(new Event('change'));
  return found;
})()`;

/** What is shown of each window, once all are loaded, with tables. */
export async function sweep(page: Page): Promise<ShownWindow[]> {
  const tables = page.locator('#tables');
  if ((await tables.getAttribute('open')) === null) await tables.locator('summary').click();
  let found: ShownWindow[] = [];
  await until('all windows are loaded', async () => {
    found = (await page.evaluate(SWEEP)) as ShownWindow[];
    return found.length > 0 && !found.some(({ isLoading }) => isLoading);
  });
  return found;
}

/** Waits until the page shows a view of a job that is over, and all that it loads at first. */
export async function settled(page: Page, state = 'done'): Promise<void> {
  await page.locator(`#pill[data-state=${state}]`).waitFor();
  await page.locator('#figures').waitFor();
  await page.locator('#map-note').waitFor({ state: 'hidden' });
}

/** Looks at a page; it must end without errors and without requests to other hosts. */
export async function looked(
  browser: Browser,
  url: string,
  look: (opened: OpenPage) => Promise<void>,
  options?: PageOptions,
): Promise<void> {
  const opened = await openPage(browser, url, options);
  try {
    await look(opened);
    const { origin } = new URL(url);
    const others = opened.requests.filter(
      (address) => !address.startsWith(`${origin}/`) && !/^(data|blob):/.test(address),
    );
    assert.deepEqual(others, [], 'no request leaves the machine');
    assert.deepEqual(opened.complaints, [], 'nothing on the console');
  } finally {
    await opened.page.context().close();
  }
}

export async function figure(page: Page, selector = '#total'): Promise<number> {
  return number((await page.locator(selector).textContent())!);
}

/** A figure as a person writes it: whole numbers whole, others with a digit, or two below 1. */
export function asText(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  const digits = Number.isInteger(value) ? 0 : Math.abs(value) < 1 ? 2 : 1;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
