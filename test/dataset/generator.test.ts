import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FIXTURES, fixtureOnDisk, fixtureText } from '../../scripts/fixtures.ts';
import { CsvBuffer, digits17 } from '../../src/dataset/generator/csv-buffer.ts';
import {
  type GenerateOptions,
  generateCsv,
  LAYOUTS,
  type Layout,
} from '../../src/dataset/generator/generate.ts';
import { Random } from '../../src/dataset/generator/random.ts';
import { ZONE_CENTROIDS } from '../../src/dataset/zone-centroids.ts';
import { TaxiflowError } from '../../src/errors.ts';

// The headers, line ends and blank lines of the files as TLC published them.
const HEADS: Record<Layout, string> = {
  'yellow-2009':
    'vendor_name,Trip_Pickup_DateTime,Trip_Dropoff_DateTime,Passenger_Count,Trip_Distance,Start_Lon,Start_Lat,Rate_Code,store_and_forward,End_Lon,End_Lat,Payment_Type,Fare_Amt,surcharge,mta_tax,Tip_Amt,Tolls_Amt,Total_Amt\n\r\n',
  'yellow-2010':
    'vendor_id,pickup_datetime,dropoff_datetime,passenger_count,trip_distance,pickup_longitude,pickup_latitude,rate_code,store_and_fwd_flag,dropoff_longitude,dropoff_latitude,payment_type,fare_amount,surcharge,mta_tax,tip_amount,tolls_amount,total_amount\n\r\n',
  'yellow-2014':
    'vendor_id, pickup_datetime, dropoff_datetime, passenger_count, trip_distance, pickup_longitude, pickup_latitude, rate_code, store_and_fwd_flag, dropoff_longitude, dropoff_latitude, payment_type, fare_amount, surcharge, mta_tax, tip_amount, tolls_amount, total_amount\n\r\n',
  'yellow-2015':
    'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,pickup_longitude,pickup_latitude,RateCodeID,store_and_fwd_flag,dropoff_longitude,dropoff_latitude,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount\r\n',
  'yellow-2017':
    'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount\n\r\n',
  'green-2013':
    'VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Store_and_fwd_flag,RateCodeID,Pickup_longitude,Pickup_latitude,Dropoff_longitude,Dropoff_latitude,Passenger_count,Trip_distance,Fare_amount,Extra,MTA_tax,Tip_amount,Tolls_amount,Ehail_fee,Total_amount,Payment_type,Trip_type \n\r\n',
  'green-2015':
    'VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Store_and_fwd_flag,RateCodeID,Pickup_longitude,Pickup_latitude,Dropoff_longitude,Dropoff_latitude,Passenger_count,Trip_distance,Fare_amount,Extra,MTA_tax,Tip_amount,Tolls_amount,Ehail_fee,improvement_surcharge,Total_amount,Payment_type,Trip_type \r\n',
  'green-2017':
    'VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,PULocationID,DOLocationID,passenger_count,trip_distance,fare_amount,extra,mta_tax,tip_amount,tolls_amount,ehail_fee,improvement_surcharge,total_amount,payment_type,trip_type\n\r\n',
};

