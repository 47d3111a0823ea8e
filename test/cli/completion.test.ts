/** `taxiflow completion`: the completions, and the scripts in real shells. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Command } from '../../src/cli/command.ts';
import { COMMANDS } from '../../src/cli/commands/index.ts';
import { offerFor } from '../../src/cli/complete.ts';
import { flagName } from '../../src/cli/options.ts';
import { ROOT } from '../files.ts';
import { BIN } from '../taxiflow.ts';
import { PARALLEL, run } from './model.ts';

const wordsOf = async (...line: string[]) => (await offerFor(line)).words.map(([word]) => word);
const calls = (command: Command) => command.usage.split(' ')[0]!;

/** The folder in which the shells run: two streams, an app, a file, a folder, and `taxiflow` in PATH. */
const cwd = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
const bin = join(cwd, 'bin');
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env['PATH']}`, HOME: cwd };

before(async () => {
  mkdirSync(bin);
  writeFileSync(join(bin, 'taxiflow'), `#!/bin/sh\nexec "${process.execPath}" "${BIN}" "$@"\n`);
  chmodSync(join(bin, 'taxiflow'), 0o755);
  mkdirSync(join(cwd, 'trips of 2016'));
  writeFileSync(join(cwd, 'trips.csv'), '');
  for (const name of ['local:t1', 'local:t2'])
    await run(['stream', 'create', name, '--shards', '1'], { cwd });
  await run(['process', '--stream', 'local:t2', '--app', 'late', '--until-end'], { cwd });
});
after(() => rmSync(cwd, { recursive: true, force: true }));

describe('completions', () => {
  test('commands, and those of a group', async () => {
    assert.deepEqual(await wordsOf(''), COMMANDS.map(calls));
    assert.deepEqual(await wordsOf('re'), ['replay', 'results']);
    const stream = COMMANDS.find((command) => calls(command) === 'stream')!;
    assert.deepEqual(await wordsOf('stream', ''), stream.commands.map(calls));
    assert.deepEqual(await wordsOf('--data-dir', 'x', 'stream', 'de'), ['describe', 'delete']);
  });

  test('every option of a command, and none of another', async () => {
    for (const command of COMMANDS.filter(({ run }) => run)) {
      const own = Object.entries(command.options).map(([key, option]) =>
        option.default === true ? `--no-${flagName(key)}` : `--${flagName(key)}`,
      );
      assert.deepEqual(await wordsOf(calls(command), '--'), [...own, '--config', '--help'], calls(command));
    }
    assert.deepEqual(await wordsOf('replay', '--sp'), ['--speedup']);
    assert.deepEqual(await wordsOf('replay', '-sp'), ['-speedup'], 'one dash is as good as two');
    assert.deepEqual(await wordsOf('replay', '--speedup', 'max', '--sp'), [], 'not what is given already');
  });

  test('values: those of a choice, and words that mean something', async () => {
    assert.deepEqual(await wordsOf('replay', '--adapt-time', 'in'), ['invocation', 'ingestion']);
    assert.deepEqual(await wordsOf('replay', '--adapt-time=in'), [
      '--adapt-time=invocation',
      '--adapt-time=ingestion',
    ]);
    assert.deepEqual(await wordsOf('process', '-eventTime', ''), ['dropoff', 'arrival']);
    assert.deepEqual(await wordsOf('process', '--from', ''), ['trim-horizon', 'latest']);
    assert.deepEqual(await wordsOf('replay', '--speedup', ''), ['max']);
    assert.deepEqual(await wordsOf('replay', '--limit', ''), []);
    assert.deepEqual(await wordsOf('completion', ''), ['bash', 'zsh', 'fish']);
  });

  test('streams and apps of the data folder', async () => {
    const dir = join(cwd, '.taxiflow');
    assert.deepEqual(await wordsOf('process', '--data-dir', dir, '--stream', ''), ['local:t1', 'local:t2']);
    assert.deepEqual(await wordsOf('process', `--data-dir=${dir}`, '--stream=local:t2'), [
      '--stream=local:t2',
    ]);
    assert.deepEqual(await wordsOf('stream', 'describe', '-dataDir', dir, ''), ['local:t1', 'local:t2']);
    assert.deepEqual(await wordsOf('stream', 'split', '0', '--data-dir', dir, ''), ['local:t1', 'local:t2']);
    assert.deepEqual(await wordsOf('stream', 'split', '--data-dir', dir, ''), [], 'first comes the shard');
    assert.deepEqual(await wordsOf('results', '--data-dir', dir, '--app', ''), ['late']);
    assert.deepEqual(await wordsOf('results', '--data-dir', join(dir, 'nosuch'), '--app', ''), []);
  });

  test('views and fields of the app of the line', async () => {
    const dir = join(cwd, '.taxiflow');
    const offered = (...line: string[]) => wordsOf('results', '--data-dir', dir, ...line);
    assert.deepEqual(await offered('--view', ''), ['pickup_count', 'trip_duration']);
    assert.deepEqual(await offered('--view=trip'), ['--view=trip_duration']);
    assert.deepEqual(await offered('--app', 'nosuch', '--view', ''), []);
    assert.deepEqual(await offered('--sort', 'pickup'), ['pickup_count', 'pickup_count:desc']);
    assert.deepEqual(await offered('--view', 'trip_duration', '--sort', 'pickup'), []);
    assert.deepEqual(await offered('--view', 'trip_duration', '--sort', 'window_start:'), [
      'window_start:desc',
    ]);
    assert.deepEqual(await wordsOf('results', '--data-dir', join(dir, 'nosuch'), '--view', ''), []);
  });

  test('files and folders are for the shell', async () => {
    const kind = async (...line: string[]) => (await offerFor(line)).kind;
    assert.equal(await kind('replay', ''), 'files');
    assert.equal(await kind('replay', 'a.csv', '--speedup', 'max', 'b'), 'files');
    assert.equal(await kind('replay', '--', '-odd'), 'files');
    assert.equal(await kind('process', '--output', ''), 'files');
    assert.equal(await kind('process', '--views=x'), 'files');
    assert.equal(await kind('results', '--data-dir', ''), 'folders');
    assert.equal(await kind('process', ''), 'words');
  });

  test('loads nothing heavy', async () => {
    const node = ['--import', pathToFileURL(join(ROOT, 'test', 'cli', 'refuse-heavy.mjs')).href];
    const { stdout } = await run(['--complete', 'process', '--stream', ''], { cwd, node });
    assert.equal(stdout, 'words\nlocal:t1\tembedded stream\nlocal:t2\tembedded stream\n');
  });
});

