/**
 * What Dashboards keeps for us: an index pattern for each view and, where the views of the reference are among them,
 * the map of pick-ups, the lines of minutes to the airports and the dashboard of both. Plain data, nothing is sent.
 */
import { isDeepStrictEqual } from 'node:util';
import type { View } from '../views/language.ts';
import { indexName, mappingOf } from './templates.ts';

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

/** The times a dashboard shows, ISO 8601 or as Dashboards writes them (`now`). */
export interface TimeRange {
  readonly from: string;
  readonly to: string;
}

/** From the first month of the TLC's data on; nothing is hidden, but a single day is a thin line in it. */
export const ALL_TIMES: TimeRange = { from: '2009-01-01T00:00:00.000Z', to: 'now' };

/** Newer ones than these are refused by Dashboards 2, and with them the whole file. */
const MIGRATED = {
  'index-pattern': { 'index-pattern': '7.6.0' },
  visualization: { visualization: '7.10.0' },
  dashboard: { dashboard: '7.9.3' },
} as const;

const INDEX_REFERENCE = 'kibanaSavedObjectMeta.searchSourceJSON.index';
const REFRESH_MS = 10_000;
/** The city, and how near: [latitude, longitude] and the zoom of a map with 256-pixel tiles. */
const MAP_VIEW = { mapZoom: 11, mapCenter: [40.73, -73.94] };

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

function visualization(prefix: string, name: string, title: string, view: string, vis: Vis): SavedObject {
  const { uiState, ...state } = vis;
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
          query: { query: '', language: 'kuery' },
          filter: [],
          indexRefName: INDEX_REFERENCE,
        }),
      },
    },
    references: [{ name: INDEX_REFERENCE, type: 'index-pattern', id: patternId(prefix, view) }],
    migrationVersion: MIGRATED.visualization,
  };
}

interface Vis {
  readonly type: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly aggs: readonly Readonly<Record<string, unknown>>[];
  readonly uiState: Readonly<Record<string, unknown>>;
}

/** Geohash cells, the redder the more pick-ups. */
function pickupMap(prefix: string): SavedObject {
  return visualization(prefix, 'pickup-map', 'Taxi pick-ups', 'pickup_count', {
    type: 'tile_map',
    params: {
      colorSchema: 'Yellow to Red',
      mapType: 'Shaded Geohash Grid',
      isDesaturated: true,
      addTooltip: true,
      heatClusterSize: 1.5,
      legendPosition: 'bottomright',
      ...MAP_VIEW,
      wms: { enabled: false, options: { format: 'image/png', transparent: true } },
    },
    aggs: [
      agg('1', 'sum', 'metric', { field: 'pickup_count', customLabel: 'Pick-ups' }),
      agg('2', 'geohash_grid', 'segment', {
        field: 'location',
        // Precision by zoom and cells by what is in sight show an empty map now and then.
        autoPrecision: false,
        precision: 6,
        isFilteredByCollar: false,
        useGeocentroid: true,
      }),
    ],
    uiState: MAP_VIEW,
  });
}

/** A line for each airport. */
function airportLines(prefix: string): SavedObject {
  const label = 'Average minutes';
  return visualization(prefix, 'airport-minutes', 'Minutes to the airports', 'trip_duration', {
    type: 'line',
    params: {
      type: 'line',
      grid: { categoryLines: false },
      categoryAxes: [
        {
          ...{ id: 'CategoryAxis-1', type: 'category', position: 'bottom', show: true, style: {} },
          ...{ scale: { type: 'linear' }, labels: { show: true, filter: true, truncate: 100 }, title: {} },
        },
      ],
      valueAxes: [
        {
          ...{
            id: 'ValueAxis-1',
            name: 'LeftAxis-1',
            type: 'value',
            position: 'left',
            show: true,
            style: {},
          },
          scale: { type: 'linear', mode: 'normal' },
          labels: { show: true, rotate: 0, filter: false, truncate: 100 },
          title: { text: label },
        },
      ],
      seriesParams: [
        {
          ...{ show: true, type: 'line', mode: 'normal', data: { label, id: '1' }, valueAxis: 'ValueAxis-1' },
          ...{ drawLinesBetweenPoints: true, lineWidth: 2, interpolate: 'linear', showCircles: true },
        },
      ],
      addTooltip: true,
      addLegend: true,
      legendPosition: 'right',
      times: [],
      addTimeMarker: false,
      labels: {},
      thresholdLine: { show: false, value: 10, width: 1, style: 'full', color: '#E7664C' },
    },
    aggs: [
      agg('1', 'avg', 'metric', { field: 'avg_trip_duration', customLabel: label }),
      agg('2', 'date_histogram', 'segment', {
        field: 'timestamp',
        interval: 'auto',
        drop_partials: false,
        min_doc_count: 1,
        extended_bounds: {},
      }),
      agg('3', 'terms', 'group', {
        field: 'airport_code',
        orderBy: '_key',
        order: 'asc',
        size: 5,
        otherBucket: false,
        otherBucketLabel: 'Other',
        missingBucket: false,
        missingBucketLabel: 'Missing',
      }),
    ],
    uiState: {},
  });
}

function agg(id: string, type: string, schema: string, params: Readonly<Record<string, unknown>>) {
  return { id, enabled: true, type, schema, params };
}

/** Panels side by side, from the left. */
function dashboard(prefix: string, shown: readonly SavedObject[], range: TimeRange): SavedObject {
  const width = 48 / shown.length;
  const panels = shown.map((object, i) => ({
    version: '7.9.3',
    gridData: { x: i * width, y: 0, w: width, h: 28, i: String(i + 1) },
    panelIndex: String(i + 1),
    // A map looks here first for what it shows.
    embeddableConfig: JSON.parse(String(object.attributes['uiStateJSON'])) as unknown,
    panelRefName: `panel_${i}`,
  }));
  return {
    type: 'dashboard',
    id: `${prefix}Taxi-Trips-Dashboard`,
    attributes: {
      title: `${prefix}Taxi-Trips-Dashboard`,
      hits: 0,
      description: 'Where taxis are taken, and how long they take to JFK and LGA',
      panelsJSON: JSON.stringify(panels),
      optionsJSON: JSON.stringify({ useMargins: true, hidePanelTitles: false }),
      version: 1,
      // Trips are years old; the last 15 minutes, which Dashboards shows otherwise, are empty.
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

/** What Dashboards has of an object. */
export interface LiveObject {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly references?: readonly Reference[];
}

/** The times are fitted to the data, not compared: they move with it. */
const MOVING = new Set(['timeFrom', 'timeTo']);

/** Which attributes differ from ours; those that Dashboards adds by itself are its own affair. */
export function objectDifferences(live: LiveObject, expected: SavedObject): string[] {
  const found = Object.entries(expected.attributes)
    .filter(
      ([name, value]) =>
        !MOVING.has(name) && !isDeepStrictEqual(parsed(live.attributes[name]), parsed(value)),
    )
    .map(([name]) => `${name} differs`);
  const byName = (references: readonly Reference[]) =>
    [...references]
      .map(({ name, type, id }) => ({ name, type, id }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (!isDeepStrictEqual(byName(live.references ?? []), byName(expected.references)))
    found.push('references differ');
  return found;
}

/** JSON in strings, wherever it is, as what it says; the order of its keys doesn't matter. */
function parsed(value: unknown): unknown {
  if (typeof value === 'string' && /^[[{]/.test(value)) {
    try {
      return JSON.parse(value);
    } catch {
      return value;
    }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, parsed(inner)]));
}
