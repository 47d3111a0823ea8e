// Runs the fuzzers with a new seed and a larger budget: `npm run fuzz [TIMES] [SEED]`, 20 times by default.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';

const [times = '20', seed = String(randomInt(1, 2 ** 31))] = process.argv.slice(2);
console.error(`fuzzing with ${times} times the budget of the suite; the seed is ${seed}`);
const { status } = spawnSync(process.execPath, ['scripts/test.js', 'test/fuzz/'], {
  stdio: 'inherit',
  env: { ...process.env, TAXIFLOW_FUZZ_TIMES: times, TAXIFLOW_FUZZ_SEED: seed },
});
if (status !== 0) console.error(`to repeat this run: npm run fuzz -- ${times} ${seed}`);
process.exit(status ?? 1);
