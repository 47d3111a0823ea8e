/**
 * Results in a real OpenSearch, by the real binary, against the oracle: each exactly once, whatever the server does.
 * What kills of the processor and of the server do is in test/crash/opensearch-kills.test.ts.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { putRecords, tripEndingAt } from '../cli/model.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { Line, resultsIn, sameLines } from '../golden/line.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { countOf, documents, makeIndex, showsExactly } from '../golden/search.ts';
import {
  type OpenSearch,
  productOf,
  startOpenSearch,
  withoutOpenSearch,
  withoutVersion,
} from '../services/opensearch.ts';
import { itemsOf } from '../services/replies.ts';
import { proxied } from '../services/search-proxy.ts';
import { following, taxiflow } from '../taxiflow.ts';

const VIEWS = ['pickup_count', 'trip_duration'] as const;
const skip = withoutOpenSearch;
const TO_END = ['--until-end', '--drain'];

/** A day of made-up trips, as a file of its own. */
function madeTrips(folder: string, trips: number, seed: number): string {
  const file = join(folder, `trips-${seed}.csv`);
  const options = { from: '2016-01-11', hours: 24, seed, layout: 'yellow-2015', dirty: 0 } as const;
  writeFileSync(file, [...generateCsv({ trips, ...options })].join(''));
  return file;
}

async function replayed(t: TestContext, files: readonly string[]): Promise<Line> {
  const line = new Line(temporaryFolder(t), files, 4);
  await line.replay();
  return line;
}

function flowOf(folder: string, search: { readonly endpoint: string }, prefix: string): string[] {
  return ['process', '--data-dir', folder, '--opensearch', search.endpoint, '--index-prefix', prefix];
}

/** View, window and key of a result. */
function idOf(line: string): string {
  const { view, window_start, location, airport_code } = JSON.parse(line) as Record<string, string>;
  return [view, window_start, location, airport_code].join();
}

/** Shows windows of an odd number of trips: another one takes the result away. */
const ODD = `export const views = ({ view, tumbling, count, aggregate, divide, truncate, multiply, ne }) => [view({
  name: 'odd', by: {}, window: tumbling('10m'), aggregates: { trips: count() },
  having: ne(aggregate('trips'), multiply(2, truncate(divide(aggregate('trips'), 2)))),
})];`;

async function takenBack(t: TestContext, search: OpenSearch): Promise<void> {
  const folder = temporaryFolder(t);
  const views = join(folder, 'odd.mjs');
  writeFileSync(views, ODD);
  const flow = [...flowOf(folder, search, 'back-'), ...TO_END, '--views', views, '--allowed-lateness', '1h'];
  const at = (time: string) => tripEndingAt(`2016-03-10T${time}:00Z`);
  const shown = async () => {
    const ran = await taxiflow([...flow, '--stream', 'local:own']);
    assert.equal(ran.code, 0, ran.stderr);
    await search.request('POST', '/back-odd/_refresh');
    const { hits } = await search.request<{ hits: { hits: { _source: { trips: number } }[] } }>(
      'GET',
      '/back-odd/_search?sort=window_start',
    );
    return hits.hits.map(({ _source }) => _source.trips);
  };
  await putRecords(folder, 'own', [at('12:01'), at('12:15')]);
  assert.deepEqual(await shown(), [1, 1]);
  await putRecords(folder, 'own', [at('12:02')]);
  assert.deepEqual(await shown(), [1], 'the result of two trips is deleted');
  await putRecords(folder, 'own', [at('12:03')]);
  assert.deepEqual(await shown(), [3, 1], 'that of three is there again');
}

