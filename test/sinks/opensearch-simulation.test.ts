/**
 * The OpenSearch sink against a model of the server that loses answers, turns requests and documents away, does things
 * late, answers nonsense and loses its indices, that rolls its indices over at any request, and whose aliases and
 * snapshots are changed and restored by hand, while the sink is killed and interrupted in between:
 *
 *  O1, O2, O4, O5, O7 each id has its last acceptable result once, or none if that was taken back; O3 each result is
 *  there or a dead letter, and a dead letter once.
 * TAXIFLOW_SIMULATIONS says how many, TAXIFLOW_SEED which one is first.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Random, randomNumbers } from '../random.ts';
import {
  type Fate,
  HURRIED,
  LARGEST_REQUEST,
  LATE_MS,
  ModelServer,
  ModelState,
  openSink,
  type Snapshot,
} from './opensearch-model.ts';

const RUNS = Number(process.env['TAXIFLOW_SIMULATIONS'] ?? (process.env['CI'] === 'true' ? 30 : 15));
const SEED = Number(process.env['TAXIFLOW_SEED'] ?? 1);
const CRASHES = 10;
const NAME = 'trip_duration';

/** Keys that contain the separators of an id. */
const PARTS = ['a', 'b', 'a|b', 'b|a', 'a\\', 'a\\|b', '|', '\\'];

/** Few cells in a band of windows that moves on, so that windows begin all the time and many results correct others. */
function result(number: number, random: Random): Record<string, unknown> {
  const draw = random();
  const fate: Fate = draw < 0.002 ? 'spoils' : draw < 0.03 ? 'refused' : draw < 0.031 ? 'too-large' : 'taken';
  return {
    view: 'trip_duration',
    window_start: new Date((Math.floor(number / 100) + Math.floor(random() * 10)) * 600_000).toISOString(),
    location: PARTS[Math.floor(random() * PARTS.length)]!,
    airport_code: PARTS[Math.floor(random() * PARTS.length)]!,
    number,
    fate,
    ...(fate === 'taken' && random() < 0.2 ? { retracted: true } : {}),
    ...(fate === 'too-large' ? { text: 'x'.repeat(LARGEST_REQUEST) } : {}),
  };
}

async function simulate(seed: number): Promise<{ retries: number; crashes: number }> {
  const random = randomNumbers(seed);
  const state = new ModelState();
  const server = new ModelServer(random);
  const results: Record<string, unknown>[] = [];
  const commit = (count: number) => {
    const fired = Array.from({ length: count }, (_, i) => result(results.length + i + 1, random));
    results.push(...fired);
    const documents = fired.map(({ number, fate, retracted, ...document }) =>
      retracted ? { ...document, retracted } : { ...document, number, fate },
    );
    state.commit(documents, true);
  };
  const open = async () => {
    let alive = true;
    const sink = await openSink(state, server, { alive: () => alive });
    const kill = () => {
      alive = false;
    };
    return { sink, kill };
  };

  server.front = () => {
    if (random() < 0.05) server.rollover(NAME);
  };
  let snapshot: Snapshot[] = [];
  let retries = 0;
  for (let life = 0; life < CRASHES; life++) {
    server.trouble = random() * 0.8;
    const { sink, kill } = await open();
    for (let steps = Math.ceil(random() * 6); steps > 0; steps--) {
      const draw = random();
      if (draw < 0.1) server.takeAway();
      else if (draw < 0.15) server.swap(NAME);
      commit(Math.ceil(random() ** 2 * 250));
      sink.wake();
      await HURRIED.sleep(random() * 4_000);
    }
    if (random() < 0.6) await sink.close(true);
    else kill();
    retries += sink.status().retries;
    const draw = random();
    if (draw < 0.3) snapshot = server.snapshot();
    else if (draw < 0.5) server.restore(snapshot);
  }
  server.trouble = 0.2;
  for (let tries = 0; ; tries++) {
    const { sink } = await open();
    try {
      await sink.close(false);
      retries += sink.status().retries;
      break;
    } catch (error) {
      // On a busy machine the model's clock may run ahead; like a user, start the run again.
      if ((error as { code?: string }).code !== 'opensearch-behind' || tries > 20) throw error;
    }
  }
  // Requests of a dead sink may still be in flight.
  await HURRIED.sleep(LATE_MS + 1_000);

  const expected = new Map<string, string>();
  for (const { fate, retracted, ...document } of results) {
    const { window_start, location, airport_code } = document;
    const id = JSON.stringify([window_start, location, airport_code]);
    if (retracted) expected.delete(id);
    else if (fate === 'taken') expected.set(id, JSON.stringify({ ...document, fate }));
  }
  const numbers = (sources: Iterable<string>) =>
    [...sources].map((source) => (JSON.parse(source) as { number: number }).number).sort((a, b) => a - b);
  const lying = [...server.documents].map(({ source }) => source);
  assert.deepEqual(numbers(lying), numbers(expected.values()), `the last of each, seed ${seed}`);
  assert.deepEqual(
    numbers(state.letters.map(({ raw }) => raw)),
    results.filter(({ fate }) => fate !== 'taken').map(({ number }) => number),
    `dead letters, seed ${seed}`,
  );
  assert.equal(state.cursor?.delivered, state.nextResult, `the cursor, seed ${seed}`);
  return { retries, crashes: CRASHES };
}

describe('the OpenSearch sink, simulated', () => {
  it(`O1 to O5 and O7 in ${RUNS} runs from seed ${SEED}`, async (t) => {
    let retries = 0;
    const seeds = Array.from({ length: RUNS }, (_, i) => SEED + i);
    // A run mostly waits, so several run concurrently.
    const worker = async () => {
      for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift())
        retries += (await simulate(seed)).retries;
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    assert.ok(retries > RUNS, 'nothing went wrong, so nothing was tried');
    t.diagnostic(`${retries} documents sent again`);
  });
});
