import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Random } from '../../src/dataset/generator/random.ts';
import { TripColumns } from '../../src/events/columns.ts';
import { decoderOf } from '../../src/events/decode.ts';
import { encodeWatermark } from '../../src/events/encode.ts';
import { TRIP_FIELD_NAMES, TRIP_FIELDS, type TripField } from '../../src/events/trip.ts';
import { batchOf, decodedBy, meaningsOf } from './model.ts';

const digits = (min: number, max: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: min, maxLength: max });
const integerText = fc.oneof(
  fc.nat(999).map(String),
  fc.tuple(fc.constantFrom(...'123456789'), digits(0, 17)).map((parts) => parts.join('')),
);
const numberText = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(integerText, digits(1, 16)).map((parts) => parts.join('.')) },
  { weight: 4, arbitrary: integerText },
  { weight: 2, arbitrary: integerText.map((text) => `-${text}`) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom('-0', '0', '-73', '40'), digits(1, 20)).map((p) => p.join('.')),
  },
  fc.tuple(integerText, fc.constantFrom('e3', 'E-7', 'e+2', '.5e1', 'e999')).map((parts) => parts.join('')),
  fc.double().map(String),
  fc.constantFrom('-0', '0', '-0.0', '00', '01', '-01', '1.', '.5', '-', '--1', '+1', '1.2.3', '1-2', '1..2'),
  fc.constantFrom('', 'null', 'true', '"1"', '""', '[]', '{}', 'NaN', '0x10', ' 7', '7 '),
);
const two = (max: number) => fc.nat(max).map((n) => String(n).padStart(2, '0'));
const timeText = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .date({
        min: new Date(0),
        max: new Date('2099-12-31T23:59:59.999Z'),
        noInvalidDate: true,
      })
      .map((time) => `"${time.toISOString()}"`),
  },
  // Every part may be out of range, and the separators may be unusual.
  fc
    .tuple(
      fc.constantFrom('2016', '2015', '0000', '9999'),
      two(13),
      two(32),
      fc.constantFrom('T', ' ', 't'),
      two(25),
      two(61),
      two(61),
      fc.constantFrom('.000Z', '.999Z', 'Z', '', '.5', '.12345Z', '+05:00', '.000-04:00', '.00aZ', '.000z'),
    )
    .map(([y, mo, d, t, h, mi, s, rest]) => `"${y}-${mo}-${d}${t}${h}:${mi}:${s}${rest}"`),
  fc.constantFrom(
    '"01/02/2016T00:00:00.000Z"',
    '"2016-1-100T00:00:00.000Z"',
    '"2016-01-01T00:00:0:.000Z"',
    '"2016-01-01T00:00:00.000Z ',
    '"2016-01-01T00:00"',
    '"2016-01-01"',
    '""',
    '"x"',
    '1451606400000',
    'null',
    '"2016-01-01T0/:00:00.000Z"',
  ),
);
const wordText = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('"CMT"', '"VTS"', '"1"', '"2"', '""', '"a1b2c3d4e5f6"') },
  { weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => JSON.stringify(text)) },
  fc.constantFrom(
    '"\\u00e9"',
    '"é"',
    '"a\\"b"',
    '"a\\\\"',
    '"\\ud83d\\ude95"',
    '"🚕"',
    '"\\ud800"',
    '"a\tb"',
  ),
  fc.constantFrom('null', '1', 'true', '"open', '"\\x"', '["x"]'),
);

function fieldText(name: TripField): fc.Arbitrary<string> {
  const { type } = TRIP_FIELDS[name];
  return type === 'time' ? timeText : type === 'string' ? wordText : numberText;
}

/** Mostly what the encoder writes, so that the fast path meets one odd thing at a time. */
const usualValue: Record<'number' | 'integer' | 'string' | 'time', fc.Arbitrary<string>> = {
  number: fc.tuple(fc.integer({ min: -180, max: 180 }), digits(1, 15)).map((parts) => parts.join('.')),
  integer: fc.nat(2_000_000).map(String),
  string: fc.constantFrom('"CMT"', '"VTS"', '"0123456789ab"', '"é"'),
  time: fc
    .integer({ min: 1_230_000_000_000, max: 1_700_000_000_000 })
    .map((ms) => `"${new Date(ms).toISOString()}"`),
};

