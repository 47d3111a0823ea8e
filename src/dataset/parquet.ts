/**
 * Reads the rows of Parquet files. It reads only the wanted columns, each by its own byte ranges. All columns advance
 * together, page by page, so memory is bounded for row groups of any size.
 */
import { crc32 } from 'node:zlib';
import { parquetMetadataAsync, parquetSchema } from 'hyparquet';
import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { convert, DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { decompressPage } from 'hyparquet/src/datapage.js';
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js';
import type {
  ColumnChunk,
  ColumnDecoder,
  DecodedArray,
  Encoding,
  FileMetaData,
  PageHeader,
  SchemaElement,
  SchemaTree,
} from 'hyparquet/src/types.js';
import { compressors } from 'hyparquet-compressors';
import type { ByteRanges } from './inputs.ts';
import type { Cell } from './trips.ts';

export interface TableColumn {
  readonly name: string;
  /** Whether its values can be times. */
  readonly kind: 'time' | 'text' | 'other';
  /** The stored type, in words. */
  readonly stored: string;
  /** Its times are said to be in UTC, not local ones. */
  readonly isInstant: boolean;
}

/** An open file. Its methods throw an `Error` if the file is damaged or cut off. */
export interface Table {
  readonly columns: readonly TableColumn[];
  /**
   * Calls `onRow` for every row in order, numbered from 1; yields after every piece. `cells` is indexed by column, is
   * filled for the `wanted` columns only, and is reused for the next row.
   */
  rows(wanted: readonly number[], onRow: (cells: readonly Cell[], row: number) => void): AsyncGenerator<void>;
}

/** Bytes of a column that one read fetches. */
const WINDOW = 4 << 20;
/** Most values in a page: far more than any writer puts into one. */
const MOST_VALUES = 1 << 24;
/** Most bytes of a page, decompressed. */
const LARGEST_PAGE = 1 << 29;
/** Most values with which writers pad the last run of a page. */
const PADDING = 512;
/** Bytes to read for a page header; only long texts in its statistics make it longer. */
const HEADER = 1 << 16;

/** Converts times to epoch ms. Microseconds since the epoch fit into a number, nanoseconds don't. */
const PARSERS = {
  ...DEFAULT_PARSERS,
  timestampFromMilliseconds: (ms: bigint) => Number(ms),
  timestampFromMicroseconds: (us: bigint) => Math.floor(Number(us) / 1000),
  // bigint division rounds towards zero; times before 1970 must round down.
  timestampFromNanoseconds: (ns: bigint) => Number((ns < 0n ? ns - 999_999n : ns) / 1_000_000n),
  dateFromDays: (days: number) => days * 86_400_000,
  // The type demands Dates, but hyparquet passes on any result.
} as unknown as typeof DEFAULT_PARSERS;

/** Reads the metadata of a file. Throws an `Error` if it isn't a complete Parquet file. */
export async function openTable(file: ByteRanges): Promise<Table> {
  const metadata = await readMetadata(file);
  const schema = parquetSchema(metadata);
  return {
    columns: schema.children.map(({ element }) => ({
      name: element.name,
      ...typeOf(element),
      isInstant: element.logical_type?.type === 'TIMESTAMP' && element.logical_type.isAdjustedToUTC,
    })),
    rows: (wanted, onRow) => readRows(file, metadata, schema, wanted, onRow),
  };
}

async function* readRows(
  file: ByteRanges,
  metadata: FileMetaData,
  schema: SchemaTree,
  wanted: readonly number[],
  onRow: (cells: readonly Cell[], row: number) => void,
): AsyncGenerator<void> {
  const cells: Cell[] = new Array(schema.children.length).fill(null);
  let row = 0;
  for (const group of metadata.row_groups) {
    const readers = wanted.map((index) => {
      const column = schema.children[index]!;
      const chunk = chunkOf(group.columns, column);
      if (chunk.meta_data!.num_values !== group.num_rows)
        throw new Error(`the value counts of ${column.element.name} differ`);
      return new ColumnReader(file, chunk, [schema, column]);
    });
    for (let left = Number(group.num_rows); left > 0; ) {
      await Promise.all(readers.map((reader) => reader.fill()));
      const rows = readers.reduce((least, reader) => Math.min(least, reader.ready), left);
      for (let i = 0; i < rows; i++) {
        for (let c = 0; c < readers.length; c++) cells[wanted[c]!] = readers[c]!.take();
        onRow(cells, ++row);
      }
      left -= rows;
      yield;
    }
  }
}

async function readMetadata(file: ByteRanges): Promise<FileMetaData> {
  if (file.size < 12) throw new Error('the file is too short to be Parquet');
  const metadata = await parquetMetadataAsync({
    byteLength: file.size,
    slice: async (start, end = file.size) => (await file.read(start, end)).buffer as ArrayBuffer,
  });
  const rows = metadata.row_groups.reduce((sum, { num_rows }) => {
    if (typeof num_rows !== 'bigint' || num_rows < 0n) throw new Error('its table of contents is damaged');
    return sum + num_rows;
  }, 0n);
  if (rows !== metadata.num_rows) throw new Error('the row counts in its table of contents differ');
  return metadata;
}

/** What the values of a column are. Numbers without a unit are not times. */
function typeOf({ type, converted_type, logical_type }: SchemaElement): Pick<TableColumn, 'kind' | 'stored'> {
  const annotation = logical_type?.type ?? converted_type;
  const isTimestamp = annotation?.startsWith('TIMESTAMP') && type === 'INT64';
  if (isTimestamp || (type === 'INT96' && !annotation)) return { kind: 'time', stored: 'a timestamp' };
  const isText = type === 'BYTE_ARRAY' && (!annotation || ['UTF8', 'STRING', 'ENUM'].includes(annotation));
  if (isText) return { kind: 'text', stored: 'text' };
  const number = type?.startsWith('INT') || type === 'DOUBLE' || type === 'FLOAT';
  const isCount = number && (!annotation || /^U?INT/.test(annotation));
  const stored = isCount
    ? `${type} without a unit`
    : annotation
      ? `${type} as ${annotation}`
      : (type ?? 'a group');
  return { kind: 'other', stored };
}

function chunkOf(columns: readonly ColumnChunk[], { element }: SchemaTree): ColumnChunk {
  const chunk = columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === element.name);
  if (!chunk?.meta_data || element.num_children)
    throw new Error(`the column ${element.name} doesn't hold plain values`);
  return chunk;
}

