/** Turns the rows of a Parquet file into trips and rejected rows. */
import { TaxiflowError } from '../errors.ts';
import type { DateOrder } from '../events/times.ts';
import { DateSurvey } from './date-survey.ts';
import { type Input, unreadable } from './inputs.ts';
import { LocalTimes } from './local-times.ts';
import { openTable, type Table } from './parquet.ts';
import { readHeader, type Schema, usedColumns } from './schema.ts';
import type { ReadOptions, RowSink } from './sink.ts';
import { type Cell, type LeftOut, TripEncoder } from './trips.ts';

/**
 * Reads a Parquet file to its end; yields after every piece. Throws `input-unreadable`, `unknown-header`, `not-degrees`
 * and `no-timestamp`.
 */
export async function* readParquet(input: Input, sink: RowSink, options: ReadOptions): AsyncGenerator<void> {
  const source = input.name;
  const ranges = await input.ranges!(options.onBytes);
  try {
    const table = await openTable(ranges);
    const schema = readHeader(
      table.columns.map(({ name }) => name),
      source,
    );
    const local = options.timeZone && new LocalTimes(options.timeZone);
    const instants = table.columns.flatMap(({ isInstant }, column) => (isInstant ? [column] : []));
    const order = await orderOf(table, schema, source, options);
    const encoder = new TripEncoder(schema, order, local, instants, options.extras);
    const used = usedColumns(schema, options.extras);
    let first: (LeftOut & { line: number }) | undefined;
    const rowOf = (cells: readonly Cell[]) =>
      JSON.stringify(Object.fromEntries(used.map((i) => [schema.names[i], encoder.readable(cells, i)])));
    yield* table.rows(used, (cells, row) => {
      const trip = encoder.encode(cells);
      const reason = typeof trip === 'string' ? trip : sink.trip(trip) ? undefined : 'out-of-order';
      if (reason) sink.reject(reason, row, rowOf(cells), () => encoder.explain(cells, reason));
      else if (encoder.leftOut > 0) first ??= { ...encoder.firstLeftOut!, line: row };
    });
    sink.leftOut(encoder.leftOut, first);
    if (local) sink.localTimes?.(local.twice, local.never);
  } catch (error) {
    throw unreadable(source, error);
  } finally {
    await ranges.close();
  }
}

/** The order of day and month of times stored as text. Throws `no-timestamp` for a column of neither times nor text. */
async function orderOf(
  table: Table,
  schema: Schema,
  source: string,
  options: ReadOptions,
): Promise<DateOrder> {
  const columns = [...new Set([schema.pickup_datetime, schema.dropoff_datetime])].sort((a, b) => a - b);
  for (const index of columns) {
    const { name, kind, stored } = table.columns[index]!;
    if (kind !== 'other') continue;
    throw new TaxiflowError('no-timestamp', `the column ${name} of ${source} is not a timestamp: ${stored}`, {
      hint: 'store it as a TIMESTAMP or as text; a number has no unit, and a date has no time of day',
    });
  }
  if (options.dateOrder) return options.dateOrder;
  const survey = new DateSurvey();
  let matters = false;
  if (columns.some((index) => table.columns[index]!.kind === 'text')) {
    for await (const _ of table.rows(columns, (cells) => {
      for (const index of columns) matters = survey.note(cells[index]) || matters;
    }));
  }
  return matters ? survey.settle(source, options.onNote) : 'mdy';
}
