/**
 * The processor is killed around its bulk requests, and OpenSearch is killed and started again:
 *
 *  C3 each result is in OpenSearch exactly once. TAXIFLOW_KILLS says how often the processor is killed.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { temporaryFolder } from '../files.ts';
import { Line, resultsIn, sameLines } from '../golden/line.ts';
import { expectedLines } from '../golden/oracle.ts';
import { countOf, showsExactly } from '../golden/search.ts';
import { startMinistack, storeObject, withoutMinistack } from '../services/ministack.ts';
import { type OpenSearch, startOpenSearch, withoutOpenSearch } from '../services/opensearch.ts';
import { proxied } from '../services/search-proxy.ts';
import { following, taxiflow } from '../taxiflow.ts';

const KILLS = Number(process.env['TAXIFLOW_KILLS'] ?? (process.env['CI'] === 'true' ? 10 : 6));
const DAY = Date.UTC(2016, 0, 11);
const NOON = DAY + 12 * 3_600_000;
const EVENING = DAY + 18 * 3_600_000;
const skip = withoutOpenSearch;
const TO_END = ['--until-end', '--drain'];

it('C3 killed processors and killed servers leave each result once', {
  skip,
}, async (t) => {
  const search = await startOpenSearch(t);
  await t.test(`the processor is killed ${KILLS} times around its bulk requests`, (t) =>
    processorKilled(t, search, 'killed-', KILLS),
  );
  await t.test(
    'so is one with its state in S3, which goes on in another folder each time (C8)',
    {
      skip: withoutMinistack,
    },
    async (t) => {
      const ministack = await startMinistack(t);
      await storeObject(ministack, 'states', 'notes.md', 'no state');
      const state = [
        '--state',
        's3://states/kills',
        '--endpoint-url',
        ministack.endpoint,
        '--state-interval',
        '10ms',
      ];
      await processorKilled(t, search, 'moved-', Math.ceil(KILLS / 2), (folder) => {
        const other = join(temporaryFolder(t), 'data');
        cpSync(join(folder, 'streams'), join(other, 'streams'), { recursive: true });
        return { folder: other, flags: state, env: ministack.env };
      });
    },
  );
  await t.test('OpenSearch is killed and started again in the middle', (t) => serverKilled(t, search));
});

/** Where a processor lives, and what it is told there. */
interface Machine {
  readonly folder: string;
  readonly flags: readonly string[];
  readonly env: Record<string, string>;
}

function dayOfTrips(t: TestContext): { line: Line; file: string } {
  const file = join(temporaryFolder(t), 'trips.csv');
  const options = { from: '2016-01-11', hours: 24, seed: 1, layout: 'yellow-2015', dirty: 0 } as const;
  writeFileSync(file, [...generateCsv({ trips: 30_000, ...options })].join(''));
  return { line: new Line(temporaryFolder(t), [file], 4), file };
}

/**
 * A kill comes before a request reaches the server, after the server has done it and before it answers, or with the
 * answer; always at a request with results that are new in that run, so that older ones are sent before.
 */
async function processorKilled(
  t: TestContext,
  search: OpenSearch,
  prefix: string,
  times: number,
  moveTo: (folder: string) => Machine = (folder) => ({ folder, flags: [], env: {} }),
): Promise<void> {
  const { line, file } = dayOfTrips(t);
  let victim: ChildProcess | undefined;
  let newest = 0;
  let moment: 'before' | 'between' | 'after' = 'before';
  const kills = { before: 0, between: 0, after: 0 };
  const proxy = await proxied(t, search.endpoint, async (bulk) => {
    const due = victim !== undefined && bulk.lines.some((line) => windowOf(line) >= newest);
    const kill = () => {
      if (victim?.kill('SIGKILL')) kills[moment]++;
      victim = undefined;
    };
    if (due && moment === 'before') {
      kill();
      return 'cut';
    }
    const reply = await bulk.forward();
    if (due && moment === 'between') {
      kill();
      return 'cut';
    }
    if (due) setImmediate(kill);
    return reply;
  });
  const lifeOf = (more: readonly string[], onStart: (child: ChildProcess) => void) => {
    const { folder, flags, env } = moveTo(line.folder);
    const flow = ['process', '--data-dir', folder, '--opensearch', proxy.endpoint, '--index-prefix', prefix];
    return taxiflow([...flow, ...flags, ...more], { env, onStart });
  };
  for (let run = 0; run < times; run++) {
    // Another part of the day; its last windows stay open.
    const until = DAY + (24 * 3_600_000 * (run + 1)) / times;
    await line.replay({ until, resume: run > 0 });
    moment = (['before', 'between', 'after'] as const)[run % 3]!;
    // Of the last half hour of a part, some window has fired.
    newest = until - Math.max((12 * 3_600_000) / times, 1_800_000);
    const ran = await lifeOf(['--checkpoint-interval', '5ms'], (child) => {
      victim = child;
    });
    assert.equal(ran.signal, 'SIGKILL', `it ended by itself: ${ran.stderr}`);
  }
  await line.replay({ resume: true });
  const last = await lifeOf(TO_END, () => {});
  assert.equal(last.code, 0, last.stderr);
  await showsExactly(search, prefix, (await expectedLines([file])).lines, 'after the kills');
  t.diagnostic(`kills: ${JSON.stringify(kills)}`);
}

/** Epoch ms; NaN for a line that is no document. */
function windowOf(line: string): number {
  return Date.parse((JSON.parse(line) as { window_start?: string }).window_start ?? '');
}

/** While OpenSearch is down, processing goes on and another sink gets its results. */
async function serverKilled(t: TestContext, search: OpenSearch): Promise<void> {
  const { line, file } = dayOfTrips(t);
  const { folder } = line;
  const output = join(folder, 'out.ndjson');
  const linesNow = () => resultsIn(output);
  const flow = [
    ...['process', '--data-dir', folder, '--output', output],
    ...['--opensearch', search.endpoint, '--index-prefix', 'away-'],
  ];
  await line.replay({ until: NOON });
  const before = following(t, flow);
  const caughtUp = async () => {
    const fired = linesNow().length;
    return fired > 0 && (await countOf(search, 'away-').catch(() => 0)) === fired;
  };
  await before.until('OpenSearch has the first half', caughtUp);
  const half = linesNow().length;

  await search.stop();
  await line.replay({ until: EVENING, resume: true });
  await before.until('processing goes on without it', () => linesNow().length > half * 1.2);
  await before.until('it says how much waits', () => /[1-9]\d* results? behind/.test(before.said()));
  assert.equal((await before.interrupt()).code, 130, 'it can be left while OpenSearch is away');

  // It resumes for the rest.
  const process = following(t, flow);
  const evening = linesNow().length;
  await line.replay({ resume: true });
  await process.until('it processes without OpenSearch from its start', () => linesNow().length > evening);
  const away = linesNow().length;

  await search.start();
  await process.until('OpenSearch has caught up', caughtUp);
  assert.ok(linesNow().length >= away, 'no result went away');
  assert.equal((await process.interrupt()).code, 130);
  const last = await taxiflow([...flow, ...TO_END]);
  assert.equal(last.code, 0, last.stderr);
  const { lines } = await expectedLines([file]);
  await showsExactly(search, 'away-', lines, 'after the server came back');
  sameLines(linesNow(), lines, 'the output');
}
