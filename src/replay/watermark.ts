/**
 * The watermark of a replay.
 *
 *  W1 it is never ahead of a trip that isn't acknowledged yet: the earliest drop-off among all trips in flight
 *     and the next one to send, less 1 ms, since drop-offs tie.
 *  W2 it never goes back.
 * Times are epoch milliseconds. Puts begin in drop-off order; they may settle in any.
 */
export class ReplayWatermark {
  /** First drop-off and first trip id of each put in flight, in the order they began. */
  readonly #inFlight = new Map<number, { dropoff: number; id: number }>();
  #puts = 0;
  #next = { dropoff: Number.NEGATIVE_INFINITY, id: 0 };
  #last = Number.NEGATIVE_INFINITY;
  #end: number | undefined;
  #value = Number.NEGATIVE_INFINITY;

  /** Which trip will be sent next. */
  nextIs(dropoff: number, id: number): void {
    this.#next = { dropoff, id };
  }

  /** A put of trips from `first` to `last` drop-off begins; returns its token. */
  begin(first: number, last: number, id: number): number {
    this.#inFlight.set(++this.#puts, { dropoff: first, id });
    this.#last = Math.max(this.#last, last);
    return this.#puts;
  }

  /** Every trip of a put is acknowledged, or refused for good. */
  settle(token: number): void {
    this.#inFlight.delete(token);
  }

  /** Trips up to this drop-off were acknowledged in an earlier run. */
  passed(dropoff: number): void {
    this.#last = Math.max(this.#last, dropoff);
  }

  /** No trip follows, but those from `unsent` on that were not asked for: the watermark ends at the last drop-off. */
  finish(unsent = Number.POSITIVE_INFINITY): void {
    this.#end = Math.min(this.#last, unsent - 1);
  }

  /** Epoch ms; −Infinity while nothing can be said. */
  get value(): number {
    const oldest = this.#inFlight.values().next().value;
    if (oldest) this.#raise(oldest.dropoff - 1);
    else this.#raise(this.#end ?? this.#next.dropoff - 1);
    return this.#value;
  }

  /** Every trip with a lower id is settled. */
  get settledBelow(): number {
    return this.#inFlight.values().next().value?.id ?? this.#next.id;
  }

  #raise(to: number): void {
    if (to > this.#value) this.#value = to;
  }
}
