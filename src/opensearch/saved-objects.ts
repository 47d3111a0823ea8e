/**
 * What Dashboards keeps for us: an index pattern for each view and, where the views of the reference are among them,
 * the map of pick-ups, the lines of minutes to the airports, and the dashboard with both. Plain data; nothing is sent.
 */
import { isDeepStrictEqual } from 'node:util';
import type { View } from '../views/language.ts';
import { AIRPORT_COLORS, airportLineAggregations, airportLineParams } from './airport-lines.ts';
import { pickupMapSpec } from './pickup-map.ts';
import { indexName, mappingOf } from './templates.ts';
import { ALL_TIMES, type TimeRange } from './time-range.ts';

export interface Reference {
  readonly name: string;
  readonly type: string;
  readonly id: string;
}

export interface SavedObject {
  readonly type: 'index-pattern' | 'visualization' | 'dashboard';
  readonly id: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly references: readonly Reference[];
  readonly migrationVersion: Readonly<Record<string, string>>;
}

/** Dashboards 2 refuses a file with newer versions than these. */
const MIGRATED = {
  'index-pattern': { 'index-pattern': '7.6.0' },
  visualization: { visualization: '7.10.0' },
  dashboard: { dashboard: '7.9.3' },
} as const;

const INDEX_REFERENCE = 'kibanaSavedObjectMeta.searchSourceJSON.index';
/** Each refresh puts the map's zoom back, so it leaves time to look at something. */
const REFRESH_MS = 30_000;
/** Columns of a dashboard, and rows that fit a screen of 900 pixels. */
const COLUMNS = 48;
const ROWS = 23;

/** The objects of these views, an object after all that it refers to. */
export function savedObjectsOf(
  prefix: string,
  views: readonly View[],
  range: TimeRange = ALL_TIMES,
): SavedObject[] {
  const patterns = views.map((view) => indexPattern(prefix, view.name));
  const panels: SavedObject[] = [];
  if (has(views, 'pickup_count', 'location', 'pickup_count')) panels.push(pickupMap(prefix));
  if (has(views, 'trip_duration', 'airport_code', 'avg_trip_duration')) panels.push(airportLines(prefix));
  return [...patterns, ...panels, ...(panels.length > 0 ? [dashboard(prefix, panels, range)] : [])];
}

function has(views: readonly View[], name: string, ...fields: string[]): boolean {
  const view = views.find((one) => one.name === name);
  return view !== undefined && fields.every((field) => field in mappingOf(view).properties);
}

function patternId(prefix: string, view: string): string {
  return `taxiflow-${indexName(prefix, view)}`;
}

function indexPattern(prefix: string, view: string): SavedObject {
  return {
    type: 'index-pattern',
    id: patternId(prefix, view),
    // Dashboards reads the fields from the index when it first opens the pattern.
    attributes: { title: indexName(prefix, view), timeFieldName: 'timestamp' },
    references: [],
    migrationVersion: MIGRATED['index-pattern'],
  };
}

/** Cells of geohashes, redder with more pick-ups. It names its index by itself, so it refers to no index pattern. */
function pickupMap(prefix: string): SavedObject {
  return visualization(prefix, 'pickup-map', 'Taxi pick-ups', {
    type: 'vega',
    params: { spec: pickupMapSpec(prefix) },
    aggs: [],
    uiState: {},
  });
}

function airportLines(prefix: string): SavedObject {
  return visualization(prefix, 'airport-minutes', 'Minutes to the airports', {
    type: 'line',
    params: airportLineParams(),
    aggs: airportLineAggregations(),
    uiState: { vis: { colors: AIRPORT_COLORS } },
    pattern: patternId(prefix, 'trip_duration'),
  });
}

interface Visualization {
  readonly type: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly aggs: readonly Readonly<Record<string, unknown>>[];
  readonly uiState: Readonly<Record<string, unknown>>;
  /** The id of the index pattern that its aggregations are about. */
  readonly pattern?: string;
}

