/**
 * A stream is split, merged and trimmed at random while the processor reads, crashes and restarts. It checks that:
 *
 *  - every record that still exists at its turn is read once, in order, and a child only after its parents (W4)
 *  - at each commit the watermark is before every unread trip, and it never goes back (W2, W4)
 *  - records that fell out of retention stop the run, or are named if gaps are allowed (C5)
 *  - the results are those of a naive group-by over the trips that were not lost
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { runProcess } from '../../src/engine/run.ts';
import type { Checkpoint } from '../../src/engine/state-store.ts';
import { TaxiflowError } from '../../src/errors.ts';
import type { Trip } from '../../src/events/trip.ts';
import type { Position, RecordBatch, Shard, StreamReader } from '../../src/streams/ports.ts';
import * as l from '../../src/views/language.ts';
import { TestClock } from '../clock.ts';
import { MemoryStore } from '../engine/memory.ts';
import { textsOf } from '../records.ts';
import { groupBy } from '../views/model.ts';
import { type ModelShard, ModelStream, type Moods, SLOTS } from './shard-model.ts';

const NOON = Date.UTC(2016, 0, 1, 12);
const iso = (ms: number) => new Date(ms).toISOString();

const VIEWS = [
  l.view({ name: 'counted', by: {}, window: l.tumbling('10s'), aggregates: { n: l.count() } }),
  // A row per trip, so one that is read twice shows.
  l.view({
    name: 'each',
    by: { trip: l.field('pickup_zone') },
    window: l.tumbling('10s'),
    aggregates: { n: l.count() },
  }),
];

type From = 'trim-horizon' | 'latest' | 'time';

interface Action {
  readonly do: 'send' | 'watermark' | 'split' | 'merge' | 'trim' | 'expire' | 'turn';
  readonly n: number;
  readonly m: number;
}

export interface Plan {
  readonly shards: number;
  readonly actions: readonly Action[];
  readonly moods: Moods;
  readonly batchRecords: number;
  readonly checkpointInterval: number;
  readonly from: From;
  readonly allowGap: boolean;
  /** How each run except the last ends, and how many actions happen before the next. */
  readonly ends: readonly { by: 'commit' | 'read' | 'stop'; after: number; down: number }[];
}

const ACTIONS = ['send', 'send', 'send', 'watermark', 'turn', 'turn', 'turn', 'split', 'merge'] as const;

const ANYWHERE: readonly From[] = ['trim-horizon', 'trim-horizon', 'trim-horizon', 'latest', 'time'];

/** Plans of up to `length` actions: writes, splits, merges, and the given other kinds. */
export function plans(more: readonly Action['do'][], length: number, from = ANYWHERE): fc.Arbitrary<Plan> {
  return fc.record({
    shards: fc.constantFrom(1, 2, 4),
    actions: fc.array(
      fc.record({ do: fc.constantFrom(...ACTIONS, ...more), n: fc.nat(255), m: fc.nat(7) }),
      { minLength: 5, maxLength: length, size: 'max' },
    ),
    moods: fc.record({
      sizes: fc
        .array(fc.nat(5), { maxLength: 7 })
        .map((sizes) => [...sizes, 1, 4]),
      lags: fc.array(fc.boolean(), { maxLength: 6 }).map((lags) => [...lags, false]),
      endsApart: fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }),
    }),
    batchRecords: fc.integer({ min: 1, max: 6 }),
    checkpointInterval: fc.constantFrom(0, 5, 30),
    from: fc.constantFrom(...from),
    allowGap: fc.boolean(),
    ends: fc.array(
      fc.record({
        by: fc.constantFrom('commit', 'read', 'stop'),
        after: fc.integer({ min: 1, max: 15 }),
        down: fc.nat(12),
      }),
      { maxLength: 4 },
    ),
  }); // biome-ignore format: a setting a line
}

