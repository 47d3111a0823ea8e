/**
 * `es-setup`: what OpenSearch and Dashboards should have for a set of views, against what they have. A plan is made
 * by reading alone; its steps are what differs and what mends it, so a second run has none.
 *
 *  S1 nothing is sent when something can't be mended.
 *  S2 documents are only ever removed by `withData`, and only from indices of our names.
 */
import type { Client } from '@opensearch-project/opensearch';
import { type Clock, systemClock } from '../clock.ts';
import { TaxiflowError } from '../errors.ts';
import type { View } from '../views/language.ts';
import { isServerless } from './amazon.ts';
import { type Server, serverOf } from './connection.ts';
import {
  type Dashboards,
  deleteObject,
  IMPORT_PATH,
  importObjects,
  objectPath,
  readObject,
} from './dashboards.ts';
import { explained, isAway, statusOf } from './errors.ts';
import {
  ALL_TIMES,
  type LiveObject,
  objectDifferences,
  type SavedObject,
  savedObjectsOf,
  type TimeRange,
} from './saved-objects.ts';
import {
  compareMapping,
  firstIndex,
  firstIndexOf,
  indexName,
  isDataStream,
  type LiveMapping,
  mappingOf,
  templateName,
  templateOf,
  writeIndexOf,
} from './templates.ts';

export interface Target {
  readonly client: Client;
  readonly url: string;
  readonly dashboards?: Dashboards | undefined;
  readonly prefix: string;
  readonly views: readonly View[];
}

export interface Request {
  readonly to: 'opensearch' | 'dashboards';
  readonly method: 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
}

