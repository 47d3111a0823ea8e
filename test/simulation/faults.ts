/**
 * What goes wrong, where, and how often it did. Whether a request meets a fault depends on the seed, the kind of request and
 * its number among those, so a fault can be left out and the others stay.
 */
import { type Random, randomNumbers } from '../random.ts';
import { hash, type World } from './world.ts';

/** Of a connection to any server. */
export const CONNECTION = [
  'refused',
  'reset',
  'answer-lost',
  'silent',
  'carried-out-later',
  'unavailable',
  'slow',
] as const;

/** By server; each can happen to a request of it. */
export const KINDS = {
  kinesis: [...CONNECTION, 'throttled', 'failed-though-done', 'iterator-expired', 'token-expired', 'rubbish', 'some-refused', 'some-stored-though-refused', 'late-to-be-seen', 'few-records', 'no-records', 'tip-lie'],
  opensearch: [...CONNECTION, 'too-many-requests', 'some-turned-away', 'some-unavailable', 'blocked', 'rubbish', 'another-answer', 'broken-off', 'too-large'],
  s3: [...CONNECTION, 'throttled', 'torn', 'conflict'],
  /** At a call of SQLite or of a file. */
  disk: ['killed-before', 'killed-after', 'power-cut', 'full', 'io-error', 'too-many-files', 'statement-fails'],
  /** Planned, once each at a time of its own. */
  plan: ['kill replay', 'kill processor', 'kill standby', 'kill operator', 'power cut', 'savepoint', 'set back', 'second processor', 'stall', 'clock', 'reshard', 'list-lags', 'foreign trip', 'foreign record', 'away', 'gap', 'records expired', 'shard expired', 'rollover', 'index-deleted', 'alias-swapped', 'documents-deleted', 'snapshot', 'restored', 'blocked-index', 'closed-index', 'disk-full', 'no-write-index', 'mapping-changed', 'template-deleted', 'unauthorized', 'restarted', 'es-setup'],
} as const; // biome-ignore format: a server a line

export type Server = Exclude<keyof typeof KINDS, 'plan'>;

const RATES = [0.005, 0.02, 0.08, 0.25];
/** Requests to OpenSearch and S3 are few. Calls of the disk are many, and a process that never comes to anything shows nothing. */
const OFTEN: Readonly<Record<string, number>> = {
  'opensearch some-turned-away': 20,
  'opensearch some-unavailable': 20,
  'opensearch blocked': 10,
  'opensearch rubbish': 2,
  'opensearch too-large': 10,
  s3: 2,
  disk: 1 / 14,
  'disk statement-fails': 1 / 1_000,
};

export class Faults {
  /** Those that happened, in order, by name. */
  readonly happened: string[] = [];
  /** By kind and state of the run: how often. */
  readonly coverage = new Map<string, number>();
  /** None from here on. */
  areOver = false;
  /** What the run is doing, for the coverage. */
  state = 'first run';
  /** Names of those that may happen, to find the few that matter. */
  readonly #only: ReadonlySet<string> | undefined;
  readonly #world: World;
  readonly #rates = new Map<string, number>();
  readonly #seed: number;
  readonly #counts = new Map<string, number>();

  constructor(world: World, seed: number, only: ReadonlySet<string> | undefined) {
    this.#world = world;
    this.#seed = seed;
    this.#only = only;
    // Some seeds meet few kinds often, some many seldom.
    const random = randomNumbers(hash(`${seed} rates`));
    const share = random();
    for (const server of ['kinesis', 'opensearch', 's3', 'disk'] as const)
      for (const kind of KINDS[server])
        if (random() < share) {
          const rate = RATES[Math.floor(random() * RATES.length)]!;
          this.#rates.set(
            `${server} ${kind}`,
            Math.min(0.5, rate * (OFTEN[`${server} ${kind}`] ?? OFTEN[server] ?? 1)),
          );
        }
  }

  /** The fault that a request meets, of those that are possible. */
  of<K extends string>(server: Server, request: string, possible: readonly K[]): K | undefined {
    const count = (this.#counts.get(request) ?? 0) + 1;
    this.#counts.set(request, count);
    if (this.areOver) return undefined;
    const random = randomNumbers(hash(`${this.#seed} ${request} ${count}`));
    for (const kind of possible) {
      const rate = this.#rates.get(`${server} ${kind}`) ?? 0;
      if (random() < rate) {
        if (this.note(`${request}#${count}:${kind}`, `${server} ${kind}`)) return kind;
        return undefined;
      }
    }
    return undefined;
  }

  /** Random numbers for the details of a fault. */
  details(request: string): Random {
    return randomNumbers(hash(`${this.#seed} ${request} ${this.#counts.get(request)} details`));
  }

  /** Counts a fault; false where it is left out. */
  note(name: string, kind: string): boolean {
    if (this.#only && !this.#only.has(name)) return false;
    this.happened.push(name);
    const cell = `${kind}\t${this.state}`;
    this.coverage.set(cell, (this.coverage.get(cell) ?? 0) + 1);
    this.#world.say(this.#world.current, `FAULT ${name}`);
    return true;
  }
}
