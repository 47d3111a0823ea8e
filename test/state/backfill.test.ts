/** C5: a view that is filled from the start of the stream has the results it would have, had it always been there. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { createSavepoint, inspectSavepoint } from '../../src/savepoints/savepoints.ts';
import { StateReader } from '../../src/state/reader.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import * as l from '../../src/views/language.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { runJob } from './job.ts';

const NOON = Date.UTC(2016, 0, 11, 12);
const MINUTE = 60_000;
const NAME = 'taxi-trip-events';
/** Jobs in the suite; `JOBS=1000` for a search. */
const JOBS = Number(process.env['JOBS'] ?? 25);
const SEED = Number(process.env['SEED'] ?? 1);

const iso = (minute: number) => new Date(NOON + minute * MINUTE).toISOString();

const OLD = l.view({
  name: 'old',
  by: {},
  window: l.tumbling(5 * MINUTE),
  aggregates: { trips: l.count() },
});

type Random = ReturnType<typeof randomNumbers>;

function newView(random: Random): l.View {
  const size = [3, 10, 40, 120][Math.floor(random() * 4)]!;
  const window =
    random() < 0.5 ? l.tumbling(size * MINUTE) : l.sliding(size * MINUTE, Math.ceil(size / 3) * MINUTE);
  return l.view({
    name: 'new',
    by: random() < 0.5 ? {} : { vendor: l.field('vendor_id') },
    window,
    aggregates: {
      trips: l.count(),
      vendors: l.countDistinct(l.field('vendor_id')),
      fares: l.sum(l.field('total_amount')),
    },
    ...(random() < 0.3 ? { having: l.gte(l.aggregate('trips'), 3) } : {}),
  });
}

/** Writes trips in disorder, some twice, with watermarks behind most of them, and sometimes splits a shard. */
class Writer {
  readonly #dataDir: string;
  readonly #random: Random;
  readonly #shards: number;
  #id = 0;
  #minute = 0;
  readonly #sent: string[] = [];

  constructor(dataDir: string, random: Random, shards = 3) {
    this.#shards = shards;
    this.#dataDir = dataDir;
    this.#random = random;
  }

