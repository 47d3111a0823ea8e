/**
 * One seed: the whole line, from files to sinks, in a world of its own. Replay and processor are killed and run again, the
 * stream is resharded, and every server fails in its ways; then the faults stop, and what is there must be what a naive
 * group-by says.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { openProcessor, type ProcessSummary } from '../../src/app/processor.ts';
import type { ProcessorOptions } from '../../src/app/processor-options.ts';
import { openReplay } from '../../src/app/replay.ts';
import type { Checkpoint } from '../../src/engine/state-store.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { TRIP_FIELD_NAMES, type Trip } from '../../src/events/trip.ts';
import { copyState } from '../../src/savepoints/savepoints.ts';
import { dayFiles } from '../../src/sinks/archive/files.ts';
import { Outbox } from '../../src/state/outbox.ts';
import { SqliteState } from '../../src/state/store.ts';
import { openAdmin, parseTarget } from '../../src/streams/connectors.ts';
import { type Random, randomNumbers } from '../random.ts';
import type { Snapshot } from '../sinks/opensearch-model.ts';
import { filesIn, halfOf, textOf, tripsIn } from './archive.ts';
import { type Contents, StreamChecks } from './checks.ts';
import { Disks } from './disk.ts';
import { answerDisk } from './disk-calls.ts';
import { Faults } from './faults.ts';
import { answerKinesis, KinesisModel } from './kinesis-model.ts';
import { Network } from './network.ts';
import { Operator } from './operator.ts';
import { Reads } from './reads.ts';
import { answerS3, S3Model } from './s3-model.ts';
import { answerHttp, SearchModel } from './search-model.ts';
import { planTroubles } from './search-troubles.ts';
import { setUp } from './setups.ts';
import { enter, running, workOfThreads } from './surroundings.ts';
import {
  foreignTrip,
  GARBAGE,
  type JudgedTrip,
  lastOf,
  ROW_FIELDS,
  resultsOf,
  textsOf,
  type Workload,
  workloadOf,
} from './workload.ts';
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
const PASSES: ReadonlySet<string> = new Set(['kinesis-unreachable', 'kinesis-bad-answer', 'not-kinesis', 'kinesis-error', 'interrupted', 'opensearch-behind', 'unsupported-server', 'opensearch-unauthorized', 'opensearch-forbidden', 'taken-over', 'no-stream', 's3-unreachable', 's3-throttled', 's3-changed', 'archive-behind', 'disk-full']); // biome-ignore format: one list

/** `es-setup` waits for nobody. */
const SETUP_PASSES: ReadonlySet<string> = new Set(['opensearch-blocked', 'opensearch-bad-answer', 'opensearch-unreachable', 'opensearch-refused']); // biome-ignore format: one list

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
  if (Array.isArray(data)) return { files: dayFiles(data as Uint8Array[]) };
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
  answerDisk(line.disks);
  enter(world);
  Object.assign(globalThis, { simulatedMemory: line.memoryLimit });
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
    answerDisk(undefined);
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
  if (!running() || !watching) return commit.call(this, checkpoint);
  // It may be killed once it has committed.
  watching.commits(this, checkpoint);
  let blocks = 0;
  const counted = function* () {
    for (const block of checkpoint.blocks) {
      blocks++;
      yield block;
    }
  };
  commit.call(this, { ...checkpoint, blocks: counted() });
  if (running()) watching.committed(this, checkpoint, blocks);
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
  readonly #roles = new Set<Role>();
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
  readonly #stream: string;
  #output: string;
  /** Path or address of the trips. */
  readonly #source: string;
  /** Places of the archive: a state that is set back begins another. */
  readonly #archives: string[];
  readonly #replay = roleOf('replay');
  readonly #processor = roleOf('processor');
  readonly #standby = roleOf('standby');
  #isReplayed = false;
  /** The last run of the processor, to the end of the stream. */
  #last: ProcessSummary | undefined;
  #lives = 0;
  readonly #operator = roleOf('operator');
  readonly #second = roleOf('second processor');
  readonly #savepoints: Operator;
  /** What the operator is at. */
  #task: (() => Promise<void>) | undefined;
  /** The processor waits for a state. */
  #isHeld = false;
  readonly disks: Disks;
  /** Nothing of the processor runs until then, epoch ms. */
  #awayUntil = BEGIN;
  /** Since records were lost to the processor, somebody has let it go on. */
  #allowsGap: boolean;
  readonly #allowed = new WeakSet<Process>();
  /** By the state of a process: how far its cursor came. */
  readonly #delivered = new WeakMap<Outbox, number>();

  /** Bytes for open windows. */
  get memoryLimit(): number | undefined {
    return this.#load.memoryLimit;
  }

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
    this.#worker = machineIn(folder, 'worker');
    this.#replayer = this.#load.isEmbedded ? this.#worker : machineIn(folder, 'replayer');
    this.#stream = this.#load.isEmbedded ? 'local:trips' : 'kinesis:trips';
    this.#other = machineIn(folder, 'other');
    this.#output = join(folder, 'results.ndjson');
    this.#archives = [this.#load.archive === 's3' ? 's3://states/trips' : join(folder, 'archive')];
    this.#savepoints = new Operator(this.#worker.folder);
    this.disks = new Disks({
      world,
      faults,
      root: folder,
      logPages: 1 + Math.floor(this.#random() ** 3 * 200),
      processes: this.processes,
      onKill: (process, details) => {
        for (const role of this.#roles) if (role.process === process) this.#kill(role, details);
      },
      onCut: (machine, details) => this.#cut(machine, details),
    });
    this.#source = this.#place(folder);
  }

  /** Puts the file of trips where it is read. */
  #place(folder: string): string {
    const { source, csv } = this.#load;
    const name = source === 's3, packed' ? 'trips.csv.gz' : 'trips.csv';
    if (source === 'disk') writeFileSync(join(folder, name), csv);
    else this.#s3.put(name, source === 's3' ? Buffer.from(csv) : gzipSync(csv));
    return source === 'disk' ? join(folder, name) : `s3://trips/${name}`;
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
    if (!this.#load.isEmbedded) this.#checks.afterReplay();
    await this.#finish();
    this.#checkResults();
    this.#savepoints.check();
    if (this.#load.archive) await this.#checkArchive();
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
    plan('power cut', 3, (details) => this.#cut(machineOf(details), details));
    plan('kill operator', 2, (details) => this.#kill(this.#operator, details));
    plan('savepoint', 2, () => this.#operate(() => this.#savepoints.create()));
    if (this.#canBeSetBack) plan('set back', 1, (details) => this.#setBack(details));
    if (!this.#load.isRemote) plan('second processor', 1, () => this.#startSecond());
    plan('stall', this.#load.isRemote ? 5 : 2, (details) => {
      const machine = machineOf(details);
      machine.stalledUntil = this.#world.now + details() ** 2 * 30_000;
    });
    plan('clock', 2, (details) => {
      const machine = machineOf(details);
      machine.ahead += (details() - 0.5) * 120_000;
    });
    plan('reshard', 5, (details) => this.#reshard(details));
    if (!this.#load.isEmbedded)
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

  /** In a process of its own, one thing at a time. */
  #operate(task: () => Promise<void>): void {
    if (this.#task) return;
    this.#task = task;
    this.#start(this.#operator, this.#worker, async () => {
      await this.#task?.();
      this.#task = undefined;
    });
  }

  /** C4: a second process of the same state is refused for as long as the first one has it. */
  #startSecond(): void {
    const { process: first } = this.#processor;
    const holds = () => [...(first?.opened.keys() ?? [])].some(isLock) && first!.alive;
    this.#start(this.#second, this.#worker, async () => {
      const wasHeld = holds();
      try {
        const processor = await openProcessor({ ...this.#options(this.#worker, {}), untilEnd: false });
        if (wasHeld && holds()) this.#world.broken(new Broken('C4: a state has two processors'));
        await processor.close();
      } catch (error) {
        if (!(error instanceof TaxiflowError && error.code === 'app-running')) throw error;
      }
    });
  }

  /**
   * A state in S3 has its own way back. Results that are removed can't be sent again, and what was corrected since may be right at once,
   * so that nobody takes back what was sent before.
   */
  get #canBeSetBack(): boolean {
    const { isRemote, isAway, retain, allowedLateness, hasForeign } = this.#load;
    return !isRemote && !isAway && retain === undefined && (allowedLateness === 0 || !hasForeign);
  }

  /** The job is stopped, and goes on from an earlier savepoint, with another file. */
  #setBack(details: Random): void {
    const { savepoints } = this.#savepoints;
    if (this.#task) return;
    if (savepoints.length === 0) {
      this.#operate(() => this.#savepoints.create());
      this.#world.after(details() * 20_000, undefined, 'set back', () => {
        if (savepoints.length > 0 && !this.#faults.areOver) this.#setBack(details);
      });
      return;
    }
    const savepoint = savepoints[Math.floor(details() * savepoints.length)]!;
    this.#isHeld = true;
    this.#kill(this.#processor, details);
    if (this.#processor.again) this.#processor.again.isCancelled = true;
    this.#output = `${this.#output}.${this.#lives}`;
    this.#archives.unshift(`${this.#archives[0]}-${this.#lives}`);
    this.#faults.state = 'set back';
    // A request of the process before may still arrive, and its place is in the later state alone.
    this.#awayUntil = Math.max(this.#awayUntil, this.#world.now + SEEN_MS);
    let tries = 0;
    this.#operate(async () => {
      await this.#savepoints.restore(savepoint, tries++ === 0);
      this.#isHeld = false;
      this.#startLater(this.#processor, 500);
    });
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
    plan('documents-deleted', 1, (details) => {
      const share = details() < 0.5 ? 1 : details();
      server.empty(viewIn(details), () => details() < share);
    });
    planTroubles(plan, this.#world, this.#search);
    plan('snapshot', 1, () => {
      snapshot = server.snapshot();
    });
    plan('restored', 1, () => server.restore(snapshot));
    plan('es-setup', 2, (details) => this.#setUp(details() < 0.3));
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

  /** A person sets up the server, by a process that may be killed; `onDone` is told how many steps it took. */
  #setUp(isKilled: boolean, onDone = (_steps: number) => {}): void {
    const role = roleOf('es-setup');
    this.#start(role, this.#replayer, async () => onDone(await setUp(this.#load.views, this.#search)));
    if (!isKilled) return;
    const random = this.#world.chance('es-setup');
    this.#world.after(random() * 100, undefined, 'kill es-setup', () => this.#kill(role, random));
  }

  /** Where nobody is in the way, a plan that was carried out is followed by one without steps. */
  async #checkSetUp(): Promise<void> {
    const steps: number[] = [];
    for (let n = 1; n <= 2; n++) {
      this.#setUp(false, (done) => steps.push(done));
      await this.#world.run(() => steps.length === n, PATIENCE_MS);
    }
    if (steps[1] !== 0) throw new Broken(`es-setup finds ${steps[1]} steps left after its own`);
  }

  /** Splits a shard, or merges two. */
  #reshard(details: Random): void {
    this.#faults.state = 'resharded';
    if (this.#load.isEmbedded) {
      this.#start(roleOf('reshard'), this.#worker, () => reshardEmbedded(this.#worker, details));
      return;
    }
    const open = this.#kinesis.openShards;
    const at = Math.floor(details() * open.length);
    const next = open[at + 1];
    if (details() < 0.4 && next) this.#kinesis.merge(open[at]!, next);
    else if (open.length < 6) this.#kinesis.split(open[at]!);
  }

  #kill(role: Role, details: Random): void {
    if (!role.process?.alive) return;
    this.disks.kill(role.process);
    this.#faults.state = 'after a kill';
    this.#startLater(role, 200 + details() ** 2 * 15_000);
  }

  /** A machine is without power for a while. */
  #cut(machine: Machine, details: Random): void {
    const isPending = ({ again }: Role) =>
      again !== undefined && !again.isCancelled && again.at > this.#world.now;
    const hit = [...this.#roles].filter(
      (role) => role.process?.machine === machine && (role.process.alive || isPending(role)),
    );
    this.disks.cut(machine, details);
    this.#faults.state = 'after a cut';
    for (const role of hit) this.#startLater(role, 200 + details() ** 2 * 15_000);
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
        paths: [this.#source],
        dataDir: this.#replayer.folder,
        stream: this.#stream,
        shards: this.#load.shards,
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
      stream: this.#stream,
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
      ...(this.#load.archive
        ? { archive: this.#archives[0], archiveInterval: this.#load.archiveInterval }
        : {}),
      onTrouble: (_, why) => this.#world.say(this.#world.current, `TROUBLE ${why}`),
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
          if (error instanceof TaxiflowError && error.code === 'taken-over' && this.#s3.isOwnedBy(process))
            return world.broken(new Broken('H3: a process takes a head of its own for that of another'));
          if (!(error instanceof TaxiflowError) || !this.#mayFail(process, error)) return world.broken(error);
          world.say(process, `ends: ${error.code}: ${error.message}`);
          this.#startLater(role, 1_000);
        }
        world.after(ENDS_MS, process, '', () => {
          process.alive = false;
          this.#checks.ended(process);
        });
      });
      role.process = process;
      this.#roles.add(role);
      this.processes.add(process);
    };
    if (role.again) role.again.isCancelled = true;
    role.start();
  }

  /** Whether a run may end with this error, and be run again. */
  #mayFail(process: Process, error: TaxiflowError): boolean {
    const { code } = error;
    // Who has been taken over and does not know it yet finds the files of who did it.
    if (code === 'output-in-use' && this.#load.isRemote && !this.#s3.isOwnedBy(process)) return true;
    if (code === 'app-running' && this.#second.process?.alive) return true;
    if (process.name.startsWith('es-setup') && SETUP_PASSES.has(code)) return true;
    if (code !== 'gap') return PASSES.has(code) || this.disks.excuses(process, code);
    if (this.#allowed.has(process)) return false;
    this.#reads.refused(process, this.began.get(process)?.stored, error);
    this.#faults.note(`gap of ${process.name}`, 'plan gap');
    this.#allowsGap = true;
    return true;
  }

  #startLater(role: Role, ms: number): void {
    if (role.again) role.again.isCancelled = true;
    if (role === this.#processor && this.#isHeld) return;
    const least = role === this.#replay ? 0 : this.#awayUntil - this.#world.now;
    role.again = this.#world.after(Math.max(ms, least), undefined, `${role.name} is started again`, () => {
      this.#checkWhole();
      role.start();
    });
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
    await world.run(() => !this.#task, PATIENCE_MS);
    for (const role of [this.#processor, this.#standby]) await this.#end(role);
    const machine = this.#load.isRemote && this.#random() < 0.5 ? this.#other : this.#worker;
    // What was written last is seen by readers.
    let isSeen = false;
    world.after(SEEN_MS, undefined, 'all is seen', () => {
      isSeen = true;
    });
    await world.run(() => isSeen, PATIENCE_MS);
    if (this.#load.opensearch) await this.#checkSetUp();
    this.#start(this.#processor, machine, async () => {
      const processor = await openProcessor(this.#options(machine, { untilEnd: true, drain: true }));
      this.#last = await processor.run();
    });
    await world.run(() => this.#last !== undefined, PATIENCE_MS);
  }

  commits(state: SqliteState, checkpoint: Checkpoint): void {
    if (this.#load.isEmbedded) return;
    this.#reads.commits(running()!, state.stored, checkpoint, this.#allowed.has(running()!));
  }

  committed(state: SqliteState, checkpoint: Checkpoint, blocks: number): void {
    this.#checks.committed(state, checkpoint, !this.#load.hasForeign);
    // Windows that leave memory are written whole, at any checkpoint.
    if (this.memoryLimit === undefined) this.#checks.wrote(state, checkpoint, blocks);
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

  /** C11, as whoever reads the archive now and then sees it. */
  #checkWhole(): void {
    if (this.#load.archive !== 'folder') return;
    const half = halfOf(this.#archives.flatMap(filesIn));
    if (half !== undefined) throw new Broken(`C11: ${half} is half a file`);
  }

  /** C11 */
  async #checkArchive(): Promise<void> {
    const files = this.#archives.flatMap((place) =>
      this.#load.archive === 's3' ? this.#s3.under(place.replace('s3://states/', '')) : filesIn(place),
    );
    // What the replay adds to a row is seen in the Kinesis model alone.
    const fields = this.#load.isEmbedded ? ROW_FIELDS : TRIP_FIELD_NAMES;
    const found = await tripsIn(files, fields);
    const expected = this.#contents()
      .trips.map(({ trip }) => textOf(trip, fields))
      .sort();
    // Trips from before the savepoint are in the place before, with those that came after it.
    if (this.#archives.length === 1) same(found, expected, 'the archive holds each trip once (C11)');
    else
      same(
        expected,
        expected.filter((text) => found.includes(text)),
        'no trip is missing in the archives (C11)',
      );
  }

  /** What the processor has read of the stream. Nobody but the replay writes to an embedded one. */
  #contents(): Contents {
    const { isEmbedded, trips } = this.#load;
    if (isEmbedded) return { trips: untimed(trips), dead: 0, isWhole: true };
    const process = this.#processor.process!;
    return this.#checks.contents(this.#reads.readBy(process), this.#reads.hadBy(process));
  }

  #checkResults(): void {
    const { totals, lost } = this.#last!;
    const { views, trips, hasForeign, allowedLateness } = this.#load;
    if (!this.#load.isEmbedded) this.#reads.ended(this.#processor.process!, lost);
    else if (lost.length > 0) throw new Broken(`nothing was lost, and the run says so: ${lost.join()}`);
    const contents = this.#contents();
    this.#world.say(undefined, `totals ${JSON.stringify(totals)}`);
    const expected = resultsOf(views, contents.trips, allowedLateness);
    if (!hasForeign && contents.isWhole) {
      same(
        expected,
        resultsOf(views, untimed(trips), 0),
        'no trip of the replay is behind its watermark (W1)',
      );
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

/** Splits a shard of the embedded stream, or merges two. */
async function reshardEmbedded({ folder }: Machine, details: Random): Promise<void> {
  const admin = await openAdmin(parseTarget('local:trips'), { dataDir: folder });
  const open = (await admin.describe())
    .filter((shard) => shard.open)
    .sort((a, b) => (BigInt(a.first_hash_key) < BigInt(b.first_hash_key) ? -1 : 1));
  const at = Math.floor(details() * open.length);
  const next = open[at + 1];
  if (details() < 0.4 && next) await admin.merge(open[at]!.shard, next.shard);
  else if (open.length < 6) await admin.split(open[at]!.shard);
  admin.close();
}
const isLock = (one: object) => 'name' in one && String(one.name).endsWith('.sqlite.lock');

/** Trips of which none is late. */
function untimed(trips: readonly Trip[]): JudgedTrip[] {
  return trips.map((trip) => ({ trip, watermark: Number.NEGATIVE_INFINITY }));
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
