/** What is in an archive, read by another reader than the one that wrote it, and what is to be in it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { TRIP_FIELD_NAMES, TRIP_FIELDS } from '../../src/events/trip.ts';
import { OTHER_VALUES } from '../../src/sinks/archive/columns.ts';
import { Broken } from './world.ts';

/** A file of an archive, by its name there. */
export interface ArchiveFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The files of a folder; what is not finished has other names. */
export function filesIn(folder: string): ArchiveFile[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.parquet'))
    .map((name) => ({ name, bytes: readFileSync(join(folder, name)) }));
}

/** C11: a file is there whole, or not at all. */
export function halfOf(files: readonly ArchiveFile[]): string | undefined {
  const isWhole = (bytes: Uint8Array) => Buffer.from(bytes.subarray(-4)).toString('latin1') === 'PAR1';
  return files.find(({ bytes }) => !isWhole(bytes))?.name;
}

/** Their trips, each a text of some fields; every one lies in the file of its day. */
export async function tripsIn(files: readonly ArchiveFile[], fields = TRIP_FIELD_NAMES): Promise<string[]> {
  const texts: string[] = [];
  for (const { name, bytes } of files) {
    const file = new Uint8Array(bytes).buffer;
    for (const row of await parquetReadObjects({ file, compressors })) {
      const day = (row['dropoff_datetime'] as Date).toISOString().slice(0, 10);
      if (!name.includes(`day=${day}/`)) throw new Broken(`C11: ${name} has a trip of ${day}`);
      const others = JSON.parse(String(row[OTHER_VALUES] ?? '{}')) as object;
      texts.push(textOf({ ...row, ...others }, fields));
    }
  }
  return texts.sort();
}

/** A trip of the stream as it is to be in an archive. */
export function textOf(trip: object, fields = TRIP_FIELD_NAMES): string {
  const values = fields.map((name) => {
    const value: unknown = (trip as Record<string, unknown>)[name] ?? null;
    if (value !== null && TRIP_FIELDS[name].type === 'time') return new Date(value as string).toISOString();
    return typeof value === 'bigint' ? Number(value) : value;
  });
  return JSON.stringify(values);
}