  async write(trips: number): Promise<void> {
    const random = this.#random;
    const stream = LocalStream.open({
      dataDir: this.#dataDir,
      name: NAME,
      clock: systemClock,
      createShards: this.#shards,
    });
    try {
      for (let left = trips; left > 0; ) {
        const texts = Array.from({ length: Math.min(left, 1 + Math.floor(random() * 20)) }, () =>
          this.#trip(),
        );
        left -= texts.length;
        const data = Buffer.from(texts.join(''));
        let end = 0;
        const ends = Uint32Array.from(texts, (text) => {
          end += text.length;
          return end;
        });
        const hashes = Uint32Array.from(texts, () => Math.floor(random() * 2 ** 32));
        await stream.put({ count: texts.length, data, ends, hashes });
        if (random() < 0.4) {
          const watermark = iso(this.#minute - random() * 12);
          await stream.broadcast(() => Buffer.from(`{"type":"watermark","watermark":"${watermark}"}\n`));
        }
        if (this.#shards > 1 && random() < 0.04) {
          const open = (await stream.shards()).filter((shard) => shard.open);
          stream.split(open[Math.floor(random() * open.length)]!.id);
        }
      }
    } finally {
      await stream.close();
    }
  }

  #trip(): string {
    const random = this.#random;
    if (random() < 0.1 && this.#sent.length > 0) return this.#sent[Math.floor(random() * this.#sent.length)]!;
    this.#minute += random() * 0.5;
    const id = random() < 0.5 ? this.#id++ : Math.floor(random() * 2 ** 40);
    const minute = Math.max(0, this.#minute - random() * (random() < 0.1 ? 90 : 10));
    const vendor = 'abc'[Math.floor(random() * 3)];
    const text = `{"type":"trip","trip_id":${id},"replay":"r","vendor_id":"${vendor}","dropoff_datetime":"${iso(minute)}","total_amount":${Math.floor(random() * 1e4) / 100}}\n`;
    this.#sent.push(text);
    return text;
  }
}

function results(dataDir: string, app: string, view: string) {
  const reader = new StateReader(dataDir, app);
  try {
    // Corrections come in the order in which trips were late.
    const found = [...reader.results({ view }), ...reader.totals(view)];
    return found.map((result) => JSON.stringify(result)).sort();
  } finally {
    reader.close();
  }
}

describe('a view that is filled', () => {
  it('has the results it would have had from the start, whatever the stream went through', async (t) => {
    let found = 0;
    for (let job = 0; job < JOBS; job++) found += await one(t, SEED * 10_000 + job);
    assert.ok(found > JOBS * 10, `${found} results`);
  });

  it('is told with its figures, and leaves nothing behind', async (t) => {
    const dataDir = temporaryFolder(t);
    const random = randomNumbers(1);
    await new Writer(dataDir, random).write(200);
    await runJob(dataDir, 'job', [OLD]);
    const added = l.view({ ...OLD, name: 'new' });
    const notes = await runJob(dataDir, 'job', [OLD, added], { backfill: true });
    assert.match(notes[0]!, /^view new is added: it is filled from the start of the stream$/);
    assert.match(notes[1]!, /^new filled from \d+ records of the stream: \d+ results/);
    assert.deepEqual(readdirSync(join(dataDir, 'tmp')), []);
    const { place } = await createSavepoint({ dataDir, app: 'job', to: join(dataDir, 'x'), s3: {} });
    const { summary } = await inspectSavepoint(place, {});
    assert.equal(summary.counters.results, summary.results.next - 1);
    const reader = new StateReader(dataDir, 'job');
    const { number } = reader.checkpoint()!;
    const isNew = reader.totalsChangedSince(number - 1).some(({ view }) => view === 'new');
    reader.close();
    assert.ok(isNew, 'who has read the state before learns of the totals');
    const [again, ...more] = await runJob(dataDir, 'job', [OLD, added], { backfill: true });
    assert.match(again!, /^--backfill does nothing here/, 'once is enough');
    assert.deepEqual(more, []);
  });

  it('changes nothing when it is stopped, and is filled by the next run', async (t) => {
    const dataDir = temporaryFolder(t);
    await new Writer(dataDir, randomNumbers(2)).write(200);
    await runJob(dataDir, 'job', [OLD]);
    const added = l.view({ ...OLD, name: 'new' });
    const stop = new AbortController();
    stop.abort();
    await assert.rejects(runJob(dataDir, 'job', [OLD, added], { backfill: true, signal: stop.signal }), {
      code: 'interrupted',
    });
    const reader = new StateReader(dataDir, 'job');
    assert.deepEqual(reader.views(), ['old']);
    reader.close();
    assert.deepEqual(readdirSync(join(dataDir, 'tmp')), []);
    await runJob(dataDir, 'job', [OLD, added], { backfill: true });
    await runJob(dataDir, 'straight', [OLD, added]);
    assert.deepEqual(results(dataDir, 'job', 'new'), results(dataDir, 'straight', 'new'));
  });
});

async function one(t: TestContext, seed: number): Promise<number> {
  const random = randomNumbers(seed);
  const dataDir = temporaryFolder(t);
  // By trips, what is late depends on when shards were found idle, except in one shard.
  const maxDisorder = random() < 0.3 ? Math.floor(random() * 12) * MINUTE : undefined;
  const writer = new Writer(dataDir, random, maxDisorder === undefined ? 3 : 1);
  const allowedLateness = Math.floor(random() * 3) * 15 * MINUTE;
  const view = newView(random);
  const before = random() < 0.5 ? [OLD] : [OLD, l.view({ ...OLD, name: 'new', by: { vendor: l.field('vendor_id') }, aggregates: { rides: l.count() } })]; // biome-ignore format: one line
  const more = { allowedLateness, maxDisorder, acceptChanges: true };
  await writer.write(20 + Math.floor(random() * 150));
  await runJob(dataDir, 'job', before, more);
  if (random() < 0.5) await writer.write(20 + Math.floor(random() * 150));
  if (random() < 0.5) await runJob(dataDir, 'job', before, more);
  // What comes after the state's last checkpoint is not for the filling.
  await writer.write(Math.floor(random() * 150));
  await runJob(dataDir, 'job', [OLD, view], { ...more, backfill: true });
  await writer.write(20 + Math.floor(random() * 150));
  await runJob(dataDir, 'job', [OLD, view], { ...more, drain: true });
  await runJob(dataDir, 'straight', [OLD, view], { ...more, drain: true });
  const expected = results(dataDir, 'straight', 'new');
  assert.deepEqual(results(dataDir, 'job', 'new'), expected, `seed ${seed}`);
  assert.deepEqual(results(dataDir, 'job', 'old'), results(dataDir, 'straight', 'old'), `seed ${seed}`);
  return expected.length;
}
