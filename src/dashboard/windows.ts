/** Converts results to the form that the page receives: one object per window, cells as differences. */
import type { ResultDocument } from '../state/results.ts';
import { cellCode } from '../views/geohash.ts';
import type { WindowUpdate } from './page/wire.ts';

export const SHOWN_VIEWS = ['pickup_count', 'trip_duration'] as const;

export type ShownView = (typeof SHOWN_VIEWS)[number];

export function isShown(view: string): view is ShownView {
  return (SHOWN_VIEWS as readonly string[]).includes(view);
}

/** The update for one window; undefined without results, or if their fields aren't those of the default view. */
export function windowUpdate(view: ShownView, docs: readonly ResultDocument[]): WindowUpdate | undefined {
  const rows = docs
    .map((doc) => ({ doc, cell: cellCode(String(doc['location'])) }))
    .sort((a, b) => a.cell - b.cell);
  const first = rows[0]?.doc;
  if (!first || typeof first['location'] !== 'string') return undefined;
  const numbers = (field: string) => rows.map(({ doc }) => Number(doc[field]));
  const head = {
    start: Date.parse(String(first['window_start'])),
    end: Date.parse(String(first['window_end'])),
    precision: first['location'].length,
    cells: rows.map(({ cell }, i) => cell - (rows[i - 1]?.cell ?? 0)),
  };
  if (view === 'pickup_count') {
    if (!('pickup_count' in first)) return undefined;
    return { view, ...head, counts: numbers('pickup_count') };
  }
  if (!('airport_code' in first && 'sum_trip_duration' in first)) return undefined;
  return {
    view,
    ...head,
    airports: rows.map(({ doc }) => String(doc['airport_code'])),
    trips: numbers('trip_count'),
    minutes: numbers('sum_trip_duration'),
  };
}

/** The update for a window whose last result was retracted, so that pages clear it. */
export function emptied(update: WindowUpdate): WindowUpdate {
  if (update.view === 'pickup_count') return { ...update, cells: [], counts: [] };
  return { ...update, cells: [], airports: [], trips: [], minutes: [] };
}
