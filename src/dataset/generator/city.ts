/** A model of the city: hot spots, destinations by hour, airports, zones, streets and traffic. */
import { ZONE_CENTROIDS } from '../zone-centroids.ts';
import { hourOfWeek } from './calendar.ts';
import type { Random } from './random.ts';

export type Fleet = 'yellow' | 'green';

/** Where a trip begins or ends; reused for every draw. */
export interface Place {
  kind: 'street' | 'jfk' | 'lga' | 'newark' | 'outside';
  manhattan: boolean;
  lat: number;
  lon: number;
}

const KM_TO_LAT = 1 / 111.2;
/** At 40.75° north; one constant for the whole city avoids a cosine. */
const KM_TO_LON = 1 / 84.24;
const MILES_PER_KM = 0.621371;
/** Manhattan's avenues run 29° east of north; these are that angle's cosine and sine. */
const AVENUE_NORTH = 0.8746;
const AVENUE_EAST = 0.4848;

// How strongly a place attracts people as home, workplace and place to go out.
type Pull = readonly [home: number, work: number, play: number];

interface Spot {
  readonly lat: number;
  readonly lon: number;
  /** Standard deviation in km along the avenues and across them. */
  readonly along: number;
  readonly across: number;
  readonly pull: Pull;
  /** Hail area: yellow taxis own the core; green ones may pick up only outside of it. */
  readonly core: boolean;
  readonly manhattan: boolean;
}

type SpotRow = readonly [lat: number, lon: number, along: number, across: number, pull: Pull];

const CORE: readonly SpotRow[] = [
  [40.7527, -73.9772, 0.6, 0.35, [4, 12, 4]], // Grand Central
  [40.758, -73.9855, 0.5, 0.3, [2, 8, 12]], // Times Square
  [40.7506, -73.9935, 0.35, 0.25, [5, 7, 5]], // Penn Station
  [40.7614, -73.9776, 0.45, 0.35, [2, 10, 6]], // Rockefeller Center
  [40.7681, -73.9819, 0.35, 0.3, [3, 4, 4]], // Columbus Circle
  [40.76, -73.9935, 0.6, 0.3, [4, 3, 6]], // Hell's Kitchen, Port Authority
  [40.7465, -73.979, 0.5, 0.35, [6, 4, 3]], // Murray Hill
  [40.7395, -73.988, 0.45, 0.4, [5, 7, 6]], // Flatiron, Gramercy
  [40.7352, -73.9905, 0.3, 0.25, [4, 5, 7]], // Union Square
  [40.745, -74.0005, 0.5, 0.35, [5, 4, 6]], // Chelsea
  [40.737, -74.004, 0.45, 0.3, [5, 3, 9]], // West Village, Meatpacking
  [40.727, -73.9845, 0.45, 0.4, [5, 1.5, 9]], // East Village
  [40.72, -73.988, 0.4, 0.35, [4, 1, 7]], // Lower East Side
  [40.725, -73.9985, 0.4, 0.35, [4, 4, 6]], // SoHo, NoHo
  [40.7185, -74.0085, 0.4, 0.25, [3, 3, 2.5]], // Tribeca
  [40.708, -74.0095, 0.4, 0.3, [3, 8, 1.5]], // Financial District
  [40.768, -73.961, 0.6, 0.35, [9, 4, 3]], // Upper East Side, Lenox Hill
  [40.777, -73.954, 0.6, 0.35, [9, 2, 2.5]], // Yorkville
  [40.7805, -73.9595, 0.6, 0.2, [4, 3, 2]], // Museum Mile
  [40.775, -73.983, 0.5, 0.3, [7, 3, 4]], // Lincoln Square
  [40.787, -73.9745, 0.7, 0.3, [8, 1.5, 2.5]], // Upper West Side
];
const UPPER_MANHATTAN: readonly SpotRow[] = [
  [40.806, -73.963, 0.5, 0.25, [3, 1.5, 1]], // Columbia
  [40.811, -73.9465, 0.6, 0.5, [3, 0.8, 0.8]], // Harlem
  [40.799, -73.939, 0.5, 0.35, [2.5, 0.8, 0.5]], // East Harlem
  [40.841, -73.938, 1, 0.35, [1.5, 0.6, 0.3]], // Washington Heights
];
const OTHER_BOROUGHS: readonly SpotRow[] = [
  [40.7145, -73.958, 0.6, 0.4, [3, 0.8, 4.5]], // Williamsburg
  [40.729, -73.9535, 0.4, 0.3, [1.5, 0.4, 1]], // Greenpoint
  [40.692, -73.987, 0.4, 0.4, [2, 2, 0.8]], // Downtown Brooklyn
  [40.672, -73.979, 0.6, 0.5, [2, 0.5, 1]], // Park Slope
  [40.687, -73.974, 0.4, 0.4, [1.2, 0.4, 0.7]], // Fort Greene
  [40.7, -73.925, 0.7, 0.5, [1, 0.2, 1]], // Bushwick
  [40.671, -73.944, 0.7, 0.6, [0.8, 0.2, 0.3]], // Crown Heights
  [40.746, -73.948, 0.4, 0.4, [1.5, 1.3, 0.7]], // Long Island City
  [40.764, -73.923, 0.6, 0.5, [2, 0.5, 0.9]], // Astoria
  [40.749, -73.886, 0.4, 0.5, [1, 0.3, 0.5]], // Jackson Heights
  [40.72, -73.845, 0.5, 0.5, [0.8, 0.3, 0.2]], // Forest Hills
  [40.759, -73.83, 0.4, 0.4, [0.5, 0.3, 0.2]], // Flushing
  [40.818, -73.918, 0.6, 0.6, [0.8, 0.3, 0.1]], // South Bronx
];

