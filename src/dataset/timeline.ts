/** How many trips end when: the span of a replay, known once its input is read. */

/** Ms per bucket, as long as there are few enough buckets. */
const HOUR = 3_600_000;
/** Strays of other years would make very many buckets: beyond so many, two become one. */
const MOST_BUCKETS = 20_000;

/** Trips that end from `start` up to `start` + the timeline's `width`. */
export interface TimelineBucket {
  /** Epoch ms. */
  readonly start: number;
  readonly trips: number;
}

export class Timeline {
  /** Drop-off time of the first and the last trip, epoch ms; infinite before there is one. */
  first = Number.POSITIVE_INFINITY;
  last = Number.NEGATIVE_INFINITY;
  /** Ms per bucket. */
  width = HOUR;
  readonly #counts = new Map<number, number>();
  /** The bucket of the last trip, which isn't in `#counts` yet. */
  #start = Number.NaN;
  #trips = 0;

  /** Adds a trip by its drop-off time, epoch ms. */
  add(dropoff: number): void {
    if (dropoff < this.first) this.first = dropoff;
    if (dropoff > this.last) this.last = dropoff;
    // Rows are nearly in order, so most trips fall into the bucket of the one before.
    if (dropoff >= this.#start && dropoff < this.#start + this.width) {
      this.#trips++;
      return;
    }
    this.#flush();
    this.#start = Math.floor(dropoff / this.width) * this.width;
    this.#trips = 1;
  }

  /** The buckets that have trips, in order. */
  buckets(): TimelineBucket[] {
    this.#flush();
    return [...this.#counts].sort(([a], [b]) => a - b).map(([start, trips]) => ({ start, trips }));
  }

  #flush(): void {
    if (this.#trips === 0) return;
    this.#counts.set(this.#start, (this.#counts.get(this.#start) ?? 0) + this.#trips);
    this.#trips = 0;
    this.#start = Number.NaN;
    if (this.#counts.size > MOST_BUCKETS) this.#widen();
  }

  #widen(): void {
    this.width *= 2;
    const counts = [...this.#counts];
    this.#counts.clear();
    for (const [start, trips] of counts) {
      const wide = Math.floor(start / this.width) * this.width;
      this.#counts.set(wide, (this.#counts.get(wide) ?? 0) + trips);
    }
  }
}
