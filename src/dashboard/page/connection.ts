/**
 * The connection of the page to its server: loads all windows once, then listens for changes. It reconnects by itself,
 * and disconnects while the page is hidden.
 *
 *  A browser opens at most six connections to a server, shared by all its pages. A page therefore disconnects when enough
 *  newer pages are listening, so that the next one can load, and reconnects when the user returns to it.
 */
import type { History, JobStatus, WindowUpdate } from './wire.ts';

export interface Listener {
  /** Gets all windows; they replace the known ones. */
  history(windows: readonly WindowUpdate[]): void;
  windows(windows: readonly WindowUpdate[]): void;
  status(status: JobStatus): void;
  /** Whether the server answers. */
  connected(yes: boolean): void;
  /** Whether this page is disconnected to make room for newer ones. */
  crowded(yes: boolean): void;
}

/** A message between pages of one browser. */
interface Announcement {
  readonly page: number;
  readonly listens: boolean;
}

/** The server sends a heartbeat every 15 s; after this silence the connection counts as lost. */
const SILENCE_MS = 40_000;
const RETRY_MS = 1_000;
const MOST_RETRY_MS = 10_000;
/** A page hidden for less than this stays connected. */
const HIDDEN_MS = 10_000;
/** Most pages that listen at once; this leaves one connection for loading. */
const MOST_LISTENING = 5;

export class Connection {
  readonly #listener: Listener;
  #events: EventSource | undefined;
  #known = '';
  #loading = false;
  #wait = RETRY_MS;
  #retry: number | undefined;
  #silence: number | undefined;
  #hidden: number | undefined;
  readonly #others = new BroadcastChannel('taxiflow');
  readonly #me = Math.random();
  /** Pages that began to listen after this one. */
  readonly #newer = new Set<number>();
  #crowded = false;

  constructor(listener: Listener) {
    this.#listener = listener;
    document.addEventListener('visibilitychange', () => this.#visibility());
    for (const turned of ['focus', 'pointerdown', 'keydown']) addEventListener(turned, () => this.#return());
    addEventListener('pagehide', () => this.#shut());
    this.#others.onmessage = ({ data }: MessageEvent<Announcement>) => this.#hear(data);
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
    this.#newer.clear();
    this.#announce(true);
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
      // Spread the reloads of many pages.
      this.#known = '';
      this.#again(Math.random() * 500);
    });
    events.onerror = () => this.#lost();
  }

  /** Reports the loss and reconnects later, with growing delays. */
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
    if (!this.#events) return;
    this.#events.close();
    this.#events = undefined;
    this.#announce(false);
  }

  #announce(listens: boolean): void {
    this.#others.postMessage({ page: this.#me, listens } satisfies Announcement);
  }

  /** Tracks newer pages; disconnects when enough of them listen. */
  #hear({ page, listens }: Announcement): void {
    if (!listens) this.#newer.delete(page);
    else if (this.#events) this.#newer.add(page);
    if (this.#newer.size < MOST_LISTENING) return;
    this.#shut();
    this.#crowd(true);
  }

  #return(): void {
    if (!this.#crowded || document.hidden) return;
    this.#crowd(false);
    this.#resume();
  }

  #crowd(yes: boolean): void {
    this.#crowded = yes;
    this.#listener.crowded(yes);
  }

  #visibility(): void {
    clearTimeout(this.#hidden);
    if (this.#crowded) this.#return();
    else if (document.hidden) this.#hidden = window.setTimeout(() => this.#shut(), HIDDEN_MS);
    else if (!this.#events && !this.#loading) this.#resume();
  }
}
