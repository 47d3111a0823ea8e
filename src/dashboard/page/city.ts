/** The "City" page: pick-ups of a window on a map, and trip durations to the airports. */
import { Cells } from './cells.ts';
import { byId, fill, make, renew, setText, table } from './elements.ts';
import { count, dayOf, decimal, stamp, timeOf } from './format.ts';
import { type Frame, Frames } from './frames.ts';
import { AIRPORTS, Lines, minutesOf } from './lines.ts';
import { CityMap } from './map.ts';
import type { Place } from './places.ts';
import { STEPS, stepOf, thresholds } from './scale.ts';
import { Timeline } from './timeline.ts';
import type { WindowUpdate } from './wire.ts';

const AREAS_SHOWN = 8;

export class City {
  readonly #frames: Frames;
  readonly #timeline = new Timeline(() => this.#draw());
  readonly #lines = new Lines((index) => this.#timeline.goTo(index));
  readonly #tables = byId<HTMLDetailsElement>('tables');
  #map: CityMap | undefined;
  #scale: readonly number[] = [];
  #counts: readonly number[] = [];
  #hovered: number | undefined;
  #selected: number | undefined;

  constructor(places: readonly Place[]) {
    this.#frames = new Frames(new Cells(places));
    this.#tables.addEventListener('toggle', () => this.#drawTables());
    byId('areas').addEventListener('mouseleave', () => this.#hover(undefined));
  }

  /** Draws the map; without WebGL 2 the page shows only the figures. */
  async drawMap(): Promise<void> {
    const note = byId('map-note');
    try {
      const { tiles } = (await (await fetch('/api/settings')).json()) as { tiles: string | null };
      this.#map = await CityMap.create({
        container: byId('map'),
        tiles,
        onHover: (cell, x, y) => this.#hover(cell, { x, y }),
        onSelect: (cell) => this.#select(cell),
      });
      note.hidden = true;
      this.#map.onMove(() => this.#drawTip());
      this.#draw();
    } catch {
      setText(
        note,
        'This browser can’t draw the map: it needs WebGL 2. The figures are in the list and the tables.',
      );
    }
  }

  get isEmpty(): boolean {
    return this.#frames.list.length === 0;
  }

  history(windows: readonly WindowUpdate[]): void {
    this.#frames.clear();
    this.take(windows);
  }

  take(windows: readonly WindowUpdate[]): void {
    this.#frames.take(windows);
    for (const id of ['window-time', 'figures', 'areas-box', 'tables', 'legend'])
      byId(id).hidden = this.isEmpty;
    const scale = thresholds(this.#frames.most);
    if (scale.join() !== this.#scale.join()) {
      this.#scale = scale;
      this.#drawLegend();
    }
    this.#lines.show(this.#frames.list);
    this.#timeline.show(this.#frames.list, (start) => this.#frames.indexOf(start));
    this.#draw();
  }

  /** Shows why there is nothing to see; an empty text hides the explanation. */
  explain(text: string): void {
    byId('city-none').hidden = text === '';
    setText(byId('city-none'), text);
  }

  /** Goes to the busiest window: for a stopped job it says more than the last one. */
  showBusiest(): void {
    const busiest = this.#frames.list.reduce(
      (best, frame, i, all) => (frame.total > all[best]!.total ? i : best),
      0,
    );
    if (!this.isEmpty) this.#timeline.suggest(busiest);
  }

  #frame(): Frame | undefined {
    return this.#frames.list[this.#timeline.index];
  }

  #draw(): void {
    const frame = this.#frame();
    const cells = this.#frames.cells.all;
    const counts = new Array<number>(cells.length).fill(0);
    frame?.cells.forEach((cell, i) => {
      counts[cell] = frame.counts[i]!;
    });
    this.#counts = counts;
    this.#map?.show(cells, (cell) => stepOf(counts[cell] ?? 0, this.#scale));
    this.#lines.mark(this.#timeline.index);
    setText(byId('window-day'), frame ? dayOf(frame.start) : 'Nothing to show');
    setText(byId('window-time'), frame ? `${timeOf(frame.start)} – ${timeOf(frame.end)}` : '–');
    setText(byId('total'), frame ? count(frame.total) : '–');
    setText(byId('areas-count'), frame ? count(frame.cells.length) : '–');
    this.#drawAreas(frame);
    this.#drawTables();
    this.#drawTip();
  }

  #drawLegend(): void {
    const steps = this.#scale.map((least, i) =>
      make(
        'span',
        { class: `step step-${i + 1}` },
        make('i'),
        i + 1 < STEPS ? count(least) : `${count(least)}+`,
      ),
    );
    fill(byId('legend'), make('p', {}, 'Pick-ups in a window'), make('div', {}, steps));
  }

  /** The cells of a window, busiest first. */
  #ranked(frame: Frame): number[] {
    return [...frame.cells].sort((a, b) => this.#counts[b]! - this.#counts[a]! || a - b);
  }

  #drawAreas(frame: Frame | undefined): void {
    const ranked = frame ? this.#ranked(frame).slice(0, AREAS_SHOWN) : [];
    byId('areas-none').hidden = !frame || ranked.length > 0;
    const list = byId('areas');
    while (list.children.length > ranked.length) list.lastElementChild!.remove();
    ranked.forEach((cell, i) => {
      const item = list.children[i] ?? list.appendChild(this.#areaItem());
      const { name, geohash } = this.#frames.cells.all[cell]!;
      const picked = this.#counts[cell]!;
      const button = item.firstElementChild as HTMLButtonElement;
      button.dataset['cell'] = String(cell);
      button.setAttribute('aria-pressed', String(cell === this.#selected));
      const [swatch, label, code, figure] = button.children;
      swatch!.className = `swatch step-${stepOf(picked, this.#scale)}`;
      setText(label!, name);
      setText(code!, geohash);
      setText(figure!, count(picked));
    });
  }

  #areaItem(): HTMLLIElement {
    const parts = ['swatch', 'label', 'code', 'figure'].map((name) => make('span', { class: name }));
    const button = make('button', { type: 'button' }, parts);
    const cell = () => Number(button.dataset['cell']);
    button.addEventListener('mouseenter', () => this.#hover(cell()));
    button.addEventListener('focus', () => this.#hover(cell()));
    button.addEventListener('blur', () => this.#hover(undefined));
    button.addEventListener('click', () => {
      this.#select(cell() === this.#selected ? undefined : cell());
      if (this.#selected !== undefined) this.#map?.reveal(this.#selected);
    });
    return make('li', {}, button);
  }

  #hover(cell: number | undefined, at?: { x: number; y: number }): void {
    this.#hovered = cell;
    if (!at) this.#map?.point(cell);
    this.#drawTip(at);
  }

  #select(cell: number | undefined): void {
    this.#selected = cell;
    this.#map?.select(cell);
    this.#drawAreas(this.#frame());
    this.#drawTip();
  }

  /** Draws the tip of the cell under the pointer, or of the selected cell. */
  #drawTip(at?: { x: number; y: number }): void {
    const tip = byId('tip');
    const cell = this.#hovered ?? this.#selected;
    tip.hidden = cell === undefined || !this.#map;
    const frame = this.#frame();
    if (cell === undefined || !this.#map || !frame) return;
    const { name, borough, geohash } = this.#frames.cells.all[cell]!;
    const picked = this.#counts[cell] ?? 0;
    const rows = AIRPORTS.flatMap((airport) => {
      const found = frame.airportCells.get(airport)?.get(cell);
      if (!found) return [];
      return make(
        'p',
        {},
        `${airport} in ${decimal(found.minutes / found.trips)} min (${count(found.trips)} trips)`,
      );
    });
    fill(
      tip,
      make('p', { class: 'where' }, make('b', {}, name), ` ${borough}`),
      make('p', { class: 'picked' }, make('b', {}, picked === 0 ? 'under 2' : count(picked)), ' pick-ups'),
      rows,
      make('p', { class: 'code' }, geohash),
    );
    const { x, y } = at ?? this.#map.placeOf(cell);
    const box = byId('map');
    const left = Math.max(8, Math.min(x - tip.offsetWidth / 2, box.offsetWidth - tip.offsetWidth - 8));
    const above = y - tip.offsetHeight - 14;
    tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(above < 8 ? y + 18 : above)}px)`;
  }

  #drawTables(): void {
    if (!this.#tables.open) return;
    renew(byId('table-boxes'), this.#cellTable(), this.#minutesTable());
  }

  #cellTable(): HTMLElement {
    const frame = this.#frame();
    const rows = (frame ? this.#ranked(frame) : []).map((cell) => {
      const { name, geohash } = this.#frames.cells.all[cell]!;
      return [name, geohash, count(this.#counts[cell]!)];
    });
    return table('Pick-ups of the window', ['Area', 'Cell', 'Pick-ups'], rows, [2]);
  }

  #minutesTable(): HTMLElement {
    const rows = this.#frames.list
      .filter(({ airports }) => airports.size > 0)
      .toReversed()
      .map((frame) => [
        stamp(frame.start),
        ...AIRPORTS.flatMap((airport) => {
          const minutes = minutesOf(frame, airport);
          return minutes === undefined
            ? ['–', '–']
            : [decimal(minutes), count(frame.airports.get(airport)!.trips)];
        }),
      ]);
    const head = ['Window', ...AIRPORTS.flatMap((airport) => [airport, 'Trips'])];
    return table('Average minutes to the airports', head, rows, [1, 2, 3, 4]);
  }
}
