/** taxiflow.config.json, TAXIFLOW_ variables and flags: which one wins, and what is refused. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { everyCommand, readArguments } from '../../src/cli/arguments.ts';
import { optionsOf } from '../../src/cli/command.ts';
import { offerFor } from '../../src/cli/complete.ts';
import { configSchema } from '../../src/cli/config-schema.ts';
import { configured } from '../../src/cli/configuration.ts';
import { ROOT, temporaryFolder } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';
import { PARALLEL, run } from './model.ts';

function configFile(folder: string, content: unknown, name = 'taxiflow.config.json'): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('configuration', PARALLEL, () => {
  test('flags win over variables, variables over the file, and the file over defaults', async (t) => {
    const cwd = temporaryFolder(t);
    configFile(cwd, { trips: 3, seed: 7, from: '2016-02-01' });
    const trips = async (args: string[], env: Record<string, string> = {}) => {
      const { stdout } = await run(['generate', ...args], { cwd, env });
      return stdout.trimEnd().split('\n').length - 1;
    };
    assert.equal(await trips([]), 3);
    assert.equal(await trips([], { TAXIFLOW_TRIPS: '4' }), 4);
    assert.equal(await trips(['--trips', '5'], { TAXIFLOW_TRIPS: '4' }), 5);
    const configured = await run(['generate'], { cwd });
    const flags = await run(['generate', '--trips', '3', '--seed', '7', '--from', '2016-02-01'], {
      cwd: temporaryFolder(t),
    });
    assert.equal(configured.stdout, flags.stdout, 'the same as the flags');
    assert.notEqual(configured.stdout, (await run(['generate', '--seed', '8'], { cwd })).stdout);
  });

  test('a section is for one command and wins over keys for all', async (t) => {
    const cwd = temporaryFolder(t);
    configFile(cwd, {
      'data-dir': 'D',
      from: 'latest',
      generate: { from: '2016-03-01', trips: 2 },
      'stream create': { shards: 3 },
    });
    assert.match((await run(['generate'], { cwd })).stdout, /\n\d,2016-03-01 /);
    await run(['stream', 'create'], { cwd });
    const { shards } = (await run(['stream', 'describe', '--json'], { cwd })).json<{ shards: unknown[] }>();
    assert.equal(shards.length, 3);
    assert.deepEqual(readdirSync(cwd).sort(), ['D', 'taxiflow.config.json']);
    const { stderr } = await run(['results'], { cwd, code: 2 });
    assert.match(stderr, /^Error: taxiflow\.config\.json: from latest is not a valid time\nTry: /);
  });

  test('switches are on and off in the file, in variables, and back by flags', async (t) => {
    const cwd = temporaryFolder(t);
    configFile(cwd, { json: true });
    const isJson = async (args: string[], env: Record<string, string> = {}) =>
      (await run(['apps', ...args], { cwd, env })).stdout.startsWith('{');
    assert.equal(await isJson([]), true);
    assert.equal(await isJson(['--no-json']), false);
    assert.equal(await isJson([], { TAXIFLOW_JSON: 'false' }), false);
    assert.equal(await isJson(['--json'], { TAXIFLOW_JSON: 'false' }), true);
  });

  test('--config and TAXIFLOW_CONFIG name another file; hints keep what it says', async (t) => {
    const cwd = temporaryFolder(t);
    configFile(cwd, { 'data-dir': 'A' });
    const other = configFile(cwd, { 'data-dir': 'B' }, 'other.json');
    const folder = async (args: string[], env: Record<string, string> = {}) =>
      /in (\w) yet\n.* --data-dir (\w)/s
        .exec((await run(['results', ...args], { cwd, env, code: 1 })).stderr)
        ?.slice(1);
    assert.deepEqual(await folder([]), ['A', 'A']);
    assert.deepEqual(await folder(['--config', other]), ['B', 'B']);
    assert.deepEqual(await folder([], { TAXIFLOW_CONFIG: 'other.json' }), ['B', 'B']);
    const { stderr } = await run(['results', '--config', 'nosuch.json'], { cwd, code: 1 });
    assert.match(stderr, /^Error: [^\n]*nosuch\.json\nTry: [^\n]*--config/);
    assert.match(stderr, /^Error: there is no configuration file: nosuch\.json\n/);
    const variable = await run(['results'], { cwd, code: 1, env: { TAXIFLOW_CONFIG: 'nosuch.json' } });
    assert.match(
      variable.stderr,
      /^Error: there is no configuration file: nosuch\.json\nTry: [^\n]*TAXIFLOW_CONFIG/,
    );
    const isFolder = await run(['results', '--config', '.'], { cwd, code: 1 });
    assert.match(isFolder.stderr, /^Error: the configuration is a folder: \.\n/);
  });

  test('a file with a byte order mark is read', async (t) => {
    const cwd = temporaryFolder(t);
    configFile(cwd, '\ufeff{"json": true}');
    assert.equal((await run(['apps'], { cwd })).stdout.startsWith('{'), true);
  });

  test('a contradiction names where its option was set, unless it was on the command line', async (t) => {
    const cwd = temporaryFolder(t);
    const refusal = async (args: string[], env: Record<string, string> = {}) =>
      (await run(['process', ...args], { cwd, env, code: 2 })).stderr.split('\n')[0];
    const views = ['--views', 'own.mjs'];
    const said = 'Error: --window applies only to the default views';
    assert.equal(await refusal([...views, '--window', '1h']), said);
    assert.equal(
      await refusal(views, { TAXIFLOW_WINDOW: '1h' }),
      `${said} (--window is set by TAXIFLOW_WINDOW)`,
    );
    configFile(cwd, { process: { window: '1h' } });
    assert.equal(await refusal(views), `${said} (--window is set by taxiflow.config.json: process.window)`);
    assert.equal(await refusal([...views, '--window', '2h']), said, 'the flag wins');
  });

  const refused: readonly (readonly [content: unknown, error: RegExp, env?: Record<string, string>])[] = [
    [{ 'speed-up': 10 }, /taxiflow\.config\.json: unknown key "speed-up"; did you mean "speedup"\?/],
    [{ dataDir: 'x' }, /taxiflow\.config\.json: unknown key "dataDir"; did you mean "data-dir"\?/],
    [{ paths: 'x.csv' }, /unknown key "paths"/],
    [
      { process: { window: '1h', speedup: 3 } },
      /taxiflow\.config\.json: unknown key "speedup" in "process"\n/,
    ],
    [{ proces: {} }, /taxiflow\.config\.json: unknown key "proces"; did you mean "process"\?/],
    [{ 'data-dir': {} }, /taxiflow\.config\.json: data-dir needs a value, not an object/],
    [{ app: '' }, /taxiflow\.config\.json: app is empty/],
    [{ app: ['a'] }, /taxiflow\.config\.json: app needs a text or a number, not \["a"\]/],
    [{ app: true }, /taxiflow\.config\.json: app needs a text or a number, not true/],
    [{ results: { limit: -1 } }, /taxiflow\.config\.json: results\.limit -1 is neither/],
    [{ limit: -1 }, /taxiflow\.config\.json: limit -1 is neither/],
    [{ format: 'xml' }, /taxiflow\.config\.json: format xml is not one of table, ndjson, csv/],
    [{ json: 'yes' }, /taxiflow\.config\.json: json is a switch, but its value is "yes"/],
    [[], /taxiflow\.config\.json: not a JSON object/],
    ['{\n  "app": "x",\n}', /taxiflow\.config\.json:3:1: /],
    [{}, /TAXIFLOW_FORMAT xml is not one of table/, { TAXIFLOW_FORMAT: 'xml' }],
    [{}, /the value of TAXIFLOW_APP is empty/, { TAXIFLOW_APP: '' }],
    [{}, /TAXIFLOW_JSON is a switch, but its value is 1/, { TAXIFLOW_JSON: '1' }],
  ];
  for (const [content, error, env = {}] of refused) {
    test(`${JSON.stringify(content)} ${JSON.stringify(env)} is refused`, async (t) => {
      const cwd = temporaryFolder(t);
      configFile(cwd, content);
      const { code, stdout, stderr } = await taxiflow(['results'], { cwd, env });
      assert.deepEqual([code, stdout], [2, ''], stderr);
      assert.match(stderr, /^Error: [^\n]+\nTry: [^\n]+\n$/);
      assert.match(stderr, error);
      assert.deepEqual(readdirSync(cwd), ['taxiflow.config.json']);
    });
  }

  test('keys of other commands are ignored, whatever their values; help needs no valid file', async (t) => {
    const cwd = temporaryFolder(t);
    configFile(cwd, { $schema: './schema.json', speedup: 'never', shards: -5, demo: { trips: 'x' } });
    assert.equal((await run(['apps', '--json'], { cwd })).stdout.startsWith('{'), true);
    configFile(cwd, '{');
    assert.match((await run(['apps', '--help'], { cwd })).stdout, /^taxiflow apps/);
    assert.match((await run(['--version'], { cwd })).stdout, /^\d/);
  });

  test('a variable that looks like a mistyped option is mentioned', async (t) => {
    const { stderr } = await run(['apps'], {
      cwd: temporaryFolder(t),
      env: { TAXIFLOW_DATADIR: 'x', TAXIFLOW_HOME: 'y' },
    });
    assert.match(stderr, /^note: TAXIFLOW_DATADIR is not an option; did you mean TAXIFLOW_DATA_DIR\?\n/);
    assert.doesNotMatch(stderr, /TAXIFLOW_HOME/);
  });

  test('completions use the data folder of the file', async (t) => {
    const cwd = temporaryFolder(t);
    const path = configFile(cwd, { 'data-dir': join(cwd, 'D') });
    await run(['stream', 'create', 'local:t9'], { cwd });
    const { words: offered } = await offerFor(['process', '--config', path, '--stream', '']);
    const words = offered.map(([word]) => word);
    assert.deepEqual(words, ['local:t9']);
  });
});

describe('the schema of the configuration', () => {
  type Schema = { properties: Record<string, { properties?: object }>; additionalProperties: boolean };

  test('is published with the package, as it is built', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      exports: Record<string, string>;
    };
    const published = JSON.parse(readFileSync(join(ROOT, manifest.exports['./config-schema.json']!), 'utf8'));
    assert.deepEqual(published, JSON.parse(JSON.stringify(configSchema())));
  });

  test('has every option and a section for every command, and no other key', () => {
    const { properties, additionalProperties } = configSchema() as Schema;
    const commands = everyCommand();
    const wanted = commands.flatMap(({ command, names }) => [names.join(' '), ...optionsOf(command).keys()]);
    assert.deepEqual(Object.keys(properties).sort(), [...new Set(['$schema', ...wanted])].sort());
    assert.equal(additionalProperties, false);
  });

  test('every default in it is a value that its command accepts', async (t) => {
    const folder = temporaryFolder(t);
    for (const { command, names } of everyCommand()) {
      const options = optionsOf(command);
      const defaults = [...options].flatMap(([name, option]) =>
        option.default === undefined || option.default === '' ? [] : [[name, option.default] as const],
      );
      const path = configFile(folder, { [names.join(' ')]: Object.fromEntries(defaults) });
      const settings = configured(
        { command, names },
        (await readArguments(['apps', '--config', path])).settings,
        {},
      );
      for (const [name] of defaults)
        assert.deepEqual(
          options.get(name)!.read(settings.get(name)!.written, name),
          options.get(name)!.read(undefined, name),
          `${names.join(' ')} ${name}`,
        );
    }
  });
});
