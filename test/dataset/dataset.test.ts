import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { Dataset, type DatasetOptions, type Rejection } from '../../src/dataset/dataset.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { SHARED_DATA, temporaryFolder, withoutSamples } from '../files.ts';
import { expectedLines } from '../golden/oracle.ts';
import { taxiflow } from '../taxiflow.ts';
import { tripsOfBatch } from './source-trips.ts';

const HEADER =
  'vendor_id,pickup_datetime,dropoff_datetime,pickup_latitude,pickup_longitude,dropoff_latitude,dropoff_longitude';

/** A row that ends `minutes` after noon; its vendor distinguishes it. */
const row = (vendor: string, minutes: number) =>
  `${vendor},2016-01-01 11:00:00,2016-01-01 12:${String(minutes).padStart(2, '0')}:00,40.7,-74,40.7,-74`;
const csv = (...rows: string[]) => `${[HEADER, ...rows].join('\n')}\n`;

interface Loaded {
  readonly dataset: Dataset;
  readonly ids: number[];
  readonly dropoffs: number[];
  readonly vendors: (string | undefined)[];
  readonly rejected: Rejection[];
  /** The reason given for each of them. */
  readonly details: string[];
}

async function load(paths: readonly string[], options: Partial<DatasetOptions> = {}): Promise<Loaded> {
  const rejected: Rejection[] = [];
  const details: string[] = [];
  const dataset = await Dataset.open({
    paths,
    dataDir: join(paths[0]!, '..', 'data'),
    onReject: (rejection) => {
      rejected.push(rejection);
      details.push(rejection.detail());
    },
    ...options,
  });
  const found: Loaded = { dataset, ids: [], dropoffs: [], vendors: [], rejected, details };
  for await (const batch of dataset.batches()) {
    for (const [i, trip] of tripsOfBatch(batch).entries()) {
      found.ids.push(batch.firstId + i);
      found.dropoffs.push(batch.dropoffs[i]!);
      found.vendors.push(trip.vendor_id);
    }
  }
  return found;
}

function put(folder: string, files: Record<string, string | Buffer>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

const failsWith =
  (code: string, pattern = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof TaxiflowError, `a TaxiflowError, not ${String(error)}`);
    assert.equal(error.code, code, error.message);
    assert.match(`${error.message} ${error.hint}`, pattern);
    return true;
  };

const hasZstd = (() => {
  try {
    execFileSync('zstd', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** A zstd frame of raw blocks, by hand: no compression, no checksum, RFC 8878. */
function rawZstd(content: Buffer, blockSize = 50): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at === 0 || at < content.length; at += blockSize) {
    const block = content.subarray(at, at + blockSize);
    const last = at + blockSize >= content.length ? 1 : 0;
    const head = Buffer.alloc(3);
    head.writeUIntLE((block.length << 3) | last, 0, 3);
    blocks.push(head, block);
  }
  // Magic, descriptor without size or checksum, a window of 128 KiB.
  return Buffer.concat([Buffer.from('28b52ffd0038', 'hex'), ...blocks]);
}

function zstd(content: string): Buffer {
  if (!hasZstd) return rawZstd(Buffer.from(content));
  return execFileSync('zstd', ['-c', '-q'], { input: content, maxBuffer: 1 << 28 });
}

/** A zip archive by hand (APPNOTE 4.3): files as they are, or deflated where that is shorter. */
function zipOf(files: Record<string, Buffer>): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, content] of Object.entries(files)) {
    const deflated = content.length > 1_000;
    const stored = deflated ? deflateRawSync(content) : content;
    const about = Buffer.alloc(26);
    about.writeUInt16LE(20, 0);
    about.writeUInt16LE(deflated ? 8 : 0, 4);
    about.writeUInt32LE(crc32(content), 10);
    about.writeUInt32LE(stored.length, 14);
    about.writeUInt32LE(content.length, 18);
    about.writeUInt16LE(name.length, 22);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(at, 10);
    const local = [Buffer.from('PK\x03\x04'), about, Buffer.from(name), stored];
    directory.push(Buffer.from('PK\x01\x02\x14\x00'), about, place, Buffer.from(name));
    bodies.push(...local);
    at += local.reduce((sum, { length }) => sum + length, 0);
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(files).length, 4);
  end.writeUInt16LE(Object.keys(files).length, 6);
  end.writeUInt32LE(entries.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...bodies, entries, Buffer.from('PK\x05\x06'), end]);
}

