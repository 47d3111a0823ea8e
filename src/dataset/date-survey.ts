/**
 * The order of day and month in dates such as 3/4/2016, decided for a file by its own dates: a number over 12 tells.
 * Where dates of both orders are found, those that could be either have the month first; so have those of a file that
 * doesn't tell.
 */
import { type DateOrder, dateOrderOf } from '../events/times.ts';

export class DateSurvey {
  readonly #seen = new Set<'mdy' | 'dmy'>();

  /** Takes one cell; whether it is a date whose order matters. */
  note(cell: unknown): boolean {
    const order = typeof cell === 'string' ? dateOrderOf(cell) : undefined;
    if (order === 'mdy' || order === 'dmy') this.#seen.add(order);
    return order !== undefined;
  }

  /** The order, told in a note where the file didn't settle it. */
  settle(source: string, onNote: (note: string) => void): DateOrder {
    const [order = 'mdy'] = this.#seen;
    if (this.#seen.size === 1) return order;
    const both = this.#seen.size > 1;
    const which = both
      ? 'with the day first and with the month first; those that could be either are'
      : 'that could have the day or the month first; they are';
    onNote(
      `${source} has dates ${which} read as month/day/year; --date-order dmy reads them as day/month/year`,
    );
    return both ? 'mixed' : 'mdy';
  }
}
