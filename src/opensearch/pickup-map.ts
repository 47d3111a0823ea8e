/**
 * The map of pick-ups in Dashboards, as a Vega specification. A `tile_map` is now and then empty when it is opened,
 * since it draws nothing while its own module still loads; the map view of Vega waits for what it needs. The outlines
 * are in the specification, so that no server is asked for tiles.
 */
import { readFileSync } from 'node:fs';
import { indexName } from './templates.ts';

/** Characters of a geohash, as the view of pick-ups has them: 15 bits of each coordinate. */
const PRECISION = 6;
const STEPS = 2 ** 15;
/** A centroid comes back with a rounding error, which may put it just outside the edge of its box. */
const ROUNDING = 0.001;
/** The server's default limit of buckets is larger; the city has about 2,000 boxes. */
const MOST_BOXES = 10_000;

/** Names on the map, where they hide few boxes. */
const NAMES = [
  { name: 'Manhattan', lon: -73.9465, lat: 40.8135 },
  { name: 'Brooklyn', lon: -73.951, lat: 40.645 },
  { name: 'Queens', lon: -73.81, lat: 40.727 },
  { name: 'Bronx', lon: -73.87, lat: 40.855 },
  { name: 'Staten Island', lon: -74.15, lat: 40.58 },
  { name: 'New Jersey', lon: -74.09, lat: 40.78 },
  { name: 'JFK', lon: -73.786, lat: 40.634 },
  { name: 'LGA', lon: -73.872, lat: 40.784 },
  { name: 'EWR', lon: -74.174, lat: 40.683 },
];

const WATER = '#dde3ea';
const LAND = { city: '#fafbfd', around: '#eef0f3', border: '#b8bec8' };
const TEXT = '#343741';

/** The specification as text, a line for each part, for the editor of Dashboards. `prefix` is that of the indices. */
export function pickupMapSpec(prefix: string): string {
  const spec = {
    $schema: 'https://vega.github.io/schema/vega/v5.json',
    config: {
      // OpenSearch Dashboards reads the name of Kibana too.
      kibana: {
        type: 'map',
        ...{ latitude: 40.73, longitude: -73.94, zoom: 11, minZoom: 8, maxZoom: 16 },
        mapStyle: false,
        // A page of several panels scrolls.
        scrollWheelZoom: false,
      },
    },
    data: [land(), names(), boxes(indexName(prefix, 'pickup_count')), most()],
    scales: [
      {
        name: 'heat',
        type: 'sqrt',
        domain: { signal: "[0, (data('most')[0] || {most: 1}).most || 1]" },
        range: { scheme: 'yelloworangered' },
      },
    ],
    legends: [
      {
        ...{ fill: 'heat', title: 'Pick-ups', format: ',d', tickCount: 4, orient: 'bottom-right' },
        ...{ gradientLength: 120, fillColor: 'white', padding: 8, cornerRadius: 4 },
      },
    ],
    marks: [water(), drawnLand(), drawnBoxes(), drawnNames({ stroke: 'white' }), drawnNames({ fill: TEXT })],
  };
  return readable(spec);
}

type Ring = readonly (readonly [lon: number, lat: number])[];

interface Land {
  readonly type: 'Feature';
  readonly properties: { readonly name: string };
  readonly geometry: { readonly type: 'MultiPolygon'; readonly coordinates: readonly (readonly Ring[])[] };
}

/** The boroughs over the counties around them. */
function land() {
  const text = readFileSync(new URL('land.json', import.meta.url), 'utf8');
  const { features } = JSON.parse(text) as { features: readonly Land[] };
  const values = features.map(({ geometry, ...feature }) => ({
    ...feature,
    geometry: { ...geometry, coordinates: geometry.coordinates.map((rings) => rings.map(clockwise)) },
  }));
  return { name: 'land', values };
}

/** Vega draws on a globe, where a ring the other way round holds the rest of the world. */
function clockwise(ring: Ring): Ring {
  let twiceArea = 0;
  for (let i = 1; i < ring.length; i++) {
    const [[x0, y0], [x1, y1]] = [ring[i - 1]!, ring[i]!];
    twiceArea += x0 * y1 - x1 * y0;
  }
  return twiceArea > 0 ? ring.toReversed() : ring;
}

function names() {
  const fields = ['lon', 'lat'];
  return {
    name: 'names',
    values: NAMES,
    transform: [{ type: 'geopoint', projection: 'projection', fields, as: ['x', 'y'] }],
  };
}

