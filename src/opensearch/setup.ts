/** What OpenSearch and Dashboards should have for a set of views, against what they have. */
import type { Client } from '@opensearch-project/opensearch';
import { type Clock, systemClock } from '../clock.ts';
import type { View } from '../views/language.ts';
import { isServerless } from './amazon.ts';
import { type Server, serverOf } from './connection.ts';
import {
  type Dashboards,
  IMPORT_PATH,
  importObjects,
  readObject,
  saveTimes,
  timesRequest,
} from './dashboards.ts';
import { explained, isAway } from './errors.ts';
import { keptDashboard } from './kept-dashboard.ts';
import {
  emptyPlan,
  type LiveTemplate,
  type Mutable,
  nameOf,
  type Plan,
  readIndices,
  readTemplate,
  type Step,
  step,
  type Target,
} from './plan.ts';
import { type LiveObject, objectDifferences, type SavedObject, savedObjectsOf } from './saved-objects.ts';
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
import { covers, type TimeRange, timesOfDashboard, timesOfResults } from './time-range.ts';

/** Ms that a server has for the answer to a first question. */
const PROBE_MS = 8_000;
const POLL_MS = 500;

/**
 * What runs at the target. Waits up to `wait` ms for it, and for Dashboards, to be there and ready. Throws as `serverOf`
 * and `readObject`.
 */
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
    // A try may take longer than what is left of the wait; one more comes after it.
    const last = clock.now() >= deadline;
    try {
      const server = await serverOf(client, url, { requestTimeout: PROBE_MS });
      // A cluster may stay red because of an index that is not ours, so the last try does without this.
      if (!last && !isServerless(url)) await ready(client, url);
      if (dashboards) await reachDashboards(dashboards);
      return server;
    } catch (error) {
      if (!isAway(error) || last) throw error;
      onWait((error as Error).message);
      await clock.sleep(Math.min(POLL_MS, deadline - clock.now()));
    }
  }
}

/** Asks Dashboards for some object, which tells whether it is one, is ready, and lets us in. Throws as `readObject`. */
export async function reachDashboards(dashboards: Dashboards): Promise<void> {
  await readObject(dashboards, { type: 'dashboard', id: 'taxiflow' }, { requestTimeout: PROBE_MS });
}

/** A node answers before its cluster can be written to; this asks the cluster. */
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
  const plan = emptyPlan();
  for (const view of target.views) {
    const template = await templateStep(target, view);
    if (template) plan.steps.push(template);
    await planIndex(target, view, plan);
  }
  if (target.dashboards) await planObjects(target, target.dashboards, plan.steps);
  return plan;
}

/** What makes or mends the index template of a view, and notes in it where Dashboards is; undefined where nothing does. */
export async function templateStep(target: Target, view: View): Promise<Step | undefined> {
  const name = templateName(target.prefix, view.name);
  const path = `/_index_template/${name}`;
  const expected = templateOf(target.prefix, view);
  const live = await readTemplate(target, name);
  const found = live ? templateDifferences(live, expected) : ['it is missing'];
  const dashboards = target.dashboards?.url ?? live?._meta?.dashboards;
  if (found.length === 0 && dashboards === live?._meta?.dashboards) return undefined;
  // Settings, such as replicas, are the user's own.
  const settings = live?.template?.settings;
  const sent = {
    ...expected,
    template: { ...expected.template, ...(settings === undefined ? {} : { settings }) },
    _meta: { ...live?._meta, ...expected._meta, ...(dashboards === undefined ? {} : { dashboards }) },
  };
  const done = live ? 'changed' : 'made';
  return {
    ...step(target, { method: 'PUT', path, body: sent }, '', `${done} index template ${name}`),
    // Where Dashboards is depends on who asks; another address is no difference.
    differences: found.length === 0 ? [] : [`index template ${name}: ${found.join(', ')}`],
  };
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

async function planIndex(target: Target, view: View, plan: Mutable<Plan>): Promise<void> {
  const name = indexName(target.prefix, view.name);
  const first = firstIndex(target.prefix, view.name);
  let live = await readIndices(target, name);
  if (!live) {
    live = await readIndices(target, first);
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

/** Puts right the saved objects that differ, and only those: the others may hold what the user added. */
async function planObjects(target: Target, dashboards: Dashboards, steps: Step[]): Promise<void> {
  const results = target.isAssumedEmpty ? undefined : await timesOfResults(target);
  const differing: SavedObject[] = [];
  const differences: string[] = [];
  for (const ours of savedObjectsOf(target.prefix, target.views, results)) {
    const live = await readObject(dashboards, ours);
    const expected = live && ours.type === 'dashboard' ? keptDashboard(ours, live, results) : ours;
    const found = live ? objectDifferences(live, expected) : ['it is missing'];
    for (const difference of found) differences.push(`${nameOf(ours)}: ${difference}`);
    if (found.length > 0) differing.push(expected);
    else if (live && ours.type === 'dashboard' && isBehind(live, results))
      steps.push(fitStep(dashboards, ours.id, live, results));
  }
  if (differing.length === 0) return;
  steps.push({
    differences,
    done: `imported ${differing.map(nameOf).join(', ')}`,
    request: {
      to: 'dashboards',
      method: 'POST',
      path: `${IMPORT_PATH}?overwrite=true`,
      body: differing,
    },
    send: () => importObjects(dashboards, differing),
  });
}

function isBehind({ attributes }: LiveObject, results: TimeRange | undefined): results is TimeRange {
  return results !== undefined && !covers(timesOfDashboard(attributes), results);
}

function fitStep(dashboards: Dashboards, id: string, live: LiveObject, results: TimeRange): Step {
  return {
    differences: [],
    done: 'fitted the dashboard to the times of the results',
    request: { to: 'dashboards', ...timesRequest(id, results) },
    send: async () => {
      await saveTimes(dashboards, id, live, results);
    },
  };
}
