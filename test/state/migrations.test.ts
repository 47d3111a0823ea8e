/** A state of format 3 goes on in this build as if it had always been one of this build. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { crc32 } from 'node:zlib';
import { openProcessor } from '../../src/app/processor.ts';
import { systemClock } from '../../src/clock.ts';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import type { StateIdentity } from '../../src/engine/state-store.ts';
import { OpenSearchSink } from '../../src/sinks/opensearch/sink.ts';
import { Database } from '../../src/sqlite.ts';
import { statePath } from '../../src/state/files.ts';
import { streamIdentity } from '../../src/state/identity.ts';
import { StateReader } from '../../src/state/reader.ts';
import { SqliteState } from '../../src/state/store.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import { checkViews } from '../../src/views/check.ts';
import { count, tumbling, type View, view } from '../../src/views/language.ts';
import { putRecords, run } from '../cli/model.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { ModelServer } from '../sinks/opensearch-model.ts';
import { ALLOWED_LATENESS, type Expected, expectedResults, FIRST_HALF, SECOND_HALF } from './format-3.ts';

const APP = 'job';
const STREAM = 'taxi-trip-events';
const SEARCH = 'http://search:9200';
/** As the state names it. */
const OUTPUT = 'ndjson:/data/out.ndjson';
/** The end of the lines that were delivered to it. */
const OUTPUT_BYTES = 1_677;

/** A data folder with a state of format 3, which `change` may change first. */
function stateOfFormat3(t: TestContext, change?: string): string {
  const dataDir = temporaryFolder(t);
  const path = statePath(dataDir, APP);
  mkdirSync(dirname(path), { recursive: true });
  const db = new Database(path);
  db.exec(readFileSync(fixture('state-format-3.sql'), 'utf8'));
  if (change) db.exec(change);
  db.close();
  return dataDir;
}

function identityOf(dataDir: string): StateIdentity {
  const rows = query<{ name: string; value: string }>(dataDir, 'SELECT name, value FROM identity');
  return Object.fromEntries(rows.map(({ name, value }) => [name, value])) as unknown as StateIdentity;
}

function query<Row>(dataDir: string, sql: string): Row[] {
  const db = new Database(statePath(dataDir, APP), { readonly: true });
  try {
    return db.prepare(sql).all() as Row[];
  } finally {
    db.close();
  }
}

const formatOf = (dataDir: string) =>
  query<{ user_version: number }>(dataDir, 'PRAGMA user_version')[0]!.user_version;

const open = (dataDir: string) => SqliteState.open({ dataDir, app: APP, identity: identityOf(dataDir) });

/** Puts the stream that the state was made of, and the file that it wrote, where this folder has them. */
async function moveInto(dataDir: string): Promise<string> {
  await putRecords(dataDir, STREAM, FIRST_HALF);
  const stream = LocalStream.open({ dataDir, name: STREAM, clock: systemClock });
  const output = join(dataDir, 'out.ndjson');
  const name = `ndjson:${output}`;
  const db = new Database(statePath(dataDir, APP));
  db.prepare("UPDATE identity SET value = ? WHERE name = 'stream'").run(streamIdentity(stream));
  // The checksum of format 3 covers the name.
  const crc = crc32(JSON.stringify([name, 10, OUTPUT_BYTES]));
  db.prepare('UPDATE cursors SET sink = ?, crc = ? WHERE sink = ?').run(name, crc, OUTPUT);
  const docs = db.prepare('SELECT doc FROM results ORDER BY number').pluck().all() as string[];
  db.close();
  await stream.close();
  writeFileSync(output, docs.map((doc) => `${doc}\n`).join(''));
  assert.equal(statSync(output).size, OUTPUT_BYTES, 'the file that the state left');
  return output;
}

const viewsOf = (dataDir: string) => checkViews(JSON.parse(identityOf(dataDir).views) as View[]);

/** The results of all windows as an output has them: of one window and vendor, the last line counts. */
function resultsIn(path: string): Expected[] {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  const latest = new Map<string, Expected>();
  for (const line of lines) {
    const { window_start, vendor, trips, parties, fares } = JSON.parse(line) as Expected;
    latest.set(`${window_start} ${vendor}`, { window_start, vendor, trips, parties, fares });
  }
  return [...latest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, result]) => result);
}

