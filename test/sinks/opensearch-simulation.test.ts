/**
 * The OpenSearch sink against a model of the server that loses answers, turns requests and documents away, does things
 * late, and answers nonsense, while the sink is killed and interrupted in between:
 *
 *  O1, O2 each id has its last acceptable result; O3 each result is there or a dead letter, and a dead letter once.
 * TAXIFLOW_SIMULATIONS says how many, TAXIFLOW_SEED which one is first.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../../src/clock.ts';
import { type DeadLetter, DeadLetterBuffer } from '../../src/dead-letters.ts';
import { OpenSearchSink, type Outbox } from '../../src/sinks/opensearch.ts';
import type { Cursor, StoredFiring } from '../../src/state/sqlite-state.ts';
import { checkViews } from '../../src/views/check.ts';
import { taxiViews } from '../../src/views/taxi.ts';

const RUNS = Number(process.env['TAXIFLOW_SIMULATIONS'] ?? (process.env['CI'] === 'true' ? 60 : 15));
const SEED = Number(process.env['TAXIFLOW_SEED'] ?? 1);
const URL = 'http://model:9200';
const VIEWS = checkViews(taxiViews()).filter(({ name }) => name === 'trip_duration');
const LARGEST_REQUEST = 30_000;
const CRASHES = 6;

/** Keys that hold what separates the parts of an id. */
const PARTS = ['a', 'b', 'a|b', 'b|a', 'a\\', 'a\\|b', '|', '\\'];

type Random = () => number;

