/**
 * Puts a world in the place of what Node.js gives a process: time, timers, chance and threads; `disk-calls.ts` does so with
 * databases and files. It must be loaded before anything of taxiflow. Outside of a world, everything is as usual.
 */
import crypto from 'node:crypto';
import { EventEmitter } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import { Transform } from 'node:stream';
import threads from 'node:worker_threads';
import zlib from 'node:zlib';
import type { Process, World } from './world.ts';

let world: World | undefined;

/** The world in which code runs from now on; undefined for the real one. */
export function enter(entered: World | undefined): void {
  world = entered;
}

/** The process that runs. */
export function running(): Process | undefined {
  return world?.current;
}

const RealDate = Date;
const real = {
  random: Math.random,
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  setImmediate: globalThis.setImmediate,
  clearImmediate: globalThis.clearImmediate,
  timeout: AbortSignal.timeout,
  performanceNow: performance.now.bind(performance),
  randomUUID: crypto.randomUUID,
};

/** A real turn of the event loop: runs everything that needs no event, such as promises and ticks. */
export const turn = real.setImmediate;

/** Time by the clock of the process that runs. */
function now(): number {
  return world?.current ? world.timeOn(world.current.machine) : RealDate.now();
}

class WorldDate extends RealDate {
  constructor(...given: []) {
    if (given.length === 0) super(now());
    else super(...given);
  }

  static override now(): number {
    return now();
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof RealDate;
  }
}

/** A timer of a world, as far as anybody uses it. */
class Timer {
  readonly #of: Process;
  readonly #cancel: () => void;
  readonly ms: number;
  readonly from: string;

  constructor(of: Process, ms: number, cancel: () => void) {
    this.#of = of;
    this.ms = ms;
    this.from = world?.tell ? (new Error().stack ?? '') : '';
    this.#cancel = cancel;
    of.timers.add(this);
  }
  ref(): this {
    return this;
  }
  unref(): this {
    this.#of.timers.delete(this);
    return this;
  }
  hasRef(): boolean {
    return this.#of.timers.has(this);
  }
  clear(): void {
    this.#of.timers.delete(this);
    this.#cancel();
  }
}

/** A timer is never early, and often a little late. */
const LATE_MS = 2;

function timer(ms: number, again: boolean, ring: () => void): Timer {
  const [here, of] = [world!, world!.current!];
  const least = Math.max(1, Number.isFinite(ms) ? ms : 1);
  let event = next();
  const made = new Timer(of, ms, () => {
    event.isCancelled = true;
  });
  function next() {
    const late = here.chance('timer')() * LATE_MS;
    return here.after(least + late, of, '', () => {
      if (again) event = next();
      else of.timers.delete(made);
      ring();
    });
  }
  return made;
}

type Ring = (...args: unknown[]) => void;

function replaceTimers(): void {
  Object.assign(globalThis, {
    setTimeout: Object.assign(
      (ring: Ring, ms = 0, ...args: unknown[]) =>
        world?.current ? timer(ms, false, () => ring(...args)) : real.setTimeout(ring, ms, ...args),
      real.setTimeout,
    ),
    setInterval: (ring: Ring, ms = 0, ...args: unknown[]) =>
      world?.current ? timer(ms, true, () => ring(...args)) : real.setInterval(ring, ms, ...args),
    setImmediate: Object.assign((ring: Ring, ...args: unknown[]) => {
      if (!world?.current) return real.setImmediate(ring, ...args);
      const event = world.soon(world.current, '', () => ring(...args));
      return new Timer(world.current, 0, () => {
        event.isCancelled = true;
      }).unref();
    }, real.setImmediate),
    clearTimeout: (given: unknown) =>
      given instanceof Timer ? given.clear() : real.clearTimeout(given as never),
    clearInterval: (given: unknown) =>
      given instanceof Timer ? given.clear() : real.clearInterval(given as never),
    clearImmediate: (given: unknown) =>
      given instanceof Timer ? given.clear() : real.clearImmediate(given as never),
  });
  AbortSignal.timeout = (ms) => {
    if (!world?.current) return real.timeout.call(AbortSignal, ms);
    const controller = new AbortController();
    timer(ms, false, () =>
      controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')),
    ).unref();
    return controller.signal;
  };
}

