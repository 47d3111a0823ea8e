/** `--log json` with the real binary: whatever is told is one event a line, with a documented code. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BUG, EVENTS } from '../../src/cli/log.ts';
import { fixture, ROOT, temporaryFolder } from '../files.ts';
import { following, taxiflow } from '../taxiflow.ts';
import { PARALLEL, putRecords, run, YELLOW } from './model.ts';

const JSON_LOG = ['--log', 'json'];
const SECRET = 'hush4711';
const MAX = ['--speedup', 'max'];

interface Event {
  time: string;
  level: string;
  code: string;
  message: string;
  hint?: string;
  outcome?: Record<string, unknown>;
}

/** Codes and levels in the table of docs/formats.md. */
function documented(): Map<string, string> {
  const formats = readFileSync(join(ROOT, 'docs', 'formats.md'), 'utf8');
  const section = formats.split('\n## ').find((found) => found.startsWith('Messages as JSON'))!;
  return new Map(
    [...section.matchAll(/^\| `([a-z-]+)` +\| (info|warn|error) +\|/gm)].map(([, a, b]) => [a!, b!]),
  );
}

/** Codes of errors, as the source has them. */
function errorCodes(): Set<string> {
  const source = readFileSync(join(ROOT, 'src', 'error-codes.ts'), 'utf8');
  return new Set([...source.matchAll(/^ {2}\| '([a-z0-9-]+)'/gm)].map(([, code]) => code!));
}

/** All that was told, each line checked. */
function eventsIn(stderr: string): Event[] {
  assert.ok(stderr.endsWith('\n') || stderr === '');
  return stderr
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the test looks for them
      assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/);
      const event = JSON.parse(line) as Event;
      assert.equal(new Date(event.time).toISOString(), event.time);
      assert.ok(event.message !== '');
      const level = documented().get(event.code);
      if (level !== undefined) assert.equal(event.level, level, event.code);
      else {
        assert.equal(event.level, 'error', `${event.code} is not documented`);
        assert.ok(errorCodes().has(event.code), event.code);
        assert.ok(event.hint, `${event.code} has a hint`);
      }
      return event;
    });
}

const codesOf = (stderr: string) => eventsIn(stderr).map(({ code }) => code);

