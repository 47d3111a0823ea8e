/** Turns the rows of a CSV file into trips and rejected rows: finds its headers, decides its order of day and month. */
import { createHash } from 'node:crypto';
import { StringDecoder } from 'node:string_decoder';
import { TaxiflowError } from '../errors.ts';
import { type DateOrder, dateOrderOf, parseTime } from '../events/times.ts';
import type { ExtraField } from '../events/trip.ts';
import { DateSurvey } from './date-survey.ts';
import type { Input } from './inputs.ts';
import { LocalTimes } from './local-times.ts';
import { fieldsOf, type LineProblem, type RowHandler, RowReader } from './rows.ts';
import { delimiterOf, hasHeader, isHeader, readHeader, type Schema } from './schema.ts';
import type { ReadOptions, RowSink } from './sink.ts';
import { inUtf8, Text, wholeCharacters } from './text.ts';
import { type LeftOut, TripEncoder } from './trips.ts';
import { UsualRows } from './usual-rows.ts';

/**
 * Reads a CSV file to its end; yields after every piece. Throws `input-unreadable`, `unknown-header`, `not-degrees` and
 * `mixed-files`.
 */
export async function* readCsv(input: Input, sink: RowSink, options: ReadOptions): AsyncGenerator<void> {
  const local = options.timeZone && new LocalTimes(options.timeZone);
  const file = new CsvFile(input.name, options.dateOrder, sink, local, options.extras);
  const rows = new RowReader(file);
  const lines = new Lines(file, rows);
  const hash = createHash('sha256');
  const content = observed(input.open(options.onBytes), (chunk) => hash.update(chunk));
  const text = new Text(inUtf8(content), options.folder);
  try {
    for await (const chunk of text) {
      lines.push(chunk);
      if (file.waits) await settle();
      yield;
    }
    lines.end();
    if (file.waits) await settle();
    file.end();
  } finally {
    await text.close();
  }
  const { blank, continued } = rows;
  sink.lines({ lines: rows.lines, headers: file.headers, blank: blank + file.blank, continued });
  options.onDigest(hash.digest('hex'));

  async function settle(): Promise<void> {
    // An input that can be read only once is kept on disk while its dates are surveyed.
    const dates = new DateRows(input.once ? file : undefined);
    const reader = new RowReader(dates);
    const decoder = new StringDecoder('utf8');
    if (input.once) {
      for (const { fields } of file.waiting) dates.row(fields);
      reader.push(rows.incomplete);
      reader.push(decoder.write(lines.rest));
    }
    for await (const chunk of input.once ? text.ahead() : inUtf8(input.open(() => {})))
      reader.push(decoder.write(chunk));
    reader.push(decoder.end());
    reader.end();
    file.settle(dates.survey.settle(input.name, options.onNote));
  }
}

/** Bytes of an incomplete line that are kept for the next chunk; longer ones go on as text. */
const MOST_KEPT = 1 << 16;
const LF = 0x0a;

/** Takes the bytes of a file: usual rows as they are, everything else line by line as text. */
class Lines {
  /** The bytes of an incomplete line or character. */
  rest: Buffer = Buffer.alloc(0);
  readonly #file: CsvFile;
  readonly #rows: RowReader;
  /** Lines that go on as text together: more, the longer no row is usual. */
  #together = 1;

  constructor(file: CsvFile, rows: RowReader) {
    this.#file = file;
    this.#rows = rows;
  }

  push(chunk: Buffer): void {
    const data = this.rest.length > 0 ? Buffer.concat([this.rest, chunk]) : chunk;
    const to = data.lastIndexOf(LF) + 1;
    let at = 0;
    while (at < to && !this.#file.waits) {
      at = this.#takeUsual(data, at, to);
      if (at < to) at = this.#takeText(data, at, to);
    }
    // All rows behind one that waits wait too.
    if (this.#file.waits || data.length - at > MOST_KEPT) {
      const end = wholeCharacters(data);
      if (end > at) this.#rows.push(data.toString('utf8', at, end));
      at = Math.max(at, end);
    }
    this.rest = data.subarray(at);
  }

  end(): void {
    this.#rows.push(this.rest.toString('utf8'));
    this.#rows.end();
  }

  #takeUsual(data: Buffer, from: number, to: number): number {
    const usual = this.#rows.idle ? this.#file.usual : undefined;
    if (!usual) return from;
    const before = usual.rows;
    const at = usual.take(data, from, to);
    this.#rows.skip(usual.rows - before);
    if (at > from) this.#together = 1;
    return at;
  }

  #takeText(data: Buffer, from: number, to: number): number {
    let end = from;
    for (let lines = 0; lines < this.#together && end < to; lines++) end = data.indexOf(LF, end) + 1;
    this.#together *= 2;
    this.#rows.push(data.toString('utf8', from, end));
    return end;
  }
}

