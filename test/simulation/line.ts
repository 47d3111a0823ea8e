/**
 * One seed: the whole line, from files to sinks, in a world of its own. Replay and processor are killed and run again, the
 * stream is resharded, and every server fails in its ways; then the faults stop, and what is there must be what a naive
 * group-by says.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openProcessor, type ProcessSummary } from '../../src/app/processor.ts';
import type { ProcessorOptions } from '../../src/app/processor-options.ts';
import { openReplay } from '../../src/app/replay.ts';
import type { Checkpoint } from '../../src/engine/state-store.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { copyState } from '../../src/savepoints/savepoints.ts';
import { Outbox } from '../../src/state/outbox.ts';
import { SqliteState } from '../../src/state/store.ts';
import { type Random, randomNumbers } from '../random.ts';
import type { Snapshot } from '../sinks/opensearch-model.ts';
import { StreamChecks } from './checks.ts';
import { Faults } from './faults.ts';
import { answerKinesis, KinesisModel } from './kinesis-model.ts';
import { Network } from './network.ts';
import { Reads } from './reads.ts';
import { answerS3, S3Model } from './s3-model.ts';
import { answerHttp, SearchModel } from './search-model.ts';
import { type DiskWork, diskBy, enter, running, workOfThreads } from './surroundings.ts';
import { foreignTrip, GARBAGE, lastOf, resultsOf, textsOf, type Workload, workloadOf } from './workload.ts';
import { Broken, hash, Machine, type Process, type Scheduled, World } from './world.ts';

const BEGIN = Date.UTC(2026, 0, 1);
/** Virtual ms: how long things go wrong at most, and how long it may take to make everything good after that. */
const TROUBLE_MS = 90_000;
const PATIENCE_MS = 1_200_000;
/** A process that has nothing to do any more ends within so many ms. */
const ENDS_MS = 10;
/** A process that is asked to end does so in this time, once nothing goes wrong. */
const STOP_MS = 120_000;
/** By then what was given up is carried out, and readers see what was written. */
const SEEN_MS = 12_000;

/** A run that fails for one of these reasons is run again, as a person or a supervisor would. */
const PASSES: ReadonlySet<string> = new Set(['kinesis-unreachable', 'kinesis-bad-answer', 'not-kinesis', 'kinesis-error', 'interrupted', 'opensearch-behind', 'opensearch-blocked', 'opensearch-bad-answer', 'unsupported-server', 'opensearch-unreachable', 'opensearch-refused', 'taken-over', 's3-unreachable', 's3-throttled', 's3-changed', 'disk-full']); // biome-ignore format: one list

export interface Verdict {
  readonly seed: number;
  readonly error: unknown;
  readonly faults: readonly string[];
  readonly coverage: ReadonlyMap<string, number>;
  readonly events: number;
  readonly digest: number;
}

export interface SimulateOptions {
  /** Names of the faults that may happen; all by default. */
  readonly only?: ReadonlySet<string> | undefined;
  readonly tell?: ((line: string) => void) | undefined;
}

/** tmpfs, where there is one: nothing here is to outlive the run. */
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

const threadWork = async (data: unknown) => {
  const { state, app, path } = data as { state: string; app: string; path: string };
  await copyState(state, app, path);
  return { done: true };
};

export async function simulate(seed: number, { only, tell }: SimulateOptions = {}): Promise<Verdict> {
  const folder = mkdtempSync(join(SCRATCH, 'taxiflow-simulation-'));
  const world = new World(seed, BEGIN);
  world.tell = tell;
  const faults = new Faults(world, seed, only);
  const line = new Line(world, faults, seed, folder);
  // What a killed process would have done is nobody's business.
  const broken = (error: unknown) => (world.current?.alive ?? true) && world.broken(error);
  process.on('unhandledRejection', broken);
  process.on('warning', broken);
  let error: unknown;
  workOfThreads(threadWork);
  watching = line;
  diskBy((asked) => line.disk(asked));
  enter(world);
  try {
    await line.run();
  } catch (caught) {
    error = caught;
  } finally {
    for (const one of line.processes) world.kill(one);
    enter(undefined);
    answerKinesis(undefined);
    answerHttp(undefined);
    answerS3(undefined);
    process.off('unhandledRejection', broken);
    process.off('warning', broken);
    rmSync(folder, { recursive: true, force: true });
  }
  const { happened, coverage } = faults;
  return { seed, error, faults: happened, coverage, events: world.events, digest: world.digest };
}