describe('inputs', () => {
  it('are files, folders and globs, in order, and each file is read once', async (t) => {
    const folder = put(temporaryFolder(t), {
      'b/2.csv': csv(row('b2', 2)),
      'b/1.txt': csv(row('b1', 1)),
      'b/deep/3.csv.gz': gzipSync(csv(row('b3', 3))),
      'b/4.CSV.zst': rawZstd(Buffer.from(csv(row('b4', 4)))),
      'b/readme.md': 'no trips here',
      'a.csv': csv(row('a', 0)),
      'odd name': csv(row('odd', 9)),
    });
    const names = async (...paths: string[]) =>
      (await load(paths.map((path) => join(folder, path)))).vendors.join(' ');
    assert.equal(await names('a.csv'), 'a');
    assert.equal(await names('odd name'), 'odd', 'a file that is named is read, whatever its name');
    assert.equal(await names('b'), 'b1 b2 b3 b4', 'a folder with all below it, CSV files only');
    assert.equal(await names('b/*.csv'), 'b2');
    assert.equal(await names('b/**/*.csv*'), 'b2 b3');
    assert.equal(await names('{a,b/2}.csv'), 'a b2');
    assert.equal(await names('a.csv', 'b', 'odd name'), 'a b1 b2 b3 b4 odd');
    const dataset = await Dataset.open({
      paths: [join(folder, 'b'), join(folder, 'a.csv')],
      dataDir: folder,
    });
    assert.deepEqual(
      dataset.names.map((name) => name.slice(folder.length + 1)),
      ['b/1.txt', 'b/2.csv', 'b/4.CSV.zst', 'b/deep/3.csv.gz', 'a.csv'],
    );
  });

  it("that don't exist are named in an error", async (t) => {
    const folder = put(temporaryFolder(t), { 'empty/readme.md': '' });
    for (const path of ['none.csv', 'none/*.csv', 'empty']) {
      await assert.rejects(load([join(folder, path)]), failsWith('no-input', /generate/), path);
    }
  });

  it('that are a pipe are read once', {
    skip: process.platform === 'win32' && 'needs named pipes',
    timeout: 30_000,
  }, async (t) => {
    const folder = temporaryFolder(t);
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const text = csv(row('a', 1), row('b', 2));
    const args = ['replay', pipe, '--speedup', 'max', '--json', '--data-dir', join(folder, 'data')];
    const writing = (child: ChildProcess) => {
      t.after(() => child.kill('SIGKILL'));
      void writeFile(pipe, text);
    };
    const ran = await taxiflow(args, { onStart: writing });
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.json<{ sent: number }>().sent, 2);
  });

  it('report how much of them was read', async (t) => {
    const folder = put(temporaryFolder(t), {
      'a.csv': csv(row('a', 1)),
      'b.csv.gz': gzipSync(csv(row('b', 2))),
    });
    const seen: [number, number | undefined][] = [];
    await load([folder], { onProgress: (read, total) => seen.push([read, total]) });
    const total = readdirSync(folder).reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
    assert.deepEqual(seen.at(-1), [total, total]);
  });

  it('are not read on after a stop, and what was read is counted', async (t) => {
    const folder = put(temporaryFolder(t), {
      'a.csv': csv(row('a', 1), row('b', 2)),
      'b.csv': csv(row('c', 3)),
    });
    for (const assumeSorted of [false, true]) {
      const stop = new AbortController();
      const onProgress = () => stop.abort();
      const { ids, dataset } = await load([folder], { signal: stop.signal, onProgress, assumeSorted });
      assert.deepEqual(ids, []);
      assert.deepEqual([dataset.counts.rows, dataset.counts.trips], [2, 2], 'the second file was not opened');
    }
  });

  it('come from standard input too, plain or compressed', async (t) => {
    const content = csv(row('a', 3), row('b', 1), row('c', 2), 'short');
    for (const input of [Buffer.from(content), gzipSync(content), rawZstd(Buffer.from(content))]) {
      const ran = await taxiflow(['replay', '-', '--dry-run', '--json', '--data-dir', temporaryFolder(t)], {
        input,
      });
      assert.equal(ran.code, 0, ran.stderr);
      const { trips, read, rejected, first_dropoff, last_dropoff } = ran.json();
      assert.deepEqual([trips, read, rejected], [3, 4, 1]);
      assert.deepEqual(
        [first_dropoff, last_dropoff],
        ['2016-01-01T12:01:00.000Z', '2016-01-01T12:03:00.000Z'],
      );
    }
  });

  it("have a fingerprint of their content, which doesn't depend on name, compression or order", async (t) => {
    const [a, b] = [csv(row('a', 1)), csv(row('b', 1))];
    const zip = zipOf({ 'in.csv': Buffer.from(a) });
    const folder = put(temporaryFolder(t), {
      'x/1.csv': a, 'x/2.csv': b, 'y/renamed.csv': a, 'y/2.csv.gz': gzipSync(b), 'z/1.zip': zip,
    }); // biome-ignore format: a line of files
    const of = async (paths: string[], assumeSorted = false) =>
      (
        await Dataset.open({ paths: paths.map((path) => join(folder, path)), dataDir: folder, assumeSorted })
      ).fingerprint();
    const one = await of(['x/1.csv']);
    assert.equal(await of(['y/renamed.csv']), one);
    assert.equal(await of(['z/1.zip']), one);
    assert.equal(await of(['x/1.csv', 'y/renamed.csv']), one, 'the same content is read once');
    const both = await of(['x/1.csv', 'x/2.csv']);
    for (const others of [['x/2.csv', 'x/1.csv'], ['y'], ['y/2.csv.gz', 'z/1.zip']]) {
      assert.equal(await of(others), both, others.join(' '));
    }
    const asIs = [await of(['x/1.csv', 'x/2.csv'], true), await of(['x/2.csv', 'x/1.csv'], true)];
    assert.equal(new Set([one, await of(['x/2.csv']), both, ...asIs, await of(['x/1.csv'], true)]).size, 6);
    await assert.rejects(of(['-'].map(() => '../-')), failsWith('no-input'));
    const stdin = await Dataset.open({ paths: ['-'], dataDir: folder });
    await assert.rejects(stdin.fingerprint(), failsWith('not-repeatable'));
    const { dataset } = await load([join(folder, 'y')], { dataDir: join(folder, 'data') });
    assert.equal(await dataset.fingerprint(), both, 'the same once it was read');
  });

  it('that are named twice or have the same content are read once, with a note', async (t) => {
    const folder = put(temporaryFolder(t), {
      'a.csv': csv(row('a', 1)), 'a.csv.gz': gzipSync(csv(row('a', 1))), 'b.csv': csv(row('b', 2)),
    }); // biome-ignore format: a line of files
    symlinkSync(join(folder, 'b.csv'), join(folder, 'link.csv'));
    const notes: string[] = [];
    const paths = ['a.csv', './a.csv', '*.csv', 'link.csv'].map((path) => `${folder}/${path}`);
    const { vendors } = await load([folder, ...paths], { onNote: (note) => notes.push(note) });
    assert.deepEqual(vendors, ['a', 'b']);
    assert.equal(notes.filter((note) => /named twice/.test(note)).length, 7, notes.join('\n'));
    assert.match(notes.at(-1) ?? '', /has the same content as .*; it is read once$/);
  });

  it('rank tied trips by their content, whatever the names of the files and their order', async (t) => {
    const files = ['c', 'a', 'b'].map((name) => csv(row(name, 1), row(`${name}2`, 1), row(`${name}3`, 2)));
    const orders = [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ];
    const found = [];
    for (const order of orders) {
      const folder = put(
        temporaryFolder(t),
        Object.fromEntries(order.map((file, i) => [`${i}.csv`, files[file]!])),
      );
      found.push((await load([folder])).vendors);
    }
    assert.deepEqual(found, Array(3).fill(['a', 'a2', 'b', 'b2', 'c', 'c2', 'a3', 'b3', 'c3']));
  });
});