/**
 * Pick-ups by geohash box, in the time range and with the filters of the dashboard. The edges of a box are those around
 * the centroid of its results. To decode the box's name instead, an expression would look up characters by a computed
 * index, which newer Dashboards refuse.
 */
function boxes(index: string) {
  const edge = (coordinate: 'lon' | 'lat', range: 180 | 90) =>
    `floor((datum.at.location.${coordinate} + ${range}) * ${STEPS} / ${2 * range} + ${ROUNDING}) * ${2 * range} / ${STEPS} - ${range}`;
  const formula = (as: string, expr: string) => ({ type: 'formula', as, expr });
  const corner = (fields: string[], as: string[]) => ({
    type: 'geopoint',
    projection: 'projection',
    fields,
    as,
  });
  return {
    name: 'boxes',
    url: {
      '%context%': true,
      '%timefield%': 'timestamp',
      index,
      body: {
        size: 0,
        aggs: {
          boxes: {
            geohash_grid: { field: 'location', precision: PRECISION, size: MOST_BOXES },
            aggs: {
              pickups: { sum: { field: 'pickup_count' } },
              at: { geo_centroid: { field: 'location' } },
            },
          },
        },
      },
    },
    format: { property: 'aggregations.boxes.buckets' },
    transform: [
      formula('pickups', 'datum.pickups.value'),
      formula('west', edge('lon', 180)),
      formula('south', edge('lat', 90)),
      formula('east', `datum.west + 360 / ${STEPS}`),
      formula('north', `datum.south + 180 / ${STEPS}`),
      corner(['west', 'north'], ['x', 'y']),
      corner(['east', 'south'], ['x2', 'y2']),
    ],
  };
}

/** The most pick-ups of a box, which the colours go up to. */
function most() {
  return {
    name: 'most',
    source: 'boxes',
    transform: [{ type: 'aggregate', ops: ['max'], fields: ['pickups'], as: ['most'] }],
  };
}

function water() {
  return {
    type: 'rect',
    interactive: false,
    encode: {
      update: {
        ...{ x: { value: 0 }, y: { value: 0 }, width: { signal: 'width' }, height: { signal: 'height' } },
        fill: { value: WATER },
      },
    },
  };
}

function drawnLand() {
  const around = "datum.properties.name === 'around'";
  return {
    type: 'shape',
    from: { data: 'land' },
    interactive: false,
    encode: {
      update: {
        fill: [{ test: around, value: LAND.around }, { value: LAND.city }],
        stroke: { value: LAND.border },
      },
    },
    transform: [{ type: 'geoshape', projection: 'projection' }],
  };
}

function drawnBoxes() {
  const field = (name: string) => ({ field: name });
  return {
    type: 'rect',
    from: { data: 'boxes' },
    encode: {
      update: {
        ...{ x: field('x'), y: field('y'), x2: field('x2'), y2: field('y2') },
        fill: { scale: 'heat', field: 'pickups' },
        fillOpacity: { value: 0.85 },
        stroke: { value: 'white' },
        strokeWidth: { value: 0.4 },
        tooltip: { signal: "{title: datum.key, 'Pick-ups': format(datum.pickups, ',d')}" },
      },
      hover: { fillOpacity: { value: 1 } },
    },
  };
}

/** Drawn twice: a light edge, and the letters over it. */
function drawnNames({ stroke, fill }: { stroke?: string; fill?: string }) {
  const value = (one: string | number) => ({ value: one });
  return {
    type: 'text',
    from: { data: 'names' },
    interactive: false,
    encode: {
      update: {
        ...{ x: { field: 'x' }, y: { field: 'y' }, text: { field: 'name' }, fontSize: value(12) },
        ...{ align: value('center'), baseline: value('middle') },
        ...(stroke === undefined
          ? {}
          : { stroke: value(stroke), strokeWidth: value(3), strokeOpacity: value(0.8) }),
        ...(stroke === undefined ? {} : { strokeJoin: value('round') }),
        ...(fill === undefined ? {} : { fill: value(fill) }),
      },
    },
  };
}

const LINE_WIDTH = 110;

/** JSON with short values and rings of coordinates on a line each. */
function readable(value: unknown, indent = ''): string {
  const line = JSON.stringify(value);
  const isRing = Array.isArray(value) && Array.isArray(value[0]) && typeof value[0][0] === 'number';
  if (line.length <= LINE_WIDTH || isRing || typeof value !== 'object' || value === null) return line;
  const inner = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((one) => readable(one, inner))
    : Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${readable(one, inner)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  return `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}`;
}
