import { readFileSync } from 'node:fs';
import { EXIT, translating, usageError } from '../../errors.ts';
import { chooseApp } from '../../state/files.ts';
import type { Query, Value } from '../../state/query.ts';
import { StateReader } from '../../state/reader.ts';
import { didYouMean } from '../../suggest.ts';
import { withBars } from '../chart.ts';
import type { Invocation } from '../command.ts';
import type { QueryArguments } from '../commands/query.ts';
import {
  chosenFormat,
  type Format,
  formatted,
  jsonArray,
  printJson,
  type Row,
  say,
  several,
  tableFormat,
  write,
} from '../terminal.ts';

/** Number of rows on a terminal without --limit. */
const PAGE = 40;
/** Most rows of a chart without --limit: its scale is that of all of them. */
const MOST_BARS = 10_000;

export async function query(args: QueryArguments, { completed }: Invocation): Promise<number> {
  const format = args.chart === undefined ? chosenFormat(args.format) : tableFormat(args);
  const sql = args.sql === '-' ? textOfStdin() : args.sql;
  const app = chooseApp(args.dataDir, args.app);
  const reader = new StateReader(args.dataDir, app);
  try {
    if (sql === undefined) {
      await listTables(reader, app, format, args);
      if (format === 'table' && !args.json) say(completed(exampleOf(reader, args.app)));
    } else await printRows(reader.query(sql), format, args);
  } finally {
    reader.close();
  }
  return EXIT.done;
}

function textOfStdin(): string {
  return translating('the query', 'stdin', () => readFileSync(0, 'utf8'));
}

async function listTables(
  reader: StateReader,
  app: string,
  format: Format,
  { json, chart, limit }: QueryArguments,
): Promise<void> {
  if ((chart ?? limit) !== undefined)
    throw usageError(`--${chart === undefined ? 'limit' : 'chart'} needs a query`, 'write one, or omit it');
  const tables = reader.tables().map(({ name, view, columns }) => ({
    table: name,
    view,
    rows: reader.extent({ view })?.results ?? 0,
    columns,
  }));
  if (json) return printJson({ command: 'query', app, tables });
  const inWords = tables.map((table) => ({
    ...table,
    columns: table.columns.map(({ name, type }) => `${name} ${type}`).join(', '),
  }));
  if (format === 'table') await write(wrapped(inWords));
  else await write(formatted(format === 'csv' ? inWords : tables, format));
}

function exampleOf(reader: StateReader, app: string | undefined): string {
  const [first] = reader.tables();
  return `for instance "taxiflow query 'SELECT * FROM ${first?.name} LIMIT 10'${app === undefined ? '' : ` --app ${app}`}"`;
}

/** The tables for people; a list of columns may be longer than a line. */
function* wrapped(tables: readonly { table: string; rows: number; columns: string }[]): Generator<string> {
  for (const { table, rows, columns } of tables) {
    yield `${table}  ${several(rows, 'row')}\n`;
    for (const line of columns.match(/.{1,90}(?:, |$)/g) ?? [columns]) yield `  ${line.trimEnd()}\n`;
  }
}

async function printRows(query: Query, format: Format, args: QueryArguments): Promise<void> {
  const { chart, json, limit: asked } = args;
  const onPage = format === 'table' && !json && process.stdout.isTTY;
  const byDefault = onPage ? PAGE : chart === undefined ? Number.POSITIVE_INFINITY : MOST_BARS;
  const limit = asked ?? byDefault;
  const names = format === 'table' ? query.columns.map(inOrder) : query.columns;
  const read = limited(query, names, limit);
  const rows = chart === undefined ? read.rows : charted([...read.rows], names, chart);
  await write(json ? jsonArray(rows) : formatted(rows, format, names));
  if (read.count() === 0 && format === 'table' && !json) say('no rows');
  // A limit that the user gave needs no note.
  if (read.isCut() && asked === undefined)
    say(`these are the first ${several(limit, 'row')}; --limit N or --limit all shows more`);
}

/** Objects have names of digits first, in any case; a table goes by their order. */
const inOrder = (name: string) => (/^\d+$/.test(name) ? `${name} ` : name);

function limited({ rows }: Query, names: readonly string[], limit: number) {
  let [count, isCut] = [0, false];
  const read = function* (): Generator<Readonly<Record<string, Value>>> {
    for (const { values } of rows()) {
      isCut = count === limit;
      if (isCut) return;
      count++;
      yield Object.fromEntries(values.map((value, i) => [names[i]!, value]));
    }
  };
  return { rows: read(), count: () => count, isCut: () => isCut };
}

/** Rows with bars for one of their numbers. */
function charted(rows: readonly Row[], names: readonly string[], chart: string): readonly Row[] {
  if (rows.length === 0) return rows;
  const numbers = names.filter((name) => rows.some((row) => typeof row[name] === 'number'));
  const field = chart === '' ? numbers[0] : numbers.find((name) => name.trimEnd() === chart);
  if (field === undefined)
    throw usageError(
      chart === ''
        ? 'the query has no column of numbers for --chart'
        : `--chart ${chart} is not a column of numbers${didYouMean(chart, numbers)}`,
      numbers.length > 0 ? `choose one of ${numbers.join(', ')}` : 'select a number',
    );
  return withBars(rows, [...names.filter((name) => name !== field), field]);
}
