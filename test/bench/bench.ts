/**
 * `npm run bench`: what taxiflow costs, as ratios against something measured in the same run, in turn.
 * `npm run bench -- kinesis` runs one part, and `-- flink` and `-- cluster` those beside a real Flink. Exits 1 when a floor isn't met.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { parse } from 'csv-parse';
import { systemClock } from '../../dist/clock.js';
import { Dataset } from '../../dist/dataset/dataset.js';
import { generateCsv } from '../../dist/dataset/generator/generate.js';
import { DeadLetterBuffer } from '../../dist/dead-letters.js';
import { Engine } from '../../dist/engine/engine.js';
import { runProcess } from '../../dist/engine/run.js';
import type { StateIdentity, StateStore } from '../../dist/engine/state-store.js';
import { TripColumns } from '../../dist/events/columns.js';
import { decoderOf, recordBytes } from '../../dist/events/decode.js';
import { TRIP_FIELD_NAMES } from '../../dist/events/trip.js';
import { ReplayLedger } from '../../dist/replay/ledger.js';
import { runReplay } from '../../dist/replay/run.js';
import { SqliteState } from '../../dist/state/store.js';
import { LocalStream } from '../../dist/streams/local/log.js';
import type { RecordBatch } from '../../dist/streams/ports.js';
import { checkViews } from '../../dist/views/check.js';
import type { View } from '../../dist/views/language.js';
import { taxiViews } from '../../dist/views/taxi.js';
import { ROOT } from '../files.ts';
import { clusterBench } from './cluster.ts';
import { CELLS, flinkBench, type Sums } from './flink.ts';
import { kinesisBench } from './kinesis.ts';
import { compare, ROUNDS, TRIPS } from './measure.ts';
import { openSearchBench } from './opensearch.ts';
import { pagesBench } from './pages.ts';
import { playingBench } from './playing.ts';

const folder = mkdtempSync(join(tmpdir(), 'taxiflow-bench-'));
const csv = join(folder, 'trips.csv');
const never = new AbortController().signal;

async function replayInto(dataDir: string, createShards = 8): Promise<void> {
  const stream = LocalStream.open({ dataDir, name: 'bench', clock: systemClock, createShards });
  const ledger = new ReplayLedger(dataDir, systemClock);
  const outcome = await runReplay({
    dataset: await Dataset.open({ paths: [csv], dataDir }),
    writer: stream,
    ledger: () => ledger,
    rejected: new DeadLetterBuffer(0),
    clock: systemClock,
    speedup: Number.POSITIVE_INFINITY,
    adaptTime: 'original',
    watermarks: true,
    resume: false,
    signal: never,
  });
  if (outcome.acknowledged !== TRIPS) throw new Error(`replayed ${outcome.acknowledged} of ${TRIPS}`);
  ledger.close();
  await stream.close();
}

/** All of a stream, without sinks. */
function processTo(
  store: StateStore,
  run: Pick<Parameters<typeof runProcess>[0], 'reader' | 'views' | 'checkpointInterval' | 'drain'>,
) {
  return runProcess({
    ...run,
    store,
    deadLetters: new DeadLetterBuffer(0),
    sinks: [],
    clock: systemClock,
    from: { at: 'trim-horizon' },
    eventTime: 'dropoff',
    allowedLateness: 0,
    untilEnd: () => true,
    signal: never,
  });
}

async function processAll(
  dataDir: string,
  app: string,
  trips = TRIPS,
  views: readonly View[] = taxiViews(),
): Promise<void> {
  const reader = LocalStream.open({ dataDir, name: 'bench', clock: systemClock });
  const store = SqliteState.open({ dataDir, app, identity: identityOf(dataDir, views) });
  const { counters } = await processTo(store, { reader, views, checkpointInterval: 1_000, drain: true });
  if (counters.processed + counters.filtered !== trips)
    throw new Error(`processed ${JSON.stringify(counters)}`);
  store.close();
  await reader.close();
}

function identityOf(dataDir: string, views: readonly View[] = taxiViews()): StateIdentity {
  return { stream: dataDir, views: JSON.stringify(views), settings: '' };
}

