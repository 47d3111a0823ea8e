/** Flags in the form of the reference's commands: one dash, camel case, `--stream` without a value. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { temporaryFolder } from '../files.ts';
import { fewMinutes, lines, PARALLEL, readNaively, recordsOf, run, tripsInOrder, YELLOW } from './model.ts';

describe('flags', PARALLEL, () => {
  test('one dash works like two, camel case like kebab case', async (t) => {
    const cwd = temporaryFolder(t);
    const started = Date.now();
    await run(
      [
        'replay',
        YELLOW,
        '-speedup',
        'max',
        '-stream',
        'local:x',
        '-adaptTime',
        'invocation',
        '-noWatermark',
      ].concat([...['-statisticsFrequency', '60000', '-dataDir', 'D']]),
      { cwd },
    );
    const records = (await recordsOf(join(cwd, 'D'), 'x')).map(
      ({ text }) => JSON.parse(text) as Record<string, string>,
    );
    assert.equal(
      records.length,
      tripsInOrder(readNaively(YELLOW)).length,
      'trips only: no watermark was sent',
    );
    const ends = records.map((trip) => Date.parse(trip['dropoff_datetime']!));
    assert.ok(Math.min(...ends) >= started, 'the times begin at the invocation');
  });

  test('-speedup=max, --noWatermark, and camel case with two dashes', async (t) => {
    const cwd = temporaryFolder(t);
    const ran = await run(['replay', '-speedup=max', '--noWatermark', '--dataDir=D', '-json', YELLOW], {
      cwd,
    });
    assert.equal(ran.json()['watermarks'], 0);
    await run(['process', '-untilEnd', '--maxDisorder', '0', '-dataDir', 'D', '-output', 'out.ndjson'], {
      cwd,
    });
    assert.ok(lines(readFileSync(join(cwd, 'out.ndjson'), 'utf8')).length > 0, 'results are written');
  });

  test('--no-watermark sends none, --watermark is the default', async (t) => {
    const cwd = temporaryFolder(t);
    const without = await run(['replay', YELLOW, '--speedup', 'max', '--no-watermark', '--json'], { cwd });
    assert.equal(without.json()['watermarks'], 0);
    assert.equal(without.json()['last_watermark'], null);
    const standard = await run(['replay', YELLOW, '--speedup', 'max', '--stream', 'local:w', '--json'], {
      cwd,
    });
    assert.equal(standard.json()['watermarks'], 1);
  });

  test('"taxiflow replay -speedup 1440 FILE" and "taxiflow process --stream" work as written', async (t) => {
    const cwd = temporaryFolder(t);
    const file = fewMinutes(cwd);
    const replayed = await run(['replay', '-speedup', '1440', file], { cwd });
    assert.match(replayed.stderr, /^stream: local:taxi-trip-events \(embedded, in \.taxiflow\)\n/);
    const processed = await run(['process', '--until-end', '--stream'], { cwd });
    assert.match(processed.stderr, /^stream: local:taxi-trip-events \(embedded, in \.taxiflow\)\n/);
    const again = await run(['process', '--stream', '--until-end', '--json'], { cwd });
    const { totals } = again.json<{ totals: { processed: number; filtered: number } }>();
    assert.equal(totals.processed + totals.filtered, tripsInOrder(readNaively(file)).length);
  });

  test('if an option is given twice, the last value counts', async (t) => {
    const cwd = temporaryFolder(t);
    const ran = await run(
      ['replay', YELLOW, '-speedup', '1', '-limit', '3', '-speedup', 'max', '-limit', '5', '-json'],
      {
        cwd,
      },
    );
    assert.equal(ran.json()['sent'], 5);
  });

  test('a lone dash is standard input or output, and arguments after -- are not flags', async (t) => {
    const cwd = temporaryFolder(t);
    const trips = tripsInOrder(readNaively(YELLOW)).length;
    const input = readFileSync(YELLOW);
    const piped = await run(['replay', '-', '-speedup', 'max', '-json'], { cwd, input });
    assert.deepEqual([piped.json()['inputs'], piped.json()['read']], [['standard input'], trips]);
    const printed = await run(['generate', '--trips', '2', '-out', '-'], { cwd });
    assert.equal(printed.stdout.trimEnd().split('\n').length, 3, 'a header and two rows');
    copyFileSync(YELLOW, join(cwd, '-odd.csv'));
    const odd = await run(['replay', '-dryRun', '-json', '--', '-odd.csv'], { cwd });
    assert.deepEqual([odd.json()['inputs'], odd.json()['trips']], [['-odd.csv'], trips]);
  });

  test('a negative number is a value, not a flag', async (t) => {
    const cwd = temporaryFolder(t);
    const { stderr } = await run(['replay', YELLOW, '--limit', '-5'], { cwd, code: 2 });
    assert.match(stderr, /--limit needs a whole number of at least 0/);
    const { stderr: hours } = await run(['generate', '-hours', '-1'], { cwd, code: 2 });
    assert.match(hours, /--hours needs a positive number/);
  });

  test('a value beyond the possible size is a clear error', async (t) => {
    const cwd = temporaryFolder(t);
    const refused = async (args: string[], message: RegExp) =>
      assert.match((await run(args, { cwd, code: 2 })).stderr, message);
    await refused(['stream', 'create', 'local:s', '--shards', '10001'], /--shards takes 10,000 at most/);
    await refused(['replay', YELLOW, '--shards', '1e12'], /--shards takes 10,000 at most/);
    await refused(['replay', YELLOW, '--statistics-frequency', '2147483648'], /takes 2,147,483,647 at most/);
    await refused(['demo', '--trips', '1e15'], /--trips takes 10,000,000 at most/);
    await refused(['process', '--allowed-lateness', '36501d'], /is longer than 36500 days/);
  });
});
