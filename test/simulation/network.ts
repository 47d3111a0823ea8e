/** Requests of a process to a server: when they arrive, whether the answer does, and what the client is told otherwise. */
import { CONNECTION, type Faults, type Server } from './faults.ts';
import type { Process, World } from './world.ts';

/** What a client sees of a connection that fails. */
export type Failure = 'refused' | 'reset' | 'silent' | 'unavailable';

/** The process has nobody left who waits, or the request was given up. */
export class NoAnswer extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure);
    this.failure = failure;
  }
}

const USUAL_MS = 15;
const SLOW_MS = 3_000;
/** Clients give up after so long without a word. */
const SILENT_MS = 4_000;
/** A request that was given up may be carried out so much later. */
const LATE_MS = 10_000;

export interface Request<T> {
  readonly server: Server;
  /** Its kind: `PutRecords`. */
  readonly name: string;
  /** Done when it arrives. What it throws is the answer too. */
  readonly serve: () => T;
  /** A fault that the server itself meets, in place of the connection's. */
  readonly isHit?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export class Network {
  readonly #world: World;
  readonly #faults: Faults;

  constructor(world: World, faults: Faults) {
    this.#world = world;
    this.#faults = faults;
  }

  /** The answer of a server, or `NoAnswer`; it never comes to a process that was killed. */
  ask<T>({ server, name, serve, signal }: Request<T>): Promise<T> {
    const world = this.#world;
    const of = world.current!;
    const random = world.chance(`network ${name}`);
    const fault = this.#faults.of(server, name, CONNECTION);
    const there = USUAL_MS * random() ** 3;
    const back = USUAL_MS * random() ** 3 + (fault === 'slow' ? SLOW_MS * random() : 0);
    return new Promise<T>((settle, refuse) => {
      const aborted = () => reject(signal!.reason);
      const over = () => signal?.removeEventListener('abort', aborted);
      const resolve = (answer: T) => {
        over();
        settle(answer);
      };
      const reject = (error: unknown) => {
        over();
        refuse(error);
      };
      const tell = (ms: number, what: string, how: () => void) => world.after(ms, of, what, how);
      const fail = (ms: number, failure: Failure) =>
        tell(ms, `${name}: ${failure}`, () => reject(new NoAnswer(failure)));
      const carryOut = () => {
        try {
          serve();
        } catch {
          // Nobody is told.
        }
      };
      if (signal?.aborted) return aborted();
      signal?.addEventListener('abort', aborted);
      switch (fault) {
        case 'refused':
          return void fail(there, 'refused');
        case 'reset':
          return void fail(there + back, 'reset');
        case 'unavailable':
          return void fail(there + back, 'unavailable');
        case 'silent':
          if (random() < 0.5) world.after(there, undefined, `${name} without a word`, carryOut);
          return void fail(SILENT_MS, 'silent');
        case 'answer-lost':
          world.after(there, undefined, `${name}, its answer lost`, carryOut);
          return void fail(there + back, 'reset');
        case 'carried-out-later':
          world.after(LATE_MS * random(), undefined, `${name}, late`, carryOut);
          return void fail(there + back, 'reset');
        default:
          world.after(there, undefined, `${name} arrives`, () => {
            try {
              const answer = serve();
              tell(back, `${name}: answered`, () => resolve(answer));
            } catch (error) {
              tell(back, `${name}: ${(error as Error).name}`, () => reject(error));
            }
          });
      }
    });
  }
}

/** The processes of a world, for what belongs to one of them. */
export type { Process };