describe('--log json', PARALLEL, () => {
  test('has the codes of the documentation, and no others', () => {
    assert.deepEqual(
      Object.fromEntries([...documented()].sort()),
      Object.fromEntries(Object.entries({ ...EVENTS, [BUG]: 'error' }).sort()),
    );
  });

  test('tells a replay and a process as events, the last of them with the outcome', async (t) => {
    const cwd = temporaryFolder(t);
    const dirty = fixture('yellow-2015-dirty.csv');
    const paced = ['--speedup', '100000', '--statistics-frequency', '1'];
    const sent = await run(['replay', dirty, ...paced, ...JSON_LOG, '--json'], { cwd });
    const sentCodes = codesOf(sent.stderr);
    for (const code of ['stream', 'progress', 'outcome', 'refused'])
      assert.ok(sentCodes.includes(code), code);
    const again = await run(['replay', dirty, ...MAX, ...JSON_LOG], { cwd });
    const note = eventsIn(again.stderr).find(({ code }) => code === 'note')!;
    assert.match(note.message, /^this input is already in local:/, 'without "note: "');
    await putRecords(join(cwd, '.taxiflow'), 'taxi-trip-events', ['no trip\n']);
    const done = await run(['process', '--until-end', '--drain', ...JSON_LOG, '--json'], { cwd });
    const events = eventsIn(done.stderr);
    assert.ok(events.some(({ code }) => code === 'refused'));
    for (const { stdout, stderr } of [sent, done]) {
      const told = eventsIn(stderr).filter(({ outcome }) => outcome !== undefined);
      assert.deepEqual(
        told.map(({ outcome }) => outcome),
        [JSON.parse(stdout.trimEnd().split('\n').at(-1)!)],
      );
    }
    const results = await run(
      ['process', '--app', 'b', '--until-end', '--output', '-', '--json', ...JSON_LOG],
      { cwd },
    );
    const [outcome] = eventsIn(results.stderr).filter((event) => event.outcome !== undefined);
    assert.equal(outcome!.outcome!['command'], 'process', 'where stdout has the results');
    for (const line of results.stdout.trimEnd().split('\n')) assert.ok('view' in JSON.parse(line));
  });

  test('tells that no watermark comes, and the address of the page', async (t) => {
    const cwd = temporaryFolder(t);
    const at = ['--data-dir', join(cwd, 'data')];
    await run(['replay', YELLOW, ...MAX, '--no-watermark', ...at]);
    const done = await run(['process', '--until-end', ...at, ...JSON_LOG]);
    assert.ok(codesOf(done.stderr).includes('no-watermark'), done.stderr);
    const page = following(t, ['process', '--dashboard', '--port', '0', ...at, ...JSON_LOG]);
    await page.until('the page is served', () => page.said().includes('"code":"page"'));
    const { code, stderr } = await page.interrupt();
    assert.equal(code, 130);
    codesOf(stderr);
  });

  test('tells errors by their codes, wherever the log was asked for', async (t) => {
    const cwd = temporaryFolder(t);
    const cases: [code: string, exit: number, args: string[], env?: Record<string, string>][] = [
      ['no-stream', 1, ['process', ...JSON_LOG]],
      ['no-stream', 1, ['process'], { TAXIFLOW_LOG: 'json' }],
      ['usage', 2, ['process', '--log=json', '--no-such-option']],
      ['usage', 2, [...JSON_LOG, 'replay', '--speedup', 'fast']],
      ['usage', 2, ['replay', '-log', 'json', '--', 'a', '']],
      ['no-input', 1, ['replay', 'nowhere.csv', ...JSON_LOG]],
    ];
    for (const [code, exit, args, env = {}] of cases) {
      const ran = await taxiflow(args, { cwd, env });
      assert.equal(ran.code, exit, `${args.join(' ')}: ${ran.stderr}`);
      assert.equal(codesOf(ran.stderr).at(-1), code, args.join(' '));
      assert.equal(ran.stdout, '');
    }
    writeFileSync(join(cwd, 'taxiflow.config.json'), '{"log": "json"}');
    const configured = await taxiflow(['process'], { cwd });
    assert.deepEqual(codesOf(configured.stderr), ['stream', 'no-stream']);
    const text = await taxiflow(['process', '--log', 'text'], { cwd });
    assert.match(text.stderr, /^Error: there is no stream/m);
  });

  test('no name breaks a line, and no secret is told', async (t) => {
    const cwd = temporaryFolder(t);
    const names = ['a\nb.csv', '\u001b[2J.csv', '"}\n{"code":"x"}.csv', '\u2028.csv', '\u202e.csv'];
    for (const name of names) {
      writeFileSync(join(cwd, name), 'no,header\n1,2\n');
      const ran = await taxiflow(['replay', join(cwd, name), ...JSON_LOG], { cwd });
      assert.notEqual(ran.code, 0);
      codesOf(ran.stderr);
    }
    const urls = [`http://user:${SECRET}@127.0.0.1:9/`, `http://127.0.0.1:9/?token=${SECRET}`];
    for (const url of urls)
      for (const args of [
        ['process', '--stream', 'x', '--until-end', '--endpoint-url', url, '--region', 'us-east-1'],
        ['process', '--opensearch', url],
        ['replay', url],
        ['process', url],
      ]) {
        const ran = await taxiflow([...args, ...JSON_LOG], {
          cwd,
          env: { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' },
        });
        assert.notEqual(ran.code, 0);
        assert.ok(codesOf(ran.stderr).length > 0);
        assert.ok(!ran.stderr.includes(SECRET), ran.stderr);
      }
  });
});