const spotsOf = (rows: readonly SpotRow[], core: boolean, manhattan: boolean): Spot[] =>
  rows.map(([lat, lon, along, across, pull]) => ({ lat, lon, along, across, pull, core, manhattan }));
const SPOTS: readonly Spot[] = [
  ...spotsOf(CORE, true, true),
  ...spotsOf(UPPER_MANHATTAN, false, true),
  ...spotsOf(OTHER_BOROUGHS, false, false),
];

/** Yellow taxis seldom wait outside of the core. */
const YELLOW_OUTSIDE_CORE = 0.35;
/** Passengers of green taxis mostly stay in the neighbourhood. */
const GREEN_TO_CORE = 0.3;

// Where trips begin and end: the shares of homes, workplaces and places to go out.
interface Period {
  readonly from: Pull;
  readonly to: Pull;
}
const NIGHT: Period = { from: [0.2, 0.1, 0.7], to: [0.8, 0.05, 0.15] };
const MORNING: Period = { from: [0.75, 0.15, 0.1], to: [0.1, 0.8, 0.1] };
const WORKING: Period = { from: [0.3, 0.45, 0.25], to: [0.3, 0.4, 0.3] };
const EVENING: Period = { from: [0.2, 0.6, 0.2], to: [0.5, 0.1, 0.4] };
const NIGHTLIFE: Period = { from: [0.25, 0.15, 0.6], to: [0.5, 0.03, 0.47] };
const WEEKEND: Period = { from: [0.4, 0.15, 0.45], to: [0.4, 0.12, 0.48] };
const AIRPORT: Period = { from: [0.45, 0.4, 0.15], to: [0.45, 0.4, 0.15] };
const PERIODS = [NIGHT, MORNING, WORKING, EVENING, NIGHTLIFE, WEEKEND, AIRPORT] as const;
const AIRPORT_PERIOD = PERIODS.indexOf(AIRPORT);

function periodAt(week: number): Period {
  const day = Math.floor(week / 24);
  const hour = week % 24;
  const weekend = day === 0 || day === 6;
  if (hour >= 21) return NIGHTLIFE;
  if (hour < 5) return weekend && hour < 3 ? NIGHTLIFE : NIGHT;
  if (weekend) return WEEKEND;
  if (hour < 10) return MORNING;
  return hour < 16 ? WORKING : EVENING;
}

/** Index into PERIODS by hour of week. */
const PERIOD_OF_HOUR = Uint8Array.from({ length: 168 }, (_, week) => PERIODS.indexOf(periodAt(week)));

// Shares of trips to and from an airport, by hour of day.
// biome-ignore format: twelve hours a line
const TO_AIRPORT = [
  0.018, 0.018, 0.03, 0.07, 0.14, 0.15, 0.1, 0.07, 0.056, 0.055, 0.055, 0.06,
  0.06, 0.065, 0.07, 0.075, 0.07, 0.058, 0.045, 0.038, 0.03, 0.022, 0.018, 0.017,
];
// biome-ignore format: twelve hours a line
const FROM_AIRPORT = [
  0.06, 0.035, 0.01, 0.01, 0.02, 0.03, 0.04, 0.04, 0.04, 0.045, 0.05, 0.05,
  0.05, 0.055, 0.06, 0.065, 0.07, 0.065, 0.06, 0.055, 0.055, 0.06, 0.065, 0.07,
];
const JFK_SHARE = 0.42;
const TO_NEWARK = 0.0015;
const TO_OUTSIDE = 0.003;

