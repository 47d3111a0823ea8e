/** A result of a job of Flink as the document that the embedded engine writes for it. */

import { parseTime } from '../events/times.ts';
import { resultTypes } from '../views/check.ts';
import type { ValueType, View } from '../views/language.ts';
import { windowTimes } from '../views/windows.ts';

export interface TakenDocument {
  /** As JSON, in the order and the form of the embedded engine's. */
  readonly text: string;
  /** What tells it from other results of its window, as JSON. */
  readonly key: string;
  /** Epoch ms. */
  readonly end: number;
  /** What lists know its window by, epoch ms. */
  readonly label: number;
}

/** Reads the results of one view. */
export class DocumentReader {
  readonly view: View;
  readonly #fields: readonly (readonly [name: string, type: ValueType, isKey: boolean])[];
  readonly #times: ReturnType<typeof windowTimes>;

  constructor(view: View) {
    this.view = view;
    this.#times = windowTimes(view.window);
    this.#fields = resultTypes(view).map(([name, type]) => [name, type, Object.hasOwn(view.by, name)]);
  }

  /** Throws a plain `Error` that says what is wrong. */
  read(row: Readonly<Record<string, unknown>>): TakenDocument {
    const [start, end] = [timeOf(row, 'window_start'), timeOf(row, 'window_end')];
    this.#checkSpan(start, end);
    let text = `{"view":"${this.view.name}","window_start":"${iso(start)}","window_end":"${iso(end)}","timestamp":"${iso(end - 1)}"`;
    const key: unknown[] = [start, end];
    for (const [name, type, isKey] of this.#fields) {
      const value = fieldOf(row, name, type);
      if (isKey && value === null) throw new Error(`${name} is missing`);
      if (isKey) key.push(value);
      text += `,${JSON.stringify(name)}:${JSON.stringify(value)}`;
    }
    return { text: `${text}}`, key: JSON.stringify(key), end, label: this.#labelOf(end) };
  }

  #labelOf(end: number): number {
    const { window } = this.view;
    return window.kind === 'session'
      ? this.#times.sliceAt(end - window.gap_ms).from
      : this.#times.labelOf(end);
  }

  #checkSpan(start: number, end: number): void {
    const { window } = this.view;
    const isOwn =
      window.kind === 'session' ? end - start >= window.gap_ms : this.#times.startOf(end) === start;
    const isOne = isOwn && (window.kind === 'session' || this.#times.sliceAt(end - 1).ends.includes(end));
    if (!isOne) throw new Error(`${iso(start)} to ${iso(end)} is no window of the view`);
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function timeOf(row: Readonly<Record<string, unknown>>, name: string): number {
  const value = row[name];
  const ms = typeof value === 'string' ? parseTime(value) : Number.NaN;
  if (Number.isNaN(ms)) throw new Error(`${name} is not a time`);
  return ms;
}

function fieldOf(
  row: Readonly<Record<string, unknown>>,
  name: string,
  type: ValueType,
): string | number | null {
  const value = row[name];
  if (value === undefined) throw new Error(`there is no ${name}`);
  if (value === null) return null;
  if (type === 'time') return iso(timeOf(row, name));
  if (type === 'string') {
    if (typeof value === 'string') return value;
    throw new Error(`${name} is not a text`);
  }
  // Java writes these as texts.
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return null;
  const isRight = typeof value === 'number' && (type === 'number' || Number.isInteger(value));
  if (!isRight) throw new Error(`${name} is not ${type === 'integer' ? 'a whole number' : 'a number'}`);
  return value;
}
