import assert from 'node:assert/strict';
import { StringDecoder } from 'node:string_decoder';
import { describe, it } from 'node:test';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { type RowHandler, RowReader } from '../../src/dataset/rows.ts';
import { inUtf8 } from '../../src/dataset/text.ts';

interface Read {
  /** Fields of each row, and `broken`, in order. */
  readonly events: (string[] | 'broken')[];
  readonly lines: number[];
  readonly raws: string[];
  reader: RowReader;
}

async function read(pieces: readonly Uint8Array[], handler: Partial<RowHandler> = {}): Promise<Read> {
  const found: Read = { events: [], lines: [], raws: [], reader: undefined! };
  const note = (line: number, raw: string) => {
    found.lines.push(line);
    found.raws.push(raw);
  };
  const reader = new RowReader({
    delimiter: ',',
    begin: () => {},
    isRow: () => false,
    fits: () => true,
    row: (fields, line, raw) => {
      found.events.push(fields);
      note(line, raw);
    },
    broken: ({ detail }, line, raw) => {
      assert.notEqual(detail, '', 'a broken row has a reason');
      found.events.push('broken');
      note(line, raw);
    },
    ...handler,
  });
  const decoder = new StringDecoder('utf8');
  for await (const piece of inUtf8(chunks(pieces))) reader.push(decoder.write(piece));
  reader.push(decoder.end());
  reader.end();
  found.reader = reader;
  return found;
}

/** The first chunk holds the bytes that tell the encoding: the reader of files makes sure of that. */
async function* chunks(pieces: readonly Uint8Array[]): AsyncGenerator<Buffer> {
  let first = Buffer.alloc(0);
  for (const [i, piece] of pieces.entries()) {
    if (first.length >= 4) yield Buffer.from(piece);
    else {
      first = Buffer.concat([first, piece]);
      if (first.length >= 4 || i === pieces.length - 1) yield first;
    }
  }
}

/** Cuts text into pieces at any bytes, also within a character. */
function cut(text: string, places: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...at, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : at[i - 1], end));
}

/** csv-parse over the whole text at once, lines of all kinds ended by LF; undefined where it finds a mistake. */
function reference(text: string): string[][] | undefined {
  try {
    const records = parse(text.replace(/\r\n?/g, '\n'), {
      bom: true,
      record_delimiter: ['\n'],
      relax_column_count: true,
    }) as unknown as string[][];
    return records;
  } catch {
    return undefined;
  }
}

/** An empty line is not a row, nor is a pair of quotes with nothing in it. */
const isThere = (row: string[] | 'broken') => row.length > 1 || row[0]!.trim() !== '';

const places = fc.array(fc.nat(2_000), { maxLength: 12 });
const scraps = fc.array(
  fc.constantFrom('a', 'b1', ',', ',', '\n', '\n', '\r\n', '\r\n', '"', '"', '""', ' ', '\r', 'é', '🚕', '-', '.5', '\t'), // biome-ignore format: one list
  { maxLength: 60 },
);
const quietScraps = scraps.map((parts) => parts.filter((part) => !part.includes('"')));
const csvText = fc
  .tuple(
    fc.constantFrom('', '', '\uFEFF'),
    fc.oneof(
      quietScraps,
      scraps,
      fc.tuple(quietScraps, scraps).map(([a, b]) => [...a, '\n', ...b]),
    ),
  )
  // Before the header, lines of nothing but delimiters are blank.
  .map(([bom, parts]) => `${bom}h\n${parts.join('')}`);

/** One row as a CSV writer puts it, each field quoted or not; fields have no line ends. */
const fieldsOfRow = fc.array(
  fc.tuple(
    fc.string({ unit: fc.constantFrom('a', '7', ' ', ',', '"', 'é', '🚕', '.'), maxLength: 6 }),
    fc.boolean(),
  ),
  { minLength: 2, maxLength: 4 },
);
const written = (fields: [string, boolean][]) =>
  fields
    .map(([text, quoted]) => (quoted || /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text || 'x'))
    .join(',');

