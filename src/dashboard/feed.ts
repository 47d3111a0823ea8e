/** One job and the pages that look at it: what they load, and what is sent to them when the state changes. */
import type { ServerResponse } from 'node:http';
import { type Body, compress, type Encoding } from './assets.ts';
import { type Budget, Hub } from './hub.ts';
import type { DeadLetterSample, JobDetails, JobStatus } from './page/wire.ts';
import { StateWatch } from './watch.ts';

/** Ms between looks at the state while a page is open. */
export const LOOK_MS = 250;
/** A look is followed by a pause of this many times its duration, so that a busy processor keeps its core. */
const LOOK_REST = 10;
const STATUS_MS = 1_000;
const HEARTBEAT_MS = 15_000;
/** A page that comes back sooner is told what it missed, and later has to load everything. */
const AWAY_MS = 60_000;

export class Feed {
  readonly #watch: StateWatch;
  readonly #budget: Budget;
  /** By view: pages get the windows of one. */
  readonly #hubs = new Map<string, Hub>();
  #nextLook = 0;
  #lastStatus = 0;
  #sentStatus = '';
  #statusSentAt = 0;
  /** What pages begin with, by view and encoding. */
  #histories = new Map<string, Promise<Body>>();
  #historiesOf = '';
  /** When it was last of use, epoch ms. */
  #usedAt = 0;

  constructor(dataDir: string, app: string | undefined, budget: Budget) {
    this.#watch = new StateWatch({ dataDir, app, now: Date.now });
    this.#budget = budget;
    this.look();
  }

  /** How many pages are open. */
  get pages(): number {
    let pages = 0;
    for (const hub of this.#hubs.values()) pages += hub.size;
    return pages;
  }

  /** Whether no one has asked for anything for so long (ms). */
  isIdle(forMs: number): boolean {
    return this.pages === 0 && Date.now() - this.#usedAt > forMs;
  }

  get app(): string | undefined {
    return this.#watch.app;
  }

  close(): void {
    for (const hub of this.#hubs.values()) hub.close();
    this.#watch.close();
  }

  /** Keeps a page informed. `after` is the id of the last event it has. */
  listen(page: ServerResponse, view: string | undefined, after: string): void {
    this.look();
    const name = this.#watch.shape(view)?.name ?? '';
    const hub = this.#hubs.get(name) ?? new Hub(this.#watch.id, this.#budget);
    this.#hubs.set(name, hub);
    // All pages have the same status, so that none is taken to know one that only others were sent.
    this.#sendStatus(Date.now());
    hub.add(page, after, JSON.stringify(this.#watch.status()));
  }

  async history(view: string | undefined, encoding: Encoding): Promise<Body> {
    this.look();
    if (this.#historiesOf !== this.#watch.id) {
      this.#historiesOf = this.#watch.id;
      this.#histories = new Map();
    }
    const name = this.#watch.shape(view)?.name ?? '';
    const key = `${encoding} ${name}`;
    const body = this.#histories.get(key) ?? compress(Buffer.from(this.#watch.history(name)), encoding);
    this.#histories.set(key, body);
    const hub = this.#hubs.get(name);
    if (hub) hub.loadBytes = (await body).bytes.length;
    return body;
  }

  /** Windows of a view before a label, as JSON. */
  windows(view: string, before: number): string {
    this.look();
    return this.#watch.windows(view, before);
  }

  status(): JobStatus {
    this.look();
    return this.#watch.status();
  }

  details(): Promise<JobDetails | undefined> {
    this.look();
    return this.#watch.details();
  }

  deadLetters(reason: string): DeadLetterSample[] {
    this.look();
    return this.#watch.deadLetters(reason);
  }

  /** Does nothing while no page is open. */
  tick(): void {
    if (this.pages === 0) return;
    const now = Date.now();
    this.#usedAt = now;
    if (now >= this.#budget.busyUntil) this.#look(now);
    if (now - this.#lastStatus >= STATUS_MS) this.#sendStatus(now);
  }

  look(): void {
    this.#usedAt = Date.now();
    this.#look(this.#usedAt);
  }

  #look(now: number): void {
    if (now < this.#nextLook) return;
    for (const [view, hub] of this.#hubs) if (hub.isDeserted(AWAY_MS, now)) this.#hubs.delete(view);
    const before = this.#watch.id;
    const { opened, windows, totals } = this.#watch.look(new Set(this.#hubs.keys()));
    this.#nextLook = now + Math.max(LOOK_MS / 2, (Date.now() - now) * LOOK_REST);
    const { id } = this.#watch;
    if (opened) {
      for (const hub of this.#hubs.values()) hub.reset(id, now);
      this.#sendStatus(now);
    } else if (id !== before) {
      for (const [view, hub] of this.#hubs) {
        const changed = windows.get(view) ?? [];
        const lines = changed.map(({ json }) => json);
        const labels = changed.map(({ label }) => label);
        hub.changes(
          `{"windows":[${lines.join(',')}],"stale":[],"totals":${totals}}`,
          () => `{"windows":[],"stale":${JSON.stringify(labels)},"totals":${totals}}`,
          id,
          now,
        );
      }
    }
  }

  /** Sends the status if it changed; an unchanged one only as a heartbeat. */
  #sendStatus(now: number): void {
    this.#lastStatus = now;
    const status = this.#watch.status();
    const content = JSON.stringify({ ...status, now: 0 });
    if (content === this.#sentStatus && now - this.#statusSentAt < HEARTBEAT_MS) return;
    this.#sentStatus = content;
    this.#statusSentAt = now;
    const json = JSON.stringify(status);
    for (const hub of this.#hubs.values()) hub.status(json, now);
  }
}
