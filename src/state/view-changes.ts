/** What becomes of a state when its job is run with other views (C5): nothing is mixed in silence. */

import type { StateIdentity } from '../engine/state-store.ts';
import { TaxiflowError } from '../errors.ts';
import type { Sqlite } from '../sqlite.ts';
import { checkViews } from '../views/check.ts';
import type { View } from '../views/language.ts';
import { amendCheckpoint, readCheckpoint } from './checkpoint-row.ts';
import { type FilledViews, joinFilled } from './filled-views.ts';
import { latenessIn, readIdentity, writeIdentity } from './identity.ts';
import { corruptRow, type StateRows } from './rows.ts';

/**
 * `added`: begins where the stream is now. `removed`: its open windows and its results go. `adapted`: goes on, with other results from now
 * on. `anew`: its open windows and its results go, and it begins where the stream is now, without --backfill.
 */
export interface ViewChange {
  readonly view: string;
  readonly change: 'added' | 'removed' | 'adapted' | 'anew';
  /** In words. */
  readonly what: string;
}

const NOW = 'it begins where the stream is now, without --backfill';
const FILLED = 'it is filled from the start of the stream';

/** The views a state was made with. What is no view any more is damage. */
export function storedViews(db: Sqlite): View[] {
  const { views: text } = readIdentity(db);
  if (text === '[]') return [];
  try {
    return checkViews(JSON.parse(text));
  } catch {
    throw corruptRow('views');
  }
}

/** Ms of lateness that a state was made to allow. */
export function storedLateness(db: Sqlite): number {
  return latenessIn(readIdentity(db).settings);
}

/** What is to become of a state whose job goes on with other views. */
export interface PlannedChanges {
  readonly changes: readonly ViewChange[];
  /** Views that begin with what the stream still holds, instead of where it is now. */
  readonly filled?: FilledViews | undefined;
}

/** By name, in the order of the new views and then of the removed ones; none if a state can go on as it is. */
export function viewChanges(db: Sqlite, views: readonly View[]): readonly ViewChange[] {
  const lateness = storedLateness(db);
  const before = new Map(storedViews(db).map((view) => [view.name, view]));
  const changes: ViewChange[] = [];
  for (const view of views) {
    const old = before.get(view.name);
    before.delete(view.name);
    if (!old) {
      changes.push({ view: view.name, change: 'added', what: NOW });
      continue;
    }
    if (JSON.stringify(old) === JSON.stringify(view)) continue;
    changes.push({ view: view.name, ...changeOf(old, view, lateness) });
  }
  for (const view of before.keys())
    changes.push({ view, change: 'removed', what: 'its open windows and its results go' });
  return changes;
}

function changeOf(old: View, view: View, lateness: number): Omit<ViewChange, 'view'> {
  const differs = (part: (view: View) => unknown) => JSON.stringify(part(old)) !== JSON.stringify(part(view));
  const parts: string[] = [];
  if (differs(({ where }) => where ?? null)) parts.push('the trips that it selects');
  if (differs(({ by }) => Object.entries(by))) parts.push('its key');
  if (differs(({ window }) => window)) parts.push('its window');
  if (differs(({ aggregates }) => Object.values(aggregates))) parts.push('its aggregates');
  if (differs(({ time }) => time ?? null)) parts.push('its time');
  // Without a top, windows fire earlier.
  if ((old.top === undefined) !== (view.top === undefined)) parts.push('whether it has a top');
  const hasOtherTop = differs(({ top }) => top ?? null);
  const hasOtherHaving = differs(({ having }) => having ?? null);
  // A correction has to know whether the earlier result was shown.
  if (hasOtherHaving && lateness > 0) parts.push('its having, with windows that can still be corrected');
  const names = Object.keys(old.aggregates);
  const isSwapped = Object.keys(view.aggregates).some((name, i) => names.includes(name) && names[i] !== name);
  if (isSwapped) parts.push('names of aggregates that had another meaning');
  if (parts.length > 0) return { change: 'anew', what: `other: ${parts.join(', ')}; ${NOW}` };
  const others = [
    ...(hasOtherHaving ? ['another having'] : []),
    ...(hasOtherTop ? ['another top'] : []),
    ...(differs(({ aggregates }) => Object.keys(aggregates)) ? ['other names of aggregates'] : []),
  ];
  return { change: 'adapted', what: `it goes on with ${others.join(' and ')}` };
}