// The shapes of real rows: T a time, R a number of up to 17 digits, A an amount, M miles, X and Y positions.
const PARTS: Record<string, string> = {
  T: String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`,
  R: String.raw`\d+(\.\d{1,17})?`,
  A: String.raw`\d+(\.\d{1,2})?`,
  M: String.raw`\d*\.\d\d`,
  X: String.raw`-7[34](\.\d{1,15})?`,
  Y: String.raw`40(\.\d{1,15})?`,
  Z: String.raw`\d{1,3}`,
  n: '[1-6]',
  f: '[NY]?',
};
const OLD_ROW = '(VTS|CMT),T,T,n,R,X,Y,n,f,X,Y,(CSH|CRD|NOC|DIS),R,R,R,R,R,R';
const ROWS: Record<Layout, string> = {
  'yellow-2009': '(VTS|CMT|DDS),T,T,n,R,X,Y,,,X,Y,(CASH|Cash|Credit|CREDIT|No Charge|Dispute),R,R,,R,R,R',
  'yellow-2010': OLD_ROW,
  'yellow-2014': OLD_ROW,
  'yellow-2015': 'n,T,T,n,M,X,Y,n,f,X,Y,n,A,A,A,A,A,A,A',
  'yellow-2017': 'n,T,T,n,M,n,f,Z,Z,n,A,A,A,A,A,A,A',
  'green-2013': 'n,T,T,f,n,X,Y,X,Y,n,M,A,A,A,A,A,,A,n,,,',
  'green-2015': 'n,T,T,f,n,X,Y,X,Y,n,M,A,A,A,A,A,,A,A,n,n',
  'green-2017': 'n,T,T,f,n,Z,Z,n,M,A,A,A,A,A,,A,A,n,n',
};
const rowShape = (layout: Layout) =>
  new RegExp(`^${ROWS[layout].replaceAll(/\b[A-Znf]\b/g, (part) => PARTS[part]!)}$`);

const DAY = { trips: 2000, from: '2015-06-02', hours: 24, seed: 1, dirty: 0 } as const;
const options = (layout: Layout, more: Partial<GenerateOptions> = {}): GenerateOptions => ({
  ...DAY,
  layout,
  ...more,
});
const generate = (layout: Layout, more: Partial<GenerateOptions> = {}): string =>
  [...generateCsv(options(layout, more))].join('');

function rowsOf(layout: Layout, text: string): string[] {
  const rows = text.slice(HEADS[layout].length).split('\r\n');
  assert.equal(rows.pop(), '', 'the last row ends with CRLF');
  return rows;
}

/** Names the first line that differs: the difference of two whole files takes assert.equal minutes. */
function assertSameText(actual: string, expected: string): void {
  if (actual === expected) return;
  const lines = expected.split('\n');
  const line = actual.split('\n').findIndex((each, i) => each !== lines[i]);
  assert.fail(`line ${line + 1} differs: ${actual.split('\n')[line]} in place of ${lines[line]}`);
}

interface Ride {
  pickup: number;
  minutes: number;
  to: readonly [lat: number, lon: number];
  total: number;
  parts: number;
}

/** Rows of `yellow-2015`, read by position. */
function rides(more: Partial<GenerateOptions>): Ride[] {
  return rowsOf('yellow-2015', generate('yellow-2015', more)).map((row) => {
    const cells = row.split(',');
    const pickup = Date.parse(`${cells[1]}Z`);
    const parts = cells.slice(12, 18).reduce((sum, cell) => sum + Number(cell), 0);
    return {
      pickup,
      minutes: (Date.parse(`${cells[2]}Z`) - pickup) / 60_000,
      to: [Number(cells[10]), Number(cells[9])],
      total: Number(cells[18]),
      parts,
    };
  });
}

const within = (value: number, low: number, high: number) => value >= low && value <= high;
const toJfk = ({ to: [lat, lon] }: Ride) => within(lat, 40.632, 40.654) && within(lon, -73.8, -73.761);
const toLga = ({ to: [lat, lon] }: Ride) => within(lat, 40.766, 40.778) && within(lon, -73.881, -73.859);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const hourOf = ({ pickup }: Ride) => new Date(pickup).getUTCHours();

describe('generated files', () => {
  for (const layout of LAYOUTS) {
    describe(layout, () => {
      it('is the same for the same options, and differs for another seed', () => {
        assertSameText(generate(layout, { dirty: 0.2 }), generate(layout, { dirty: 0.2 }));
        assert.ok(generate(layout) !== generate(layout, { seed: 2 }), 'seed 2 makes the file of seed 1');
      });

      it('begins as the published files do', () => {
        assert.equal(generate(layout).slice(0, HEADS[layout].length), HEADS[layout]);
      });

      it('has exactly the rows asked for, dirty or not', () => {
        for (const trips of [0, 1, 7, 2000]) {
          for (const dirty of [0, 0.5, 1]) {
            assert.equal(rowsOf(layout, generate(layout, { trips, dirty })).length, trips);
          }
        }
      });

      it('has rows in the shape of the real ones', () => {
        const shape = rowShape(layout);
        for (const row of rowsOf(layout, generate(layout))) assert.match(row, shape);
      });

      it('G3: without dirt, trips begin inside the span and end after they begin', () => {
        const from = '2015-06-02T10:15:30';
        const rows = rowsOf(layout, generate(layout, { from, hours: 0.75, trips: 3000 }));
        const first = Date.parse(`${from}Z`);
        for (const row of rows) {
          const [, pickup, dropoff] = row.split(',').map((cell) => Date.parse(`${cell}Z`));
          assert.ok(pickup! >= first && pickup! < first + 45 * 60_000, row);
          assert.ok(dropoff! > pickup! && dropoff! - pickup! < 4 * 3_600_000, row);
        }
      });

      it('is nearly ordered by pick-up and not at all by drop-off', () => {
        const rows = rowsOf(layout, generate(layout, { trips: 5000 })).map((row) => row.split(','));
        const inversions = (column: number) =>
          rows.filter((cells, i) => i > 0 && cells[column]! < rows[i - 1]![column]!).length / rows.length;
        const [low, high] = layout < 'yellow-2015' && layout.startsWith('yellow') ? [0.2, 0.5] : [0.01, 0.08];
        assert.ok(within(inversions(1), low!, high!), `pick-up ${inversions(1)}`);
        assert.ok(inversions(2) > 0.3, `drop-off ${inversions(2)}`);
      });
    });
  }

  it('comes in chunks of some 64 KiB', () => {
    const sizes = [...generateCsv(options('yellow-2015', { trips: 5000 }))].map((chunk) => chunk.length);
    assert.ok(sizes.length > 5, `${sizes}`);
    for (const size of sizes.slice(0, -1)) assert.ok(within(size, 65_536, 65_536 + 1024), `${size}`);
  });

  it('G4: rows that stay clean are the same with dirt and without', () => {
    const clean = new Set(rowsOf('yellow-2015', generate('yellow-2015')));
    const dirty = rowsOf('yellow-2015', generate('yellow-2015', { dirty: 0.25 }));
    const kept = dirty.filter((row) => clean.has(row)).length / dirty.length;
    assert.ok(within(kept, 0.71, 0.79), `${kept}`);
  });

  it('refuses options out of range', () => {
    const wrong: Partial<GenerateOptions>[] = [
      { trips: -1 },
      { trips: 1.5 },
      { from: 'yesterday' },
      { from: '1969-12-31' },
      { hours: 0 },
      { hours: Number.NaN },
      { seed: 0.5 },
      { dirty: 1.1 },
      { layout: 'blue-2015' as Layout },
    ];
    for (const more of wrong) {
      assert.throws(() => generate('yellow-2015', more), TaxiflowError, JSON.stringify(more));
    }
  });

  it('takes a start without a zone as UTC, and a zone as it stands', () => {
    const texts = [
      '2015-06-02T00:00:00',
      '2015-06-02 00:00',
      '2015-06-02T00:00:00Z',
      '2015-06-01T20:00:00-04:00',
    ];
    for (const from of texts) assertSameText(generate('yellow-2015', { from }), generate('yellow-2015'));
  });
});

describe('the trips', () => {
  const week = rides({ trips: 60_000, from: '2015-06-01', hours: 168 });
  const ofDay = (day: number) => week.filter(({ pickup }) => new Date(pickup).getUTCDay() === day);
  const countAt = (day: number, hour: number) => ofDay(day).filter((ride) => hourOf(ride) === hour).length;

  it('follow the hours of a working day', () => {
    assert.ok(countAt(3, 19) > 5 * countAt(3, 4), 'evening peak over 4 am');
    assert.ok(countAt(3, 8) > 4 * countAt(3, 4), 'morning peak over 4 am');
    assert.ok(countAt(3, 19) > countAt(3, 16), 'evening peak over the shift change');
  });

  it('are more frequent in weekend nights', () => {
    assert.ok(countAt(6, 1) > 1.8 * countAt(3, 1), 'Saturday 1 am over Wednesday 1 am');
    assert.ok(countAt(5, 23) > 1.15 * countAt(2, 23), 'Friday 11 pm over Tuesday 11 pm');
    assert.ok(countAt(0, 8) < 0.6 * countAt(3, 8), 'Sunday 8 am under Wednesday 8 am');
  });

  it('end at an airport in 4 to 6 of 100 cases, some at each of the two', () => {
    const jfk = week.filter(toJfk).length / week.length;
    const lga = week.filter(toLga).length / week.length;
    assert.ok(within(jfk + lga, 0.04, 0.06), `${jfk} + ${lga}`);
    assert.ok(jfk > 0.015 && lga > 0.02, `${jfk}, ${lga}`);
  });

  it('take longer to the airports in the rush', () => {
    const workdays = week.filter(({ pickup }) => within(new Date(pickup).getUTCDay(), 1, 5));
    const minutes = (at: (ride: Ride) => boolean, low: number, high: number) =>
      mean(
        workdays.filter((ride) => at(ride) && within(hourOf(ride), low, high)).map((ride) => ride.minutes),
      );
    assert.ok(within(minutes(toJfk, 16, 18), 52, 66), `JFK, rush: ${minutes(toJfk, 16, 18)}`);
    assert.ok(within(minutes(toJfk, 2, 4), 30, 40), `JFK, night: ${minutes(toJfk, 2, 4)}`);
    assert.ok(within(minutes(toLga, 16, 18), 32, 44), `LGA, rush: ${minutes(toLga, 16, 18)}`);
    assert.ok(within(minutes(toLga, 2, 4), 18, 28), `LGA, night: ${minutes(toLga, 2, 4)}`);
  });

  it('cost what their parts add up to', () => {
    for (const ride of week) assert.equal(Math.round(ride.parts * 100), Math.round(ride.total * 100));
  });

  it('go to work in the morning and home or out in the evening', () => {
    const financial = ({ to: [lat, lon] }: Ride) => within(lat, 40.702, 40.714) && lon < -74.003;
    const share = (low: number, high: number) => {
      const rush = ofDay(3).filter((ride) => within(hourOf(ride), low, high));
      return rush.filter(financial).length / rush.length;
    };
    assert.ok(share(7, 9) > 1.7 * share(18, 20), `${share(7, 9)} against ${share(18, 20)}`);
  });

  it('have the zones of the airports, known zones and 265, and no others', () => {
    const zones = rowsOf('yellow-2017', generate('yellow-2017', { trips: 20_000 })).map((row) =>
      Number(row.split(',')[8]),
    );
    const share = (zone: number) => zones.filter((each) => each === zone).length / zones.length;
    assert.ok(within(share(132) + share(138), 0.04, 0.06), `${share(132)} + ${share(138)}`);
    assert.ok(share(265) > 0 && share(1) > 0, `${share(265)}, ${share(1)}`);
    for (const zone of zones) assert.ok(ZONE_CENTROIDS.has(zone) || zone === 265, `${zone}`);
  });

  it('of green taxis never begin in the core of Manhattan or at an airport', () => {
    for (const row of rowsOf('green-2015', generate('green-2015', { trips: 5000 }))) {
      const [lon, lat] = row.split(',').slice(5, 7).map(Number);
      // Between 14th and 59th Street, west of the East River.
      const midtown = within(lat!, 40.74, 40.765) && within(lon!, -74.0, -73.975);
      const jfk = within(lat!, 40.632, 40.654) && within(lon!, -73.8, -73.761);
      assert.ok(!midtown && !jfk, row);
    }
  });
});

describe('dirt', () => {
  const kinds: Record<string, (cells: string[], columns: number) => boolean> = {
    'a blank line': (cells) => cells.length === 1 && cells[0] === '',
    'a row cut short': (cells, columns) => cells[0] !== '' && cells.length < columns,
    'extra fields': (cells, columns) => cells.length > columns,
    'no pick-up time': (cells) => cells.length > 2 && cells[1] === '',
    'a zero time': (cells) => cells.slice(1, 3).includes('0000-00-00 00:00:00'),
    'text for a time': (cells) => cells.slice(1, 3).includes('unknown'),
    'drop-off equal to pick-up': (cells) => cells.length > 3 && cells[1] !== '' && cells[1] === cells[2],
    'drop-off before pick-up': (cells) => cells.length > 3 && duration(cells) < 0,
    'more than twelve hours': (cells) => cells.length > 3 && duration(cells) > 12,
    'another year': (cells) => /^(2001|2008|2088)/.test(cells[1] ?? ''),
    'another month': (cells) => /^2015-05/.test(cells[1] ?? ''),
  };
  const byLayout: Partial<Record<Layout, Record<string, (cells: string[]) => boolean>>> = {
    'yellow-2015': {
      'zero coordinates': (cells) => cells[5] === '0' && cells[6] === '0' && cells[9] === '0',
      'coordinates elsewhere': (cells) =>
        /^-?\d/.test(cells[5] ?? '') && !/^(-7[34]|0$)/.test(cells[5] ?? ''),
      'no passengers': (cells) => cells[3] === '',
      'a negative fare': (cells) => Number(cells[12]) < 0 && Number(cells[18]) < 0,
    },
    'green-2013': {
      'zero coordinates': (cells) => cells[5] === '0' && cells[6] === '0' && cells[7] === '0',
      'no passengers': (cells) => cells[9] === '' && cells.length > 9,
      'a negative fare': (cells) => Number(cells[11]) < 0,
    },
    'yellow-2017': {
      'an unknown zone': (cells) => cells[7] === '264' && cells[8] === '264',
      'an empty zone': (cells) => cells[7] === '' && cells.length > 8,
      'a negative fare': (cells) => Number(cells[10]) < 0,
    },
  };
  const duration = (cells: string[]) => (Date.parse(`${cells[2]}Z`) - Date.parse(`${cells[1]}Z`)) / 3_600_000;

  for (const [layout, own] of Object.entries(byLayout) as [Layout, typeof kinds][]) {
    const rows = (dirty: number) =>
      rowsOf(layout, generate(layout, { trips: 5000, dirty })).map((row) => row.split(','));
    const dirtyRows = rows(0.5);
    const cleanRows = rows(0);
    const columns = cleanRows[0]!.length;

    for (const [kind, shows] of Object.entries({ ...kinds, ...own })) {
      it(`${layout}: shows ${kind}, and only when asked for dirt`, () => {
        assert.ok(
          dirtyRows.some((cells) => shows(cells, columns)),
          'with dirt',
        );
        assert.ok(!cleanRows.some((cells) => shows(cells, columns)), 'without dirt');
      });
    }
  }

  it('is as frequent as was asked for', () => {
    const clean = new Set(rowsOf('green-2015', generate('green-2015', { trips: 10_000 })));
    for (const dirty of [0.1, 0.5, 1]) {
      const rows = rowsOf('green-2015', generate('green-2015', { trips: 10_000, dirty }));
      const share = rows.filter((row) => !clean.has(row)).length / rows.length;
      assert.ok(within(share, dirty - 0.03, dirty + 0.03), `${dirty}: ${share}`);
    }
  });
});

describe('numbers as bytes', () => {
  const written = (write: (out: CsvBuffer) => void) => {
    const out = new CsvBuffer();
    write(out);
    return out.take();
  };

  it('prints a float32 with 17 digits, as the general conversion does', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true, min: -99, max: 99 }), (value) => {
        fc.pre(value === 0 || Math.abs(value) > 1e-3);
        assert.equal(
          written((out) => out.float32(value)),
          digits17(value),
        );
      }),
    );
    // Real figures of 2015.
    for (const text of ['-73.993896484375', '40.750110626220703', '-74.00164794921875', '40.7242431640625']) {
      assert.equal(
        written((out) => out.float32(Math.fround(Number(text)))),
        text,
      );
    }
  });

  it('prints amounts short or with 17 digits', () => {
    const short = { 1705: '17.05', 30: '0.3', 1200: '12', 5: '0.05', 0: '0' };
    for (const [cents, text] of Object.entries(short)) {
      assert.equal(
        written((out) => out.amount(Number(cents))),
        text,
      );
    }
    assert.equal(
      written((out) => out.amount(-450)),
      '-4.5',
    );
    assert.equal(
      written((out) => out.amount17(890)),
      '8.9000000000000004',
    );
    assert.equal(
      written((out) => out.amount17(263)),
      '2.6299999999999999',
    );
    assert.equal(
      written((out) => out.amount17(-1250)),
      '-12.5',
    );
    assert.equal(
      written((out) => out.real(-73.991957)),
      '-73.991956999999999',
    );
    assert.equal(
      written((out) => out.hundredths(88)),
      '.88',
    );
    assert.equal(
      written((out) => out.hundredths(120)),
      '1.20',
    );
  });

  it('prints times of any day', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e9, max: 4e9 }), (seconds) => {
        const iso = new Date(seconds * 1000).toISOString();
        assert.equal(
          written((out) => out.time(seconds)),
          `${iso.slice(0, 10)} ${iso.slice(11, 19)}`,
        );
      }),
    );
  });
});

describe('random numbers', () => {
  // From another implementation of sfc32, in Python.
  it('G1: are the same on every platform', () => {
    const random = new Random(42, 1);
    assert.deepEqual(
      Array.from({ length: 4 }, () => Math.round(random.next() * 2 ** 32)),
      [551_115_121, 590_060_544, 3_963_663_191, 2_778_894_636],
    );
  });

  it('are even in [0, 1), and differ between seeds and streams', () => {
    for (const [seed, stream] of [
      [0, 1],
      [1, 1],
      [1, 2],
      [-7, 3],
      [2 ** 40, 1],
    ] as const) {
      const random = new Random(seed, stream);
      const tenths = new Array<number>(10).fill(0);
      for (let i = 0; i < 20_000; i++) tenths[Math.floor(random.next() * 10)]!++;
      for (const count of tenths) assert.ok(within(count, 1800, 2200), `${seed}/${stream}: ${tenths}`);
    }
    const firsts = [new Random(1, 1), new Random(2, 1), new Random(1, 2), new Random(1 + 2 ** 32, 1)];
    assert.equal(new Set(firsts.map((random) => random.next())).size, firsts.length);
  });

  it('are nearly normal: mean 0, variance 1', () => {
    const random = new Random(5, 1);
    const values = Array.from({ length: 50_000 }, () => random.normal());
    assert.ok(Math.abs(mean(values)) < 0.02, `mean ${mean(values)}`);
    const variance = mean(values.map((value) => value * value));
    assert.ok(Math.abs(variance - 1) < 0.03, `variance ${variance}`);
  });

  it('make factors near e^(sigma · normal)', () => {
    const factors = new Random(9, 1);
    const normals = new Random(9, 1);
    for (let i = 0; i < 1000; i++) {
      const expected = Math.exp(0.4 * normals.normal());
      const factor = factors.factor(0.4);
      assert.ok(Math.abs(factor / expected - 1) < 0.004, `${factor} for ${expected}`);
    }
  });
});

describe('fixtures', () => {
  for (const fixture of FIXTURES) {
    it(`${fixture.file} is byte for byte what the generator makes`, () => {
      assertSameText(fixtureOnDisk(fixture) ?? '', fixtureText(fixture));
    });
  }

  it('has a file of every layout, and small ones', () => {
    assert.deepEqual([...new Set(FIXTURES.map(({ layout }) => layout))].sort(), [...LAYOUTS].sort());
    const bytes = FIXTURES.reduce((sum, fixture) => sum + fixtureText(fixture).length, 0);
    assert.ok(bytes < 420_000, `${bytes}`);
  });
});

describe('zone centroids', () => {
  it('are the 260 of the zones that have a polygon', () => {
    assert.equal(ZONE_CENTROIDS.size, 260);
    for (const zone of [57, 104, 105, 264, 265]) assert.ok(!ZONE_CENTROIDS.has(zone), `${zone}`);
    assert.deepEqual(ZONE_CENTROIDS.get(1), [40.691831, -74.174]);
    assert.deepEqual(ZONE_CENTROIDS.get(263), [40.778766, -73.95101]);
    for (const [zone, [lat, lon]] of ZONE_CENTROIDS) {
      assert.ok(within(lat, 40.49, 40.92) && within(lon, -74.26, -73.69), `${zone}`);
    }
  });
});
