/**
 * Sends server-sent events to all open pages, the same bytes to each.
 *
 *  Memory is bounded: a page that doesn't keep up gets no events until it has read everything sent to it, and then a
 *  `reset`, after which it loads everything again. Traffic is bounded too: at most 4 MB/s to all pages together.
 */
import type { ServerResponse } from 'node:http';

/** Unread bytes above which a page gets no more events. */
const UNREAD_LIMIT = 512 * 1024;
/** Bytes of one event, or of all events a page missed, above which a compressed reload is cheaper. */
const EVENT_LIMIT = 256 * 1024;
const BYTES_PER_MS = 4_000;

/** The traffic of all hubs together. */
export interface Budget {
  /** Epoch ms until which what was sent takes. */
  busyUntil: number;
}

interface KeptEvent {
  /** The id of the event before this one. */
  readonly after: string;
  readonly bytes: Buffer;
}

export class Hub {
  readonly #pages = new Map<ServerResponse, { behind: boolean }>();
  #kept: KeptEvent[] = [];
  #keptBytes = 0;
  readonly #budget: Budget;
  #id: string;
  /** Epoch ms; since then it has no page, or none yet. */
  #leftAt = Date.now();
  /** Bytes that a page loads after a `reset`. */
  loadBytes = 50_000;

  constructor(id: string, budget: Budget) {
    this.#id = id;
    this.#budget = budget;
  }

  /** The id of the last event. */
  get id(): string {
    return this.#id;
  }

  get size(): number {
    return this.#pages.size;
  }

  /** Whether it has had no page for so long (ms). */
  isDeserted(forMs: number, now: number): boolean {
    return this.size === 0 && now - this.#leftAt > forMs;
  }

  /** Adds a page; `after` is the id of the last event it has. */
  add(page: ServerResponse, after: string, status: string): void {
    const state = { behind: false };
    this.#pages.set(page, state);
    page.on('close', () => {
      this.#pages.delete(page);
      this.#leftAt = Date.now();
    });
    page.on('drain', () => {
      if (!state.behind || page.writableLength > 0) return;
      state.behind = false;
      page.write(this.#reset());
    });
    page.write(`retry: 1000\n\n${event('status', status)}`);
    const missed = this.#missed(after);
    if (missed === undefined) page.write(this.#reset());
    else for (const { bytes } of missed) page.write(bytes);
  }

  /** Sends changes (JSON) to all pages, or their brief form if they are large; `id` is the id of this event. */
  changes(json: string, brief: () => string, id: string, now: number): void {
    const data = Buffer.byteLength(json) > EVENT_LIMIT ? brief() : json;
    const bytes = Buffer.from(event('changes', data, id));
    if (bytes.length > EVENT_LIMIT) {
      this.reset(id, now);
      return;
    }
    this.#kept.push({ after: this.#id, bytes });
    this.#keptBytes += bytes.length;
    while (this.#keptBytes > EVENT_LIMIT) this.#keptBytes -= this.#kept.shift()!.bytes.length;
    this.#id = id;
    this.#send(bytes, now);
  }

  /** Makes all pages load everything again. */
  reset(id: string, now: number): void {
    this.#kept = [];
    this.#keptBytes = 0;
    this.#id = id;
    this.#send(this.#reset(), now, this.loadBytes);
  }

  status(json: string, now: number): void {
    this.#send(Buffer.from(event('status', json)), now);
  }

  close(): void {
    for (const page of this.#pages.keys()) page.destroy();
  }

  #missed(after: string): KeptEvent[] | undefined {
    if (after === this.#id) return [];
    const first = this.#kept.findIndex((kept) => kept.after === after);
    return first < 0 ? undefined : this.#kept.slice(first);
  }

  #reset(): Buffer {
    return Buffer.from(event('reset', '{}', this.#id));
  }

  #send(bytes: Buffer, now: number, after = 0): void {
    for (const [page, state] of this.#pages) {
      if (state.behind) continue;
      if (page.writableLength > UNREAD_LIMIT) state.behind = true;
      else page.write(bytes);
    }
    const cost = ((bytes.length + after) * this.#pages.size) / BYTES_PER_MS;
    this.#budget.busyUntil = Math.max(now, this.#budget.busyUntil) + cost;
  }
}

function event(name: string, data: string, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`;
}
