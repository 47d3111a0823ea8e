/**
 * The whole line in simulated worlds: some seeds hold, a seed is the same each time, and deliberate faults are found. More of
 * each: `npm run simulate`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../files.ts';

const SEEDS = process.env['CI'] === 'true' ? 300 : 40;

function simulate(...args: string[]): { code: number | null; lines: string[] } {
  const script = join(ROOT, 'scripts', 'simulate.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
  return { code: status, lines: `${stderr}${stdout}`.trim().split('\n') };
}

/** Seeds that failed once, of the simulator as it is now. */
const FAILED = [138, 3079, 3313, 3839];

interface Change {
  readonly file: string;
  readonly find: string;
}

describe('the whole line, simulated', () => {
  it(`holds in ${SEEDS} worlds`, (t) => {
    const { code, lines } = simulate('--seeds', String(SEEDS));
    assert.equal(code, 0, lines.join('\n'));
    assert.match(lines.at(-1)!, new RegExp(`^${SEEDS} seeds held, from 1 on`));
    t.diagnostic(lines.at(-1)!);
  });

  for (const seed of FAILED)
    it(`holds in world ${seed}, where it did not`, () => {
      const { code, lines } = simulate('--seeds', '1', '--from', String(seed));
      assert.equal(code, 0, lines.join('\n'));
    });

  it('is the same each time, watched or not', () => {
    const digests = [[], [], ['--trace']].map((more) => {
      const { lines } = simulate('--seed', '17', ...more);
      return lines.find((line) => /^\d+ events, digest/.test(line));
    });
    assert.ok(digests[0]);
    assert.deepEqual(new Set(digests).size, 1, digests.join('\n'));
  });

  it('finds faults that are put into the sources', () => {
    const { code, lines } = simulate('--mutants', 'the watermark is one ahead of the next trip');
    assert.equal(code, 0, lines.join('\n'));
    assert.match(lines[0]!, /^\d+ {2}the watermark is one ahead of the next trip {2}\(W1: /);
  });

  it('knows where each of those faults goes', () => {
    const mutants: (Change & { name: string; also?: Change[] })[] = JSON.parse(
      readFileSync(join(ROOT, 'test', 'simulation', 'mutants.json'), 'utf8'),
    );
    for (const { name, also = [], ...change } of mutants)
      for (const { file, find } of [change, ...also])
        assert.equal(readFileSync(join(ROOT, file), 'utf8').split(find).length, 2, name);
    assert.ok(mutants.length >= 20);
  });
});