for (const version of ['2.19.1', '7.10.2'] as const) {
  it(`results in ${productOf(version)} agree with the oracle, a corrected one and those of an index that went included`, {
    skip: withoutVersion(version),
  }, async (t) => {
    const search = await startOpenSearch(t, { version });
    const setup = ['es-setup', '--endpoint', search.endpoint, '--index-prefix', 'set-up-'];
    assert.equal((await taxiflow(setup)).code, 0);
    const files = [1, 2].map((seed) => madeTrips(temporaryFolder(t), 3_000, seed));
    for (const prefix of ['bare-', 'set-up-']) {
      const folder = temporaryFolder(t);
      for (const file of files) {
        await new Line(folder, [file], 4).replay();
        const flow = [...flowOf(folder, search, prefix), ...TO_END, '--allowed-lateness', '1000d'];
        const ran = await taxiflow(flow);
        assert.equal(ran.code, 0, ran.stderr);
      }
      await showsExactly(search, prefix, (await expectedLines(files)).lines, prefix);
    }
    const check = await taxiflow([...setup, '--check']);
    assert.equal(check.code, 0, check.stdout);
    await indexGone(t, search);
  });
}

describe('results in OpenSearch', { skip, concurrency: false }, () => {
  it('agree with the oracle, and stay whole whatever its indices do', async (t) => {
    const search = await startOpenSearch(t);

    for (const name of ['yellow-2015-dirty.csv', 'yellow-2017.csv', 'green-2013.csv']) {
      await t.test(`the fixture ${name}, into an empty cluster, and no other app beside it`, async (t) => {
        const prefix = `${name.replace('.csv', '')}-`;
        const { folder } = await replayed(t, [fixture(name)]);
        const { lines } = await expectedLines([fixture(name)]);
        const ran = await taxiflow([...flowOf(folder, search, prefix), ...TO_END]);
        assert.equal(ran.code, 0, ran.stderr);
        await showsExactly(search, prefix, lines, name);

        const another = await taxiflow([...flowOf(folder, search, prefix), ...TO_END, '--app', 'another']);
        assert.equal(another.code, 1, another.stderr);
        assert.match(another.stderr, /taxi-trip-events.*"another".*\nTry: .*--index-prefix/s);
        await showsExactly(search, prefix, lines, `${name}, after another app was refused`);
      });
    }

    await t.test('the aliases that es-setup made, which finds them as it left them', async (t) => {
      const setup = ['es-setup', '--endpoint', search.endpoint, '--index-prefix', 'set-up-'];
      assert.equal((await taxiflow(setup)).code, 0);
      const { folder } = await replayed(t, [fixture('yellow-2015.csv')]);
      const { lines } = await expectedLines([fixture('yellow-2015.csv')]);
      const ran = await taxiflow([...flowOf(folder, search, 'set-up-'), ...TO_END, '--json']);
      assert.equal(ran.code, 0, ran.stderr);
      const { sinks } = ran.json<{ sinks: { delivered: number; pending: number; rejected: number }[] }>();
      assert.deepEqual(
        sinks.map(({ delivered, pending, rejected }) => [delivered, pending, rejected]),
        [[lines.length, 0, 0]],
        'what the outcome says of the sink',
      );
      await showsExactly(search, 'set-up-', lines, 'through aliases');
      const check = await taxiflow([...setup, '--check']);
      assert.equal(check.code, 0, check.stdout);
    });

    await t.test('O2 a state that was made later has the last word', async (t) => {
      const [first = '', second = ''] = [1, 2].map((seed) => madeTrips(temporaryFolder(t), 2_000, seed));
      for (const files of [[first, second], [first]]) {
        const { folder } = await replayed(t, files);
        const ran = await taxiflow([...flowOf(folder, search, 'stale-'), ...TO_END]);
        assert.equal(ran.code, 0, ran.stderr);
      }
      const byId = new Map<string, string>();
      for (const files of [[first, second], [first]])
        for (const line of (await expectedLines(files)).lines) byId.set(idOf(line), line);
      await showsExactly(search, 'stale-', [...byId.values()].sort(), 'results of both states');
    });

    await t.test('indices that somebody took away are filled again', async (t) => {
      const { folder } = await replayed(t, [fixture('yellow-2015.csv')]);
      const { lines } = await expectedLines([fixture('yellow-2015.csv')]);
      const flow = [...flowOf(folder, search, 'gone-'), ...TO_END];
      assert.equal((await taxiflow(flow)).code, 0);
      for (const gone of [VIEWS, VIEWS.slice(0, 1), VIEWS.slice(1)]) {
        for (const view of gone) await search.request('DELETE', `/gone-${view}-000001`);
        assert.equal((await taxiflow(flow)).code, 0);
        await showsExactly(search, 'gone-', lines, `${gone.join(' and ')} filled again`);
      }
    });

    await t.test('O4 an index that goes while process runs is made anew, and loses nothing', (t) =>
      indexGone(t, search),
    );

    await t.test('C3 a sink that is added later is filled from the first result', async (t) => {
      const { folder } = await replayed(t, [fixture('yellow-2015.csv')]);
      const { lines } = await expectedLines([fixture('yellow-2015.csv')]);
      const output = join(folder, 'out.ndjson');
      const only = ['process', '--data-dir', folder, ...TO_END, '--output', output];
      assert.equal((await taxiflow(only)).code, 0);
      const both = [...flowOf(folder, search, 'later-'), ...TO_END, '--output', output];
      const ran = await taxiflow(both);
      assert.equal(ran.code, 0, ran.stderr);
      await showsExactly(search, 'later-', lines, 'the added sink');
      sameLines(resultsIn(output), lines, 'the output that was there before');
    });

    await t.test('a corrected result takes the place of the one before', async (t) => {
      const files = [1, 2].map((seed) => madeTrips(temporaryFolder(t), 3_000, seed));
      const folder = temporaryFolder(t);
      for (const file of files) {
        await new Line(folder, [file], 4).replay();
        const flow = [...flowOf(folder, search, 'corrected-'), ...TO_END, '--allowed-lateness', '1000d'];
        const ran = await taxiflow([...flow, '--output', join(folder, 'out.ndjson')]);
        assert.equal(ran.code, 0, ran.stderr);
      }
      const { lines } = await expectedLines(files);
      assert.ok(
        resultsIn(join(folder, 'out.ndjson')).length > lines.length,
        'no result was corrected, so nothing was tried',
      );
      await showsExactly(search, 'corrected-', lines, 'both files');
    });

    await t.test('a result that is taken back is deleted', (t) => takenBack(t, search));

    for (const block of ['write', 'read_only_allow_delete']) {
      await t.test(`results wait for the block ${block} to be lifted, and hold nobody up`, async (t) => {
        const prefix = `${block.replaceAll('_', '-')}-`;
        const file = fixture('yellow-2015.csv');
        for (const view of VIEWS) await makeIndex(search, prefix, view);
        const set = (on: true | null) =>
          search.request('PUT', `/${prefix}pickup_count/_settings`, { [`index.blocks.${block}`]: on });
        await set(true);
        const { folder } = await replayed(t, [file]);
        const output = join(folder, 'out.ndjson');
        const flow = [...flowOf(folder, search, prefix), '--output', output];
        const process = following(t, flow);
        await process.until('the setting is named', () => process.said().includes(`index.blocks.${block}`));
        const fired = resultsIn(output);
        assert.ok(fired.length > 0, 'the other sink has its results');
        const held = (await documents(search, prefix)).filter((line) => line.includes('"pickup_count"'));
        assert.deepEqual(held, [], 'nothing gets past the block');

        await set(null);
        await process.until('all are there', async () => (await countOf(search, prefix)) >= fired.length);
        assert.equal((await process.interrupt()).code, 130);
        const last = await taxiflow([...flow, ...TO_END]);
        assert.equal(last.code, 0, last.stderr);
        await showsExactly(search, prefix, (await expectedLines([file])).lines, `after the block ${block}`);
        await noDeadLetters(folder);
      });
    }

    await t.test('process refuses an index whose mapping contradicts the views', async (t) => {
      await makeIndex(search, 'wrong-', 'pickup_count', { fields: { location: { type: 'text' } } });
      await makeIndex(search, 'wrong-', 'trip_duration');
      const { folder } = await replayed(t, [fixture('yellow-2015.csv')]);
      const ran = await taxiflow([...flowOf(folder, search, 'wrong-'), ...TO_END]);
      assert.equal(ran.code, 1, ran.stderr);
      assert.match(ran.stderr, /location/, 'what is wrong');
      assert.match(ran.stderr, /wrong-pickup_count/, 'where');
      assert.match(ran.stderr, /taxiflow es-setup/, 'what mends it');
      assert.equal(await countOf(search, 'wrong-'), 0, 'nothing was written');
    });

    await t.test('what an index no longer takes becomes dead letters, and nothing else is lost', (t) =>
      contradictedWhileRunning(t, search),
    );
  });

  it('agree with the oracle when the server is too small for them', async (t) => {
    const search = await startOpenSearch(t, {
      settings: {
        'node.processors': '1',
        'thread_pool.write.size': '1',
        'thread_pool.write.queue_size': '1',
        'http.max_content_length': '48kb',
      },
    });
    await tooSmall(t, search);
  });
});

