/** A CSV file read in a thread of its own gives what it gives without one. */
import assert from 'node:assert/strict';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import { readCsv } from '../../src/dataset/csv.ts';
import { readCsvInThread } from '../../src/dataset/csv-thread.ts';
import { Dataset } from '../../src/dataset/dataset.ts';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import type { Input } from '../../src/dataset/inputs.ts';
import type { ReadOptions, RowSink } from '../../src/dataset/sink.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { fixture, fixtureFiles, temporaryFolder } from '../files.ts';
import { bodiesOfBatch, plainTrip, plainTrips } from './source-trips.ts';

type Reader = typeof readCsvInThread;

/** What a reader tells, in words. */
async function heard(reader: Reader, input: Input, folder: string): Promise<unknown> {
  const trips: string[] = [];
  const rejects: string[] = [];
  const others: unknown[] = [];
  let bytes = 0;
  const sink: RowSink = {
    trip: (trip) => trips.push(inspect(plainTrip(trip))) > 0,
    trips: (some) => {
      for (const trip of plainTrips(some)) trips.push(inspect(trip));
    },
    reject: (reason, line, raw, detail) => void rejects.push([reason, line, raw, detail()].join(' ')),
    leftOut: (count, first) => void others.push({ count, first }),
    lines: (counts) => void others.push(counts),
  };
  const options: ReadOptions = {
    dateOrder: undefined,
    folder,
    onBytes: (count) => {
      bytes += count;
    },
    onDigest: (digest) => void others.push(digest),
    onNote: (note) => void others.push(note),
  };
  try {
    for await (const _ of reader(input, sink, options));
  } catch (error) {
    assert.ok(error instanceof TaxiflowError, inspect(error));
    // A reader in a thread is ahead of its sink.
    return { code: error.code, message: error.message, hint: error.hint, exitCode: error.exitCode };
  }
  return { trips, rejects, others, bytes };
}

function inputOf(content: string | Buffer, chunk: number, once = false): Input {
  const bytes = Buffer.from(content);
  return {
    name: 'x.csv',
    size: bytes.length,
    found: false,
    open: async function* (onBytes) {
      for (let at = 0; at < bytes.length; at += chunk) {
        const piece = bytes.subarray(at, at + chunk);
        onBytes(piece.length);
        yield piece;
      }
    },
    ...(once ? { once: true } : {}),
  };
}

async function assertSame(t: TestContext, input: () => Input, what: string): Promise<unknown> {
  const folder = temporaryFolder(t);
  const expected = await heard(readCsv, input(), folder);
  assert.deepEqual(await heard(readCsvInThread, input(), folder), expected, what);
  return expected;
}

const HEADER = 'vendor_id,pickup_datetime,dropoff_datetime,total_amount';
const row = (date: string, vendor = 'CMT') => `${vendor},${date},${date},1.5`;

describe('a CSV file in a thread of its own', () => {
  it('gives the same trips, rejects, counts and digest', async (t) => {
    for (const name of fixtureFiles().filter((file) => file.endsWith('.csv'))) {
      const bytes = readFileSync(fixture(name));
      for (const chunk of [bytes.length, 30_000]) await assertSame(t, () => inputOf(bytes, chunk), name);
    }
  });

  it('gives the same where dates must be surveyed first, also if it can be read only once', async (t) => {
    const ambiguous = Array.from({ length: 300 }, (_, i) => row(`3/${(i % 12) + 1}/2016 1:00`));
    const text = [HEADER, ...ambiguous, row('25/3/2016 1:00'), row('x'), ...ambiguous].join('\n');
    for (const once of [false, true]) {
      const found = await assertSame(t, () => inputOf(text, 1_000, once), `once: ${once}`);
      assert.match(inspect(found, { depth: 3, maxArrayLength: 1 }), /601|trips/);
    }
  });

  it('fails with the same errors', async (t) => {
    const broken = new TaxiflowError('input-unreadable', 'x.csv is broken', { hint: 'mend it', exitCode: 2 });
    const failing: Input = {
      ...inputOf('', 1),
      open: async function* () {
        yield Buffer.from(`${HEADER}\n${row('2016-01-01 00:00:00')}\n`);
        throw broken;
      },
    };
    const cases: [Input, string][] = [
      [inputOf('a,b\n1,2\n', 3), 'unknown-header'],
      [inputOf('', 1), 'unknown-header'],
      [inputOf(`${HEADER}\n${HEADER.replaceAll(',', ';')}\n`, 9), 'mixed-files'],
      [failing, 'input-unreadable'],
    ];
    for (const [input, code] of cases) {
      const found = await assertSame(t, () => input, code);
      assert.equal((found as { code: string }).code, code);
    }
  });

  it('ends with an error when the thread dies, and keeps nothing open', async (t) => {
    const folder = temporaryFolder(t);
    const program = join(folder, 'dies.mjs');
    const file = join(folder, 'x.csv');
    writeFileSync(file, `${HEADER}\n${`${row('2016-01-01 00:00:00')}\n`.repeat(50_000)}`);
    for (const [death, message] of [
      ['process.exit(3)', /ended too early/],
      ["throw new Error('out of luck')", /out of luck/],
    ] as const) {
      writeFileSync(
        program,
        `import { parentPort } from 'node:worker_threads';
         parentPort.postMessage({ say: 'open', reading: 0, counted: true });
         parentPort.postMessage({ say: 'next', reading: 0 });
         parentPort.once('message', () => { ${death} });`,
      );
      const source = createReadStream(file);
      const input: Input = { ...inputOf('', 1), open: () => source as AsyncIterable<Buffer> };
      const reading = readCsvInThread(
        input,
        {} as RowSink,
        { onBytes: () => {} } as unknown as ReadOptions,
        program,
      );
      await assert.rejects(async () => {
        for await (const _ of reading);
      }, message);
      assert.ok(source.destroyed, 'the file is closed');
    }
  });

  it('is what a dataset uses for large files, with the same trips in the same order', async (t) => {
    const folder = temporaryFolder(t);
    const files = ['a.csv', 'b.csv'].map((name, i) => {
      const file = join(folder, name);
      const options = {
        trips: 40_000,
        from: '2016-01-11',
        hours: 3,
        layout: 'yellow-2015',
        dirty: 0.01,
      } as const;
      writeFileSync(file, [...generateCsv({ ...options, seed: i })].join(''));
      return file;
    });
    const read = async (threads: number) => {
      const reasons: string[] = [];
      const onReject = ({ reason, line }: { reason: string; line: number }) =>
        reasons.push(`${line} ${reason}`);
      const dataset = await Dataset.open({ paths: files, dataDir: folder, threads, onReject });
      const bodies: string[] = [];
      for await (const batch of dataset.batches()) bodies.push(...bodiesOfBatch(batch));
      return { bodies, reasons, counts: dataset.counts, fingerprint: await dataset.fingerprint() };
    };
    const expected = await read(1);
    assert.ok(expected.reasons.length > 0, 'the files are dirty');
    assert.deepEqual(await read(2), expected);
  });

  it('stops a dataset at the first rejected row, if asked to', async (t) => {
    const folder = temporaryFolder(t);
    const file = join(folder, 'x.csv');
    writeFileSync(
      file,
      [HEADER, ...new Array(150_000).fill(row('2016-01-01 00:00:00')), row('x')].join('\n'),
    );
    const dataset = await Dataset.open({ paths: [file], dataDir: folder, threads: 2, failOnReject: true });
    await assert.rejects(dataset.batches().next(), {
      code: 'row-rejected',
      message: /line 150002 .*"x" is not a valid time/,
    });
  });
});
