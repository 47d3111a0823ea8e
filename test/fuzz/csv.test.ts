/**
 * CSV files with random damage, against an oracle that only counts lines: every line that is a complete row becomes
 * a trip, every other line is accounted for, and lines = headers + blank + continued + trips + rejected.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCsv } from '../../src/dataset/csv.ts';
import type { Input } from '../../src/dataset/inputs.ts';
import type { LineCounts, RowSink } from '../../src/dataset/sink.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { type PlainTrip, plainTrip, plainTrips } from '../dataset/source-trips.ts';
import { type Random, randomNumbers } from '../random.ts';
import { budget, FUZZ_SEED } from './budget.ts';

const ROWS = 300_000;
const ROWS_A_FILE = 300;
const HEADER =
  'vendor_id,pickup_datetime,dropoff_datetime,passenger_count,pickup_longitude,pickup_latitude,note,total_amount';
const TIME = /^2016-01-\d\d \d\d:\d\d:\d\d$/;

/** What is inserted into the text. */
const SCRAPS = [
  '"',
  '"',
  '""',
  '"""',
  ',',
  ',,',
  '\n',
  '\r',
  '\r\n',
  '\n\n',
  ' "',
  '" ',
  '","',
  '",',
  ',"',
  'é',
  '\uFEFF',
  ' ',
  'x',
  '\0',
];
const ENDS = ['\n', '\n', '\r\n', '\r'];

function rowOf(id: number, random: Random): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const minute = id % 60;
  const note =
    random() < 0.15 ? ['"a, b"', '"say ""hi"""', '"two\nlines"', '""', '"é"'][Math.floor(random() * 5)] : 'n';
  return `v${id},2016-01-11 0${id % 10}:${two(minute)}:00,2016-01-11 1${id % 10}:${two(minute)}:30,1,-73.98,40.7${id % 10},${note},${id % 90}.5`;
}

function damaged(text: string, random: Random): string {
  let result = text;
  const count = Math.floor(random() ** 2 * 12);
  for (let i = 0; i < count; i++) {
    const at = Math.floor(random() * result.length);
    const scrap = SCRAPS[Math.floor(random() * SCRAPS.length)]!;
    const cut = random() < 0.5 ? 0 : Math.floor(random() * 4);
    result = result.slice(0, at) + (random() < 0.2 ? '' : scrap) + result.slice(at + cut);
  }
  return result;
}

/** Puts a quote at the start of a field and another at the end of a field in a later line, often in the same column. */
function quotePair(lines: string[], random: Random): void {
  const from = Math.floor(random() * lines.length);
  const to = Math.min(lines.length - 1, from + Math.floor(random() ** 2 * 60));
  const column = Math.floor(random() * 8);
  const other = random() < 0.7 ? column : Math.floor(random() * 8);
  const edit = (line: number, at: number, change: (field: string) => string) => {
    lines[line] = lines[line]!.split(',')
      .map((field, i) => (i === at ? change(field) : field))
      .join(',');
  };
  edit(from, column, (field) => `"${field}`);
  edit(to, other, (field) => `${field}"`);
}

/** Whether a line is certainly a row: as many plain or well-quoted fields as the header, and valid times. */
function idOfRow(line: string): string | undefined {
  const fields = line.match(/(?:^|,)(?:"(?:[^"]|"")*"(?=,|$)|[^",]*(?=,|$))/g);
  if (!fields || fields.join('').length !== line.length || fields.length !== 8) return undefined;
  const bare = fields.map((field, i) => (i === 0 ? field : field.slice(1)));
  if (bare[0]!.includes('"') || !TIME.test(bare[1]!) || !TIME.test(bare[2]!) || bare[2]! < bare[1]!)
    return undefined;
  const real = [bare[1]!, bare[2]!].every((time) => !Number.isNaN(Date.parse(`${time.replace(' ', 'T')}Z`)));
  return real ? bare[0]!.replace(/^\uFEFF/, '').trim() : undefined;
}

interface Outcome {
  readonly trips: PlainTrip[];
  readonly rejects: string[];
  readonly lines: LineCounts;
}

/**
 * Reads text in pieces of `pieceSize` bytes, usual rows as bytes or all rows as text; the error's code if the file is
 * refused as a whole, which is right for some only.
 */