/** An index is deleted while process runs; later an alias has no index to write to, which is no fault of the documents. */
async function indexGone(t: TestContext, search: OpenSearch): Promise<void> {
  const file = madeTrips(temporaryFolder(t), 10_000, 6);
  const line = new Line(temporaryFolder(t), [file], 4);
  const output = join(line.folder, 'out.ndjson');
  const flow = [...flowOf(line.folder, search, 'away-'), '--output', output];
  const process = following(t, flow);
  const there = async () => {
    const fired = resultsIn(output).length;
    return fired > 0 && (await countOf(search, 'away-').catch(() => 0)) === fired;
  };
  await line.replay({ until: Date.UTC(2016, 0, 11, 8) });
  await process.until('the night is there', there);
  const night = resultsIn(output).length;

  await search.request('DELETE', '/away-trip_duration-000001');
  await line.replay({ until: Date.UTC(2016, 0, 11, 16), resume: true });
  await process.until('the morning is there', () => resultsIn(output).length > night);
  await process.until('and what was taken away', there);
  assert.match(process.said(), /away-trip_duration is gone; it is created again/);
  const day = resultsIn(output).length;

  const writes = (on: boolean) => ({
    add: { index: 'away-pickup_count-000001', alias: 'away-pickup_count', is_write_index: on },
  });
  await search.request('POST', '/_aliases', { actions: [writes(false)] });
  // The sink looks at its alias once a second at most, so results come until it has.
  const isTold = () => process.said().includes('taxiflow es-setup');
  for (let until = Date.UTC(2016, 0, 11, 16, 20); !isTold(); until += 20 * 60_000) {
    assert.ok(until < Date.UTC(2016, 0, 12), 'what to do is told');
    const before = resultsIn(output).length;
    await line.replay({ until, resume: true });
    await process.until('results fire', () => resultsIn(output).length > before);
    await process.until('they are there, or it is told why not', async () => isTold() || (await there()));
  }
  await search.request('POST', '/_aliases', { actions: [writes(true)] });
  await line.replay({ resume: true });
  await process.until('the evening is there', () => resultsIn(output).length > day);
  await process.until('all is there', there);
  assert.equal((await process.interrupt()).code, 130);
  const last = await taxiflow([...flow, ...TO_END]);
  assert.equal(last.code, 0, last.stderr);
  await showsExactly(search, 'away-', (await expectedLines([file])).lines, 'after both');
  await noDeadLetters(line.folder);
}

