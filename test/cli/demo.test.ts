import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteState } from '../../src/state/store.ts';
import { temporaryFolder } from '../files.ts';
import { BIN, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';

const SMALL = ['--trips', '2000', '--speedup', 'max', '--port', '0'];
/** `script` of util-linux runs a command on a terminal. */
const withoutScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux')
  ? false
  : 'needs script of util-linux, which is not here';

test('without a terminal, the demo ends by itself and prints the address of its page', async (t) => {
  const ran = await taxiflow(['demo', ...SMALL, '--data-dir', temporaryFolder(t)]);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stderr, /^live page: http:\/\/127\.0\.0\.1:\d+\/$/m);
});

test('a second demo in the same folder is refused with a hint, and harms nothing', async (t) => {
  const dataDir = temporaryFolder(t);
  const identity = { stream: 's', views: '[]', settings: '' };
  const running = SqliteState.open({ dataDir, app: 'demo', identity });
  t.after(() => running.close());
  const ran = await taxiflow(['demo', ...SMALL, '--data-dir', dataDir]);
  assert.equal(ran.code, 1, ran.stdout);
  assert.match(ran.stderr, /^Error: a demo is already running in this folder\nTry: .*--data-dir/m);
  assert.ok(existsSync(running.path), 'the state of the first is there');
});

test('on a terminal, even one without a size, the page stays until Ctrl-C', {
  skip: withoutScript,
}, async (t) => {
  // exec replaces the shell: dash would stay, receive the Ctrl-C too and exit with 130.
  const command = `exec '${process.execPath}' '${BIN}' demo ${SMALL.join(' ')} --data-dir '${temporaryFolder(t)}'`;
  const child = spawn('script', ['-qefc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const address = () => /the live page stays at (http:\S+) until/.exec(said)?.[1];
  await until('it says that the page stays', () => {
    assert.equal(child.exitCode, null, said);
    return address() !== undefined;
  });
  const url = address()!;
  for (let i = 0; i < 50; i++) {
    const page = await fetch(url);
    assert.equal(page.status, 200);
    await page.text();
  }
  assert.equal(child.exitCode, null, said);
  child.stdin.write('\u0003');
  const [code] = await ended;
  assert.equal(code, 0, said);
});
