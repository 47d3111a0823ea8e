/**
 * Replay and processor over Kinesis, where a fifth of all requests go wrong and shards are split and merged, killed
 * at random moments side by side and started again each time.
 *
 *  C1, C3 the results are those of an undisturbed line; W7 trips that were written twice, by a killed replay or
 *  after a lost answer, count as duplicates, and nothing is late; K1, K2 nothing is skipped or dropped.
 *  TAXIFLOW_KILLS says how many kills, TAXIFLOW_SEED which moments and faults.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { temporaryFolder } from '../files.ts';
import { sameLines } from '../golden/line.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { type Random, randomNumbers } from '../random.ts';
import { createStream, faulty, reshardAtRandom, startKinesis, totalFaults } from '../services/kinesis.ts';
import { killedAfter, taxiflow } from '../taxiflow.ts';

const CI = process.env['CI'] === 'true';
const KILLS = Number(process.env['TAXIFLOW_KILLS'] ?? (CI ? 20 : 16));
const SEED = Number(process.env['TAXIFLOW_SEED'] ?? 1);
const TRIPS = 12_000;
const DAY = Date.UTC(2016, 0, 11);
const PIECES = 48;
const PIECE_MS = 86_400_000 / PIECES;

interface Replayed {
  read: number;
  sent: number;
  acknowledged: number;
  rejected: number;
  skipped: { already_sent: number };
  reconciled: boolean;
}

interface Processed {
  reconciled: boolean;
  totals: Record<'read' | 'watermarks' | 'processed' | 'filtered' | 'duplicate' | 'late' | 'dead', number>;
}

it(`C1, C3, W7, K1, K2: ${KILLS} kills over Kinesis (seed ${SEED})`, { timeout: 1_800_000 }, async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'trips.csv');
  const day = { from: '2016-01-11', hours: 24, seed: SEED, layout: 'yellow-2015', dirty: 0.02 } as const;
  writeFileSync(file, [...generateCsv({ trips: TRIPS, ...day })].join(''));
  const expected = await expectedLines([file]);
  const refused = Object.values(expected.rejected).reduce((sum, count) => sum + count, 0);

  const emulator = await startKinesis(t);
  await createStream(emulator, 'trips', 4);
  const bad = await faulty(t, emulator, 0.2, SEED);
  const { env } = bad;
  const admin = new KinesisAdmin({ stream: 'trips', endpointUrl: emulator.endpoint, clock: systemClock });
  t.after(() => admin.close());
  const at = ['--stream', 'trips', '--data-dir', folder];

  /** Half an hour of trips at a time, paced so that sending it takes longer than starting. */
  const replays = async (random: Random): Promise<void> => {
    let kills = 0;
    for (let piece = 1; kills < KILLS / 2; ) {
      // The day ends before the kills do: it starts again, and all of its trips are duplicates.
      if (piece > PIECES) piece = 1;
      const until = new Date(DAY + piece * PIECE_MS).toISOString();
      const paced = ['--speedup', '2000', '--until', until, ...(piece > 1 ? ['--resume'] : [])];
      const packed = random() < 0.5 ? ['--aggregate'] : [];
      // Some kills come while it starts and some while it sends, however long either takes.
      const word = random() < 0.5 ? /./ : / trips .* lag /;
      const args = ['replay', file, ...at, ...paced, ...packed, '--statistics-frequency', '1'];
      const ran = await killedAfter(random() * 1_500, args, env, word);
      if (ran.signal === 'SIGKILL') {
        kills++;
        if (random() < 0.5) await reshardAtRandom(admin, random);
      } else assert.equal(ran.code, 0, ran.stderr);
      if (ran.signal === null || piece === 1) piece++;
    }
  };

  const output = join(folder, 'out.ndjson');
  const flow = ['process', ...at, '--output', output];
  const processes = async (random: Random): Promise<void> => {
    for (let kills = 0; kills < KILLS / 2; kills++) {
      const ran = await killedAfter(random() * 2_000, [...flow, '--checkpoint-interval', '0ms'], env);
      assert.equal(ran.signal, 'SIGKILL', `it ended by itself: ${ran.stderr}`);
    }
  };

  await Promise.all([replays(randomNumbers(SEED)), processes(randomNumbers(SEED + 1))]);

  const replay = ['replay', file, ...at, '--speedup', 'max', '--resume', '--json'];
  const last = await taxiflow(replay, { env });
  assert.equal(last.code, 0, last.stderr);
  const { read, sent, acknowledged, rejected, skipped, reconciled } = last.json<Replayed>();
  assert.equal(sent, acknowledged, 'what is sent is acknowledged');
  assert.equal(rejected, refused, 'the rows refused are those that are no trips');
  assert.equal(
    read,
    acknowledged + rejected + skipped.already_sent,
    'read = acknowledged + rejected + before',
  );
  assert.equal(sent + skipped.already_sent, expected.trips, 'sent at last and before is all there is');
  assert.equal(reconciled, true, 'the replay adds up');

  const processed = await taxiflow([...flow, '--until-end', '--drain', '--json'], { env });
  assert.equal(processed.code, 0, processed.stderr);
  sameLines(comparable(readFileSync(output, 'utf8')), expected.lines, 'the output');
  const stored = await taxiflow(['results', '--app', 'trips', '--data-dir', folder, '--format', 'ndjson']);
  sameLines(comparable(stored.stdout), expected.lines, 'the results stored');
  const outcome = processed.json<Processed>();
  const { totals } = outcome;
  assert.equal(outcome.reconciled, true, 'C7: everything read is accounted for');
  assert.deepEqual([totals.late, totals.dead], [0, 0], 'W1, W7: nothing is late, nothing is dead');
  assert.equal(totals.processed + totals.filtered, expected.trips, 'each trip counts once');
  assert.equal(totals.duplicate, totals.read - totals.watermarks - expected.trips, 'the rest are duplicates');
  if (CI) assert.ok(totals.duplicate > 0, 'nothing was written twice: the kills came at no interesting time');
  t.diagnostic(`${totalFaults(bad)} faults, ${totals.duplicate} duplicates of ${expected.trips} trips`);
});
