import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, TaxiflowError } from '../../../src/errors.ts';
import type { Decision } from '../../../src/streams/autoscale/decide.ts';
import { autoscale, historyOf } from '../../../src/streams/autoscale/run.ts';
import type { MinuteOfWrites, ShardDescription } from '../../../src/streams/ports.ts';
import { evenRanges, shardIdOf } from '../../../src/streams/shards.ts';
import { START, TestClock } from '../../clock.ts';

const MINUTE = 60_000;

interface Script {
  readonly shards: number;
  /** Shards' worth that is written in a minute from the start on. */
  load(minute: number): number;
  /** The stream tells when its shards were made. */
  readonly tells?: boolean;
  /** Somebody is resharding it at the look with this number, from 1. */
  changing?(nth: number): boolean;
  /** Errors of figures or reshards, by the number of the request from 1. */
  figures?(nth: number): ErrorCode | undefined;
  reshard?(nth: number): ErrorCode | undefined;
}

/** A stream that was made two hours before the start, and does what a test says. */
class ScriptedStream {
  readonly reshards: [minute: number, to: number][] = [];
  readonly #clock: TestClock;
  readonly #script: Script;
  #asked = 0;
  #tried = 0;
  #looks = 0;
  #shards: ShardDescription[];

  constructor(clock: TestClock, script: Script) {
    this.#clock = clock;
    this.#script = script;
    this.#shards = this.#made(script.shards, [], START - 120 * MINUTE);
  }

  async describe(): Promise<ShardDescription[]> {
    return this.#shards;
  }

  async isChanging(): Promise<boolean> {
    return this.#script.changing?.(++this.#looks) ?? false;
  }

