/**
 * Fits the times of the saved dashboard to the results, beside a run that delivers them: when the first ones are there,
 * and again as they grow out of its range.
 *
 *  T1 the run is neither held up nor failed: connections are apart from those of the results, nothing waits for them but
 *     `finish`, for seconds, and errors become a note.
 *  T2 only a dashboard that `es-setup` made is changed, and only its times, and only if they aren't the user's own.
 */
import type { Client } from '@opensearch-project/opensearch';
import { type Clock, systemClock } from '../clock.ts';
import { shownUrl } from '../printable.ts';
import type { View } from '../views/language.ts';
import { isServerless } from './amazon.ts';
import { type Access, connect, type Environment } from './connection.ts';
import { type Dashboards, readObject, saveTimes } from './dashboards.ts';
import { readTemplate, type Target } from './plan.ts';
import { dashboardId, type LiveObject, savedObjectsOf } from './saved-objects.ts';
import { indexName, templateName } from './templates.ts';
import { areOurs, grown, isSame, type TimeRange, timesOfDashboard, timesOfResults } from './time-range.ts';

export interface DashboardTimesOptions {
  /** How to reach OpenSearch. */
  readonly access: Access;
  /** URL of Dashboards; without it, the one that `es-setup` noted in the index templates. */
  readonly dashboards?: string | undefined;
  readonly prefix: string;
  readonly views: readonly View[];
  readonly clock?: Clock;
  readonly env?: Environment;
  /** Told once why the times can't be fitted. */
  readonly onNote: (note: string) => void;
}

/** What a look came to: the times are as they should be, no dashboard could be looked at, or there are no results yet. */
type Look = 'fits' | 'nothing' | 'later';

/** Ms until the next look. Results can be searched a second after they are delivered. */
const NEXT_LOOK: Readonly<Record<Look, number>> = { fits: 10_000, nothing: 60_000, later: 1_000 };
/** Ms that a request may take, and the last look as a whole. */
const REQUEST_MS = 3_000;
const LAST_LOOK_MS = 5_000;
/** How many times longer the wait for another look may become. */
const MOST_WAITS = 64;
/** Ports on which Dashboards listens. */
const DASHBOARDS_PORTS = ['', '443', '5601'];

export class DashboardTimes {
  readonly #o: DashboardTimesOptions;
  readonly #clock: Clock;
  #target: Target | undefined;
  #dashboards: Dashboards | undefined;
  /** The dashboard's times as we saved them, or found them to be ours. */
  #ours: TimeRange | undefined;
  /** Times of results for which nothing is to be done. */
  #done: TimeRange | undefined;
  /** How many results were delivered when the last look began that found the times to fit. */
  #seen = 0;
  #nextLook = Number.NEGATIVE_INFINITY;
  /** Doubles with each look that has to be repeated. */
  #waits = 1;
  #looking: Promise<void> | undefined;
  #isTold = false;
  #isClosed = false;

