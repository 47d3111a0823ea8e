/** The map: land, cells and names. Loads nothing from other servers, map tiles excepted. */
import type { Feature, FeatureCollection } from 'geojson';
import type {
  ExpressionSpecification,
  FillLayerSpecification,
  GeoJSONSource,
  MapLibreMap,
  MapMouseEvent,
  StyleSpecification,
} from 'maplibre-gl';
import type { Cell } from './cells.ts';
import { make } from './elements.ts';
import { STEPS } from './scale.ts';

export interface MapOptions {
  readonly container: HTMLElement;
  readonly tiles: string | null;
  /** Called with the cell under the pointer, and the pointer's position in pixels of the map. */
  onHover(cell: number | undefined, x: number, y: number): void;
  onSelect(cell: number | undefined): void;
}

/** The initial view: Manhattan and both airports. */
const VIEW = { west: -74.07, south: 40.615, east: -73.755, north: 40.83 };
const LIMITS: [number, number, number, number] = [-74.75, 40.2, -73.25, 41.15];
/** Gap between cells, as a share of their size; finer cells than `GAP_PRECISION` have none. */
const GAP = 0.035;
const GAP_PRECISION = 6;
/** The land around the city. */
const IS_AROUND: ExpressionSpecification = ['==', ['get', 'name'], 'around'];
const LIBRARY = '/vendor/maplibre-gl.mjs';

/** Labels avoid busy cells: Manhattan's ends before its shore, an airport's is above its cells. */
const NAMES: readonly (readonly [
  name: string,
  lon: number,
  lat: number,
  kind: string,
  anchor: 'center' | 'right' | 'bottom',
])[] = [
  ['Manhattan', -74.008, 40.7735, 'borough', 'right'],
  ['Brooklyn', -73.945, 40.654, 'borough', 'center'],
  ['Queens', -73.82, 40.719, 'borough', 'center'],
  ['The Bronx', -73.868, 40.849, 'borough', 'center'],
  ['Staten Island', -74.145, 40.583, 'borough', 'center'],
  ['New Jersey', -74.045, 40.7215, 'around', 'right'],
  ['JFK', -73.784, 40.6525, 'airport', 'bottom'],
  ['LGA', -73.871, 40.7805, 'airport', 'bottom'],
];

export class CityMap {
  readonly #map: MapLibreMap;
  #cells: readonly Cell[] = [];
  #drawn = 0;
  #steps = new Uint8Array(0);
  #hovered: number | undefined;
  #selected: number | undefined;

  private constructor(map: MapLibreMap, options: MapOptions) {
    this.#map = map;
    const at = ({ point }: MapMouseEvent) => {
      const [found] = map.queryRenderedFeatures(point, { layers: ['cells'] });
      const cell = found && this.#steps[Number(found.id)] ? Number(found.id) : undefined;
      return cell;
    };
    map.on('mousemove', (event) => {
      const cell = at(event);
      this.point(cell);
      map.getCanvas().style.cursor = cell === undefined ? '' : 'pointer';
      options.onHover(cell, event.point.x, event.point.y);
    });
    map.on('mouseout', () => {
      this.point(undefined);
      options.onHover(undefined, 0, 0);
    });
    map.on('click', (event) => options.onSelect(at(event)));
  }

