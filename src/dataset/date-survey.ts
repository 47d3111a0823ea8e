/**
 * Decides the order of day and month in dates such as 3/4/2016 by the dates of the file: a number over 12 is a day.
 * If a file has dates of both orders, or none that decides, ambiguous dates are read with the month first.
 */
import { type DateOrder, dateOrderOf } from '../events/times.ts';

export class DateSurvey {
  readonly #seen = new Set<'mdy' | 'dmy'>();

  /** Takes one cell; true if it is a date whose order matters. */
  note(cell: unknown): boolean {
    const order = typeof cell === 'string' ? dateOrderOf(cell) : undefined;
    if (order === 'mdy' || order === 'dmy') this.#seen.add(order);
    return order !== undefined;
  }

  /** The order. If the dates didn't decide it, `onNote` says so. */
  settle(source: string, onNote: (note: string) => void): DateOrder {
    const [order = 'mdy'] = this.#seen;
    if (this.#seen.size === 1) return order;
    const both = this.#seen.size > 1;
    const which = both
      ? 'with the day first and with the month first; ambiguous ones are'
      : 'that could have the day or the month first; they are';
    onNote(
      `${source} has dates ${which} read as month/day/year; --date-order dmy reads them as day/month/year`,
    );
    return both ? 'mixed' : 'mdy';
  }
}
