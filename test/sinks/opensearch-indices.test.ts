/** Choice of the index, ownership and resending, against the model of the server. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { randomNumbers } from '../random.ts';
import { until } from '../until.ts';
import { answered, ModelServer, ModelState, openSink } from './opensearch-model.ts';

const NAME = 'trip_duration';
const FIRST = `${NAME}-000001`;
const SECOND = `${NAME}-000002`;

/** A result of the window of that number. */
function resultOf(window: number, more: object = {}): object {
  return {
    view: NAME,
    window_start: new Date(window * 600_000).toISOString(),
    location: 'dr5rsm',
    airport_code: 'JFK',
    number: window,
    fate: 'taken',
    ...more,
  };
}

function range(from: number, to: number): object[] {
  return Array.from({ length: to - from + 1 }, (_, i) => resultOf(from + i));
}

function honest(): ModelServer {
  const server = new ModelServer(randomNumbers(1));
  server.limit = Number.POSITIVE_INFINITY;
  return server;
}

/** A run in which these results come. */
async function deliver(
  state: ModelState,
  server: ModelServer,
  come = () => {},
  options: Parameters<typeof openSink>[2] = {},
) {
  const notes: string[] = [];
  const sink = await openSink(state, server, { onNote: (note) => notes.push(note), ...options });
  come();
  await sink.close(false);
  return { notes, status: sink.status() };
}

/** By index: the numbers of its documents. */
function lying(server: ModelServer): Record<string, number[]> {
  const numbers: Record<string, number[]> = {};
  for (const { index, source } of server.documents) {
    numbers[index] ??= [];
    numbers[index].push((JSON.parse(source) as { number: number }).number);
  }
  for (const all of Object.values(numbers)) all.sort((a, b) => a - b);
  return numbers;
}

it('O5 after a rollover corrections go to the index that has the window, and new windows to the new one', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  await deliver(state, server);
  server.rollover(NAME);
  await deliver(state, server, () => {
    state.commit([resultOf(4)]);
    state.commit([resultOf(2, { number: 20 }), resultOf(3, { retracted: true }), resultOf(5)], true);
  });
  assert.deepEqual(lying(server), { [FIRST]: [1, 20], [SECOND]: [4, 5] });
});

it('O6 thousands of windows are looked up at once, in queries that a server accepts', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3_000));
  await deliver(state, server);
  server.rollover(NAME);
  // Another state has the same results, and doesn't know their index.
  state.cursor = state.destinations = undefined;
  await deliver(state, server);
  const { [FIRST]: first = [], ...others } = lying(server);
  assert.deepEqual([first.length, others], [3_000, {}]);
});

for (const moment of ['before it is done', 'after it was done'] as const) {
  it(`O5 a request whose answer was lost goes to the same index again, if a rollover came ${moment}`, async () => {
    const [state, server] = [new ModelState(), honest()];
    state.commit(range(1, 3));
    let alive = true;
    server.front = (path) => {
      if (path === '/_bulk' && moment === 'before it is done') server.rollover(NAME);
    };
    const killed = await openSink(state, server, { alive: () => alive });
    killed.wake();
    await until('they are there', () => {
      if (server.documents.length > 0) alive = false;
      return !alive;
    });
    if (moment === 'after it was done') server.rollover(NAME);
    server.front = () => {};
    // The state never heard of it.
    state.cursor = { delivered: 1, position: '{"told":1}' };
    await deliver(state, server);
    assert.deepEqual(lying(server), { [FIRST]: [1, 2, 3] });
  });
}

it('O5 a request that arrives late, after a rollover, changes nothing', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  let late: (() => void) | undefined;
  server.script = (request) => {
    if (request > 1) return undefined;
    throw answered(503);
  };
  server.hold = (send) => {
    late ??= send;
  };
  await deliver(state, server);
  server.rollover(NAME);
  await deliver(state, server, () => state.commit(range(4, 5)));
  late!();
  assert.deepEqual(lying(server), { [FIRST]: [1, 2, 3], [SECOND]: [4, 5] });
});

it('O5 a request of a killed run arrives after a rollover and the next run', async () => {
  const [state, server] = [new ModelState(), honest()];
  let alive = true;
  let late: (() => void) | undefined;
  server.hold = (send) => {
    late ??= send;
  };
  server.script = () => {
    alive = false;
    throw answered(503);
  };
  const killed = await openSink(state, server, { alive: () => alive });
  state.commit(range(1, 3));
  killed.wake();
  await until('it is killed', () => !alive);
  server.script = undefined;
  server.rollover(NAME);
  await deliver(state, server, () => state.commit([resultOf(2, { number: 20 }), resultOf(4)], true));
  late!();
  assert.deepEqual(lying(server), { [FIRST]: [1, 3, 20], [SECOND]: [4] });
});