/** What runs on a machine, by one process after another. */
interface Role {
  readonly name: string;
  process: Process | undefined;
  /** Its next start. */
  again: Scheduled | undefined;
  start: () => void;
  /** Asks the process to end. */
  stop: AbortController;
}

function roleOf(name: string): Role {
  return { name, process: undefined, again: undefined, start: () => {}, stop: new AbortController() };
}

type Plan = (kind: string, most: number, happen: (details: Random) => void) => void;

/** The line that runs, for what is seen of its parts from within. */
let watching: Line | undefined;

const { moveCursor } = Outbox.prototype;
Outbox.prototype.moveCursor = function (sink, cursor, refused) {
  moveCursor.call(this, sink, cursor, refused);
  if (running()) watching?.cursorMoved(this, sink, cursor.delivered);
};

const { commit } = SqliteState.prototype;
SqliteState.prototype.commit = function (checkpoint) {
  // It may be killed once it has committed.
  if (running()) watching?.commits(this, checkpoint);
  commit.call(this, checkpoint);
  if (running()) watching?.committed(this, checkpoint);
};

const { open } = SqliteState;
SqliteState.open = (options) => {
  const state = open.call(SqliteState, options);
  if (running()) watching?.began.set(running()!, state);
  return state;
};

class Line {
  /** The state that a process has opened last. */
  readonly began = new WeakMap<Process, SqliteState>();
  readonly processes = new Set<Process>();
  readonly #world: World;
  readonly #faults: Faults;
  readonly #random: Random;
  readonly #load: Workload;
  readonly #kinesis: KinesisModel;
  readonly #search: SearchModel;
  readonly #s3: S3Model;
  readonly #checks: StreamChecks;
  readonly #reads: Reads;
  readonly #from: 'trim-horizon' | 'latest' | number;
  readonly #replayer: Machine;
  readonly #worker: Machine;
  readonly #other: Machine;
  readonly #output: string;
  readonly #replay = roleOf('replay');
  readonly #processor = roleOf('processor');
  readonly #standby = roleOf('standby');
  #isReplayed = false;
  /** The last run of the processor, to the end of the stream. */
  #last: ProcessSummary | undefined;
  #lives = 0;
  /** Nothing of the processor runs until then, epoch ms. */
  #awayUntil = BEGIN;
  /** Since records were lost to the processor, somebody has let it go on. */
  #allowsGap: boolean;
  readonly #allowed = new WeakSet<Process>();
  /** By the state of a process: how far its cursor came. */
  readonly #delivered = new WeakMap<Outbox, number>();

