/** A list of areas or keys by their figures, each with a bar; pressing one pins it. */
import { make, setText } from './elements.ts';

export interface Ranked {
  /** Identifies it. */
  readonly id: string;
  readonly name: string;
  /** A geohash or the number of a zone. */
  readonly code: string;
  readonly value: number;
  readonly figure: string;
  /** The step of its colour; 0 for none. */
  readonly step: number;
  /** The colour of its line, if it is pinned. */
  readonly pinned: number | undefined;
  readonly rank?: number;
}

export interface RankingOptions {
  onPin(id: string): void;
  /** The pointer or focus is on one, or left it. */
  onHover(id: string | undefined): void;
}

const PARTS = ['rank', 'swatch', 'label', 'code', 'figure', 'bar'];

export class Ranking {
  readonly #list: HTMLElement;
  readonly #o: RankingOptions;

  constructor(list: HTMLElement, options: RankingOptions) {
    this.#list = list;
    this.#o = options;
    list.addEventListener('mouseleave', () => options.onHover(undefined));
  }

  /** Updates the items in place, so that the focus stays. */
  show(items: readonly Ranked[]): void {
    const list = this.#list;
    const most = items.reduce((greatest, { value }) => (value > greatest ? value : greatest), 0);
    while (list.children.length > items.length) list.lastElementChild!.remove();
    items.forEach((item, i) => {
      const { id, name, code, value, figure, step, pinned, rank } = item;
      const button = (list.children[i] ?? list.appendChild(this.#item()))
        .firstElementChild as HTMLButtonElement;
      button.dataset['id'] = id;
      button.setAttribute('aria-pressed', String(pinned !== undefined));
      button.className = pinned === undefined ? '' : `s${pinned}`;
      const [place, swatch, label, place2, shown, bar] = button.children;
      setText(place!, rank === undefined ? '' : `${rank}`);
      swatch!.className = step > 0 ? `swatch step-${step}` : 'swatch none';
      setText(label!, name);
      setText(place2!, code);
      setText(shown!, figure);
      const share = most > 0 && value > 0 ? value / most : 0;
      (bar as HTMLElement).style.setProperty('--share', share.toFixed(3));
    });
  }

  #item(): HTMLLIElement {
    const parts = PARTS.map((name) => make('span', { class: name }));
    const button = make('button', { type: 'button' }, parts);
    const id = () => button.dataset['id']!;
    button.addEventListener('mouseenter', () => this.#o.onHover(id()));
    button.addEventListener('focus', () => this.#o.onHover(id()));
    button.addEventListener('blur', () => this.#o.onHover(undefined));
    button.addEventListener('click', () => this.#o.onPin(id()));
    return make('li', {}, button);
  }
}
