/**
 * Replay and processor, killed at random moments side by side, over one stream, and started again each time.
 *
 *  C1, C3 the results are those of an undisturbed line; W7 what a killed replay sends again counts as
 *  duplicate, and nothing is late. TAXIFLOW_KILLS says how many kills, TAXIFLOW_SEED which moments.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { ROOT, temporaryFolder } from '../files.ts';
import { Line, sameLines, totalsIn } from '../golden/line.ts';
import { comparable, expectedLines, type OracleResult } from '../golden/oracle.ts';
import { type Random, randomNumbers } from '../random.ts';
import { killedAfter, type Ran, taxiflow } from '../taxiflow.ts';

const KILLS = Number(process.env['TAXIFLOW_KILLS'] ?? (process.env['CI'] === 'true' ? 60 : 40));
const SEED = Number(process.env['TAXIFLOW_SEED'] ?? 1);
const PRELOAD = ['--import', pathToFileURL(join(ROOT, 'test', 'crash', 'kill-at-commit.mjs')).href];
const DAY = Date.UTC(2016, 0, 11);

/** A replay kills itself once it reports `trips` acknowledged trips; a kill from outside could come too late. */
function killedAt(trips: number, args: readonly string[]): Promise<Ran> {
  const env = { TAXIFLOW_KILL: `trips:after:${Math.ceil(trips)}` };
  return taxiflow([...args, '--statistics-frequency', '1'], { node: PRELOAD, env });
}

interface Replayed {
  read: number;
  sent: number;
  skipped: { already_sent: number };
  reconciled: boolean;
}

interface Processed {
  reconciled: boolean;
  totals: Record<'read' | 'watermarks' | 'processed' | 'filtered' | 'duplicate' | 'late' | 'dead', number>;
}

