/** The data that the server sends to the page. Used on both sides. Times are epoch ms. */
import type { JobStatus } from '../../status/model.ts';
import type { AggregateFunction, EventTime, Window } from '../../views/language.ts';

export type {
  DeadLetterSample,
  JobDetails,
  JobStatus,
  JobSummary,
  Past,
  PastCheckpoint,
  PastPoint,
  ShardStatus,
  SinkStatus,
} from '../../status/model.ts';

/** What a key field holds: a place on the map, or a word. */
export type KeyKind = 'geohash' | 'zone' | 'word';

export interface KeyShape {
  readonly name: string;
  readonly kind: KeyKind;
  /** The end of the trip that a place is of. */
  readonly end?: 'pickup' | 'dropoff';
  /** The field of the trip that it is, unless it is computed. */
  readonly field?: string;
}

export interface AggregateShape {
  readonly name: string;
  readonly fn: AggregateFunction;
  /** What is aggregated, as text: percentiles of one operand belong together. */
  readonly of?: string;
  /** The share of a percentile, 0 to 1. */
  readonly p?: number;
  /** Whether values are times. */
  readonly isTime: boolean;
}

/** What the page has to know of a view to draw it. */
export interface ViewShape {
  readonly name: string;
  readonly time: EventTime;
  readonly window: Window;
  readonly keys: readonly KeyShape[];
  readonly aggregates: readonly AggregateShape[];
  /** Whether some results are left out, by `having` or a top. */
  readonly isCut: boolean;
  /** Of a top: the field of the rank, if there is one. */
  readonly top?: { readonly n: number; readonly rank?: string };
}

export type Figure = number | null;

/** The values of one key field, row by row. */
export type Column =
  /** Geohashes of one length as numbers, each as its difference from the one before. */
  { readonly precision: number; readonly cells: readonly number[] } | readonly (string | number | boolean)[];

/** The results of a window, in columns. They replace those that the page has of it. */
export interface WindowUpdate {
  /** What lists know the window by. */
  readonly label: number;
  readonly start: number;
  readonly end: number;
  /** By key field, in the order of the view; geohashes ascend in the first of them. */
  readonly keys: readonly Column[];
  /** By aggregate. */
  readonly values: readonly (readonly Figure[])[];
  /** Start and end of each session, as ms after the label. */
  readonly spans?: readonly [starts: readonly number[], ends: readonly number[]];
  readonly ranks?: readonly number[];
  /** How many results there are, if they are too many to be shown. */
  readonly omitted?: number;
}

/** Values by aggregate, and how many trips each was made of where that is known. */
export interface Total {
  readonly values: readonly Figure[];
  readonly of: readonly Figure[];
}

/** What a window had before `having` and a top left results out. */
export interface TotalUpdate {
  readonly label: number;
  readonly start: number;
  readonly end: number;
  /** How many keys there were. */
  readonly keys: number;
  readonly all: Total;
  /** By the key fields that are no places; null if there are too many. */
  readonly groups: readonly (Total & { readonly key: readonly (string | number | boolean)[] })[] | null;
}

/** Totals of windows of a view. */
export interface ViewTotals {
  readonly view: string;
  readonly windows: readonly TotalUpdate[];
}

/** What a page begins with: the shapes of all views, and which windows one of them has. */
export interface History {
  /** The event id after which to listen. */
  readonly id: string;
  /** The view it is of: the one asked for, or else the first; null without views. */
  readonly view: string | null;
  readonly shapes: readonly ViewShape[];
  /** Labels of the windows with results, ascending. */
  readonly labels: readonly number[];
  readonly totals: readonly ViewTotals[];
}

/** What an exported page begins with. The rest of its file are answers of a server, by their requests. */
export interface Contents extends Omit<History, 'view' | 'labels'> {
  /** As of the export. */
  readonly status: JobStatus;
  readonly views: readonly ExportedView[];
}

export interface ExportedView {
  readonly name: string;
  readonly labels: readonly number[];
  /** The answers to `/api/windows` that the file has, the newest windows first: what was asked for, and the first label in it. */
  readonly parts: readonly { readonly before: number; readonly from: number }[];
}

/** Where an exported page finds `Contents`. */
export const CONTENTS = '/api/contents';
export const LIBRARY = '/vendor/maplibre-gl.mjs';
export const WORKER = '/vendor/maplibre-gl-worker.mjs';

/** A path with a query. */
export function requestOf(path: string, query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(query).toString();
  return text === '' ? path : `${path}?${text}`;
}

/** Some windows of a view, the newest first. */
export interface Windows {
  readonly windows: readonly WindowUpdate[];
  /** Ask for those before this label next; null if there are none. */
  readonly next: number | null;
}

/** What changed since the event before. */
export interface Changes {
  readonly windows: readonly WindowUpdate[];
  /** Labels of windows that changed too and must be asked for. */
  readonly stale: readonly number[];
  readonly totals: readonly ViewTotals[];
}

export interface Settings {
  /** URL of map tiles. */
  readonly tiles: string | null;
}

export function* undiffed(differences: readonly number[]): Generator<number> {
  let value = 0;
  for (const difference of differences) {
    value += difference;
    yield value;
  }
}