const pairsOf = (odd: number): fc.Arbitrary<[string, string][]> =>
  fc
    .tuple(
      ...TRIP_FIELD_NAMES.map((name) =>
        fc.option(
          fc.oneof(
            { weight: 20, arbitrary: usualValue[TRIP_FIELDS[name].type] },
            { weight: odd, arbitrary: fieldText(name) },
          ),
          { freq: name === 'dropoff_datetime' ? 40 : 4, nil: undefined },
        ),
      ),
    )
    .map((values) =>
      TRIP_FIELD_NAMES.flatMap((name, i): [string, string][] =>
        values[i] === undefined ? [] : [[name, values[i]]],
      ),
    );

const tripPairs: fc.Arbitrary<[string, string][]> = fc.oneof(pairsOf(0), pairsOf(1), pairsOf(10));

const extraPair = fc.constantFrom<[string, string]>(
  ['surge', '1.5'],
  ['note', '"x, \\"y\\""'],
  ['nested', '{"dropoff_datetime":1}'],
  ['trip_id', '7'],
  ['type', '"trip"'],
  ['passenger_count', '3'],
);

const write = (pairs: readonly (readonly [string, string])[], space = '') =>
  `{${pairs.map(([name, value]) => `"${name}":${space}${value}`).join(`,${space}`)}}`;