/** Whether changes lose windows and results, so that they must be accepted. */
export function mustBeAccepted(changes: readonly ViewChange[]): boolean {
  return changes.some(({ change }) => change === 'anew' || change === 'removed');
}

/** Whether a view has nothing of the stream before the change, unless it is filled. */
export function begins({ change }: ViewChange): boolean {
  return change === 'added' || change === 'anew';
}

/** The changes in words, one a line. */
export function changesText(changes: readonly ViewChange[], backfill = false): string {
  const verbs = { added: 'is added', removed: 'is removed', adapted: 'is adapted', anew: 'begins anew' };
  return changes
    .map((one) => {
      const { view, change, what } = one;
      return `view ${view} ${verbs[change]}: ${backfill && begins(one) ? what.replace(NOW, FILLED) : what}`;
    })
    .join('\n');
}

/**
 * Brings a state to other views and more lateness, in one transaction. Throws `other-state` while a sink has not yet got
 * what would go, and `state-changed` if the state went on while views were filled.
 */
export function changeViews(
  rows: StateRows,
  { views, settings }: StateIdentity,
  { changes, filled }: PlannedChanges,
): void {
  rows.transaction(() => {
    const { db } = rows;
    for (const { view, change } of changes) {
      if (change !== 'removed' && change !== 'anew') continue;
      db.prepare('DELETE FROM panes WHERE view = ?').run(view);
      removeResults(rows, view);
      db.prepare('DELETE FROM totals WHERE view = ?').run(view);
    }
    const allowsMore = latenessIn(settings) > storedLateness(db);
    if (allowsMore || changes.length > 0)
      keepClosed(db, JSON.parse(views) as View[], { changes, filled }, allowsMore);
    if (filled) joinFilled(rows, filled);
    writeIdentity(db, { views, settings });
  });
}

/** A late trip must not open a window that is gone or was never whole: its small result would stand for all of the window. */
function keepClosed(
  db: Sqlite,
  views: readonly View[],
  { changes, filled }: PlannedChanges,
  allowsMore: boolean,
): void {
  const checkpoint = readCheckpoint(db);
  if (!checkpoint || checkpoint.watermark === null) return;
  const before = checkpoint.closedUpTo ?? {};
  const began = new Map(changes.map((one) => [one.view, begins(one)]));
  // A window is due once its last millisecond is at or before the watermark.
  const due = checkpoint.watermark + 1;
  const closedUpTo: Record<string, number> = {};
  for (const { name } of views) {
    if (filled?.views.has(name)) continue;
    if (began.get(name)) closedUpTo[name] = due;
    else if (allowsMore)
      closedUpTo[name] = Math.max(before[name] ?? Number.NEGATIVE_INFINITY, due - storedLateness(db));
    else if (before[name] !== undefined) closedUpTo[name] = before[name];
  }
  amendCheckpoint(db, { ...checkpoint, closedUpTo });
}

function removeResults(rows: StateRows, view: string): void {
  const { db } = rows;
  const { last, kept } = db
    .prepare('SELECT max(first + count) AS last, coalesce(sum(count), 0) AS kept FROM firings WHERE view = ?')
    .get(view) as { last: number | null; kept: number };
  if (last === null) return;
  const behind = db.prepare('SELECT sink FROM cursors WHERE delivered < ?').pluck().get(last);
  if (behind !== undefined) {
    throw new TaxiflowError('other-state', `${String(behind)} has not yet got all results of view ${view}`, {
      hint: 'run the job once more as it was, until its sinks have everything; "taxiflow state forget" gives up one that is not used any more',
    });
  }
  db.prepare('DELETE FROM firings WHERE view = ?').run(view);
  const checkpoint = readCheckpoint(db)!;
  amendCheckpoint(db, { ...checkpoint, trimmed: (checkpoint.trimmed ?? 0) + kept });
}
