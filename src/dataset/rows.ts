/**
 * Splits CSV text into rows (docs/input.md, "Lines and rows").
 *
 *  R1 Every line is accounted for: lines = rows + broken lines + blank lines + lines that continue a row.
 *  R2 A line that is a row by itself is never part of another row: a quote that would run over it is a stray quote.
 *  R3 For any bytes, time is linear in their number and memory stays below a few MB.
 *
 * Lines without quotes, which is nearly every line of a TLC file, are split at their delimiters. Rows with quotes are
 * delimited here, because csv-parse lets a stray quote swallow what follows; csv-parse then reads their fields, many rows
 * at a time.
 */
import { parse } from 'csv-parse/sync';

export interface RowHandler {
  /** Separates fields; `begin` may change it. */
  readonly delimiter: string;
  /** Gets the first line that isn't blank, before it is split. */
  begin(line: string): void;
  /** Gets one row; `line` is where it begins, counted from 1. */
  row(fields: string[], line: number, raw: string): void;
  /** Gets a line that is not a row. */
  broken(problem: LineProblem, line: number, raw: string): void;
  /** Whether a line is a row by itself. */
  isRow(line: string): boolean;
  /** Whether a row that runs over several lines may have this many fields. */
  fits(fields: number): boolean;
}

export interface LineProblem {
  readonly reason: 'not-csv' | 'line-too-long';
  readonly detail: string;
}

/** Most characters in a line. */
const LONGEST_LINE = 1 << 20;
/** Most characters in a row that runs over several lines. */
const LONGEST_ROW = 1 << 16;
const QUOTE = 0x22;
const BYTE_ORDER_MARK = 0xfeff;
const NO_VALUE = /^(?:[\s,;|]|"")*$/;

const TOO_LONG: LineProblem = {
  reason: 'line-too-long',
  detail: `the line is longer than ${LONGEST_LINE.toLocaleString('en-US')} characters`,
};

/** A line, or a row over several lines, that waits to be handed to the handler. */
interface Waiting {
  readonly line: number;
  readonly raw: string;
  readonly problem?: LineProblem;
}

/** A row whose quoted field is not closed yet. */
interface OpenRow {
  readonly lines: { readonly text: string; readonly end: string }[];
  readonly firstLine: number;
  text: string;
  fields: number;
}

/** Reads text piece by piece. Call `end` once, after the last piece. */
export class RowReader {
  /** Lines so far. */
  lines = 0;
  blank = 0;
  /** Lines that continue the row of the line before. */
  continued = 0;
  readonly #handler: RowHandler;
  #begun = false;
  /** The start of a line whose end hasn't arrived. */
  #rest = '';
  /** The last piece ended in CR, which may be the first half of CRLF. */
  #heldCr = false;
  /** The current line is too long; only its end matters. */
  #skipping = false;
  #open: OpenRow | undefined;
  /** Rows and broken lines since the first quote in this piece, in order; handed on when the piece ends. */
  #waiting: Waiting[] = [];

  constructor(handler: RowHandler) {
    this.#handler = handler;
  }

  /** The text read so far of an incomplete row or line. */
  get incomplete(): string {
    const open = this.#open?.lines.map(({ text, end }) => text + end).join('') ?? '';
    return open + this.#rest + (this.#heldCr ? '\r' : '');
  }

  /** Whether a row may begin here: nothing is incomplete. */
  get idle(): boolean {
    return this.#begun && this.#rest === '' && !this.#heldCr && !this.#skipping && !this.#open;
  }

  /** Counts lines that were read elsewhere while the reader was idle. */
  skip(lines: number): void {
    this.lines += lines;
  }