/** Lines, and the expected completions in every shell. */
const LINES: readonly (readonly [line: string, replies: readonly string[]])[] = [
  ['taxiflow re', ['replay', 'results']],
  ['taxiflow stream de', ['delete', 'describe']],
  ['taxiflow process --ev', ['--event-time']],
  ['taxiflow process --event-time ', ['arrival', 'dropoff']],
  ['taxiflow process --stream ', ['local:t1', 'local:t2']],
  ['taxiflow process --stream local:', ['local:t1', 'local:t2']],
  ['taxiflow results --app ', ['late']],
  ['taxiflow results --view ', ['pickup_count', 'trip_duration']],
  ['taxiflow results --sort sum', ['sum_trip_duration', 'sum_trip_duration:desc']],
  ['taxiflow replay trips', ['trips of 2016', 'trips.csv']],
  ['taxiflow results --data-dir trips', ['trips of 2016']],
];

const missing = (shell: string) =>
  spawnSync(shell, ['--version']).error === undefined ? false : `needs ${shell}`;
const script = (shell: string) =>
  execFileSync(process.execPath, [BIN, 'completion', shell], { encoding: 'utf8' });

describe('in the shell', PARALLEL, () => {
  test('bash', { skip: missing('bash') }, () => {
    for (const [line, replies] of LINES) {
      // Sets the variables that readline sets.
      const program = `${script('bash')}
        COMP_LINE=$1; COMP_POINT=\${#COMP_LINE}
        _taxiflow taxiflow
        (( \${#COMPREPLY[@]} )) && printf '%s\\n' "\${COMPREPLY[@]}"`;
      const found = execFileSync('bash', ['--norc', '-c', program, 'bash', line], {
        cwd,
        env,
        encoding: 'utf8',
      });
      // Bash splits words at colons, so the replies start after the colon.
      const shown = line.endsWith('local:') ? replies.map((reply) => reply.replace('local:', '')) : replies;
      assert.deepEqual(found.trimEnd().split('\n').sort(), shown, line);
    }
  });

  test('bash, at its prompt', { skip: missing('script') || missing('bash') }, () => {
    writeFileSync(join(cwd, '.bashrc'), `PS1='> '\n${script('bash')}`);
    // Tab completes the word, and Enter runs the line.
    const typed = 'taxiflow stream descr\t--data-dir .taxif\t local:t2\nexit\n';
    const { stdout } = spawnSync('script', ['-qec', 'bash --noprofile -i', '/dev/null'], {
      cwd,
      env,
      input: typed,
      encoding: 'utf8',
    });
    assert.match(stdout, /taxiflow stream describe --data-dir \.taxiflow/);
    assert.match(stdout, /shardId-000000000000/);
  });

  test('zsh', { skip: missing('zsh') }, () => {
    for (const [line, replies] of LINES) {
      const words = line.split(' ');
      // Stubs of functions that exist only in the line editor; they print their arguments.
      const program = `compdef() { }
        _describe() { for word in "\${(@P)2}"; do print -r -- "\${\${word//\\\\:/@}%%:*}"; done | tr @ : }
        _files() { [[ $1 == -/ ]] && print -rl -- $words[-1]*(N/) || print -rl -- $words[-1]*(N) }
        ${script('zsh')}
        words=("$@"); CURRENT=$#words; PREFIX=$words[-1]
        _taxiflow`;
      const found = execFileSync('zsh', ['-f', '-c', program, 'zsh', ...words], {
        cwd,
        env,
        encoding: 'utf8',
      });
      assert.deepEqual(found.trimEnd().split('\n').sort(), replies, line);
    }
  });

  test('fish', { skip: missing('fish') }, () => {
    for (const [line, replies] of LINES) {
      const program = `${script('fish')}\ncomplete -C ${JSON.stringify(line)}`;
      const found = execFileSync('fish', ['--no-config', '-c', program], { cwd, env, encoding: 'utf8' });
      const shown = found
        .trimEnd()
        .split('\n')
        .map((reply) => reply.split('\t')[0]!.replace(/\/$/, '').replaceAll('\\', ''));
      assert.deepEqual(shown.sort(), replies, line);
    }
  });
});
