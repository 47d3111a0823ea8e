/** The "Results" page: a view and one of its figures on a map or in a chart, window by window. */
import { type Choice, MOST_PINS } from './address.ts';
import { Areas, type Box, coreBox } from './areas.ts';
import { byId, setText } from './elements.ts';
import {
  areaSeries,
  byArea,
  byWords,
  type Filter,
  keysOf,
  largest,
  type Series,
  wholeSeries,
  wordSeries,
  wordsOfRow,
} from './figures.ts';
import { dayOf, stamp, timeOf, zoneWords } from './format.ts';
import { type Frame, Frames, type Rows } from './frames.ts';
import { ScaleKeeper } from './legend.ts';
import { type Line, Lines } from './lines.ts';
import { CityMap, COLOURS, type MapParts } from './map.ts';
import {
  captionOf,
  figureText,
  firstMetric,
  type Metric,
  meaningOf,
  metricsOf,
  pictureOf,
  placeOf,
  timeWords,
  wordKeys,
  wordsOf,
} from './metrics.ts';
import { Others } from './others.ts';
import { type Shown, showFigures, showTables, showTip } from './panel.ts';
import type { Place } from './places.ts';
import { type Ranked, Ranking } from './ranking.ts';
import { Search } from './search.ts';
import { Sessions } from './sessions.ts';
import type { Source } from './source.ts';
import { Timeline } from './timeline.ts';
import { Toolbar } from './toolbar.ts';
import type { Changes, History, ViewShape } from './wire.ts';
import type { Zone } from './zones.ts';

export interface ResultsOptions {
  readonly places: readonly Place[];
  readonly zones: ReadonlyMap<number, Zone>;
  readonly source: Source;
  /** The user chose something; `isNew`: the way back is to lead to what was shown before. */
  onChoice(isNew: boolean): void;
  /** The user chose another view. */
  onView(view: string, at: number | undefined): void;
}

const AREAS_SHOWN = 10;
const LINES_SHOWN = 6;
/** Keys of a view without places that have a line of their own. */
const WORDS_SHOWN = 8;
/** Ms between drawings while results are loaded. */
const LOAD_DRAW_MS = 200;

export class Results {
  readonly #o: ResultsOptions;
  readonly #frames: Frames;
  readonly #timeline: Timeline;
  readonly #stage: Lines;
  readonly #through: Lines;
  readonly #sessions: Sessions;
  readonly #ranking: Ranking;
  readonly #list: Ranking;
  readonly #others: Others;
  readonly #toolbar: Toolbar;
  readonly #search: Search;
  readonly #scale = new ScaleKeeper();
  readonly #tables = byId<HTMLDetailsElement>('tables');
  #map: CityMap | undefined;
  #shape: ViewShape | undefined;
  #shapes: readonly ViewShape[] = [];
  #metrics: readonly Metric[] = [];
  #metric: Metric | undefined;
  /** Chosen by the user; `#filter` has a word for each key that needs one. */
  #chosen: ReadonlyMap<number, string> = new Map();
  #filter: Filter = new Map();
  #pins: readonly string[] = [];
  #whole: Series | undefined;
  #lines: readonly Line[] = [];
  /** Colours of lines, by the pin or word that they are of. */
  readonly #colours = new Map<string, number>();
  #values: Float64Array = new Float64Array();
  #hovered: number | undefined;
  #loading = 0;
  #isFitted = false;
  #grows = false;