export interface Step {
  /** What isn't as it should be; nothing where the dashboard is only fitted to the data. */
  readonly differences: readonly string[];
  /** What was done about it, once it is. */
  readonly done: string;
  readonly request: Request;
  send(): Promise<void>;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** Differences that only a new index can mend, so that nothing is done. */
  readonly conflicts: readonly string[];
  /** Differences that can't be mended and do no harm. */
  readonly harmless: readonly string[];
  /** What is left as it is, and why. */
  readonly notes: readonly string[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

/** ms until a server that isn't there is given up. */
const PROBE_MS = 8_000;
const POLL_MS = 500;

/** What runs at the target, waiting up to `wait` ms for it to be there and ready. Throws as `serverOf`. */
export async function reach(
  { client, url, dashboards }: Target,
  wait = 0,
  {
    clock = systemClock,
    onWait = (_why: string) => {},
  }: { clock?: Clock; onWait?: (why: string) => void } = {},
): Promise<Server> {
  const deadline = clock.now() + wait;
  for (;;) {
    // The wait may pass in the middle of a try, so that another one comes after it.
    const last = clock.now() >= deadline;
    try {
      const server = await serverOf(client, url, { requestTimeout: PROBE_MS });
      // A cluster may stay red for the sake of an index that is not ours: after the wait it is tried all the same.
      if (!last && !isServerless(url)) await ready(client, url);
      if (dashboards)
        await readObject(dashboards, { type: 'dashboard', id: 'taxiflow' }, { requestTimeout: PROBE_MS });
      return server;
    } catch (error) {
      if (!isAway(error) || last) throw error;
      onWait((error as Error).message);
      await clock.sleep(Math.min(POLL_MS, deadline - clock.now()));
    }
  }
}

/** A node answers before its cluster can be written to. */
async function ready(client: Client, url: string): Promise<void> {
  try {
    await client.transport.request(
      { method: 'GET', path: '/_cluster/health', querystring: { wait_for_status: 'yellow', timeout: '1s' } },
      { requestTimeout: PROBE_MS },
    );
  } catch (error) {
    throw explained(error, url);
  }
}

/** What to do so that everything is there. Throws as `explained`. */
export async function planSetup(target: Target): Promise<Plan> {
  const plan: Mutable<Plan> = { steps: [], conflicts: [], harmless: [], notes: [] };
  for (const view of target.views) {
    const template = await templateStep(target, view);
    if (template) plan.steps.push(template);
    await planIndex(target, view, plan);
  }
  if (target.dashboards) await planObjects(target, target.dashboards, plan.steps);
  return plan;
}

/** Does what a plan says, a step after the other. Throws `mapping-conflict` before anything is done. */
export async function carryOut(plan: Plan, onDone: (step: Step) => void): Promise<void> {
  const [conflict] = plan.conflicts;
  if (conflict !== undefined) {
    const more = plan.conflicts.length > 1 ? `, and ${plan.conflicts.length - 1} more` : '';
    throw new TaxiflowError('mapping-conflict', `an index contradicts the views: ${conflict}${more}`, {
      hint: 'choose other names with --index-prefix; or remove the index and its documents with "taxiflow es-setup --delete --with-data" and set up again',
    });
  }
  for (const step of plan.steps) {
    await step.send();
    onDone(step);
  }
}

async function read(target: Target, path: string): Promise<unknown> {
  try {
    const { body, statusCode } = await target.client.transport.request(
      { method: 'GET', path },
      { ignore: [404] },
    );
    return statusCode === 404 ? undefined : body;
  } catch (error) {
    throw explained(error, target.url);
  }
}

function step(target: Target, request: Omit<Request, 'to'>, difference: string, done: string): Step {
  const { method, path, body } = request;
  return {
    differences: [difference],
    done,
    request: { to: 'opensearch', ...request },
    send: async () => {
      try {
        await target.client.transport.request({ method, path, ...(body ? { body } : {}) });
      } catch (error) {
        throw explained(error, target.url);
      }
    },
  };
}

interface LiveTemplate {
  readonly index_patterns?: unknown;
  readonly priority?: unknown;
  readonly data_stream?: unknown;
  readonly template?: {
    readonly mappings?: LiveMapping;
    readonly settings?: unknown;
    readonly aliases?: object;
  };
}

/** What makes or mends the index template of a view; undefined when nothing does. */
export async function templateStep(target: Target, view: View): Promise<Step | undefined> {
  const name = templateName(target.prefix, view.name);
  const path = `/_index_template/${name}`;
  const expected = templateOf(target.prefix, view);
  const body = (await read(target, path)) as
    | { index_templates?: { index_template: LiveTemplate }[] }
    | undefined;
  const live = body?.index_templates?.[0]?.index_template;
  const found = live ? templateDifferences(live, expected) : ['it is missing'];
  if (found.length === 0) return undefined;
  // Settings, such as replicas, are the user's own.
  const settings = live?.template?.settings;
  const sent =
    settings === undefined ? expected : { ...expected, template: { ...expected.template, settings } };
  return step(
    target,
    { method: 'PUT', path, body: sent },
    `index template ${name}: ${found.join(', ')}`,
    `${live ? 'changed' : 'made'} index template ${name}`,
  );
}

function templateDifferences(live: LiveTemplate, expected: ReturnType<typeof templateOf>): string[] {
  const found: string[] = [];
  const patterns = [live.index_patterns].flat();
  if (patterns.join() !== expected.index_patterns.join())
    found.push(`index_patterns are ${patterns.join(' ')}, not ${expected.index_patterns.join(' ')}`);
  if (Number(live.priority ?? 0) !== expected.priority)
    found.push(`priority is ${live.priority ?? 0}, not ${expected.priority}`);
  if (live.data_stream) found.push('it makes data streams');
  const aliases = Object.keys(live.template?.aliases ?? {});
  if (aliases.length > 0) found.push(`it has the aliases ${aliases.join(' ')}`);
  const mapping = live.template?.mappings ?? {};
  return [...found, ...compareMapping(mapping, expected.template.mappings).map(({ text }) => text)];
}

interface LiveIndex {
  readonly aliases: Readonly<Record<string, { readonly is_write_index?: boolean }>>;
  readonly mappings: LiveMapping;
}

type LiveIndices = Readonly<Record<string, LiveIndex>>;

async function planIndex(target: Target, view: View, plan: Mutable<Plan>): Promise<void> {
  const name = indexName(target.prefix, view.name);
  const first = firstIndex(target.prefix, view.name);
  let live = (await read(target, `/${name}`)) as LiveIndices | undefined;
  if (!live) {
    live = (await read(target, `/${first}`)) as LiveIndices | undefined;
    plan.steps.push(live ? aliasStep(target, name, first, 'is missing') : indexStep(target, view));
  } else if (name in live) {
    plan.notes.push(`${name} is an index of its own, not an alias; it is used as it is`);
  } else if (isDataStream(name, Object.keys(live))) {
    plan.conflicts.push(`${name} is a data stream, which takes no result twice`);
    return;
  } else if (writeIndexOf(name, live) === undefined) {
    const indices = Object.keys(live).sort();
    const several = indices.length > 1 ? 'several indices and none' : 'no index';
    plan.steps.push(aliasStep(target, name, indices.at(-1)!, `has ${several} to write to`));
  }
  for (const [index, { mappings }] of Object.entries(live ?? {}))
    planMapping(target, view, index, mappings, plan);
}

function indexStep(target: Target, view: View): Step {
  const name = indexName(target.prefix, view.name);
  const first = firstIndex(target.prefix, view.name);
  return step(
    target,
    { method: 'PUT', path: `/${first}`, body: firstIndexOf(target.prefix, view) },
    `alias ${name}: it is missing`,
    `made index ${first} with the alias ${name}`,
  );
}

function aliasStep(target: Target, alias: string, index: string, difference: string): Step {
  const body = { actions: [{ add: { index, alias, is_write_index: true } }] };
  return step(
    target,
    { method: 'POST', path: '/_aliases', body },
    `alias ${alias}: it ${difference}`,
    `made ${alias} an alias of ${index}, to write to`,
  );
}

function planMapping(
  target: Target,
  view: View,
  index: string,
  live: LiveMapping,
  plan: Mutable<Plan>,
): void {
  const expected = mappingOf(view);
  const mendable: string[] = [];
  for (const { kind, text } of compareMapping(live, expected)) {
    if (kind === 'contradiction') plan.conflicts.push(`index ${index}: ${text}`);
    else if (kind === 'extra') plan.harmless.push(`index ${index}: ${text}`);
    else mendable.push(text);
  }
  if (mendable.length === 0) return;
  const missing = Object.entries(expected.properties).filter(
    ([field]) => !Object.hasOwn(live.properties ?? {}, field),
  );
  const body = { dynamic: expected.dynamic, properties: Object.fromEntries(missing) };
  plan.steps.push(
    step(
      target,
      { method: 'PUT', path: `/${index}/_mapping`, body },
      `index ${index}: ${mendable.join(', ')}`,
      `mended the mapping of index ${index}`,
    ),
  );
}

async function planObjects(target: Target, dashboards: Dashboards, steps: Step[]): Promise<void> {
  const range = await timesOf(target);
  const objects = savedObjectsOf(target.prefix, target.views, range);
  const found: string[] = [];
  let misfit = false;
  for (const object of objects) {
    const live = await readObject(dashboards, object);
    const differing = live ? objectDifferences(live, object) : ['it is missing'];
    for (const difference of differing) found.push(`${nameOf(object)}: ${difference}`);
    if (live && object.type === 'dashboard' && range) misfit = !covers(live, range);
  }
  if (found.length === 0 && !misfit) return;
  steps.push({
    differences: found,
    done:
      found.length > 0
        ? `imported ${objects.map(nameOf).join(', ')}`
        : 'fitted the dashboard to the times of the results',
    request: { to: 'dashboards', method: 'POST', path: `${IMPORT_PATH}?overwrite=true`, body: objects },
    send: () => importObjects(dashboards, objects),
  });
}

function nameOf({ type, id }: SavedObject): string {
  return `${type} ${id}`;
}

const DAY_MS = 86_400_000;

/** The days of the results that are there; undefined without any. */
async function timesOf(target: Target): Promise<TimeRange | undefined> {
  const names = target.views.map((view) => indexName(target.prefix, view.name)).join();
  const path = `/${names}/_search?ignore_unavailable=true&allow_no_indices=true`;
  const times = { min: { min: { field: 'timestamp' } }, max: { max: { field: 'timestamp' } } };
  try {
    const { body } = await target.client.transport.request({
      method: 'POST',
      path,
      body: { size: 0, aggs: times },
    });
    const { min, max } = body.aggregations ?? {};
    if (typeof min?.value !== 'number' || typeof max?.value !== 'number') return undefined;
    return {
      from: new Date(Math.floor(min.value / DAY_MS) * DAY_MS).toISOString(),
      to: new Date((Math.floor(max.value / DAY_MS) + 1) * DAY_MS).toISOString(),
    };
  } catch (error) {
    // A mapping that contradicts the views is told by the plan, and a missing index too: Amazon does not promise to look
    // at the parameters of a signed POST.
    if (statusOf(error) === 400 || statusOf(error) === 404) return undefined;
    throw explained(error, target.url);
  }
}

/** Whether a dashboard shows these times, and was not made before there were any. */
function covers({ attributes }: LiveObject, { from, to }: TimeRange): boolean {
  const { timeFrom, timeTo } = attributes;
  if (timeFrom === ALL_TIMES.from && timeTo === ALL_TIMES.to) return false;
  // Times of the user's own, such as now-1h, are left.
  const [start, end] = [Date.parse(String(timeFrom)), Date.parse(String(timeTo))];
  return !(start > Date.parse(from)) && !(end < Date.parse(to));
}

/** What to take away. Indices that hold documents stay, unless `withData`. */
export async function planDelete(target: Target, withData: boolean): Promise<Plan> {
  const plan: Mutable<Plan> = { steps: [], conflicts: [], harmless: [], notes: [] };
  if (target.dashboards) await planObjectsAway(target, target.dashboards, plan.steps);
  for (const view of target.views) {
    await planIndicesAway(target, view, withData, plan);
    const path = `/_index_template/${templateName(target.prefix, view.name)}`;
    if (await read(target, path))
      plan.steps.push(deleteStep(target, path, `index template ${path.split('/').at(-1)}`));
  }
  return plan;
}

async function planObjectsAway(target: Target, dashboards: Dashboards, steps: Step[]): Promise<void> {
  // What refers to others goes before them.
  for (const object of savedObjectsOf(target.prefix, target.views).reverse()) {
    if (!(await readObject(dashboards, object))) continue;
    steps.push({
      differences: [`${nameOf(object)} is there`],
      done: `deleted ${nameOf(object)}`,
      request: { to: 'dashboards', method: 'DELETE', path: objectPath(object) },
      send: () => deleteObject(dashboards, object),
    });
  }
}

async function planIndicesAway(
  target: Target,
  view: View,
  withData: boolean,
  plan: Mutable<Plan>,
): Promise<void> {
  const name = indexName(target.prefix, view.name);
  const live = ((await read(target, `/${name}`)) ??
    (await read(target, `/${firstIndex(target.prefix, view.name)}`)) ??
    {}) as LiveIndices;
  if (isDataStream(name, Object.keys(live))) {
    plan.notes.push(`kept: ${name} is a data stream, and not from here`);
    return;
  }
  for (const index of Object.keys(live)) {
    const documents = await countOf(target, index);
    const ours = index.startsWith(name) && /^(-\d{6})?$/.test(index.slice(name.length));
    // A collection shows documents seconds after it took them, and can't be told to hurry.
    const late = documents === 0 && isServerless(target.url);
    const holds =
      documents === undefined
        ? `index ${index} is closed, so it does not say what it holds`
        : late
          ? `index ${index} may hold documents that the collection does not show yet`
          : `index ${index} holds ${documents} document${documents === 1 ? '' : 's'}`;
    if (!ours) plan.notes.push(`kept: index ${index} has the alias ${name}, but is not from here`);
    else if ((documents !== 0 || late) && !withData)
      plan.notes.push(`kept: ${holds}; --with-data deletes them too`);
    else
      plan.steps.push(deleteStep(target, `/${index}`, `index ${index} with ${documents ?? 'its'} documents`));
  }
}

/** Undefined for a closed index. */
async function countOf(target: Target, index: string): Promise<number | undefined> {
  try {
    // Documents that aren't searchable yet count too.
    if (!isServerless(target.url))
      await step(target, { method: 'POST', path: `/${index}/_refresh` }, '', '').send();
    const { count } = (await read(target, `/${index}/_count`)) as { count: number };
    return count;
  } catch (error) {
    if (statusOf((error as TaxiflowError).cause) === 400) return undefined;
    throw error;
  }
}

function deleteStep(target: Target, path: string, what: string): Step {
  return step(target, { method: 'DELETE', path }, `${what} is there`, `deleted ${what}`);
}