it('O6 documents of another state are found in their index', async () => {
  const [older, server] = [new ModelState(), honest()];
  older.commit(range(1, 3));
  await deliver(older, server);
  server.rollover(NAME);
  const newer = new ModelState(Date.UTC(2026, 1, 1));
  newer.commit(range(2, 4));
  await deliver(newer, server);
  newer.commit([resultOf(3, { number: 30 }), resultOf(2, { retracted: true })], true);
  await deliver(newer, server);
  newer.commit([resultOf(2, { number: 22 })], true);
  await deliver(newer, server);
  assert.deepEqual(lying(server), { [FIRST]: [1, 22, 30], [SECOND]: [4] });
});

it('a correction of a document in a read-only index waits and is reported; no document exists twice', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 2));
  await deliver(state, server);
  server.rollover(NAME);
  server.indices.get(FIRST)!.isBlocked = true;
  state.commit([resultOf(1, { number: 10 })], true);
  state.commit([resultOf(3)]);
  const troubles: (string | undefined)[] = [];
  const sink = await openSink(state, server, { onTrouble: (trouble) => troubles.push(trouble) });
  await until('the block is told', () => {
    sink.wake();
    return troubles.length > 0;
  });
  assert.deepEqual(lying(server)[FIRST], [1, 2]);
  server.indices.get(FIRST)!.isBlocked = false;
  await sink.close(false);
  assert.deepEqual(lying(server), { [FIRST]: [2, 10], [SECOND]: [3] });
});

it('results that wait for an index that became read-only go to the current one', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit([resultOf(1)]);
  await deliver(state, server);
  state.commit(range(2, 3));
  server.rollover(NAME);
  server.indices.get(FIRST)!.isBlocked = true;
  await deliver(state, server);
  assert.deepEqual(lying(server), { [FIRST]: [1], [SECOND]: [2, 3] });
});

it('O7 an index restored from an older snapshot is refilled, even if counts are equal', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 10));
  await deliver(state, server);
  const snapshot = server.snapshot();
  state.commit([resultOf(1, { number: 100 }), resultOf(2, { retracted: true }), resultOf(11)], true);
  await deliver(state, server);
  server.restore(snapshot);
  const { notes } = await deliver(state, server);
  assert.deepEqual(lying(server)[FIRST], [3, 4, 5, 6, 7, 8, 9, 10, 11, 100]);
  assert.match(notes.join(), /restored/);
  assert.deepEqual((await deliver(state, server)).notes, [], 'once');
});

it('O7 deleted documents are sent again, and retracted ones are not missed', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 10));
  state.commit([resultOf(9, { retracted: true }), resultOf(8, { number: 80 })], true);
  state.commit([resultOf(11, { fate: 'refused' })]);
  await deliver(state, server);
  const before = server.requests;
  assert.deepEqual((await deliver(state, server)).notes, []);
  assert.equal(server.requests, before, 'nothing is missing, so nothing is sent');
  const index = server.indices.get(FIRST)!;
  for (const id of [...index.documents.keys()].slice(0, 4)) index.documents.delete(id);
  const { notes } = await deliver(state, server);
  assert.match(notes.join(), /trip_duration lacks documents that were delivered; \d+ results are sent again/);
  assert.equal(server.documents.length, 9);
});

/** Results of one window, by airport. */
const airports = (window: number, codes: readonly string[], number = window) =>
  codes.map((airport_code, i) => resultOf(window, { airport_code, number: number + i }));

function remove(server: ModelServer, numbers: readonly number[]): void {
  for (const index of server.indices.values())
    for (const [id, { source }] of index.documents)
      if (numbers.includes((JSON.parse(source) as { number: number }).number)) index.documents.delete(id);
}

/** What the cursor knows of, as after a restore from an older copy of the state. */
function moveBack(state: ModelState, delivered: number): void {
  state.cursor = { delivered, position: JSON.stringify({ told: delivered }) };
}

it("O7 results behind the cursor don't stand for missing ones, in other windows or in the same", async () => {
  for (const lost of [1, 4, 6]) {
    const [state, server] = [new ModelState(), honest()];
    state.commit([...airports(1, ['EWR', 'JFK', 'LGA']), ...airports(2, ['EWR', 'JFK', 'LGA'], 4)]);
    // New documents of windows that are there, and one that is taken back.
    state.commit([...airports(1, ['TEB'], 7), resultOf(1, { airport_code: 'JFK', retracted: true })], true);
    state.commit([...airports(3, ['EWR', 'JFK'], 9), ...airports(2, ['TEB'], 11)], true);
    await deliver(state, server);
    moveBack(state, 7);
    remove(server, [lost]);
    // A run that is killed before it sends anything.
    const sink = await openSink(state, server, { alive: () => true });
    const { pending } = sink.status();
    assert.equal(pending, state.nextResult - (lost < 4 ? 1 : 4), `from the window of ${lost} on`);
    await sink.close(false);
    assert.deepEqual(lying(server), { [FIRST]: [1, 3, 4, 5, 6, 7, 9, 10, 11] });
    assert.deepEqual((await deliver(state, server)).notes, []);
  }
});