/** A real stream that follows the model, and whose reads are checked against it. */
export interface Real {
  readonly reader: StreamReader;
  put(slot: number, texts: readonly string[]): Promise<void>;
  broadcast(textFor: (shardId: string) => string): Promise<void>;
  split(shard: ModelShard, at: number): Promise<void>;
  merge(low: ModelShard, high: ModelShard): Promise<void>;
  /** Drops the records that arrived before `before`. */
  trim?(shard: ModelShard, before: number): Promise<void>;
}

class Crash extends Error {}

/** The records that one run of the processor got, without those still in flight to an earlier run. */
class Run {
  /** The records of each shard, and the next position. */
  readonly given = new Map<string, { spans: [from: number, to: number][]; next: Position }>();
  /** Shards that were reported as ended. */
  readonly ended = new Set<string>();
  /** Newest record of each hash key. */
  readonly newest = new Map<number, string>();
  /** Shards that lost records. */
  readonly lost = new Set<string>();
}

/** Carries out one plan: writer, stream and processor, with what was read and committed so far. */
export class Simulation implements StreamReader {
  readonly name = 'simulated';
  readonly identity = 'simulated-1';
  readonly stream: ModelStream;
  readonly store = new MemoryStore();
  readonly #plan: Plan;
  readonly #real: Real | undefined;
  readonly #trips: readonly Trip[];
  /** Hash key of each trip. */
  readonly #slots: readonly number[];
  #done = 0;
  #sent = 0;
  #turns: Promise<void> = Promise.resolve();
  #calls = 0;
  /** Called at each read of the run. */
  #onRead: () => void = () => {};
  /** The number of the next record, by shard and by the sequence number of a real stream. */
  readonly #numbers = new Map<string, number>();
  #run = new Run();
  /** The committed position of each shard: records before it are read or lost. */
  readonly #settled = new Map<string, number>();
  readonly #settledEnds = new Set<string>();
  /** Shards of the first commit and shards with a record read: their losses must be reported. */
  readonly #begun = new Set<string>();
  readonly #readAny = new Set<string>();
  readonly #lostTrips = new Set<number>();
  #allowGap: boolean;
  #from: Position = { at: 'trim-horizon' };
  #watermark = Number.NEGATIVE_INFINITY;
  #listed = new Set<string>();
  /** Shards in the last commit that left the list before their children, which are not waiting: the next commit must drop them. */
  #gone = new Set<string>();