/** Every record as JSON. */
async function allBatches(dataDir: string): Promise<RecordBatch[]> {
  const stream = LocalStream.open({ dataDir, name: 'bench', clock: systemClock });
  const batches: RecordBatch[] = [];
  for (const { id } of await stream.shards()) {
    let batch = await stream.read(id, { at: 'trim-horizon' }, 4_000);
    while (batch.count > 0) {
      batches.push({ ...batch, ...recordBytes(batch), packed: [] });
      batch = await stream.read(id, batch.next, 4_000);
    }
  }
  await stream.close();
  return batches;
}

function parseAll(batches: readonly RecordBatch[]): void {
  let ids = 0;
  for (const { data, ends, count } of batches) {
    for (let i = 0, start = 0; i < count; i++) {
      ids += JSON.parse(data.toString('utf8', start, ends[i]!)).trip_id ?? 0;
      start = ends[i]!;
    }
  }
  if (ids === 0) throw new Error('nothing parsed');
}

async function csvParseAlone(): Promise<void> {
  let rows = 0;
  for await (const _ of createReadStream(csv, { highWaterMark: 1 << 18 }).pipe(
    parse({ relax_column_count: true }),
  ))
    rows++;
  if (rows !== TRIPS + 1) throw new Error(`csv-parse read ${rows} rows`);
}

/** DuckDB's batch answer to both views on the same records, one thread: the aim, not a floor. */
async function duckDb(ndjson: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  const at = (end: string) =>
    `${end}_lat BETWEEN 40.56 AND 40.878 AND ${end}_lon BETWEEN -74.054 AND -73.722`;
  const columns =
    'trip_id BIGINT, pickup_datetime VARCHAR, dropoff_datetime VARCHAR, pickup_lat DOUBLE, pickup_lon DOUBLE, dropoff_lat DOUBLE, dropoff_lon DOUBLE';
  const spec = columns
    .split(', ')
    .map((column) => column.replace(/ /, ": '"))
    .join("', ");
  await connection.run(`CREATE TABLE t AS SELECT *, epoch_ms(dropoff_datetime::TIMESTAMP) AS d, epoch_ms(pickup_datetime::TIMESTAMP) AS p
    FROM read_json('${ndjson}', format='newline_delimited', columns={${spec}'})`);
  const cell =
    'floor((pickup_lon + 180) / 360 * 32768)::INT AS x, floor((pickup_lat + 90) / 180 * 32768)::INT AS y';
  await connection.run(`SELECT d // 600000 AS w, ${cell}, count(*) AS n FROM t WHERE ${at('pickup')} AND ${at('dropoff')}
    GROUP BY ALL HAVING n >= 2`);
  await connection.run(`SELECT d // 600000 AS w, ${cell},
      CASE WHEN dropoff_lat BETWEEN 40.632 AND 40.654 AND dropoff_lon BETWEEN -73.8 AND -73.761 THEN 'JFK'
           WHEN dropoff_lat BETWEEN 40.766 AND 40.778 AND dropoff_lon BETWEEN -73.881 AND -73.859 THEN 'LGA' END AS code,
      count(*) AS n, sum((d - p) // 60000) AS s FROM t WHERE ${at('pickup')} AND code IS NOT NULL GROUP BY ALL HAVING n > 1`);
  connection.closeSync();
}

/** DuckDB reads the file, sorts it by drop-off and writes the same fields as JSON, one thread. */
async function duckDbSorts(): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run(`COPY (
    SELECT VendorID AS vendor_id, tpep_pickup_datetime AS pickup_datetime, tpep_dropoff_datetime AS dropoff_datetime,
      passenger_count, trip_distance, pickup_latitude AS pickup_lat, pickup_longitude AS pickup_lon,
      dropoff_latitude AS dropoff_lat, dropoff_longitude AS dropoff_lon, total_amount
    FROM read_csv('${csv}') ORDER BY tpep_dropoff_datetime) TO '${join(folder, 'sorted.json')}' (FORMAT json)`);
  connection.closeSync();
}

let runs = 0;

async function replayOnce(shards = 8): Promise<void> {
  const fresh = join(folder, `replay${runs++}`);
  await replayInto(fresh, shards);
  rmSync(fresh, { recursive: true });
}

