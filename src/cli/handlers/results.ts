import { EXIT, usageError } from '../../errors.ts';
import { chooseApp } from '../../state/files.ts';
import { StateReader } from '../../state/reader.ts';
import type { ResultDocument, ResultFilter } from '../../state/results.ts';
import { didYouMean } from '../../suggest.ts';
import { withBars } from '../chart.ts';
import type { ResultsArguments } from '../commands/results.ts';
import {
  chosenFormat,
  formatted,
  isoShort,
  jsonArray,
  say,
  several,
  tableFormat,
  thousands,
  write,
} from '../terminal.ts';

/** Number of results on a terminal without --limit. */
const PAGE = 40;

export async function results(args: ResultsArguments): Promise<number> {
  const format = args.chart === undefined ? chosenFormat(args.format) : tableFormat(args);
  const filter = filterOf(args);
  const reader = new StateReader(args.dataDir, chooseApp(args.dataDir, args.app));
  try {
    refuseUnknownView(reader, args.view);
    const fields = reader.columns(args.view);
    const order = orderOf(args.sort, fields);
    const onPage = format === 'table' && process.stdout.isTTY;
    const limit = args.limit ?? (onPage ? PAGE : Number.POSITIVE_INFINITY);
    const chart = chartOf(args, reader);
    const { found, note } = order
      ? sorted(reader, filter, order, limit)
      : Number.isFinite(limit)
        ? latest(reader, filter, limit)
        : { found: reader.results(filter), note: () => undefined };
    const told = counted(found);
    const rows = chart ? withBars([...told.rows], chart) : told.rows;
    await write(args.json ? jsonArray(rows) : formatted(rows, format, fields));
    if (told.count() === 0) say(whyNone(reader, filter));
    // A limit that the user gave needs no note.
    const more = args.limit === undefined ? note() : undefined;
    if (more) say(`${more}; --limit N or --limit all shows more; --view, --from and --to select`);
  } finally {
    reader.close();
  }
  return EXIT.done;
}

function filterOf({ view, from, since, to }: ResultsArguments): ResultFilter {
  if (from !== undefined && since !== undefined)
    throw usageError('--since is the same as --from', 'omit one of them');
  const first = from ?? since;
  if (first !== undefined && to !== undefined && to <= first)
    throw usageError('--to must be after --from', 'exchange them');
  return { view, since: first, until: to };
}

function refuseUnknownView(reader: StateReader, view: string | undefined): void {
  const views = reader.views();
  if (view !== undefined && !views.includes(view))
    throw usageError(`there is no view "${view}"`, `choose one of ${views.join(', ')}`);
}

/** Why a filter selects no results. */
function whyNone(reader: StateReader, filter: ResultFilter): string {
  const { view } = filter;
  const all = reader.extent({});
  if (!all) return 'no results yet; a window fires when the watermark passes its end';
  const ofView = view === undefined ? all : reader.extent({ view });
  const { results, first, last } = ofView ?? all;
  const where = ofView ? 'in that range' : `of view ${view}`;
  const whose = view !== undefined && ofView ? ` of view ${view}` : '';
  const count = `there ${results === 1 ? 'is' : 'are'} ${several(results, 'result')}${whose}`;
  const span =
    first === last
      ? `whose window starts at ${isoShort(first)}`
      : `whose windows lie from ${isoShort(first)} to ${isoShort(last)}`;
  return `no results ${where}; ${count}, ${span}`;
}

/** The results to print, and a note on those that are not printed. */
interface Chosen {
  readonly found: Iterable<ResultDocument>;
  /** Undefined if everything is printed. */
  readonly note: () => string | undefined;
}

function latest(reader: StateReader, filter: ResultFilter, limit: number): Chosen {
  const { results, windows, of, isCut } = reader.latestResults(filter, limit);
  const note = `these are the latest ${several(results.length, 'result')}, from ${thousands(windows)} of the ${several(of, 'window')}`;
  return { found: results, note: () => (isCut ? note : undefined) };
}

interface Order {
  readonly field: string;
  readonly descending: boolean;
}

function orderOf(sort: string | undefined, fields: readonly string[]): Order | undefined {
  if (sort === undefined) return undefined;
  const [, field = sort, direction] = /^(.*):(asc|desc)$/.exec(sort) ?? [];
  if (!fields.includes(field))
    throw usageError(
      `--sort ${field} is not a field of the results${didYouMean(field, fields)}`,
      `choose one of ${fields.join(', ')}`,
    );
  return { field, descending: direction === 'desc' };
}

/** The first `limit` results in an order. Keeps only about twice as many in memory. */
function sorted(reader: StateReader, filter: ResultFilter, order: Order, limit: number): Chosen {
  const compare = comparing(order);
  const most = Number.isFinite(limit) ? 2 * limit + 1_000 : limit;
  let kept: ResultDocument[] = [];
  let count = 0;
  for (const result of reader.results(filter)) {
    count++;
    kept.push(result);
    if (kept.length > most) kept = kept.sort(compare).slice(0, limit);
  }
  const found = kept.sort(compare).slice(0, limit);
  const note = `the first ${several(found.length, 'result')} of ${thousands(count)} by ${order.field}`;
  return { found, note: () => (count > found.length ? note : undefined) };
}

/** Results without the field come last in both directions. */
function comparing({ field, descending }: Order) {
  return (a: ResultDocument, b: ResultDocument): number => {
    const [x, y] = [a[field] ?? null, b[field] ?? null];
    if (x === null || y === null) return Number(x === null) - Number(y === null);
    const rising = x < y ? -1 : x > y ? 1 : 0;
    return descending ? -rising : rising;
  };
}

/** The fields of a chart: window, key and the number with a bar; undefined without --chart. */
function chartOf({ chart, view }: ResultsArguments, reader: StateReader): string[] | undefined {
  if (chart === undefined) return undefined;
  const shapes = reader.shapes().filter(({ name }) => view === undefined || name === view);
  const fitting = shapes.filter(({ numbers }) => chart === '' || numbers.includes(chart));
  const [shape] = fitting;
  if (!shape) {
    const numbers = [...new Set(shapes.flatMap((each) => each.numbers))];
    throw usageError(
      `--chart ${chart} is not a number of the results${didYouMean(chart, numbers)}`,
      `choose one of ${numbers.join(', ')}`,
    );
  }
  if (shapes.length > 1)
    throw usageError('--chart needs one view', `add --view: ${fitting.map(({ name }) => name).join(' or ')}`);
  return [...shape.bounds, ...shape.keys, chart === '' ? shape.numbers[0]! : chart];
}

function counted<T>(items: Iterable<T>): { rows: Iterable<T>; count: () => number } {
  let count = 0;
  const rows = (function* () {
    for (const item of items) {
      count++;
      yield item;
    }
  })();
  return { rows, count: () => count };
}
