/** Trips that are hard to archive, and a comparison of an archive with them by DuckDB. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { systemClock } from '../../src/clock.ts';
import { TRIP_FIELD_NAMES, TRIP_FIELDS } from '../../src/events/trip.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import { randomNumbers } from '../random.ts';

const MINUTE = 60_000;
const START = Date.UTC(2016, 0, 11, 20);
const SHARDS = 3;

const iso = (ms: number) => new Date(ms).toISOString();

/** Trips of some days: with every field, missing and odd values, copies, late ones, and watermarks; written to a stream. */
export async function sendTrips(
  dataDir: string,
  count: number,
  { seed = 1, from = 0, name = 'taxi-trip-events' } = {},
): Promise<Sent> {
  const random = randomNumbers(seed);
  const stream = LocalStream.open({ dataDir, name, clock: systemClock, createShards: SHARDS });
  const trips: string[] = [];
  let records = 0;
  const put = async (texts: readonly string[], hash = () => Math.floor(random() * 2 ** 32)) => {
    const ends = new Uint32Array(texts.length);
    let end = 0;
    for (const [i, text] of texts.entries()) ends[i] = end += Buffer.byteLength(text);
    await stream.put({
      count: texts.length,
      data: Buffer.from(texts.join('')),
      ends,
      hashes: Uint32Array.from(texts, hash),
    });
    records += texts.length;
  };
  try {
    for (let id = from; id < from + count; ) {
      const now = START + id * 400;
      const batch: string[] = [];
      for (let i = 0; i < 50 && id < from + count; i++)
        batch.push(`${JSON.stringify(tripOf(random, id++, now))}\n`);
      for (const text of batch) trips.push(text);
      await put([...batch, ...batch.filter((text) => random() < 0.05 && text.includes('trip_id'))]);
      if (random() < 0.3) {
        const marks = await stream.shards();
        const watermark = iso(now - 20 * MINUTE);
        for (const [i, { id: shard }] of marks.entries())
          await put(
            [`${JSON.stringify({ type: 'watermark', watermark, shard })}\n`],
            () => Math.floor((i * 2 ** 32) / marks.length) + 1,
          );
      }
    }
  } finally {
    await stream.close();
  }
  return { trips, records };
}

export interface Sent {
  /** Each trip once, as JSON with a newline. */
  readonly trips: readonly string[];
  readonly records: number;
}

const WORDS = ['1', 'CMT', 'Zürich "quoted"\n\\', '', '🚕'];

function tripOf(random: () => number, id: number, now: number): Record<string, unknown> {
  const maybe = <T>(share: number, value: T) => (random() < share ? value : undefined);
  const whole = (most: number) => Math.floor(random() * most);
  const late = random() < 0.05 ? 90 * MINUTE : 0;
  const isOld = random() < 0.002;
  const dropoff = isOld ? Date.UTC(1969, 5, 1) + whole(1e6) : now - late - whole(600) * 1_000;
  const hasId = random() < 0.98;
  return {
    type: 'trip',
    ...(hasId ? { trip_id: id, replay: id % 7 === 0 ? 'other' : 'r' } : {}),
    vendor_id: maybe(0.9, WORDS[whole(WORDS.length)]),
    pickup_datetime: maybe(0.9, iso(dropoff - whole(4_000) * 1_000)),
    dropoff_datetime: iso(dropoff),
    passenger_count: maybe(0.9, whole(7)),
    trip_distance: maybe(0.9, random() < 0.1 ? -0 : random() * 30),
    pickup_lat: maybe(0.8, 40.5 + random() / 3), pickup_lon: maybe(0.8, -74 + random() / 3),
    dropoff_lat: maybe(0.8, 40.5 + random() / 3), dropoff_lon: maybe(0.8, -74 + random() / 3),
    pickup_zone: maybe(0.8, random() < 0.01 ? 1.5 : random() < 0.01 ? 1e20 : 1 + whole(265)),
    dropoff_zone: maybe(0.8, random() < 0.01 ? 5e9 : 1 + whole(265)),
    total_amount: maybe(0.9, whole(9_000) / 100 - 5),
    tip_amount: maybe(0.3, whole(2_000) / 100),
    payment_type: maybe(0.3, 1 + whole(6)),
    // Makes a trip without an id one of its kind.
    cbd_congestion_fee: hasId ? undefined : id + random(),
  }; // biome-ignore format: a few lines
}

const SQL = TRIP_FIELD_NAMES.map((name) => {
  const { type } = TRIP_FIELDS[name];
  if (type === 'integer')
    return `CASE WHEN ${name} = floor(${name}) AND abs(${name}) < 9007199254740992 THEN ${name}::BIGINT END AS ${name}`;
  if (type === 'time') return `(replace(${name}, 'Z', ''))::TIMESTAMP AS ${name}`;
  return name;
}).join(', ');
const JSON_COLUMNS = TRIP_FIELD_NAMES.map((name) => {
  const { type } = TRIP_FIELDS[name];
  return `${name}: '${type === 'string' || type === 'time' ? 'VARCHAR' : 'DOUBLE'}'`;
}).join(', ');

async function counted(sql: string): Promise<number> {
  const db = await (await DuckDBInstance.create()).connect();
  return Number((await db.runAndReadAll(sql)).getRows()[0]![0]);
}

/** Compares the files under `archive` with trips, row by row; each file must be in the folder of its day. */
export async function holdsExactly(archive: string, trips: readonly string[], folder: string): Promise<void> {
  const sent = join(folder, 'sent.ndjson');
  writeFileSync(sent, trips.join(''));
  const expected = `SELECT ${SQL} FROM read_json('${sent}', format = 'newline_delimited', columns = {${JSON_COLUMNS}})`;
  const files = `read_parquet('${archive}/day=*/*.parquet', hive_partitioning = true, hive_types = {day: VARCHAR})`;
  const actual = `SELECT ${TRIP_FIELD_NAMES.join(', ')} FROM ${files}`;
  assert.equal(await counted(`SELECT count(*) FROM ${files}`), trips.length, 'as many trips as were sent');
  const missing = await counted(`SELECT count(*) FROM ((${expected}) EXCEPT ALL (${actual}))`);
  const foreign = await counted(`SELECT count(*) FROM ((${actual}) EXCEPT ALL (${expected}))`);
  assert.deepEqual([missing, foreign], [0, 0], 'each with its values');
  const astray = `SELECT count(*) FROM ${files} WHERE strftime(dropoff_datetime, '%Y-%m-%d') <> day`;
  assert.equal(await counted(astray), 0, 'each in the folder of its day');
  const odd = `SELECT count(*) FROM read_json('${sent}', format = 'newline_delimited', columns = {${JSON_COLUMNS}}) WHERE pickup_zone IN (1.5, 1e20)`;
  const kept = `SELECT count(*) FROM ${files} WHERE (other_values->>'pickup_zone')::DOUBLE IN (1.5, 1e20) AND pickup_zone IS NULL`;
  assert.equal(await counted(kept), await counted(odd), 'odd values are kept beside');
}