/** Terminals and their curbs, well inside the areas that the default views call JFK and LGA. */
const JFK = { south: 40.6395, north: 40.6495, west: -73.7925, east: -73.7725 };
const LGA = { south: 40.7678, north: 40.7765, west: -73.8775, east: -73.8615 };
const NEWARK = { south: 40.687, north: 40.6955, west: -74.183, east: -74.176 };
/** In Westchester, Nassau and New Jersey, just beyond the TLC's zones. */
const OUTSIDE = [
  { south: 40.92, north: 40.95, west: -73.88, east: -73.82 },
  { south: 40.71, north: 40.75, west: -73.65, east: -73.58 },
  { south: 40.885, north: 40.9, west: -74.03, east: -73.99 },
];
type Area = typeof JFK;

// Traffic by hour of day, 0 empty streets … 1 rush hour.
// biome-ignore format: twelve hours a line
const WORKDAY_TRAFFIC = [
  0.12, 0.06, 0.02, 0, 0, 0.05, 0.3, 0.7, 0.95, 0.92, 0.8, 0.78,
  0.78, 0.78, 0.85, 0.92, 1, 1, 0.92, 0.7, 0.5, 0.42, 0.35, 0.25,
];
// biome-ignore format: twelve hours a line
const WEEKEND_TRAFFIC = [
  0.3, 0.28, 0.22, 0.12, 0.05, 0, 0, 0.05, 0.15, 0.28, 0.42, 0.52,
  0.58, 0.6, 0.6, 0.6, 0.58, 0.58, 0.58, 0.52, 0.42, 0.4, 0.4, 0.38,
];
/** Miles on local streets before and after a highway. */
const LOCAL_MILES = 3;

/** Draws where trips begin and end, for one fleet. */
export class City {
  private readonly random: Random;
  private readonly fleet: Fleet;
  private readonly origins: readonly Float64Array[];
  /** By period and origin: PERIODS.length × SPOTS.length tables. */
  private readonly destinations: readonly Float64Array[];

  constructor(fleet: Fleet, random: Random) {
    this.fleet = fleet;
    this.random = random;
    this.origins = PERIODS.map(({ from }) => cumulated(SPOTS.map((spot) => hailed(spot, from, fleet))));
    this.destinations = PERIODS.flatMap(({ to }) =>
      SPOTS.map((origin) =>
        cumulated(SPOTS.map((spot) => headedFor(spot, to, fleet) * nearness(origin, spot))),
      ),
    );
  }

  /** Writes both ends of a trip that begins at `time`. */
  drawEnds(time: number, from: Place, to: Place): void {
    const week = hourOfWeek(time);
    const hour = week % 24;
    const draw = this.random.next();
    const toAirport = TO_AIRPORT[hour]!;
    if (draw < toAirport) {
      this.drawToAirport(from, to);
    } else if (draw < toAirport + TO_NEWARK) {
      this.drawOutward(from, to, 'newark', NEWARK);
    } else if (draw < toAirport + TO_NEWARK + TO_OUTSIDE) {
      this.drawOutward(from, to, 'outside', OUTSIDE[this.random.below(OUTSIDE.length)]!);
    } else if (this.fleet === 'yellow' && draw > 1 - FROM_AIRPORT[hour]!) {
      this.drawFromAirport(from, to);
    } else {
      this.drawAcrossTown(PERIOD_OF_HOUR[week]!, from, to);
    }
  }

  private drawToAirport(from: Place, to: Place): void {
    this.drawSpot(this.origins[AIRPORT_PERIOD]!, from);
    this.drawAirport(to);
  }

  private drawOutward(from: Place, to: Place, kind: Place['kind'], area: Area): void {
    this.drawSpot(this.origins[AIRPORT_PERIOD]!, from);
    this.drawIn(area, kind, to);
  }

  private drawFromAirport(from: Place, to: Place): void {
    this.drawAirport(from);
    this.drawSpot(this.origins[AIRPORT_PERIOD]!, to);
  }

  private drawAcrossTown(period: number, from: Place, to: Place): void {
    const origin = this.drawSpot(this.origins[period]!, from);
    const destinations = this.destinations[period * SPOTS.length + origin]!;
    this.drawSpot(destinations, to);
    // Nobody takes a taxi to the next corner.
    for (let tries = 0; tries < 8 && streetMiles(from, to) < 0.3; tries++) this.drawSpot(destinations, to);
  }