  constructor(plan: Plan, stream = new ModelStream(plan.shards, plan.moods), real?: Real) {
    this.#plan = plan;
    this.#allowGap = plan.allowGap;
    this.stream = stream;
    this.#real = real;
    let clock = NOON;
    const sends = plan.actions.filter((action) => action.do === 'send');
    this.#slots = sends.flatMap((action) => new Array<number>(countOf(action)).fill(slotOf(action)));
    this.#trips = sends.flatMap((action, i) => {
      const { n, m } = action;
      clock += n * 20;
      // Some hash keys are far behind others in event time, so that each shard has a watermark of its own.
      const behind = (slotOf(action) >> 5) * 4_000;
      return Array.from({ length: countOf(action) }, (_, id) => ({
        pickup_zone: i * 3 + id,
        dropoff_datetime: iso(clock - behind - ((n * 37 + id * 901) % 3) * m * 300),
      }));
    });
  }

  /** Runs until the whole stream is read, through crashes and gaps; checks all the way. */
  async run(): Promise<void> {
    const { ends, from } = this.#plan;
    // These records exist before the first read.
    await this.#act(8);
    this.#from = from === 'time' ? { at: 'time', ms: this.stream.now - 3 } : { at: from };
    let restarts = 0;
    for (const end of ends) {
      await this.#live(end);
      await this.#act(end.down);
    }
    while (!(await this.#live(undefined))) assert.ok(++restarts < 50, 'it comes to an end');
    this.#checkEnd();
  }

  async shards(): Promise<readonly Shard[]> {
    await this.#turn();
    const listed = this.stream.listed();
    this.#listed = new Set(listed.map(({ id }) => id));
    if (!this.#real) return listed;
    const real = await this.#real.reader.shards();
    assert.deepEqual(
      real.map(graph),
      this.stream.all.map(graph),
      'the real stream has the shards of the model',
    );
    return listed;
  }

  async read(shardId: string, position: Position, limit: number): Promise<RecordBatch> {
    const run = this.#run;
    await this.#turn();
    if (run !== this.#run) throw new Crash();
    this.#onRead();
    const shard = this.stream.shard(shardId);
    this.#checkTurn(shard, position);
    if (this.#real) return this.#readReal(shard, position, limit, run);
    const asked = this.stream.indexAt(shard, position);
    const batch = this.stream.read(shardId, position, limit);
    this.#note(shard, Math.max(asked, shard.trimmed), batch, run);
    return batch;
  }

  async close(): Promise<void> {}

  /** Advances the plan by a turn before each call of the reader. */
  #turn(): Promise<void> {
    this.#calls++;
    assert.ok(this.#calls < 20_000, 'the run does not go in circles');
    this.#turns = this.#turns.then(() => this.#act(Number.POSITIVE_INFINITY));
    return this.#turns;
  }

  async #act(most: number): Promise<void> {
    const { actions } = this.#plan;
    for (let n = 0; n < most; n++) {
      const action = actions[this.#done];
      if (!action) return this.#finish();
      this.#done++;
      if (action.do === 'turn') {
        if (most === Number.POSITIVE_INFINITY) return;
        continue;
      }
      this.stream.now++;
      await this.#carryOut(action);
    }
  }

  /** Sends the rest and the last watermark. */
  async #finish(): Promise<void> {
    if (this.#done > this.#plan.actions.length) return;
    this.stream.now++;
    await this.#broadcast();
    this.#done++;
  }

  get #allThere(): boolean {
    return this.#done > this.#plan.actions.length;
  }

  async #carryOut({ do: what, n, m }: Action): Promise<void> {
    const { stream } = this;
    const { open } = stream;
    const one = open[n % open.length]!;
    switch (what) {
      case 'send':
        return this.#send(slotOf({ n, m }), countOf({ m }));
      case 'watermark':
        return this.#broadcast();
      case 'split': {
        const width = one.lastSlot - one.firstSlot + 1;
        if (open.length >= 6 || width < 4) return;
        const at = one.firstSlot + 2 + ((n * 7 + m * 31) % (width - 3));
        stream.split(one, at);
        return this.#real?.split(one, at);
      }
      case 'merge': {
        const other = open[(n % open.length) + 1];
        if (!other) return;
        stream.merge(one, other);
        return this.#real?.merge(one, other);
      }
      case 'trim': {
        const shard = stream.all[n % stream.all.length]!;
        const before = stream.trim(shard, 1 + m * 2);
        return this.#real?.trim?.(shard, before);
      }
      case 'expire':
        return stream.expire();
    }
  }

  async #send(slot: number, count: number): Promise<void> {
    const trips = this.#trips.slice(this.#sent, this.#sent + count).map((trip, i) => ({
      trip: this.#sent + i,
      text: `${JSON.stringify({ type: 'trip', ...trip })}\n`,
    }));
    this.#sent += count;
    this.stream.put(slot, trips);
    await this.#real?.put(
      slot,
      trips.map(({ text }) => text),
    );
  }

  /** Tells each shard that no later trip of its hash keys is this early (W1, W3). */
  async #broadcast(): Promise<void> {
    const last = Math.max(...this.#trips.map(timeOf), NOON);
    const texts = new Map(
      this.stream.open.map(({ id, firstSlot, lastSlot }) => {
        const times = this.#trips
          .filter((_, i) => i >= this.#sent && firstSlot <= this.#slots[i]! && this.#slots[i]! <= lastSlot)
          .map(timeOf);
        const ms = times.length > 0 ? Math.min(...times) - 1 : last;
        return [id, `${JSON.stringify({ type: 'watermark', watermark: iso(ms) })}\n`];
      }),
    );
    this.stream.broadcast((id) => texts.get(id)!);
    await this.#real?.broadcast((id) => texts.get(id)!);
  }

  /** Runs the processor; true if it reached the end of the stream. */
  async #live(end: Plan['ends'][number] | undefined): Promise<boolean> {
    const run = new Run();
    this.#run = run;
    this.#gone.clear();
    const stop = new AbortController();
    let left = end?.after ?? 0;
    const crash = (by: 'commit' | 'read') => () => {
      if (end && by === (end.by === 'stop' ? 'read' : end.by) && --left === 0) {
        if (end.by === 'stop') stop.abort();
        else throw new Crash();
      }
    };
    this.#onRead = crash('read');
    this.store.beforeCommit = crash('commit');
    const store = this.store.reopen();
    try {
      const outcome = await runProcess({
        reader: this,
        store: {
          get stored() {
            return store.stored;
          },
          block: (place) => store.block(place),
          firstKey: (place) => store.firstKey(place),
          rewrite: (blocks) => store.rewrite(blocks),
          put: (blocks) => store.put(blocks),
          drop: (window) => store.drop(window),
          commit: (checkpoint) => {
            store.commit(checkpoint);
            this.#checkCommit(checkpoint);
          },
        },
        views: VIEWS,
        deadLetters: new DeadLetterBuffer(10),
        sinks: [],
        clock: new TestClock({ tick: 1 }),
        from: this.#from,
        eventTime: 'dropoff',
        allowedLateness: 0,
        checkpointInterval: this.#plan.checkpointInterval,
        pollInterval: 100,
        untilEnd: () => this.#allThere,
        drain: true,
        allowGap: this.#allowGap,
        signal: stop.signal,
        batchRecords: this.#plan.batchRecords,
      });
      for (const id of run.lost) {
        const named = outcome.lost.some((lost) => lost.includes(id));
        assert.ok(named, `the loss in ${id} is named, not only ${JSON.stringify(outcome.lost)}`);
      }
      return !outcome.interrupted && this.#allThere;
    } catch (error) {
      if (error instanceof Crash) return false;
      const code = error instanceof TaxiflowError ? error.code : '';
      if (code !== 'gap') throw error;
      assert.ok(!this.#allowGap, 'gaps stop only those who do not allow them');
      this.#checkGap(error as TaxiflowError);
      this.#allowGap = true;
      return false;
    } finally {
      // Reads in flight end before the next run.
      await this.#turns;
    }
  }

  /** Checks that a reported gap is real. */
  #checkGap(error: TaxiflowError): void {
    const id = /shardId-\d{12}/.exec(error.message)?.[0];
    assert.ok(id, error.message);
    const shard = this.stream.shard(id);
    assert.ok(shard.gone || shard.trimmed > (this.#settled.get(id) ?? 0), `a false alarm: ${error.message}`);
  }

  /** Checks that a shard is read from its last position, and after its parents. */
  #checkTurn(shard: ModelShard, position: Position): void {
    const given = this.#run.given.get(shard.id);
    if (given) assert.deepEqual(position, given.next, `${shard.id} is read on from where it was left`);
    for (const id of shard.parents) {
      const parent = this.stream.shard(id);
      const drained = parent.gone || this.#run.ended.has(id) || this.#settledEnds.has(id);
      assert.ok(
        drained || this.#from.at === 'latest',
        `${shard.id} is read before its parent ${id} is drained`,
      );
    }
  }

  /** Remembers what the processor got. */
  #note(shard: ModelShard, from: number, batch: RecordBatch, run: Run): void {
    const spans = run.given.get(shard.id)?.spans ?? [];
    run.given.set(shard.id, { spans: [...spans, [from, from + batch.count]], next: batch.next });
    if (batch.ended) {
      run.ended.add(shard.id);
      assert.equal(from + batch.count, shard.records.length, `${shard.id} ends at its end`);
      assert.ok(!shard.open, `${shard.id} ends once it is closed`);
    }
    for (const { trip, slot, arrival } of shard.records.slice(from, from + batch.count)) {
      if (this.#from.at === 'time')
        assert.ok(arrival >= this.#from.ms, 'nothing from before the start is read');
      if (trip === undefined) continue;
      const before = run.newest.get(slot);
      const now = `${String(arrival).padStart(6)} ${String(trip).padStart(6)}`;
      assert.ok(before === undefined || before < now, `records of hash key ${slot} come in order`);
      run.newest.set(slot, now);
    }
  }

  async #readReal(shard: ModelShard, position: Position, limit: number, run: Run): Promise<RecordBatch> {
    const from = Math.max(this.#numberAt(shard, position), shard.trimmed);
    const batch = await this.#real!.reader.read(shard.id, position, limit);
    const texts = textsOf(batch);
    for (let row = 0; row < batch.count; row++)
      this.#numbers.set(`${shard.id} ${batch.sequenceOf(row)}`, from + row + 1);
    const expected = shard.records.slice(from, from + batch.count).map(({ text }) => text);
    assert.deepEqual(texts, expected, `${shard.id} from record ${from} on`);
    this.#note(shard, from, batch, run);
    return batch;
  }

  #numberAt(shard: ModelShard, position: Position): number {
    if (!this.#real || position.at !== 'after') return this.stream.indexAt(shard, position);
    return this.#numbers.get(`${shard.id} ${position.sequence}`) ?? this.stream.indexAt(shard, position);
  }

  #checkCommit(checkpoint: Checkpoint): void {
    assert.ok(checkpoint.watermark >= this.#watermark, 'the watermark does not go back (W2)');
    this.#watermark = checkpoint.watermark;
    const first = this.store.commits.length === 1;
    const inState = new Map(checkpoint.shards.map((shard) => [shard.id, shard]));
    for (const { id, position, ended } of checkpoint.shards) {
      const shard = this.stream.shard(id);
      if (ended) this.#settledEnds.add(id);
      else assert.ok(position.at !== 'latest', `${id} has a position that stays where it is`);
      for (const parent of shard.parents)
        assert.ok(inState.get(parent)?.ended ?? true, `${id} is in the state before ${parent} is drained`);
      const unread = position.at === 'trim-horizon' || position.at === 'time';
      const settled = this.#settled.get(id) ?? 0;
      const read = unread ? settled : this.#numberAt(shard, position);
      this.#settle(shard, read, ended ? shard.records.length : read, first);
    }
    for (const shard of this.stream.all) {
      if (shard.gone || this.#settledEnds.has(shard.id)) continue;
      for (const { trip } of shard.records.slice(Math.max(shard.trimmed, this.#settled.get(shard.id) ?? 0)))
        if (trip !== undefined) this.#checkAhead(trip, checkpoint.watermark, shard);
    }
    for (let trip = this.#sent; trip < this.#trips.length; trip++)
      this.#checkAhead(trip, checkpoint.watermark);
    assert.equal(checkpoint.counters.late, 0, 'no trip is late');
    const waiting = new Set(
      this.stream.all
        .filter(({ id }) => this.#listed.has(id) && !inState.has(id))
        .flatMap(({ parents }) => parents),
    );
    // A list without children may be older than the shard.
    const parents = new Set(
      this.stream.all.filter(({ id }) => this.#listed.has(id)).flatMap(({ parents }) => parents),
    );
    const gone = [...inState.keys()].filter(
      (id) => !this.#listed.has(id) && parents.has(id) && !waiting.has(id),
    );
    for (const id of gone) assert.ok(!this.#gone.has(id), `${id} is in the state, and nobody needs it`);
    this.#gone = new Set(gone);
  }

  #checkAhead(trip: number, watermark: number, shard?: ModelShard): void {
    const time = timeOf(this.#trips[trip]!);
    const where = shard ? `unread in ${shard.id}` : 'not sent yet';
    if (watermark < time) return;
    assert.fail(`the watermark ${iso(watermark)} is ahead of a trip of ${iso(time)}, ${where}`);
  }

  /** Checks what a commit adds for a shard: records read in this run, or lost; those after `read` left with the shard. */
  #settle(shard: ModelShard, read: number, upTo: number, first: boolean): void {
    const from = this.#settled.get(shard.id) ?? 0;
    assert.ok(upTo >= from, `${shard.id} goes back from ${from} to ${upTo}`);
    this.#settled.set(shard.id, upTo);
    if (first) this.#begun.add(shard.id);
    // Records that were gone when the state began, or from before its start time, are not its loss.
    const owed =
      !first && (this.#readInLine(shard) || (this.#from.at === 'latest' && this.#begun.has(shard.id)));
    const spans = this.#run.given.get(shard.id)?.spans ?? [];
    let lost = 0;
    for (const [i, { trip, arrival }] of shard.records.entries()) {
      if (i < from || i >= upTo) continue;
      if (i < read && spans.some(([low, high]) => low <= i && i < high)) {
        this.#readAny.add(shard.id);
        continue;
      }
      if (this.#from.at !== 'time' || arrival >= this.#from.ms) lost++;
      if (trip !== undefined) this.#lostTrips.add(trip);
    }
    if (lost === 0 || !owed) return;
    assert.ok(this.#allowGap, `${lost} records of ${shard.id} were lost without a word`);
    this.#run.lost.add(shard.id);
  }

  /** Whether a record of the shard or of an ancestor was read, as far as the state can know. */
  #readInLine(shard: ModelShard): boolean {
    const parents = shard.parents.map((id) => this.stream.shard(id));
    const seen = parents.filter(({ id }) => this.#settled.has(id));
    const unseen = parents.length > 0 && seen.length === 0 && !this.#begun.has(shard.id);
    return this.#readAny.has(shard.id) || unseen || seen.some((parent) => this.#readInLine(parent));
  }

  #checkEnd(): void {
    for (const shard of this.stream.all) {
      const settled = this.#settledEnds.has(shard.id)
        ? shard.records.length
        : (this.#settled.get(shard.id) ?? 0);
      for (const [i, { trip }] of shard.records.entries()) {
        if (i < settled) continue;
        assert.ok(shard.gone || i < shard.trimmed, `record ${i} of ${shard.id} is there and was not read`);
        if (trip !== undefined) this.#lostTrips.add(trip);
      }
    }
    const left = this.#trips.filter((_, trip) => trip < this.#sent && !this.#lostTrips.has(trip));
    const expected = VIEWS.flatMap((view) => groupBy(view, left));
    assert.deepEqual(
      lines(this.store.documents),
      lines(expected),
      'the results are those of the trips not lost',
    );
    const { counters } = this.store.commits.at(-1)!;
    assert.deepEqual(
      [counters.processed, counters.late, counters.dead, counters.filtered],
      [left.length, 0, 0, 0],
    );
    assert.equal(counters.read, counters.processed + counters.watermarks);
    assert.equal(this.store.blocks, 0, 'no window is left');
  }
}

const graph = ({ id, parents, open, firstHashKey, lastHashKey }: Shard) => ({ id, parents: [...parents].sort(), open, firstHashKey, lastHashKey }); // biome-ignore format: one thing
const slotOf = ({ n, m }: Pick<Action, 'n' | 'm'>) => (n * 31 + m * 64) % SLOTS;
/** Trips of a put. */
const countOf = ({ m }: Pick<Action, 'm'>) => (m === 0 ? 3 : 1);
const timeOf = (trip: Trip) => Date.parse(trip.dropoff_datetime);
const lines = (docs: readonly object[]) =>
  docs.map((doc) => JSON.stringify(doc, Object.keys(doc).sort())).sort();
