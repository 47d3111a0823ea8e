/** Pacing and giving up in the OpenSearch sink, against a scripted model of the server. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { mappingOf } from '../../src/opensearch/templates.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { randomNumbers } from '../random.ts';
import { until } from '../until.ts';
import { answered, FULL, HURRIED, ModelServer, ModelState, openSink } from './opensearch-model.ts';

function resultOf(number: number): object {
  return {
    view: 'trip_duration',
    window_start: new Date(number * 600_000).toISOString(),
    location: 'dr5rsm',
    airport_code: 'JFK',
    number,
    fate: 'taken',
  };
}

function stateWith(results: number): ModelState {
  const state = new ModelState();
  state.commit(Array.from({ length: results }, (_, i) => resultOf(i + 1)));
  return state;
}

it('requests are limited in documents, and in number in flight', async () => {
  const state = stateWith(9_000);
  const server = new ModelServer(randomNumbers(1));
  server.limit = Number.POSITIVE_INFINITY;
  server.front = async (path) => {
    if (path !== '/_bulk' || server.documents.length > 0) return;
    await until('several are under way', () => server.most.requests >= 3);
  };
  const sink = await openSink(state, server, { clock: systemClock });
  sink.wake();
  await until('all are there', () => server.documents.length === 9_000);
  await sink.close(false);
  assert.equal(server.most.requests, 3);
  assert.equal(server.most.documents, 2_000);
});

it('requests are limited in bytes', async () => {
  const state = new ModelState();
  const text = 'x'.repeat(100_000);
  state.commit(Array.from({ length: 100 }, (_, i) => ({ ...resultOf(i + 1), text })));
  const server = new ModelServer(randomNumbers(1));
  server.limit = Number.POSITIVE_INFINITY;
  const sink = await openSink(state, server, { clock: systemClock });
  await sink.close(false);
  assert.equal(server.documents.length, 100);
  const { characters } = server.most;
  assert.ok(characters >= 4_000_000 && characters < 4_200_000, `${characters} in a request`);
});

it('a server with Retry-After is asked no sooner, and by one request only', async () => {
  const state = stateWith(5_000);
  const server = new ModelServer(randomNumbers(1));
  server.limit = Number.POSITIVE_INFINITY;
  const asked: number[] = [];
  server.script = (request) => {
    asked.push(HURRIED.now());
    if (request <= 5) throw answered(429, { 'retry-after': '10' });
    return undefined;
  };
  // Three are in flight when the first is rejected; then only one retries.
  server.front = async (path) => {
    if (path === '/_bulk' && server.requests === 0)
      await until('three are under way', () => server.most.requests >= 3);
  };
  const sink = await openSink(state, server);
  sink.wake();
  await until('all are there', () => server.documents.length === 5_000);
  await sink.close(false);
  const knocks = [asked[0]!, ...asked.slice(3, 6)];
  for (const [i, at] of knocks.slice(1).entries())
    assert.ok(at - knocks[i]! >= 10_000, `asked again after ${at - knocks[i]!} ms`);
});

it('a server that settles nothing is given up after a minute, without loss', async () => {
  const state = stateWith(100);
  const server = new ModelServer(randomNumbers(1));
  server.script = () => {
    throw answered(503);
  };
  const troubles: (string | undefined)[] = [];
  const sink = await openSink(state, server, { onTrouble: (trouble) => troubles.push(trouble) });
  sink.wake();
  const since = HURRIED.now();
  await assert.rejects(sink.close(false), { code: 'opensearch-behind', message: /^100 results/ });
  assert.ok(HURRIED.now() - since >= 60_000, 'it has its minute');
  assert.match(troubles[0] ?? '', /503/);
  assert.equal(state.cursor?.delivered, 1);

  server.script = undefined;
  const next = await openSink(state, server);
  await next.close(false);
  assert.equal(server.documents.length, 100);
});

it('trouble is reported once, again when the run ends with it, and when it is over', async () => {
  const state = stateWith(100);
  const server = new ModelServer(randomNumbers(1));
  const block = {
    type: 'cluster_block_exception',
    reason: 'index [x] blocked by: [FORBIDDEN/8/index write (api)];',
  };
  server.script = (request) => (request <= 3 ? { of: () => true, status: 403, ...block } : undefined);
  const troubles: (string | undefined)[] = [];
  const sink = await openSink(state, server, { onTrouble: (trouble) => troubles.push(trouble) });
  sink.wake();
  await until('the block is told', () => troubles.length > 0);
  assert.match(sink.status().trouble ?? '', /index\.blocks\.write/);
  assert.equal(sink.status().pending, 100);
  await sink.close(false);
  assert.deepEqual(
    troubles.map((trouble) => trouble !== undefined),
    [true, true, false],
  );
  assert.match(troubles[1]!, /a minute without progress ends the run/);
  assert.equal(sink.status().trouble, undefined);
});

it('an interrupted run does not wait for requests that wait themselves', async () => {
  const state = stateWith(100);
  const server = new ModelServer(randomNumbers(1));
  server.script = () => {
    throw answered(429, { 'retry-after': '3600' });
  };
  const sink = await openSink(state, server);
  sink.wake();
  await until('it was turned away', () => sink.status().retries > 0);
  const since = HURRIED.now();
  await sink.close(true);
  assert.ok(HURRIED.now() - since < 3_600_000, 'it sat out the hour');
  assert.equal(state.cursor?.delivered, 1);
});

it('O1 a retracted result is deleted, beside results that are refused or rejected', async () => {
  const state = stateWith(3);
  const { number: _, fate: __, ...second } = resultOf(2) as Record<string, unknown>;
  state.commit(
    [
      { ...second, retracted: true },
      { ...second, location: 'never there', retracted: true },
      { ...resultOf(6), fate: 'refused' },
      resultOf(7),
    ],
    true,
  );
  const server = new ModelServer(randomNumbers(1));
  server.script = (request) => (request === 1 ? { of: () => true, ...FULL } : undefined);
  const sink = await openSink(state, server);
  await sink.close(false);
  const lying = [...server.documents].map(({ source }) => JSON.parse(source) as { number: number });
  assert.deepEqual(lying.map(({ number }) => number).sort(), [1, 3, 7]);
  assert.equal(sink.status().rejected, 1);
  assert.match(state.letters[0]?.raw ?? '', /"number":6/);
});

it('O2 a rejected result does not follow its deletion once the server has forgotten the deletion', async () => {
  const state = stateWith(2);
  const { number: _, fate: __, ...second } = resultOf(2) as Record<string, unknown>;
  state.commit([{ ...second, retracted: true }], true);
  const server = new ModelServer(randomNumbers(1));
  server.tombstoneMs = 1;
  server.script = (request) =>
    request === 1 ? { of: (action: string) => action === 'index', ...FULL } : undefined;
  // The server answers again when it has forgotten what it deleted.
  server.front = async (path) => {
    if (path === '/_bulk' && server.requests === 1)
      await until('it is forgotten', () => server.tombstones === 0);
  };
  const sink = await openSink(state, server);
  await sink.close(false);
  const lying = [...server.documents].map(({ source }) => (JSON.parse(source) as { number: number }).number);
  assert.deepEqual(lying, [1]);
});

it('a result that is rejected every time ends the run, also with its deletion behind it', async () => {
  const state = stateWith(1);
  const { number: _, fate: __, ...result } = resultOf(1) as Record<string, unknown>;
  state.commit([{ ...result, retracted: true }], true);
  const server = new ModelServer(randomNumbers(1));
  // 30 requests are more than a minute, if each waits longer than the one before.
  server.script = (request) =>
    request < 30 ? { of: (action: string) => action === 'index', ...FULL } : undefined;
  const sink = await openSink(state, server);
  await assert.rejects(sink.close(false), { code: 'opensearch-behind' });
});

it('O4 an index deleted during a run is recreated with its alias, and filled from the first result', async () => {
  const state = stateWith(100);
  const server = new ModelServer(randomNumbers(1));
  const troubles: (string | undefined)[] = [];
  const sink = await openSink(state, server, { onTrouble: (trouble) => troubles.push(trouble) });
  sink.wake();
  await until('all are there', () => state.cursor?.delivered === 101);
  server.takeAway();
  state.commit([resultOf(101)]);
  sink.wake();
  await sink.close(false);
  assert.equal(server.documents.length, 101);
  assert.deepEqual(troubles, [
    'trip_duration is gone; it is created again and filled from the first result',
    undefined,
  ]);
});

it('O4 another process may create the index first', async () => {
  const state = stateWith(100);
  const server = new ModelServer(randomNumbers(1));
  const sink = await openSink(state, server);
  sink.wake();
  await until('all are there', () => state.cursor?.delivered === 101);
  const [first] = server.indices.values();
  server.takeAway();
  // Between the sink's look and its own request.
  server.front = (path) => {
    if (path !== '/trip_duration-000001') return;
    server.front = () => {};
    const made = server.make('trip_duration-000001', { ...first!.mappings, _meta: {} });
    server.aliases.set('trip_duration', new Map([[made.name, true]]));
    made.documents.set('of somebody else', { version: 1n, source: JSON.stringify(resultOf(1)) });
  };
  state.commit([resultOf(101)]);
  sink.wake();
  await sink.close(false);
  assert.equal(server.documents.length, 102);
});

it('O4 without the right to create the index, the sink waits, and continues once it has it', async () => {
  const state = stateWith(100);
  const server = new ModelServer(randomNumbers(1));
  const troubles: (string | undefined)[] = [];
  const sink = await openSink(state, server, { onTrouble: (trouble) => troubles.push(trouble) });
  sink.wake();
  await until('all are there', () => state.cursor?.delivered === 101);
  server.takeAway();
  let refused = 0;
  server.front = (path) => {
    if (path === '/trip_duration-000001' && refused++ < 3) throw answered(403);
  };
  state.commit([resultOf(101)]);
  sink.wake();
  await sink.close(false);
  assert.equal(server.documents.length, 101);
  assert.match(troubles.join(), /does not allow this/);
});

it('O4 a kill after the index was recreated loses none of its documents', async () => {
  const state = stateWith(5_000);
  const server = new ModelServer(randomNumbers(1));
  server.limit = Number.POSITIVE_INFINITY;
  const first = await openSink(state, server);
  await first.close(false);
  server.takeAway();
  let alive = true;
  const killed = await openSink(state, server, { alive: () => alive });
  // One request is done, but the state never hears of it.
  server.script = () => {
    alive = false;
    if (server.documents.length > 0) throw answered(503);
    return undefined;
  };
  killed.wake();
  await until('some are there', () => server.documents.length > 0);
  await killed.close(true);
  assert.ok(server.documents.length < 5_000, 'all got through, so nothing was tried');
  server.script = undefined;
  const next = await openSink(state, server);
  await next.close(false);
  assert.equal(server.documents.length, 5_000);
});

it('O4 an emptied index beside an intact one is filled from the first result', async () => {
  const state = stateWith(10);
  const pickups = Array.from({ length: 5 }, (_, i) => ({ ...resultOf(11 + i), view: 'pickup_count' }));
  state.commit(pickups, false, 'pickup_count');
  const server = new ModelServer(randomNumbers(1));
  server.script = () => undefined;
  await (await openSink(state, server, { allViews: true })).close(false);
  assert.equal(server.documents.length, 15);
  const requests = async () => {
    const before = server.requests;
    await (await openSink(state, server, { allViews: true })).close(false);
    return server.requests - before;
  };
  server.empty('trip_duration');
  await requests();
  assert.equal(server.documents.length, 15);
  assert.equal(await requests(), 0, 'nothing is sent again when nothing is missing');
});

it('O4 a view without results does not count as an emptied index', async () => {
  const state = stateWith(10);
  const server = new ModelServer(randomNumbers(1));
  server.script = () => undefined;
  for (const requests of [1, 1]) {
    await (await openSink(state, server, { allViews: true })).close(false);
    assert.equal(server.requests, requests);
  }
});

it('O3 a document refused before its index was deleted is a dead letter once, also across a kill', async () => {
  const state = stateWith(10);
  state.commit([{ ...resultOf(11), fate: 'refused' }]);
  const server = new ModelServer(randomNumbers(1));
  await (await openSink(state, server)).close(false);
  server.takeAway();
  // Gone before it has passed anything.
  await (await openSink(state, server)).close(true);
  await (await openSink(state, server)).close(false);
  assert.deepEqual(
    state.letters.map(({ raw }) => (JSON.parse(raw) as { number: number }).number),
    [11],
  );
  assert.equal(server.documents.length, 10);
});

it('refused results are also counted in later runs, so that delivered results match the server', async () => {
  const state = stateWith(10);
  state.commit([{ ...resultOf(11), fate: 'refused' }]);
  const server = new ModelServer(randomNumbers(1));
  const there = async () => {
    const sink = await openSink(state, server);
    await sink.close(false);
    const { delivered, pending, rejected } = sink.status();
    assert.equal(delivered - rejected, server.documents.length);
    return [delivered, pending, rejected];
  };
  assert.deepEqual(await there(), [11, 0, 1]);
  assert.deepEqual(await there(), [11, 0, 1]);
  server.takeAway();
  state.commit([{ ...resultOf(12), fate: 'refused' }, resultOf(13)]);
  assert.deepEqual(await there(), [13, 0, 2]);
});

it('missing access is reported at the start', async () => {
  for (const [status, code] of [
    [401, 'opensearch-unauthorized'],
    [403, 'opensearch-forbidden'],
  ] as const) {
    const server = new ModelServer(randomNumbers(1));
    server.front = () => {
      throw answered(status);
    };
    await assert.rejects(openSink(stateWith(1), server), { code });
  }
});

it('a data stream is refused at the start, and not made anew for ever', async () => {
  const server = new ModelServer(randomNumbers(1));
  const [view] = taxiViews().filter(({ name }) => name === 'trip_duration');
  const stream = server.make('.ds-trip_duration-000001', { ...mappingOf(view!) });
  server.aliases.set('trip_duration', new Map([[stream.name, true]]));
  await assert.rejects(openSink(stateWith(1), server), { code: 'mapping-conflict', message: /data stream/ });
});

it('a domain that refuses an index in bulk requests is waited for, and the setting is named', async () => {
  const state = stateWith(10);
  const server = new ModelServer(randomNumbers(1));
  const error = { type: 'illegal_argument_exception', reason: 'explicit index in bulk is not allowed' };
  server.script = (request) => {
    if (request > 3) return undefined;
    throw Object.assign(new Error(), {
      meta: { statusCode: 400, headers: {}, body: { error, status: 400 } },
    });
  };
  const troubles: (string | undefined)[] = [];
  const sink = await openSink(state, server, { onTrouble: (trouble) => troubles.push(trouble) });
  await sink.close(false);
  assert.match(troubles[0] ?? '', /explicit index .*rest\.action\.multi\.allow_explicit_index/);
  assert.equal(server.documents.length, 10);
  assert.equal(state.letters.length, 0);
});
