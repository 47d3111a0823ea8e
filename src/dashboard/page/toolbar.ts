/** What can be chosen: the view, its figure, and words of its other keys. */

import { MOST_WORDS } from './compare.ts';
import { byId, fill, make } from './elements.ts';
import type { Filter } from './figures.ts';
import type { Frames } from './frames.ts';
import { type Metric, meaningOf, placeOf, titleOf, wordKeys, wordsOf } from './metrics.ts';
import type { Selection } from './selection.ts';
import type { ViewShape } from './wire.ts';

export interface ToolbarOptions {
  onView(view: string): void;
  onFigure(name: string): void;
  /** A word of a key field besides the place, or all of them. */
  onFilter(key: number, word: string | undefined): void;
}

export class Toolbar {
  readonly #view = byId<HTMLSelectElement>('view');
  readonly #figure = byId<HTMLSelectElement>('figure');
  readonly #filters = byId('filters');
  readonly #o: ToolbarOptions;

  constructor(options: ToolbarOptions) {
    this.#o = options;
    byId('toolbar').addEventListener('submit', (event) => event.preventDefault());
    this.#view.addEventListener('change', () => {
      // What there is to choose of it is not known yet.
      for (const select of [this.#figure, ...this.#filters.querySelectorAll('select')])
        select.disabled = true;
      options.onView(this.#view.value);
    });
    this.#figure.addEventListener('change', () => options.onFigure(this.#figure.value));
    const copy = byId<HTMLButtonElement>('copy-link');
    // An address of a file leads nobody else to it.
    copy.hidden = location.protocol === 'file:';
    copy.addEventListener('click', async () => {
      const was = 'Copy link';
      try {
        await navigator.clipboard.writeText(location.href);
        copy.textContent = 'Copied';
      } catch {
        copy.textContent = 'Copy it from the address bar';
      }
      setTimeout(() => {
        copy.textContent = was;
      }, 2_000);
    });
  }

  show(
    shapes: readonly ViewShape[],
    { shape, metrics, metric }: Selection,
    filter: Filter,
    frames: Frames,
  ): void {
    const views = shapes.map((view) => [view.name, titleOf(view)] as const);
    setOptions(this.#view, views, shape.name);
    setOptions(
      this.#figure,
      metrics.map(({ name, label }) => [name, label] as const),
      metric.name,
    );
    this.#figure.disabled = false;
    byId('figure-box').hidden = metrics.length < 2;
    this.#showFilters(shape, metric, filter, frames);
  }

  #showFilters(shape: ViewShape, metric: Metric, filter: Filter, frames: Frames): void {
    const keys = wordKeys(shape);
    // A single key without a place is what lines and bars are of.
    const isChoice = placeOf(shape) !== undefined || keys.length > 1;
    const words = isChoice ? keys.map((_, at) => frames.wordsOf(at, MOST_WORDS)) : [];
    keys.forEach((key, at) => {
      const select = this.#select(at, wordsOf(shape.keys[key]!.name));
      const all = words[at] ?? [];
      select.disabled = false;
      select.parentElement!.hidden = all.length < 2;
      const needsOne = metric.combine === undefined && placeOf(shape) !== undefined;
      const options = all.map((word) => [word, meaningOf(shape.keys[key]!, word)] as const);
      options.sort(([, a], [, b]) => a.localeCompare(b, 'en', { numeric: true }));
      setOptions(select, needsOne ? options : [['', 'all'], ...options], filter.get(at) ?? '');
    });
    while (this.#filters.children.length > keys.length) this.#filters.lastElementChild!.remove();
  }

  #select(at: number, name: string): HTMLSelectElement {
    const known = this.#filters.children[at];
    if (known) {
      known.firstElementChild!.textContent = name;
      return known.querySelector('select')!;
    }
    const select = make('select', { 'data-key': String(at) });
    select.addEventListener('change', () =>
      this.#o.onFilter(at, select.value === '' ? undefined : select.value),
    );
    this.#filters.append(make('label', { class: 'pick' }, make('span', {}, name), select));
    return select;
  }
}

/** Sets options only if they differ, so that an open list stays open. */
function setOptions(
  select: HTMLSelectElement,
  options: readonly (readonly [value: string, text: string])[],
  chosen: string,
): void {
  const known = [...select.options].map(({ value, text }) => `${value}\n${text}`).join('\n');
  const wanted = options.map(([value, text]) => `${value}\n${text}`).join('\n');
  if (known !== wanted)
    fill(
      select,
      options.map(([value, text]) => make('option', { value }, text)),
    );
  if (select.value !== chosen) select.value = chosen;
}
