/**
 * The watermark of a replay.
 *
 *  W1 It is never ahead of a trip that isn't acknowledged yet: it is the earliest drop-off among the trips in flight and
 *     the next trip to send, minus 1 ms because drop-offs tie.
 *  W2 It never goes back.
 * Times are epoch ms. Puts begin in drop-off order and may settle in any order.
 */
export class ReplayWatermark {
  /** First drop-off and first trip id of each put in flight, in the order they began. */
  readonly #inFlight = new Map<number, { dropoff: number; id: number }>();
  #puts = 0;
  #next = { dropoff: Number.NEGATIVE_INFINITY, id: 0 };
  #last = Number.NEGATIVE_INFINITY;
  #end: number | undefined;
  #value = Number.NEGATIVE_INFINITY;

  /** Sets the trip that will be sent next. */
  nextIs(dropoff: number, id: number): void {
    this.#next = { dropoff, id };
  }

  /** Begins a put of trips with drop-offs from `first` to `last`, the first with `id`; returns a token for `settle`. */
  begin(first: number, last: number, id: number): number {
    this.#inFlight.set(++this.#puts, { dropoff: first, id });
    this.#last = Math.max(this.#last, last);
    return this.#puts;
  }

  /** Ends a put: each of its trips is acknowledged or refused for good. */
  settle(token: number): void {
    this.#inFlight.delete(token);
  }

  /** Notes that the trips up to this drop-off were acknowledged in an earlier run. */
  passed(dropoff: number): void {
    this.#last = Math.max(this.#last, dropoff);
  }

  /** Ends the replay: the final watermark is the last drop-off, but stays before `unsent`, the first trip left out. */
  finish(unsent = Number.POSITIVE_INFINITY): void {
    this.#end = Math.min(this.#last, unsent - 1);
  }

  /** Epoch ms; −Infinity before the first trip. */
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