const scratch = mkdtempSync(join(tmpdir(), 'taxiflow-kills-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

interface Input {
  readonly file: string;
  expected: OracleResult;
}

async function made(name: string, trips: number): Promise<Input> {
  const file = join(scratch, name);
  const options = { from: '2016-01-11', hours: 24, seed: SEED, layout: 'yellow-2015', dirty: 0 } as const;
  writeFileSync(file, [...generateCsv({ trips, ...options })].join(''));
  return { file, expected: await expectedLines([file]) };
}

/** Lets the replay and the processor finish, and checks that the results are those of a run without kills. */
async function comesOutRight(folder: string, { file, expected }: Input): Promise<Processed['totals']> {
  const replay = ['replay', file, '--data-dir', folder, '--speedup', 'max', '--resume', '--json'];
  const last = await taxiflow(replay);
  assert.equal(last.code, 0, last.stderr);
  const { sent, skipped, reconciled } = last.json<Replayed>();
  assert.equal(
    sent + skipped.already_sent,
    expected.trips,
    'what was sent at last and before is all there is',
  );
  assert.equal(reconciled, true, 'the replay adds up');
  const again = (await taxiflow(replay)).json<Replayed>();
  assert.deepEqual([again.sent, again.skipped.already_sent], [0, expected.trips], 'the replay has finished');

  const output = join(folder, 'out.ndjson');
  const flow = ['process', '--data-dir', folder, '--until-end', '--drain', '--output', output, '--json'];
  const processed = await taxiflow(flow);
  assert.equal(processed.code, 0, processed.stderr);
  sameLines(comparable(readFileSync(output, 'utf8')), expected.lines, 'the output');
  const stored = await taxiflow(['results', '--data-dir', folder, '--format', 'ndjson']);
  sameLines(comparable(stored.stdout), expected.lines, 'the results stored');
  sameLines(totalsIn(folder, 'taxi-trip-events'), expected.totals, 'the totals');
  const outcome = processed.json<Processed>();
  const { totals } = outcome;
  assert.equal(outcome.reconciled, true, 'C7: everything read is accounted for');
  assert.deepEqual([totals.late, totals.dead], [0, 0], 'W1, W7: nothing is late, nothing is dead');
  assert.equal(totals.processed + totals.filtered, expected.trips, 'each trip counts once');
  assert.equal(
    totals.duplicate,
    totals.read - totals.watermarks - expected.trips,
    'W7: the rest are duplicates',
  );
  return totals;
}

describe(`killed at random (seed ${SEED})`, () => {
  let small: Input;
  before(async () => {
    small = await made('small.csv', 30_000);
  });

  it(`C1, C3, W7: ${KILLS} kills of a replay in pieces and of the processor that follows it`, async (t) => {
    const folder = temporaryFolder(t);
    const shared = ['--data-dir', folder];
    await taxiflow(['stream', 'create', ...shared, '--shards', '4']);

    /** Half an hour of trips at a time, paced so that sending it takes longer than starting. */
    const replays = async (random: Random): Promise<number> => {
      let kills = 0;
      for (let piece = 1; kills < KILLS / 2; ) {
        // The day ends before the kills do: it starts again, and all of its trips are duplicates.
        if (piece > 48) piece = 1;
        const until = new Date(DAY + piece * 1_800_000).toISOString();
        const paced = ['--speedup', '4000', '--until', until, ...(piece > 1 ? ['--resume'] : [])];
        const ran = await killedAfter(random() * 700, ['replay', small.file, ...shared, ...paced]);
        if (ran.signal === 'SIGKILL') kills++;
        else assert.equal(ran.code, 0, ran.stderr);
        // A killed first piece is resumed too.
        if (ran.signal === null || piece === 1) piece++;
      }
      return kills;
    };

    const processes = async (random: Random): Promise<number> => {
      const flow = ['process', ...shared, '--checkpoint-interval', '0ms'];
      const args = [...flow, '--output', join(folder, 'out.ndjson')];
      for (let kills = 0; kills < KILLS / 2; kills++) {
        const ran = await killedAfter(random() * 500, args);
        assert.equal(ran.signal, 'SIGKILL', `it ended by itself: ${ran.stderr}`);
      }
      return Math.ceil(KILLS / 2);
    };

    const kills = await Promise.all([replays(randomNumbers(SEED)), processes(randomNumbers(SEED + 1))]);
    const { duplicate } = await comesOutRight(folder, small);
    t.diagnostic(`replay killed ${kills[0]} times, processor ${kills[1]} times, ${duplicate} duplicates`);
  });

  it('C1, C3: kills of a processor that is behind', async (t) => {
    const line = new Line(temporaryFolder(t), [small.file], 4);
    await line.replay();
    const { folder } = line;
    const flow = ['process', '--data-dir', folder, '--output', join(folder, 'out.ndjson')];
    const random = randomNumbers(SEED + 2);
    for (let kills = 0; kills < KILLS / 8; kills++) {
      const ran = await killedAfter(random() * 120, [...flow, '--checkpoint-interval', '5ms']);
      assert.equal(ran.signal, 'SIGKILL', `it ended by itself: ${ran.stderr}`);
    }
    const { duplicate } = await comesOutRight(folder, small);
    assert.equal(duplicate, 0, 'nothing was sent twice');
  });

  it('W7: kills of one long replay at full speed, after the points where it records its progress', async (t) => {
    const large = await made('large.csv', 230_000);
    const folder = temporaryFolder(t);
    const seldom = ['--watermark-interval', '1h'];
    const args = ['replay', large.file, '--data-dir', folder, '--speedup', 'max', '--resume', ...seldom];
    const random = randomNumbers(SEED + 3);
    // It then records its progress every 100,000 trips: the first kill comes after that, the others anywhere.
    const places = [120_000, ...Array.from({ length: KILLS / 20 }, () => 1 + random() * 90_000)];
    for (const trips of places) {
      const ran = await killedAt(trips, args);
      if (ran.signal === 'SIGKILL') continue;
      // The rest may be shorter than the way to the next kill.
      assert.equal(ran.code, 0, ran.stderr);
      break;
    }
    const { duplicate } = await comesOutRight(folder, large);
    assert.ok(duplicate > 0, 'no trip was sent again: the kills came at no interesting time');
    t.diagnostic(`${duplicate} duplicates`);
  });
});
