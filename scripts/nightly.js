// Searches for a night's worth: other simulated worlds each day, the mutants, and the fuzzers. Fails if one of them does.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const scripts = dirname(fileURLToPath(import.meta.url));
const SEEDS = 10_000;
/** Days since 1970 by UTC, so that no night has the seeds of another. */
const day = Math.floor(Date.now() / 86_400_000);
const searches = [
  ['simulate.js', '--seeds', String(SEEDS), '--from', String(day * SEEDS), '--coverage'],
  ['simulate.js', '--mutants'],
  ['fuzz.js'],
];

const failed = searches.filter(([script, ...args]) => {
  console.log(`\n${script} ${args.join(' ')}`);
  return spawnSync(process.execPath, [join(scripts, script), ...args], { stdio: 'inherit' }).status !== 0;
});
for (const search of failed) console.error(`failed: ${search.join(' ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;