async function lineBench(data: string, batches: readonly RecordBatch[]): Promise<boolean> {
  const columns = new TripColumns();
  const decode = decoderOf(TRIP_FIELD_NAMES);
  const met: boolean[] = [];
  met.push(
    await compare(
      'decode a trip / JSON.parse of the same bytes',
      2.5,
      () => {
        for (const batch of batches) decode(batch, columns);
      },
      () => parseAll(batches),
    ),
  );
  let app = 0;
  met.push(
    await compare(
      'process, 8 shards, 2 views, 1 s checkpoints / JSON.parse alone',
      4,
      () => processAll(data, `run${app++}`),
      () => parseAll(batches),
    ),
  );
  const ndjson = join(folder, 'records.ndjson');
  for (const batch of batches) writeFileSync(ndjson, batch.data, { flag: 'a' });
  met.push(
    await compare(
      'process / DuckDB, 1 thread, batch, from NDJSON',
      1.4,
      () => processAll(data, `run${app++}`),
      () => duckDb(ndjson),
    ),
  );
  met.push(
    await compare(
      'replay --speedup max from CSV / csv-parse alone (arrays)',
      2.2,
      () => replayOnce(),
      csvParseAlone,
    ),
  );
  met.push(
    await compare('replay / DuckDB, 1 thread: CSV sorted to JSON', 0.85, () => replayOnce(), duckDbSorts),
  );
  return met.every(Boolean);
}

/** One shard, for a thread of Flink reads one file. */
async function besideFlink(): Promise<boolean> {
  const data = join(folder, 'one-shard');
  await replayInto(data, 1);
  return flinkBench(folder, await allBatches(data), {
    process: (app) => processAll(data, app, TRIPS, CELLS),
    sums: (app) => sumsIn(data, app),
  });
}

function sumsIn(dataDir: string, app: string): Sums {
  const store = SqliteState.open({ dataDir, app, identity: identityOf(dataDir, CELLS) });
  const sums = { results: 0, trips: 0 };
  for (const { docs } of store.outbox.firingsFrom(1))
    for (const { pickup_count } of JSON.parse(docs) as { pickup_count: number }[]) {
      sums.results++;
      sums.trips += pickup_count;
    }
  store.close();
  return sums;
}

async function searchBench(data: string): Promise<boolean> {
  await processAll(data, 'search');
  const store = SqliteState.open({ dataDir: data, app: 'search', identity: identityOf(data) });
  try {
    return await openSearchBench(store.outbox);
  } finally {
    store.close();
  }
}

/** Shapes of data that once fell off a cliff, and what is told in ms and bytes. */
async function shapesBench(data: string): Promise<boolean> {
  const met = [
    await compare(
      'replay into 64 shards / into 8',
      0.8,
      () => replayOnce(64),
      () => replayOnce(),
    ),
  ];
  const gaps = join(folder, 'gaps');
  cpSync(data, gaps, { recursive: true });
  const stream = LocalStream.open({ dataDir: gaps, name: 'bench', clock: systemClock });
  const shards = stream.describe();
  const records = shards.reduce((sum, shard) => sum + shard.records!, 0);
  const watermarks = (records - TRIPS) / shards.length;
  const left = TRIPS + watermarks - stream.trim(Date.now(), 'shardId-000000000003');
  await stream.close();
  met.push(
    await compare(
      'process with gaps in the ids (a shard of 8 trimmed) / dense',
      0.95,
      () => processAll(gaps, `gaps${runs++}`, left),
      () => processAll(data, `dense${runs++}`),
    ),
  );
  const { size } = statSync(join(data, 'streams', 'bench.sqlite'));
  met.push(told('stream on disk, MB for a million trips', size / TRIPS, 120));
  for (const [name, views, least] of [
    ['the two views', taxiViews(), 0],
    ['a key for each trip', keyForEachTrip(), TRIPS / 4],
  ] as const) {
    const { pauses, reopened } = await pausesOf(data, views);
    told(`longest checkpoint, ${name}, ms`, Math.max(...pauses));
    if (least > 0) told('a state of that many keys read back, ms', reopened);
  }
  met.push(told('taxiflow --help, ms', await helpTime(), 150));
  return met.every(Boolean);
}

