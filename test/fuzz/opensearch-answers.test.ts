/**
 * Bulk requests get torn, mangled, foreign and endless answers through the real client: the sink settles no result
 * that the server doesn't hold, and once the server answers correctly again its documents are the oracle's.
 */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { connect } from '../../src/opensearch/connection.ts';
import { type Random, randomNumbers } from '../random.ts';
import {
  answerOverHttp,
  type BulkAnswer,
  HURRIED,
  ModelServer,
  ModelState,
  openSink,
} from '../sinks/opensearch-model.ts';
import { until } from '../until.ts';
import { budget, FUZZ_SEED } from './budget.ts';

const ANSWERS = budget(2_000);
const SINKS = 20;
const RESULTS = 120;
const IDS = 40;

type Item = Record<string, Record<string, unknown>>;
interface Mangled {
  readonly text: string | Buffer;
  readonly headers?: Record<string, string>;
  readonly status?: number;
  /** Bytes of the text that are sent before the connection ends. */
  readonly cutAt?: number;
}

const JSON_TYPE = { 'content-type': 'application/json' };
/** Without 200 and 201, which would be lies that no client can detect. */
const STATUSES = [
  '201',
  null,
  0,
  -1,
  99,
  100,
  202,
  204,
  302,
  399,
  600,
  1e9,
  200.5,
  true,
  [201],
  { code: 201 },
];

function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!;
}

/** Changes an answer so that it doesn't match what was sent, or isn't an answer at all. */
function mangledItems(random: Random, { errors, items }: BulkAnswer): unknown {
  const copy = structuredClone(items) as Item[];
  const at = Math.floor(random() * copy.length);
  const item = copy[at]!;
  const [[action, reply] = ['', {}]] = Object.entries(item);
  const whole = (changed: unknown) => ({ errors, items: changed });
  const changes: readonly (() => unknown)[] = [
    () => whole([]),
    () => ({ errors: false, items: [] }),
    () => whole(copy.slice(0, at)),
    () => whole(copy.toSpliced(at, 1)),
    () => whole(copy.toSpliced(at, 0, item)),
    () => whole([...copy, ...copy]),
    () => whole([...copy.slice(1), { [action]: { ...reply, _id: 'nobody' } }]),
    () =>
      whole(
        copy.toSpliced(at, 1, { [action]: { ...reply, _id: pick(random, [undefined, null, 7, '', 'x']) } }),
      ),
    () =>
      whole(
        copy.toSpliced(at, 1, { [action]: { ...reply, _index: pick(random, [undefined, 'other', '']) } }),
      ),
    () => whole(copy.toSpliced(at, 1, { [action]: { ...reply, status: pick(random, STATUSES) } })),
    () => whole(copy.toSpliced(at, 1, { [action === 'index' ? 'delete' : 'index']: reply })),
    () => whole(copy.toSpliced(at, 1, { ...item, update: reply })),
    () =>
      whole(copy.toSpliced(at, 1, pick<unknown>(random, [null, 1, 'x', [], {}, { [action]: null }]) as Item)),
    () => ({ errors: !errors, items: copy }),
    () => ({ errors: pick(random, [undefined, null, 'false', 0, 1]), items: copy }),
    () => whole(pick(random, [undefined, null, {}, 'x', { length: copy.length }])),
    () =>
      pick(random, [null, [], {}, 1, 'ok', { took: 3 }, { acknowledged: true }, { error: 'x', status: 200 }]),
    () => ({ errors: false }),
    () => [{ errors, items: copy }],
  ];
  return pick(random, changes)();
}

function mangledBytes(random: Random, answer: BulkAnswer): Mangled {
  const text = JSON.stringify(answer);
  const cutAt = Math.floor(random() * text.length);
  const ways: readonly (() => Mangled)[] = [
    () => ({ text: text.slice(0, cutAt), headers: JSON_TYPE }),
    () => ({ text, headers: JSON_TYPE, cutAt }),
    () => ({ text: `${text}${text}`, headers: JSON_TYPE }),
    () => ({ text, headers: { 'content-type': 'text/plain' } }),
    () => ({ text, headers: {} }),
    () => ({ text: '', headers: JSON_TYPE }),
    () => ({ text: '<html><body>sign in</body></html>', headers: { 'content-type': 'text/html' } }),
    () => ({ text: '<html>', headers: JSON_TYPE }),
    () => ({ text: gzipSync(text), headers: { ...JSON_TYPE, 'content-encoding': 'gzip' } }),
    () => ({ text: gzipSync('x'), headers: { ...JSON_TYPE, 'content-encoding': 'br' } }),
    () => ({ text, headers: { ...JSON_TYPE, 'content-length': '99999999999' } }),
    () => ({ text, headers: JSON_TYPE, status: pick(random, [302, 408, 429, 500, 502, 503, 504]) }),
    () => ({ text: text.replaceAll('"', '\u0000'), headers: JSON_TYPE }),
  ];
  return pick(random, ways)();
}

