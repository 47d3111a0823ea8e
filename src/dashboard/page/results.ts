/** The "Results" page: a view and one of its figures on a map or in a chart, window by window. */
import { type Choice, MOST_PINS } from './address.ts';
import { Areas, around, type Box, coreBox } from './areas.ts';
import { type Comparison, comparisonOf, filterOf } from './compare.ts';
import { byId, setText } from './elements.ts';
import { byArea, type Filter, type Series, wholeSeries } from './figures.ts';
import { dayOf, spanWords, stamp, zoneWords } from './format.ts';
import { type Frame, Frames } from './frames.ts';
import { ScaleKeeper } from './legend.ts';
import { Lines } from './lines.ts';
import { Loader } from './loader.ts';
import { CityMap, HOME, LIMITS, type MapParts } from './map.ts';
import {
  captionOf,
  figureText,
  keysOf,
  labelOf,
  pictureOf,
  placeOf,
  timeWords,
  useZoneNames,
  wordsOf,
} from './metrics.ts';
import { Others } from './others.ts';
import { type Shown, showFigures, showTables, showTip } from './panel.ts';
import type { Place } from './places.ts';
import { rankedOf } from './ranked.ts';
import { Ranking } from './ranking.ts';
import { Search } from './search.ts';
import { choiceOf, type Selection, selectionOf } from './selection.ts';
import { Sessions, sessionsOf } from './sessions.ts';
import type { Source } from './source.ts';
import { Timeline } from './timeline.ts';
import { Toolbar } from './toolbar.ts';
import type { Changes, History, ViewShape } from './wire.ts';
import { type Zone, zoneName } from './zones.ts';

export interface ResultsOptions {
  readonly places: readonly Place[];
  readonly zones: ReadonlyMap<number, Zone>;
  readonly source: Source;
  /** The user chose something; `isNew`: the way back is to lead to what was shown before. */
  onChoice(isNew: boolean): void;
  /** The user chose another view. */
  onView(view: string, at: number | undefined): void;
  /** All is loaded, and has nothing of these areas. */
  onUnknown(codes: readonly string[]): void;
}

const AREAS_SHOWN = 10;
const NO_SERIES: Series = { name: '', values: new Float64Array() };
const NO_COMPARISON: Comparison = { lines: [], colours: new Map() };

export class Results {
  readonly #o: ResultsOptions;
  readonly #frames: Frames;
  readonly #loader: Loader;
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
  #shapes: readonly ViewShape[] = [];
  #selection: Selection | undefined;
  #filter: Filter = new Map();
  #whole: Series = NO_SERIES;
  #comparison: Comparison = NO_COMPARISON;
  /** The figure of each area in the current window. */
  #values: Float64Array = new Float64Array();
  #hovered: number | undefined;
  /** Areas of the address that no results are of. */
  readonly #unknown = new Set<string>();
  #isFitted = false;
  #grows: boolean | undefined;