describe('rows of CSV files', () => {
  it('are those csv-parse finds when it finds no mistake, wherever the text is cut; otherwise a line is broken', async () => {
    await fc.assert(
      fc.asyncProperty(csvText, places, async (text, at) => {
        const { events, reader } = await read(cut(text, at));
        const expected = reference(text);
        const plain = (event: string[] | 'broken') =>
          event === 'broken' ? event : event.map((field) => field.replace(/\r\n?/g, '\n'));
        if (expected) assert.deepEqual(events.map(plain).filter(isThere), expected.filter(isThere));
        else assert.ok(events.includes('broken'), 'a mistake is told');
        assert.equal(reader.lines, events.length + reader.blank + reader.continued, 'R1');
      }),
      { numRuns: 3_000 },
    );
  });

  it('come back as they were written, with their lines and their text, over mixed line ends', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(fieldsOfRow, fc.constantFrom('\n', '\r\n', '\r', '\n\n', '\r\r', '\r\n\r\n', '\n \r\n')),
          {
            minLength: 1,
            maxLength: 12,
          },
        ),
        places,
        fc.boolean(),
        async (rows, at, endless) => {
          rows[0]![0][0]![0] = 'h';
          const text = rows.map(([fields, end]) => written(fields) + end).join('');
          const { events, lines, raws } = await read(
            cut(endless ? text.slice(0, -rows.at(-1)![1].length) : text, at),
          );
          assert.deepEqual(
            events,
            rows.map(([fields]) => fields.map(([value, quoted]) => value || (quoted ? '' : 'x'))),
          );
          let line = 1;
          const expected = rows.map(([, end]) => {
            const at = line;
            line += end.split(/\r\n|\n|\r/).length - 1;
            return at;
          });
          assert.deepEqual(lines, expected, 'lines count from 1');
          assert.deepEqual(
            raws,
            rows.map(([fields]) => written(fields)),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it('R2: a quote that is never closed costs its own line only, wherever the text is cut', async () => {
    for (const before of ['h1,h2\n1,2\n', 'h1,h2\r\n"1",2\r\n', '"h1","h2"\r1,2\r']) {
      for (const [tail, after] of [
        ['"open', []],
        [
          '3,"open\n4,5\n6,7\n',
          [
            ['4', '5'],
            ['6', '7'],
          ],
        ],
        ['"', []],
        ['3,4,"\r\n\r\n8,9', [['8', '9']]],
        ['"a\n"b\n5,6\n', ['broken', ['5', '6']]],
      ] as const) {
        for (const size of [1, 2, 3, 7, 1_000]) {
          const bytes = Buffer.from(before + tail);
          const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
            bytes.subarray(i * size, (i + 1) * size),
          );
          const { events, raws } = await read(pieces);
          assert.deepEqual(
            events,
            [['h1', 'h2'], ['1', '2'], 'broken', ...after],
            JSON.stringify(before + tail),
          );
          assert.equal(raws[2], tail.split(/[\r\n]/)[0], 'what was rejected is kept');
        }
      }
    }
  });

  it('R2: a line that is a row by itself is never part of a field', async () => {
    const rows = (line: string) => /^\d+,\d+$/.test(line);
    const text = '1,2\n"a,b\n3,4\n5,6\nc",d\n"x\ny",z\n7,8\n';
    const { events, reader } = await read([Buffer.from(text)], { isRow: rows });
    assert.deepEqual(events, [
      ['1', '2'],
      'broken',
      ['3', '4'],
      ['5', '6'],
      'broken',
      ['x\ny', 'z'],
      ['7', '8'],
    ]);
    assert.equal(reader.continued, 1);
  });

  it('R2: a quote that opens in one line and closes in another joins them, unless each looks like a row', async () => {
    const isRow = (line: string) => line.split(',').length === 2;
    const glued = await read([Buffer.from('"a,b\nc",d\n1,2\n')], { isRow });
    assert.deepEqual(glued.events, ['broken', 'broken', ['1', '2']]);
    const field = await read([Buffer.from('"a\nb",c\n1,2\nd,"e\nf"\n')], { isRow });
    assert.deepEqual(field.events, [
      ['a\nb', 'c'],
      ['1', '2'],
      ['d', 'e\nf'],
    ]);
  });

  it('over several lines have as many fields as the header, and no more than 65,536 characters', async () => {
    const fits = (fields: number) => fields === 2;
    const long = 'y'.repeat(30_000);
    const text = `"a\nb",c\n"d\ne",f,g\n"${long}\n${long}\n${long}",h\n1,2\n`;
    const { events, lines } = await read([Buffer.from(text)], { fits });
    assert.deepEqual(events, [['a\nb', 'c'], 'broken', 'broken', 'broken', [long], 'broken', ['1', '2']]);
    assert.deepEqual(lines, [1, 3, 4, 5, 6, 7, 8]);
  });

  it('with several stray quotes are rejected once each', async () => {
    const { events, lines, raws } = await read([
      Buffer.from('a"b"c,d\n1,2\nx"y,z"w\ne"f\n"3",4\n"a" ,b\n "c",d\n"e"f,g\n5,6\n'),
    ]);
    assert.deepEqual(events, [
      'broken', ['1', '2'], 'broken', 'broken', ['3', '4'], 'broken', 'broken', 'broken', ['5', '6'],
    ]); // biome-ignore format: one list
    assert.deepEqual(lines, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(raws.slice(0, 4), ['a"b"c,d', '1,2', 'x"y,z"w', 'e"f']);
  });

  it('R3: a line beyond a million characters is rejected with its start, and the next is read', async () => {
    const long = 'x'.repeat(3_000_000);
    const bytes = Buffer.from(`1,2\n${long}\n3,4\n"${long}"\r5,6\n${long}`);
    const pieces = Array.from({ length: Math.ceil(bytes.length / 50_000) }, (_, i) =>
      bytes.subarray(i * 50_000, (i + 1) * 50_000),
    );
    for (const cuts of [pieces, [bytes]]) {
      const { events, raws, lines } = await read(cuts);
      assert.deepEqual(events, [['1', '2'], 'broken', ['3', '4'], 'broken', ['5', '6'], 'broken']);
      assert.deepEqual(lines, [1, 2, 3, 4, 5, 6]);
      assert.equal(raws[1], long.slice(0, 65_536));
    }
  });

  it('R3: hundreds of thousands of quotes are read in one go, whatever their order', async () => {
    for (const pattern of [
      '"a"b',
      '"',
      '""',
      '"""',
      '""""',
      '"\n',
      '""\n',
      '"""\n',
      ',"',
      '","',
      '"a""\n',
      'a,"\n',
    ]) {
      const text = pattern.repeat(400_000 / pattern.length);
      const { events, reader } = await read([Buffer.from(text)]);
      assert.equal(reader.lines, events.length + reader.blank + reader.continued, JSON.stringify(pattern));
    }
  });

  it('may be UTF-16, recognised by a mark or by its zero bytes, with any line ends', async () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = ['h1,h2', '1,é🚕', '"3",4', ''].join(end);
      const little = Buffer.from(text, 'utf16le');
      const big = Buffer.from(little).swap16();
      const marked = [
        Buffer.concat([Buffer.from([0xff, 0xfe]), little]),
        Buffer.concat([Buffer.from([0xfe, 0xff]), big]),
      ];
      for (const bytes of [little, big, ...marked, Buffer.from(text)]) {
        for (const size of [1, 3, 1000]) {
          const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
            bytes.subarray(i * size, (i + 1) * size),
          );
          assert.deepEqual((await read(pieces)).events, [
            ['h1', 'h2'],
            ['1', 'é🚕'],
            ['3', '4'],
          ]);
        }
      }
    }
  });

  it('pass on what their handler throws, before and after the first quote', async () => {
    for (const text of ['a,b\n', '"a",b\n', 'a,b\n"c",d\n']) {
      for (const size of [1, 100]) {
        const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, i) =>
          Buffer.from(text.slice(i * size, (i + 1) * size)),
        );
        const thrown = new Error('no such column');
        const row = (fields: string[]) => {
          if (text.indexOf('"') < 1 || fields[0] === 'c') throw thrown;
        };
        await assert.rejects(read(pieces, { row }), (error) => error === thrown);
      }
    }
  });

  it('of an empty text: there are none', async () => {
    for (const text of ['', '\uFEFF']) assert.deepEqual((await read([Buffer.from(text)])).events, []);
  });
});
