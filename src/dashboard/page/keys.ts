/** Keys that work anywhere on the page, and the list of them. */
import { byId, fill, make } from './elements.ts';

export interface Shortcut {
  /** As `KeyboardEvent.key` names it. */
  readonly key: string;
  readonly shown: string;
  readonly does: string;
  run(): void;
}

/** Where these keys have a meaning of their own. */
const OWN = 'input:not([type=range]), textarea, select, [contenteditable], dialog';
/** Elements that the space bar presses, and that arrows move. */
const PRESSED = 'button, summary, a, [role=button]';
const MOVED = 'input[type=range], canvas, [role=listbox], .scroll';

export class Keys {
  readonly #dialog = byId<HTMLDialogElement>('keys');
  readonly #shortcuts: readonly Shortcut[];

  constructor(shortcuts: readonly Shortcut[]) {
    const help: Shortcut = { key: '?', shown: '?', does: 'this list', run: () => this.toggle() };
    this.#shortcuts = [...shortcuts, help];
    const rows = new Map<string, string[]>();
    for (const { shown, does } of this.#shortcuts) rows.set(does, [...(rows.get(does) ?? []), shown]);
    fill(
      byId('keys-list'),
      [...rows].map(([does, shown]) =>
        make(
          'div',
          {},
          make(
            'dt',
            {},
            shown.map((key) => make('kbd', {}, key)),
          ),
          make('dd', {}, does),
        ),
      ),
    );
    addEventListener('keydown', (event) => this.#press(event));
    byId('keys-open').addEventListener('click', () => this.toggle());
    this.#dialog.addEventListener('click', ({ target }) => {
      if (target === this.#dialog) this.#dialog.close();
    });
  }

  toggle(): void {
    if (this.#dialog.open) this.#dialog.close();
    else this.#dialog.showModal();
  }

  #press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!(event.target instanceof Element) || event.target.closest(OWN)) return;
    if (event.key === ' ' && event.target.closest(PRESSED)) return;
    const isArrow = event.key.startsWith('Arrow') || ['Home', 'End'].includes(event.key);
    if (isArrow && event.target.closest(MOVED)) return;
    const found = this.#shortcuts.find(({ key }) => key === event.key || key === event.key.toLowerCase());
    if (!found) return;
    event.preventDefault();
    found.run();
  }
}