/** An index is replaced by one that takes whole minutes only; its averages are often none. */
async function contradictedWhileRunning(t: TestContext, search: OpenSearch): Promise<void> {
  const prefix = 'turned-';
  const file = madeTrips(temporaryFolder(t), 30_000, 3);
  for (const view of VIEWS) await makeIndex(search, prefix, view);
  const line = new Line(temporaryFolder(t), [file], 4);
  const { lines } = await expectedLines([file]);
  const firedBy = (ms: number | undefined) =>
    lines.filter((line) => Date.parse((JSON.parse(line) as { timestamp: string }).timestamp) <= ms!);

  const morning = await line.replay({ until: Date.UTC(2016, 0, 11, 12) });
  const process = following(t, flowOf(line.folder, search, prefix));
  const before = firedBy(morning.lastDropoff);
  await process.until(
    'the morning is there',
    async () => (await countOf(search, prefix).catch(() => 0)) === before.length,
  );
  await makeIndex(search, prefix, 'trip_duration', {
    fields: { avg_trip_duration: { type: 'long', coerce: false } },
  });
  const evening = await line.replay({ resume: true });
  const fired = firedBy(evening.lastDropoff);
  const rides = fired.filter((line) => line.includes('"trip_duration"') && !before.includes(line));
  const refused = rides.filter(
    (line) => !Number.isInteger((JSON.parse(line) as { avg_trip_duration: number }).avg_trip_duration),
  );
  assert.ok(refused.length > 0 && refused.length < rides.length, 'the index takes all or none of the rides');
  const kept = [
    ...fired.filter((line) => !line.includes('"trip_duration"')),
    ...rides.filter((line) => !refused.includes(line)),
  ];
  await process.until('the evening is there', async () => (await countOf(search, prefix)) === kept.length);
  await process.until(
    'what was refused is told',
    async () => (await deadLetters(line.folder)).length >= refused.length,
  );
  assert.equal((await process.interrupt()).code, 130);
  sameLines(await documents(search, prefix), kept, 'documents');
  const letters = await deadLetters(line.folder);
  sameLines(comparable(letters.map(({ raw }) => raw).join('\n')), refused, 'dead letters');
  for (const { detail } of letters) assert.match(detail, /avg_trip_duration/, "the server's own reason");
}

