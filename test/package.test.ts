/** `npm pack` gives a package that works when it is installed elsewhere. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { ROOT, temporaryFolder } from './files.ts';
import { comparable, expectedLines } from './golden/oracle.ts';

test('the packed package has what it needs, nothing else, and works from another folder', async (t) => {
  const folder = temporaryFolder(t);
  // Its scripts would build dist/ again, under the tests that run beside this one.
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    cwd: ROOT,
    // The user's cache may be one that can't be written.
    env: { ...process.env, npm_config_cache: join(folder, 'npm') },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // npm 11 gives an object by package, older ones a list.
  const [{ filename }] = Object.values(JSON.parse(packed)) as [{ filename: string }];
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, unknown>;
  assert.match((manifest['scripts'] as Record<string, string>)['prepack']!, /build/, 'npm pack builds first');

  execFileSync('tar', ['-xzf', join(folder, filename), '-C', folder]);
  const installed = join(folder, 'node_modules', 'taxiflow');
  mkdirSync(join(folder, 'node_modules'));
  execFileSync('mv', [join(folder, 'package'), installed]);
  const files = (readdirSync(installed, { recursive: true }) as string[]).filter((file) =>
    statSync(join(installed, file)).isFile(),
  );
  for (const needed of [
    'package.json',
    'README.md',
    'bin/taxiflow.js',
    'completions/taxiflow.bash',
    'dist/taxiflow.config.schema.json',
    'dist/cli/main.js',
    'dist/index.js',
    'dist/index.d.ts',
  ]) {
    assert.ok(files.includes(needed), `${needed} is in the package: ${files.join(' ')}`);
  }
  const allowed = /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|(bin|completions|dist|docs)\/.*)$/;
  assert.deepEqual(
    files.filter((file) => !allowed.test(file) || file.endsWith('.map')),
    [],
    'nothing but what is used',
  );
  // Whole names from the root on: a checkout in /src or a home that is / is in no text by itself.
  const machine = [ROOT, folder, homedir()]
    .filter((path) => path !== '/')
    .map((path) => new RegExp(`(?<![\\w.@*-])${path.replaceAll(/[^\w/]/g, '\\$&')}/`));
  for (const file of files) {
    const text = readFileSync(join(installed, file), 'utf8');
    for (const path of machine) assert.doesNotMatch(text, path, `${file} names a path of this machine`);
  }

  // Every entry is there and is what it says it is, for node and for bundlers.
  const { messages, pkg } = await publint({ pkgDir: installed, pack: false });
  assert.deepEqual(
    messages.map((message) => formatMessage(message, pkg, { color: false })),
    [],
  );

  layDependencies(folder);
  const work = join(folder, 'work');
  mkdirSync(work);
  const bin = join(installed, 'bin', 'taxiflow.js');
  assert.match(readFileSync(bin, 'utf8'), /^#!\/usr\/bin\/env node\n/);
  const taxiflow = (...args: string[]) =>
    execFileSync(process.execPath, [bin, ...args], {
      cwd: work,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  assert.equal(taxiflow('--version'), `${manifest['version']}\n`);
  taxiflow('generate', '--trips', '2000', '--hours', '3', '--out', 'trips.csv');
  taxiflow('replay', 'trips.csv', '--speedup', 'max');
  taxiflow('process', '--until-end', '--drain', '--output', 'out.ndjson');
  const expected = await expectedLines([join(work, 'trips.csv')]);
  assert.deepEqual(comparable(readFileSync(join(work, 'out.ndjson'), 'utf8')), expected.lines);
  assert.ok(expected.lines.length > 0, 'there are results');

  // What depends on it gets it by name, with its types, however modules are resolved.
  writeFileSync(join(work, 'my-views.ts'), MY_VIEWS);
  writeFileSync(join(work, 'consumer.ts'), CONSUMER);
  writeFileSync(join(work, 'package.json'), '{ "type": "module" }');
  const tsc = (...args: string[]) =>
    execFileSync(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), ...args], {
      cwd: work,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const strict = ['--strict', '--target', 'es2023', '--types', 'node', '--preserveSymlinks'];
  tsc(...strict, '--noEmit', '--module', 'esnext', '--moduleResolution', 'bundler', 'consumer.ts');
  tsc(...strict, '--module', 'nodenext', '--moduleResolution', 'nodenext', 'consumer.ts');
  const printed = execFileSync(process.execPath, ['consumer.js'], { cwd: work, encoding: 'utf8' });
  const [own, fares, code] = printed.trimEnd().split('\n');
  const lines = comparable(readFileSync(join(work, 'library.ndjson'), 'utf8'));
  assert.deepEqual(lines, expected.lines, 'the library computes what the command does');
  assert.deepEqual([own, code], [`${expected.lines.length} results`, 'processor-closed']);
  assert.match(fares!, /^[1-9]\d* fares$/);
});

/** Lays what an install would lay, without the network: the dependencies and what they need, no tool of ours. */
function layDependencies(folder: string): void {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  for (const [path, { dev = false }] of Object.entries(lock.packages)) {
    const [, name] = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path) ?? [];
    // An optional one may be missing on this platform.
    if (dev || name === undefined || !existsSync(join(ROOT, path))) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    symlinkSync(join(ROOT, path), join(folder, path));
  }
}

/** A view of one's own in TypeScript. */
const MY_VIEWS = `import { aggregate, avg, count, field, geohash, gte, tumbling, type View, view } from 'taxiflow/views';

export const views: View[] = [
  view({
    name: 'fares',
    by: { location: geohash('pickup', 5) },
    window: tumbling('1h'),
    aggregates: { trips: count(), average: avg(field('total_amount')) },
    having: gte(aggregate('trips'), 2),
  }),
];
`;

const CONSUMER = `import { openProcessor, openReplay, TaxiflowError, type ErrorCode } from 'taxiflow';
import { views } from './my-views.js';

const place = { stream: 'local:lib', dataDir: 'lib-data' };
await (await openReplay({ ...place, paths: ['trips.csv'] })).run();
const processor = await openProcessor({ ...place, untilEnd: true, drain: true, output: 'library.ndjson' });
await processor.run();
console.log(\`\${[...processor.results()].length} results\`);
const own = await openProcessor({ ...place, app: 'fares', views, untilEnd: true, drain: true });
await own.run();
console.log(\`\${[...own.results({ view: 'fares' })].length} fares\`);
const code: ErrorCode | undefined = await own.run().then(
  () => undefined,
  (error: unknown) => (error instanceof TaxiflowError ? error.code : undefined),
);
console.log(code);
`;
