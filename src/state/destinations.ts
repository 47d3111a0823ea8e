/** The tables in which a sink notes, in its own words, where its results go. */
import { rowCrc, type StateRows } from './rows.ts';

/** A window whose results a sink sends somewhere else than others. */
export interface WindowDestination {
  readonly view: string;
  readonly windowStart: number;
  readonly destination: string;
}

export class DestinationTables {
  readonly #rows: StateRows;
  readonly #get;
  readonly #set;
  readonly #ofWindows;
  readonly #add;

  constructor(rows: StateRows) {
    this.#rows = rows;
    this.#get = rows.prepare('SELECT crc, destinations FROM destinations WHERE sink = ?');
    this.#set = rows.prepare(
      'INSERT OR REPLACE INTO destinations (sink, crc, destinations) VALUES (?, ?, ?)',
    );
    this.#ofWindows = rows.prepare(
      'SELECT view, window_start AS windowStart, crc, destination FROM window_destinations WHERE sink = ?',
    );
    this.#add = rows.prepare(
      'INSERT OR REPLACE INTO window_destinations (sink, view, window_start, crc, destination) VALUES (?, ?, ?, ?, ?)',
    );
  }

  /** What a sink noted last; undefined when it is new. */
  destinations(sink: string): string | undefined {
    const row = this.#rows.attempt(() => this.#get.get(sink)) as
      | { crc: number; destinations: string }
      | undefined;
    if (!row) return undefined;
    this.#rows.verify(row.crc, [sink], row.destinations, `the destinations of ${sink}`);
    return row.destinations;
  }

  setDestinations(sink: string, destinations: string): void {
    this.#rows.attempt(() => this.#set.run(sink, rowCrc([sink], destinations), destinations));
  }

  /** The windows whose results go elsewhere than `destinations` says. */
  windowDestinations(sink: string): WindowDestination[] {
    const rows = this.#rows.attempt(() => this.#ofWindows.all(sink)) as (WindowDestination & {
      crc: number;
    })[];
    return rows.map(({ crc, ...row }) => {
      const key = [sink, row.view, row.windowStart];
      this.#rows.verify(crc, key, row.destination, `the destinations of ${sink}`);
      return row;
    });
  }

  addWindowDestinations(sink: string, added: readonly WindowDestination[]): void {
    this.#rows.transaction(() => {
      for (const { view, windowStart, destination } of added)
        this.#add.run(sink, view, windowStart, rowCrc([sink, view, windowStart], destination), destination);
    });
  }
}