  constructor(options: ResultsOptions) {
    this.#o = options;
    useZoneNames((id) => zoneName(options.zones, id));
    this.#frames = new Frames(new Areas(options.places, options.zones));
    this.#timeline = new Timeline({
      onChange: (settled) => {
        this.#drawWindow();
        if (settled) options.onChoice(false);
      },
      words: (index) => this.#words(index),
      isReady: (index) => this.#isReady(index),
    });
    this.#loader = new Loader({
      source: options.source,
      frames: this.#frames,
      at: () => this.#timeline,
      onLoaded: () => this.#drawData(),
    });
    const text = (value: number) => figureText(value, this.#selection?.metric ?? { isTime: false });
    const picked = { onPick: (index: number) => this.#timeline.goTo(index), text };
    this.#stage = new Lines(byId('stage-lines'), picked);
    this.#through = new Lines(byId('through-lines'), picked);
    const onPin = (id: string) => this.#pin(id);
    const step = (value: number) => this.#scale.stepOf(value);
    this.#sessions = new Sessions(byId('stage-sessions'), { text, step, onPick: onPin });
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
    byId('clear-pins').addEventListener('click', () => this.clearPins());
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

  /** Name of the view that is shown, and of the one that a job begins with. */
  get view(): string | undefined {
    return this.#selection?.shape.name;
  }

  get firstView(): string | undefined {
    return this.#shapes[0]?.name;
  }

  get timeline(): Timeline {
    return this.#timeline;
  }

  get search(): Search {
    return this.#search;
  }

  /** What is shown, for the address: only what differs from what a job begins with. */
  get choice(): Pick<Choice, 'view' | 'figure' | 'at' | 'pins' | 'filter'> {
    const selection = this.#selection;
    if (!selection) return { pins: [], filter: new Map() };
    return {
      ...choiceOf(selection),
      ...(selection.shape.name === this.#shapes[0]?.name ? {} : { view: selection.shape.name }),
      ...(this.#at === undefined ? this.#newest : { at: this.#at }),
    };
  }

  /** While a job runs, an address without a time follows the newest window; later, it must say so. */
  get #newest(): Pick<Choice, 'at'> {
    return this.#grows === false ? { at: 'newest' } : {};
  }

  /** Whether the job goes on, so that the colour scale leaves room for more. */
  set grows(yes: boolean) {
    const isNew = this.#grows === undefined;
    this.#grows = yes;
    if (!isNew || !yes) return;
    this.#scale.clear();
    this.#drawData();
  }

  /** From the first to the last window, ms. */
  get span(): number {
    const { list } = this.#frames;
    return list.length === 0 ? 0 : list.at(-1)!.end - list[0]!.start;
  }

  /** Label of the chosen window; undefined while the newest is followed. */
  get #at(): number | undefined {
    return this.#timeline.isFollowing ? undefined : this.#frame?.label;
  }

  get #frame(): Frame | undefined {
    return this.#frames.list[this.#timeline.index];
  }

  /** A window of the view; undefined if there is none. */
  get #shown(): Shown | undefined {
    const frame = this.#frame;
    if (!this.#selection || !frame) return undefined;
    return { ...this.#selection, frame, frames: this.#frames, filter: this.#filter };
  }

  /** Begins with the windows of a view, or with the same ones anew; returns what in the choice makes no sense, in words. */
  begin({ shapes, view, labels, totals }: History, choice: Choice): string[] {
    const shape = shapes.find(({ name }) => name === view);
    const isAgain = shape !== undefined && JSON.stringify(shape) === JSON.stringify(this.#selection?.shape);
    const at = isAgain ? this.#at : undefined;
    this.#loader.hold();
    this.#shapes = shapes;
    if (!shape) this.#selection = undefined;
    this.#frames.begin(shape, labels, totals.find((found) => found.view === view)?.windows ?? []);
    this.#others.begin(shapes, totals);
    let nonsense: string[] = [];
    if (isAgain) {
      this.#drawData();
      if (at !== undefined && !this.isEmpty) this.#timeline.turnTo(this.#frames.indexOf(at));
    } else {
      this.#isFitted = false;
      nonsense = shape ? this.#select(shape, choice) : [];
    }
    this.#loader.begin(shape?.name ?? '');
    return nonsense;
  }

  /** Forgets the view, so that another job begins with nothing of this one. */
  leave(): void {
    this.#selection = undefined;
    this.#grows = undefined;
  }

  /** Shows what an address says of the view; returns what in it makes no sense, in words. */
  choose(choice: Choice): string[] {
    return this.#selection ? this.#select(this.#selection.shape, choice) : [];
  }

  #select(shape: ViewShape, choice: Choice): string[] {
    const nonsense: string[] = [];
    this.#selection = selectionOf(shape, choice, nonsense);
    this.#scale.clear();
    this.#drawData();
    if (choice.at === undefined || choice.at === 'newest') this.#timeline.turnTo('newest');
    else if (!this.isEmpty) {
      const index = this.#frames.indexOf(choice.at);
      const { start = 0, end = 0 } = this.#frames.list[index] ?? {};
      if (choice.at < start || choice.at >= end) nonsense.push(`no window is that of ${stamp(choice.at)}`);
      this.#timeline.turnTo(index);
    }
    return nonsense;
  }

  take({ windows, stale, totals }: Changes): void {
    if (!this.#selection) return;
    this.#frames.take(windows);
    if (stale.length > 0) this.#frames.forget(stale);
    const own = totals.find(({ view }) => view === this.#selection!.shape.name);
    if (own) this.#frames.takeTotals(own.windows);
    this.#others.take(totals);
    this.#drawData();
    if (this.#frames.isPartial) void this.#loader.load();
  }

  /** Shows why there is nothing to see; an empty text hides the explanation. */
  explain(text: string): void {
    byId('none').hidden = text === '';
    setText(byId('none'), text);
  }

  /** Goes to the busiest window: for a finished job it says more than the last one. */
  showBusiest(): void {
    if (!this.#timeline.isFollowing) return;
    const values = this.#profile();
    const busiest = values.reduce((best, value, i) => (value > (values[best] ?? 0) ? i : best), -1);
    if (busiest >= 0) this.#timeline.turnTo(busiest);
  }

  /** Zooms the map to where the data is. */
  fit(): void {
    const box = this.#dataBox();
    if (box) this.#map?.fit(box);
  }

  #isReady(index: number): boolean {
    const isReady = this.#frames.list[index]?.rows !== undefined;
    if (!isReady) void this.#loader.load();
    return isReady;
  }

  /** Draws everything: windows, results or the choice are others. */
  #drawData(): void {
    const [selection, frames] = [this.#selection, this.#frames];
    for (const id of ['window-time', 'figures', 'toolbar', 'tables', 'areas-box'])
      byId(id).hidden = this.isEmpty;
    if (!selection) {
      this.#timeline.show([], new Float64Array(), () => 0);
      this.#drawWindow();
      return;
    }
    const { shape, metric } = selection;
    this.#filter = filterOf(frames, selection);
    this.#toolbar.show(this.#shapes, selection, this.#filter, frames);
    this.#whole = wholeSeries(frames, metric, this.#filter);
    this.#comparison = comparisonOf(frames, selection, this.#filter, this.#whole);
    const didGrow = this.#scale.fit(frames, selection, this.#filter, this.#grows === true);
    this.#scale.draw(metric, didGrow ? this.#frame : undefined);
    this.#drawPicture(selection);
    this.#tellUnknown(selection);
    this.#timeline.show(frames.list, this.#profile(), (label) => frames.indexOf(label));
    this.#others.show(shape);
    if (!this.#isFitted && this.#map && frames.areas.all.length > 0) {
      this.#isFitted = true;
      const box = this.#dataBox();
      // While a job runs, trips elsewhere are to be expected.
      if (box) this.#map.fit(this.#grows ? around(box, HOME) : box);
    }
    this.#drawWindow();
  }

  #tellUnknown({ shape, pins }: Selection): void {
    if (!placeOf(shape) || this.#frames.isPartial || this.isEmpty) return;
    const unknown = pins.filter((code) => this.#frames.areas.find(code) === undefined);
    // Each is told once.
    const untold = unknown.filter((code) => !this.#unknown.has(code));
    for (const code of untold) this.#unknown.add(code);
    if (untold.length > 0) this.#o.onUnknown(untold);
  }

  /** The heights behind the slider: the figure itself if it grows with the trips, else of how many it is made. */
  #profile(): Float64Array {
    const { values, of } = this.#whole;
    if (this.#selection?.metric.combine) return values;
    return of?.some((count) => count > 0) ? of : values;
  }

  /** Shows the map or a chart, and the lines through all windows. */
  #drawPicture({ shape, metric, pins }: Selection): void {
    const picture = pictureOf(shape);
    const { lines, colours } = this.#comparison;
    const isThrough = (picture === 'map' || picture === 'list') && lines.length > 0;
    byId('map-box').hidden = picture !== 'map';
    byId('stage').hidden = picture === 'map';
    byId('search-box').hidden = !placeOf(shape);
    for (const id of ['stage-lines', 'stage-key']) byId(id).hidden = picture !== 'lines';
    byId('stage-sessions').hidden = picture !== 'sessions';
    byId('stage-list').hidden = picture !== 'list';
    byId('zones-note').hidden = !this.#frames.areas.drawsZones;
    byId('legend').hidden = this.isEmpty || picture !== 'map';
    byId('through').hidden = !isThrough;
    byId('clear-pins').hidden = pins.length === 0;
    setText(byId('stage-title'), captionOf(shape, metric));
    setText(byId('through-title'), `${capital(metric.label)} through time`);
    if (picture === 'lines') this.#stage.show(this.#frames.list, lines, metric.isTime);
    if (picture === 'sessions') this.#sessions.show(sessionsOf(this.#frames, shape, metric), this.#frame);
    if (isThrough) this.#through.show(this.#frames.list, lines, metric.isTime);
    const marks = new Map<number, number>();
    for (const code of pins) {
      const area = this.#frames.areas.find(code);
      if (area !== undefined) marks.set(area, colours.get(code) ?? 1);
    }
    this.#map?.select(marks);
  }

  /** Draws what belongs to the current window. */
  #drawWindow(): void {
    const shown = this.#shown;
    setText(byId('window-day'), shown ? dayOf(shown.frame.start) : 'Nothing to show');
    setText(byId('window-time'), shown ? spanWords(shown.frame.start, shown.frame.end) : '–');
    byId('window-by').hidden = !shown;
    if (!shown) return;
    const { shape, metric, frame } = shown;
    const what = shape.window.kind === 'session' ? 'sessions that ended, ' : '';
    setText(byId('window-by'), `${what}${timeWords(shape)} · ${zoneWords()}`);
    const { areas } = this.#frames;
    this.#values = byArea(frame.rows, metric, this.#filter, areas.all.length);
    this.#map?.show(areas, (area) => this.#scale.stepOf(this.#values[area]!));
    const { index } = this.#timeline;
    this.#stage.mark(index);
    this.#through.mark(index);
    this.#sessions.mark(frame);
    this.#others.mark(frame);
    showFigures(shown, this.#comparison.lines, index);
    this.#drawRanking(shown);
    this.#drawTables();
    this.#drawTip();
    if (frame.rows === undefined) void this.#loader.load();
  }

  #drawRanking(shown: Shown): void {
    const { shape, metric, frame } = shown;
    const isList = pictureOf(shape) === 'list';
    const most = Math.max(AREAS_SHOWN, shape.top?.n ?? 0);
    const items = rankedOf(shown, {
      values: this.#values,
      most,
      colours: this.#comparison.colours,
      stepOf: (value) => this.#scale.stepOf(value),
    });
    const what = placeOf(shape) ? 'areas' : shape.keys.map(({ name }) => wordsOf(name)).join(' and ');
    setText(byId('areas-title'), shape.top ? `First ${shape.top.n}` : `${capital(what)} by ${metric.label}`);
    byId('areas-box').hidden = isList || shape.keys.length === 0;
    byId('areas-none').hidden = items.length > 0;
    setText(byId('areas-none'), noneText(frame));
    byId('areas-note').hidden = !addsUpPart(shown) || items.length === 0;
    this.#ranking.show(isList ? [] : items.slice(0, most));
    this.#list.show(isList ? items : []);
  }

  #drawTables(): void {
    const shown = this.#shown;
    if (this.#tables.open && shown) showTables(shown, this.#comparison.lines, this.#whole);
  }

  #words(index: number): string {
    const metric = this.#selection?.metric;
    if (!metric) return '';
    const value = this.#whole.values[index];
    return `${figureText(value, metric)} ${labelOf(value, metric)}`;
  }

  #chooseFigure(name: string): void {
    const metric = this.#selection?.metrics.find((found) => found.name === name);
    if (metric) this.#change({ metric }, true);
  }

  #chooseWord(key: number, word: string | undefined): void {
    const words = new Map(this.#selection?.words);
    if (word === undefined) words.delete(key);
    else words.set(key, word);
    this.#change({ words }, true);
  }

  /** Pins an area or key, so that it has a line, or lets go of it. */
  #pin(id: string): void {
    const pins = this.#selection?.pins ?? [];
    const others = pins.filter((pin) => pin !== id);
    this.#change({ pins: pins.includes(id) ? others : [...others, id].slice(-MOST_PINS) }, false);
  }

  /** Changes what is chosen; `isOther`: other figures, which need a scale of their own. */
  #change(change: Partial<Selection>, isOther: boolean): void {
    if (!this.#selection) return;
    this.#selection = { ...this.#selection, ...change };
    if (isOther) this.#scale.clear();
    this.#drawData();
    this.#o.onChoice(true);
  }

  /** Lets go of all areas and keys that are compared. */
  clearPins(): void {
    if (this.#selection && this.#selection.pins.length > 0) this.#change({ pins: [] }, false);
  }

  #found(area: number): void {
    const { code } = this.#frames.areas.all[area]!;
    if (!this.#selection?.pins.includes(code)) this.#pin(code);
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
    const shown = this.#shown;
    const pin = matchMedia('(hover: none)').matches ? shown?.pins.at(-1) : undefined;
    const area = this.#hovered ?? (pin === undefined ? undefined : this.#frames.areas.find(pin));
    const tip = byId('tip');
    const place = area === undefined ? undefined : (at ?? this.#map?.placeOf(area));
    tip.hidden = !place || !shown;
    if (area === undefined || !place || !shown) return;
    showTip(tip, shown, area, this.#values[area] ?? Number.NaN);
    const box = byId('map');
    const left = Math.max(8, Math.min(place.x - tip.offsetWidth / 2, box.offsetWidth - tip.offsetWidth - 8));
    const above = place.y - tip.offsetHeight - 14;
    tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(above < 8 ? place.y + 18 : above)}px)`;
  }

  /** The part of the city with nearly all of the data. */
  #dataBox(): Box | undefined {
    const { areas, list } = this.#frames;
    const weights = new Float64Array(areas.all.length);
    for (const { rows } of list) for (const area of rows?.areas ?? []) weights[area] = weights[area]! + 1;
    return coreBox(areas.all, weights, LIMITS);
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Whether an area's figure is made of those of its keys that the view shows, so that it may be less than of all its trips. */
function addsUpPart({ shape, filter }: Shown): boolean {
  const keys = keysOf(shape).length;
  return shape.isCut && placeOf(shape) !== undefined && keys > 0 && filter.size < keys;
}

/** Why a window has no areas or keys. */
function noneText({ rows, total }: Frame): string {
  if (rows === undefined) return 'Loading …';
  return total && total.keys > 0 ? 'Nothing in this window that the view shows.' : 'Nothing in this window.';
}
