/** The names on the map: where they stand, and from which zoom on there is room for them. */

export interface Name {
  readonly text: string;
  readonly kind: 'borough' | 'around' | 'airport' | 'area' | 'water';
  /** Degrees. */
  readonly lon: number;
  readonly lat: number;
  /** The part of the text that stands there; that of an airport ends above its cells. */
  readonly anchor: 'center' | 'bottom';
  /** Degrees that the text is turned, clockwise. */
  readonly rotation: number;
  /** Zoom levels of the map from which on it is shown. */
  readonly minZoom: number;
}

/** Manhattan's avenues run like this, and the Hudson with them: text along them reads upwards. */
const ALONG_AVENUES = -62;

type Row = readonly [text: string, lon: number, lat: number, minZoom: number, rotation?: number];

/** Manhattan's stands in Harlem, north of the busy cells, and along the island, which is too narrow for it otherwise. */
const BOROUGHS: readonly Row[] = [
  ['Manhattan', -73.95, 40.822, 9.3, ALONG_AVENUES],
  ['Brooklyn', -73.942, 40.658, 9.2],
  ['Queens', -73.82, 40.719, 9.2],
  ['The Bronx', -73.878, 40.829, 9.4],
  ['Staten Island', -74.15, 40.583, 9.6],
];

const AROUND: readonly Row[] = [
  ['New Jersey', -74.048, 40.786, 9.4],
  ['New Jersey', -74.45, 40.65, 8],
  ['Westchester', -73.82, 40.955, 9.4],
  ['Nassau', -73.64, 40.74, 9.4],
  ['Long Island', -73.42, 40.82, 8],
];

/** Above the cells that the airport's trips begin and end in. */
const AIRPORTS: readonly Row[] = [
  ['JFK', -73.784, 40.6555, 8.6],
  ['LGA', -73.871, 40.7815, 9.2],
  ['EWR', -74.176, 40.7065, 8.6],
];

const AREAS: readonly Row[] = [
  ['Washington Heights', -73.9395, 40.843, 13],
  ['Riverdale', -73.908, 40.894, 11.7],
  ['Fordham', -73.896, 40.859, 11.7],
  ['Co-op City', -73.83, 40.872, 11.7],
  ['Hunts Point', -73.884, 40.813, 11.7],
  ['Astoria', -73.924, 40.766, 11.7],
  ['Jackson Heights', -73.885, 40.752, 11.7],
  ['Flushing', -73.825, 40.763, 11.7],
  ['Bayside', -73.771, 40.765, 11.7],
  ['Forest Hills', -73.847, 40.721, 11.7],
  ['Jamaica', -73.793, 40.7, 11.7],
  ['Howard Beach', -73.845, 40.66, 12.5],
  ['Rockaway Beach', -73.815, 40.587, 12.5],
  ['Williamsburg', -73.954, 40.713, 11.7],
  ['Bushwick', -73.917, 40.696, 11.7],
  ['East New York', -73.883, 40.666, 11.7],
  ['Park Slope', -73.979, 40.671, 11.7],
  ['Bay Ridge', -74.028, 40.628, 11.7],
  ['Flatbush', -73.96, 40.638, 11.7],
  ['Canarsie', -73.9, 40.64, 11.7],
  ['Coney Island', -73.985, 40.577, 11.7],
  ['St. George', -74.083, 40.637, 11.7],
  ['Newark', -74.172, 40.735, 11],
  ['Jersey City', -74.062, 40.7275, 11],
];

const WATER: readonly Row[] = [
  ['Hudson River', -73.9885, 40.795, 10.6, ALONG_AVENUES],
  ['Upper Bay', -74.043, 40.668, 10.5],
  ['Lower Bay', -74.04, 40.545, 10],
  ['Atlantic Ocean', -73.85, 40.53, 10],
];

function names(kind: Name['kind'], rows: readonly Row[]): Name[] {
  const anchor = kind === 'airport' ? 'bottom' : 'center';
  return rows.map(([text, lon, lat, minZoom, rotation = 0]) => {
    return { text, kind, lon, lat, anchor, rotation, minZoom };
  });
}

export const NAMES: readonly Name[] = [
  ...names('water', WATER),
  ...names('area', AREAS),
  ...names('around', AROUND),
  ...names('borough', BOROUGHS),
  ...names('airport', AIRPORTS),
];