it('O7 a document is missed whether or not a retracted one came back, or one is in a second index too', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(airports(1, ['EWR', 'JFK', 'LGA']));
  state.commit([resultOf(1, { airport_code: 'JFK', retracted: true })], true);
  state.commit(airports(2, ['EWR', 'JFK', 'LGA'], 5));
  const index = () => server.indices.get(FIRST)!;
  await deliver(state, server);
  const [[id, held] = []] = [...index().documents];
  index().documents.set(id!.replace('EWR', 'JFK'), { ...held!, source: held!.source.replace('EWR', 'JFK') });
  remove(server, [3]);
  assert.match((await deliver(state, server)).notes.join(), /lacks documents/);
  // A copy in an older index that is still behind the alias.
  server.rollover(NAME);
  server.indices.get(SECOND)!.documents = new Map(
    [...index().documents].filter(([id]) => id.includes('EWR')),
  );
  for (const name of [...index().documents.keys()]) if (name.includes('LGA')) index().documents.delete(name);
  assert.match((await deliver(state, server)).notes.join(), /lacks documents/);
  assert.equal(server.documents.filter(({ id }) => id.includes('LGA')).length, 2);
});

it('O7 documents that another hand deleted are sent until the server has forgotten that', async () => {
  const [state, server] = [new ModelState(), honest()];
  server.tombstoneMs = 30_000;
  state.commit(range(1, 4));
  // Its version is the next one, of the same document.
  state.commit([resultOf(4, { number: 5 })], true);
  await deliver(state, server);
  server.empty(NAME);
  const troubles: (string | undefined)[] = [];
  await deliver(state, server, () => {}, { onTrouble: (trouble) => troubles.push(trouble) });
  assert.deepEqual(lying(server), { [FIRST]: [1, 2, 3, 5] });
  assert.match(troubles.join(), /deleted by another hand.*gc_deletes/);
  // Nobody waits where it is a later result that is in the way.
  moveBack(state, 4);
  troubles.length = 0;
  await deliver(state, server, () => {}, { onTrouble: (trouble) => troubles.push(trouble) });
  assert.deepEqual([lying(server), troubles], [{ [FIRST]: [1, 2, 3, 5] }, []]);
});

for (const [moment, path] of [
  ['before its windows are counted', '/trip_duration-000001/_search'],
  ['before it is shown what was sent', '/trip_duration-000001/_refresh'],
  ['before its history is asked for', '/trip_duration-000001/_stats/docs'],
] as const) {
  it(`O4 an index that is deleted while a run begins, ${moment}, is made again`, async () => {
    const [state, server] = [new ModelState(), honest()];
    state.commit(range(1, 3));
    await deliver(state, server);
    let deleted = 0;
    server.front = (asked) => {
      if (asked === path && deleted++ === 0) server.takeAway();
    };
    await deliver(state, server);
    assert.ok(deleted > 0);
    assert.deepEqual(lying(server), { [FIRST]: [1, 2, 3] });
  });
}

it('the description of another index is not believed', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  server.make('pickup_count-000001', { properties: { view: { type: 'text' } } });
  server.aliases.set('pickup_count', new Map([['pickup_count-000001', true]]));
  const client = server.clientOf(() => true);
  const { request } = client.transport as unknown as { request: (asked: object) => Promise<object> };
  let mixedUp = 0;
  Object.assign(client.transport, {
    request: (asked: { path: string }, options: object) =>
      (request as (...given: object[]) => Promise<object>)(
        asked.path === `/${NAME}` && mixedUp++ === 0 ? { ...asked, path: '/pickup_count' } : asked,
        options,
      ),
  });
  await deliver(state, server, () => {}, { client });
  assert.ok(mixedUp > 1);
  assert.deepEqual(lying(server), { [FIRST]: [1, 2, 3] });
});

it("O7 refused documents are not missed, and don't stand for those that are", async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit([...airports(1, ['EWR', 'JFK']), resultOf(1, { airport_code: 'LGA', fate: 'refused' })]);
  state.commit([resultOf(2), resultOf(2, { airport_code: 'LGA', fate: 'refused', number: 5 })]);
  state.commit([resultOf(2, { fate: 'refused', number: 6 })], true);
  await deliver(state, server);
  assert.equal(state.letters.length, 3);
  const before = server.requests;
  await deliver(state, server);
  assert.equal(server.requests, before, 'nothing is missing, so nothing is sent');
  for (const number of [2, 1]) {
    remove(server, [number]);
    await deliver(state, server);
    assert.deepEqual(lying(server), { [FIRST]: [1, 2, 2] });
  }
  assert.equal(state.letters.length, 3);
});