/** Reads the values of one column in one row group, in order. */
class ColumnReader {
  readonly #file: ByteRanges;
  readonly #decoder: ColumnDecoder;
  readonly #name: string;
  /** Decimal places of a DECIMAL; undefined for other types. */
  readonly #scale: number | undefined;
  /** Values in the pages not yet decoded. */
  #left: number;
  /** Offset in the file of the next read, and of the end of the column. */
  #position: number;
  readonly #end: number;
  /** Bytes read, and how far they are decoded. */
  #window = new DataView(new ArrayBuffer(0));
  #offset = 0;
  #dictionary: DecodedArray | undefined;
  #values: ArrayLike<unknown> = [];
  #next = 0;

  constructor(file: ByteRanges, { meta_data }: ColumnChunk, path: [SchemaTree, SchemaTree]) {
    const meta = meta_data!;
    const [root, column] = path;
    const element = decimalOf(column.element);
    this.#file = file;
    this.#name = element.name;
    this.#scale = element.converted_type === 'DECIMAL' ? (element.scale ?? 0) : undefined;
    this.#left = Number(meta.num_values);
    this.#position = Number(meta.dictionary_page_offset || meta.data_page_offset);
    this.#end = this.#position + Number(meta.total_compressed_size);
    this.#decoder = {
      pathInSchema: meta.path_in_schema,
      type: meta.type,
      codec: meta.codec,
      element,
      schemaPath: [root, { ...column, element }],
      parsers: PARSERS,
      compressors,
    };
    if (!(this.#position >= 4 && this.#end >= this.#position && this.#end <= file.size)) throw this.#cutOff();
    if (meta.type !== element.type) throw this.#damaged();
  }

  /** How many decoded values can be taken. */
  get ready(): number {
    return this.#values.length - this.#next;
  }

  take(): Cell {
    const value = this.#values[this.#next++];
    switch (typeof value) {
      case 'number':
        // 781 × 0.01 is not 7.81.
        return this.#scale === undefined ? value : Number(value.toFixed(this.#scale));
      case 'string':
        return value;
      case 'bigint':
        return Number(value);
      case 'boolean':
        return String(value);
      // An index beyond the dictionary.
      case 'undefined':
        throw this.#damaged();
      default:
        return null;
    }
  }

  /** Decodes the next page if no decoded value is left. */
  async fill(): Promise<void> {
    while (this.ready === 0) {
      await this.#have(HEADER);
      if (this.#offset === this.#window.byteLength) throw this.#cutOff();
      const reader = { view: this.#window, offset: this.#offset };
      const header = parquetHeader(reader);
      this.#offset = reader.offset;
      const size = header.compressed_page_size;
      // Damaged bytes may parse as a header with impossible sizes.
      if (
        !(size >= 0 && header.uncompressed_page_size >= 0 && header.uncompressed_page_size <= LARGEST_PAGE)
      ) {
        throw this.#damaged();
      }
      await this.#have(size);
      if (this.#window.byteLength - this.#offset < size) throw this.#cutOff();
      const stored = new Uint8Array(this.#window.buffer, this.#window.byteOffset + this.#offset, size);
      this.#offset += size;
      if (header.crc !== undefined && crc32(stored) !== header.crc >>> 0) throw this.#damaged();
      this.#takePage(header, stored);
    }
  }

  #takePage(header: PageHeader, stored: Uint8Array): void {
    const isDictionary = header.type === 'DICTIONARY_PAGE';
    if (!isDictionary && header.type !== 'DATA_PAGE' && header.type !== 'DATA_PAGE_V2') return;
    const about = header.dictionary_page_header ?? header.data_page_header ?? header.data_page_header_v2;
    const count = about?.num_values ?? -1;
    if (!(count >= 0 && count <= MOST_VALUES) || (!isDictionary && count > this.#left)) throw this.#damaged();
    if (!isDictionary && about?.encoding?.endsWith('_DICTIONARY') && !this.#dictionary) throw this.#damaged();
    const plain = unpacked(header, stored, this.#decoder);
    const at = {
      view: new DataView(plain.bytes.buffer, plain.bytes.byteOffset, plain.bytes.length),
      offset: 0,
    };
    const { data = [] } = readPage(
      at,
      plain.header,
      { ...this.#decoder, codec: 'UNCOMPRESSED' },
      this.#dictionary,
      undefined,
      0,
    );
    if (data.length !== count) throw this.#damaged();
    if (isDictionary) this.#dictionary = convert(data, this.#decoder);
    else {
      this.#values = data;
      this.#next = 0;
      this.#left -= count;
    }
  }

  /** Reads until `bytes` undecoded bytes are in the window, or the column ends. */
  async #have(bytes: number): Promise<void> {
    const kept = this.#window.byteLength - this.#offset;
    if (kept >= bytes || this.#position === this.#end) return;
    const until = Math.min(this.#end, this.#position + Math.max(WINDOW, bytes - kept));
    const read = await this.#file.read(this.#position, until);
    const window = new Uint8Array(kept + read.length);
    window.set(new Uint8Array(this.#window.buffer, this.#window.byteOffset + this.#offset, kept));
    window.set(read, kept);
    this.#window = new DataView(window.buffer);
    this.#offset = 0;
    this.#position = until;
  }

  #damaged(): Error {
    return new Error(`the column ${this.#name} is damaged`);
  }

  #cutOff(): Error {
    return new Error(`the column ${this.#name} is cut off`);
  }
}

/** Newer writers mark a DECIMAL only in the logical type, which hyparquet doesn't look at. */
function decimalOf(element: SchemaElement): SchemaElement {
  const { converted_type, logical_type } = element;
  if (converted_type || logical_type?.type !== 'DECIMAL') return element;
  return { ...element, converted_type: 'DECIMAL', scale: logical_type.scale };
}

/** A decompressed page whose runs fit its own counts. hyparquet would trust them unchecked. */
function unpacked(
  header: PageHeader,
  stored: Uint8Array,
  decoder: ColumnDecoder,
): { readonly header: PageHeader; readonly bytes: Uint8Array } {
  const { codec } = decoder;
  const v2 = header.data_page_header_v2;
  if (header.type === 'DATA_PAGE_V2' && v2) {
    const { repetition_levels_byte_length: repetition, definition_levels_byte_length: definition } = v2;
    const levels = repetition + definition;
    if (!(repetition === 0 && definition >= 0 && levels <= stored.length)) throw damagedPage();
    if (!(v2.num_nulls >= 0 && v2.num_nulls <= v2.num_values)) throw damagedPage();
    const values = stored.subarray(levels);
    const size = header.uncompressed_page_size - levels;
    const plain = v2.is_compressed === false ? values : decompressPage(values, size, codec, compressors);
    const bytes = new Uint8Array(levels + plain.length);
    bytes.set(stored.subarray(0, levels));
    bytes.set(plain, levels);
    const there = isOptional(decoder) ? checkRuns(bytes, 0, definition, 1, v2.num_values) : v2.num_values;
    if (there !== v2.num_values - v2.num_nulls) throw damagedPage();
    checkValueRuns(bytes, levels, v2.encoding, there, decoder);
    return {
      header: sized(header, bytes, { data_page_header_v2: { ...v2, is_compressed: false } }),
      bytes,
    };
  }
  const bytes = decompressPage(stored, header.uncompressed_page_size, codec, compressors);
  const v1 = header.data_page_header;
  if (header.type === 'DATA_PAGE' && v1) {
    const levels = isOptional(decoder) ? 4 + lengthAt(bytes, 0) : 0;
    const there = levels > 0 ? checkRuns(bytes, 4, levels, 1, v1.num_values) : v1.num_values;
    checkValueRuns(bytes, levels, v1.encoding, there, decoder);
  }
  return { header: sized(header, bytes, {}), bytes };
}

function sized(header: PageHeader, bytes: Uint8Array, change: Partial<PageHeader>): PageHeader {
  return { ...header, ...change, compressed_page_size: bytes.length, uncompressed_page_size: bytes.length };
}

function isOptional({ element }: ColumnDecoder): boolean {
  return element.repetition_type !== 'REQUIRED';
}

function lengthAt(bytes: Uint8Array, offset: number): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(offset, true);
  if (offset + 4 + length > bytes.length) throw damagedPage();
  return length;
}

function checkValueRuns(
  bytes: Uint8Array,
  offset: number,
  encoding: Encoding,
  count: number,
  { type }: ColumnDecoder,
): void {
  if (count === 0) return;
  if (encoding === 'RLE' && type === 'BOOLEAN') {
    checkRuns(bytes, offset + 4, bytes.length, 1, count);
  } else if (encoding.endsWith('_DICTIONARY') && offset < bytes.length) {
    const width = bytes[offset]!;
    if (width > 32) throw damagedPage();
    checkRuns(bytes, offset + 1, bytes.length, width, count);
  } else if (encoding === 'DELTA_BINARY_PACKED' || encoding === 'DELTA_LENGTH_BYTE_ARRAY') {
    endOfDeltas(bytes, offset, count);
  } else if (encoding === 'DELTA_BYTE_ARRAY') checkPrefixes(bytes, offset, count);
}

/** Checks texts that share a prefix with the text before: no prefix may be longer than that text. */
function checkPrefixes(bytes: Uint8Array, offset: number, count: number): void {
  const middle = endOfDeltas(bytes, offset, count);
  endOfDeltas(bytes, middle, count);
  const [prefixes, suffixes] = [offset, middle].map((start) => {
    const lengths = new Int32Array(count);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    deltaBinaryUnpack({ view, offset: start }, lengths.length, lengths);
    return lengths;
  });
  let length = 0;
  for (let i = 0; i < count; i++) {
    if (!(prefixes![i]! >= 0 && prefixes![i]! <= length && suffixes![i]! >= 0)) throw damagedPage();
    length = prefixes![i]! + suffixes![i]!;
    if (length > bytes.length) throw damagedPage();
  }
}

/** Offset of the end of `count` DELTA_BINARY_PACKED values. */
function endOfDeltas(bytes: Uint8Array, offset: number, count: number): number {
  const at = { offset };
  const block = readVarint(bytes, at);
  const miniblocks = readVarint(bytes, at);
  const total = readVarint(bytes, at);
  const size = block / miniblocks;
  if (!(size > 0 && size % 8 === 0 && miniblocks < bytes.length && total === count)) throw damagedPage();
  skipVarint(bytes, at);
  for (let left = total - 1; left > 0; ) {
    skipVarint(bytes, at);
    const widths = at.offset;
    at.offset += miniblocks;
    for (let i = 0; i < miniblocks && left > 0; i++) {
      const width = bytes[widths + i];
      if (width === undefined || width > 64) throw damagedPage();
      at.offset += (size * width) / 8;
      left -= size;
    }
  }
  return at.offset;
}

/** Reads an unsigned number below 2³¹. */
function readVarint(bytes: Uint8Array, at: { offset: number }): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[at.offset++];
    if (byte === undefined) throw damagedPage();
    value += (byte & 0x7f) * scale;
    if (value >= 2 ** 31) throw damagedPage();
    if (byte < 0x80) return value;
  }
}

function skipVarint(bytes: Uint8Array, at: { offset: number }): void {
  while ((bytes[at.offset++] ?? 0) >= 0x80);
}

function damagedPage(): Error {
  return new Error('one of its pages is damaged');
}

/**
 * Checks that the runs from `offset` to `end` hold `count` values and that none is longer than that. For values one bit
 * wide, returns how many are 1.
 */
function checkRuns(bytes: Uint8Array, offset: number, end: number, width: number, count: number): number {
  const at = { offset };
  let ones = 0;
  for (let seen = 0; seen < count; ) {
    const head = readVarint(bytes, at);
    const length = Math.floor(head / 2);
    const isPacked = head % 2 === 1;
    // Packed values come in groups of eight; the last group is padded.
    const values = isPacked ? length * 8 : length;
    if (seen + values > count + (isPacked ? PADDING : 0) || at.offset > end) throw damagedPage();
    if (width === 1 && isPacked) ones += onesIn(bytes, at.offset, Math.min(values, count - seen));
    else if (width === 1 && bytes[at.offset] === 1) ones += values;
    seen += values;
    at.offset += isPacked ? length * width : Math.ceil(width / 8);
  }
  return ones;
}

function onesIn(bytes: Uint8Array, offset: number, bits: number): number {
  let ones = 0;
  for (let i = 0; i < bits; i++) ones += (bytes[offset + (i >> 3)]! >> (i & 7)) & 1;
  return ones;
}