  private drawAirport(place: Place): void {
    if (this.random.next() < JFK_SHARE) this.drawIn(JFK, 'jfk', place);
    else this.drawIn(LGA, 'lga', place);
  }

  private drawIn(area: Area, kind: Place['kind'], place: Place): void {
    place.kind = kind;
    place.manhattan = false;
    place.lat = micro(area.south + this.random.next() * (area.north - area.south));
    place.lon = micro(area.west + this.random.next() * (area.east - area.west));
  }

  private drawSpot(weights: Float64Array, place: Place): number {
    const at = this.random.next() * weights[weights.length - 1]!;
    let index = 0;
    while (weights[index]! <= at) index++;
    const spot = SPOTS[index]!;
    const along = spot.along * this.random.normal();
    const across = spot.across * this.random.normal();
    place.kind = 'street';
    place.manhattan = spot.manhattan;
    place.lat = micro(spot.lat + (along * AVENUE_NORTH - across * AVENUE_EAST) * KM_TO_LAT);
    place.lon = micro(spot.lon + (along * AVENUE_EAST + across * AVENUE_NORTH) * KM_TO_LON);
    return index;
  }
}

/** Miles along streets in the direction of Manhattan's grid: 1 to 1.41 times the direct distance. */
export function streetMiles(from: Place, to: Place): number {
  const north = (to.lat - from.lat) / KM_TO_LAT;
  const east = (to.lon - from.lon) / KM_TO_LON;
  const along = north * AVENUE_NORTH + east * AVENUE_EAST;
  const across = east * AVENUE_NORTH - north * AVENUE_EAST;
  return (Math.abs(along) + Math.abs(across)) * MILES_PER_KM;
}

/** Average minutes of a trip of `miles` that begins at `time`. */
export function drivingMinutes(miles: number, time: number): number {
  const week = hourOfWeek(time);
  const weekend = week < 24 || week >= 144;
  const traffic = (weekend ? WEEKEND_TRAFFIC : WORKDAY_TRAFFIC)[week % 24]!;
  const local = Math.min(miles, LOCAL_MILES);
  // Local streets: 15 mph at night, 9 in the rush; highways: 38 and 20.
  return 1.2 + local * (4 + 2.7 * traffic) + (miles - local) * (1.58 + 1.42 * traffic);
}

export const ZONE = { newark: 1, jfk: 132, lga: 138, unknown: 264, outside: 265 } as const;
const ZONE_NUMBERS = Uint16Array.from(ZONE_CENTROIDS.keys());
const ZONE_LATS = Float64Array.from(ZONE_CENTROIDS.values(), ([lat]) => lat);
const ZONE_LONS = Float64Array.from(ZONE_CENTROIDS.values(), ([, lon]) => lon);

/** The TLC zone (LocationID) of a place: for streets the zone with the nearest centroid. */
export function zoneOf(place: Place): number {
  if (place.kind !== 'street') return ZONE[place.kind];
  let nearest = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ZONE_NUMBERS.length; i++) {
    const north = ZONE_LATS[i]! - place.lat;
    const east = (ZONE_LONS[i]! - place.lon) * (KM_TO_LAT / KM_TO_LON);
    const square = north * north + east * east;
    if (square < least) {
      least = square;
      nearest = i;
    }
  }
  return ZONE_NUMBERS[nearest]!;
}

function hailed(spot: Spot, from: Pull, fleet: Fleet): number {
  if (fleet === 'green') return spot.core ? 0 : wanted(spot, from);
  return wanted(spot, from) * (spot.core ? 1 : YELLOW_OUTSIDE_CORE);
}

function headedFor(spot: Spot, to: Pull, fleet: Fleet): number {
  return wanted(spot, to) * (fleet === 'green' && spot.core ? GREEN_TO_CORE : 1);
}

function wanted({ pull }: Spot, mix: Pull): number {
  return pull[0] * mix[0] + pull[1] * mix[1] + pull[2] * mix[2];
}

/** A weight that prefers near destinations; it halves at 1.8 km. */
function nearness(from: Spot, to: Spot): number {
  const north = (to.lat - from.lat) / KM_TO_LAT;
  const east = (to.lon - from.lon) / KM_TO_LON;
  return 1 / (1 + (north * north + east * east) / (1.8 * 1.8));
}

function cumulated(weights: readonly number[]): Float64Array {
  let sum = 0;
  return Float64Array.from(weights, (weight) => {
    sum += weight;
    return sum;
  });
}

/** Six decimals, as the devices in taxis report. */
function micro(degrees: number): number {
  return Math.round(degrees * 1e6) / 1e6;
}