it("O7 thousands of windows take some requests, and so do their documents where numbers don't tell", async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 5_000));
  await deliver(state, server);
  const paths: string[] = [];
  const watch = async () => {
    paths.length = 0;
    server.front = (path) => void paths.push(path);
    await deliver(state, server);
    return paths.filter((path) => path.endsWith('/_search')).length;
  };
  assert.equal(await watch(), 10);
  // A second document in each window, which the state knows nothing of.
  const { documents } = server.indices.get(FIRST)!;
  for (const [id, held] of [...documents]) documents.set(`${id}-other`, held);
  assert.equal(await watch(), 13);
  remove(server, [2_500]);
  await watch();
  assert.equal(lying(server)[FIRST]!.filter((number) => number === 2_500).length, 1);
});

it('a removed older index is not refilled, unless --resend is given', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  await deliver(state, server);
  server.rollover(NAME);
  await deliver(state, server, () => state.commit(range(4, 6)));
  server.delete(FIRST);
  const removed = await deliver(state, server);
  assert.match(removed.notes.join(), /trip_duration-000001 was removed/);
  assert.deepEqual(lying(server), { [SECOND]: [4, 5, 6] });
  // Nor when the current one has to be filled again.
  server.empty(SECOND);
  await deliver(state, server);
  assert.deepEqual(lying(server), { [SECOND]: [4, 5, 6] });
  await deliver(state, server, () => {}, { resend: true });
  assert.deepEqual(lying(server), { [SECOND]: [1, 2, 3, 4, 5, 6] });
});

it('an alias moved to an empty index is filled from the first result', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  await deliver(state, server);
  server.swap(NAME);
  await deliver(state, server);
  assert.equal(server.documents.length, 3);
});

it('an alias swapped during a run is noticed before the run ends', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  const sink = await openSink(state, server);
  sink.wake();
  await until('all are there', () => state.cursor?.delivered === 4);
  server.swap(NAME);
  await sink.close(false);
  assert.equal(server.documents.length, 3);
});

it('results of another app or stream are refused, results of a new state are not', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  await deliver(state, server);
  await assert.rejects(openSink(new ModelState(), server, { app: 'other' }), {
    code: 'other-owner',
    message: /trip_duration-000001 .* app "model" from local:model.* app "other"/,
    hint: /--index-prefix/,
  });
  server.rollover(NAME);
  await assert.rejects(openSink(new ModelState(), server, { app: 'other' }), { code: 'other-owner' });
  const anew = new ModelState(Date.UTC(2026, 1, 1));
  anew.commit(range(3, 4));
  await deliver(anew, server);
  assert.equal(server.documents.length, 4);
});

it('an index without an owner becomes ours, also when it holds documents', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  await deliver(state, server);
  const index = server.indices.get(FIRST)!;
  index.mappings = { ...index.mappings, _meta: { mine: 'kept' } };
  await deliver(state, server);
  assert.deepEqual(index.mappings['_meta'], {
    mine: 'kept',
    taxiflow: { app: 'model', stream: 'local:model' },
  });
});

it('the index template is created, and recreated; without the right to, a new index gets its mapping first', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 3));
  await deliver(state, server);
  assert.ok(server.templates.has('taxiflow-trip_duration'));
  server.templates.clear();
  server.front = (path) => {
    if (path.startsWith('/_index_template')) throw answered(403);
  };
  server.rollover(NAME);
  const { notes } = await deliver(state, server, () => state.commit([resultOf(4)]));
  assert.match(notes.join(), /cannot create the index template of trip_duration/);
  const { mappings } = server.indices.get(SECOND)!;
  assert.equal((mappings['properties'] as Record<string, { type: string }>)['location']?.type, 'geo_point');
  assert.equal(mappings['dynamic'], 'strict');
});

it('O3 an answer without the documents settles none of them', async () => {
  const [state, server] = [new ModelState(), honest()];
  state.commit(range(1, 100));
  const troubles: (string | undefined)[] = [];
  server.script = (request) => (request <= 3 ? { took: 1, errors: false, items: [] } : undefined);
  await deliver(state, server, () => {}, { onTrouble: (trouble) => troubles.push(trouble) });
  assert.equal(server.documents.length, 100);
  assert.match(troubles[0] ?? '', /about 0 documents, though 100 were sent/);
});