describe('compressed inputs', () => {
  const long = csv(...Array.from({ length: 20_000 }, (_, i) => row(`v${i}`, i % 60)));

  it('are recognised by their first bytes, not by their name', async (t) => {
    const folder = put(temporaryFolder(t), {
      'a.csv': gzipSync(csv(row('a', 1))),
      'b.csv.gz': csv(row('b', 2)),
      'c.csv': zstd(csv(row('c', 3))),
    });
    assert.deepEqual((await load([folder])).vendors, ['a', 'b', 'c']);
  });

  it('may have several gzip members or zstd frames, with skippable frames between and before them', async (t) => {
    const parts = [
      csv(row('a', 1)),
      `${row('b', 2)}\n${row('c', 3).slice(0, 9)}`,
      `${row('c', 3).slice(9)}\n`,
    ];
    const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex');
    const folder = put(temporaryFolder(t), {
      '1/a.csv.gz': Buffer.concat(parts.map((part) => gzipSync(part))),
      '2/a.csv.zst': Buffer.concat(parts.map(zstd)),
      '3/a.csv.zst': Buffer.concat(parts.flatMap((part) => [rawZstd(Buffer.from(part), 7), skippable])),
      '4/a.csv.zst': Buffer.concat(parts.flatMap((part) => [skippable, zstd(part)])),
    });
    for (const name of ['1', '2', '3', '4']) {
      assert.deepEqual((await load([join(folder, name)])).vendors, ['a', 'b', 'c'], name);
    }
  });

  it('of many chunks are read completely', async (t) => {
    const folder = put(temporaryFolder(t), { 'a.csv.gz': gzipSync(long), 'b.csv.zst': zstd(long) });
    for (const file of readdirSync(folder)) {
      assert.equal((await load([join(folder, file)])).ids.length, 20_000, file);
    }
  });

  it('that are cut anywhere give one clear error, never fewer trips', async (t) => {
    const folder = temporaryFolder(t);
    const whole = { 'a.csv.gz': gzipSync(long), 'b.csv.zst': zstd(long) };
    for (const [name, content] of Object.entries(whole)) {
      for (const length of [5, 30, Math.floor(content.length / 2), content.length - 9, content.length - 1]) {
        const path = join(put(folder, { [name]: content.subarray(0, length) }), name);
        await assert.rejects(
          load([path]),
          failsWith('input-unreadable', new RegExp(name)),
          `${length} bytes`,
        );
      }
      // The zstd reader ignores checksums, so it finds only damage that can't be decoded.
      if (name.endsWith('.zst')) continue;
      const garbled = Buffer.from(content);
      garbled.fill(0xa5, content.length / 2, content.length / 2 + 400);
      const path = join(put(folder, { [name]: garbled }), name);
      await assert.rejects(load([path]), failsWith('input-unreadable'), 'garbled');
    }
  });

  it('that hold anything but zeros after the last member are an error', async (t) => {
    const packed = gzipSync(csv(row('a', 1)));
    const folder = put(temporaryFolder(t), {
      'text.csv.gz': Buffer.concat([packed, Buffer.from(row('b', 2))]),
      'zeros.csv.gz': Buffer.concat([packed, Buffer.alloc(5_000)]),
      'both.csv.gz': Buffer.concat([packed, Buffer.alloc(5_000), Buffer.from(row('b', 2))]),
    });
    assert.deepEqual((await load([join(folder, 'zeros.csv.gz')])).vendors, ['a']);
    for (const name of ['text.csv.gz', 'both.csv.gz']) {
      await assert.rejects(load([join(folder, name)]), failsWith('input-unreadable'), name);
    }
  });

  it('may be zip archives: each trip file in one is a file', async (t) => {
    const [a, b] = [csv(row('a', 2)), csv(row('b', 1))].map((text) => Buffer.from(text));
    const folder = put(temporaryFolder(t), {
      '1.zip': zipOf({ anything: a! }),
      '2.zip': zipOf({
        './x/2.csv': b!,
        'readme.md': Buffer.from('no trips'),
        '__MACOSX/x/._2.csv': a!,
        'taxi_zone_lookup.csv': Buffer.from('LocationID,Zone\n'),
      }),
    });
    const { vendors, dataset } = await load([folder]);
    assert.deepEqual(vendors, ['b', 'a']);
    assert.equal(dataset.counts.rows, 2);
    const broken = zipOf({ 'a.csv': a! });
    broken[broken.indexOf('2016')]! ^= 1;
    const others: Record<string, Buffer> = {
      'broken.zip': broken,
      'cut.zip': zipOf({ 'a.csv': a! }).subarray(0, -10),
      'two.zip': Buffer.concat([zipOf({ 'a.csv': a! }), zipOf({ 'a.csv': a! })]),
      'empty.zip': zipOf({ 'readme.md': b!, 'b.md': b! }),
      'sheet.xlsx': zipOf({ 'xl/workbook.xml': b!, 'a.csv': a! }),
    };
    for (const [name, bytes] of Object.entries(others)) {
      const path = join(put(temporaryFolder(t), { [name]: bytes }), name);
      await assert.rejects(
        load([path]),
        failsWith(name === 'empty.zip' ? 'unknown-header' : 'input-unreadable', new RegExp(name)),
        name,
      );
    }
  });

  it('of unsupported kinds are refused by the name of the kind', async (t) => {
    const heads = {
      'a.csv.bz2': 'BZh91AY&SY', 'a.csv.xz': '\xfd7zXZ\0\0\0', 'a.7z': '7z\xbc\xaf\x27\x1c\0\0',
      'a.csv.lz4': '\x04\x22\x4d\x18xxxx', 'a.pdf': '%PDF-1.7\n', 'a.avro': 'Obj\x01\x04\x14',
    }; // biome-ignore format: two lines of heads
    for (const [name, head] of Object.entries(heads)) {
      const path = join(
        put(temporaryFolder(t), { [name]: Buffer.from(head.padEnd(40, 'x'), 'latin1') }),
        name,
      );
      await assert.rejects(load([path]), failsWith('input-unreadable', /is (?:packed|an?) .*first/), name);
    }
  });

  it("that claim to be Parquet and aren't are an error", async (t) => {
    const folder = put(temporaryFolder(t), { 'a.parquet': Buffer.from('PAR1....PAR1') });
    await assert.rejects(load([join(folder, 'a.parquet')]), failsWith('input-unreadable'));
  });
});

