/** Finds an area by its name, geohash or zone number: a text field with a list of matches. */
import type { Area } from './areas.ts';
import { byId, fill, make } from './elements.ts';
import { findPlaces, type Place } from './places.ts';

const MOST_FOUND = 8;

export class Search {
  readonly #input = byId<HTMLInputElement>('search');
  readonly #list = byId('found');
  readonly #areas: () => readonly Area[];
  readonly #onFound: (area: number) => void;
  #found: readonly Area[] = [];
  #active = -1;

  constructor(areas: () => readonly Area[], onFound: (area: number) => void) {
    this.#areas = areas;
    this.#onFound = onFound;
    this.#input.addEventListener('input', () => this.#look());
    this.#input.addEventListener('keydown', (event) => this.#press(event));
    this.#input.addEventListener('blur', () => this.#close());
    // Before the field loses its focus.
    this.#list.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      const item = (event.target as Element).closest<HTMLElement>('[role=option]');
      if (item?.dataset['at'] !== undefined) this.#take(Number(item.dataset['at']));
    });
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  #look(): void {
    const text = this.#input.value.trim();
    this.#found = text === '' ? [] : matches(this.#areas(), text).slice(0, MOST_FOUND);
    this.#active = this.#found.length > 0 ? 0 : -1;
    this.#draw(text !== '');
  }

  #press(event: KeyboardEvent): void {
    const { key } = event;
    if (key === 'Escape') {
      this.#input.value = '';
      this.#close();
      this.#input.blur();
    } else if (key === 'Enter') this.#take(this.#active);
    else if (key === 'ArrowDown' || key === 'ArrowUp') {
      event.preventDefault();
      const count = this.#found.length;
      if (count > 0) this.#active = (this.#active + (key === 'ArrowDown' ? 1 : count - 1)) % count;
      this.#draw(true);
    }
  }

  #take(at: number): void {
    const area = this.#found[at];
    if (!area) return;
    this.#input.value = '';
    this.#close();
    this.#onFound(area.index);
  }

  #draw(isOpen: boolean): void {
    this.#list.hidden = !isOpen;
    this.#input.setAttribute('aria-expanded', String(isOpen));
    if (this.#active < 0) this.#input.removeAttribute('aria-activedescendant');
    else this.#input.setAttribute('aria-activedescendant', `found-${this.#active}`);
    const items = this.#found.map(({ name, borough, code }, i) =>
      make(
        'div',
        {
          role: 'option',
          id: `found-${i}`,
          'data-at': String(i),
          'aria-selected': String(i === this.#active),
        },
        make('b', {}, name),
        ` ${borough} `,
        make('span', { class: 'code' }, code),
      ),
    );
    const none = make('div', { role: 'option', 'aria-disabled': 'true' }, 'No area of that name has results');
    fill(this.#list, items.length > 0 ? items : none);
  }

  #close(): void {
    this.#found = [];
    this.#active = -1;
    this.#draw(false);
  }
}

/** Areas by code, then by name. */
function matches(areas: readonly Area[], text: string): Area[] {
  const lower = text.toLowerCase();
  const byCode = areas.filter(({ code }) => code === lower || (lower.length > 2 && code.startsWith(lower)));
  const places = new Map<Place, Area>();
  for (const area of areas) places.set([area.name, area.borough, 0, 0], area);
  const byName = findPlaces([...places.keys()], text).map((place) => places.get(place)!);
  return [...new Set([...byCode, ...byName])];
}
