/**
 * One view beside a real Flink on the same machine: a thread each, checkpoints each second, the results on disk.
 * Flink reads the trips as JSON lines in the order of their event time and numbers the cells, which costs it less
 * than geohashes; taxiflow reads them from the embedded stream, as `process` does. Both have to come to the same sums.
 */
import { once } from 'node:events';
import { createWriteStream, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordBatch } from '../../dist/streams/ports.js';
import { count, geohash, tumbling, type View, view } from '../../dist/views/language.js';
import { FLINK_VERSION, type Flink, startFlink, withoutFlink } from '../services/flink.ts';
import { compare } from './measure.ts';

/** Pick-ups by cell and ten minutes, those of one trip too. */
export const CELLS: readonly View[] = [
  view({
    name: 'cells',
    by: { location: geohash('pickup', 6) },
    window: tumbling('10m'),
    aggregates: { pickup_count: count() },
  }),
];

export interface Sums {
  /** Windows of a cell. */
  readonly results: number;
  readonly trips: number;
}

/** `ours` processes the same with {@link CELLS} under a new name, whose sums are then told. */
interface Ours {
  process(app: string): Promise<void>;
  sums(app: string): Sums;
}

/** `batches` are one shard's, JSON, in order. */
export async function flinkBench(
  folder: string,
  batches: readonly RecordBatch[],
  ours: Ours,
): Promise<boolean> {
  if (withoutFlink) {
    console.log(`Flink: not measured, ${withoutFlink}`);
    return true;
  }
  const input = join(folder, 'flink.ndjson');
  await writeTrips(input, batches);
  const after: (() => Promise<void>)[] = [];
  const flink = await startFlink({ after: (done: unknown) => after.push(done as () => Promise<void>) });
  try {
    await ours.process('cells');
    const expected = ours.sums('cells');
    let met = true;
    let runs = 0;
    for (const [backend, floor] of [
      ['hashmap', 5.5],
      ['rocksdb', 7.5],
    ] as const)
      met =
        (await compare(
          `process, 1 view / Flink ${FLINK_VERSION}, ${backend}, p1, from NDJSON`,
          floor,
          () => ours.process(`cells${runs}`),
          async () => {
            const output = join(folder, `flink${runs++}`);
            const ms = await cells(flink, { input, output, backend });
            const theirs = sumsOf(output);
            if (theirs.results !== expected.results || theirs.trips !== expected.trips)
              throw new Error(`Flink counts ${JSON.stringify(theirs)}, taxiflow ${JSON.stringify(expected)}`);
            return ms;
          },
        )) && met;
    return met;
  } finally {
    for (const stop of after) await stop();
  }
}

/** Ms of the job, from when it ran: no start of a JVM, no compiling of SQL. */
async function cells(
  flink: Flink,
  { input, output, backend }: { input: string; output: string; backend: string },
): Promise<number> {
  const cell =
    'CAST(FLOOR((pickup_lon + 180) / 360 * 32768) AS INT) AS x, CAST(FLOOR((pickup_lat + 90) / 180 * 32768) AS INT) AS y';
  const { durationMs } = await flink.run([
    "SET 'parallelism.default' = '1'",
    "SET 'execution.runtime-mode' = 'streaming'",
    "SET 'table.local-time-zone' = 'UTC'",
    `SET 'state.backend.type' = '${backend}'`,
    `CREATE TEMPORARY TABLE trips (
       dropoff_datetime TIMESTAMP_LTZ(3), pickup_lat DOUBLE, pickup_lon DOUBLE,
       WATERMARK FOR dropoff_datetime AS dropoff_datetime
     ) WITH ('connector' = 'filesystem', 'path' = 'file://${input}', 'format' = 'json',
             'json.timestamp-format.standard' = 'ISO-8601')`,
    `CREATE TEMPORARY TABLE cells (window_start TIMESTAMP(3), x INT, y INT, trips BIGINT)
     WITH ('connector' = 'filesystem', 'path' = 'file://${output}', 'format' = 'json')`,
    `CREATE TEMPORARY VIEW placed AS SELECT dropoff_datetime, ${cell} FROM trips
     WHERE pickup_lat IS NOT NULL AND pickup_lon IS NOT NULL`,
    `INSERT INTO cells SELECT window_start, x, y, COUNT(*)
     FROM TABLE(TUMBLE(TABLE placed, DESCRIPTOR(dropoff_datetime), INTERVAL '10' MINUTES))
     GROUP BY window_start, window_end, x, y`,
  ]);
  return durationMs;
}

async function writeTrips(path: string, batches: readonly RecordBatch[]): Promise<void> {
  const file = createWriteStream(path);
  for (const { data, ends } of batches) {
    let lines = '';
    for (let i = 0, start = 0; i < ends.length; i++) {
      const line = data.toString('utf8', start, ends[i]!);
      if (JSON.parse(line).type === 'trip') lines += `${line.trimEnd()}\n`;
      start = ends[i]!;
    }
    if (!file.write(lines)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
}

function sumsOf(output: string): Sums {
  let results = 0;
  let trips = 0;
  for (const name of readdirSync(output, { recursive: true, encoding: 'utf8' })) {
    if (!name.includes('part-') || name.split(/[\\/]/).at(-1)!.startsWith('.')) continue;
    for (const line of readFileSync(join(output, name), 'utf8').split('\n')) {
      if (line === '') continue;
      results++;
      trips += (JSON.parse(line) as { trips: number }).trips;
    }
  }
  return { results, trips };
}