  push(piece: string): void {
    let text = this.#heldCr ? `\r${piece}` : piece;
    this.#heldCr = text.endsWith('\r');
    if (this.#heldCr) text = text.slice(0, -1);
    this.#split(text);
    this.#flush();
  }

  end(): void {
    if (this.#heldCr) this.#endLine('', '\r');
    else if (this.#rest !== '' || this.#skipping) this.#endLine('', '');
    while (this.#open) this.#giveUp(this.#open);
    this.#flush();
  }

  /** LF, CRLF and CR all end a line. */
  #split(text: string): void {
    let start = 0;
    let lf = text.indexOf('\n');
    let cr = text.indexOf('\r');
    while (lf >= 0 || cr >= 0) {
      const end = cr >= 0 && (lf < 0 || cr < lf) ? cr : lf;
      const next = end === cr && lf === cr + 1 ? end + 2 : end + 1;
      this.#endLine(text.slice(start, end), text.slice(end, next));
      start = next;
      if (lf >= 0 && lf < start) lf = text.indexOf('\n', start);
      if (cr >= 0 && cr < start) cr = text.indexOf('\r', start);
    }
    if (start === text.length || this.#skipping) return;
    this.#rest += text.slice(start);
    if (this.#rest.length > LONGEST_LINE) {
      this.#skipping = true;
      this.#rest = this.#rest.slice(0, LONGEST_ROW);
    }
  }

  #endLine(text: string, end: string): void {
    const line = this.#rest === '' ? text : this.#rest + text;
    this.#rest = '';
    if (this.#skipping || line.length > LONGEST_LINE) {
      this.#skipping = false;
      while (this.#open) this.#giveUp(this.#open);
      this.#line(line.slice(0, LONGEST_ROW), '', ++this.lines, true);
    } else this.#line(line, end, ++this.lines, false);
  }

  #line(text: string, end: string, number: number, tooLong: boolean): void {
    // Each of several concatenated files may begin with a byte order mark.
    const line = text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
    if (this.#open) {
      this.#continue(this.#open, line, end, number);
      return;
    }
    if (!tooLong && this.#isBlank(line)) {
      this.blank++;
      return;
    }
    if (!this.#begun) {
      this.#begun = true;
      this.#handler.begin(line);
    }
    if (tooLong) this.#wait({ line: number, raw: line, problem: TOO_LONG });
    else if (line.includes('"')) this.#quoted(line, end, number);
    else if (this.#waiting.length > 0) this.#waiting.push({ line: number, raw: line });
    else this.#handler.row(line.split(this.#handler.delimiter), number, line);
  }

  /** Before the header gives the delimiter, a line of delimiters alone is blank too. */
  #isBlank(line: string): boolean {
    if (line.charCodeAt(0) > 32 && this.#begun) return false;
    return this.#begun ? line.trim() === '' : NO_VALUE.test(line);
  }

  #quoted(line: string, end: string, number: number): void {
    const { fields, state } = walk(line, this.#handler.delimiter, false);
    if (state === 'whole') this.#wait({ line: number, raw: line });
    else if (state === 'open') {
      this.#open = { lines: [{ text: line, end }], firstLine: number, text: line + end, fields };
    } else this.#wait({ line: number, raw: line, problem: notCsv(state) });
  }

  /** Handles a line inside an open quoted field: it continues the field, or proves that the quote was stray (R2). */
  #continue(open: OpenRow, line: string, end: string, number: number): void {
    // A header among the waiting rows changes what counts as a row.
    this.#flush();
    const { fields, state } = walk(line, this.#handler.delimiter, true);
    const total = open.fields + fields - 1;
    open.lines.push({ text: line, end });
    const isStray =
      open.text.length + line.length > LONGEST_ROW ||
      (state !== 'whole' && state !== 'open') ||
      (state === 'whole' && !this.#handler.fits(total)) ||
      (this.#handler.isRow(line) && (state === 'open' || this.#closesNothing(open, line)));
    if (isStray) this.#giveUp(open);
    else if (state === 'whole') {
      this.#open = undefined;
      this.continued += number - open.firstLine;
      this.#wait({ line: open.firstLine, raw: open.text + line });
    } else {
      open.text += line + end;
      open.fields = total;
    }
  }

  /** Whether a row that could close the open field doesn't: its own quotes are sound, or the opening line is a row too. */
  #closesNothing(open: OpenRow, line: string): boolean {
    return (
      walk(line, this.#handler.delimiter, false).state === 'whole' || this.#handler.isRow(open.lines[0]!.text)
    );
  }

  /** Treats the open quote as stray: its line is broken, and the lines after it are read again. */
  #giveUp(open: OpenRow): void {
    const [first, ...others] = open.lines;
    this.#open = undefined;
    this.#wait({ line: open.firstLine, raw: first!.text, problem: notCsv('a quote is not closed') });
    for (const [i, { text, end }] of others.entries()) this.#line(text, end, open.firstLine + 1 + i, false);
  }

  #wait(item: Waiting): void {
    this.#waiting.push(item);
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    const { delimiter } = this.#handler;
    const text = waiting.flatMap(({ raw, problem }) => (problem ? [] : [`${raw}\n`])).join('');
    const rows = parse(text, {
      delimiter,
      record_delimiter: ['\n'],
      relax_column_count: true,
    }) as unknown as string[][];
    let next = 0;
    for (const { line, raw, problem } of waiting) {
      if (problem) this.#handler.broken(problem, line, raw);
      else this.#handler.row(rows[next++]!, line, raw);
    }
  }
}

/** The fields of a line that is a complete row, else undefined. */
export function fieldsOf(line: string, delimiter: string): string[] | undefined {
  if (!line.includes('"')) return line.split(delimiter);
  if (walk(line, delimiter, false).state !== 'whole') return undefined;
  return (parse(`${line}\n`, { delimiter, record_delimiter: ['\n'] }) as unknown as string[][])[0];
}

function notCsv(detail: string): LineProblem {
  return { reason: 'not-csv', detail };
}

interface Walked {
  /** Fields in the line, including one that began before it. */
  readonly fields: number;
  /** Whether the last field ends in the line, or what is wrong with the line. */
  readonly state: 'whole' | 'open' | 'a quote in the middle of a field' | 'text after a closing quote';
}

/** Follows the quotes of a line by RFC 4180; `inside` says whether it begins inside a quoted field. */
function walk(line: string, delimiter: string, inside: boolean): Walked {
  let at = 0;
  let fields = 1;
  let quoted = inside;
  let quote = line.indexOf('"');
  for (;;) {
    if (!quoted && line.charCodeAt(at) === QUOTE) {
      quoted = true;
      at++;
    }
    if (quoted) {
      let close = line.indexOf('"', at);
      while (close >= 0 && line.charCodeAt(close + 1) === QUOTE) close = line.indexOf('"', close + 2);
      if (close < 0) return { fields, state: 'open' };
      at = close + 1;
      if (at === line.length) return { fields, state: 'whole' };
      if (line[at] !== delimiter) return { fields, state: 'text after a closing quote' };
      quoted = false;
    } else {
      const end = line.indexOf(delimiter, at);
      if (quote >= 0 && quote < at) quote = line.indexOf('"', at);
      if (quote >= 0 && (end < 0 || quote < end))
        return { fields, state: 'a quote in the middle of a field' };
      if (end < 0) return { fields, state: 'whole' };
      at = end;
    }
    at++;
    fields++;
  }
}