/** mulberry32 */
function randomOf(seed: number): Random {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A second passes in five milliseconds. */
const HURRIED: Clock = {
  now: () => Math.floor(performance.now() * 200),
  sleep: async (ms, signal) => {
    await wait(ms / 200, undefined, signal ? { signal } : {}).catch(() => {});
  },
};

type Fate = 'taken' | 'refused' | 'spoils' | 'too-large';

/** The state: what it remembers outlives every sink, but not what a dead sink would still write to it. */
class ModelState {
  readonly firings: StoredFiring[] = [];
  readonly letters: DeadLetter[] = [];
  readonly created = Date.UTC(2026, 0, 1);
  cursor: Cursor | undefined;
  nextResult = 1;

  commit(documents: readonly object[]): void {
    this.firings.push({
      first: this.nextResult,
      count: documents.length,
      view: 'trip_duration',
      windowStart: 0,
      correction: false,
      docs: `[${documents.map((document) => JSON.stringify(document)).join(',\n')}]`,
    });
    this.nextResult += documents.length;
  }

  /** The outbox as one process sees it. */
  outbox(alive: () => boolean): Outbox {
    const state = this;
    return {
      get nextResult() {
        return state.nextResult;
      },
      created: this.created,
      cursor: () => state.cursor,
      moveCursor: (_name, cursor, refused) => {
        if (!alive()) return;
        state.cursor = cursor;
        state.letters.push(...(refused?.letters ?? []));
      },
      firingsFrom: function* (from) {
        for (const firing of state.firings) if (firing.first + firing.count > from) yield firing;
      },
    };
  }
}

interface Action {
  readonly index: { readonly _id: string; readonly version: number };
}

/** OpenSearch as far as the sink needs it, and as bad as it can be. */
class ModelServer {
  readonly documents = new Map<string, { version: bigint; source: string }>();
  /** Share of the requests that something happens to. */
  trouble = 0;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  get client(): Client {
    const request = (params: { method: string; path: string; bulkBody?: Buffer }) => this.#answer(params);
    return { transport: { request }, close: async () => {} } as unknown as Client;
  }

  async #answer({ method, path, bulkBody }: { method: string; path: string; bulkBody?: Buffer }) {
    await wait(this.#random() * 3);
    if (path === '/') return { body: { version: { number: '3.8.0', distribution: 'opensearch' } } };
    if (path.endsWith('/_count')) return { body: { count: this.documents.size } };
    if (path.endsWith('/_mapping')) throw answered(404);
    if (method === 'PUT') return { body: { acknowledged: true } };
    return { body: await this.#bulk(gunzipSync(bulkBody!).toString()) };
  }

  async #bulk(body: string): Promise<unknown> {
    if (body.length > LARGEST_REQUEST) throw answered(413);
    const lines = body.trimEnd().split('\n');
    const fates = lines.filter((_, i) => i % 2 === 1).map((line) => fateOf(line));
    if (fates.includes('spoils')) throw answered(400);
    if (this.#random() >= this.trouble) return this.#done(lines, () => false);
    switch (Math.floor(this.#random() * 9)) {
      case 0:
        throw answered(429);
      case 1:
        throw answered(503, { 'retry-after': '1' });
      case 2:
        throw reset();
      case 3:
        this.#done(lines, () => false);
        throw reset();
      case 4:
        // It comes through when nobody waits for it any more.
        setTimeout(() => this.#done(lines, () => false), this.#random() * 60);
        throw reset();
      case 5:
        return this.#done(lines, () => this.#random() < 0.5, 429, 'rejected_execution_exception');
      case 6:
        return this.#done(lines, () => this.#random() < 0.5, 503, 'unavailable_shards_exception');
      case 7:
        return this.#done(lines, () => true, 403, 'cluster_block_exception');
      default:
        // Somebody else answers for it.
        return [{}, '<html>', null, { errors: true, items: [] }, { took: 1 }][Math.floor(this.#random() * 5)];
    }
  }

  #done(lines: readonly string[], turnsAway: () => boolean, status = 0, type = ''): unknown {
    const items = [];
    for (let i = 0; i < lines.length; i += 2) {
      const { index } = JSON.parse(lines[i]!) as Action;
      // The version is a long, beyond what a number holds exactly.
      const version = BigInt(/"version":(\d+)/.exec(lines[i]!)![1]!);
      const source = lines[i + 1]!;
      if (turnsAway()) items.push({ index: { status, error: { type, reason: 'turned away' } } });
      else if (fateOf(source) === 'refused')
        items.push({ index: { status: 400, error: { type: 'mapper_parsing_exception', reason: 'no' } } });
      else if ((this.documents.get(index._id)?.version ?? 0n) > version)
        items.push({ index: { status: 409, error: { type: 'version_conflict_engine_exception' } } });
      else {
        this.documents.set(index._id, { version, source });
        items.push({ index: { status: 201 } });
      }
    }
    const errors = items.some(({ index }) => 'error' in index);
    return errors ? { errors, items } : { errors };
  }
}

function answered(statusCode: number, headers = {}): Error {
  return Object.assign(new Error(`status ${statusCode}`), {
    name: 'ResponseError',
    meta: { statusCode, headers, body: { error: { type: 'some_exception', reason: 'of the model' } } },
  });
}

function reset(): Error {
  return Object.assign(new Error('read ECONNRESET'), { name: 'ConnectionError', code: 'ECONNRESET' });
}

function fateOf(source: string): Fate {
  return (JSON.parse(source) as { fate: Fate }).fate;
}

/** Few windows and cells, so that many results correct others. */
function result(number: number, random: Random): object {
  const draw = random();
  const fate: Fate = draw < 0.002 ? 'spoils' : draw < 0.03 ? 'refused' : draw < 0.031 ? 'too-large' : 'taken';
  return {
    view: 'trip_duration',
    window_start: new Date(Math.floor(random() * 20) * 600_000).toISOString(),
    location: PARTS[Math.floor(random() * PARTS.length)]!,
    airport_code: PARTS[Math.floor(random() * PARTS.length)]!,
    number,
    fate,
    ...(fate === 'too-large' ? { text: 'x'.repeat(LARGEST_REQUEST) } : {}),
  };
}

async function simulate(seed: number): Promise<{ retries: number; crashes: number }> {
  const random = randomOf(seed);
  const state = new ModelState();
  const server = new ModelServer(random);
  const results: Record<string, unknown>[] = [];
  const commit = (count: number) => {
    const documents = Array.from({ length: count }, (_, i) => result(results.length + i + 1, random));
    results.push(...(documents as Record<string, unknown>[]));
    state.commit(documents);
  };
  const open = async () => {
    let alive = true;
    const sink = new OpenSearchSink({
      client: server.client,
      url: URL,
      prefix: '',
      views: VIEWS,
      outbox: state.outbox(() => alive),
      deadLetters: new DeadLetterBuffer(Number.POSITIVE_INFINITY),
      clock: HURRIED,
      onTrouble: () => {},
    });
    await sink.open();
    const kill = () => {
      alive = false;
    };
    return { sink, kill };
  };

  let retries = 0;
  for (let life = 0; life < CRASHES; life++) {
    server.trouble = random() * 0.8;
    const { sink, kill } = await open();
    for (let steps = Math.ceil(random() * 6); steps > 0; steps--) {
      commit(Math.ceil(random() * 250));
      sink.wake();
      await wait(random() * 20);
    }
    if (random() < 0.6) await sink.close(true);
    else kill();
    retries += sink.status().retries;
  }
  server.trouble = 0.2;
  for (let tries = 0; ; tries++) {
    const { sink } = await open();
    try {
      await sink.close(false);
      retries += sink.status().retries;
      break;
    } catch (error) {
      // The machine may be busy while our clock runs on; a user would start it again too.
      if ((error as { code?: string }).code !== 'opensearch-behind' || tries > 20) throw error;
    }
  }
  // What a dead sink had sent may still be on its way.
  await wait(80);

  const expected = new Map<string, string>();
  for (const { fate, ...document } of results) {
    const { window_start, location, airport_code } = document;
    const id = JSON.stringify([window_start, location, airport_code]);
    if (fate === 'taken') expected.set(id, JSON.stringify({ ...document, fate }));
  }
  const numbers = (sources: Iterable<string>) =>
    [...sources].map((source) => (JSON.parse(source) as { number: number }).number).sort((a, b) => a - b);
  const lying = [...server.documents.values()].map(({ source }) => source);
  assert.deepEqual(numbers(lying), numbers(expected.values()), `the last of each, seed ${seed}`);
  assert.deepEqual(
    numbers(state.letters.map(({ raw }) => raw)),
    results.filter(({ fate }) => fate !== 'taken').map(({ number }) => number),
    `dead letters, seed ${seed}`,
  );
  assert.equal(state.cursor?.delivered, state.nextResult, `the cursor, seed ${seed}`);
  return { retries, crashes: CRASHES };
}

describe('the OpenSearch sink, simulated', () => {
  it(`O1, O2, O3 in ${RUNS} runs from seed ${SEED}`, async (t) => {
    let retries = 0;
    const seeds = Array.from({ length: RUNS }, (_, i) => SEED + i);
    // Most of a run is waiting, so some go side by side.
    const worker = async () => {
      for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift())
        retries += (await simulate(seed)).retries;
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    assert.ok(retries > RUNS, 'nothing went wrong, so nothing was tried');
    t.diagnostic(`${retries} documents sent again`);
  });
});
