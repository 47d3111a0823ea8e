/**
 * The pages that listen: the same bytes for all of them, by server-sent events.
 *
 *  Memory is bounded: a page that doesn't keep up is told nothing until it has read what it was sent, and then to load
 *  everything again. What is sent in a second is bounded too: at most 4 MB to all pages together.
 */
import type { ServerResponse } from 'node:http';

/** What a page may leave unread before it is passed over. */
const UNREAD_LIMIT = 512 * 1024;
/** More than this at once is cheaper loaded whole, compressed: of one event, or of all that a page missed. */
const EVENT_LIMIT = 256 * 1024;
const BYTES_A_MS = 4_000;
const MOST_PAGES = 500;

interface KeptEvent {
  /** What a page knew before this event. */
  readonly after: string;
  readonly bytes: Buffer;
}

export class Hub {
  readonly #pages = new Map<ServerResponse, { passedOver: boolean }>();
  #kept: KeptEvent[] = [];
  #keptBytes = 0;
  #busyUntil = 0;
  #id: string;
  /** What a page loads when it begins again. */
  loadBytes = 50_000;

  constructor(id: string) {
    this.#id = id;
  }

  /** What pages know that have all events. */
  get id(): string {
    return this.#id;
  }

  get size(): number {
    return this.#pages.size;
  }

  get full(): boolean {
    return this.#pages.size >= MOST_PAGES;
  }

  /** Whether the last event has had its time. */
  ready(now: number): boolean {
    return now >= this.#busyUntil;
  }

  /** Takes a page in; `after` is the last event it knows. */
  add(page: ServerResponse, after: string, status: string): void {
    const state = { passedOver: false };
    this.#pages.set(page, state);
    page.on('close', () => this.#pages.delete(page));
    page.on('drain', () => {
      if (!state.passedOver || page.writableLength > 0) return;
      state.passedOver = false;
      page.write(this.#reset());
    });
    page.write(`retry: 1000\n\n${event('status', status)}`);
    const missed = this.#missed(after);
    if (missed === undefined) page.write(this.#reset());
    else for (const { bytes } of missed) page.write(bytes);
  }

  /** Tells all pages of windows that changed; `id` is what they know then. */
  windows(lines: readonly string[], id: string, now: number): void {
    const bytes = Buffer.from(event('windows', `[${lines.join(',')}]`, id));
    if (bytes.length > EVENT_LIMIT) {
      this.reset(id, now);
      return;
    }
    this.#kept.push({ after: this.#id, bytes });
    this.#keptBytes += bytes.length;
    while (this.#keptBytes > EVENT_LIMIT) this.#keptBytes -= this.#kept.shift()!.bytes.length;
    this.#id = id;
    this.#tell(bytes, now);
  }

  /** Tells all pages to load everything again. */
  reset(id: string, now: number): void {
    this.#kept = [];
    this.#keptBytes = 0;
    this.#id = id;
    this.#tell(this.#reset(), now, this.loadBytes);
  }

  status(json: string, now: number): void {
    this.#tell(Buffer.from(event('status', json)), now);
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

  #tell(bytes: Buffer, now: number, after = 0): void {
    for (const [page, state] of this.#pages) {
      if (state.passedOver) continue;
      if (page.writableLength > UNREAD_LIMIT) state.passedOver = true;
      else page.write(bytes);
    }
    const cost = ((bytes.length + after) * this.#pages.size) / BYTES_A_MS;
    this.#busyUntil = Math.max(now, this.#busyUntil) + cost;
  }
}

function event(name: string, data: string, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`;
}