describe('a state of format 3', () => {
  it('goes on to the results of a job that was never interrupted, each line written once', async (t) => {
    const dataDir = stateOfFormat3(t);
    const output = await moveInto(dataDir);
    await putRecords(dataDir, STREAM, SECOND_HALF);
    const notes: string[] = [];
    const processor = await openProcessor({
      dataDir,
      app: APP,
      views: viewsOf(dataDir),
      allowedLateness: ALLOWED_LATENESS,
      untilEnd: true,
      drain: true,
      output,
      onNote: (note) => notes.push(note),
    });
    assert.equal(processor.goesOn, true);
    const { totals, sinks } = await processor.run();
    assert.deepEqual(
      notes.filter((note) => !note.startsWith('--drain: ')),
      [],
    );
    assert.deepEqual(
      { processed: totals.processed, duplicate: totals.duplicate, late: totals.late },
      { processed: 81, duplicate: 5, late: 1 },
    );
    assert.deepEqual(resultsIn(output), expectedResults());
    // 8 windows of 3 vendors, and one correction.
    assert.equal(readFileSync(output, 'utf8').split('\n').length - 1, 25);
    assert.deepEqual(sinks.map(({ delivered, pending }) => [delivered, pending]), [[25, 0]]); // biome-ignore format: one line
    assert.equal(formatOf(dataDir), 7);
  });

  it('knows the end of each open window', (t) => {
    const dataDir = stateOfFormat3(t);
    const state = open(dataDir);
    t.after(() => state.close());
    const spans = state.stored?.windows.map(({ windowStart, windowEnd }) => [windowStart, windowEnd]);
    const at = (minute: number) => Date.UTC(2016, 0, 14, 0, minute);
    assert.deepEqual(spans, [20, 30, 40].map((minute) => [at(minute), at(minute + 10)])); // biome-ignore format: one line
  });

  it('leaves each sink where it stood, in the words of the sink', async (t) => {
    const dataDir = stateOfFormat3(t);
    const state = open(dataDir);
    t.after(() => state.close());
    const search = `opensearch ${SEARCH}`;
    assert.deepEqual(state.outbox.cursor(OUTPUT), { delivered: 10, position: '{"bytes":1677}' });
    const before = state.outbox.cursor(search);
    assert.deepEqual(before, { delivered: 4, position: '{"told":7}' });
    assert.equal(state.outbox.destinations(search), '{"some":"destinations"}');
    assert.deepEqual(state.outbox.windowDestinations(search), [
      { view: 'vendors', windowStart: Date.UTC(2016, 0, 14), destination: 'vendors-000001' },
    ]);
    const sink = new OpenSearchSink({
      client: new ModelServer(randomNumbers(1)).clientOf(() => true),
      url: SEARCH,
      prefix: '',
      views: [],
      outbox: { ...sinkView(state), destinations: () => undefined },
      deadLetters: new DeadLetterBuffer(10),
      owner: { app: APP, stream: STREAM },
      clock: systemClock,
      onTrouble: () => {},
    });
    const { delivered, pending, rejected } = sink.status();
    assert.deepEqual({ delivered, pending, rejected }, { delivered: 3, pending: 6, rejected: 1 });
    assert.deepEqual(state.outbox.cursor(search), before, 'a sink that opens notes where it stands');
  });

  it('loses the secrets in the names of its sinks, and keeps where they stood and what they refused', (t) => {
    const dataDir = stateOfFormat3(t);
    const state = open(dataDir);
    const name = 'opensearch https://h:9200/x p';
    assert.deepEqual(
      state.outbox.cursor(name),
      { delivered: 5, position: '{"told":9}' },
      'nothing is passed over',
    );
    assert.equal(state.outbox.refused(name), 2);
    state.close();
    const reader = new StateReader(dataDir, APP);
    t.after(() => reader.close());
    assert.deepEqual(
      reader.cursors().map((cursor) => cursor.name),
      [OUTPUT, `opensearch ${SEARCH}`, name],
    );
    assert.equal(readFileSync(statePath(dataDir, APP)).includes('token='), false, 'also not in a free page');
  });

  it('is brought up to date once, and has the tables of a new state then', (t) => {
    const dataDir = stateOfFormat3(t, 'DROP TABLE destinations; DROP TABLE window_destinations');
    open(dataDir).close();
    open(dataDir).close();
    const afresh = temporaryFolder(t);
    const made = SqliteState.open({ dataDir: afresh, app: APP, identity: identityOf(dataDir) });
    t.after(() => made.close());
    const tables = (folder: string) =>
      query(
        folder,
        `SELECT s.type, s.name AS "table", c.name, c.type AS of, c."notnull", c.pk
         FROM sqlite_schema s LEFT JOIN pragma_table_info(s.name) c ORDER BY s.name, c.cid`,
      );
    assert.deepEqual(tables(dataDir), tables(afresh));
    assert.equal(formatOf(dataDir), formatOf(afresh));
  });

  for (const [what, change] of Object.entries({
    // The last one that is looked at: what was done for those before it is undone.
    cursor: "UPDATE cursors SET bytes = bytes + 1 WHERE sink LIKE '%token=two%'",
    pane: "UPDATE panes SET rows = replace(rows, '102', '103')",
    'name of a sink': "UPDATE cursors SET sink = 'ndjson:/other' WHERE sink LIKE 'ndjson:%'",
  })) {
    it(`is refused with a damaged ${what}, and nothing is changed`, (t) => {
      const dataDir = stateOfFormat3(t, change);
      const everything = () =>
        ['panes', 'cursors', 'dead_letters', 'dead_letter_counts', 'run'].map((table) =>
          query(dataDir, `SELECT * FROM ${table}`),
        );
      const before = everything();
      assert.throws(() => open(dataDir), {
        code: 'damaged',
        message: what === 'pane' ? /panes of vendors/ : /the cursor of/,
      });
      assert.equal(formatOf(dataDir), 3);
      assert.deepEqual(everything(), before);
    });
  }

  it('is left alone by another job, and by readers, which say what to do', async (t) => {
    const dataDir = stateOfFormat3(t);
    const identity = { ...identityOf(dataDir), views: '[]' };
    assert.throws(() => SqliteState.open({ dataDir, app: APP, identity }), { code: 'other-state' });
    assert.throws(() => new StateReader(dataDir, APP), {
      code: 'older-format',
      message: /has format 3, this taxiflow reads 7/,
    });
    for (const command of ['status', 'results', 'dead-letters']) {
      const { stderr } = await run([command, '--app', APP, '--data-dir', dataDir], { code: 1 });
      assert.match(stderr, /^Error: .* format 3.*\nTry: run "taxiflow process --app job --data-dir /);
    }
    assert.equal(formatOf(dataDir), 3);
  });
});

it('a state of format 5 goes on, and can be archived then', async (t) => {
  const dataDir = temporaryFolder(t);
  const at = { dataDir, app: APP, untilEnd: true };
  await putRecords(dataDir, STREAM, ['{"type":"trip","dropoff_datetime":"2016-01-01T00:00:00.000Z"}\n']);
  await (await openProcessor(at)).run();
  const db = new Database(statePath(dataDir, APP));
  db.exec('DROP TABLE totals; DROP TABLE archive; DROP TABLE archive_trips; PRAGMA user_version = 5');
  db.close();
  await putRecords(dataDir, STREAM, ['{"type":"trip","dropoff_datetime":"2016-01-01T00:00:00.000Z"}\n']);
  const { totals, sinks } = await (await openProcessor({ ...at, archive: join(dataDir, 'archive') })).run();
  assert.equal(formatOf(dataDir), 7);
  assert.deepEqual([totals.read, sinks[0]!.delivered], [2, 1], 'from now on');
});

it('a state of format 6 goes on: its open windows get totals of all their trips, those that have fired have none', async (t) => {
  const dataDir = temporaryFolder(t);
  const views = checkViews([
    view({ name: 'trips', by: {}, window: tumbling('10m'), aggregates: { n: count() } }),
  ]);
  const at = { dataDir, app: APP, views, untilEnd: true };
  const trip = (minute: number) => `{"type":"trip","dropoff_datetime":"2016-01-01T00:${minute}:00.000Z"}\n`;
  const watermark = (minute: number) =>
    `{"type":"watermark","watermark":"2016-01-01T00:${minute}:00.000Z"}\n`;
  await putRecords(dataDir, STREAM, [trip(11), trip(12), watermark(20), trip(21)]);
  await (await openProcessor(at)).run();
  const db = new Database(statePath(dataDir, APP));
  db.exec('DROP TABLE totals; PRAGMA user_version = 6');
  db.close();
  await putRecords(dataDir, STREAM, [trip(22)]);
  await (await openProcessor({ ...at, drain: true })).run();
  assert.equal(formatOf(dataDir), 7);
  const reader = new StateReader(dataDir, APP);
  t.after(() => reader.close());
  const start = Date.UTC(2016, 0, 1, 0, 20);
  const all = { values: { n: 2 }, of: { n: 2 } };
  assert.deepEqual(
    [...reader.totals('trips')],
    [{ view: 'trips', start, end: start + 600_000, keys: 1, all, groups: [] }],
  );
  assert.equal([...reader.results()].length, 2);
});

it('a state that is older still is refused: it says to process the stream again', (t) => {
  const dataDir = stateOfFormat3(t, 'PRAGMA user_version = 2');
  assert.throws(() => open(dataDir), { code: 'older-format', hint: /process the stream again/ });
  assert.throws(() => new StateReader(dataDir, APP), { code: 'older-format' });
});

/** The outbox as a plain object, so that a test may change some of it. */
function sinkView({ outbox }: SqliteState): ConstructorParameters<typeof OpenSearchSink>[0]['outbox'] {
  return {
    created: outbox.created,
    nextResult: outbox.nextResult,
    end: outbox.end,
    cursor: (sink) => outbox.cursor(sink),
    moveCursor: (sink, cursor, refused) => outbox.moveCursor(sink, cursor, refused),
    refused: (sink) => outbox.refused(sink),
    firingsFrom: (from) => outbox.firingsFrom(from),
    firstOf: (view, start) => outbox.firstOf(view, start),
    refusedDocuments: (name) => outbox.refusedDocuments(name),
    windowsBefore: (view, before) => outbox.windowsBefore(view, before),
    firingsOf: (view, start) => outbox.firingsOf(view, start),
    destinations: (sink) => outbox.destinations(sink),
    setDestinations: (sink, text) => outbox.setDestinations(sink, text),
    windowDestinations: (sink) => outbox.windowDestinations(sink),
    addWindowDestinations: (sink, added) => outbox.addWindowDestinations(sink, added),
  };
}
