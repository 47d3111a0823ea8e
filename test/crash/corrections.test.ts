/**
 * Corrected and retracted results, with splits, duplicates, spills and crashes before and after commits, and a
 * second output that is added later: P2, C1, C3, W7 from the stream to the last reader.
 * TAXIFLOW_SIMULATIONS says how many runs, TAXIFLOW_SEED which one is first.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { type ProcessOutcome, runProcess } from '../../src/engine/run.ts';
import type { Checkpoint, StateStore } from '../../src/engine/state-store.ts';
import type { Trip } from '../../src/events/trip.ts';
import { NdjsonSink } from '../../src/sinks/ndjson.ts';
import { StateReader } from '../../src/state/reader.ts';
import { SqliteState } from '../../src/state/store.ts';
import * as l from '../../src/views/language.ts';
import { TestClock } from '../clock.ts';
import { MemoryReader } from '../engine/memory.ts';
import { temporaryFolder } from '../files.ts';
import { type Random, randomNumbers } from '../random.ts';
import { resultLines, tableLines } from '../state/tables.ts';
import { groupBy, totalsOf } from '../views/model.ts';

const RUNS = Number(process.env['TAXIFLOW_SIMULATIONS'] ?? 4);
const SEED = Number(process.env['TAXIFLOW_SEED'] ?? 1);
const TRIPS = 300;
const CRASHES = 6;
const NOON = Date.UTC(2016, 0, 1, 12);

/** Results that one more trip may retract, and another may bring back. */
const views = [
  l.view({
    name: 'fickle',
    by: { zone: l.field('pickup_zone'), vendor: l.field('vendor_id') },
    window: l.tumbling('10s'),
    aggregates: { n: l.count(), total: l.sum(l.field('total_amount')) },
    having: l.any(l.lt(l.aggregate('total'), 40), l.eq(l.truncate(l.divide(l.aggregate('n'), 2)), 1)),
  }),
  l.view({
    name: 'sliding',
    by: { zone: l.field('pickup_zone') },
    window: l.sliding('20s', '5s'),
    aggregates: { n: l.count(), vendors: l.countDistinct(l.field('vendor_id')) },
    having: l.lt(l.aggregate('n'), 6),
  }),
];

/** Writes the trips: a third of them late, a tenth of them twice. */
function written(random: Random): { reader: MemoryReader; trips: Trip[] } {
  const reader = new MemoryReader(1 + Math.floor(random() * 3));
  const anyOf = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]!;
  let now = NOON;
  const trips = Array.from({ length: TRIPS }, (_, id) => {
    now += random() * 1_500;
    const late = random() < 0.3 ? random() * 60_000 : 0;
    const trip = {
      trip_id: id,
      replay: 'r',
      dropoff_datetime: new Date(now - late).toISOString(),
      vendor_id: anyOf(['a', 'b|']),
      pickup_zone: anyOf([1, 2]),
      total_amount: Math.floor(random() * 3_000) / 100,
    };
    for (let times = random() < 0.1 ? 2 : 1; times > 0; times--)
      reader.put(anyOf(reader.open), `${JSON.stringify({ type: 'trip', ...trip })}\n`);
    const parent = reader.open[0]!;
    if (random() < 0.01) for (let child = 0; child < 2; child++) reader.add([parent]);
    return trip;
  });
  return { reader, trips };
}

class Crash extends Error {}

/** A state whose commits sometimes end the process, before or after they are done. */
function crashing(state: SqliteState, dies: () => boolean): StateStore {
  return {
    stored: state.stored,
    block: (place) => state.block(place),
    firstKey: (place) => state.firstKey(place),
    rewrite: (blocks) => state.rewrite(blocks),
    put: (blocks) => state.put(blocks),
    drop: (window) => state.drop(window),
    commit: (checkpoint: Checkpoint) => {
      if (dies()) throw new Crash();
      state.commit(checkpoint);
      if (dies()) throw new Crash();
    },
  };
}

const sorted = (documents: readonly object[]) =>
  documents.map((document) => JSON.stringify(document, Object.keys(document).sort())).sort();

/** The results of a file after each one has replaced its predecessor. */
function left(path: string): { documents: object[]; retracted: number } {
  const documents = new Map<string, object>();
  let retracted = 0;
  for (const line of readFileSync(path, 'utf8').trimEnd().split('\n')) {
    const document = JSON.parse(line) as Record<string, unknown>;
    const { view, window_start, zone, vendor } = document;
    const id = JSON.stringify([view, window_start, zone, vendor]);
    if (!document['retracted']) documents.set(id, document);
    else {
      assert.ok(documents.delete(id), `what is taken back was there: ${line}`);
      retracted++;
    }
  }
  return { documents: [...documents.values()], retracted };
}

it(`P2, C1, C3, W7: corrections and retractions in ${RUNS} runs from seed ${SEED}`, async (t) => {
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    const random = randomNumbers(seed);
    const dataDir = temporaryFolder(t);
    const outputs = ['first', 'later'].map((name) => join(dataDir, `${name}.ndjson`));
    const { reader, trips } = written(random);
    let crashes = 0;
    let outcome: ProcessOutcome | undefined;
    const dies = () => crashes < CRASHES && random() < 0.08 && crashes++ >= 0;
    while (!outcome) {
      const identity = { stream: 's', views: JSON.stringify(views), settings: '' };
      const state = SqliteState.open({ dataDir, app: 'a', identity });
      const paths = crashes < CRASHES / 2 ? outputs.slice(0, 1) : outputs;
      try {
        outcome = await runProcess({
          reader,
          store: crashing(state, dies),
          views,
          deadLetters: new DeadLetterBuffer(0),
          sinks: paths.map((path) => new NdjsonSink(state.outbox, path)),
          clock: new TestClock({ tick: 1 }),
          from: { at: 'trim-horizon' },
          eventTime: 'dropoff',
          maxDisorder: 2_000,
          allowedLateness: 3_600_000,
          checkpointInterval: 5,
          pollInterval: 100,
          untilEnd: () => true,
          drain: true,
          signal: new AbortController().signal,
          batchRecords: 3,
          memoryLimit: Math.floor(random() * 30_000),
        });
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
      } finally {
        state.close();
      }
    }
    const { processed, late, results } = outcome.totals;
    assert.deepEqual([processed, late], [TRIPS, 0], `seed ${seed}`);
    assert.ok(crashes > 2, 'nothing crashed, so nothing was tried');
    const expected = sorted(views.flatMap((view) => groupBy(view, trips)));
    for (const path of outputs) {
      const { documents, retracted } = left(path);
      assert.ok(retracted > 0, 'nothing was taken back, so nothing was tried');
      assert.deepEqual(sorted(documents), expected, `${path}, seed ${seed}`);
    }
    const state = new StateReader(dataDir, 'a');
    assert.deepEqual(sorted([...state.results()]), expected, `the results, seed ${seed}`);
    for (const view of views) {
      const totals = Array.from(state.totals(view.name), ({ view: _, start: __, ...rest }) => rest);
      const wanted = totalsOf(view, trips).sort((a, b) => a.end - b.end);
      assert.deepEqual(totals, wanted, `totals as if no trip had been late, seed ${seed}`);
    }
    assert.deepEqual(tableLines(state), resultLines(state), `the tables, seed ${seed}`);
    assert.deepEqual(
      state.cursors().map(({ delivered, pending }) => [delivered, pending]),
      [
        [results, 0],
        [results, 0],
      ],
    );
    state.close();
  }
});
