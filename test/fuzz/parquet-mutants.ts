/** Reads damaged copies of Parquet files, in a process of its own: `parquet-mutants.ts FOLDER SEED FROM TO`. */
import { readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Input } from '../../src/dataset/inputs.ts';
import { readParquet } from '../../src/dataset/parquet-trips.ts';
import type { RowSink } from '../../src/dataset/sink.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { type Random, randomNumbers } from '../random.ts';

const [folder = '', seed = '1', from = '0', to = '0'] = process.argv.slice(2);

const files = readdirSync(folder)
  .sort()
  .map((name) => ({ name, bytes: readFileSync(join(folder, name)) }));

function mutant(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const below = (n: number) => Math.floor(random() * n);
  const changes = 1 + below(3);
  for (let i = 0; i < changes; i++) {
    // Headers and the table of contents are small, and most of what can go wrong is in them.
    const at = random() < 0.5 ? copy.length - 1 - below(Math.min(copy.length, 3_000)) : below(copy.length);
    const until = Math.min(copy.length, at + 1 + below(6));
    const kind = below(6);
    if (kind === 0) copy[at]! ^= 1 << below(8);
    else if (kind === 1) copy[at] = below(256);
    else if (kind === 2) copy.fill(0xff, at, until);
    else if (kind === 3) copy.fill(0, at, until);
    else if (kind === 4) copy.copy(copy, at, below(copy.length), copy.length);
    else copy.fill(0x80 | below(128), at, until);
  }
  return random() < 0.05 ? copy.subarray(0, below(copy.length)) : copy;
}

/** The number of rows of a file, or the code of its error. */
async function read(bytes: Buffer): Promise<number | string> {
  const input: Input = {
    name: 'mutant.parquet',
    size: bytes.length,
    found: false,
    open: () => {
      throw new Error('Parquet is read by places');
    },
    ranges: async () => ({
      size: bytes.length,
      read: async (start, end) => {
        if (start < 0 || end > bytes.length || end < start) throw new Error('unexpected end of file');
        return new Uint8Array(bytes.subarray(start, end));
      },
      close: async () => {},
    }),
  };
  let rows = 0;
  const sink: RowSink = {
    trip: () => {
      rows++;
      return true;
    },
    reject: (_reason, _line, raw, detail) => {
      JSON.parse(raw);
      detail();
      rows++;
    },
    leftOut: () => {},
    lines: () => {},
  };
  const options = {
    dateOrder: undefined,
    folder: '',
    onBytes: () => {},
    onDigest: () => {},
    onNote: () => {},
  };
  try {
    for await (const _ of readParquet(input, sink, options));
    return rows;
  } catch (error) {
    if (error instanceof TaxiflowError) return error.code;
    throw error;
  }
}

const whole = new Map<string, number | string>();
for (const { name, bytes } of files) whole.set(name, await read(bytes));
const outcomes: Record<string, number> = {};
for (let i = Number(from); i < Number(to); i++) {
  // If this is the last line printed, this mutant ended the process.
  writeSync(1, `${i}\n`);
  const random = randomNumbers(Number(seed) * 1_000_003 + i);
  const { name, bytes } = files[i % files.length]!;
  const outcome = await read(mutant(bytes, random));
  if (typeof outcome === 'number' && outcome !== whole.get(name)) {
    throw new Error(`mutant ${i} of ${name}: ${outcome} rows of ${whole.get(name)}`);
  }
  const kind = typeof outcome === 'number' ? 'read' : outcome;
  outcomes[kind] = (outcomes[kind] ?? 0) + 1;
}
writeSync(1, `${JSON.stringify({ whole: Object.fromEntries(whole), outcomes })}\n`);
