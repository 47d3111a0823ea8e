/** The command line without running a command: help, version, and mistakes, which are exit code 2. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { calledBy, readArguments } from '../../src/cli/arguments.ts';
import type { Command } from '../../src/cli/command.ts';
import { COMMANDS } from '../../src/cli/commands/index.ts';
import { helpText } from '../../src/cli/help.ts';
import { flagName } from '../../src/cli/options.ts';
import { ROOT, temporaryFolder } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';
import { PARALLEL } from './model.ts';

const REFUSE_HEAVY = ['--import', pathToFileURL(join(ROOT, 'test', 'cli', 'refuse-heavy.mjs')).href];

/** The required options of each command, independent of the table of commands. */
const ASKED_FOR: Record<string, string[]> = {
  generate: ['trips', 'from', 'hours', 'seed', 'schema', 'dirty', 'out', 'json'],
  replay: [
    ...['stream', 'speedup', 'seek', 'until', 'limit', 'adapt-time', 'no-watermark', 'statistics-frequency'],
    ...['dry-run', 'json', 'resume', 'on-error', 'assume-sorted', 'data-dir', 'dead-letter-limit'],
    ...['metrics', 'log'],
  ],
  process: [
    ...['stream', 'until-end', 'drain', 'from', 'event-time', 'max-disorder', 'checkpoint-interval', 'app'],
    ...['allowed-lateness', 'views', 'window', 'explain', 'output', 'json', 'dead-letter-limit', 'data-dir'],
    ...['opensearch', 'index-prefix', 'consumer', 'allow-gap', 'metrics', 'log'],
  ],
  results: ['format', 'view', 'since', 'app', 'data-dir'],
  query: ['app', 'data-dir', 'format', 'limit', 'chart', 'json'],
  'dead-letters': ['output', 'reason', 'format', 'data-dir'],
  demo: ['data-dir', 'json'],
  flink: [],
  'es-setup': [
    ...['endpoint', 'dashboards', 'index-prefix', 'views', 'check', 'dry-run', 'wait', 'delete', 'with-data'],
    ...['aws-sigv4', 'region', 'ca', 'insecure', 'json'],
  ],
  deploy: [],
  savepoint: [],
  state: [],
  dashboard: ['app', 'data-dir', 'port', 'host', 'export', 'open', 'tiles', 'log', 'json'],
  status: ['app', 'data-dir', 'watch', 'max-age', 'json'],
  doctor: ['stream', 'data-dir', 'app', 'speedup', 'opensearch', 'json'],
  stream: [],
  data: [],
  apps: ['data-dir', 'json'],
  completion: [],
};

interface Named {
  readonly words: string[];
  readonly spec: Command;
}

function named(commands: readonly Command[], above: string[] = []): Named[] {
  return commands.flatMap((spec) => {
    const words = [...above, spec.usage.split(' ')[0]!];
    return [{ words, spec }, ...named(spec.commands, words)];
  });
}

