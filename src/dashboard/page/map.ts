/** The map: land, areas and names. Loads nothing from other servers, map tiles excepted. */
import type { Feature, FeatureCollection } from 'geojson';
import type {
  ExpressionSpecification,
  FillLayerSpecification,
  GeoJSONSource,
  IControl,
  MapLibreMap,
  MapMouseEvent,
  StyleSpecification,
} from 'maplibre-gl';
import { type Area, type Areas, type Box, boxOf } from './areas.ts';
import { draw, make } from './elements.ts';
import { NAMES } from './names.ts';
import { STEPS } from './scale.ts';
import type { Position, Zone } from './zones.ts';

/** What a map is drawn from. */
export interface MapParts {
  /** The land around the city, the city's zones, and its shores. */
  readonly land: {
    readonly around: FeatureCollection;
    readonly zones: readonly Zone[];
    readonly shores: Position[][];
  };
  /** URL of tiles under the areas. */
  readonly tiles: string | null;
  readonly library: typeof import('maplibre-gl');
}

export interface MapOptions extends MapParts {
  readonly container: HTMLElement;
  /** Called with the area under the pointer, and the pointer's position in pixels of the map. */
  onHover(area: number | undefined, x: number, y: number): void;
  onSelect(area: number): void;
  /** The button that shows all of the data was pressed. */
  onFit(): void;
}

/** Manhattan and both airports: where the map begins without data. */
export const HOME: Box = { west: -74.07, south: 40.615, east: -73.755, north: 40.83 };
/** The part of the world that the map shows. */
export const LIMITS: Box = { west: -74.75, south: 40.2, east: -73.25, north: 41.15 };
/** Gap between cells, as a share of their size; finer cells than `GAP_PRECISION` have none. */
const GAP = 0.035;
const GAP_PRECISION = 6;
const MOST_ZOOM = 14;
/** Colours of marks, as of the lines of a chart. */
export const COLOURS = 8;
/** The land around the city. */
const IS_AROUND: ExpressionSpecification = ['==', ['get', 'name'], 'around'];

export class CityMap {
  readonly #map: MapLibreMap;
  #areas: Areas | undefined;
  #version = -1;
  #drawn = 0;
  #steps = new Uint8Array(0);
  #hovered: number | undefined;
  #selected: ReadonlyMap<number, number> = new Map();

  private constructor(map: MapLibreMap, options: MapOptions) {
    this.#map = map;
    const at = ({ point }: MapMouseEvent) => {
      const [found] = map.queryRenderedFeatures(point, { layers: ['cells'] });
      return found && this.#steps[Number(found.id)] ? Number(found.id) : undefined;
    };
    map.on('mousemove', (event) => {
      const area = at(event);
      this.point(area);
      map.getCanvas().style.cursor = area === undefined ? '' : 'pointer';
      options.onHover(area, event.point.x, event.point.y);
    });
    map.on('mouseout', () => {
      this.point(undefined);
      options.onHover(undefined, 0, 0);
    });
    map.on('click', (event) => {
      const area = at(event);
      if (area !== undefined) options.onSelect(area);
    });
  }