  /** Throws if the browser can't draw maps. */
  static async create(options: MapOptions): Promise<CityMap> {
    const [{ Map: Drawn, Marker, NavigationControl, AttributionControl }, land] = await Promise.all([
      import(LIBRARY) as Promise<typeof import('maplibre-gl')>,
      fetch('/outline.json').then((response) => response.json() as Promise<FeatureCollection>),
    ]);
    const { west, south, east, north } = VIEW;
    const map = new Drawn({
      container: options.container,
      style: style(land, options.tiles),
      bounds: [west, south, east, north],
      fitBoundsOptions: { padding: 16 },
      maxBounds: LIMITS,
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
    map.addControl(
      new AttributionControl({
        compact: false,
        customAttribution: 'Land: NYC TLC taxi zones, US Census',
      }),
      'bottom-right',
    );
    for (const [name, lon, lat, kind, anchor] of NAMES) {
      const element = make('span', { class: `name ${kind}`, 'aria-hidden': 'true' }, name);
      new Marker({ element, anchor }).setLngLat([lon, lat]).addTo(map);
      for (const attribute of ['aria-label', 'role', 'tabindex']) element.removeAttribute(attribute);
    }
    await new Promise<void>((resolve) => map.once('load', () => resolve()));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => paint(map));
    return new CityMap(map, options);
  }

  /** Colours each cell by its step on the scale; 0 hides it. */
  show(cells: readonly Cell[], stepOf: (cell: number) => number): void {
    this.#cells = cells;
    if (cells.length !== this.#drawn) this.#drawCells();
    for (let cell = 0; cell < cells.length; cell++) {
      const step = stepOf(cell);
      if (step === this.#steps[cell]) continue;
      this.#steps[cell] = step;
      this.#map.setFeatureState({ source: 'cells', id: cell }, { step });
    }
  }

  select(cell: number | undefined): void {
    this.#selected = cell;
    this.#mark();
  }

  /** Marks a cell as if the pointer were on it. */
  point(cell: number | undefined): void {
    if (cell === this.#hovered) return;
    this.#hovered = cell;
    this.#mark();
  }

  /** Brings a cell into view. */
  reveal(cell: number): void {
    const { west, south, east, north } = this.#cells[cell]!.bounds;
    const middle: [number, number] = [(west + east) / 2, (south + north) / 2];
    if (this.#map.getBounds().contains(middle)) return;
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    if (still) this.#map.jumpTo({ center: middle });
    else this.#map.easeTo({ center: middle });
  }

  /** The middle of a cell's upper edge, in pixels of the map. */
  placeOf(cell: number): { x: number; y: number } {
    const { west, east, north } = this.#cells[cell]!.bounds;
    return this.#map.project([(west + east) / 2, north]);
  }

  onMove(work: () => void): void {
    this.#map.on('move', work);
  }

  resize(): void {
    this.#map.resize();
  }

  #drawCells(): void {
    const steps = new Uint8Array(this.#cells.length);
    steps.set(this.#steps);
    this.#steps = steps;
    this.#drawn = this.#cells.length;
    const features = this.#cells.map((cell) => polygon(cell, cell.geohash.length > GAP_PRECISION ? 0 : GAP));
    this.#map.getSource<GeoJSONSource>('cells')?.setData(collection(features));
  }

  #mark(): void {
    const marked = [...new Set([this.#hovered, this.#selected])].filter((cell) => cell !== undefined);
    const features = marked.map((cell) => polygon(this.#cells[cell]!, 0));
    this.#map.getSource<GeoJSONSource>('marks')?.setData(collection(features));
  }
}

function style(land: FeatureCollection, tiles: string | null): StyleSpecification {
  const colours = themed();
  return {
    version: 8,
    sources: {
      land: { type: 'geojson', data: land },
      // Simplification would drop small squares.
      cells: { type: 'geojson', data: collection([]), tolerance: 0, buffer: 0 },
      marks: { type: 'geojson', data: collection([]) },
      ...(tiles ? { tiles: { type: 'raster', tiles: [tiles], tileSize: 256 } } : {}),
    },
    layers: [
      { id: 'water', type: 'background', paint: { 'background-color': colours.water } },
      ...(tiles
        ? [{ id: 'tiles', type: 'raster' as const, source: 'tiles', paint: { 'raster-saturation': -0.6 } }]
        : [ground('around', IS_AROUND, colours.around), ground('land', ['!', IS_AROUND], colours.land)]),
      {
        id: 'cells',
        type: 'fill',
        source: 'cells',
        paint: { 'fill-color': colours.cells, 'fill-opacity': 0.88, 'fill-antialias': false },
      },
      {
        id: 'shore',
        type: 'line',
        source: 'land',
        filter: ['!', IS_AROUND],
        layout: tiles ? { visibility: 'none' } : {},
        paint: { 'line-color': colours.shore, 'line-width': 1 },
      },
      {
        id: 'marks',
        type: 'line',
        source: 'marks',
        paint: { 'line-color': colours.ink, 'line-width': 2 },
      },
    ],
  };
}

function ground(id: string, filter: ExpressionSpecification, colour: string): FillLayerSpecification {
  return { id, type: 'fill', source: 'land', filter, paint: { 'fill-color': colour } };
}

function collection(features: Feature[]): FeatureCollection {
  return { type: 'FeatureCollection', features };
}

/** A cell as a polygon; `inset`, a share of its size, leaves a gap to its neighbours. */
function polygon({ index, bounds }: Cell, inset: number): Feature {
  const { west, south, east, north } = bounds;
  const x = (east - west) * inset;
  const y = (north - south) * inset;
  const [w, s, e, n] = [west + x, south + y, east - x, north - y];
  const ring = [
    [w, s],
    [e, s],
    [e, n],
    [w, n],
    [w, s],
  ];
  return { type: 'Feature', id: index, properties: {}, geometry: { type: 'Polygon', coordinates: [ring] } };
}

function paint(map: MapLibreMap): void {
  const colours = themed();
  map.setPaintProperty('water', 'background-color', colours.water);
  for (const id of ['around', 'land'] as const)
    if (map.getLayer(id)) map.setPaintProperty(id, 'fill-color', colours[id]);
  map.setPaintProperty('cells', 'fill-color', colours.cells);
  map.setPaintProperty('shore', 'line-color', colours.shore);
  map.setPaintProperty('marks', 'line-color', colours.ink);
}

/** The current colours of the style sheet. */
function themed() {
  const styles = getComputedStyle(document.documentElement);
  const colour = (name: string) => styles.getPropertyValue(`--${name}`).trim();
  const steps = Array.from({ length: STEPS }, (_, i) => [i + 1, colour(`step-${i + 1}`)]).flat();
  return {
    water: colour('water'),
    land: colour('land'),
    around: colour('around'),
    shore: colour('shore'),
    ink: colour('ink'),
    cells: [
      'match',
      ['coalesce', ['feature-state', 'step'], 0],
      ...steps,
      'rgba(0, 0, 0, 0)',
    ] as unknown as ExpressionSpecification,
  };
}