/** The model behind HTTP; `spoil` may change the answers to bulk requests. */
async function served(
  t: TestContext,
  model: ModelServer,
  spoil: (answer: BulkAnswer) => Mangled | undefined,
) {
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const asked = { method: request.method ?? '', path: request.url ?? '/', body: Buffer.concat(chunks) };
    const answered = await answerOverHttp(model, asked);
    if (!answered) return request.socket.destroy();
    const { status, body } = answered;
    const isBulk = asked.path.startsWith('/_bulk');
    const mangled = isBulk && status === 200 ? spoil(body as BulkAnswer) : undefined;
    const honest: Mangled = { text: JSON.stringify(body), headers: JSON_TYPE };
    const { text, headers, cutAt, status: said = status } = mangled ?? honest;
    response.writeHead(said, headers);
    if (cutAt === undefined) return response.end(text);
    response.write(text.slice(0, cutAt), () => request.socket.destroy());
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Result extends Record<string, unknown> {
  readonly number: number;
  readonly location: string;
  readonly retracted?: true;
}

function resultOf(number: number, random: Random): Result {
  const id = Math.floor(random() * IDS);
  return {
    view: 'trip_duration',
    window_start: new Date((id % 4) * 600_000).toISOString(),
    location: `cell ${id}`,
    airport_code: 'JFK',
    number,
    fate: 'taken',
    ...(random() < 0.15 ? { retracted: true } : {}),
  };
}

/** The last result of each id with a number below `below`. */
function oracle(results: readonly Result[], below: number): Map<string, Result> {
  const last = new Map<string, Result>();
  for (const result of results) if (result.number < below) last.set(result.location, result);
  return last;
}

async function fuzz(t: TestContext, seed: number, answers: number): Promise<number> {
  const random = randomNumbers(seed);
  const state = new ModelState();
  const model = new ModelServer(random);
  model.limit = 4_000;
  const results = Array.from({ length: RESULTS }, (_, i) => resultOf(i + 1, random));
  let left = answers;
  model.mangle = (done) => done;
  const url = await served(t, model, (answer) => {
    if (left === 0) {
      model.mangle = undefined;
      return undefined;
    }
    left--;
    if (random() < 0.1) return undefined;
    if (random() < 0.4) return mangledBytes(random, answer);
    return { text: JSON.stringify(mangledItems(random, answer)) ?? '', headers: JSON_TYPE };
  });
  const numberOf = (source: string) => (JSON.parse(source) as Result).number;
  const lying = () =>
    new Map(model.documents.map(({ source }) => [(JSON.parse(source) as Result).location, numberOf(source)]));
  state.onCursor = () => {
    const there = lying();
    for (const [id, { number, retracted }] of oracle(results, state.cursor!.delivered)) {
      const held = there.get(id);
      // A later result may have replaced or deleted it already.
      const later = results.some(
        (result) => result.location === id && result.number >= state.cursor!.delivered,
      );
      if (!later) assert.equal(held, retracted ? undefined : number, `settled: ${id}, seed ${seed}`);
    }
  };
  const open = async () => openSink(state, model, { client: await connect({ url }, {}) });
  let sink = await open();
  for (let at = 0; at < RESULTS; ) {
    const count = Math.ceil(random() * 30);
    const fired = results.slice(at, at + count);
    state.commit(
      fired.map(({ number, fate, retracted, ...document }) =>
        retracted ? { ...document, retracted } : { ...document, number, fate },
      ),
      true,
    );
    at += count;
    sink.wake();
    await HURRIED.sleep(random() * 3_000);
  }
  await until('the answers are used up', () => {
    sink.wake();
    return left === 0 || sink.status().pending === 0;
  });
  for (; sink.status().pending > 0; ) {
    await sink
      .close(false)
      .catch((error: { code?: string }) => assert.equal(error.code, 'opensearch-behind'));
    sink = await open();
  }
  await sink.close(true);
  const expected = [...oracle(results, RESULTS + 1).values()].filter(({ retracted }) => !retracted);
  assert.deepEqual(
    [...lying().values()].sort((a, b) => a - b),
    expected.map(({ number }) => number).sort((a, b) => a - b),
    `the last of each, seed ${seed}`,
  );
  assert.equal(model.documents.length, expected.length, `each once, seed ${seed}`);
  assert.equal(state.letters.length, 0, `nothing was refused, seed ${seed}`);
  return answers - left;
}

it(`O3 no answer settles what the server doesn't hold: ${ANSWERS} answers from seed ${FUZZ_SEED}`, async (t) => {
  const each = Math.ceil(ANSWERS / SINKS);
  const used = await Promise.all(
    Array.from({ length: SINKS }, (_, i) => fuzz(t, FUZZ_SEED * 1_000 + i, each)),
  );
  t.diagnostic(`${used.reduce((sum, count) => sum + count, 0)} answers`);
});