describe('headers', () => {
  it('without the columns of trips are an error that names the file', async (t) => {
    const folder = put(temporaryFolder(t), {
      'none.csv': 'a,b,c\n1,2,3\n',
      'quoted.csv': '"a","b"\n1,2\n',
      'empty.csv': '',
      'blank.csv': '\n \r\n',
      'metres.csv': 'tpep_pickup_datetime,tpep_dropoff_datetime,pickup_x,pickup_y\n',
    });
    for (const name of ['none.csv', 'quoted.csv', 'empty.csv', 'blank.csv']) {
      await assert.rejects(load([join(folder, name)]), failsWith('unknown-header', new RegExp(name)), name);
    }
    await assert.rejects(load([join(folder, 'metres.csv')]), failsWith('not-degrees', /metres.csv/));
  });

  it('that are missing or unreadable have an error of their own', async (t) => {
    const folder = put(temporaryFolder(t), {
      'none.csv': `${row('a', 1)}\n${row('b', 1)}\n`,
      'quote.csv': `"vendor_id,${HEADER.slice(10)}\n${row('a', 1)}\n`,
      'cut.zip': 'PK\u0003\u0004 "packed',
    });
    const of = (name: string) => load([join(folder, name)]);
    await assert.rejects(
      of('none.csv'),
      failsWith('unknown-header', /has no header: its first line is a row of data/),
    );
    await assert.rejects(of('quote.csv'), failsWith('unknown-header', /a quote is not closed/));
    await assert.rejects(of('cut.zip'), failsWith('input-unreadable'));
  });

  it('may follow lines that hold only delimiters', async (t) => {
    const text = `;;;;\n"",""\n${csv(row('a', 1)).replaceAll(',', ';')}`;
    assert.deepEqual((await load([join(put(temporaryFolder(t), { 'a.csv': text }), 'a.csv')])).vendors, [
      'a',
    ]);
  });

  it('decide the delimiter, and are recognised again inside concatenated files', async (t) => {
    for (const delimiter of [',', ';', '\t', '|']) {
      const as = (text: string) => text.replaceAll(',', delimiter);
      const other = `\uFEFF"${HEADER.split(',').reverse().join('","')}"`;
      const text = as(
        `${csv(row('a', 1))}${other}\n${row('b', 2).split(',').reverse().join(',')}\n${csv(row('c', 3))}`,
      );
      const { vendors, dataset } = await load([join(put(temporaryFolder(t), { 'a.csv': text }), 'a.csv')]);
      assert.deepEqual(vendors, ['a', 'b', 'c'], JSON.stringify(delimiter));
      assert.deepEqual([dataset.counts.headers, dataset.counts.rows, dataset.counts.lines], [3, 3, 6]);
    }
  });

  it('that begin in the middle of a line, or use another delimiter than the first, are refused', async (t) => {
    const folder = put(temporaryFolder(t), {
      'glued.csv': `${csv(row('a', 1)).trimEnd()}${csv(row('b', 1))}`,
      'cut.csv': `${csv(row('a', 1))}${row('b', 1).slice(0, 30)}${csv(row('c', 1))}`,
      'time.csv': `pickup_datetime,dropoff_datetime,a\n2016-01-01 00:00:00,2016-01-01 00:01:00,7pickup_datetime,dropoff_datetime,b,a\n`,
      'other.csv': csv(row('a', 1)) + csv(row('b', 1)).replaceAll(',', ';'),
    });
    for (const name of ['glued.csv', 'other.csv', 'cut.csv', 'time.csv']) {
      await assert.rejects(load([join(folder, name)]), failsWith('mixed-files', /line [234] /), name);
    }
    const wider = `pickup_datetime,dropoff_datetime\n2016-01-01 00:00:00,2016-01-01 00:01:00\n${csv(row('b', 2))}`;
    const path = join(put(folder, { 'wider.csv': wider }), 'wider.csv');
    assert.deepEqual((await load([path])).vendors, [undefined, 'b'], 'a header with more columns is one');
  });

  it('of another table exclude a file found in a folder; a file that was named is an error', async (t) => {
    const folder = put(temporaryFolder(t), {
      'trips.csv': csv(row('a', 1)),
      'zones.csv': 'LocationID,Borough,Zone\n1,EWR,Newark\n',
      'empty.csv': '',
      'quotes.csv': '"a"b,c\n1,2\n',
      'readme.zip': zipOf({ 'a.md': Buffer.from('x'), 'b.md': Buffer.from('y') }),
    });
    const notes: string[] = [];
    const { vendors } = await load([folder], { onNote: (note) => notes.push(note) });
    assert.deepEqual(vendors, ['a']);
    assert.deepEqual(notes.map((note) => note.replace(`${folder}/`, '')).sort(), [
      'empty.csv is empty: skipped',
      'quotes.csv has no line that can be read as a header: text after a closing quote: skipped',
      'readme.zip holds no CSV file: skipped',
      'zones.csv has no pick-up time: skipped',
    ]);
    await assert.rejects(load([join(folder, 'zones.csv')]), failsWith('unknown-header'));
    const alone = put(temporaryFolder(t), { 'zones.csv': 'LocationID,Borough,Zone\n1,EWR,Newark\n' });
    await assert.rejects(load([alone]), failsWith('unknown-header'));
  });

  it('are read from each file', async (t) => {
    const other = HEADER.split(',').reverse().join(',');
    const folder = put(temporaryFolder(t), {
      '1.csv': csv(row('a', 2)),
      '2.csv': `\n${other}\n${row('b', 1).split(',').reverse().join(',')}\n`,
    });
    assert.deepEqual((await load([folder])).vendors, ['b', 'a']);
  });
});