function replaceChance(): void {
  Math.random = () => (world?.current ? world.chance('Math.random')() : real.random());
  crypto.randomUUID = (() => {
    if (!world?.current) return real.randomUUID();
    const random = world.chance('uuid');
    const digits = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('');
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }) as typeof crypto.randomUUID;
}

type Packed = (error: Error | null, bytes: Buffer) => void;

/** Threads end when they like; in a world, what they do is done at once. */
function replaceThreads(): void {
  const atOnce = (name: 'gzip' | 'gunzip', sync: 'gzipSync' | 'gunzipSync') => {
    const usual = zlib[name] as (...args: unknown[]) => void;
    const instead = (bytes: Buffer, options: object | Packed, done?: Packed) => {
      if (!world?.current) return usual(bytes, options, done);
      const tell = typeof options === 'function' ? (options as Packed) : done!;
      const given = typeof options === 'function' ? {} : options;
      let made: Buffer;
      try {
        made = zlib[sync](bytes, given);
      } catch (error) {
        return process.nextTick(tell, error as Error, Buffer.alloc(0));
      }
      process.nextTick(tell, null, made);
    };
    (zlib as unknown as Record<string, unknown>)[name] = instead;
  };
  atOnce('gzip', 'gzipSync');
  atOnce('gunzip', 'gunzipSync');
  streamAtOnce('createGzip', 'gzipSync');
  streamAtOnce('createGunzip', 'gunzipSync');
  const { Worker } = threads;
  threads.Worker = new Proxy(Worker, {
    construct: (usual, [file, options]) =>
      world?.current
        ? new Thread((options as { workerData: unknown } | undefined)?.workerData)
        : new usual(file, options),
  });
}

/** Packs or unpacks all of a stream at its end. */
function streamAtOnce(name: 'createGzip' | 'createGunzip', sync: 'gzipSync' | 'gunzipSync'): void {
  const usual = zlib[name] as (options?: object) => Transform;
  const instead = (options: object = {}) => {
    if (!world?.current) return usual(options);
    const pieces: Buffer[] = [];
    const stream = new Transform({
      transform: (piece: Buffer, _, done) => {
        pieces.push(piece);
        Object.assign(stream, { bytesWritten: stream.bytesWritten + piece.length });
        done();
      },
      flush: (done) => {
        try {
          done(null, zlib[sync](Buffer.concat(pieces), options));
        } catch (error) {
          done(error as Error);
        }
      },
    }) as Transform & { readonly bytesWritten: number };
    return Object.assign(stream, { bytesWritten: 0 });
  };
  Object.defineProperty(zlib, name, { value: instead });
}

/** What threads do, since a world has none. */
let work: (data: unknown) => Promise<unknown> = () => Promise.reject(new Error('no work is known'));

/** Says what a thread does with its data; what it resolves to is its message. */
export function workOfThreads(given: typeof work): void {
  work = given;
}

/** A thread whose work is done by the process itself, and whose message arrives a little later. */
class Thread extends EventEmitter {
  constructor(data: unknown) {
    super();
    if (data !== undefined) this.postMessage(data);
  }

  postMessage(data: unknown): void {
    const [here, of] = [world!, world!.current!];
    const tell = (what: string, value: unknown) =>
      here.after(50 * here.chance('thread')(), of, 'a thread ends', () => this.emit(what, value));
    work(data).then(
      (message) => tell('message', message),
      (error: unknown) => tell('error', error),
    );
  }

  async terminate(): Promise<number> {
    return 0;
  }
}

globalThis.Date = WorldDate as DateConstructor;
performance.now = () =>
  world?.current ? world.now - Math.floor(world.now / 1e9) * 1e9 : real.performanceNow();
replaceTimers();
replaceChance();
replaceThreads();
syncBuiltinESMExports();
