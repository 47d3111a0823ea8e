/**
 * Parquet files → rows. Only the columns that are asked for are read, each by ranges of its own; all of them
 * go forward together, page by page, so memory is bounded however large the row groups are.
 */
import { parquetMetadataAsync, parquetSchema } from 'hyparquet';
import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { convert, DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import type {
  ColumnChunk,
  ColumnDecoder,
  DecodedArray,
  FileMetaData,
  SchemaTree,
} from 'hyparquet/src/types.js';
import { compressors } from 'hyparquet-compressors';
import type { ByteRanges } from './inputs.ts';
import type { Cell } from './trips.ts';

export interface TableHandler {
  /** The names of all columns, once; the indexes of those to read. */
  columns(names: string[]): readonly number[];
  /** One row, number `row` from 1 on: the cells that were asked for at their indexes. The array is used again. */
  row(cells: readonly Cell[], row: number): void;
}

/** Bytes of a column that are read at once. */
const WINDOW = 4 << 20;
/** A page's header is longer only where it holds long texts as statistics. */
const HEADER = 1 << 16;

/** Times as epoch ms. Microseconds since the epoch fit into a number, nanoseconds don't. */
const PARSERS = {
  ...DEFAULT_PARSERS,
  timestampFromMilliseconds: (ms: bigint) => Number(ms),
  timestampFromMicroseconds: (us: bigint) => Math.floor(Number(us) / 1000),
  timestampFromNanoseconds: (ns: bigint) => Number(ns / 1_000_000n),
  dateFromDays: (days: number) => days * 86_400_000,
  // A parser's result is a Date by its type; whatever it is, it is handed on.
} as unknown as typeof DEFAULT_PARSERS;

/** Hands all rows to `handler`, in order; yields after every piece. Throws an `Error` for what is no whole Parquet file. */
export async function* readTable(file: ByteRanges, handler: TableHandler): AsyncGenerator<void> {
  const metadata = await readMetadata(file);
  const schema = parquetSchema(metadata);
  const wanted = handler.columns(schema.children.map(({ element }) => element.name));
  const cells: Cell[] = new Array(schema.children.length).fill(null);
  let row = 0;
  for (const { columns, num_rows } of metadata.row_groups) {
    const readers = wanted.map((index) => {
      const column = schema.children[index]!;
      return new ColumnReader(file, chunkOf(columns, column), [schema, column]);
    });
    for (let left = Number(num_rows); left > 0; ) {
      await Promise.all(readers.map((reader) => reader.fill()));
      const rows = readers.reduce((least, reader) => Math.min(least, reader.ready), left);
      for (let i = 0; i < rows; i++) {
        for (let c = 0; c < readers.length; c++) cells[wanted[c]!] = readers[c]!.take();
        handler.row(cells, ++row);
      }
      left -= rows;
      yield;
    }
  }
}

async function readMetadata(file: ByteRanges): Promise<FileMetaData> {
  if (file.size < 12) throw new Error('the file is too short to be Parquet');
  return parquetMetadataAsync({
    byteLength: file.size,
    slice: async (start, end = file.size) => (await file.read(start, end)).buffer as ArrayBuffer,
  });
}

function chunkOf(columns: readonly ColumnChunk[], { element }: SchemaTree): ColumnChunk {
  const chunk = columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === element.name);
  if (!chunk?.meta_data || element.num_children)
    throw new Error(`the column ${element.name} is none of plain values`);
  return chunk;
}

/** The values of one column in one row group, from its first to its last. */
class ColumnReader {
  readonly #file: ByteRanges;
  readonly #decoder: ColumnDecoder;
  readonly #name: string;
  /** Decimal places, where values have a fixed number of them. */
  readonly #scale: number | undefined;
  /** Where the next bytes lie in the file, and where the column ends. */
  #position: number;
  readonly #end: number;
  /** Bytes that are read, and how far they are decoded. */
  #window = new DataView(new ArrayBuffer(0));
  #offset = 0;
  #dictionary: DecodedArray | undefined;
  #values: ArrayLike<unknown> = [];
  #next = 0;

  constructor(file: ByteRanges, { meta_data }: ColumnChunk, path: [SchemaTree, SchemaTree]) {
    const meta = meta_data!;
    const [, { element }] = path;
    this.#file = file;
    this.#name = element.name;
    this.#scale = element.converted_type === 'DECIMAL' ? (element.scale ?? 0) : undefined;
    this.#position = Number(meta.dictionary_page_offset || meta.data_page_offset);
    this.#end = this.#position + Number(meta.total_compressed_size);
    this.#decoder = {
      pathInSchema: meta.path_in_schema,
      type: meta.type,
      codec: meta.codec,
      element,
      schemaPath: path,
      parsers: PARSERS,
      compressors,
    };
    if (!(this.#position >= 4 && this.#end <= file.size)) throw this.#cutOff();
  }

  /** How many values can be taken. */
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
      default:
        return null;
    }
  }

  /** Decodes the next page if no value is left. */
  async fill(): Promise<void> {
    while (this.ready === 0) {
      await this.#have(HEADER);
      if (this.#offset === this.#window.byteLength) throw this.#cutOff();
      const reader = { view: this.#window, offset: this.#offset };
      const header = parquetHeader(reader);
      this.#offset = reader.offset;
      // Damaged bytes may well be read as a header, of another shape.
      if (!(header.compressed_page_size >= 0)) throw new Error(`the column ${this.#name} is damaged`);
      await this.#have(header.compressed_page_size);
      if (this.#window.byteLength - this.#offset < header.compressed_page_size) throw this.#cutOff();
      const at = { view: this.#window, offset: this.#offset };
      this.#offset += header.compressed_page_size;
      const isDictionary = header.type === 'DICTIONARY_PAGE';
      if (!isDictionary && header.type !== 'DATA_PAGE' && header.type !== 'DATA_PAGE_V2') continue;
      const { data = [] } = readPage(at, header, this.#decoder, this.#dictionary, undefined, 0);
      if (isDictionary) this.#dictionary = convert(data, this.#decoder);
      else {
        this.#values = data;
        this.#next = 0;
      }
    }
  }

  /** Reads on until `bytes` are there that aren't decoded, or the column ends. */
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

  #cutOff(): Error {
    return new Error(`the column ${this.#name} is cut off`);
  }
}