const tripText = fc.oneof(
  { weight: 6, arbitrary: tripPairs.map((pairs) => write([['type', '"trip"'], ...pairs])) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(tripPairs, fc.array(extraPair, { maxLength: 2 }))
      .chain(([pairs, extra]) => fc.shuffledSubarray([['type', '"trip"'] as [string, string], ...pairs, ...extra], { minLength: pairs.length })) // biome-ignore format: one step
      .map((pairs) => write(pairs)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(tripPairs, extraPair, fc.nat(14))
      .map(([pairs, extra, at]) => write([['type', '"trip"'], ...pairs.toSpliced(at, 0, extra)])),
  },
  tripPairs.map((pairs) => write([['type', '"trip"'], ...pairs], ' ')),
);

const otherText = fc.oneof(
  fc
    .tuple(timeText, fc.constantFrom(',"shard":"shardId-000000000003"', ''))
    .map(([time, shard]) => `{"type":"watermark","watermark":${time}${shard}}`),
  fc.constantFrom(
    '',
    '{}',
    'null',
    '[]',
    '"trip"',
    '42',
    '{"type":"ride"}',
    '{"type":"watermark"}',
    '\u0000',
  ),
  fc.string({ maxLength: 12 }),
);

const whole = fc.oneof({ weight: 5, arbitrary: tripText }, { weight: 1, arbitrary: otherText });
const record = fc.oneof(
  { weight: 10, arbitrary: whole.map((text) => `${text}\n`) },
  { weight: 4, arbitrary: whole },
  { weight: 2, arbitrary: fc.tuple(whole, fc.nat(400)).map(([text, n]) => text.slice(0, n)) },
  { weight: 1, arbitrary: fc.tuple(whole, fc.nat(400)).map(([text, n]) => `${text.slice(0, n)}}\n`) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(whole, fc.constantFrom('}', 'x', ' ', '\n\n', '\r\n', ',', '{}', '"', '\u0000'))
      .map((parts) => parts.join('')),
  },
);

function check(records: readonly string[], fields: readonly TripField[], columns = new TripColumns()): void {
  const wanted = TRIP_FIELD_NAMES.filter(
    (name) => fields.includes(name) || name === 'trip_id' || name === 'dropoff_datetime',
  );
  // The raw bytes also show what a record lost to a broken multi-byte character.
  const expected = records.flatMap((text) => meaningsOf(Buffer.from(text).toString(), wanted));
  const found = decodedBy(decoderOf(fields), batchOf(records), wanted, columns);
  assert.deepEqual(
    found.map(({ meaning }) => meaning),
    expected,
    JSON.stringify(records),
  );
}

describe('decoding of records', () => {
  it('gives what JSON.parse gives, or a dead record with a reason (D1, D2, D3)', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 6 }), (records) =>
        check(records, TRIP_FIELD_NAMES),
      ),
      { numRuns: 2_500 },
    );
  });

  it('gives the same for any set of wanted fields, whatever the other fields hold (D1, D3)', () => {
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 4 }),
        fc.subarray([...TRIP_FIELD_NAMES]),
        (records, fields) => check(records, fields),
      ),
      { numRuns: 2_500 },
    );
  });

  it('refuses an invalid JSON number even in an unwanted field (D1)', () => {
    for (const text of ['01', '-', '1.', '1..2', '1-2', '--1', '-01', '00.5']) {
      check([`{"type":"trip","dropoff_datetime":"2016-01-01T00:00:00.000Z","total_amount":${text}}\n`], []);
    }
  });

  it("refuses a trip_id that isn't a whole number of 0 or more (D1)", () => {
    for (const id of ['-1', '-1.5', '0.5', '9007199254740992', '-0', '0', '9007199254740991', '1e3']) {
      check(
        [`{"type":"trip","trip_id":${id},"dropoff_datetime":"2016-01-01T00:00:00.000Z"}\n`],
        TRIP_FIELD_NAMES,
      );
    }
  });

  it('leaves nothing of the previous batch in the columns', () => {
    const columns = new TripColumns();
    const full = write([['type', '"trip"'], ['vendor_id', '"CMT"'], ['dropoff_datetime', '"2016-01-01T00:00:00.000Z"'], ['total_amount', '7.5']]); // biome-ignore format: one record
    const bare = '{"type":"trip","dropoff_datetime":"2016-01-02T00:00:00.000Z"}';
    check([full, full, 'x', `{"type":"watermark","watermark":"2016-01-01"}`], TRIP_FIELD_NAMES, columns);
    check([bare, bare], TRIP_FIELD_NAMES, columns);
    assert.deepEqual([columns.dead, columns.watermarkRows], [[], []], 'the last batch is forgotten');
    check(new Array(3_000).fill(`${full}\n`), TRIP_FIELD_NAMES, columns);
  });

  it('never reads from a record without a newline into the next one', () => {
    const head = '{"type":"trip","dropoff_datetime":"2016-01-01T00:00:00.000Z"';
    for (const torn of [
      '',
      ',',
      ',"total_amount":',
      ',"total_amount":1',
      ',"vendor_id":"a',
      ',"vendor_id":"a}',
    ]) {
      check([`${head}${torn}`, `,"x":"y","total_amount":2}`, `${head}}`], TRIP_FIELD_NAMES);
      check([`${head}${torn}}`, `","total_amount":2}`, `${head}}`], TRIP_FIELD_NAMES);
      check([`{"type":"trip"${torn}`, `","dropoff_datetime":"2016-01-01T00:00:00.000Z"}`], TRIP_FIELD_NAMES);
    }
  });

  it('decodes invalid UTF-8 as JSON.parse gets it', () => {
    const text = '{"type":"trip","vendor_id":"?","dropoff_datetime":"2016-01-01T00:00:00.000Z"}\n';
    for (const odd of [0xff, 0xc3, 0xe2, 0x80]) {
      const bytes = Buffer.from(text);
      bytes[text.indexOf('?')] = odd;
      const columns = new TripColumns();
      decoderOf(TRIP_FIELD_NAMES)({ count: 1, data: bytes, ends: Uint32Array.of(bytes.length) }, columns);
      const expected = (JSON.parse(bytes.toString()) as { vendor_id: string }).vendor_id;
      assert.equal(columns.dictionaries.vendor_id.words[columns.words.vendor_id[0]!], expected);
    }
  });

  it('leaves the columns of unwanted fields unchanged', () => {
    const columns = new TripColumns();
    const trip =
      '{"type":"trip","dropoff_datetime":"2016-01-01T00:00:00.000Z","trip_distance":3,"total_amount":7.5}';
    decoderOf(['total_amount'])(batchOf([trip, ` ${trip}`]), columns);
    assert.deepEqual([...columns.numbers.total_amount.subarray(0, 2)], [7.5, 7.5]);
    assert.deepEqual([...columns.numbers.trip_distance.subarray(0, 2)], [0, 0], 'by either way of reading');
  });
});

describe('strings of trips', () => {
  it('have one code each, also when there are more strings than are remembered', () => {
    const random = new Random(7, 1);
    const columns = new TripColumns();
    const decode = decoderOf(['vendor_id']);
    const words = Array.from({ length: 300 }, (_, i) => `${'ab'.repeat(i % 5)}${i % 97}é${i}`);
    const codes = new Map<string, number>();
    for (let round = 0; round < 20; round++) {
      const asked = Array.from({ length: 200 }, () => words[random.below(words.length)]!);
      decode(
        batchOf(
          asked.map((word) => {
            const text =
              random.below(2) === 0 ? JSON.stringify(word) : JSON.stringify(word).replace('é', '\\u00e9');
            return `{"type":"trip","vendor_id":${text},"dropoff_datetime":"2016-01-01T00:00:00.000Z"}\n`;
          }),
        ),
        columns,
      );
      for (const [row, word] of asked.entries()) {
        const code = columns.words.vendor_id[row]!;
        assert.equal(columns.dictionaries.vendor_id.words[code], word);
        assert.equal(codes.get(word) ?? code, code, `${word} keeps its code`);
        codes.set(word, code);
      }
    }
    assert.equal(
      columns.dictionaries.vendor_id.words.length,
      new Set(columns.dictionaries.vendor_id.words).size,
      'no word twice',
    );
  });
});

