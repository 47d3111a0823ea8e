/** What is different between two savepoints of one job. */
import type { Counters } from '../engine/state-store.ts';
import type { Position } from '../streams/ports.ts';
import type { Inspected } from './savepoints.ts';
import type { ShardSummary, WindowSummary } from './summary.ts';

export interface WindowChange {
  readonly view: string;
  /** Epoch ms. */
  readonly start: number;
  readonly end: number;
  /** In B only, in A only, or in both with other contents. */
  readonly change: 'appeared' | 'gone' | 'changed';
  /** Panes in A and in B. */
  readonly panes: readonly [number, number];
}

export interface ShardChange {
  readonly shard: string;
  readonly position: readonly [Position | null, Position | null];
  /** Epoch ms. */
  readonly watermark: readonly [number | null, number | null];
}

export interface Difference {
  /** Whether both are of the same stream, views and settings, so that B can be a later A. */
  readonly sameJob: boolean;
  readonly checkpoint: readonly [number, number];
  readonly watermark: readonly [number | null, number | null];
  /** B − A. */
  readonly counters: Counters;
  readonly results: readonly [number, number];
  readonly tripsSeen: readonly [number, number];
  readonly shards: readonly ShardChange[];
  /** Views that only one of them has, or that differ. */
  readonly views: readonly { readonly view: string; readonly change: 'appeared' | 'gone' | 'changed' }[];
  /** By view and start; windows that are the same in both are left out. */
  readonly windows: readonly WindowChange[];
}

export function differenceOf({ summary: a }: Inspected, { summary: b }: Inspected): Difference {
  const views = viewChanges(a.views, b.views);
  return {
    sameJob: a.stream === b.stream && a.settings === b.settings && views.length === 0,
    checkpoint: [a.checkpoint.number, b.checkpoint.number],
    watermark: [a.watermark, b.watermark],
    counters: Object.fromEntries(
      Object.entries(b.counters).map(([name, count]) => [
        name,
        count - (a.counters[name as keyof Counters] ?? 0),
      ]),
    ) as unknown as Counters,
    results: [a.results.next - 1, b.results.next - 1],
    tripsSeen: [a.tripsSeen, b.tripsSeen],
    shards: shardChanges(a.shards, b.shards),
    views,
    windows: windowChanges(a.windows, b.windows),
  };
}

/** Entries of two lists by their keys, in the order of the first and then the second. */
function paired<T>(
  a: readonly T[],
  b: readonly T[],
  keyOf: (item: T) => string,
): [T | undefined, T | undefined][] {
  const [left, right] = [a, b].map((list) => new Map(list.map((item) => [keyOf(item), item])));
  const keys = new Set([...left!.keys(), ...right!.keys()]);
  return Array.from(keys, (key) => [left!.get(key), right!.get(key)]);
}

function viewChanges(a: readonly { name: string }[], b: readonly { name: string }[]): Difference['views'] {
  return paired(a, b, ({ name }) => name).flatMap(([before, now]): Difference['views'][number][] => {
    const view = (now ?? before)!.name;
    if (!before) return [{ view, change: 'appeared' }];
    if (!now) return [{ view, change: 'gone' }];
    return JSON.stringify(before) === JSON.stringify(now) ? [] : [{ view, change: 'changed' }];
  });
}

function shardChanges(a: readonly ShardSummary[], b: readonly ShardSummary[]): ShardChange[] {
  return paired(a, b, ({ shard }) => shard).flatMap(([before, now]) => {
    if (JSON.stringify(before) === JSON.stringify(now)) return [];
    return [
      {
        shard: (now ?? before)!.shard,
        position: [before?.position ?? null, now?.position ?? null] as const,
        watermark: [before?.watermark ?? null, now?.watermark ?? null] as const,
      },
    ];
  });
}

function windowChanges(a: readonly WindowSummary[], b: readonly WindowSummary[]): WindowChange[] {
  const keyOf = ({ view, start, end }: WindowSummary) => `${view} ${start} ${end}`;
  const changes = paired(a, b, keyOf).flatMap(([before, now]) => {
    if (before?.digest === now?.digest) return [];
    const { view, start, end } = (now ?? before)!;
    const change = !before ? 'appeared' : !now ? 'gone' : 'changed';
    return [
      { view, start, end, change, panes: [before?.panes ?? 0, now?.panes ?? 0] } satisfies WindowChange,
    ];
  });
  return changes.sort((x, y) => (x.view === y.view ? x.start - y.start : x.view < y.view ? -1 : 1));
}
