/** Bars made of characters. */
import type { Row } from './terminal.ts';

const EIGHTHS = ' ▏▎▍▌▋▊▉█';
const LONGEST = 30;

/** A bar of so many characters, in eighths; nothing for what is below zero. */
export function bar(length: number): string {
  const shown = Math.max(0, length);
  const whole = Math.floor(shown);
  return '█'.repeat(whole) + (EIGHTHS[Math.floor((shown - whole) * 8)] ?? '').trim();
}

/** The rows as those of a table: the given fields, and a bar for the number in the last of them. */
export function withBars(rows: readonly Row[], fields: readonly string[]): Row[] {
  const field = fields.at(-1)!;
  const numberOf = (row: Row) => (typeof row[field] === 'number' ? row[field] : 0);
  const most = rows.reduce((most, row) => Math.max(most, numberOf(row)), 0);
  const scale = most > 0 ? LONGEST / most : 0;
  return rows.map((row) => ({
    ...Object.fromEntries(fields.map((name) => [name, row[name] ?? null])),
    '': bar(numberOf(row) * scale),
  }));
}