  /** Throws if the browser can't draw maps. */
  static async create(options: MapOptions): Promise<CityMap> {
    const { Map: Drawn, Marker, NavigationControl, AttributionControl } = options.library;
    const { west, south, east, north } = HOME;
    const map = new Drawn({
      container: options.container,
      style: style(options.land, options.tiles),
      bounds: [west, south, east, north],
      fitBoundsOptions: { padding: 16 },
      maxBounds: [LIMITS.west, LIMITS.south, LIMITS.east, LIMITS.north],
      minZoom: 8,
      maxZoom: 16,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      attributionControl: false,
      fadeDuration: 0,
      locale: { 'Map.Title': 'Map of New York: arrow keys pan, plus and minus zoom' },
    });
    map.touchZoomRotate.disableRotation();
    map.keyboard.disableRotation();
    map.addControl(new NavigationControl({ showCompass: false }), 'top-right');
    map.addControl(new FitControl(options.onFit), 'top-right');
    const credit = 'Land and zones: NYC TLC, US Census';
    map.addControl(new AttributionControl({ compact: false, customAttribution: credit }), 'bottom-right');
    const names = NAMES.map(({ text, lon, lat, kind, anchor, rotation, minZoom }) => {
      const element = make('span', { class: `name ${kind}`, 'aria-hidden': 'true' }, text);
      new Marker({ element, anchor, rotation }).setLngLat([lon, lat]).addTo(map);
      for (const attribute of ['aria-label', 'role', 'tabindex']) element.removeAttribute(attribute);
      return { element, minZoom };
    });
    const showNames = () => {
      for (const { element, minZoom } of names) element.hidden = map.getZoom() < minZoom;
    };
    map.on('zoom', showNames);
    showNames();
    await new Promise<void>((resolve) => map.once('load', () => resolve()));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => paint(map));
    return new CityMap(map, options);
  }

  /** Colours each area by its step on the scale; 0 hides it. */
  show(areas: Areas, stepOf: (area: number) => number): void {
    this.#areas = areas;
    if (areas.version !== this.#version || areas.all.length !== this.#drawn) this.#drawAreas(areas);
    for (let area = 0; area < areas.all.length; area++) {
      const step = stepOf(area);
      if (step === this.#steps[area]) continue;
      this.#steps[area] = step;
      this.#map.setFeatureState({ source: 'cells', id: area }, { step });
    }
  }

  /** Marks areas, each in a colour from 1 on. */
  select(areas: ReadonlyMap<number, number>): void {
    this.#selected = areas;
    this.#mark();
  }

  /** Marks an area as if the pointer were on it. */
  point(area: number | undefined): void {
    if (area === this.#hovered) return;
    this.#hovered = area;
    this.#mark();
  }

  /** Brings an area into view. */
  reveal(area: number): void {
    const box = boxOf(this.#areas?.all[area]?.polygons ?? []);
    if (!box) return;
    const middle: [number, number] = [(box.west + box.east) / 2, (box.south + box.north) / 2];
    if (this.#map.getBounds().contains(middle)) return;
    if (isStill()) this.#map.jumpTo({ center: middle });
    else this.#map.easeTo({ center: middle });
  }

  /** Zooms to a part of the city. */
  fit({ west, south, east, north }: Box): void {
    this.#map.fitBounds([west, south, east, north], { padding: 28, maxZoom: MOST_ZOOM, animate: !isStill() });
  }

  /** The middle of an area's upper edge, in pixels of the map; undefined without a place on it. */
  placeOf(area: number): { x: number; y: number } | undefined {
    const box = boxOf(this.#areas?.all[area]?.polygons ?? []);
    return box && this.#map.project([(box.west + box.east) / 2, box.north]);
  }

  onMove(work: () => void): void {
    this.#map.on('move', work);
  }

  #drawAreas({ all, version }: Areas): void {
    // New features have no state yet, so all that have a step get it again.
    if (version !== this.#version) this.#map.removeFeatureState({ source: 'cells' });
    const steps = new Uint8Array(all.length);
    if (version === this.#version) steps.set(this.#steps);
    this.#steps = steps;
    this.#drawn = all.length;
    this.#version = version;
    const features = all.filter(({ polygons }) => polygons.length > 0).map(featureOf);
    this.#map.getSource<GeoJSONSource>('cells')?.setData(collection(features));
    this.#mark();
  }

  #mark(): void {
    const all = this.#areas?.all ?? [];
    const marked = new Map([
      ...(this.#hovered === undefined ? [] : [[this.#hovered, 0] as const]),
      ...this.#selected,
    ]);
    const features = [...marked].flatMap(([area, colour]) => {
      const found = all[area];
      if (!found || found.polygons.length === 0) return [];
      return { ...outlineOf(found, 0), properties: { colour } };
    });
    this.#map.getSource<GeoJSONSource>('marks')?.setData(collection(features));
  }
}

/** The button that shows all of the data. */
class FitControl implements IControl {
  readonly #box: HTMLElement;

  constructor(onFit: () => void) {
    const icon = draw(
      'svg',
      { viewBox: '0 0 24 24', width: 18, height: 18, 'aria-hidden': 'true' },
      draw('path', { d: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5' }),
    );
    const button = make(
      'button',
      { type: 'button', title: 'Show all of the data (F)', 'aria-label': 'Show all of the data' },
      icon,
    );
    button.addEventListener('click', onFit);
    this.#box = make('div', { class: 'maplibregl-ctrl maplibregl-ctrl-group fit' }, button);
  }

  onAdd(): HTMLElement {
    return this.#box;
  }

  onRemove(): void {
    this.#box.remove();
  }
}

function isStill(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}

function style({ around, zones, shores }: MapParts['land'], tiles: string | null): StyleSpecification {
  const colours = themed();
  // Simplification would drop small squares, and open gaps between zones.
  const exact = { type: 'geojson' as const, tolerance: 0 };
  return {
    version: 8,
    sources: {
      around: { type: 'geojson', data: around },
      zones: {
        ...exact,
        data: feature({ type: 'MultiPolygon', coordinates: zones.flatMap(({ rings }) => rings) }),
      },
      shores: { ...exact, data: feature({ type: 'MultiLineString', coordinates: shores }) },
      cells: { ...exact, data: collection([]), buffer: 0 },
      marks: { type: 'geojson', data: collection([]) },
      ...(tiles ? { tiles: { type: 'raster', tiles: [tiles], tileSize: 256 } } : {}),
    },
    layers: [
      { id: 'water', type: 'background', paint: { 'background-color': colours.water } },
      ...(tiles
        ? [{ id: 'tiles', type: 'raster' as const, source: 'tiles', paint: { 'raster-saturation': -0.6 } }]
        : [ground('around', colours.around, IS_AROUND), ground('zones', colours.land)]),
      {
        id: 'cells',
        type: 'fill',
        source: 'cells',
        paint: { 'fill-color': colours.cells, 'fill-opacity': 0.88, 'fill-antialias': false },
      },
      {
        id: 'shores',
        type: 'line',
        source: 'shores',
        layout: tiles ? { visibility: 'none' } : {},
        paint: { 'line-color': colours.shore, 'line-width': 1 },
      },
      {
        id: 'marks',
        type: 'line',
        source: 'marks',
        paint: { 'line-color': colours.marks, 'line-width': 2.5 },
      },
    ],
  };
}

function ground(
  source: 'around' | 'zones',
  colour: string,
  filter: ExpressionSpecification = ['literal', true],
): FillLayerSpecification {
  const paint = { 'fill-color': colour, 'fill-antialias': false };
  return { id: source, type: 'fill', source, filter, paint };
}

function feature(geometry: Feature['geometry']): Feature {
  return { type: 'Feature', properties: {}, geometry };
}

function collection(features: Feature[]): FeatureCollection {
  return { type: 'FeatureCollection', features };
}

function featureOf(area: Area): Feature {
  return outlineOf(area, area.isCell && area.code.length <= GAP_PRECISION ? GAP : 0);
}

/** An area; `inset`, a share of its size, leaves a gap to its neighbours. */
function outlineOf({ index, polygons }: Area, inset: number): Feature {
  const box = inset > 0 ? boxOf(polygons) : undefined;
  const coordinates = box ? [[inner(box, inset)]] : [...polygons];
  return { type: 'Feature', id: index, properties: {}, geometry: { type: 'MultiPolygon', coordinates } };
}

function inner({ west, south, east, north }: Box, inset: number): Position[] {
  const x = (east - west) * inset;
  const y = (north - south) * inset;
  const [w, s, e, n] = [west + x, south + y, east - x, north - y];
  return [
    [w, s],
    [e, s],
    [e, n],
    [w, n],
    [w, s],
  ];
}

function paint(map: MapLibreMap): void {
  const colours = themed();
  map.setPaintProperty('water', 'background-color', colours.water);
  if (map.getLayer('around')) {
    map.setPaintProperty('around', 'fill-color', colours.around);
    map.setPaintProperty('zones', 'fill-color', colours.land);
  }
  map.setPaintProperty('cells', 'fill-color', colours.cells);
  map.setPaintProperty('shores', 'line-color', colours.shore);
  map.setPaintProperty('marks', 'line-color', colours.marks);
}

/** The current colours of the style sheet. */
function themed() {
  const styles = getComputedStyle(document.documentElement);
  const colour = (name: string) => styles.getPropertyValue(`--${name}`).trim();
  const numbered = (name: string, most: number) =>
    Array.from({ length: most }, (_, i) => [i + 1, colour(`${name}-${i + 1}`)]).flat();
  const step: ExpressionSpecification = ['coalesce', ['feature-state', 'step'], 0];
  return {
    water: colour('water'),
    land: colour('land'),
    around: colour('around'),
    shore: colour('shore'),
    cells: matching(step, numbered('step', STEPS), 'rgba(0, 0, 0, 0)'),
    marks: matching(['get', 'colour'], numbered('series', COLOURS), colour('ink')),
  };
}

function matching(
  value: ExpressionSpecification,
  cases: readonly (string | number)[],
  otherwise: string,
): ExpressionSpecification {
  return ['match', value, ...cases, otherwise] as unknown as ExpressionSpecification;
}
