/** Converts results to the form that the page receives: one object per window, its results in columns. */
import type { ResultDocument } from '../state/results.ts';
import { cellCode } from '../views/geohash.ts';
import { endsOfLabel, hasOwnStarts, windowTimes } from '../views/windows.ts';
import type { Column, Figure, ViewShape, WindowUpdate } from './page/wire.ts';

/** The update for one window, also for one without results. `omitted` says that it has so many that none are sent. */
export function windowUpdate(
  shape: ViewShape,
  label: number,
  docs: readonly ResultDocument[],
  omitted = 0,
): WindowUpdate {
  const rows = ordered(shape, docs);
  const { rank } = shape.top ?? {};
  const first = shape.keys.findIndex(({ kind }) => kind === 'geohash');
  return {
    label,
    ...spanOf(shape, label),
    keys: shape.keys.map(({ name }, i) => (i === first ? cellColumn(rows, name) : wordColumn(rows, name))),
    values: shape.aggregates.map(({ name, isTime }) => rows.map((doc) => figure(doc[name], isTime))),
    ...(shape.window.kind === 'session' ? { spans: spansOf(rows, label) } : {}),
    ...(rank === undefined ? {} : { ranks: rows.map((doc) => Number(doc[rank])) }),
    ...(omitted > 0 ? { omitted } : {}),
  };
}

/** A window known by a label. */
export function spanOf({ window }: ViewShape, label: number): { start: number; end: number } {
  if (hasOwnStarts(window)) {
    const [end] = endsOfLabel(window, label);
    return { start: window.kind === 'session' ? label : windowTimes(window).startOf(end), end };
  }
  // Of the windows that hold the label's time, the one that begins with it is the last.
  return { start: label, end: windowTimes(window).sliceAt(label).ends.at(-1)! };
}

/** By the first geohash, so that differences are small; those of a top stay in their order. */
function ordered({ keys, top }: ViewShape, docs: readonly ResultDocument[]): readonly ResultDocument[] {
  const place = keys.find(({ kind }) => kind === 'geohash')?.name;
  if (place === undefined || top) return docs;
  return docs
    .map((doc) => ({ doc, cell: cellCode(String(doc[place])) }))
    .sort((a, b) => a.cell - b.cell)
    .map(({ doc }) => doc);
}

function cellColumn(rows: readonly ResultDocument[], name: string): Column {
  const codes = rows.map((doc) => cellCode(String(doc[name])));
  return {
    precision: String(rows[0]?.[name] ?? '').length,
    cells: codes.map((code, i) => code - (codes[i - 1] ?? 0)),
  };
}

function wordColumn(rows: readonly ResultDocument[], name: string): Column {
  return rows.map((doc) => doc[name] ?? '');
}

function figure(value: ResultDocument[string] | undefined, isTime: boolean): Figure {
  if (value === null || value === undefined) return null;
  return isTime ? Date.parse(String(value)) : Number(value);
}

function spansOf(rows: readonly ResultDocument[], label: number): readonly [number[], number[]] {
  const after = (field: string) => rows.map((doc) => Date.parse(String(doc[field])) - label);
  return [after('window_start'), after('window_end')];
}
