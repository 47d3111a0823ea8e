/** Reads zip archives: each trip file in one is an input of its own. */
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import type { Entry, ZipFile } from 'yauzl';
import { TaxiflowError } from '../errors.ts';
import { type ByteRanges, content, type Input, isTripFile, type OnBytes, unreadable } from './inputs.ts';

/** Files that macOS adds, and hidden files. */
const JUNK = /(?:^|\/)(?:__MACOSX\/|\.[^/.][^/]*$|\._)/;
/** Bytes of the end record of an archive, and of the two zip64 records before it in a large one. */
const END_BYTES = 22;
const END_64_BYTES = 76;
const EXCEL = 'xl/workbook.xml';
const WINDOW = 1 << 20;

/**
 * The trip files in an archive, sorted by name; if it holds only one file, that one under any name. Throws
 * `input-unreadable` and `unknown-header`.
 */
export async function tripFilesIn(archive: Input): Promise<Input[]> {
  try {
    const { zip, close } = await openZip(archive, () => {});
    const entries: Entry[] = [];
    try {
      for await (const entry of zip.eachEntry()) if (!entry.fileName.endsWith('/')) entries.push(entry);
      refuseMore(zip);
    } finally {
      await close();
    }
    if (entries.some((entry) => entry.fileName === EXCEL)) {
      throw refused(archive, 'is an Excel workbook', 'save the sheet as CSV');
    }
    const real = entries.filter(({ fileName }) => !JUNK.test(fileName));
    const files = real.length === 1 ? real : real.filter(({ fileName }) => isTripFile(fileName));
    if (files.length === 0) {
      throw new TaxiflowError('unknown-header', `${archive.name} holds no CSV file`, {
        hint: 'name an archive of trip files, or unpack it first',
      });
    }
    return files
      .sort((a, b) => (a.fileName < b.fileName ? -1 : 1))
      .map((entry) => entryInput(archive, entry, archive.found || files.length > 1));
  } catch (error) {
    throw unreadable(archive.name, error);
  }
}

/** Refuses concatenated archives, of which only the last would be read: its table of contents must end where the file ends. */
function refuseMore({ readEntryCursor, fileSize, comment }: ZipFile): void {
  const rest = fileSize - Number(readEntryCursor) - END_BYTES - Buffer.byteLength(comment);
  if (rest !== 0 && rest !== END_64_BYTES) throw new Error('there is other data after its table of contents');
}

function entryInput(archive: Input, entry: Entry, found: boolean): Input {
  const name = `${archive.name}/${entry.fileName}`;
  return {
    name,
    size: entry.compressedSize,
    found,
    open: (onBytes) => content(name, entryBytes(archive, entry, onBytes)),
  };
}

async function* entryBytes(archive: Input, entry: Entry, onBytes: OnBytes): AsyncGenerator<Buffer> {
  if (entry.isEncrypted()) throw refused(archive, 'is encrypted', 'unpack it first');
  if (!entry.canDecodeFileData()) {
    throw refused(archive, `is packed with method ${entry.compressionMethod}`, 'unpack it first');
  }
  const { zip, close } = await openZip(archive, onBytes);
  try {
    let sum = 0;
    for await (const chunk of (await zip.openReadStreamPromise(entry)) as AsyncIterable<Buffer>) {
      sum = crc32(chunk, sum);
      yield chunk;
    }
    if (sum !== entry.crc32) throw new Error(`the checksum of ${entry.fileName} is wrong`);
  } finally {
    await close();
  }
}

async function openZip(
  archive: Input,
  onBytes: OnBytes,
): Promise<{ zip: ZipFile; close: () => Promise<void> }> {
  // Imported here so that other files don't pay for loading it.
  const yauzl = (await import('yauzl')).default;
  const ranges = await archive.ranges!(onBytes);
  class Reader extends yauzl.RandomAccessReader {
    override _readStreamForRange(start: number, end: number): Readable {
      return Readable.from(pieces(ranges, start, end), { objectMode: false });
    }
  }
  try {
    const options = { lazyEntries: true, autoClose: false, strictFileNames: false };
    const zip = await yauzl.fromRandomAccessReaderPromise(new Reader(), ranges.size, options);
    return { zip, close: () => ranges.close() };
  } catch (error) {
    await ranges.close();
    throw error;
  }
}

async function* pieces(ranges: ByteRanges, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += WINDOW) yield ranges.read(at, Math.min(end, at + WINDOW));
}

function refused(archive: Input, what: string, hint: string): TaxiflowError {
  return new TaxiflowError('input-unreadable', `${archive.name} ${what}`, { hint });
}
