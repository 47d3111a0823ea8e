/** Results as JSON, split into pieces of bounded size. */
import type { CompiledView } from '../../views/javascript/compiled-view.ts';
import { RETRACTED } from '../../views/language.ts';
import type { Key, WindowSpan } from './pane-runs.ts';

/** Characters of documents after which a piece ends, so that a window of any size can be written. */
const PIECE_LENGTH = 1 << 18;

/** Results of one window of one view, or a piece of them if there are many. Lists know the window by `windowStart` (`WindowTimes.labelOf`). */
export interface Firing extends WindowSpan {
  readonly view: string;
  /** Result documents as JSON, in key order, joined by `,` and a newline. */
  readonly docs: string;
  readonly count: number;
  /** True if the window had fired before. */
  readonly correction: boolean;
  /** Totals of the window as JSON (`totals.ts`), with its last piece. */
  readonly totals?: string;
}

/** Packs documents into pieces. `totals` is asked once they are all read; without documents and totals, there is no piece. */
export function* inPieces(
  window: Pick<Firing, 'view' | 'windowStart' | 'windowEnd' | 'correction'>,
  documents: Iterable<string>,
  totals: () => string | undefined = () => undefined,
): Generator<Firing> {
  let docs: string[] = [];
  let length = 0;
  for (const document of documents) {
    docs.push(document);
    length += document.length;
    if (length < PIECE_LENGTH) continue;
    yield { ...window, docs: docs.join(',\n'), count: docs.length };
    docs = [];
    length = 0;
  }
  const last = { ...window, docs: docs.join(',\n'), count: docs.length };
  const text = totals();
  if (text !== undefined) yield { ...last, totals: text };
  else if (last.count > 0) yield last;
}

/** Writes the results of one window. */
export class Documents {
  readonly #view: CompiledView;
  readonly #head: string;
  readonly #rank: string | undefined;

  constructor(view: CompiledView, span: WindowSpan) {
    this.#view = view;
    this.#head = headOf(view, span);
    this.#rank = view.view.top?.rank;
  }

  /** `span` is that of a session, and `rank` the place in a top. */
  result(key: Key, values: readonly number[], span?: WindowSpan, rank?: number): string {
    let text = (span ? headOf(this.#view, span) : this.#head) + this.#keyText(key);
    for (const [i, { name, type }] of this.#view.states.entries())
      text += `,"${name}":${jsonNumber(values[i]!, type)}`;
    if (rank !== undefined && this.#rank !== undefined) text += `,"${this.#rank}":${rank}`;
    return `${text}}`;
  }

  /** Retracts the result of a key. */
  retraction(key: Key): string {
    return `${this.#head}${this.#keyText(key)},"${RETRACTED}":true}`;
  }

  #keyText(key: Key): string {
    let text = '';
    for (const [i, { name, type }] of this.#view.key.entries()) {
      const value = key[i]!;
      text += `,"${name}":${typeof value === 'string' ? JSON.stringify(value) : jsonNumber(value, type)}`;
    }
    return text;
  }
}

function headOf({ view }: CompiledView, { windowStart: start, windowEnd: end }: WindowSpan): string {
  const iso = (ms: number) => new Date(ms).toISOString();
  return `{"view":"${view.name}","window_start":"${iso(start)}","window_end":"${iso(end)}","timestamp":"${iso(end - 1)}"`;
}

/** A number as in a result; a value of type `time` is epoch ms. */
export function jsonNumber(value: number, type: string): string {
  if (!Number.isFinite(value)) return 'null';
  return type === 'time' ? `"${new Date(value).toISOString()}"` : String(value);
}
