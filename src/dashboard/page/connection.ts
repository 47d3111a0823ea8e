/**
 * The page's line to its server: all windows once, then what changes. It comes back by itself when the server was away,
 * and lets go while nobody looks.
 */
import type { History, JobStatus, WindowUpdate } from './wire.ts';

export interface Listener {
  /** Everything there is, in place of what was known. */
  history(windows: readonly WindowUpdate[]): void;
  windows(windows: readonly WindowUpdate[]): void;
  status(status: JobStatus): void;
  /** Whether the server answers. */
  connected(yes: boolean): void;
}

/** The server says something every 15 seconds; when it doesn't, it is gone. */
const SILENCE_MS = 40_000;
const RETRY_MS = 1_000;
const MOST_RETRY_MS = 10_000;
/** A page that was put away for a moment need not begin again. */
const HIDDEN_MS = 10_000;

export class Connection {
  readonly #listener: Listener;
  #events: EventSource | undefined;
  #known = '';
  #loading = false;
  #wait = RETRY_MS;
  #retry: number | undefined;
  #silence: number | undefined;
  #hidden: number | undefined;

  constructor(listener: Listener) {
    this.#listener = listener;
    document.addEventListener('visibilitychange', () => this.#visibility());
  }

  async open(): Promise<void> {
    if (this.#loading) return;
    this.#loading = true;
    this.#shut();
    try {
      const response = await fetch('/api/history');
      if (!response.ok) throw new Error(response.statusText);
      const { id, windows } = (await response.json()) as History;
      this.#known = id;
      this.#listener.history(windows);
      this.#loading = false;
      this.#listen();
      return;
    } catch {
      this.#loading = false;
      this.#lost();
    }
  }

  #listen(): void {
    this.#shut();
    const events = new EventSource(`/api/events?after=${encodeURIComponent(this.#known)}`);
    this.#events = events;
    this.#heard();
    events.addEventListener('status', (event) => {
      this.#heard();
      this.#wait = RETRY_MS;
      this.#listener.connected(true);
      this.#listener.status(JSON.parse(event.data) as JobStatus);
    });
    events.addEventListener('windows', (event) => {
      this.#heard();
      this.#known = event.lastEventId;
      this.#listener.windows(JSON.parse(event.data) as WindowUpdate[]);
    });
    events.addEventListener('reset', () => {
      // Not all pages at once.
      this.#known = '';
      this.#again(Math.random() * 500);
    });
    events.onerror = () => this.#lost();
  }

  /** Begins again where this page is, or with everything when that is too long ago. */
  #lost(): void {
    this.#shut();
    this.#listener.connected(false);
    this.#again(this.#wait);
    this.#wait = Math.min(MOST_RETRY_MS, this.#wait * 1.5);
  }

  #again(wait: number): void {
    this.#shut();
    this.#retry = window.setTimeout(() => this.#resume(), wait);
  }

  #resume(): void {
    if (this.#known) this.#listen();
    else this.open();
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = window.setTimeout(() => this.#lost(), SILENCE_MS);
  }

  #shut(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#events?.close();
    this.#events = undefined;
  }

  #visibility(): void {
    clearTimeout(this.#hidden);
    if (document.hidden) this.#hidden = window.setTimeout(() => this.#shut(), HIDDEN_MS);
    else if (!this.#events && !this.#loading) this.#resume();
  }
}