/** Old and corrected results of the same windows at once, into four shards behind a queue of one. */
async function tooSmall(t: TestContext, search: OpenSearch): Promise<void> {
  const files = [4, 5].map((seed) => madeTrips(temporaryFolder(t), 4_000, seed));
  const folder = temporaryFolder(t);
  const output = ['--output', join(folder, 'out.ndjson'), '--allowed-lateness', '1000d'];
  for (const file of files) {
    await new Line(folder, [file], 4).replay();
    const ran = await taxiflow(['process', '--data-dir', folder, ...TO_END, ...output]);
    assert.equal(ran.code, 0, ran.stderr);
  }
  const prefix = 'small-';
  for (const view of VIEWS) await makeIndex(search, prefix, view, { settings: { number_of_shards: 4 } });
  const seen = { tooLarge: 0, rejected: 0, packed: 0 };
  const proxy = await proxied(t, search.endpoint, async (bulk) => {
    const reply = await bulk.forward();
    if (bulk.headers['content-encoding'] === 'gzip') seen.packed++;
    if (reply.httpStatus === 413) seen.tooLarge++;
    seen.rejected += itemsOf(reply).filter(({ status }) => status === 429).length;
    return reply;
  });
  const ran = await taxiflow([...flowOf(folder, proxy, prefix), ...TO_END, ...output]);
  assert.equal(ran.code, 0, ran.stderr);
  await showsExactly(search, prefix, (await expectedLines(files)).lines, 'the last version of each');
  await noDeadLetters(folder);
  assert.ok(seen.tooLarge > 0, 'no batch was too large, so nothing was tried');
  assert.ok(seen.rejected > 0, 'no document was turned away, so nothing was tried');
  assert.ok(seen.packed > 0, 'requests are packed');
  t.diagnostic(`${seen.tooLarge} batches too large, ${seen.rejected} documents turned away`);
}

interface Letter {
  readonly reason: string;
  readonly source: string;
  readonly detail: string;
  readonly raw: string;
}

async function deadLetters(folder: string): Promise<Letter[]> {
  const { stdout } = await taxiflow(['dead-letters', '--data-dir', folder, '--format', 'ndjson']);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Letter);
}

async function noDeadLetters(folder: string): Promise<void> {
  assert.deepEqual(await deadLetters(folder), []);
}