describe('rows', () => {
  const dirty = [
    HEADER,
    '',
    row('first', 30),
    'a,b,c',
    ' ',
    `x,2016-01-01 11:00:00,never,40,-74,40,-74`,
    `x,2016-01-01 11:00:00,2016-01-01 10:00:00,40,-74,40,-74`,
    row('second', 10),
    `x"y,2016-01-01 11:00:00,2016-01-01 12:00:00,40,-74,40,-74`,
    `"third",${row('', 20).slice(1)}`,
    'short',
    '',
  ].join('\r\n');

  it('that are not trips are rejected with source, line, reason and text; all others are kept', async (t) => {
    const path = join(put(temporaryFolder(t), { 'dirty.csv': dirty }), 'dirty.csv');
    const { dataset, vendors, rejected, details, ids } = await load([path]);
    assert.deepEqual(vendors, ['second', 'third', 'first']);
    assert.deepEqual(ids, [0, 1, 2]);
    assert.deepEqual(
      rejected.map(({ line, reason, raw }) => [line, reason, raw.slice(0, 5)]),
      [
        [4, 'short-row', 'a,b,c'],
        [6, 'unreadable-time', 'x,201'],
        [7, 'dropoff-before-pickup', 'x,201'],
        [9, 'not-csv', 'x"y,2'],
        [11, 'short-row', 'short'],
      ],
    );
    const [fields, never, before, quote, field] = details;
    const width = HEADER.split(',').length;
    assert.deepEqual([fields, field], [`3 of ${width} fields`, `1 of ${width} fields`]);
    assert.equal(never, 'dropoff_datetime "never" is not a valid time');
    assert.equal(
      before,
      'dropoff_datetime "2016-01-01 10:00:00" is before pickup_datetime "2016-01-01 11:00:00"',
    );
    assert.match(quote ?? '', /quote/i);
    assert.ok(
      rejected.every(({ source }) => source === path),
      'each names its file',
    );
    assert.deepEqual(dataset.counts, {
      lines: 11,
      headers: 1,
      rows: 8,
      blank: 2,
      continued: 0,
      trips: 3,
      rejected: { 'short-row': 2, 'unreadable-time': 1, 'dropoff-before-pickup': 1, 'not-csv': 1 },
      rejectedExamples: {
        'short-row': `line 4 of ${path}: ${fields}`,
        'unreadable-time': `line 6 of ${path}: ${never}`,
        'dropoff-before-pickup': `line 7 of ${path}: ${before}`,
        'not-csv': `line 9 of ${path}: ${quote}`,
      },
      unreadableValues: 0,
      timesTwice: 0,
      timesNever: 0,
      unreadableExample: undefined,
    });
  });

  it('stop the reading at the first rejected row if asked to', async (t) => {
    const path = join(put(temporaryFolder(t), { 'dirty.csv': dirty }), 'dirty.csv');
    await assert.rejects(
      load([path], { failOnReject: true }),
      failsWith('row-rejected', /line 4 .*\(short-row\): 3 of /),
    );
    const quoted = join(put(temporaryFolder(t), { 'q.csv': `${HEADER}\n"x"\n` }), 'q.csv');
    await assert.rejects(load([quoted], { failOnReject: true }), failsWith('row-rejected', /line 2/));
  });

  it('are taken as they come if declared sorted, and one that steps back is rejected', async (t) => {
    const text = csv(row('a', 5), row('b', 5), row('c', 4), row('d', 6), row('e', 5));
    const folder = put(temporaryFolder(t), { '1.csv': text, '2.csv': csv(row('f', 6), row('g', 1)) });
    const { vendors, rejected, details, ids, dataset } = await load([folder], { assumeSorted: true });
    assert.deepEqual(vendors, ['a', 'b', 'd', 'f']);
    assert.deepEqual(ids, [0, 1, 2, 3]);
    assert.deepEqual(
      rejected.map(({ line, reason }) => [line, reason]),
      [
        [4, 'out-of-order'],
        [6, 'out-of-order'],
        [3, 'out-of-order'],
      ],
    );
    assert.equal(details[0], 'dropoff_datetime "2016-01-01 12:04:00" is before that of an earlier row');
    assert.equal(dataset.counts.rows, 7);
  });

  it('R2: after a second header are read by its columns, even while quoted rows before it are pending', async (t) => {
    const times = (minute: number) =>
      `2016-01-01 11:00:00,2016-01-01 12:${String(minute).padStart(2, '0')}:00`;
    const first = `vendor_id,pickup_datetime,dropoff_datetime,flag\n"1",${times(1)},N\n`;
    const second = `pickup_datetime,dropoff_datetime,flag,vendor_id\n${times(2)},"N,2\n`;
    const rows = [3, 4, 5, 6].map((i) => `${times(i)},N,v${i}\n`).join('');
    const text = `${first}${second}${rows}${times(7)},N",7\n${times(8)},N,v8\n`;
    const read = async (content: string) =>
      load([join(put(temporaryFolder(t), { 'a.csv': content }), 'a.csv')]);
    const { vendors, dataset } = await read(text);
    assert.deepEqual(vendors, ['1', 'v3', 'v4', 'v5', 'v6', 'v8']);
    assert.deepEqual(dataset.counts.rejected, { 'not-csv': 2 });
    const wider = `vendor_id,pickup_datetime,dropoff_datetime,a,b\n2,${times(2)},"x\ny",0\n`;
    assert.deepEqual((await read(first + wider)).vendors, ['1', '2']);
    const quoted = `"vendor_id","pickup_datetime","dropoff_datetime","total_amount"\n1,${times(1)},"5\ngarbage\nx",1,2\n2,${times(2)},5\n`;
    assert.deepEqual((await read(quoted)).dataset.counts.rejected, { 'not-csv': 2, 'short-row': 1 });
  });

  it('with more values than columns are rejected, whatever was joined to them', async (t) => {
    const header = 'vendor_id,pickup_datetime,dropoff_datetime,total_amount';
    const row = '1,2016-01-01 00:00:00,2016-01-01 00:01:00,5';
    for (const glued of [
      `${row},,${row}`,
      `${row}2,2016-01-01 00:0`,
      `${row},x`,
      `1,2016-01-01 00:00:00,${row}`,
    ]) {
      const text = `${header}\n${row},,\n${glued}\n${row}\n`;
      const { ids, rejected } = await load([join(put(temporaryFolder(t), { 'a.csv': text }), 'a.csv')]);
      assert.deepEqual([ids.length, rejected.map(({ reason }) => reason)], [2, ['not-csv']], glued);
    }
  });

  it('leave out texts over the limit, so that memory stays bounded', async (t) => {
    const rows = Array.from({ length: 40 }, (_, i) => row('é'.repeat(300_000), i));
    const { vendors, dataset } = await load([
      join(put(temporaryFolder(t), { 'a.csv': csv(...rows, row('é'.repeat(1_000), 50)) }), 'a.csv'),
    ]);
    assert.deepEqual(new Set(vendors), new Set([undefined, 'é'.repeat(1_000)]));
    assert.equal(dataset.counts.unreadableValues, 40);
  });

  it('with only delimiters are blank; two rows in one line are rejected', async (t) => {
    const text = `${csv(row('a', 1))}${','.repeat(6)}\n"",,\n${row('b', 1)},${row('c', 1)}\n${row('d', 1)}${row('e', 1)}\n`;
    const { vendors, dataset, details } = await load([
      join(put(temporaryFolder(t), { 'a.csv': text }), 'a.csv'),
    ]);
    assert.deepEqual([vendors, dataset.counts.blank, dataset.counts.rows], [['a'], 2, 3]);
    assert.deepEqual(details, ['14 fields for 7 columns', '13 fields for 7 columns']);
  });

  it('report which values were left out of them, with the first as an example', async (t) => {
    const header = `${HEADER},total_amount,PULocationID`;
    const rows = ['$12.50,1', '"1,234.50",1', 'NaN,x', '5,2', ',', '-,NULL'].map(
      (rest, i) => `${row('a', i)},${rest}`,
    );
    const path = join(put(temporaryFolder(t), { 'a.csv': [header, ...rows].join('\n') }), 'a.csv');
    const { counts } = (await load([path])).dataset;
    assert.deepEqual([counts.trips, counts.unreadableValues], [6, 4]);
    assert.equal(counts.unreadableExample, `total_amount "$12.50" in line 2 of ${path}`);
  });

  it('of several files have one order, with ties in the order of the files, and ids are dense ranks in it', async (t) => {
    const files = Object.fromEntries(
      [0, 1, 2].map((file) => [
        `${file}.csv`,
        csv(...Array.from({ length: 3_000 }, (_, i) => row(`${file}-${i}`, (i * 7 + file) % 60))),
      ]),
    );
    const { ids, vendors, dropoffs } = await load([put(temporaryFolder(t), files)]);
    const expected = [0, 1, 2]
      .flatMap((file) =>
        Array.from({ length: 3_000 }, (_, i) => ({ name: `${file}-${i}`, at: (i * 7 + file) % 60 })),
      )
      .sort((a, b) => a.at - b.at);
    assert.deepEqual(
      vendors,
      expected.map(({ name }) => name),
    );
    assert.deepEqual(
      dropoffs,
      expected.map(({ at }) => Date.UTC(2016, 0, 1, 12, at)),
    );
    assert.deepEqual(
      ids,
      expected.map((_, i) => i),
    );
  });
});

