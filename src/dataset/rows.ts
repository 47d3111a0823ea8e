/**
 * CSV text → rows. Lines without a quote are what their commas make them, which is all of nearly every TLC
 * file; from the first quote of a file on, csv-parse reads it.
 */
import { once } from 'node:events';
import { StringDecoder } from 'node:string_decoder';
import { type CsvError, type Parser, parse } from 'csv-parse';

export interface RowHandler {
  /** One row that isn't blank; `line` counts from 1. */
  row(fields: string[], line: number, raw: string): void;
  blank(): void;
  /** Text that is no CSV. */
  broken(why: string, line: number, raw: string): void;
}

/** Hands a whole CSV file to `handler`, row by row in order; yields after every piece of it, so that the caller can drain. */
export async function* readRows(chunks: AsyncIterable<Buffer>, handler: RowHandler): AsyncGenerator<void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let line = 0;
  let quoted: Parser | undefined;
  for await (const chunk of chunks) {
    let text = decoder.write(chunk);
    if (quoted) {
      rest = await feed(quoted, rest + text);
      yield;
      continue;
    }
    if (line === 0 && rest === '' && text.startsWith('\uFEFF')) text = text.slice(1);
    text = rest + text;
    const quote = text.indexOf('"');
    const until = quote < 0 ? text.length : text.lastIndexOf('\n', quote) + 1;
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0 && end < until; end = text.indexOf('\n', start)) {
      plainLine(text, start, end, ++line, handler);
      start = end + 1;
    }
    rest = text.slice(start);
    if (quote >= 0) {
      quoted = quotedRows(line, handler);
      rest = await feed(quoted, rest);
    }
    yield;
  }
  rest += decoder.end();
  if (quoted) {
    quoted.end(rest === '\r' ? '' : rest);
    await once(quoted, 'close');
  } else if (rest !== '') plainLine(rest, 0, rest.length, ++line, handler);
}

function plainLine(text: string, start: number, end: number, line: number, handler: RowHandler): void {
  const stop = text.charCodeAt(end - 1) === 13 && end > start ? end - 1 : end;
  const raw = text.slice(start, stop);
  if (raw.charCodeAt(0) > 32 || raw.trim() !== '') handler.row(raw.split(','), line, raw);
  else handler.blank();
}

/** Returns what is held back: a CR at the end may be half a line end. */
async function feed(parser: Parser, text: string): Promise<string> {
  const held = text.endsWith('\r') ? '\r' : '';
  if (!parser.write(text.slice(0, text.length - held.length))) await once(parser, 'drain');
  return held;
}

function quotedRows(linesBefore: number, handler: RowHandler): Parser {
  let mistaken: string | undefined;
  const parser = parse({
    raw: true,
    // Named, or the first one met would be the only one, and files mix them.
    record_delimiter: ['\r\n', '\n'],
    relax_column_count: true,
    skip_records_with_error: true,
    on_record: (read: unknown, { lines }: { lines: number }) => {
      const { record, raw } = read as { record: string[]; raw: string };
      if (record.length === 1 && record[0]!.trim() === '') handler.blank();
      else handler.row(record, linesBefore + lines, raw.replace(/\r?\n?$/, ''));
      return null;
    },
    on_skip: (error: CsvError | undefined, raw = '') => {
      // Every mistake of a row is told, with the row up to it: the row is broken once.
      const again = mistaken !== undefined && raw.length > mistaken.length && raw.startsWith(mistaken);
      mistaken = raw;
      if (again) return undefined;
      handler.broken(error?.message ?? 'not CSV', linesBefore + (Number(error?.['lines']) || 0), raw);
      return undefined;
    },
  });
  parser.resume();
  return parser;
}