function visualization(prefix: string, name: string, title: string, vis: Visualization): SavedObject {
  const { uiState, pattern, ...state } = vis;
  return {
    type: 'visualization',
    id: `taxiflow-${prefix}${name}`,
    attributes: {
      title: `${prefix}${title}`,
      visState: JSON.stringify({ title: `${prefix}${title}`, ...state }),
      uiStateJSON: JSON.stringify(uiState),
      description: '',
      version: 1,
      kibanaSavedObjectMeta: {
        searchSourceJSON: JSON.stringify({
          ...{ query: { query: '', language: 'kuery' }, filter: [] },
          ...(pattern === undefined ? {} : { indexRefName: INDEX_REFERENCE }),
        }),
      },
    },
    references: pattern === undefined ? [] : [{ name: INDEX_REFERENCE, type: 'index-pattern', id: pattern }],
    migrationVersion: MIGRATED.visualization,
  };
}

/** The id of the dashboard; it is part of its address. */
export function dashboardId(prefix: string): string {
  return `${prefix}Taxi-Trips-Dashboard`;
}

/** Panels side by side, from the left. */
function dashboard(prefix: string, shown: readonly SavedObject[], range: TimeRange): SavedObject {
  const width = COLUMNS / shown.length;
  const panels = shown.map((object, i) => ({
    version: '7.9.3',
    gridData: { x: i * width, y: 0, w: width, h: ROWS, i: String(i + 1) },
    panelIndex: String(i + 1),
    // Colours of a visualization count on a dashboard only where they are here.
    embeddableConfig: JSON.parse(String(object.attributes['uiStateJSON'])) as unknown,
    panelRefName: `panel_${i}`,
  }));
  return {
    type: 'dashboard',
    id: dashboardId(prefix),
    attributes: {
      title: dashboardId(prefix),
      hits: 0,
      description: 'Where taxis are taken, and how long they take to JFK and LGA',
      panelsJSON: JSON.stringify(panels),
      optionsJSON: JSON.stringify({ useMargins: true, hidePanelTitles: false }),
      version: 1,
      // Trips are years old. Without times of its own a dashboard shows the last 15 minutes, which are empty.
      timeRestore: true,
      timeFrom: range.from,
      timeTo: range.to,
      refreshInterval: { pause: false, value: REFRESH_MS },
      kibanaSavedObjectMeta: {
        searchSourceJSON: JSON.stringify({ query: { query: '', language: 'kuery' }, filter: [] }),
      },
    },
    references: shown.map(({ type, id }, i) => ({ name: `panel_${i}`, type, id })),
    migrationVersion: MIGRATED.dashboard,
  };
}

/** The file that Dashboards imports: an object a line. */
export function ndjson(objects: readonly SavedObject[]): string {
  return objects.map((object) => `${JSON.stringify(object)}\n`).join('');
}

/** An object as Dashboards has it. */
export interface LiveObject {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly references?: readonly Reference[];
  /** Changes with each save. */
  readonly version?: string;
}

/** What follows the results, or was chosen by the user. */
const MOVING = new Set(['timeFrom', 'timeTo']);

/** How an object differs from ours, in words. Attributes that Dashboards adds by itself do not count. */
export function objectDifferences(live: LiveObject, expected: SavedObject): string[] {
  const found = Object.entries(expected.attributes)
    .filter(
      ([name, value]) =>
        !MOVING.has(name) && !isDeepStrictEqual(parsed(live.attributes[name]), parsed(value)),
    )
    .map(([name]) => otherType(live, expected, name) ?? `${name} differs`);
  const byName = (references: readonly Reference[]) =>
    [...references]
      .map(({ name, type, id }) => ({ name, type, id }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (!isDeepStrictEqual(byName(live.references ?? []), byName(expected.references)))
    found.push('references differ');
  return found;
}

/** Where a visualization is of another type, as after an update of taxiflow. */
function otherType(live: LiveObject, expected: SavedObject, name: string): string | undefined {
  if (name !== 'visState') return undefined;
  const typeOf = (text: unknown) => (parsed(text) as { type?: unknown } | undefined)?.type;
  const [found, type] = [typeOf(live.attributes[name]), typeOf(expected.attributes[name])];
  return typeof found === 'string' && found !== type ? `its type is ${found}, not ${type}` : undefined;
}

/** JSON in strings, wherever it is, as what it says; the order of its keys doesn't matter. */
export function parsed(value: unknown): unknown {
  if (typeof value === 'string' && /^[[{]/.test(value)) {
    try {
      return parsed(JSON.parse(value));
    } catch {
      return value;
    }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, parsed(inner)]));
}
