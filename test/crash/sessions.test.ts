/** Sessions of many keys, in disorder, while the processor is killed and the stream resharded, are those of a model that sorts the trips. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { StateReader } from '../../src/state/reader.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { taxiflow } from '../taxiflow.ts';

/** Keys in the suite; `KEYS=1000000` for a search. */
const KEYS = Number(process.env['KEYS'] ?? 60_000);
const SEED = Number(process.env['SEED'] ?? 1);
const TRIPS = 2 * KEYS;
const HOURS = 4;
const GAP_MS = 25 * 60_000;
const DISORDER_MS = 10 * 60_000;
const NOON = Date.UTC(2016, 0, 11, 12);
const PARTS = 4;

it('sessions of many keys survive disorder, kills and reshards', { timeout: 1_800_000 }, async (t) => {
  const dataDir = join(temporaryFolder(t), 'data');
  const random = randomNumbers(SEED);
  const keys = new Int32Array(TRIPS);
  const times = new Float64Array(TRIPS);
  const stream = LocalStream.open({ dataDir, name: 'taxi-trip-events', clock: systemClock, createShards: 3 });
  const file = join(dataDir, 'views.sql');
  writeFileSync(
    file,
    `CREATE VIEW sessions AS SELECT window_start, window_end, pickup_zone, COUNT(*) AS trips, SUM(trip_id) AS ids
     FROM TABLE(SESSION(TABLE trips PARTITION BY pickup_zone, DESCRIPTOR(dropoff_datetime), INTERVAL '25' MINUTE))
     GROUP BY window_start, window_end, pickup_zone`,
  );
  const args = [
    'process',
    '--views',
    file,
    '--data-dir',
    dataDir,
    '--until-end',
    '--checkpoint-interval',
    '200ms',
  ];
  let kills = 0;
  for (let part = 0; part < PARTS; part++) {
    await write(stream, (TRIPS / PARTS) * part, (TRIPS / PARTS) * (part + 1), keys, times, random);
    const [shard] = (await stream.shards()).filter(({ open }) => open);
    stream.split(shard!.id);
    let child: ChildProcess | undefined;
    const running = taxiflow(args, { onStart: (started) => (child = started) });
    setTimeout(() => child?.kill('SIGKILL'), 350 + random() * (KEYS / 900)).unref();
    const ran = await running;
    if (ran.signal === 'SIGKILL') kills++;
    else assert.equal(ran.code, 0, ran.stderr);
  }
  await stream.close();
  const last = await taxiflow([...args, '--drain', '--json']);
  assert.equal(last.code, 0, last.stderr);
  assert.equal(last.json<{ totals: { late: number } }>().totals.late, 0);
  const expected = sessionsOf(keys, times);
  const reader = new StateReader(dataDir, 'taxi-trip-events');
  let found = 0;
  for (const { window_start, window_end, pickup_zone, trips, ids } of reader.results({ view: 'sessions' })) {
    const session = `${pickup_zone} ${Date.parse(String(window_start))} ${Date.parse(String(window_end))} ${trips} ${ids}`;
    assert.ok(expected.delete(session), `seed ${SEED}: ${session} is none, or came twice`);
    found++;
  }
  let [sessions, all] = [0, 0];
  for (const totals of reader.totals('sessions')) {
    sessions += totals.keys;
    all += Number(totals.all.values['trips']);
  }
  reader.close();
  assert.deepEqual([sessions, all], [found, TRIPS], 'totals');
  assert.equal(expected.size, 0, `seed ${SEED}: ${expected.size} sessions are missing`);
  t.diagnostic(`${found} sessions of ${KEYS} keys, ${kills} kills`);
});

async function write(
  stream: LocalStream,
  from: number,
  to: number,
  keys: Int32Array,
  times: Float64Array,
  random: () => number,
): Promise<void> {
  for (let next = from; next < to; ) {
    const texts: string[] = [];
    for (; texts.length < 1_000 && next < to; next++) {
      const due = NOON + ((HOURS * 3_600_000) / TRIPS) * next;
      keys[next] = Math.floor(random() * KEYS);
      times[next] = Math.floor((due - random() * DISORDER_MS) / 1_000) * 1_000;
      texts.push(
        `{"type":"trip","trip_id":${next},"replay":"r","dropoff_datetime":"${new Date(times[next]!).toISOString()}","pickup_zone":${keys[next]}}\n`,
      );
    }
    let end = 0;
    const ends = Uint32Array.from(texts, (text) => {
      end += text.length;
      return end;
    });
    const hashes = Uint32Array.from(texts, () => Math.floor(random() * 2 ** 32));
    await stream.put({ count: texts.length, data: Buffer.from(texts.join('')), ends, hashes });
    const watermark = new Date(
      NOON + ((HOURS * 3_600_000) / TRIPS) * next - DISORDER_MS - 1_001,
    ).toISOString();
    await stream.broadcast(() => Buffer.from(`{"type":"watermark","watermark":"${watermark}"}\n`));
  }
}

/** Each session as key, start, end, number of trips and sum of their ids. */
function sessionsOf(keys: Int32Array, times: Float64Array): Set<string> {
  const order = Array.from(keys, (_, i) => i).sort((a, b) => keys[a]! - keys[b]! || times[a]! - times[b]!);
  const found = new Set<string>();
  for (let i = 0; i < order.length; ) {
    const first = order[i]!;
    let [last, trips, ids] = [first, 0, 0];
    for (; i < order.length; i++) {
      const next = order[i]!;
      if (keys[next] !== keys[first] || times[next]! - times[last]! > GAP_MS) break;
      trips++;
      ids += next;
      last = next;
    }
    found.add(`${keys[first]} ${times[first]} ${times[last]! + GAP_MS} ${trips} ${ids}`);
  }
  return found;
}
