import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { readRows } from '../../src/dataset/rows.ts';

interface Read {
  /** Fields of each row, `blank` and `broken`, in order. */
  readonly events: (string[] | 'blank' | 'broken')[];
  readonly lines: number[];
  readonly raws: string[];
}

async function read(pieces: readonly Uint8Array[]): Promise<Read> {
  const found: Read = { events: [], lines: [], raws: [] };
  async function* chunks() {
    for (const piece of pieces) yield Buffer.from(piece);
  }
  const note = (line: number, raw: string) => {
    found.lines.push(line);
    found.raws.push(raw);
  };
  const rows = readRows(chunks(), {
    row: (fields, line, raw) => {
      found.events.push(fields);
      note(line, raw);
    },
    blank: () => found.events.push('blank'),
    broken: (why, line, raw) => {
      assert.notEqual(why, '', 'a broken row has a reason');
      found.events.push('broken');
      note(line, raw);
    },
  });
  for await (const _ of rows);
  return found;
}

/** Cuts text into pieces at any bytes, also within a character. */
function cut(text: string, places: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...at, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : at[i - 1], end));
}

/** csv-parse over the whole text at once; a lone CR at the very end is half a line end. */
function reference(text: string): { rows: (string[] | 'blank')[]; broken: boolean } {
  let broken = false;
  const records = parse(text.replace(/\r$/, ''), {
    bom: true,
    record_delimiter: ['\r\n', '\n'],
    relax_column_count: true,
    skip_records_with_error: true,
    on_skip: () => {
      broken = true;
      return undefined;
    },
  }) as string[][];
  const rows = records.map((record) =>
    record.length === 1 && record[0]!.trim() === '' ? ('blank' as const) : record,
  );
  return { rows, broken };
}

const places = fc.array(fc.nat(2_000), { maxLength: 12 });
const scraps = fc.array(
  fc.constantFrom('a', 'b1', ',', ',', '\n', '\n', '\r\n', '\r\n', '"', '"', '""', ' ', '\r', 'é', '🚕', '-', '.5', '\t', '\u0000'), // biome-ignore format: one list
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
  .map(([bom, parts]) => bom + parts.join(''));

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
  it('are those csv-parse finds, wherever the text is cut', async () => {
    await fc.assert(
      fc.asyncProperty(csvText, places, async (text, at) => {
        const { events } = await read(cut(text, at));
        const expected = reference(text);
        // Whether half a line end at the end is a blank line, nobody can say.
        const counted = (event: unknown) => event !== 'broken' && !(text.endsWith('\r') && event === 'blank');
        assert.deepEqual(events.filter(counted), expected.rows.filter(counted));
        assert.equal(events.includes('broken'), expected.broken, 'a broken row is told');
      }),
      { numRuns: 2_000 },
    );
  });

  it('come back as they were written, with their lines and their text, over mixed line ends', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fieldsOfRow, fc.constantFrom('\n', '\r\n', '\n\n', '\r\n\r\n', '\n \r\n')), {
          minLength: 1,
          maxLength: 12,
        }),
        places,
        fc.boolean(),
        async (rows, at, endless) => {
          const text = rows.map(([fields, end]) => written(fields) + end).join('');
          const { events, lines, raws } = await read(
            cut(endless ? text.slice(0, -rows.at(-1)![1].length) : text, at),
          );
          assert.deepEqual(
            events.filter((event) => event !== 'blank'),
            rows.map(([fields]) => fields.map(([value, quoted]) => value || (quoted ? '' : 'x'))),
          );
          let line = 1;
          const expected = rows.map(([, end]) => {
            const at = line;
            line += end.split('\n').length - 1;
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

  it('before a quote that is never closed are all there; the rest is one rejected row, never an error', async () => {
    for (const before of ['h1,h2\n1,2\n', 'h1,h2\r\n"1",2\r\n', '"h1","h2"\n1,2\n']) {
      for (const tail of ['"open', '3,"open\n4,5\n6,7\n', '"', '3,4,"\r\n\r\n']) {
        for (const size of [1, 2, 3, 7, 1_000]) {
          const bytes = Buffer.from(before + tail);
          const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
            bytes.subarray(i * size, (i + 1) * size),
          );
          const { events, raws } = await read(pieces);
          assert.deepEqual(events, [['h1', 'h2'], ['1', '2'], 'broken'], JSON.stringify(before + tail));
          assert.equal(raws[2], tail, 'what was rejected is kept');
        }
      }
    }
  });

  it('with several stray quotes are rejected once each', async () => {
    const { events, lines, raws } = await read([Buffer.from('a"b"c,d\n1,2\nx"y,z"w\ne"f\n"3",4\n')]);
    assert.deepEqual(events, ['broken', ['1', '2'], 'broken', 'broken', ['3', '4']]);
    assert.deepEqual(lines, [1, 2, 3, 4, 5]);
    assert.deepEqual(raws, ['a"', '1,2', 'x"', 'e"', '"3",4'], 'a broken row is kept up to its mistake');
  });

  it('hands on what its handler throws, before and behind the first quote', async () => {
    for (const text of ['a,b\n', '"a",b\n', 'a,b\n"c",d\n']) {
      for (const size of [1, 100]) {
        async function* chunks() {
          for (let i = 0; i < text.length; i += size) yield Buffer.from(text.slice(i, i + size));
        }
        const thrown = new Error('no such column');
        const rows = readRows(chunks(), {
          row: (fields) => {
            if (text.indexOf('"') < 1 || fields[0] === 'c') throw thrown;
          },
          blank: () => {},
          broken: () => {},
        });
        await assert.rejects(
          async () => {
            for await (const _ of rows);
          },
          (error) => error === thrown,
        );
      }
    }
  });

  it('of nothing are none', async () => {
    for (const text of ['', '\uFEFF']) assert.deepEqual((await read([Buffer.from(text)])).events, []);
  });
});