  constructor(world: World, faults: Faults, seed: number, folder: string) {
    this.#world = world;
    this.#faults = faults;
    this.#random = randomNumbers(hash(`${seed} line`));
    this.#load = workloadOf(randomNumbers(hash(`${seed} workload`)));
    const network = new Network(world, faults);
    this.#kinesis = new KinesisModel(world, faults, network, this.#load.shards);
    answerKinesis(this.#kinesis);
    this.#search = new SearchModel(world, faults, network);
    answerHttp(this.#search);
    this.#s3 = new S3Model(world, faults, network);
    if (this.#load.isRemote) this.#search.onResults = (number) => this.#checkCovered(number);
    answerS3(this.#s3);
    this.#checks = new StreamChecks(world, this.#kinesis, this.#load.trips);
    this.#from = typeof this.#load.from === 'number' ? BEGIN + this.#load.from : this.#load.from;
    this.#reads = new Reads({ world, kinesis: this.#kinesis, from: this.#from });
    this.#allowsGap = this.#load.allowsGap;
    this.#replayer = machineIn(folder, 'replayer');
    this.#worker = machineIn(folder, 'worker');
    this.#other = machineIn(folder, 'other');
    this.#output = join(folder, 'results.ndjson');
    writeFileSync(join(folder, 'trips.csv'), this.#load.csv);
  }

  async run(): Promise<void> {
    // Clocks differ from the beginning.
    for (const machine of [this.#replayer, this.#worker, this.#other])
      if (this.#random() < 0.5) machine.ahead = (this.#random() - 0.5) * 120_000;
    const trouble = this.#plan();
    this.#startReplay();
    const begin = (role: Role, machine: Machine) => {
      role.again = this.#world.after(this.#load.beginsAfter, undefined, `${role.name} begins`, () =>
        this.#startProcessor(role, machine),
      );
    };
    begin(this.#processor, this.#worker);
    if (this.#load.isRemote) begin(this.#standby, this.#other);
    await this.#world.run(() => this.#world.now - BEGIN > trouble, trouble + TROUBLE_MS);
    this.#calm();
    await this.#world.run(() => this.#isReplayed, PATIENCE_MS);
    this.#checks.afterReplay();
    await this.#finish();
    this.#checkResults();
  }

  /** What happens at times of its own; returns how long it goes on, ms. */
  #plan(): number {
    const random = this.#random;
    const end = 5_000 + random() ** 2 * (TROUBLE_MS - 5_000);
    const back = this.#load.isAway ? this.#planAway(end) : undefined;
    const often = (most: number) => Math.floor(random() ** 2 * (most + 1));
    const plan = (kind: string, most: number, happen: (random: Random) => void) => {
      for (let n = often(most); n > 0; n--) {
        const details = randomNumbers(Math.floor(random() * 2 ** 32));
        // Most of it while trips are sent, which is early.
        const at = random() ** 2 * end;
        this.#world.after(back !== undefined && random() < 0.4 ? back + at : at, undefined, kind, () => {
          if (!this.#faults.areOver && this.#faults.note(`${kind}#${n}`, `plan ${kind}`)) happen(details);
        });
      }
    };
    plan('kill replay', 3, (details) => this.#kill(this.#replay, details));
    plan('kill processor', 4, (details) => this.#kill(this.#processor, details));
    if (this.#load.isRemote) plan('kill standby', 3, (details) => this.#kill(this.#standby, details));
    const machines = [
      this.#worker,
      this.#replayer,
      ...(this.#load.isRemote ? [this.#other, this.#worker] : []),
    ];
    const machineOf = (details: Random) => machines[Math.floor(details() * machines.length)]!;
    plan('stall', this.#load.isRemote ? 5 : 2, (details) => {
      const machine = machineOf(details);
      machine.stalledUntil = this.#world.now + details() ** 2 * 30_000;
    });
    plan('clock', 2, (details) => {
      const machine = machineOf(details);
      machine.ahead += (details() - 0.5) * 120_000;
    });
    plan('reshard', 5, (details) => this.#reshard(details));
    plan('list-lags', 3, (details) => {
      this.#kinesis.lag(details());
      // It matters where something changes meanwhile.
      if (details() < 0.7) this.#reshard(details);
    });
    if (this.#load.consumer === 'efo') plan('consumer-deleted', 2, () => this.#kinesis.fanOut.takeAway());
    if (this.#load.hasForeign) this.#planForeign(plan);
    if (this.#load.opensearch) this.#planSearch(plan);
    return end + (back ?? 0);
  }

  /** For about as long as records are kept, nothing of the processor runs; returns when it does again, ms from the beginning. */
  #planAway(end: number): number {
    const back = this.#kinesis.retentionMs + (this.#random() - 0.2) * 1.5 * end;
    this.#world.after(this.#random() * end, undefined, 'away', () => {
      if (this.#faults.areOver || !this.#faults.note('away', 'plan away')) return;
      this.#awayUntil = BEGIN + back;
      for (const role of [this.#processor, this.#standby]) {
        if (role.process?.alive) this.#world.kill(role.process);
        if (role.again || role.process) this.#startLater(role, 0);
      }
      this.#faults.state = 'after being away';
    });
    return back;
  }

  /** Another producer writes trips into any shard, some of them twice, and what is no event. */
  #planForeign(plan: Plan): void {
    const write = (details: Random, text: string) => {
      const open = this.#kinesis.openShards;
      this.#kinesis.write(open[Math.floor(details() * open.length)]!, text);
    };
    plan('foreign trip', 40, (details) => {
      const text = `${JSON.stringify({ type: 'trip', ...foreignTrip(details, this.#load) })}\n`;
      write(details, text);
      if (details() < 0.3 && text.includes('trip_id'))
        this.#world.after(details() * 10_000, undefined, 'foreign trip again', () => {
          if (!this.#faults.areOver) write(details, text);
        });
    });
    plan('foreign record', 3, (details) => write(details, GARBAGE[Math.floor(details() * GARBAGE.length)]!));
  }

  /** What becomes of the indices by other hands. */
  #planSearch(plan: Plan): void {
    const { server } = this.#search;
    const viewIn = (details: Random) =>
      this.#load.views[Math.floor(details() * this.#load.views.length)]!.name;
    let snapshot: Snapshot[] = [];
    plan('rollover', 4, (details) => server.rollover(viewIn(details)));
    plan('index-deleted', 1, () => server.takeAway());
    plan('alias-swapped', 1, (details) => server.swap(viewIn(details)));
    // What lies behind the cursor of a restored state hides what is missing before it (O7), so there it is left out.
    if (!this.#load.isRemote) plan('documents-deleted', 1, (details) => server.empty(viewIn(details)));
    plan('snapshot', 1, () => {
      snapshot = server.snapshot();
    });
    plan('restored', 1, () => server.restore(snapshot));
    plan('blocked-index', 1, (details) => {
      const indices = [...server.indices.values()];
      const index = indices[Math.floor(details() * indices.length)];
      if (!index) return;
      index.isBlocked = true;
      this.#world.after(details() ** 2 * 150_000, undefined, 'unblocked', () => {
        index.isBlocked = false;
      });
    });
  }

  /** Splits a shard, or merges two. */
  #reshard(details: Random): void {
    const open = this.#kinesis.openShards;
    const at = Math.floor(details() * open.length);
    const next = open[at + 1];
    if (details() < 0.4 && next) this.#kinesis.merge(open[at]!, next);
    else if (open.length < 6) this.#kinesis.split(open[at]!);
    this.#faults.state = 'resharded';
  }

  /** Work of the disk, before, in or after which its process may be killed, or for which there is no room. */
  disk({ what, work, half = () => {} }: DiskWork): unknown {
    const fault = this.#faults.of('disk', `disk ${what}`, ['killed-before', 'killed-after', 'full']);
    if (fault === undefined) return work();
    if (fault === 'full') {
      half();
      throw Object.assign(new Error('no space left on device'), {
        code: what === 'commit' ? 'SQLITE_FULL' : 'ENOSPC',
      });
    }
    if (fault === 'killed-after') work();
    else half();
    const process = running();
    for (const role of [this.#replay, this.#processor, this.#standby])
      if (role.process === process) this.#kill(role, this.#faults.details(`disk ${what}`));
    throw new Error('killed');
  }

  #kill(role: Role, details: Random): void {
    if (!role.process?.alive) return;
    this.#world.kill(role.process);
    this.#faults.state = 'after a kill';
    this.#startLater(role, 200 + details() ** 2 * 15_000);
  }

  #calm(): void {
    this.#faults.areOver = true;
    this.#kinesis.lag(0);
    this.#world.say(undefined, 'no more faults');
  }

  #startReplay(): void {
    const { speedup, aggregate, watermarkInterval } = this.#load;
    this.#start(this.#replay, this.#replayer, async () => {
      const replay = await openReplay({
        paths: [join(this.#replayer.folder, '..', 'trips.csv')],
        dataDir: this.#replayer.folder,
        stream: 'kinesis:trips',
        region: 'us-east-1',
        speedup,
        aggregate,
        watermarkInterval,
        resume: true,
      });
      const { interrupted } = await replay.run();
      this.#isReplayed = !interrupted;
    });
  }

  #startProcessor(role: Role, machine: Machine): void {
    const takeover = this.#load.isRemote ? { takeover: this.#load.takeover } : {};
    this.#start(role, machine, async () => {
      const { signal } = role.stop;
      const { untilEnd } = this.#load;
      const processor = await openProcessor(this.#options(machine, { ...takeover, signal, untilEnd }));
      const { lost } = await processor.run();
      this.#reads.ended(running()!, lost);
      if (!signal.aborted && running()?.alive) this.#startLater(role, 2_000);
    });
  }

  #options({ folder }: Machine, more: Partial<ProcessorOptions>): ProcessorOptions {
    this.#reads.starts(running()!);
    if (this.#allowsGap) this.#allowed.add(running()!);
    return {
      stream: 'kinesis:trips',
      region: 'us-east-1',
      dataDir: folder,
      views: this.#load.views,
      checkpointInterval: this.#load.checkpointInterval,
      allowedLateness: this.#load.allowedLateness,
      retain: this.#load.retain,
      allowGap: this.#allowsGap,
      from: this.#from,
      consumer: this.#load.consumer,
      ...(this.#load.output ? { output: this.#output } : {}),
      ...(this.#load.opensearch ? { opensearch: { url: 'http://search:9200' } } : {}),
      onNote: (note) => this.#world.say(this.#world.current, `NOTE ${note}`),
      onProgress: ({ counters }) => this.#checks.counters(counters),
      ...(this.#load.isRemote ? { state: 's3://states/job', stateInterval: this.#load.stateInterval } : {}),
      ...more,
    };
  }

  /** Starts a process; if it fails as it may, it is started again. */
  #start(role: Role, machine: Machine, main: () => Promise<void>): void {
    const world = this.#world;
    role.start = () => {
      role.stop = new AbortController();
      const process = world.start(`${role.name} ${++this.#lives}`, machine, async () => {
        try {
          await main();
        } catch (error) {
          if (!process.alive) return;
          if (!(error instanceof TaxiflowError) || !this.#passes(process, error)) return world.broken(error);
          world.say(process, `ends: ${error.code}: ${error.message}`);
          this.#startLater(role, 1_000);
        }
        world.after(ENDS_MS, process, '', () => {
          process.alive = false;
          this.#checks.ended(process);
        });
      });
      role.process = process;
      this.processes.add(process);
    };
    if (role.again) role.again.isCancelled = true;
    role.start();
  }

  /** Whether a run may end with this error, and be run again. */
  #passes(process: Process, error: TaxiflowError): boolean {
    if (error.code !== 'gap') return PASSES.has(error.code);
    if (this.#allowed.has(process)) return false;
    this.#reads.refused(process, this.began.get(process)?.stored, error);
    this.#faults.note(`gap of ${process.name}`, 'plan gap');
    this.#allowsGap = true;
    return true;
  }

  #startLater(role: Role, ms: number): void {
    if (role.again) role.again.isCancelled = true;
    const least = role === this.#replay ? 0 : this.#awayUntil - this.#world.now;
    role.again = this.#world.after(Math.max(ms, least), undefined, `${role.name} is started again`, () =>
      role.start(),
    );
  }

  /** Ends what runs on a machine for good: it is asked to, and does so soon, or it is killed. */
  async #end(role: Role): Promise<void> {
    const { process, stop } = role;
    if (process?.alive && this.#random() < 0.7) {
      this.#world.soon(process, 'is asked to end', () => stop.abort());
      await this.#world.run(() => !process.alive, STOP_MS);
    }
    if (role.again) role.again.isCancelled = true;
    if (process) this.#world.kill(process);
  }

  /** A last run, to the end of the stream. */
  async #finish(): Promise<void> {
    const world = this.#world;
    for (const role of [this.#processor, this.#standby]) await this.#end(role);
    const machine = this.#load.isRemote && this.#random() < 0.5 ? this.#other : this.#worker;
    // What was written last is seen by readers.
    let isSeen = false;
    world.after(SEEN_MS, undefined, 'all is seen', () => {
      isSeen = true;
    });
    await world.run(() => isSeen, PATIENCE_MS);
    this.#start(this.#processor, machine, async () => {
      const processor = await openProcessor(this.#options(machine, { untilEnd: true, drain: true }));
      this.#last = await processor.run();
    });
    await world.run(() => this.#last !== undefined, PATIENCE_MS);
  }

  commits(state: SqliteState, checkpoint: Checkpoint): void {
    this.#reads.commits(running()!, state.stored, checkpoint, this.#allowed.has(running()!));
  }

  committed(state: SqliteState, checkpoint: Checkpoint): void {
    this.#checks.committed(state, checkpoint, !this.#load.hasForeign);
  }

  /** O3 */
  cursorMoved(outbox: Outbox, sink: string, delivered: number): void {
    if (!sink.startsWith('opensearch')) return;
    for (let number = this.#delivered.get(outbox) ?? delivered; number < delivered; number++)
      if (!this.#search.settled.has(number))
        this.#world.broken(new Broken(`O3: the cursor passes result ${number}, which OpenSearch never had`));
    this.#delivered.set(outbox, delivered);
  }

  #checkCovered(number: number): void {
    if (number >= this.#s3.nextResult)
      this.#world.broken(new Broken(`C8: result ${number} leaves before a head covers it`));
  }

  #checkResults(): void {
    const { totals, lost } = this.#last!;
    const { views, trips, hasForeign, allowedLateness } = this.#load;
    const process = this.#processor.process!;
    this.#reads.ended(process, lost);
    const isRead = this.#reads.readBy(process);
    const contents = this.#checks.contents(isRead, this.#reads.hadBy(process));
    this.#world.say(undefined, `totals ${JSON.stringify(totals)}`);
    const expected = resultsOf(views, contents.trips, allowedLateness);
    if (!hasForeign && contents.isWhole) {
      const all = trips.map((trip) => ({ trip, watermark: Number.NEGATIVE_INFINITY }));
      same(expected, resultsOf(views, all, 0), 'no trip of the replay is behind its watermark (W1)');
    }
    if (this.#load.output) {
      const lines = readFileSync(this.#output, 'utf8').split('\n').filter(Boolean);
      const documents = lines.map((text) => JSON.parse(text));
      const found = textsOf(allowedLateness > 0 ? lastOf(views, documents) : documents);
      same(found, expected, 'the file holds the results of the trips, each once (C3)');
    }
    if (this.#load.opensearch) {
      const documents = this.#search.server.documents.map(({ source }) => JSON.parse(source));
      same(textsOf(documents), expected, 'OpenSearch holds the results of the trips, each once (O1 to O7)');
    }
    const { late, dead, processed, filtered } = totals;
    if (
      dead !== contents.dead ||
      late + processed + filtered !== contents.trips.length ||
      (late > 0 && !hasForeign && contents.isWhole)
    )
      throw new Broken(`W1, W7, C7: ${contents.trips.length} trips, but ${JSON.stringify(totals)}`);
  }
}

function machineIn(folder: string, name: string): Machine {
  const own = join(folder, name);
  mkdirSync(own);
  return new Machine(name, own);
}

/** Compares sorted texts, and names the first that differ. */
function same(found: readonly string[], expected: readonly string[], what: string): void {
  const missing = without(expected, found);
  const unexpected = without(found, expected);
  if (missing.length + unexpected.length === 0) return;
  const some = (texts: readonly string[]) => texts.slice(0, 3).join('\n  ');
  throw new Broken(
    `not so: ${what}\n${missing.length} missing:\n  ${some(missing)}\n${unexpected.length} unexpected:\n  ${some(unexpected)}`,
  );
}

function without(texts: readonly string[], taken: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const text of taken) left.set(text, (left.get(text) ?? 0) + 1);
  return texts.filter((text) => {
    const n = left.get(text) ?? 0;
    left.set(text, n - 1);
    return n <= 0;
  });
}