  constructor(options: DashboardTimesOptions) {
    this.#o = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Takes how many results were delivered by now, and looks at the dashboard where that is due. The promise is for whoever
   * wants to know when the look is over; it never rejects.
   */
  async follow(delivered: number): Promise<void> {
    const isDue = !this.#looking && this.#clock.now() >= this.#nextLook;
    if (isDue && delivered !== this.#seen && !this.#isClosed) this.#start(delivered);
    await this.#looking;
  }

  /** A last look, after all results were delivered; over after a few seconds, or when `stop` aborts. Then all is closed. */
  async finish(delivered: number, stop: AbortSignal): Promise<void> {
    if (stop.aborted) return this.close();
    const over = new AbortController();
    const patience = this.#clock.sleep(LAST_LOOK_MS, AbortSignal.any([stop, over.signal]));
    await Promise.race([this.#lookLast(delivered), patience]);
    over.abort();
    await this.close();
  }

  async #lookLast(delivered: number): Promise<void> {
    await this.#looking;
    if (delivered !== this.#seen && !this.#isClosed) this.#start(delivered, true);
    await this.#looking;
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all([this.#target?.client.close(), this.#dashboards?.client.close()]);
  }

  #start(delivered: number, isLast = false): void {
    this.#looking = this.#look(isLast)
      .catch((error: unknown): Look => {
        this.#tell(error);
        return 'nothing';
      })
      .then((look) => {
        if (look === 'fits') this.#seen = delivered;
        this.#nextLook = this.#clock.now() + NEXT_LOOK[look] * (look === 'later' ? this.#waits : 1);
        this.#waits = look === 'later' ? Math.min(MOST_WAITS, 2 * this.#waits) : 1;
        this.#looking = undefined;
      });
  }

  async #look(isLast: boolean): Promise<Look> {
    const target = await this.#opened();
    this.#dashboards ??= await this.#connectDashboards(target);
    const dashboards = this.#dashboards;
    if (!dashboards) return 'nothing';
    if (isLast) await this.#makeSearchable(target);
    const results = await timesOfResults(target);
    if (!results) return 'later';
    if (this.#done && isSame(results, this.#done)) return 'fits';
    const id = dashboardId(this.#o.prefix);
    const live = await readObject(dashboards, { type: 'dashboard', id });
    if (!live || !this.#isMade(live)) return 'nothing';
    const shown = timesOfDashboard(live.attributes);
    if (areOurs(shown, results, this.#ours)) {
      const range = grown(shown, results);
      if (range && !(await saveTimes(dashboards, id, live, range))) return 'later';
      this.#ours = range ?? shown;
    }
    this.#done = results;
    return 'fits';
  }

  async #opened(): Promise<Target> {
    const { access, prefix, views, env } = this.#o;
    this.#target ??= {
      client: await this.#connect(access, env),
      url: shownUrl(access.url),
      prefix,
      views,
    };
    return this.#target;
  }

  async #connect(access: Access, env: Environment | undefined): Promise<Client> {
    const client = await connect({ ...access, requestTimeout: REQUEST_MS }, env);
    if (!this.#isClosed) return client;
    await client.close();
    throw new Error('closed');
  }

  async #connectDashboards(target: Target): Promise<Dashboards | undefined> {
    const { access, dashboards: given, env } = this.#o;
    const url = given ?? (await this.#noted(target));
    if (url === undefined) return undefined;
    const isKnown = given !== undefined || isTrusted(new URL(url), new URL(access.url));
    const client = isKnown
      ? await this.#connect({ ...access, url }, env)
      : await this.#connect({ ...access, url, awsSigv4: false }, {});
    return { client, url: shownUrl(url) };
  }

  /** Where Dashboards is, as `es-setup` noted it. Many have no Dashboards, so a note that can't be read is nothing to tell. */
  async #noted(target: Target): Promise<string | undefined> {
    try {
      return await this.#readNote(target);
    } catch {
      return undefined;
    }
  }

  async #readNote(target: Target): Promise<string | undefined> {
    for (const { name } of target.views) {
      const template = await readTemplate(target, templateName(target.prefix, name));
      const url = template?._meta?.dashboards;
      if (typeof url === 'string' && URL.canParse(url)) return url;
    }
    return undefined;
  }

  /** Whether `es-setup` made a dashboard: it shows one of our visualizations. */
  #isMade({ references = [] }: LiveObject): boolean {
    const { prefix, views } = this.#o;
    const panels = new Set(
      savedObjectsOf(prefix, views)
        .filter(({ type }) => type === 'visualization')
        .map(({ id }) => id),
    );
    return references.some(({ type, id }) => type === 'visualization' && panels.has(id));
  }

  /** What was delivered a moment ago is found by the next search. A serverless collection can't be asked for that. */
  async #makeSearchable({ client, url, prefix, views }: Target): Promise<void> {
    if (isServerless(url)) return;
    const names = views.map(({ name }) => indexName(prefix, name)).join();
    await client.transport.request({ method: 'POST', path: `/${names}/_refresh` }).catch(() => undefined);
  }

  #tell(error: unknown): void {
    if (this.#isTold || this.#isClosed) return;
    this.#isTold = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#o.onNote(
      `the times of the saved dashboard are not fitted: ${why}; "taxiflow es-setup --dashboards URL" fits them`,
    );
  }
}

/**
 * Whether a noted address gets our password. Whoever may write index templates chose it, so it must be one of the server's own
 * host, not less protected than the server, and on a port of Dashboards or of the server.
 */
export function isTrusted(noted: URL, server: URL): boolean {
  const isProtected = noted.protocol === 'https:' || server.protocol === 'http:';
  const isOwnPort = DASHBOARDS_PORTS.includes(noted.port) || noted.port === server.port;
  return noted.hostname === server.hostname && isProtected && isOwnPort;
}
