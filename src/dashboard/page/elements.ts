/** Finds and makes elements of the page. Text is always set as text, so data is never parsed as HTML. */

export function byId<T extends Element = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element ${id}`);
  return element as unknown as T;
}

export type Content = string | Node | readonly Content[];

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...content: Content[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  add(element, content);
  return element;
}

/** Appends content. */
export function add(element: Element, content: Content): void {
  if (typeof content === 'string' || content instanceof Node) element.append(content);
  else for (const part of content) add(element, part);
}

/** Replaces the content of an element. */
export function fill(element: Element, ...content: Content[]): void {
  element.replaceChildren();
  add(element, content);
}

const SVG = 'http://www.w3.org/2000/svg';

export function draw<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | number>> = {},
  ...content: Content[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  add(element, content);
  return element;
}

/** Sets text only if it differs, to avoid a redraw. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Updates the content of an element in place, so that focus and scroll positions stay. */
export function renew(element: Element, ...content: Content[]): void {
  const wanted = make('div', {}, content);
  renewChildren(element, wanted);
}

function renewChildren(element: Element, wanted: Element): void {
  const [old, fresh] = [[...element.childNodes], [...wanted.childNodes]];
  for (const extra of old.slice(fresh.length)) extra.remove();
  fresh.forEach((node, i) => {
    const known = old[i];
    if (!known) element.append(node);
    else if (!alike(known, node)) known.replaceWith(node);
    else if (known instanceof Element && node instanceof Element) renewElement(known, node);
    else if (known.nodeValue !== node.nodeValue) known.nodeValue = node.nodeValue;
  });
}

function alike(a: Node, b: Node): boolean {
  return a.nodeName === b.nodeName && a.nodeType === b.nodeType;
}

function renewElement(known: Element, wanted: Element): void {
  for (const { name } of [...known.attributes]) if (!wanted.hasAttribute(name)) known.removeAttribute(name);
  for (const { name, value } of wanted.attributes) {
    if (known.getAttribute(name) !== value) known.setAttribute(name, value);
  }
  renewChildren(known, wanted);
}

/** A scrolling table. `figures` are the indexes of the columns of numbers; the first column holds the row headers. */
export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly Content[])[],
  figures: readonly number[],
): HTMLElement {
  const kind = (i: number): Record<string, string> => (figures.includes(i) ? { class: 'n' } : {});
  const heading = (text: string, i: number) =>
    text === '' ? make('td') : make('th', { scope: 'col', ...kind(i) }, text);
  const cell = (content: Content, i: number) =>
    i === 0 ? make('th', { scope: 'row' }, content) : make('td', kind(i), content);
  return make(
    'section',
    { class: 'scroll', tabindex: '0', 'aria-label': `${caption}, as a table` },
    make(
      'table',
      {},
      make('caption', {}, caption),
      make('thead', {}, make('tr', {}, head.map(heading))),
      make(
        'tbody',
        {},
        rows.map((row) => make('tr', {}, row.map(cell))),
      ),
    ),
  );
}
