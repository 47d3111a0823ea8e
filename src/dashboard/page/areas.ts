/** All areas seen in results, geohash cells and taxi zones, numbered in order of appearance, with names and outlines. */
import { cellBounds, cellText } from '../../views/geohash.ts';
import { nearest, type Place } from './places.ts';
import { type Position, type Zone, zoneName, zonesOfCell } from './zones.ts';

export interface Area {
  /** Counted from 0. */
  readonly index: number;
  /** The geohash, or the number of the zone. */
  readonly code: string;
  readonly name: string;
  readonly borough: string;
  /** Coordinates of a MultiPolygon; empty without a place on the map. */
  readonly polygons: readonly Position[][][];
  /** Whether it is a cell of a grid, which is drawn with a gap to the next. */
  readonly isCell: boolean;
  /** The geohash as a number. */
  readonly cell?: number;
}

/** Without a cell of other places than the centres of zones among so many, trips name zones only. */
const ENOUGH_CELLS = 25;

export class Areas {
  all: Area[] = [];
  /** Grows when the outline of an area changes. */
  version = 0;
  readonly #numbers = new Map<string, number>();
  readonly #places: readonly Place[];
  readonly #zones: ReadonlyMap<number, Zone>;
  /** By precision, the zones that a cell stands for. */
  readonly #zonesOf = new Map<number, ReadonlyMap<string, readonly number[]>>();
  #cells = 0;
  /** Cells that stand for no zone, so that trips have places of their own. */
  #ownPlaces = 0;
  #drawsZones = false;

  constructor(places: readonly Place[], zones: ReadonlyMap<number, Zone>) {
    this.#places = places;
    this.#zones = zones;
  }

  /** Whether cells are drawn as the zones whose centres they hold. */
  get drawsZones(): boolean {
    return this.#drawsZones;
  }

  clear(): void {
    this.all = [];
    this.#numbers.clear();
    this.#cells = this.#ownPlaces = 0;
    this.#drawsZones = false;
    this.version++;
  }

  /** The number of an area by its code, as an address names it; undefined if it was never seen. */
  find(code: string): number | undefined {
    return this.#numbers.get(code);
  }

  ofZone(id: number): number {
    const code = String(id);
    const known = this.#numbers.get(code);
    if (known !== undefined) return known;
    const zone = this.#zones.get(id);
    return this.#add({
      code,
      name: zoneName(this.#zones, id),
      borough: zone?.borough ?? '',
      polygons: zone?.rings ?? [],
      isCell: false,
    });
  }

  ofCell(cell: number, precision: number): number {
    const geohash = cellText(cell, precision);
    const known = this.#numbers.get(geohash);
    if (known !== undefined) return known;
    this.#cells++;
    if (this.#zonesIn(geohash).length === 0) this.#ownPlaces++;
    const index = this.#add(this.#cellArea(cell, geohash));
    this.#decide();
    return index;
  }

  #add(area: Omit<Area, 'index'>): number {
    const index = this.all.length;
    this.all.push({ index, ...area });
    this.#numbers.set(area.code, index);
    return index;
  }

  #cellArea(cell: number, geohash: string): Omit<Area, 'index'> {
    const { south, west, north, east } = cellBounds(cell, geohash.length);
    const [name, borough] = nearest(this.#places, (south + north) / 2, (west + east) / 2);
    const ring: Position[] = [
      [west, south],
      [east, south],
      [east, north],
      [west, north],
      [west, south],
    ];
    return { code: geohash, name, borough, polygons: [[ring]], isCell: true, cell };
  }

  /** The zones whose centroids lie in a cell. */
  #zonesIn(geohash: string): Zone[] {
    const precision = geohash.length;
    const known = this.#zonesOf.get(precision) ?? zonesOfCell(this.#zones, precision);
    this.#zonesOf.set(precision, known);
    return (known.get(geohash) ?? []).map((id) => this.#zones.get(id)!);
  }

  /** Draws cells as zones once it is clear that trips name zones only, and back if that was wrong. */
  #decide(): void {
    const drawsZones = this.#cells >= ENOUGH_CELLS && this.#ownPlaces === 0;
    if (drawsZones === this.#drawsZones) {
      if (drawsZones) this.#redraw(this.all.length - 1);
      return;
    }
    this.#drawsZones = drawsZones;
    for (let i = 0; i < this.all.length; i++) this.#redraw(i);
  }

  #redraw(index: number): void {
    const { code, cell } = this.all[index]!;
    if (cell === undefined) return;
    this.version++;
    const zones = this.#drawsZones ? this.#zonesIn(code) : [];
    const own = this.#cellArea(cell, code);
    this.all[index] = zones.length === 0 ? { index, ...own } : { index, ...own, ...joined(zones) };
  }
}

function joined(zones: readonly Zone[]): Pick<Area, 'name' | 'borough' | 'polygons' | 'isCell'> {
  return {
    name: zones.map(({ name }) => name).join(' + '),
    borough: zones[0]!.borough,
    polygons: zones.flatMap(({ rings }) => rings),
    isCell: false,
  };
}

/** A rectangle in degrees. */
export interface Box {
  readonly west: number;
  readonly south: number;
  readonly east: number;
  readonly north: number;
}

/** The box around polygons; undefined if there are none. */
export function boxOf(polygons: Area['polygons']): Box | undefined {
  let [west, south, east, north] = [180, 90, -180, -90];
  for (const [outer] of polygons) {
    for (const [lon, lat] of outer ?? []) {
      [west, east] = [Math.min(west, lon), Math.max(east, lon)];
      [south, north] = [Math.min(south, lat), Math.max(north, lat)];
    }
  }
  return west > east ? undefined : { west, south, east, north };
}

function isWithin({ west, south, east, north }: Box, limits: Box): boolean {
  return west >= limits.west && south >= limits.south && east <= limits.east && north <= limits.north;
}

/** The box around two boxes. */
export function around(a: Box, b: Box): Box {
  return {
    west: Math.min(a.west, b.west),
    south: Math.min(a.south, b.south),
    east: Math.max(a.east, b.east),
    north: Math.max(a.north, b.north),
  };
}

/** Share of the weight on each side that a view of the data leaves out. */
const OUTER = 0.003;

/** The box that holds nearly all of the weight of some areas; areas that are not within limits are left out. */
export function coreBox(areas: readonly Area[], weights: Float64Array, limits: Box): Box | undefined {
  const boxes = areas.flatMap(({ polygons, index }) => {
    const box = boxOf(polygons);
    return box && weights[index]! > 0 && isWithin(box, limits) ? { ...box, weight: weights[index]! } : [];
  });
  if (boxes.length === 0) return undefined;
  const total = boxes.reduce((sum, { weight }) => sum + weight, 0);
  const edge = (side: keyof Box, from: 1 | -1) => {
    let passed = 0;
    const sorted = [...boxes].sort((a, b) => from * (a[side] - b[side]));
    const inner = sorted.findIndex(({ weight }) => {
      passed += weight;
      return passed > total * OUTER;
    });
    return sorted[inner]![side];
  };
  return { west: edge('west', 1), south: edge('south', 1), east: edge('east', -1), north: edge('north', -1) };
}
