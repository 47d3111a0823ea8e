/**
 * A world with one clock, in which whatever happens is an event in a queue: its order comes from the seed alone. A process
 * of the world is real code; nothing of it runs between two events.
 */
import { type Random, randomNumbers } from '../random.ts';
import { turn } from './surroundings.ts';

/** What Node.js counts as work of the file system under way. */
const FILE_WORK = /^(FS|CloseReq)/;
/** Ms; a turn of the event loop takes a little. */
const TURN_MS = 0.02;

/** A machine with a clock of its own; its processes come and go. */
export class Machine {
  readonly name: string;
  /** Its folder, which outlives its processes. */
  readonly folder: string;
  /** Ms by which its clock is ahead. */
  ahead = 0;
  /** Nothing of it runs until this time. */
  stalledUntil = Number.NEGATIVE_INFINITY;

  constructor(name: string, folder: string) {
    this.name = name;
    this.folder = folder;
  }
}

/** What a process has opened and not closed, and how to take it away. */
export type Opened = Map<object, () => void>;

export class Process {
  readonly name: string;
  readonly machine: Machine;
  alive = true;
  readonly opened: Opened = new Map();
  /** Timers that would keep it from ending. */
  readonly timers = new Set<{ readonly ms: number; readonly from: string }>();

  constructor(name: string, machine: Machine) {
    this.name = name;
    this.machine = machine;
  }
}

export interface Scheduled {
  readonly at: number;
  /** Orders events of one time. */
  readonly order: number;
  readonly of: Process | undefined;
  readonly what: string;
  readonly happen: () => void;
  isCancelled: boolean;
}

/** What is wrong, and since when. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

export class World {
  /** True time, epoch ms. */
  now: number;
  /** The process that runs. */
  current: Process | undefined;
  /** Events so far. */
  events = 0;
  /** Tells what happens, if somebody listens. */
  tell: ((line: string) => void) | undefined;
  /** Of all that happened, in its order. */
  digest = 0;
  readonly #seed: number;
  readonly #order: Random;
  readonly #queue: Scheduled[] = [];
  readonly #counts = new Map<string, number>();
  #broken: unknown;

  constructor(seed: number, now: number) {
    this.#seed = seed;
    this.now = now;
    this.#order = randomNumbers(seed);
  }

  /** Random numbers of one occasion: the same for the same seed, whatever else happens. */
  chance(occasion: string): Random {
    const count = (this.#counts.get(occasion) ?? 0) + 1;
    this.#counts.set(occasion, count);
    return randomNumbers(hash(`${this.#seed} ${occasion} ${count}`));
  }

  /** How often an occasion came up. */
  count(occasion: string): number {
    return this.#counts.get(occasion) ?? 0;
  }

  /** Lets something happen in `ms`, in a process as long as it lives. */
  after(ms: number, of: Process | undefined, what: string, happen: () => void): Scheduled {
    const event = {
      at: this.now + Math.max(0, ms),
      order: this.#order(),
      of,
      what,
      happen,
      isCancelled: false,
    };
    push(this.#queue, event);
    return event;
  }

  /** In the next turn of a process. */
  soon(of: Process | undefined, what: string, happen: () => void): Scheduled {
    return this.after(TURN_MS, of, what, happen);
  }

  /** A process that begins with `main`; the promise is of its end, and never settles if it is killed. */
  start(name: string, machine: Machine, main: () => Promise<void>): Process {
    const process = new Process(name, machine);
    this.soon(process, 'starts', () => void main());
    return process;
  }

  /** Ends a process where it is: what it waits for never comes, and files are as they are. */
  kill(process: Process): void {
    if (!process.alive) return;
    process.alive = false;
    this.say(process, 'is killed');
    // What was opened last may be in the way of what was before it.
    for (const close of [...process.opened.values()].reverse()) close();
  }

  /** Time by a machine's clock, epoch ms. */
  timeOn({ ahead }: Machine): number {
    return Math.floor(this.now + ahead);
  }

  say(of: Process | undefined, what: string): void {
    this.tell?.(`${(this.now % 86_400_000).toFixed(2).padStart(11)} ${of?.name ?? '-'}: ${what}`);
  }

  /** Notes that an invariant does not hold; the run ends there. */
  broken(error: unknown): void {
    this.#broken ??= error;
  }

  /** Lets events happen until `isOver`; throws what is broken, or if it takes more than `ms`. */
  async run(isOver: () => boolean, ms: number): Promise<void> {
    const deadline = this.now + ms;
    while (!isOver()) {
      const event = pop(this.#queue);
      if (!event) throw new Broken('nothing is left that could happen');
      if (event.isCancelled || (event.of && !event.of.alive)) continue;
      const stalled = event.of ? event.of.machine.stalledUntil : Number.NEGATIVE_INFINITY;
      if (stalled > event.at) {
        push(this.#queue, { ...event, at: stalled, happen: () => event.isCancelled || event.happen() });
        continue;
      }
      if (event.at > deadline) throw new Broken(`not over after ${ms / 1_000} s`);
      this.now = Math.max(this.now, event.at);
      this.events++;
      this.digest = hash(`${this.digest} ${event.of?.name} ${event.what} ${this.now}`);
      if (this.tell && event.what !== '') this.say(event.of, event.what);
      this.current = event.of;
      event.happen();
      await settled();
      this.current = undefined;
      if (this.#broken !== undefined) throw this.#broken;
    }
  }
}

/** Resolves when everything waits for an event. */
async function settled(): Promise<void> {
  await new Promise(turn);
  while (process.getActiveResourcesInfo().some((what) => FILE_WORK.test(what))) {
    await new Promise(turn);
    await new Promise(turn);
  }
}

/** FNV-1a, and a last mix so that neighbours differ. */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}

const isBefore = (a: Scheduled, b: Scheduled) => a.at < b.at || (a.at === b.at && a.order < b.order);

function push(heap: Scheduled[], event: Scheduled): void {
  let at = heap.push(event) - 1;
  while (at > 0) {
    const up = (at - 1) >> 1;
    if (!isBefore(event, heap[up]!)) break;
    heap[at] = heap[up]!;
    at = up;
  }
  heap[at] = event;
}

function pop(heap: Scheduled[]): Scheduled | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (!last || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let down = 2 * at + 1;
    if (down >= heap.length) break;
    if (down + 1 < heap.length && isBefore(heap[down + 1]!, heap[down]!)) down++;
    if (!isBefore(heap[down]!, last)) break;
    heap[at] = heap[down]!;
    at = down;
  }
  heap[at] = last;
  return first;
}