describe('help', PARALLEL, () => {
  test('--json is an option of every command but completion; process and generate say where it goes', async () => {
    const runnable = named(COMMANDS).filter(({ spec }) => spec.run);
    const helps = runnable.map(({ words, spec }) => [
      words.join(' '),
      helpText({ command: spec, names: words }),
    ]);
    const without = helps.filter(([, text]) => !/^ +--json /m.test(text!)).map(([words]) => words);
    assert.deepEqual(without, ['completion']);
    for (const command of ['process', 'generate']) {
      const { stdout } = await taxiflow([command, '--help']);
      assert.match(stdout, /^ +--json +[^-]* on\s+stderr /m);
    }
    const { stdout, stderr } = await taxiflow(['generate', '--trips', '2', '--json']);
    assert.match(stdout, /^VendorID,/i);
    assert.equal(stdout.trimEnd().split('\n').length, 3, 'stdout has only the trips');
    const [summary] = stderr.split('\n');
    assert.equal((JSON.parse(summary!) as { command: string }).command, 'generate');
  });

  test('--help names every command, and loads neither the AWS SDK nor SQLite', async () => {
    const { code, stdout, stderr } = await taxiflow(['--help'], { node: REFUSE_HEAVY });
    assert.equal(code, 0, stderr);
    for (const command of Object.keys(ASKED_FOR))
      assert.match(stdout, new RegExp(`^  taxiflow ${command}\\b`, 'm'));
    assert.equal(stderr, '');
  });

  for (const { words, spec } of named(COMMANDS)) {
    test(`${words.join(' ')} --help names every option, and loads nothing heavy`, async () => {
      const { code, stdout, stderr } = await taxiflow([...words, '--help'], { node: REFUSE_HEAVY });
      assert.equal(code, 0, stderr);
      assert.equal(stderr, '');
      assert.match(stdout, new RegExp(`^taxiflow ${words.join(' ')}\\b`), 'begins with how it is called');
      const options = [
        ...Object.keys(spec.options).map(flagName),
        ...(words.length === 1 ? ASKED_FOR[words[0]!]! : []),
      ];
      for (const option of options) assert.match(stdout, new RegExp(`--${option}\\b`), `names --${option}`);
      for (const sub of spec.commands)
        assert.match(stdout, new RegExp(`${words.join(' ')} ${sub.usage.split(' ')[0]}`));
    });
  }

  test('"help COMMAND" is "COMMAND --help"', async () => {
    for (const words of [['replay'], ['stream', 'split']]) {
      const [asked, flagged] = await Promise.all([
        taxiflow(['help', ...words], { node: REFUSE_HEAVY }),
        taxiflow([...words, '--help']),
      ]);
      assert.deepEqual([asked.code, asked.stdout, asked.stderr], [0, flagged.stdout, '']);
    }
  });

  test('a command that needs SQLite loads it, so the check above can fail', async () => {
    const { code, stderr } = await taxiflow(['results'], { node: REFUSE_HEAVY });
    assert.equal(code, 1);
    assert.match(stderr, /heavy package loaded: better-sqlite3/);
  });

  test('--version prints the version of the package, however it is asked for', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    for (const asked of ['--version', '-version', '-v', '-V', 'version']) {
      const { code, stdout, stderr } = await taxiflow([asked], { node: REFUSE_HEAVY });
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `${version}\n`, stderr: '' }, asked);
    }
  });

  test('the help of every command has an example that begins with it', () => {
    for (const { words, spec } of [{ words: [], spec: undefined }, ...named(COMMANDS)]) {
      const [, examples = ''] = /\nExamples:\n(.*)$/s.exec(helpText({ command: spec, names: words })) ?? [];
      assert.match(examples, new RegExp(`^  taxiflow ${words.join(' ')}`), words.join(' '));
    }
  });

  test('every example is a command line that is understood', async () => {
    for (const { spec } of named(COMMANDS)) {
      for (const [line] of spec.examples) {
        const words = line.split(/ [<>]+ /)[0]!.match(/"[^"]*"|\S+/g)!;
        const { command, settings } = await readArguments(words.map((word) => word.replaceAll('"', '')));
        for (const [key, option] of Object.entries({ ...command.positionals, ...command.options }))
          option.read(settings.get(flagName(key))?.written, key);
      }
    }
  });

  test('the help is as wide as the terminal', () => {
    for (const { words, spec } of [{ words: [], spec: undefined }, ...named(COMMANDS)]) {
      for (const columns of [60, 100, 200]) {
        const lines = helpText({ command: spec, names: words }, columns).split('\n');
        // Command lines can be pasted, so they stay whole.
        const wide = lines.filter((line) => line.length > columns && !line.startsWith('  taxiflow '));
        assert.deepEqual(wide, [], `${words.join(' ')} at ${columns}`);
      }
    }
    const [narrow, wide] = [60, 200].map((columns) => helpText(calledBy(['replay']), columns).split('\n'));
    assert.ok(narrow!.length > wide!.length + 10, 'a wide terminal needs fewer lines');
  });
});

