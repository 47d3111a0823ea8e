/**
 * The data of a page that was exported into a file: what its server would answer, each answer as gzip in base64 in an element
 * of its own, read when it is asked for.
 */
import type { Listener, MapLibrary, Source } from './source.ts';
import { CONTENTS, type Contents, type JobStatus, LIBRARY, requestOf, type Windows, WORKER } from './wire.ts';

const NOT_WHOLE = {
  code: 'damaged',
  message: 'this file is not whole',
  hint: 'copy or export it again',
} as const;

export class Embedded implements Source {
  readonly isLive = false;
  readonly #listener: Listener;
  readonly #answers: ReadonlyMap<string, HTMLElement>;
  #contents: Promise<Contents> | undefined;
  /** Grows with each opening, so that only the last one is shown. */
  #opening = 0;

  constructor(listener: Listener) {
    this.#listener = listener;
    const found = document.querySelectorAll<HTMLElement>('script[data-answers]');
    this.#answers = new Map([...found].map((element) => [element.dataset['answers']!, element]));
  }

  /** Whether this page is one that was exported. */
  static get isHere(): boolean {
    return document.querySelector('script[data-answers]') !== null;
  }

  open(app: string | undefined, view: string | undefined): void {
    void this.#open(app, view);
  }

  async windows(view: string, before: number): Promise<Windows> {
    const { views } = await this.#whole();
    const found = views.find(({ name }) => name === view);
    // A part has the windows from its `from` on, up to those of the part before it.
    const part = found?.parts.find(({ from }) => from < before);
    if (!part) return { windows: [], next: null };
    return this.fetch('/api/windows', { view, before: String(part.before) });
  }

  async fetch<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> {
    return (await this.#answer(requestOf(path, query)).json()) as T;
  }

  async library(): Promise<MapLibrary> {
    const [library, worker] = await Promise.all([LIBRARY, WORKER].map((path) => this.#script(path)));
    const found = (await import(library!)) as MapLibrary;
    found.setWorkerUrl(worker!);
    return found;
  }

  async #open(app: string | undefined, view: string | undefined): Promise<void> {
    const opening = ++this.#opening;
    try {
      const { status, views, ...history } = await this.#whole();
      if (opening !== this.#opening) return;
      if (app !== undefined && app !== status.app) return this.#listener.noJob(app);
      const { name = null, labels = [] } = views.find(({ name }) => name === view) ?? views[0] ?? {};
      this.#listener.history({ ...history, view: name, labels });
      this.#listener.status(status);
    } catch {
      this.#listener.status(unreadable());
    }
  }

  #whole(): Promise<Contents> {
    this.#contents ??= this.fetch<Contents>(CONTENTS);
    return this.#contents;
  }

  /** A script as an address that it can be imported from. */
  async #script(path: string): Promise<string> {
    const text = await this.#answer(path).text();
    return URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  }

  #answer(request: string): Response {
    const element = this.#answers.get(request);
    if (!element) throw new Error('an exported page doesn’t have this');
    const bytes = atob(element.textContent.trim());
    const packed = Uint8Array.from(bytes, (byte) => byte.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip')));
  }
}

/** The status of a file that breaks off before its end. */
function unreadable(): JobStatus {
  return {
    now: Date.now(),
    app: null,
    dataDir: '',
    command: 'taxiflow',
    views: [],
    running: false,
    standby: false,
    watermark: null,
    shards: [],
    sinks: [],
    deadLetters: [],
    rates: { trips: 0, results: 0 },
    trouble: NOT_WHOLE,
  };
}