/** Prints a figure; false when it is above `most`. */
function told(name: string, value: number, most?: number): boolean {
  const met = most === undefined || value <= most;
  const limit = most === undefined ? '' : `  at most ${most} ${met ? 'met' : 'NOT MET'}`;
  console.log(`${name.padEnd(58)} ${value.toFixed(value < 10 ? 1 : 0)}${limit}`);
  return met;
}

function keyForEachTrip(): readonly View[] {
  return checkViews([
    {
      name: 'each',
      by: { id: { op: 'field', name: 'trip_id' } },
      window: { kind: 'tumbling', size_ms: 30 * 86_400_000 },
      aggregates: {
        trips: { fn: 'count' },
        amount: { fn: 'sum', of: { op: 'field', name: 'total_amount' } },
      },
    },
  ]);
}

/** Ms of each checkpoint of a run that leaves its windows open, and of opening its state again. */
async function pausesOf(
  dataDir: string,
  views: readonly View[],
): Promise<{ pauses: number[]; reopened: number }> {
  const reader = LocalStream.open({ dataDir, name: 'bench', clock: systemClock });
  const identity = identityOf(dataDir, views);
  const app = `pauses${runs++}`;
  const state = SqliteState.open({ dataDir, app, identity });
  const pauses: number[] = [];
  const store: StateStore = {
    stored: state.stored,
    block: (place) => state.block(place),
    firstKey: (place) => state.firstKey(place),
    rewrite: (blocks) => state.rewrite(blocks),
    put: (blocks) => state.put(blocks),
    drop: (window) => state.drop(window),
    commit: (checkpoint) => {
      state.commit(checkpoint);
      pauses.push(state.lastCheckpoint.durationMs);
    },
  };
  await processTo(store, { reader, views, checkpointInterval: 100, drain: false });
  state.close();
  await reader.close();
  const began = performance.now();
  const again = SqliteState.open({ dataDir, app, identity });
  new Engine({ views, store: again, deadLetters: new DeadLetterBuffer(0), stream: '', eventTime: 'dropoff', allowedLateness: 0, memoryLimit: 256 << 20 }); // biome-ignore format: options as they are in a run
  const reopened = performance.now() - began;
  again.close();
  return { pauses, reopened };
}

/** Median ms of the whole process. */
async function helpTime(): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 2 * ROUNDS + 1; round++) {
    const began = performance.now();
    execFileSync(process.execPath, [join(ROOT, 'bin', 'taxiflow.js'), '--help'], { stdio: 'ignore' });
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[ROUNDS]!;
}

const PARTS: Record<string, (data: string, batches: readonly RecordBatch[]) => Promise<boolean>> = {
  line: lineBench,
  shapes: shapesBench,
  kinesis: (_, batches) => kinesisBench(batches),
  opensearch: searchBench,
  pages: (data) => pagesBench(data, processAll),
  playing: () => playingBench(),
  flink: besideFlink,
  cluster: () => clusterBench(folder, csv),
};
/** Minutes long; it is measured when it is asked for. */
const BY_NAME_ONLY = new Set(['flink', 'cluster', 'playing']);

async function main(): Promise<boolean> {
  const wanted = process.argv.slice(2);
  console.log(
    `${TRIPS.toLocaleString('en-US')} trips of 2 days, ${ROUNDS} rounds, Node ${process.version}; the ratio is median (least…greatest)`,
  );
  const options = {
    trips: TRIPS,
    from: '2016-01-11',
    hours: 48,
    seed: 1,
    layout: 'yellow-2015' as const,
    dirty: 0,
  };
  writeFileSync(csv, '');
  for (const chunk of generateCsv(options)) writeFileSync(csv, chunk, { flag: 'a' });
  const data = join(folder, 'data');
  await replayInto(data);
  const batches = await allBatches(data);
  let met = true;
  for (const [name, part] of Object.entries(PARTS))
    if (wanted.length === 0 ? !BY_NAME_ONLY.has(name) : wanted.includes(name))
      met = (await part(data, batches)) && met;
  console.log(
    `Load of the machine: ${loadavg()[0]!.toFixed(1)}. Not measured: reading from a cold disk, several processes at once, Flink unless it is named.`,
  );
  return met;
}

mkdirSync(folder, { recursive: true });
try {
  if (!(await main())) process.exitCode = 1;
} finally {
  if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
}
