/** Ten million trips: memory depends on neither their number nor the size of their file. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT, temporaryFolder } from '../files.ts';

const TRIPS = 10_000_000;
const MOST_MEGABYTES = 320;
const BIN = join(ROOT, 'bin', 'taxiflow.js');

it('ten million trips go from standard input to results in little memory', async (t) => {
  const folder = temporaryFolder(t);
  const run = (name: string, args: readonly string[]) => {
    const peak = join(folder, `${name}.peak`);
    const child = spawn(process.execPath, ['--import', peakWriter(folder), BIN, ...args, '--json'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, PEAK_FILE: peak },
    });
    const exit = once(child, 'exit');
    const megabytes = async () => {
      const [code] = (await exit) as [number];
      assert.equal(code, 0, name);
      return Number(readFileSync(peak, 'utf8')) / 1_024;
    };
    return { child, megabytes };
  };
  const generate = run('generate', ['generate', '--trips', String(TRIPS), '--hours', '480', '--seed', '5']);
  const replay = run('replay', ['replay', '-', '--speedup', 'max', '--data-dir', folder]);
  const [told] = await Promise.all([
    textOf(replay.child.stdout),
    pipeline(generate.child.stdout, replay.child.stdin),
  ]);
  assert.equal((JSON.parse(told) as { acknowledged: number }).acknowledged, TRIPS);
  const process_ = run('process', ['process', '--until-end', '--drain', '--data-dir', folder]);
  const outcome = JSON.parse(await textOf(process_.child.stdout)) as Record<string, number>;
  assert.equal(outcome['processed']! + outcome['filtered']!, TRIPS);
  for (const [name, { megabytes }] of Object.entries({ generate, replay, process: process_ })) {
    const used = await megabytes();
    assert.ok(used < MOST_MEGABYTES, `${name} used ${used} MB`);
  }
});

async function textOf(chunks: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of chunks) text += String(chunk);
  return text;
}

/** A module that notes the greatest memory of its process in KB when it ends. */
function peakWriter(folder: string): string {
  const path = join(folder, 'peak.mjs');
  writeFileSync(
    path,
    `import { writeFileSync } from 'node:fs';
     process.on('exit', () => writeFileSync(process.env.PEAK_FILE, String(process.resourceUsage().maxRSS)));`,
  );
  return pathToFileURL(path).href;
}