  constructor(options: ResultsOptions) {
    this.#o = options;
    this.#frames = new Frames(new Areas(options.places, options.zones));
    this.#timeline = new Timeline({
      onChange: (settled) => {
        this.#drawWindow();
        if (settled) options.onChoice(false);
      },
      words: (index) => this.#words(index),
      isReady: (index) => this.#isReady(index),
    });
    const text = (value: number) => figureText(value, this.#metric ?? { isTime: false });
    const picked = { onPick: (index: number) => this.#timeline.goTo(index), text };
    this.#stage = new Lines(byId('stage-lines'), picked);
    this.#through = new Lines(byId('through-lines'), picked);
    const onPin = (id: string) => this.#pin(id);
    this.#sessions = new Sessions(byId('stage-sessions'), {
      text,
      step: (value) => this.#scale.stepOf(value),
      onPick: onPin,
    });
    const onHover = (id: string | undefined) =>
      this.#hover(id === undefined ? undefined : this.#frames.areas.find(id));
    this.#ranking = new Ranking(byId('areas'), { onPin, onHover });
    this.#list = new Ranking(byId('stage-list'), { onPin, onHover: () => {} });
    this.#others = new Others((view, at) => options.onView(view, at));
    this.#toolbar = new Toolbar({
      onView: (view) => options.onView(view, this.#at),
      onFigure: (name) => this.#chooseFigure(name),
      onFilter: (key, word) => this.#chooseWord(key, word),
    });
    this.#search = new Search(
      () => this.#frames.areas.all,
      (area) => this.#found(area),
    );
    byId('toolbar').addEventListener('submit', (event) => event.preventDefault());
    this.#tables.addEventListener('toggle', () => this.#drawTables());
  }

  /** Draws the map; without WebGL 2 the page shows only the figures. */
  async drawMap(load: () => Promise<MapParts>): Promise<void> {
    const note = byId('map-note');
    try {
      this.#map = await CityMap.create({
        ...(await load()),
        container: byId('map'),
        onHover: (area, x, y) => this.#hover(area, { x, y }),
        onSelect: (area) => this.#pin(this.#frames.areas.all[area]!.code),
        onFit: () => this.fit(),
      });
      note.hidden = true;
      this.#map.onMove(() => this.#drawTip());
      this.#drawData();
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

  get timeline(): Timeline {
    return this.#timeline;
  }

  get search(): Search {
    return this.#search;
  }

  /** Label of the chosen window; undefined while the newest is followed. */
  get #at(): number | undefined {
    return this.#timeline.isFollowing ? undefined : this.#frame?.label;
  }

  /** What is shown, for the address: only what differs from what a view begins with. */
  get choice(): Pick<Choice, 'view' | 'figure' | 'at' | 'pins' | 'filter'> {
    const shape = this.#shape;
    if (!shape) return { pins: [], filter: new Map() };
    const words = wordKeys(shape);
    const filter = [...this.#chosen].map(([at, word]) => [shape.keys[words[at]!]!.name, word] as const);
    const isFirst = this.#metric === firstMetric(shape, this.#metrics);
    return {
      ...(shape === this.#shapes[0] ? {} : { view: shape.name }),
      ...(isFirst || !this.#metric ? {} : { figure: this.#metric.name }),
      ...(this.#at === undefined ? {} : { at: this.#at }),
      pins: this.#pins,
      filter: new Map(filter),
    };
  }

  /** Whether the job goes on, so that the colour scale leaves room for more. */
  set grows(yes: boolean) {
    this.#grows = yes;
  }

  /** Begins with the windows of a view. */
  begin({ shapes, view, labels, totals }: History, choice: Choice): string[] {
    const shape = shapes.find(({ name }) => name === view);
    const isAgain = JSON.stringify(shape) === JSON.stringify(this.#shape);
    const at = isAgain ? this.#at : undefined;
    this.#shapes = shapes;
    this.#shape = shape;
    if (shape) {
      this.#frames.begin(shape, labels, totals.find(({ view }) => view === shape.name)?.windows ?? []);
      if (!isAgain) this.#metrics = metricsOf(shape);
    }
    this.#others.begin(shapes, totals);
    let nonsense: string[] = [];
    if (isAgain) this.#drawData();
    else {
      this.#isFitted = false;
      nonsense = this.choose(choice);
    }
    if (at !== undefined && this.#frames.list.length > 0) this.#timeline.goTo(this.#frames.indexOf(at));
    void this.#load();
    return nonsense;
  }

  /** Shows what an address says; returns what in it makes no sense, in words. */
  choose({ figure, at, pins, filter }: Choice): string[] {
    const shape = this.#shape;
    if (!shape) return [];
    const nonsense: string[] = [];
    const metric = this.#metrics.find(({ name }) => name === figure);
    if (figure !== undefined && !metric) nonsense.push(`${shape.name} has no figure “${figure}”`);
    this.#metric = metric ?? firstMetric(shape, this.#metrics);
    const words = wordKeys(shape).map((key) => shape.keys[key]!.name);
    for (const name of filter.keys())
      if (!words.includes(name)) nonsense.push(`${shape.name} has no key “${name}”`);
    this.#chosen = new Map(
      [...filter].flatMap(([name, word]) => (words.includes(name) ? [[words.indexOf(name), word]] : [])),
    );
    this.#pins = pins;
    this.#scale.clear();
    this.#drawData();
    if (at === undefined) this.#timeline.follow();
    else if (!this.isEmpty) {
      const index = this.#frames.indexOf(at);
      if (this.#frames.list[index]?.label !== at) nonsense.push(`no window begins at ${stamp(at)}`);
      this.#timeline.goTo(index);
    }
    return nonsense;
  }

  take({ windows, stale, totals }: Changes): void {
    if (!this.#shape) return;
    this.#frames.take(windows);
    if (stale.length > 0) this.#frames.forget(stale);
    const own = totals.find(({ view }) => view === this.#shape!.name);
    if (own) this.#frames.takeTotals(own.windows);
    this.#others.take(totals);
    this.#drawData();
    if (this.#frames.isPartial) void this.#load();
  }

  /** Shows why there is nothing to see; an empty text hides the explanation. */
  explain(text: string): void {
    byId('none').hidden = text === '';
    setText(byId('none'), text);
  }

  /** Goes to the busiest window: for a finished job it says more than the last one. */
  showBusiest(): void {
    if (!this.#timeline.isFollowing || !this.#whole || !this.#metric) return;
    const values = this.#profile(this.#metric);
    const busiest = values.reduce((best, value, i) => (value > (values[best] ?? 0) ? i : best), 0);
    if (!this.isEmpty) this.#timeline.goTo(busiest);
  }

  /** Zooms the map to where the data is. */
  fit(): void {
    const box = this.#dataBox();
    if (box) this.#map?.fit(box);
  }

  get #frame(): Frame | undefined {
    return this.#frames.list[this.#timeline.index];
  }

  #isReady(index: number): boolean {
    const isReady = this.#frames.list[index]?.rows !== undefined;
    if (!isReady) void this.#load();
    return isReady;
  }

  /** Loads what is missing: first the window at hand, then the newest ones. */
  async #load(): Promise<void> {
    const shape = this.#shape;
    const loading = ++this.#loading;
    let drawnAt = Date.now();
    while (shape && this.#shape === shape && loading === this.#loading) {
      const label = this.#nextToLoad();
      if (label === undefined) break;
      try {
        const { windows } = await this.#o.source.windows(shape.name, label + 1);
        if (this.#shape !== shape || loading !== this.#loading) return;
        this.#frames.take(windows, true);
        // What the state has no more is empty.
        if (this.#frames.list[this.#frames.indexOf(label)]?.rows === undefined) this.#frames.takeNone(label);
      } catch {
        // The connection reports the loss, and begins again.
        return;
      }
      if (Date.now() - drawnAt < LOAD_DRAW_MS && this.#nextToLoad() !== undefined) continue;
      this.#drawData();
      drawnAt = Date.now();
    }
  }

  #nextToLoad(): number | undefined {
    const { list } = this.#frames;
    const at = this.#timeline.index;
    if (list[at] && list[at].rows === undefined) {
      this.#frames.makeRoom(list[at].label);
      return list[at].label;
    }
    // Playing goes on to the next windows.
    const next = this.#timeline.isPlaying
      ? list.slice(at + 1, at + 9).findLast(({ rows }) => rows === undefined)
      : undefined;
    if (next) return next.label;
    return this.#frames.hasRoom ? list.findLast(({ rows }) => rows === undefined)?.label : undefined;
  }

  /** Draws everything: windows, results or the choice are others. */
  #drawData(): void {
    const [shape, metric] = [this.#shape, this.#metric];
    for (const id of ['window-time', 'figures', 'toolbar', 'tables', 'areas-box'])
      byId(id).hidden = this.isEmpty;
    if (!shape || !metric) return;
    this.#filter = this.#wholeFilter(shape, metric);
    this.#toolbar.show(this.#shapes, shape, this.#metrics, metric, this.#filter, this.#frames);
    this.#whole = wholeSeries(this.#frames, metric, this.#filter);
    this.#lines = this.#linesOf(shape, metric);
    const didGrow = this.#scale.fit(this.#frames, metric, this.#grows);
    this.#scale.draw(metric, didGrow ? this.#frame : undefined);
    this.#drawPicture(shape);
    this.#timeline.show(this.#frames.list, this.#profile(metric), (label) => this.#frames.indexOf(label));
    this.#others.show(shape);
    if (!this.#isFitted && this.#map && this.#frames.areas.all.length > 0) {
      this.#isFitted = true;
      this.fit();
    }
    this.#drawWindow();
  }

  /** The heights behind the slider: the figure itself if it is a count, else of how many trips it is made. */
  #profile(metric: Metric): Float64Array {
    const { values, of } = this.#whole!;
    if (metric.isCount || metric.combine) return values;
    return of?.some((count) => count > 0) ? of : values;
  }

  /** A figure whose values of several keys don't make one is of one word of each key: the chosen or the most frequent one. */
  #wholeFilter(shape: ViewShape, metric: Metric): Filter {
    const keys = wordKeys(shape);
    if (metric.combine || !placeOf(shape) || keys.length === this.#chosen.size) return this.#chosen;
    const [first] = wordSeries(this.#frames, shape, metric, this.#chosen, 1, []);
    const words = this.#toolbar.wordsOf(shape, this.#frames);
    const filled = keys.map((_, at) => {
      const heaviest = keys.length === 1 ? this.#wordNamed(shape, first?.name) : undefined;
      return [at, this.#chosen.get(at) ?? heaviest ?? words[at]?.[0] ?? ''] as const;
    });
    return new Map(filled.filter(([, word]) => word !== ''));
  }

  /** The word of the only key that is no place which a line is called by. */
  #wordNamed(shape: ViewShape, name: string | undefined): string | undefined {
    const [key] = keysOf(shape);
    const [words = []] = this.#toolbar.wordsOf(shape, this.#frames);
    return words.find((word) => key && meaningOf(key, word) === name);
  }

  /** Lines of words, and of pinned areas, each in a colour that it keeps. */
  #linesOf(shape: ViewShape, metric: Metric): Line[] {
    const frames = this.#frames;
    const hasPlace = placeOf(shape) !== undefined;
    const [filter, most, wanted] = hasPlace
      ? ([new Map(), LINES_SHOWN, []] as const)
      : ([this.#filter, WORDS_SHOWN, this.#pins] as const);
    const words = wordKeys(shape).length > 0 ? wordSeries(frames, shape, metric, filter, most, wanted) : [];
    const all: Series[] = words.length > 0 || hasPlace ? words : [{ ...this.#whole!, name: metric.label }];
    this.#colours.clear();
    if (!hasPlace) for (const [i, { name }] of all.entries()) this.#colours.set(name, colourOf(i));
    for (const code of hasPlace ? this.#pins : []) {
      const area = frames.areas.find(code);
      if (area === undefined) continue;
      this.#colours.set(code, colourOf(all.length));
      all.push(areaSeries(frames, area, metric, this.#filter));
    }
    return all.map((series, i) => ({ ...series, colour: colourOf(i) }));
  }

  /** Shows the map or a chart, and the lines through all windows. */
  #drawPicture(shape: ViewShape): void {
    const picture = pictureOf(shape);
    byId('map-box').hidden = picture !== 'map';
    byId('stage').hidden = picture === 'map';
    byId('search-box').hidden = !placeOf(shape);
    byId('stage-lines').hidden = picture !== 'lines';
    byId('stage-sessions').hidden = picture !== 'sessions';
    byId('stage-list').hidden = picture !== 'list';
    byId('zones-note').hidden = !this.#frames.areas.drawsZones;
    byId('legend').hidden = this.isEmpty || picture !== 'map';
    setText(byId('stage-title'), captionOf(shape, this.#metric!));
    if (picture === 'lines') this.#stage.show(this.#frames.list, this.#lines, this.#metric!.isTime);
    if (picture === 'sessions') this.#sessions.show(this.#allSessions(), this.#frame);
    const isThrough = (picture === 'map' || picture === 'list') && this.#lines.length > 0;
    byId('stage-key').hidden = picture !== 'lines';
    byId('through').hidden = !isThrough;
    setText(byId('through-title'), `${capital(this.#metric!.label)} through time`);
    if (isThrough) this.#through.show(this.#frames.list, this.#lines, this.#metric!.isTime);
    const colours = new Map<number, number>();
    for (const code of this.#pins) {
      const area = this.#frames.areas.find(code);
      if (area !== undefined) colours.set(area, this.#colours.get(code) ?? 1);
    }
    this.#map?.select(colours);
  }

  #allSessions() {
    return this.#frames.list.flatMap(({ rows }) => {
      if (!rows?.spans) return [];
      const { spans, values } = rows;
      return Array.from({ length: rows.count }, (_, row) => ({
        name: this.#nameOfRow(rows, row),
        start: spans[0][row]!,
        end: spans[1][row]!,
        value: values[this.#metric!.at]![row]!,
      }));
    });
  }

  /** Area and words of a row. */
  #nameOfRow(rows: Rows, row: number): string {
    const { areas, words } = rows;
    const place = areas ? [this.#frames.areas.all[areas[row]!]!.name] : [];
    return [...place, ...(words.length > 0 ? [wordsOfRow(rows, keysOf(this.#shape!), row)] : [])].join(' · ');
  }

  /** Draws what belongs to the current window. */
  #drawWindow(): void {
    const [shape, metric, frame] = [this.#shape, this.#metric, this.#frame];
    setText(byId('window-day'), frame ? dayOf(frame.start) : 'Nothing to show');
    setText(byId('window-time'), frame ? `${timeOf(frame.start)} – ${timeOf(frame.end)}` : '–');
    if (!shape || !metric || !frame) return;
    const what = shape.window.kind === 'session' ? 'sessions that ended, ' : '';
    setText(byId('window-by'), `${what}${timeWords(shape)} · ${zoneWords()}`);
    const { areas } = this.#frames;
    this.#values = frame.rows
      ? byArea(frame.rows, metric, this.#filter, areas.all.length)
      : new Float64Array(areas.all.length).fill(Number.NaN);
    this.#map?.show(areas, (area) => this.#scale.stepOf(this.#values[area]!));
    const index = this.#timeline.index;
    this.#stage.mark(index);
    this.#through.mark(index);
    this.#sessions.mark(frame);
    this.#others.mark(frame);
    showFigures(this.#shown(shape, metric, frame), this.#lines, index);
    this.#drawRanking(shape, metric, frame);
    this.#drawTables();
    this.#drawTip();
    if (frame.rows === undefined) void this.#load();
  }

  #shown(shape: ViewShape, metric: Metric, frame: Frame): Shown {
    return { shape, metric, metrics: this.#metrics, frame, frames: this.#frames, filter: this.#filter };
  }

  #drawRanking(shape: ViewShape, metric: Metric, frame: Frame): void {
    const picture = pictureOf(shape);
    const items = this.#ranked(shape, metric, frame);
    const what = placeOf(shape) ? 'areas' : shape.keys.map(({ name }) => wordsOf(name)).join(' and ');
    setText(
      byId('areas-title'),
      shape.top
        ? `First ${shape.top.n}`
        : what === ''
          ? ''
          : `${what === 'areas' ? 'Areas' : capital(what)} by ${metric.label}`,
    );
    byId('areas-box').hidden = this.isEmpty || picture === 'list' || shape.keys.length === 0;
    byId('areas-none').hidden = items.length > 0;
    setText(byId('areas-none'), noneText(frame));
    this.#ranking.show(
      picture === 'list' ? [] : items.slice(0, shape.top ? Math.max(AREAS_SHOWN, shape.top.n) : AREAS_SHOWN),
    );
    if (picture === 'list') this.#list.show(items);
  }

  #ranked(shape: ViewShape, metric: Metric, { rows }: Frame): Ranked[] {
    if (!rows) return [];
    const figured = (id: string, name: string, code: string, value: number, rank?: number): Ranked => ({
      id,
      name,
      code,
      value,
      figure: figureText(value, metric),
      step: placeOf(shape) ? this.#scale.stepOf(value) : 0,
      pinned: this.#pins.includes(id) ? (this.#colours.get(id) ?? 1) : undefined,
      ...(rank === undefined ? {} : { rank }),
    });
    const rankOf = shape.top ? (row: number, i: number) => rows.ranks?.[row] ?? i + 1 : undefined;
    if (placeOf(shape) && !shape.top) {
      const { all } = this.#frames.areas;
      return largest(this.#values, AREAS_SHOWN).map((area) => {
        const { name, code } = all[area]!;
        return figured(code, name, code, this.#values[area]!);
      });
    }
    const found = shape.top
      ? Array.from({ length: rows.count }, (_, row) => ({
          row,
          name: this.#nameOfRow(rows, row),
          value: rows.values[metric.at]![row]!,
        }))
      : [...byWords(rows, keysOf(shape), metric, this.#filter)].map(([name, { row, value }]) => ({
          row,
          name,
          value,
        }));
    const inOrder = shape.top
      ? found.map((item, i) => ({ ...item, rank: rankOf!(item.row, i) })).sort((a, b) => a.rank - b.rank)
      : found.sort((a, b) => (Number.isNaN(b.value) ? -1 : b.value - a.value) || 0);
    return inOrder.map((item) => {
      const code = rows.areas ? this.#frames.areas.all[rows.areas[item.row]!]!.code : '';
      return figured(
        code || item.name,
        item.name,
        code,
        item.value,
        'rank' in item ? (item.rank as number) : undefined,
      );
    });
  }

  #drawTables(): void {
    const [shape, metric, frame] = [this.#shape, this.#metric, this.#frame];
    if (!this.#tables.open || !shape || !metric || !frame) return;
    showTables(this.#shown(shape, metric, frame), this.#lines, this.#whole!);
  }

  #words(index: number): string {
    const metric = this.#metric;
    if (!metric || !this.#whole) return '';
    return `${figureText(this.#whole.values[index], metric)} ${metric.label}`;
  }

  #chooseFigure(name: string): void {
    this.#metric = this.#metrics.find((metric) => metric.name === name) ?? this.#metric;
    this.#scale.clear();
    this.#drawData();
    this.#o.onChoice(true);
  }

  #chooseWord(key: number, word: string | undefined): void {
    const chosen = new Map(this.#chosen);
    if (word === undefined) chosen.delete(key);
    else chosen.set(key, word);
    this.#chosen = chosen;
    this.#scale.clear();
    this.#drawData();
    this.#o.onChoice(true);
  }

  /** Pins an area or key, so that it has a line, or lets go of it. */
  #pin(id: string): void {
    this.#pins = this.#pins.includes(id)
      ? this.#pins.filter((pin) => pin !== id)
      : [...this.#pins, id].slice(-MOST_PINS);
    this.#drawData();
    this.#o.onChoice(true);
  }

  #found(area: number): void {
    const { code } = this.#frames.areas.all[area]!;
    if (!this.#pins.includes(code)) this.#pin(code);
    this.#map?.reveal(area);
    this.#hover(area);
  }

  #hover(area: number | undefined, at?: { x: number; y: number }): void {
    this.#hovered = area;
    if (!at) this.#map?.point(area);
    this.#drawTip(at);
  }

  /** Draws the tip of the area under the pointer, or without a pointer that can hover, of the one pinned last. */
  #drawTip(at?: { x: number; y: number }): void {
    const pin = matchMedia('(hover: none)').matches ? this.#pins.at(-1) : undefined;
    const area = this.#hovered ?? (pin === undefined ? undefined : this.#frames.areas.find(pin));
    const tip = byId('tip');
    const place = area === undefined ? undefined : (at ?? this.#map?.placeOf(area));
    const [shape, metric, frame] = [this.#shape, this.#metric, this.#frame];
    tip.hidden = !place || !shape || !metric || !frame;
    if (!place || !shape || !metric || !frame) return;
    showTip(tip, this.#shown(shape, metric, frame), area!, this.#values[area!] ?? Number.NaN);
    const box = byId('map');
    const left = Math.max(8, Math.min(place.x - tip.offsetWidth / 2, box.offsetWidth - tip.offsetWidth - 8));
    const above = place.y - tip.offsetHeight - 14;
    tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(above < 8 ? place.y + 18 : above)}px)`;
  }

  /** The part of the city with nearly all of the data: the outermost hundredth on each side is left out. */
  #dataBox(): Box | undefined {
    const { areas, list } = this.#frames;
    const weights = new Float64Array(areas.all.length);
    for (const { rows } of list) for (const area of rows?.areas ?? []) weights[area] = weights[area]! + 1;
    return coreBox(areas.all, weights);
  }
}

/** The n-th colour of lines, from 1. */
function colourOf(n: number): number {
  return (n % COLOURS) + 1;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Why a window has no areas or keys. */
function noneText({ rows, total }: Frame): string {
  if (rows === undefined) return 'Loading …';
  return total && total.keys > 0 ? 'Nothing in this window that the view shows.' : 'Nothing in this window.';
}
