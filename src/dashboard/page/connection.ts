/**
 * The connection of the page to its server: loads what a page begins with, then listens for changes. It reconnects by
 * itself, and disconnects while the page is hidden.
 *
 *  A browser opens at most six connections to a server, shared by all its pages. A page therefore disconnects when enough
 *  newer pages are listening, so that the next one can load, and reconnects when the user returns to it.
 */
import type { Listener, MapLibrary, Source } from './source.ts';
import { type Changes, type History, type JobStatus, LIBRARY, requestOf, type Windows } from './wire.ts';

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

export class Connection implements Source {
  readonly isLive = true;
  readonly #listener: Listener;
  #app: string | undefined;
  #view: string | undefined;
  /** The view that the server sends. */
  #shown: string | null = null;
  #events: EventSource | undefined;
  #known = '';
  /** Grows with each opening, so that answers to an earlier one are dropped. */
  #opening = 0;
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

  open(app: string | undefined, view: string | undefined): void {
    this.#app = app;
    this.#view = view;
    this.#wait = RETRY_MS;
    void this.#load();
  }

  async fetch<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> {
    const response = await fetch(this.#address(path, query));
    if (!response.ok) throw new Error((await response.text()).trim() || response.statusText);
    return (await response.json()) as T;
  }

  windows(view: string, before: number): Promise<Windows> {
    return this.fetch('/api/windows', { view, before: String(before) });
  }

  async library(): Promise<MapLibrary> {
    return (await import(LIBRARY)) as MapLibrary;
  }

  #address(path: string, query: Readonly<Record<string, string>>): string {
    return requestOf(path, this.#app === undefined ? query : { ...query, app: this.#app });
  }

  async #load(): Promise<void> {
    const opening = ++this.#opening;
    this.#loading = true;
    this.#shut();
    try {
      const query = this.#view === undefined ? {} : { view: this.#view };
      const response = await fetch(this.#address('/api/history', query));
      if (opening !== this.#opening) return;
      if (response.status === 404) {
        this.#loading = false;
        this.#listener.noJob(this.#app ?? '');
        return;
      }
      if (!response.ok) throw new Error(response.statusText);
      const history = (await response.json()) as History;
      if (opening !== this.#opening) return;
      this.#known = history.id;
      this.#listener.history(history);
      this.#loading = false;
      this.#shown = history.view;
      this.#listen();
    } catch {
      if (opening !== this.#opening) return;
      this.#loading = false;
      this.#known = '';
      this.#lost();
    }
  }

  #listen(): void {
    this.#shut();
    const query = { after: this.#known, ...(this.#shown === null ? {} : { view: this.#shown }) };
    const events = new EventSource(this.#address('/api/events', query));
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
    events.addEventListener('changes', (event) => {
      this.#heard();
      this.#known = event.lastEventId;
      this.#listener.changes(JSON.parse(event.data) as Changes);
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
    else void this.#load();
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
