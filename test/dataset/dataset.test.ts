import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Dataset, type DatasetOptions, type Rejection } from '../../src/dataset/dataset.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { expectedLines } from '../golden/oracle.ts';
import { SHARED_DATA, taxiflow, temporaryFolder, withoutSamples } from '../support.ts';

const HEADER =
  'vendor_id,pickup_datetime,dropoff_datetime,pickup_latitude,pickup_longitude,dropoff_latitude,dropoff_longitude';

/** A row that ends so many minutes after noon; its vendor tells it from others. */
const row = (vendor: string, minutes: number) =>
  `${vendor},2016-01-01 11:00:00,2016-01-01 12:${String(minutes).padStart(2, '0')}:00,40.7,-74,40.7,-74`;
const csv = (...rows: string[]) => `${[HEADER, ...rows].join('\n')}\n`;

interface Loaded {
  readonly dataset: Dataset;
  readonly ids: number[];
  readonly dropoffs: number[];
  readonly vendors: (string | undefined)[];
  readonly rejected: Rejection[];
  /** What is said to be wrong with each of them. */
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
    for (let i = 0; i < batch.count; i++) {
      found.ids.push(batch.firstId + i);
      found.dropoffs.push(batch.dropoffs[i]!);
      const body = batch.data.toString('latin1', batch.starts[i], batch.ends[i]);
      found.vendors.push((JSON.parse(`{"x":0${body}`) as { vendor_id?: string }).vendor_id);
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

describe('inputs', () => {
  it('are files, folders, globs, in order, each of them once where it is named once', async (t) => {
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

  it('that are not there are told', async (t) => {
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

  it('say how much of them was read', async (t) => {
    const folder = put(temporaryFolder(t), {
      'a.csv': csv(row('a', 1)),
      'b.csv.gz': gzipSync(csv(row('b', 2))),
    });
    const seen: [number, number | undefined][] = [];
    await load([folder], { onProgress: (read, total) => seen.push([read, total]) });
    const total = readdirSync(folder).reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
    assert.deepEqual(seen.at(-1), [total, total]);
  });

  it('are read no further once the reading is stopped; what was read is counted', async (t) => {
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

  it('have a fingerprint that goes by name, content and order, not by place', async (t) => {
    const [a, b] = [csv(row('a', 1)), csv(row('b', 1))];
    const folder = put(temporaryFolder(t), { 'x/1.csv': a, 'x/2.csv': b, 'y/1.csv': a, 'y/2.csv': a });
    const of = async (paths: string[], assumeSorted = false) =>
      (
        await Dataset.open({ paths: paths.map((path) => join(folder, path)), dataDir: folder, assumeSorted })
      ).fingerprint();
    assert.equal(await of(['x/1.csv']), await of(['y/1.csv']));
    const others = [
      ['x/2.csv'],
      ['y/2.csv'],
      ['x/1.csv', 'x/2.csv'],
      ['x/2.csv', 'x/1.csv'],
      ['x/1.csv', 'x/1.csv'],
    ];
    const all = await Promise.all(others.map((paths) => of(paths)));
    assert.equal(new Set([...all, await of(['x/1.csv']), await of(['x/1.csv'], true)]).size, 7);
    await assert.rejects(of(['-'].map(() => '../-')), failsWith('no-input'));
    const stdin = await Dataset.open({ paths: ['-'], dataDir: folder });
    await assert.rejects(stdin.fingerprint(), failsWith('not-repeatable'));
  });
});

describe('compressed inputs', () => {
  const long = csv(...Array.from({ length: 20_000 }, (_, i) => row(`v${i}`, i % 60)));

  it('are told by their first bytes, not by their name', async (t) => {
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

  it('of many chunks come whole', async (t) => {
    const folder = put(temporaryFolder(t), { 'a.csv.gz': gzipSync(long), 'b.csv.zst': zstd(long) });
    for (const file of readdirSync(folder)) {
      assert.equal((await load([join(folder, file)])).ids.length, 20_000, file);
    }
  });

  it('that were cut anywhere are one clear error, never fewer trips', async (t) => {
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
      // The zstd reader knows no checksums: only what can't be decoded at all is found.
      if (name.endsWith('.zst')) continue;
      const garbled = Buffer.from(content);
      garbled.fill(0xa5, content.length / 2, content.length / 2 + 400);
      const path = join(put(folder, { [name]: garbled }), name);
      await assert.rejects(load([path]), failsWith('input-unreadable'), 'garbled');
    }
  });

  it('that say they are Parquet and are not are an error', async (t) => {
    const folder = put(temporaryFolder(t), { 'a.parquet': Buffer.from('PAR1....PAR1') });
    await assert.rejects(load([join(folder, 'a.parquet')]), failsWith('input-unreadable'));
  });
});

describe('headers', () => {
  it('that say nothing of trips are an error that names the file', async (t) => {
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

  it('that no reader of CSV can make out are an error too, and not an empty file', async (t) => {
    const folder = put(temporaryFolder(t), { 'packed.zip': 'PK\u0003\u0004 "packed' });
    await assert.rejects(load([join(folder, 'packed.zip')]), failsWith('unknown-header', /gzip or zstd/));
  });

  it('are looked for in each file', async (t) => {
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

  it('that are no trips are rejected with source, line, reason and text; the others are all there', async (t) => {
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
        [9, 'not-csv', 'x"'],
        [11, 'short-row', 'short'],
      ],
    );
    const [fields, never, before, quote, field] = details;
    const width = HEADER.split(',').length;
    assert.deepEqual([fields, field], [`3 of ${width} fields`, `1 of ${width} fields`]);
    assert.equal(never, 'dropoff_datetime "never" is no time');
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
      rows: 8,
      blank: 2,
      trips: 3,
      rejected: { 'short-row': 2, 'unreadable-time': 1, 'dropoff-before-pickup': 1, 'not-csv': 1 },
      unreadableValues: 0,
    });
  });

  it('stop the reading at the first rejected one where that is asked for', async (t) => {
    const path = join(put(temporaryFolder(t), { 'dirty.csv': dirty }), 'dirty.csv');
    await assert.rejects(
      load([path], { failOnReject: true }),
      failsWith('row-rejected', /line 4 .*\(short-row\): 3 of /),
    );
    const quoted = join(put(temporaryFolder(t), { 'q.csv': `${HEADER}\n"x"\n` }), 'q.csv');
    await assert.rejects(load([quoted], { failOnReject: true }), failsWith('row-rejected', /line 2/));
  });

  it('are taken as they come where they are said to be sorted; what steps back is rejected', async (t) => {
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

  it('of several files are one order, ties in the order of the files; ids are dense ranks in it', async (t) => {
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
    // A row that was cut within quotes is no CSV for the one, and short for the other.
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
  // Some files at a time: a DuckDB for each of 240 files takes longer than all else.
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
  it('are all of them used', { skip: withoutSamples }, () => {
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