async function read(text: string, pieceSize: number, inBytes = true): Promise<Outcome | string> {
  const bytes = Buffer.from(text);
  const input: Input = {
    name: 'fuzz.csv',
    size: bytes.length,
    found: false,
    open: async function* () {
      yield bytes.subarray(0, 8);
      for (let at = 8; at < bytes.length; at += pieceSize) yield bytes.subarray(at, at + pieceSize);
    },
  };
  const found: PlainTrip[] = [];
  const rejects: string[] = [];
  let lines: LineCounts | undefined;
  const sink: RowSink = {
    trip: (trip) => found.push(plainTrip(trip)) > 0,
    ...(inBytes ? { trips: (trips) => void found.push(...plainTrips(trips)) } : {}),
    reject: (reason, line, raw, detail) => {
      assert.notEqual(detail(), '');
      rejects.push(`${reason} ${line} ${raw} ${detail()}`);
    },
    leftOut: () => {},
    lines: (counts) => {
      lines = counts;
    },
  };
  const options = {
    dateOrder: undefined,
    folder: '',
    onBytes: () => {},
    onDigest: () => {},
    onNote: () => {},
  };
  try {
    for await (const _ of readCsv(input, sink, options));
  } catch (error) {
    if (error instanceof TaxiflowError) return error.code;
    throw error;
  }
  return { trips: found, rejects, lines: lines! };
}

function check(text: string, outcome: Outcome | string, headers: number): void {
  const all = text.split(/\r\n|\n|\r/);
  if (all.at(-1) === '') all.pop();
  if (typeof outcome === 'string') {
    // A damaged header, or one in the middle of a line.
    const whole = all.filter((line) => line === HEADER).length;
    assert.ok(whole < headers || outcome === 'mixed-files', `refused with ${outcome}`);
    return;
  }
  const { trips, rejects, lines } = outcome;
  const ids = trips.map((trip) => trip.vendor_id ?? '');
  assert.equal(lines.lines, all.length, 'every line is counted');
  assert.equal(
    lines.lines,
    lines.headers + lines.blank + lines.continued + ids.length + rejects.length,
    'every line is accounted for',
  );
  // A damaged second header names other columns, which the rows after it don't have.
  if (lines.headers > all.filter((line) => line.replace('\uFEFF', '') === HEADER).length) return;
  const found = new Map<string, number>();
  for (const id of ids) found.set(id, (found.get(id) ?? 0) + 1);
  for (const line of all) {
    const id = idOfRow(line);
    if (id === undefined) continue;
    const left = found.get(id) ?? 0;
    assert.ok(left > 0, `a row is lost: ${JSON.stringify(line)}`);
    found.set(id, left - 1);
  }
}

test(`${ROWS.toLocaleString('en-US')} rows with random damage: none is lost and each line is accounted for`, async () => {
  const files = Math.ceil(budget(ROWS) / ROWS_A_FILE);
  for (let file = 0; file < files; file++) {
    const seed = FUZZ_SEED * 1_000_003 + file;
    const random = randomNumbers(seed);
    const end = ENDS[Math.floor(random() * ENDS.length)]!;
    const headers = random() < 0.2 ? 2 : 1;
    const lines = Array.from({ length: ROWS_A_FILE }, (_, i) => rowOf(i, random));
    if (headers === 2) lines.splice(Math.floor(random() * lines.length), 0, HEADER);
    if (random() < 0.5) quotePair(lines, random);
    const body = lines.join(end) + (random() < 0.5 ? end : '');
    const text = `${HEADER}${end}${damaged(body, random)}`;
    const outcome = await read(text, 1 + Math.floor(random() * 4_000));
    try {
      check(text, outcome, headers);
      assert.deepEqual(await read(text, text.length, false), outcome, 'as text, without the fast way');
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}\n${JSON.stringify(text).slice(0, 3_000)}`, {
        cause: error,
      });
    }
  }
});

test('the same file gives the same rows however it is cut into pieces', async () => {
  for (let file = 0; file < budget(150); file++) {
    const random = randomNumbers(FUZZ_SEED * 7_919 + file);
    const lines = Array.from({ length: 40 }, (_, i) => rowOf(i, random));
    const text = `${HEADER}\n${damaged(lines.join(ENDS[file % 4]), random)}`;
    const whole = await read(text, text.length);
    for (const size of [1, 2, 7, 64])
      assert.deepEqual(await read(text, size), whole, `seed ${FUZZ_SEED * 7_919 + file}`);
  }
});