/** Command lines with a mistake, and the expected message. */
const MISTAKES: readonly (readonly [line: string, names: RegExp])[] = [
  ['', /command/],
  ['proces', /process/],
  ['stream', /create, list, describe, split, merge, reshard, autoscale, trim, delete/],
  ['stream nosuch', /nosuch/],
  ['replay x.csv --stream local:', /local: names no stream/],
  ['stream delete local:', /local: names no stream/],
  ['replay --until 2016-01-01 --seek 2016-01-02', /--until 2016-01-01\S* is not after --seek 2016-01-02/],
  ['replay --watermark-interval 0', /--watermark-interval 0 is shorter than 1 ms/],
  ['replay --watermark-interval 5', /--watermark-interval 5 has no unit/],
  ['replay --stream x.csv', /x\.csv was taken as the stream/],
  ['replay x.csv --nosuch', /nosuch/],
  ['process x.csv', /x\.csv/],
  ['replay x.csv --speedup', /--speedup needs a value/],
  ['replay x.csv --speedup 0', /--speedup 0/],
  ['replay x.csv --speedup -5', /--speedup -5/],
  ['replay x.csv --seek yesterday', /--seek yesterday/],
  ['replay x.csv --seek 2015-02-29', /--seek 2015-02-29 is not a valid time/],
  ['generate --from 2016-04-31T08:00:00Z', /--from 2016-04-31T08:00:00Z is not a valid time/],
  ['process --stream file:x', /"file:x" can't name a stream/],
  ['process --stream a/b', /"a\/b" can't name a stream/],
  ['process --window 0', /--window must be longer than 0/],
  ['process --until-end=yes', /--until-end .*switch.* yes/],
  ['process -untilEnd=1', /--until-end .*switch.* 1/],
  ['results --data-dir=', /the value of --data-dir is empty/],
  ['replay x.csv --stream=', /the value of --stream is empty/],
  ['process --window 10', /--window 10 has no unit/],
  ['replay x.csv --limit ', /the value of --limit is empty/],
  ['replay ', /an argument is empty/],
  ['replay x.csv --limit -1', /--limit/],
  ['replay x.csv --adapt-time now', /--adapt-time now.*invocation/],
  ['replay x.csv --statistics-frequency 0', /--statistics-frequency/],
  ['process --from sometime', /--from sometime/],
  ['process --max-disorder 5x', /--max-disorder 5x/],
  ['process --allowed-lateness soon', /--allowed-lateness soon/],
  ['process --checkpoint-interval -1s', /--checkpoint-interval/],
  ['process --window wide', /--window wide/],
  ['process --window 1h --views v.json', /--window/],
  ['process --drain', /--drain/],
  ['process --event-time arrival --max-disorder 5m', /--max-disorder/],
  ['results --since whenever', /--since whenever/],
  ['dead-letters --format xml', /--format xml/],
  ['generate --schema blue-2015', /--schema blue-2015/],
  ['generate --trips 0', /--trips/],
  ['generate --dirty 1.5', /--dirty/],
  ['generate --from 1960-01-01', /--from 1960-01-01/],
  ['stream create --shards 1001', /--shards/],
  ['stream create trips --on-demand --shards 3', /--on-demand/],
  ['stream create local:../x', /\.\.\/x/],
  ['stream split', /argument/],
  ['stream split 1 --at middle', /--at middle/],
  ['stream trim', /--before/],
  ['stream autoscale --min 5 --max 4', /--min 5 is more than --max 4/],
  ['stream autoscale --min 0', /--min/],
  ['stream autoscale --max 100000', /--max takes 10,000 at most/],
  ['stream autoscale --target 0', /--target needs a number above 0, 1 at most/],
  ['stream autoscale --target 1.1', /--target needs/],
  ['stream autoscale --target x', /--target needs/],
  ['demo --speedup slow', /--speedup slow/],
];

/** Command lines with a mistake that taxiflow guesses, and the expected message and hint. */
const GUESSED: readonly (readonly [line: string, error: RegExp, hint: RegExp])[] = [
  ['replay x.csv --speed-up 10', /unknown option --speed-up; did you mean --speedup\?/, /replay --help/],
  ['--versoin', /unknown option --versoin; did you mean --version\?/, /taxiflow --help/],
  ['results --dta-dir x', /unknown option --dta-dir; did you mean --data-dir\?/, /results --help/],
  ['process --speedup 3', /process has no --speedup; replay.* have/, /process --help/],
  ['proces', /did you mean "taxiflow process"\?/, /taxiflow --help/],
  [
    'stream creat',
    /unknown command "stream creat"; did you mean "taxiflow stream create"\?/,
    /stream --help/,
  ],
  [
    'generate trips.csv',
    /no arguments, and "trips.csv" was taken for one/,
    /"taxiflow generate --out trips.csv"/,
  ],
  ['results hourly', /no arguments, and "hourly" was taken for one/, /"taxiflow results --view hourly"/],
  ['process trips.csv', /no arguments, and "trips.csv"/, /"taxiflow replay trips.csv"/],
  ['process t1', /no arguments, and "t1"/, /"taxiflow process --stream local:t1"/],
  ['status demo', /no arguments, and "demo"/, /"taxiflow status --app demo"/],
  ['stream describe a b', /stream describe takes no further arguments, and "b"/, /stream describe --help/],
  ['stream create --shards 100000', /--shards takes 10,000 at most: each shard is/, /stream create --help/],
  ['results --data-dir ', /the value of --data-dir is empty/, /omit --data-dir for \.taxiflow$/m],
  ['replay x.csv --stream ', /the value of --stream is empty/, /omit --stream$/m],
];

describe('mistakes', PARALLEL, () => {
  for (const [line, names] of MISTAKES) {
    test(`"taxiflow ${line}" is exit code 2 with a message and a hint, and creates nothing`, async (t) => {
      const cwd = temporaryFolder(t);
      const { code, stdout, stderr } = await taxiflow(line === '' ? [] : line.split(' '), { cwd });
      assert.equal(code, 2, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, /^Error: [^\n]+\nTry: [^\n]+\n$/, 'one message, one hint, no stack');
      assert.match(stderr.split('\n')[0]!, names);
      assert.ok(!existsSync(join(cwd, '.taxiflow')), 'nothing is made before the command line is understood');
    });
  }

  for (const [line, error, hint] of GUESSED) {
    test(`"taxiflow ${line}" explains the mistake and gives the right form`, async () => {
      const { code, stdout, stderr } = await taxiflow(line.split(' '));
      assert.deepEqual([code, stdout], [2, '']);
      const [told = '', tried = ''] = stderr.split('\n');
      assert.match(told, error);
      assert.match(tried, hint);
    });
  }

  test('messages are in English, whatever the language of the user', async () => {
    const { stderr } = await taxiflow(['process', '--nosuch'], {
      env: { LC_ALL: 'de_DE.UTF-8', LANG: 'de_DE.UTF-8' },
    });
    assert.match(stderr, /unknown option --nosuch/);
  });
});