describe('numbers are correctly rounded (D1)', () => {
  const random = new Random(20_160_101, 3);
  const some = (count: number) => Array.from({ length: count }, () => random.below(10)).join('');
  const lead = () => String(1 + random.below(9));
  const forms: Record<string, () => string> = {
    'up to 15 digits': () => {
      const scale = 1 + random.below(14);
      const wholeDigits = Math.max(1, random.below(16 - scale));
      return `${lead()}${some(wholeDigits - 1)}.${some(scale)}`;
    },
    '16 digits, up to 4 before the point': () => {
      const wholeDigits = 1 + random.below(4);
      return `${lead()}${some(wholeDigits - 1)}.${some(16 - wholeDigits)}`;
    },
    '17 digits, up to 4 before the point': () => {
      const wholeDigits = 1 + random.below(4);
      return `${lead()}${some(wholeDigits - 1)}.${some(17 - wholeDigits)}`;
    },
    'any 16 to 20 digits': () => {
      const all = 16 + random.below(5);
      const wholeDigits = 1 + random.below(Math.min(15, all - 1));
      return `${lead()}${some(wholeDigits - 1)}.${some(all - wholeDigits)}`;
    },
    'from 0 on': () => `0.${'0'.repeat(random.below(4))}${some(1 + random.below(16))}`,
    'next to the middle between two doubles': () => {
      // The 17 digits nearest a midpoint are the hardest to round: its exact decimal is longer than they are.
      const value = Number(`${lead()}${some(1 + random.below(3))}.${some(12)}`);
      const bits = new DataView(new ArrayBuffer(8));
      bits.setFloat64(0, value);
      const low = BigInt.asUintN(64, bits.getBigInt64(0));
      const exponent = 1075 - Number((low >> 52n) & 0x7ffn);
      const middle = (((low & 0xfffffffffffffn) | 0x10000000000000n) << 1n) + 1n;
      const scale = 17 - String(Math.trunc(value)).length - random.below(2);
      const scaled = (middle * 10n ** BigInt(scale)) >> BigInt(exponent + 1);
      const text = String(scaled + BigInt(random.below(2)));
      return `${text.slice(0, -scale)}.${text.slice(-scale)}`;
    },
  };
  for (const [form, make] of Object.entries(forms)) {
    it(`100,000 numbers of ${form}`, () => {
      const texts = Array.from({ length: 100_000 }, () => (random.below(4) === 0 ? '-' : '') + make());
      const columns = new TripColumns();
      decoderOf(['total_amount'])(
        batchOf(
          texts.map(
            (text) =>
              `{"type":"trip","dropoff_datetime":"2016-01-01T00:00:00.000Z","total_amount":${text}}\n`,
          ),
        ),
        columns,
      );
      assert.equal(columns.dead.length, 0, 'all of them are numbers');
      const wrong = texts.filter((text, row) => !Object.is(columns.numbers.total_amount[row], Number(text)));
      assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} of 100,000 differ from Number()`);
    });
  }
});

describe('watermark records', () => {
  it('are read back as they were written, at their rows', () => {
    const columns = new TripColumns();
    const trip = '{"type":"trip","dropoff_datetime":"2016-01-01T00:00:00.000Z"}\n';
    const times = [0, Date.UTC(2016, 0, 1), Date.UTC(2016, 0, 1, 12, 34, 56, 789)];
    const records = times.flatMap((ms) => [trip, encodeWatermark(ms, 'shardId-000000000003')]);
    decoderOf([])(batchOf(records), columns);
    assert.deepEqual(columns.watermarkRows, [1, 3, 5]);
    assert.deepEqual(columns.watermarks, times);
    assert.deepEqual(JSON.parse(encodeWatermark(0, 'shardId-000000000003').toString()), {
      type: 'watermark',
      watermark: '1970-01-01T00:00:00.000Z',
      shard: 'shardId-000000000003',
    });
  });
});
