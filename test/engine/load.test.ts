/** Where the time of a run goes, by a clock that only the work itself moves. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { Load, type Spent } from '../../src/engine/load.ts';
import { runProcess } from '../../src/engine/run.ts';
import * as l from '../../src/views/language.ts';
import { TestClock } from '../clock.ts';
import { MemoryReader, MemoryStore } from './memory.ts';

const view = l.view({ name: 'counted', by: {}, window: l.tumbling('10s'), aggregates: { n: l.count() } });

/** Letters that take their time. */
class SlowLetters extends DeadLetterBuffer {
  readonly #take: () => void;

  constructor(take: () => void) {
    super(1_000);
    this.#take = take;
  }

  override add(...letter: Parameters<DeadLetterBuffer['add']>): void {
    this.#take();
    super.add(...letter);
  }
}

interface Costs {
  /** Ms. */
  readonly read: number;
  readonly record: number;
  readonly commit: number;
}

/** Processes `records` unreadable records, one a read, and then waits for more until `idle` ms have passed. */
async function spentOn(records: number, { read, record, commit }: Costs, idle: number): Promise<Spent> {
  const clock = new TestClock();
  const reader = new MemoryReader(1);
  for (let i = 0; i < records; i++) reader.put(reader.list[0]!, 'no trip\n');
  // The look at the tip costs as much as a read, and brings nothing.
  reader.beforeRead = () => clock.advance(read);
  const store = new MemoryStore();
  store.beforeCommit = () => clock.advance(commit);
  const stop = new AbortController();
  let allRead = Number.POSITIVE_INFINITY;
  let spent: Spent | undefined;
  await runProcess({
    reader,
    store: store.reopen(),
    views: [view],
    deadLetters: new SlowLetters(() => clock.advance(record)),
    sinks: [],
    clock,
    from: { at: 'trim-horizon' },
    eventTime: 'dropoff',
    allowedLateness: 0,
    checkpointInterval: 1_000,
    batchRecords: 1,
    untilEnd: () => false,
    drain: false,
    signal: stop.signal,
    onProgress: (progress) => {
      spent = progress.spent;
      if (progress.counters.read === records) allRead = Math.min(allRead, clock.time);
      if (clock.time - allRead >= idle) stop.abort();
    },
  });
  return spent!;
}

const share = (spent: Spent, of: keyof Spent) => spent[of] / Object.values(spent).reduce((a, b) => a + b, 0);

describe('the load of a run', () => {
  it('is what takes the longest', async () => {
    const slow = { read: 1, record: 1, commit: 1 };
    for (const [costs, idle, of] of [
      [{ ...slow, read: 200 }, 0, 'reading'],
      [{ ...slow, record: 200 }, 0, 'processing'],
      [{ ...slow, record: 20, commit: 10_000 }, 0, 'committing'],
      [slow, 60_000, 'idle'],
    ] as const) {
      const spent = await spentOn(200, costs, idle);
      assert.ok(share(spent, of) > 0.8, `${of} of ${JSON.stringify(spent)}`);
    }
  });

  it('is the whole time and no more', async () => {
    const costs = { read: 7, record: 31, commit: 11 };
    const spent = await spentOn(1_000, costs, 5_000);
    assert.equal(spent.processing, 1_000 * costs.record);
    assert.ok(Math.abs(spent.reading - 1_000 * costs.read) <= 2 * costs.read, `${spent.reading} ms`);
    assert.equal(spent.committing % costs.commit, 0);
  });

  it('counts a look at the tip as waiting, however long the stream takes to answer', async () => {
    const spent = await spentOn(1, { read: 500, record: 1, commit: 1 }, 60_000);
    assert.ok(share(spent, 'idle') > 0.95, JSON.stringify(spent));
  });

  it('has no time of a clock that was set back', () => {
    const clock = new TestClock();
    const load = new Load(clock);
    clock.advance(100);
    load.lap('idle');
    clock.advance(-3_600_000);
    load.lap('processing');
    clock.advance(50);
    load.lap('processing');
    assert.deepEqual([load.spent.idle, load.spent.processing], [100, 50]);
  });
});
