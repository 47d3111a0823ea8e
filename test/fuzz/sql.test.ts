/** Files of SQL views with mistakes of any kind: each is read, or refused with its place. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TaxiflowError } from '../../src/errors.ts';
import { TripColumns } from '../../src/events/columns.ts';
import { compileView } from '../../src/views/javascript/compile.ts';
import { sqlOfViews } from '../../src/views/sql/print.ts';
import { viewsOfSql } from '../../src/views/sql/views.ts';
import { ROOT } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { budget, FUZZ_SEED } from './budget.ts';

const TEXT = readFileSync(join(ROOT, 'test', 'golden', 'sql-views.sql'), 'utf8');
const STATEMENTS = TEXT.split(/(?<=;)\n/).filter((text) => text.includes('CREATE'));
const TOKEN = /\s+|--[^\n]*|'(?:[^']|'')*'|`[^`]*`|[\w.]+|[<>=!]+|[^\w\s]/g;
const WORDS = [...new Set(TEXT.match(TOKEN)!.filter((token) => token.trim() !== ''))];
const ODD = ['\0', '"', "'", '`', '/*', '*/', '--', '\u2028', 'é', '😀', '((((((', '))))', '1e999', '-0', '99999999999999999999', ';', "''", 'NULL', '%', '||', '.5.', '5.', 'INTERVAL', '=>', ',', ',,', 'OVER', 'FILTER']; // biome-ignore format: one list

test('mutated SQL is read or refused with its place, and never more', (t) => {
  const runs = budget(10_000);
  const random = randomNumbers(FUZZ_SEED);
  const below = (n: number) => Math.floor(random() * n);
  const oneOf = <T>(list: readonly T[]): T => list[below(list.length)]!;
  let read = 0;
  for (let run = 0; run < runs; run++) {
    const tokens = (random() < 0.2 ? oneOf(STATEMENTS) + oneOf(STATEMENTS) : oneOf(STATEMENTS)).match(TOKEN)!;
    for (let n = 1 + below(random() < 0.7 ? 2 : 8); n > 0; n--) mutate(tokens, below, oneOf);
    const text = tokens.join('');
    try {
      const views = viewsOfSql(text, 'fuzz.sql');
      read++;
      for (const view of views) compileView(view, new TripColumns());
      const printed = sqlOfViews(views);
      assert.equal(sqlOfViews(viewsOfSql(printed, 'printed.sql')), printed);
    } catch (error) {
      if (error instanceof TaxiflowError && error.code === 'no-sql') continue;
      const isRefusal = error instanceof TaxiflowError && error.code === 'bad-view';
      assert.ok(isRefusal && /^fuzz\.sql:\d+:\d+: ./.test(error.message), `${String(error)}\n${text}`);
      assert.ok(error.hint, error.message);
    }
  }
  assert.ok(read > runs / 200, `${read} were read`);
  t.diagnostic(`${read} of ${runs} were read`);
});

function mutate(tokens: string[], below: (n: number) => number, oneOf: <T>(list: readonly T[]) => T): void {
  const at = below(tokens.length);
  switch (below(8)) {
    case 0:
      tokens.splice(at, 1 + below(3));
      break;
    case 1:
      tokens.splice(at, 0, ` ${oneOf(WORDS)} `);
      break;
    case 2:
      tokens[at] = ` ${oneOf(WORDS)} `;
      break;
    case 3: {
      const other = below(tokens.length);
      [tokens[at], tokens[other]] = [tokens[other]!, tokens[at]!];
      break;
    }
    case 4:
      tokens.splice(at, 0, oneOf(ODD));
      break;
    case 5:
      tokens.length = Math.max(1, at);
      break;
    case 6:
      tokens.splice(at, 0, ...tokens.slice(at, at + 1 + below(6)));
      break;
    default:
      tokens.splice(at, 0, '('.repeat(1 + below(600)), ')'.repeat(below(600)));
  }
}
