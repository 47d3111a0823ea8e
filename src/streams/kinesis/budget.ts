/**
 * What a shard takes: 1,000 records and 1 MB a second. A shard that throttles all the same (another producer
 * writes too) gets half, and a little more each second after.
 */
const RECORDS_PER_SECOND = 1_000;
const BYTES_PER_SECOND = 1_000_000;
const LEAST_SHARE = 0.05;
const RECOVERY_PER_SECOND = 0.1;

export class Budget {
  /** Ms from which on the shard is free again, by records and by bytes. */
  #recordsUntil: number;
  #bytesUntil: number;
  #share = 1;
  #changed: number;

  constructor(now: number) {
    this.#recordsUntil = now;
    this.#bytesUntil = now;
    this.#changed = now;
  }

  /** Spends; ms to wait until what was spent before is used up. A second's worth may be spent at once. */
  take(records: number, bytes: number, now: number): number {
    const share = this.#shareAt(now);
    const wait = Math.max(this.#recordsUntil, this.#bytesUntil) - now - 1_000;
    this.#recordsUntil = Math.max(this.#recordsUntil, now) + (records / RECORDS_PER_SECOND / share) * 1_000;
    this.#bytesUntil = Math.max(this.#bytesUntil, now) + (bytes / BYTES_PER_SECOND / share) * 1_000;
    return Math.max(0, wait);
  }

  throttled(now: number): void {
    this.#share = Math.max(LEAST_SHARE, this.#shareAt(now) / 2);
    this.#changed = now;
  }

  #shareAt(now: number): number {
    return Math.min(1, this.#share + ((now - this.#changed) / 1_000) * RECOVERY_PER_SECOND);
  }
}