async function* observed(
  chunks: AsyncIterable<Buffer>,
  onChunk: (chunk: Buffer) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    onChunk(chunk);
    yield chunk;
  }
}

class CsvFile implements RowHandler {
  delimiter = ',';
  /** Header lines so far. */
  headers = 0;
  /** Unreadable lines before the header. */
  #early: { readonly problem: LineProblem; readonly line: number; readonly raw: string }[] = [];
  /** Rows without any value. */
  blank = 0;
  #leftOut = 0;
  #firstLeftOut: (LeftOut & { readonly line: number }) | undefined;
  readonly #source: string;
  readonly #sink: RowSink;
  #encoder: TripEncoder | undefined;
  /** Takes the usual rows; undefined before the header, and where there are none. */
  usual: UsualRows | undefined;
  /** The order of day and month; undefined while no date depends on it. */
  #order: DateOrder | undefined;
  /** Rows held back until the order of day and month is known: the first that depends on it, and all behind it. */
  waiting: { readonly fields: string[]; readonly line: number; readonly raw: string }[] = [];
  #brokenHeader: string | undefined;

  readonly #local: LocalTimes | undefined;
  readonly #extras: readonly ExtraField[];

  constructor(
    source: string,
    order: DateOrder | undefined,
    sink: RowSink,
    local: LocalTimes | undefined,
    extras: readonly ExtraField[] = [],
  ) {
    this.#local = local;
    this.#extras = extras;
    this.#source = source;
    this.#order = order;
    this.#sink = sink;
  }

  /** The columns; undefined before the header. */
  get schema(): Schema | undefined {
    return this.#encoder?.schema;
  }

  begin(line: string): void {
    this.delimiter = delimiterOf(line);
  }

  isRow(line: string): boolean {
    return isRowOf(this.schema, line, this.delimiter);
  }

  fits(fields: number): boolean {
    const { schema } = this;
    return !schema || (fields >= schema.width && fields <= schema.names.length);
  }