  async written(since: number, until: number): Promise<MinuteOfWrites[]> {
    refuse(this.#script.figures?.(++this.#asked));
    const minutes: MinuteOfWrites[] = [];
    for (let start = Math.ceil(since / MINUTE) * MINUTE; start + MINUTE <= until; start += MINUTE) {
      const records = this.#script.load((start - START) / MINUTE) * 60_000;
      minutes.push({ start, bytes: 0, records, throttled: 0, settled: true });
    }
    return minutes;
  }

  async reshard(to: number): Promise<string[]> {
    refuse(this.#script.reshard?.(++this.#tried));
    await this.#clock.sleep(20_000);
    const parents = this.#shards.filter((shard) => shard.open).map(({ shard }) => shard);
    const closed = this.#shards.map((shard) => ({ ...shard, open: false }));
    this.#shards = [...closed, ...this.#made(to, parents, this.#clock.time)];
    this.reshards.push([Math.floor((this.#clock.time - START) / MINUTE), to]);
    return [];
  }

  #made(count: number, parents: readonly string[], at: number): ShardDescription[] {
    const first = this.#shards?.length ?? 0;
    return evenRanges(count).map(([low, high], i) => ({
      shard: shardIdOf(first + i),
      ...{ open: true, parents, first_hash_key: String(low), last_hash_key: String(high) },
      ...(this.#script.tells === false ? {} : { opened_at: new Date(at).toISOString() }),
    }));
  }
}

function refuse(code: ErrorCode | undefined): void {
  if (code === 'kinesis-error') {
    const cause = Object.assign(new Error('slow down'), { name: 'ThrottlingException' });
    throw new TaxiflowError(code, `it is ${code}`, { cause });
  }
  if (code) throw new TaxiflowError(code, `it is ${code}`);
}

/** Runs for so many minutes; without, it looks once. */
async function run(
  script: Script,
  minutes?: number,
  more: { dryRun?: boolean; clock?: TestClock; stream?: ScriptedStream } = {},
) {
  const { dryRun = false, clock = new TestClock() } = more;
  const stream = more.stream ?? new ScriptedStream(clock, script);
  const controller = new AbortController();
  const decisions: (Decision & { minute: number })[] = [];
  const end = clock.time + (minutes ?? 0) * MINUTE;
  await autoscale({
    ...{ stream, clock, dryRun, signal: controller.signal, once: minutes === undefined },
    options: { min: 1, max: 64, target: 0.6 },
    onDecision: (decision, time) => {
      decisions.push({ ...decision, minute: (time - START) / MINUTE });
      if (clock.time >= end) controller.abort();
    },
  });
  return { stream, decisions, clock };
}

describe('the loop of autoscaling', () => {
  it('goes up at once in steps, and down slowly, until it is interrupted', async () => {
    const { stream, decisions } = await run(
      { shards: 2, load: (at) => (at >= 10 && at < 30 ? 6 : 0.7) },
      150,
    );
    const [first, second, third, ...down] = stream.reshards;
    assert.deepEqual([first, second, third?.[1]], [[11, 4], [11, 8], 12], 'no look between two steps');
    assert.ok(third![0] <= 12);
    assert.deepEqual(
      down.map(([, to]) => to),
      [6, 3, 2],
    );
    const times = down.map(([at]) => at);
    assert.ok(times[0]! >= 45, 'fifteen minutes after the load');
    for (const [i, at] of times.entries()) if (i > 0) assert.ok(at - times[i - 1]! >= 15, `${times}`);
    const held = decisions.filter(({ action }) => action === 'hold').map(({ minute }) => minute % 1);
    assert.ok(
      held.slice(1).every((part) => part < 0.1),
      'it looks right after a minute has passed',
    );
  });

  it('once takes one step at most, and a chain of such runs waits as a long run does', async () => {
    const script: Script = { shards: 8, load: () => 0.1 };
    const first = await run(script);
    assert.deepEqual(first.stream.reshards, [[0, 4]]);
    for (let i = 1; i < 40; i++) {
      first.clock.advance(MINUTE);
      await run(script, undefined, first);
    }
    assert.deepEqual(
      first.stream.reshards.map(([, to]) => to),
      [4, 2, 1],
    );
    const [a, b, c] = first.stream.reshards.map(([at]) => at);
    assert.ok(b! - a! >= 15 && c! - b! >= 15);
  });

  it('once goes up by a step, the next run by another', async () => {
    const script: Script = { shards: 2, load: () => 6 };
    const first = await run(script);
    assert.deepEqual(
      first.stream.reshards.map(([, to]) => to),
      [4],
    );
    await run(script, undefined, first);
    assert.deepEqual(
      first.stream.reshards.map(([, to]) => to),
      [4, 8],
    );
  });

  it('leaves a stream alone while it is being resharded, by whomever', async () => {
    const { stream, decisions } = await run({ shards: 4, load: () => 6, changing: (nth) => nth <= 3 }, 4);
    assert.deepEqual(
      decisions
        .slice(0, 4)
        .map(({ action, shards, why }) => [action, shards, /is being resharded/.test(why)]),
      [...Array(3).fill(['hold', 4, true]), ['up', 4, false]],
    );
    assert.deepEqual(
      stream.reshards,
      [
        [2, 8],
        [2, 12],
      ].map(([at, to]) => [at, to]),
    );
  });

  it('a dry run says the same and changes nothing', async () => {
    const { stream, decisions } = await run({ shards: 2, load: () => 6 }, undefined, { dryRun: true });
    assert.deepEqual(
      decisions.map(({ action, to, wanted }) => [action, to, wanted]),
      [['up', 4, 12]],
    );
    assert.deepEqual(stream.reshards, []);
  });

  it('where shards don’t say when they were made, it counts from its own start, and its own changes', async () => {
    const script: Script = { shards: 8, load: () => 0.1, tells: false };
    const { stream } = await run(script, 40);
    const times = stream.reshards.map(([at]) => at);
    assert.ok(times[0]! >= 15 && times[1]! - times[0]! >= 15, `${times}`);
    assert.deepEqual((await run(script)).stream.reshards, [], 'a single look can’t know');
    const up = await run({ shards: 2, load: () => 6, tells: false });
    assert.deepEqual(
      up.stream.reshards.map(([, to]) => to),
      [4],
    );
  });

  it('goes on where figures stay out for a while, and ends where they can’t come', async () => {
    const figures = (nth: number): ErrorCode | undefined =>
      (({ 3: 'cloudwatch-unreachable', 4: 'kinesis-error' }) as const)[nth];
    const { decisions } = await run({ shards: 8, load: () => 4, figures }, 5);
    const { action, shards, why } = decisions[2]!;
    assert.deepEqual([action, shards, why], ['hold', 8, 'it is cloudwatch-unreachable']);
    assert.equal(decisions[3]?.why, 'it is kinesis-error', 'throttled');
    assert.ok(decisions.length >= 5);
    for (const [nth, code] of [
      [1, 'cloudwatch-unreachable'],
      [2, 'access-denied'],
    ] as const)
      await assert.rejects(
        run({ shards: 8, load: () => 4, figures: (asked) => (asked === nth ? code : undefined) }, 5),
        { code },
      );
  });

  it('tries again where the stream was busy, and waits where a quota is used up', async () => {
    let tried: number[] = [];
    const failing = (code: ErrorCode, clock: TestClock) => (nth: number) => {
      tried.push(Math.floor((clock.time - START) / MINUTE));
      return nth <= 2 ? code : undefined;
    };
    for (const [code, apart] of [
      ['stream-not-active', 1],
      ['kinesis-limit', 10],
    ] as const) {
      tried = [];
      const clock = new TestClock();
      // The first look has to succeed.
      const load = (at: number) => (at < 2 ? 2 : 6);
      const { stream, decisions } = await run({ shards: 4, load, reshard: failing(code, clock) }, 30, {
        clock,
      });
      assert.deepEqual(
        stream.reshards.map(([, to]) => to),
        [8, 12],
        code,
      );
      const [first, second, third] = tried;
      assert.ok(second! - first! >= apart && third! - second! >= apart, `${code}: ${tried}`);
      assert.ok(second! - first! <= apart + 1, `${code}: ${tried}`);
      assert.ok(decisions.some(({ action, why }) => action === 'hold' && why === `it is ${code}`));
      if (apart > 1) assert.ok(decisions.some(({ why }) => why.includes('refused a change for its quota')));
    }
    const once = { shards: 4, load: () => 6, reshard: () => 'kinesis-limit' as const };
    await assert.rejects(run(once), { code: 'kinesis-limit' }, 'a scheduled task fails');
  });
});

it('the history of a stream is told by its shards', () => {
  const shard = (index: number, open: boolean, at: number, parents: number[] = []): ShardDescription => ({
    ...{ shard: shardIdOf(index), open, parents: parents.map(shardIdOf) },
    ...{ first_hash_key: '0', last_hash_key: '1' },
    opened_at: new Date(START + at * 1_000).toISOString(),
  });
  const shards = [
    shard(0, false, 0),
    shard(1, true, 0),
    // One change made all three.
    ...[shard(2, false, 5_000, [0]), shard(3, false, 5_001, [0]), shard(4, true, 5_010, [2, 3])],
    shard(5, true, 9_000, [4]),
  ];
  const at = (seconds: number) => START + seconds * 1_000;
  assert.deepEqual(historyOf(shards, 0), {
    shards: 3,
    changedAt: at(9_000),
    reshards: [at(5_000), at(9_000)],
  });
  const old = shards.map((one) =>
    one.open ? one : { ...one, opened_at: new Date(at(-90_000)).toISOString() },
  );
  assert.deepEqual(historyOf(old, 0).reshards, [at(5_010), at(9_000)], 'those of a day before don’t count');
  const { opened_at: _, ...untold } = shards[1]!;
  assert.equal(historyOf([untold, ...shards.slice(2)], at(20_000)).changedAt, at(20_000));
});