describe('dates with slashes', () => {
  const dated = (...days: string[]) =>
    csv(...days.map((day, i) => row(`v${i}`, 0).replaceAll('2016-01-01', day)));
  const read = async (t: TestContext, text: string, options: Partial<DatasetOptions> = {}) => {
    const notes: string[] = [];
    const path = join(put(temporaryFolder(t), { 'a.csv': text }), 'a.csv');
    const { dropoffs, rejected } = await load([path], { onNote: (note) => notes.push(note), ...options });
    return { days: dropoffs.map((ms) => new Date(ms).toISOString().slice(0, 10)), rejected, notes };
  };

  it('have the order of day and month that any row of the file settles, even its last', async (t) => {
    const filler = Array.from({ length: 20_000 }, () => '3/4/2016');
    for (const [last, day] of [
      ['25/4/2016', '2016-04-03'],
      ['4/25/2016', '2016-03-04'],
    ] as const) {
      const { days, rejected, notes } = await read(t, dated(...filler, last));
      assert.deepEqual([days[0], days.length, rejected.length, notes], [day, 20_001, 0, []]);
      assert.equal(days.at(-1), '2016-04-25');
    }
  });

  it('in a file of both orders are each read in the only order possible; undecided ones are read month first; both cases have one note', async (t) => {
    const both = await read(t, dated('3/4/2016', '25/4/2016', '4/26/2016'));
    assert.deepEqual(both.days, ['2016-03-04', '2016-04-25', '2016-04-26']);
    assert.match(both.notes.join(), /with the day first and with the month first.*--date-order/);
    const none = await read(t, dated('3/4/2016', '5/4/2016'));
    assert.deepEqual(none.days, ['2016-03-04', '2016-05-04']);
    assert.equal(none.notes.length, 1);
  });

  it('have the order that the user sets, and rows that contradict it are rejected', async (t) => {
    const { days, rejected, notes } = await read(t, dated('3/4/2016', '4/25/2016'), { dateOrder: 'dmy' });
    assert.deepEqual([days, rejected.length, notes], [['2016-04-03'], 1, []]);
  });

  it('from standard input are also decided by the row at the end of the look-ahead', async (t) => {
    for (const piece of [65_536, 262_144]) {
      const start = csv().length;
      const filler = `${row('v', 0).replaceAll('2016-01-01', '3/4/2016')}\n`;
      const count = Math.floor((piece - start - 40) / filler.length);
      const head = csv().concat(filler.repeat(count));
      const padded = `${head.slice(0, -1)}${'0'.repeat(piece - 40 - head.length)}\n`;
      const input = `${padded}${filler.replaceAll('3/4/2016', '13/4/2016')}${filler.repeat(50)}`;
      const ran = await taxiflow(['replay', '-', '--dry-run', '--json', '--data-dir', temporaryFolder(t)], {
        input,
      });
      const { first_dropoff, rejected, notes } = ran.json();
      assert.deepEqual([first_dropoff, rejected, notes], ['2016-04-03T12:00:00.000Z', 0, []], ran.stderr);
    }
  });

  it('from standard input are also decided by the whole input', async (t) => {
    const filler = Array.from({ length: 20_000 }, () => '3/4/2016');
    const input = dated(...filler, '25/4/2016').replace(/a,b/g, '');
    for (const bytes of [Buffer.from(input), gzipSync(input)]) {
      const ran = await taxiflow(['replay', '-', '--dry-run', '--json', '--data-dir', temporaryFolder(t)], {
        input: bytes,
      });
      const { trips, first_dropoff, notes } = ran.json();
      assert.deepEqual([trips, first_dropoff, notes], [20_001, '2016-04-03T12:00:00.000Z', []], ran.stderr);
    }
  });
});

