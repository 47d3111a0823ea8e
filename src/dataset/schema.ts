/** Finds the columns of a TLC file by their header names, in all variants since 2009. */
import { TaxiflowError } from '../errors.ts';
import { parseTime } from '../events/times.ts';
import {
  EXTRA_FIELDS,
  type ExtraField,
  SOURCE_FIELDS,
  type SourceField,
  TRIP_FIELDS,
} from '../events/trip.ts';

const PROJECTED = ['pickupx', 'pickupy', 'dropoffx', 'dropoffy'];

/** The index of each field's column, −1 if the file doesn't have it. */
export type Columns = { readonly [F in SourceField | ExtraField]: number };

export interface Schema extends Columns {
  /** The columns as the file calls them. */
  readonly names: readonly string[];
  /** The least number of fields in a complete row. */
  readonly width: number;
}

/** Delimiters to try on a header, in this order. */
const DELIMITERS = [',', ';', '\t', '|'] as const;

const USUAL_COORDINATES = (['pickup_lat', 'pickup_lon', 'dropoff_lat', 'dropoff_lon'] as const)
  .map((field) => TRIP_FIELDS[field].columns[0])
  .join(', ');

/** Reads a header. Throws `unknown-header` or `not-degrees`, with the missing columns in the hint. */
export function readHeader(header: readonly string[], source: string): Schema {
  if (header.length === 0) {
    throw new TaxiflowError('unknown-header', `${source} is empty`, {
      hint: 'its first line must be the header of a TLC file',
    });
  }
  const names = header.map(plainName);
  const columns = columnsOf(names);
  if (header.some((cell) => !Number.isNaN(parseTime(cell)))) {
    throw new TaxiflowError('unknown-header', `${source} has no header: its first line is a row of data`, {
      hint: `add a TLC header as its first line, with columns such as tpep_pickup_datetime and tpep_dropoff_datetime`,
    });
  }
  for (const [column, what] of [
    ['pickup_datetime', 'pick-up time'],
    ['dropoff_datetime', 'drop-off time'],
  ] as const) {
    if (columns[column] >= 0) continue;
    throw new TaxiflowError('unknown-header', `${source} has no ${what}`, {
      hint: `it needs one of these columns: ${TRIP_FIELDS[column].columns.join(', ')} (case, spaces and underscores don't matter); its header is: ${header.join(',').slice(0, 200)}`,
    });
  }
  if (columns.pickup_lat < 0 && names.some((name) => PROJECTED.includes(name))) {
    throw new TaxiflowError('not-degrees', `the coordinates of ${source} are not degrees`, {
      hint: `pickup_x and pickup_y are in metres of a map projection; convert them to WGS 84 columns ${USUAL_COORDINATES}`,
    });
  }
  const lastNamed = names.findLastIndex((name) => name !== '');
  return { ...columns, names: header, width: lastNamed + 1 };
}

/** Whether these fields are a header: they name both time columns. */
export function isHeader(fields: readonly string[]): boolean {
  const { pickup_datetime, dropoff_datetime } = columnsOf(fields.map(plainName));
  return pickup_datetime >= 0 && dropoff_datetime >= 0;
}

/** Whether a header begins somewhere in these fields, even directly after a value in the same field. */
export function hasHeader(fields: readonly string[]): boolean {
  const names = fields.map(plainName);
  const isThere = (wanted: readonly string[]) =>
    names.some((name) => wanted.some((end) => name.endsWith(end)));
  return isThere(TRIP_FIELDS.pickup_datetime.columns) && isThere(TRIP_FIELDS.dropoff_datetime.columns);
}

/** The delimiter of a header line; a comma if the line is not a header. */
export function delimiterOf(line: string): string {
  const known = (delimiter: string) => {
    const columns = Object.values(columnsOf(line.split(delimiter).map(plainName)));
    return columns.filter((index) => index >= 0).length;
  };
  // A header with a mistake in one of its names still has the others.
  return DELIMITERS.reduce((best, delimiter) => (known(delimiter) > known(best) ? delimiter : best));
}

/** A name in lower case, without spaces, underscores, dashes, dots and quotes. */
function plainName(name: string): string {
  return name.toLowerCase().replace(/[\s_"'.\uFEFF-]/g, '');
}

function columnsOf(names: readonly string[]): Columns {
  const indexOf = (field: SourceField | ExtraField) => {
    const wanted: readonly string[] = TRIP_FIELDS[field].columns;
    return names.findIndex((name) => wanted.includes(name));
  };
  const fields = [...SOURCE_FIELDS, ...EXTRA_FIELDS];
  return Object.fromEntries(fields.map((field) => [field, indexOf(field)])) as unknown as Columns;
}

/** Indexes of the columns that a trip with these extra fields is read from, ascending. */
export function usedColumns(schema: Schema, extras: readonly ExtraField[] = []): number[] {
  const used = [...SOURCE_FIELDS, ...extras].map((field) => schema[field]);
  return [...new Set(used)].filter((index) => index >= 0).sort((a, b) => a - b);
}
