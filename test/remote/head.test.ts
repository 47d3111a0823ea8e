/** The protocol of the head (H1–H3), with several processors, lost answers, failures and stalls at every request. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TaxiflowError } from '../../src/errors.ts';
import { type HeadContent, OwnHead, readHead } from '../../src/remote/head.ts';
import type { Condition, ObjectStore } from '../../src/s3/object-store.ts';
import { type Random, randomNumbers } from '../random.ts';

const KEY = 'job/head.json';

/** One object of S3, whose requests fail, lose their answers and wait for their turn. */
class OneObject {
  /** Every version there ever was. */
  readonly history: HeadContent[] = [];
  #etag = 0;
  readonly #random: Random;
  readonly #faults: number;
  readonly #turn: () => Promise<void>;

  constructor(random: Random, faults: number, turn: () => Promise<void>) {
    this.#random = random;
    this.#faults = faults;
    this.#turn = turn;
  }

  url(key: string): string {
    return `s3://bucket/${key}`;
  }

  async get(): Promise<{ bytes: Buffer; etag: string } | undefined> {
    await this.#turn();
    this.#mayFail();
    const now = this.history.at(-1);
    const found = now && { bytes: Buffer.from(JSON.stringify(now)), etag: String(this.#etag) };
    await this.#turn();
    return found;
  }

  async put(_: string, body: Uint8Array, condition: Condition): Promise<string> {
    await this.#turn();
    this.#mayFail();
    const isFree =
      'IfMatch' in condition
        ? condition.IfMatch === String(this.#etag)
        : 'IfNoneMatch' in condition && this.#etag === 0;
    if (!isFree) throw new TaxiflowError('s3-changed', 'it changed');
    this.history.push(JSON.parse(Buffer.from(body).toString()) as HeadContent);
    const etag = String(++this.#etag);
    await this.#turn();
    // The answer is lost on its way.
    this.#mayFail();
    return etag;
  }

  #mayFail(): void {
    if (this.#random() < this.#faults) throw new TaxiflowError('s3-unreachable', 'no answer');
  }
}

/** Lets one of the waiting actors go on at a time, whichever chance chooses. */
class Turns {
  readonly #waiting: (() => void)[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  readonly wait = (): Promise<void> => new Promise((resolve) => this.#waiting.push(resolve));

  async run(actors: readonly Promise<void>[]): Promise<void> {
    let left = actors.length;
    for (const actor of actors) void actor.finally(() => left--).catch(() => {});
    while (left > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      const [next] = this.#waiting.splice(Math.floor(this.#random() * this.#waiting.length), 1);
      next?.();
    }
    await Promise.all(actors);
  }
}

describe('the head of a state in S3', () => {
  it('is one line of versions, each of which its writer knows of, whatever fails', async () => {
    let takeOvers = 0;
    let lost = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(2 ** 31), fc.constantFrom(0, 0.1, 0.3), async (seed, faults) => {
        const random = randomNumbers(seed);
        const turns = new Turns(random);
        const object = new OneObject(random, faults, turns.wait);
        const store = object as unknown as ObjectStore;
        /** Commits that their processor was told are accepted: epoch and its own count. */
        const accepted: { epoch: number; checkpoint: number }[] = [];
        const live = async (name: number): Promise<void> => {
          for (let lives = 0; lives < 3; lives++) {
            try {
              const head = await OwnHead.take(
                store,
                KEY,
                { app: 'job', stream: 's', interval: 10 },
                (await readHead(store, KEY)) ?? null,
              );
              let { checkpoint } = head.content;
              for (let commit = 0; commit < 4; commit++) {
                checkpoint++;
                const change = {
                  base: null,
                  increments: [],
                  state_format: 5,
                  checkpoint,
                  next_result: name + 1,
                };
                for (let tries = 0; ; tries++) {
                  try {
                    await head.replace(change);
                    accepted.push({ epoch: head.content.epoch, checkpoint });
                    break;
                  } catch (error) {
                    if ((error as TaxiflowError).code !== 's3-unreachable' || tries === 20) throw error;
                    lost++;
                  }
                }
              }
            } catch (error) {
              assert.ok(error instanceof TaxiflowError);
              assert.ok(['taken-over', 's3-unreachable'].includes(error.code), error.code);
              if (error.code === 'taken-over') takeOvers++;
            }
          }
        };
        await turns.run([0, 1, 2].map(live));
        const { history } = object;
        for (const [i, version] of history.entries()) {
          const before = history[i - 1];
          assert.equal(version.sequence, i + 1, 'no version is left out or written twice');
          const isTaken = version.owner !== before?.owner;
          assert.equal(
            version.epoch,
            (before?.epoch ?? 0) + (isTaken ? 1 : 0),
            'each owner has an epoch of its own',
          );
          assert.equal(
            version.checkpoint,
            (before?.checkpoint ?? 0) + (isTaken ? 0 : 1),
            'and goes on where the last one was',
          );
        }
        for (const { epoch, checkpoint } of accepted)
          assert.ok(
            history.some((version) => version.epoch === epoch && version.checkpoint === checkpoint),
            'what was told to be accepted is there',
          );
        const last = history.at(-1);
        const known = accepted
          .filter(({ epoch }) => epoch === last?.epoch)
          .map(({ checkpoint }) => checkpoint);
        if (faults === 0 && known.length > 0) assert.equal(Math.max(...known), last!.checkpoint);
      }),
      { numRuns: 300 },
    );
    assert.ok(takeOvers > 100 && lost > 100, `${takeOvers} take-overs, ${lost} lost answers`);
  });

  it('H3 a write that was given up, and succeeded, is not taken for the next one', async () => {
    let lying: { bytes: Buffer; etag: string } | undefined;
    let isAway = false;
    let etag = 0;
    const unreachable = () => new TaxiflowError('s3-unreachable', 'no answer');
    const store = {
      url: (key: string) => key,
      get: async () => {
        if (isAway) throw unreachable();
        return lying;
      },
      put: async (_: string, body: Uint8Array, condition: Condition) => {
        if ('IfMatch' in condition && condition.IfMatch !== lying?.etag)
          throw new TaxiflowError('s3-changed', 'it changed');
        lying = { bytes: Buffer.from(body), etag: String(++etag) };
        if (isAway) throw unreachable();
        return lying.etag;
      },
    } as unknown as ObjectStore;
    const head = await OwnHead.take(store, KEY, { app: 'job', stream: 's', interval: 10 }, null);
    const change = { ...head.content, checkpoint: 7, next_result: 9 };
    isAway = true;
    // A sign of life.
    await assert.rejects(head.replace(head.content), { code: 's3-unreachable' });
    isAway = false;
    await head.replace(change);
    const found = await readHead(store, KEY);
    assert.equal(found?.content.checkpoint, 7, 'what was told to be accepted is there');
    assert.deepEqual(head.content, found?.content);
    await head.replace({ ...change, checkpoint: 8 });
    assert.equal((await readHead(store, KEY))?.content.checkpoint, 8);
  });

  it('is refused if it is anything else', async () => {
    for (const text of ['', 'x', '{}', '[]', 'null', '{"format":2}', '{"format":1,"app":"a"}']) {
      const store = { url: (key: string) => key, get: async () => ({ bytes: Buffer.from(text), etag: '1' }) };
      await assert.rejects(readHead(store as unknown as ObjectStore, KEY), { code: 'not-state' }, text);
    }
  });
});