describe('the TLC samples', () => {
  const has = (names: readonly string[], ...wanted: RegExp[]) =>
    wanted.every((pattern) => names.some((name) => pattern.test(name)));
  /** Both times, and both places as degrees or zones, in the words of the TLC. */
  function usable(path: string): boolean {
    const [header = ''] = readFileSync(path, 'latin1').split(/\r?\n/);
    const names = header
      .toLowerCase()
      .replaceAll('"', '')
      .split(',')
      .map((name) => name.trim());
    return (
      has(names, /pickup_datetime$/, /dropoff_datetime$/) &&
      (has(names, /^(pickup_latitude|start_lat)$/, /^(dropoff_longitude|end_lon)$/) ||
        has(names, /^(pulocationid|pickup_location_id)$/, /^(dolocationid|dropoff_location_id)$/))
    );
  }

  async function agree(t: TestContext, files: readonly string[]): Promise<void> {
    const oracle = await expectedLines(files);
    const { dataset } = await load(files, { dataDir: temporaryFolder(t) });
    const { trips, rejected } = dataset.counts;
    const { 'unreadable-time': time = 0, 'dropoff-before-pickup': order = 0 } = rejected;
    // DuckDB doesn't parse a row that was cut within quotes; we call it short.
    const short = (rejected['short-row'] ?? 0) + (rejected['not-csv'] ?? 0);
    assert.deepEqual(
      { trips, rejected: { short, time, order } },
      { trips: oracle.trips, rejected: oracle.rejected },
    );
  }

  const files = (folder: string) =>
    withoutSamples
      ? []
      : readdirSync(join(SHARED_DATA, folder))
          .map((name) => join(SHARED_DATA, folder, name))
          .sort();
  // Some files at a time: starting DuckDB for each of 240 files would dominate the run.
  const groups = new Map<string, string[]>();
  for (const folder of ['.', 'monthly_100row', 'tlc_first_1024_bytes']) {
    for (const path of files(folder)) {
      if (!/\.csv(\.gz)?$/.test(path) || path.includes('webmercator')) continue;
      if (!path.endsWith('.gz') && !usable(path)) continue;
      const [name = ''] = path.split('/').slice(-1);
      const kind =
        folder === '.' ? (name.match(/coords|locid/)?.[0] ?? 'others') : (name.match(/^[a-z]+/)?.[0] ?? '');
      const group = folder === '.' ? `the large ones, ${kind}` : `${folder}, ${kind}`;
      groups.set(group, [...(groups.get(group) ?? []), path]);
    }
  }
  it('are all used', { skip: withoutSamples }, () => {
    assert.ok(groups.size >= 8, `${[...groups.keys()].join('; ')}`);
    assert.ok([...groups.values()].flat().length > 200, 'more than 200 files');
  });
  for (const [group, paths] of groups) {
    it(`(${group}: ${paths.length}) have the trips and rejected rows that DuckDB counts`, (t) =>
      agree(t, paths));
  }

  it('in metres are refused', { skip: withoutSamples }, async (t) => {
    const path = join(SHARED_DATA, 'yellow_2015-01_webmercator_xy_2k.csv');
    await assert.rejects(load([path], { dataDir: temporaryFolder(t) }), failsWith('not-degrees'));
  });

  it('that lack a time are refused', { skip: withoutSamples }, async (t) => {
    const lacking = files('tlc_first_1024_bytes').filter((path) => {
      const [header = ''] = readFileSync(path, 'latin1').split(/\r?\n/);
      return !(/pickup_datetime/i.test(header) && /dropoff_datetime/i.test(header));
    });
    assert.ok(lacking.length > 0, 'there are some');
    for (const path of lacking) {
      await assert.rejects(load([path], { dataDir: temporaryFolder(t) }), failsWith('unknown-header'), path);
    }
  });
});