  row(fields: string[], line: number, raw: string): void {
    if (!this.#encoder) {
      // The unreadable line may have been the header.
      if (this.#brokenHeader !== undefined && !isHeader(fields)) throw this.#noHeader();
      this.#begin(fields);
      for (const { problem, line, raw } of this.#early.splice(0)) this.broken(problem, line, raw);
      return;
    }
    if (this.waiting.length > 0 || (this.#order === undefined && needsOrder(fields, this.#encoder.schema))) {
      this.waiting.push({ fields, line, raw });
    } else this.#read(this.#encoder, fields, line, raw);
  }

  broken(problem: LineProblem, line: number, raw: string): void {
    const { reason, detail } = problem;
    if (this.#encoder) this.#sink.reject(reason, line, raw, () => detail);
    else {
      this.#brokenHeader ??= detail;
      // Rejected once a header follows: a file without one is refused or skipped as a whole.
      this.#early.push({ problem, line, raw });
    }
  }

  /** Whether rows are held back. */
  get waits(): boolean {
    return this.waiting.length > 0;
  }

  /** Sets the order of day and month, and reads the rows that were held back. */
  settle(order: DateOrder): void {
    this.#order = order;
    const { waiting } = this;
    this.waiting = [];
    this.#use(this.#encoder!.schema);
    // A header among them changes the encoder.
    for (const { fields, line, raw } of waiting) this.#read(this.#encoder!, fields, line, raw);
  }

  /** Ends the file. Throws `unknown-header` if it had no header. */
  end(): void {
    if (!this.#encoder && this.#brokenHeader !== undefined) throw this.#noHeader();
    if (!this.#encoder) readHeader([], this.#source);
    this.#sink.leftOut(this.#leftOut + this.#encoder!.leftOut, this.#firstLeftOut);
    if (this.#local) this.#sink.localTimes?.(this.#local.twice, this.#local.never);
  }

  #noHeader(): TaxiflowError {
    return new TaxiflowError(
      'unknown-header',
      `${this.#source} has no line that can be read as a header: ${this.#brokenHeader}`,
      { hint: 'the first line must be the header of a TLC file' },
    );
  }

  #begin(header: readonly string[]): void {
    this.#use(readHeader(header, this.#source));
    this.headers++;
  }

  #use(schema: Schema): void {
    this.#leftOut += this.#encoder?.leftOut ?? 0;
    this.#encoder = new TripEncoder(schema, this.#order, this.#local, [], this.#extras);
    const { trips } = this.#sink;
    this.usual = trips && UsualRows.of(schema, this.delimiter, trips, this.#local, this.#extras);
  }

  #read(encoder: TripEncoder, fields: string[], line: number, raw: string): void {
    const { names } = encoder.schema;
    if (fields.length > names.length && fields.slice(names.length).some(hasValue)) {
      if (this.#isHeader(fields, line, raw)) return;
      const detail = `${fields.length} fields for ${names.length} columns`;
      this.#sink.reject('not-csv', line, raw, () => detail);
      return;
    }
    const before = encoder.leftOut;
    const trip = encoder.encode(fields);
    if (typeof trip === 'string') {
      if (trip !== 'dropoff-before-pickup' && this.#isNoRow(fields, line, raw)) return;
      this.#sink.reject(trip, line, raw, () => encoder.explain(fields, trip));
      return;
    }
    if (encoder.leftOut > before) {
      // A row that is cut off right before a header has column names as values.
      if (this.#isHeader(fields, line, raw)) return;
      this.#firstLeftOut ??= { ...encoder.firstLeftOut!, line };
    }
    if (this.#sink.trip(trip)) return;
    this.#sink.reject('out-of-order', line, raw, () => encoder.explain(fields, 'out-of-order'));
  }

  /** Whether a row is the header of the next of several files, or has no value at all. */
  #isNoRow(fields: readonly string[], line: number, raw: string): boolean {
    if (fields.some(hasValue)) return this.#isHeader(fields, line, raw);
    this.blank++;
    return true;
  }

  /**
   * Whether a row is the header of the next of several files, which then applies. Throws `mixed-files` if a header has
   * another delimiter or begins inside a row.
   */
  #isHeader(fields: readonly string[], line: number, raw: string): boolean {
    // A cheap test first: every header contains this, and hardly any other line does.
    if (!DROPOFF.test(raw)) return false;
    const inTheMiddle = fields.some((field) => !Number.isNaN(parseTime(field, 'mixed')));
    if (isHeader(fields) && !inTheMiddle) {
      this.#begin(fields);
      return true;
    }
    if (inTheMiddle ? hasHeader(fields) : isHeader(raw.split(delimiterOf(raw)))) {
      throw new TaxiflowError(
        'mixed-files',
        inTheMiddle
          ? `a header begins in the middle of line ${line} of ${this.#source}`
          : `line ${line} of ${this.#source} is a header with another delimiter than the first`,
        {
          hint: inTheMiddle
            ? 'add a line end to the file before it, or name the files one by one'
            : 'name the files one by one',
        },
      );
    }
    return false;
  }
}

const DROPOFF = /drop[\s_]*off/i;

function hasValue(field: string): boolean {
  return field.trim() !== '';
}

/** Whether a line on its own is a row of the file, or a header. */
function isRowOf(schema: Schema | undefined, line: string, delimiter: string): boolean {
  const isTime = (field: string) => !Number.isNaN(parseTime(field.replaceAll('"', ''), 'mixed'));
  const isRow = (fields: readonly string[]) =>
    schema
      ? fields.length >= schema.width &&
        isTime(fields[schema.pickup_datetime]!) &&
        isTime(fields[schema.dropoff_datetime]!)
      : fields.some(isTime);
  const split = line.split(delimiter);
  if (isRow(split) || isHeader(split)) return true;
  const fields = line.includes('"') ? fieldsOf(line, delimiter) : undefined;
  return fields !== undefined && isRow(fields);
}

function needsOrder(fields: readonly string[], schema: Schema): boolean {
  const times = [schema.pickup_datetime, schema.dropoff_datetime];
  return times.some((column) => dateOrderOf(fields[column] ?? '') !== undefined);
}

/** Surveys the dates of rows and ignores everything else. */
class DateRows implements RowHandler {
  delimiter = ',';
  readonly survey = new DateSurvey();
  #schema: Schema | undefined;

  /** Starts at the header, or behind the one that `behind` has read. */
  constructor(behind?: CsvFile) {
    if (!behind) return;
    this.delimiter = behind.delimiter;
    this.#schema = behind.schema;
  }

  begin(line: string): void {
    if (!this.#schema) this.delimiter = delimiterOf(line);
  }

  isRow(line: string): boolean {
    return isRowOf(this.#schema, line, this.delimiter);
  }

  fits(): boolean {
    return true;
  }

  row(fields: string[]): void {
    const schema = this.#schema;
    if (schema) {
      const pickup = this.survey.note(fields[schema.pickup_datetime]);
      if (this.survey.note(fields[schema.dropoff_datetime]) || pickup) return;
    }
    if (isHeader(fields)) this.#schema = readHeader(fields, '');
  }

  broken(): void {}
}
