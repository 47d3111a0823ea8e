/** Looks at a page in a browser: its tables, and whether everybody can use it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export function number(text: string): number {
  return Number(text.replaceAll(',', ''));
}

/** Texts of a table's cells, by row. */
export async function cells(page: Page, label: string): Promise<string[][]> {
  const rows = page.getByLabel(label).locator('tbody tr');
  await rows.first().waitFor({ state: 'attached' });
  return rows.evaluateAll((found) =>
    found.map((row) =>
      [...(row as unknown as { cells: Iterable<{ textContent: string }> }).cells].map(
        (cell) => cell.textContent,
      ),
    ),
  );
}

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** Nothing is wider than the window or too small for a finger, and axe finds nothing serious. */
export async function accessible(page: Page, what: string): Promise<void> {
  const wide = await page.evaluate('[document.scrollingElement.scrollWidth, innerWidth]');
  const [needed, there] = wide as [number, number];
  assert.ok(needed <= there, `${what} is ${needed} px wide, the window ${there}`);
  const least = there < 540 ? 44 : 24;
  const targets = (await page.evaluate(
    `[...document.querySelectorAll('a, button, summary, input')].filter((e) => e.checkVisibility()).map((e) => {
      const { top, width, height } = e.getBoundingClientRect();
      return [e.textContent || e.ariaLabel, top, Math.min(width, height)];
    })`,
  )) as [name: string, top: number, size: number][];
  const small = targets.filter(([, top, size]) => top >= 0 && size < least);
  assert.deepEqual(small, [], `${what}: what is too small for a finger`);
  await page.evaluate(AXE);
  const { violations } = (await page.evaluate('axe.run(document)')) as { violations: Violation[] };
  const found = violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`,
    );
  assert.deepEqual(found, [], `what axe finds on ${what}`);
}
