/** Fields that ride along: read from every layout, by either way of reading rows, sent, kept and seen by views. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { parse } from 'csv-parse/sync';
import { openProcessor } from '../../src/app/processor.ts';
import { openReplay } from '../../src/app/replay.ts';
import { Dataset } from '../../src/dataset/dataset.ts';
import { TRIP_WIDTH } from '../../src/dataset/trips.ts';
import { EXTRA_FIELDS, type ExtraField, TRIP_FIELDS } from '../../src/events/trip.ts';
import * as l from '../../src/views/language.ts';
import { FIXTURES, temporaryFolder } from '../files.ts';

type Extras = Partial<Record<ExtraField, number>>;

async function read(
  t: TestContext,
  file: string,
  fields: readonly ExtraField[],
  assumeSorted = false,
): Promise<Extras[]> {
  const dataset = await Dataset.open({ paths: [file], dataDir: temporaryFolder(t), fields, assumeSorted });
  const found: Extras[] = [];
  for await (const { values, count, extras } of dataset.batches()) {
    const width = TRIP_WIDTH + extras.length;
    for (let i = 0; i < count; i++)
      found.push(Object.fromEntries(extras.map((field, place) => [field, values[i * width + TRIP_WIDTH + place]!]).filter(([, value]) => !Number.isNaN(value)))); // biome-ignore format: one trip
  }
  return found;
}

function written(t: TestContext, rows: readonly string[]): string {
  const file = join(temporaryFolder(t), 'trips.csv');
  writeFileSync(file, `${rows.join('\n')}\n`);
  return file;
}

const sorted = (trips: readonly Extras[]) => trips.map((trip) => JSON.stringify(trip)).sort();

/** What csv-parse reads of the rows of a file. */
function plainly(file: string): Extras[] {
  const records = parse(readFileSync(file), { columns: (names: string[]) => names.map((name) => name.trim().toLowerCase().replace(/_/g, '')), skip_empty_lines: true, relax_column_count: true, trim: true }) as Record<string, string>[]; // biome-ignore format: one line
  return records.map((record) => {
    const trip: Extras = {};
    for (const field of EXTRA_FIELDS) {
      const column = TRIP_FIELDS[field].columns.find((name) => name in record);
      const text = column === undefined ? '' : record[column]!;
      const words: Record<string, number> = {
        y: 1,
        n: 0,
        credit: 1,
        cre: 1,
        crd: 1,
        cash: 2,
        cas: 2,
        csh: 2,
        noc: 3,
        'no charge': 3,
        dispute: 4,
        dis: 4,
        unk: 5,
      };
      const value =
        words[text.toLowerCase()] ??
        (/^B\d{5}$/.test(text) ? Number(text.slice(1)) : text === '' ? Number.NaN : Number(text));
      if (!Number.isNaN(value)) trip[field] = value;
    }
    return trip;
  });
}

describe('fields that ride along', () => {
  it('are those of the file in every layout, whether trips are sorted or taken as they are', async (t) => {
    let found = 0;
    for (const name of readdirSync(FIXTURES).filter(
      (name) => name.endsWith('.csv') && !name.includes('dirty'),
    )) {
      const file = join(FIXTURES, name);
      const expected = plainly(file);
      const trips = await read(t, file, EXTRA_FIELDS);
      assert.deepEqual(sorted(trips), sorted(expected), name);
      found += trips.reduce((sum, trip) => sum + Object.keys(trip).length, 0);
      const two = (await read(t, file, ['fare_amount', 'payment_type'])).map(({ fare_amount, payment_type }) => [fare_amount, payment_type]); // biome-ignore format: one line
      assert.deepEqual(
        two.sort(),
        expected.map(({ fare_amount, payment_type }) => [fare_amount, payment_type]).sort(),
        name,
      );
    }
    assert.ok(found > 1_000, `${found} values`);
  });

  it('are the same by both ways of reading rows, and numbers where a file has words', async (t) => {
    const header =
      'dispatching_base_num,pickup_datetime,dropoff_datetime,Payment_Type,store_and_fwd_flag,tips,trip_type,airport_fee';
    const rows = [
      'B02510,2016-01-01 00:00:00,2016-01-01 00:10:00,Credit,N,1.5,1,',
      'b00001,2016-01-01 00:01:00,2016-01-01 00:11:00,CSH,y,.25,2,1.75',
      ',2016-01-01 00:02:00,2016-01-01 00:12:00,No Charge,,-3,,-1.25',
      'B1,2016-01-01 00:03:00,2016-01-01 00:13:00,barter,maybe,x,1.5,0',
      'B02512,2016-01-01 00:04:00,2016-01-01 00:14:00,2,N,0,1,0',
    ];
    const expected: Extras[] = [
      { tip_amount: 1.5, payment_type: 1, trip_type: 1, store_and_fwd_flag: 0, dispatching_base: 2510 },
      {
        tip_amount: 0.25,
        payment_type: 2,
        trip_type: 2,
        store_and_fwd_flag: 1,
        airport_fee: 1.75,
        dispatching_base: 1,
      },
      { tip_amount: -3, payment_type: 3, airport_fee: -1.25 },
      { airport_fee: 0 },
      {
        tip_amount: 0,
        payment_type: 2,
        trip_type: 1,
        store_and_fwd_flag: 0,
        airport_fee: 0,
        dispatching_base: 2512,
      },
    ];
    const quoted = rows.map((row) => row.split(',').map((cell) => `"${cell}"`).join(',')); // biome-ignore format: one line
    for (const each of [rows, quoted])
      for (const assumeSorted of [false, true])
        assert.deepEqual(await read(t, written(t, [header, ...each]), EXTRA_FIELDS, assumeSorted), expected);
  });

  it('come through the stream to a view, and are missing where a replay did not send them', async (t) => {
    const file = join(FIXTURES, 'yellow-2015.csv');
    const fare = l.field('fare_amount');
    const views = [l.view({ name: 'fares', by: { paid: l.choose([[l.eq(l.field('payment_type'), 1), 'card']], 'other') }, window: l.tumbling('36500d'), aggregates: { trips: l.count(), with_fare: l.count(fare), sum: l.sum(fare) } })]; // biome-ignore format: one view
    const all = plainly(file);
    for (const fields of [[], ['fare_amount', 'payment_type']] as const) {
      const dataDir = temporaryFolder(t);
      await (await openReplay({ dataDir, paths: [file], fields, speedup: Number.POSITIVE_INFINITY })).run();
      const processor = await openProcessor({ dataDir, views, untilEnd: true, drain: true });
      await processor.run();
      const results = [...processor.results()];
      const withFare = results.reduce((sum, result) => sum + Number(result['with_fare']), 0);
      assert.equal(withFare, fields.length === 0 ? 0 : all.filter(({ fare_amount }) => fare_amount !== undefined).length); // biome-ignore format: one line
      const cards = results.find(({ paid }) => paid === 'card')?.['trips'] ?? 0;
      assert.equal(
        cards,
        fields.length === 0 ? 0 : all.filter(({ payment_type }) => payment_type === 1).length,
      );
    }
  });

  it('make another replay of the same file', async (t) => {
    const file = written(t, [
      'pickup_datetime,dropoff_datetime,tips',
      '2016-01-01 00:00:00,2016-01-01 00:10:00,1',
    ]);
    const of = async (fields: readonly ExtraField[]) =>
      (await Dataset.open({ paths: [file], dataDir: temporaryFolder(t), fields })).fingerprint();
    assert.notEqual(await of([]), await of(['tip_amount']));
  });
});
