// Builds the simulator as one file, in which nothing is loaded while it runs, and runs it: see test/simulation/simulate.ts.
// With --mutants, once for each fault of test/simulation/mutants.json, which it has to find.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'test', 'simulation');
/** A mutant is to be found within so many seeds. */
const MOST_SEEDS = 2_000;

/** Runs the simulator; `mutant` is put into the source. */
async function run(args, mutant) {
  const outfile = join(root, '.cache', 'simulation', `simulate-${process.pid}.mjs`);
  await build({
    entryPoints: [join(folder, 'simulate.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    logLevel: 'warning',
    plugins: [{ name: 'changes', setup: (build) => change(build, mutant) }],
  });
  try {
    return spawnSync(process.execPath, ['--enable-source-maps', outfile, ...args], {
      stdio: mutant ? 'pipe' : 'inherit',
      encoding: 'utf8',
    });
  } finally {
    rmSync(outfile, { force: true });
  }
}

/** Windows leave memory where a world is to have little of it. */
const BUDGET = {
  file: 'src/engine/run.ts',
  find: 'options.memoryLimit ?? MEMORY_LIMIT',
  replace: 'globalThis.simulatedMemory ?? MEMORY_LIMIT',
};

/** Changes the sources: a mutant is one change, or several that are nothing alone. */
function change(build, { name = 'none', also = [], ...mutant } = {}) {
  const all = [BUDGET, ...(mutant.file ? [mutant] : []), ...also];
  build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
    const changes = all.filter((change) => path === join(root, change.file));
    if (changes.length === 0) return undefined;
    let contents = readFileSync(path, 'utf8');
    for (const change of changes) {
      const [before, ...after] = contents.split(change.find);
      if (after.length !== 1)
        throw new Error(`the mutant "${name}" fits ${after.length} places of ${change.file}`);
      contents = before + change.replace + after[0];
    }
    return { contents, loader: 'ts' };
  });
}

async function search(args) {
  const wanted = args.filter((arg) => !arg.startsWith('--')).join(' ');
  const mutants = JSON.parse(readFileSync(join(folder, 'mutants.json'), 'utf8'));
  const found = [];
  const tried = mutants.filter(({ name }) => name.includes(wanted));
  for (const mutant of tried) {
    const { stdout, stderr } = await run(['--seeds', String(MOST_SEEDS)], mutant);
    const [, seed] = /^seed (\d+) fails/m.exec(stdout) ?? [];
    const why = stdout.split('\n').find((line) => line !== '') ?? stderr;
    if (seed !== undefined) found.push(Number(seed));
    console.log(`${(seed ?? 'NOT').padStart(5)}  ${mutant.name}${seed ? `  (${why.slice(0, 100)})` : ''}`);
  }
  found.sort((a, b) => a - b);
  console.log(
    `${found.length} of ${tried.length} mutants found, the median at seed ${found[found.length >> 1]}`,
  );
  return found.length === tried.length ? 0 : 1;
}

const args = process.argv.slice(2);
process.exitCode = args.includes('--mutants') ? await search(args) : ((await run(args)).status ?? 1);
