/**
 * What `es-setup --delete` takes away.
 *
 *  S2 documents are only ever removed by `withData`, and only from indices of our names.
 */
import type { TaxiflowError } from '../errors.ts';
import type { View } from '../views/language.ts';
import { isServerless } from './amazon.ts';
import { type Dashboards, deleteObject, objectPath, readObject } from './dashboards.ts';
import { badAnswer, statusOf } from './errors.ts';
import {
  ask,
  emptyPlan,
  type Mutable,
  nameOf,
  type Plan,
  readIndices,
  readTemplate,
  type Step,
  step,
  type Target,
} from './plan.ts';
import { savedObjectsOf } from './saved-objects.ts';
import { firstIndex, indexName, isDataStream, templateName } from './templates.ts';

/** What `es-setup --delete` takes away. Indices that hold documents stay, unless `withData`. Throws as `explained`. */
export async function planDelete(target: Target, withData: boolean): Promise<Plan> {
  const plan = emptyPlan();
  if (target.dashboards) await planObjectsAway(target, target.dashboards, plan.steps);
  for (const view of target.views) {
    await planIndicesAway(target, view, withData, plan);
    const name = templateName(target.prefix, view.name);
    if (await readTemplate(target, name))
      plan.steps.push(deleteStep(target, `/_index_template/${name}`, `index template ${name}`));
  }
  return plan;
}

async function planObjectsAway(target: Target, dashboards: Dashboards, steps: Step[]): Promise<void> {
  // An object goes before those that it refers to.
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
  const live =
    (await readIndices(target, name)) ??
    (await readIndices(target, firstIndex(target.prefix, view.name))) ??
    {};
  if (isDataStream(name, Object.keys(live))) {
    plan.notes.push(`kept: ${name} is a data stream, and not from here`);
    return;
  }
  for (const index of Object.keys(live)) {
    const documents = await countOf(target, index);
    const ours = index.startsWith(name) && /^(-\d{6})?$/.test(index.slice(name.length));
    // A serverless collection shows documents seconds after it took them, and has no refresh.
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

/** How many documents an index holds; undefined for one that is closed. */
async function countOf(target: Target, index: string): Promise<number | undefined> {
  try {
    // After a refresh, documents that weren't searchable yet count too.
    if (!isServerless(target.url)) await ask(target, { method: 'POST', path: `/${index}/_refresh` });
    const path = `/${index}/_count`;
    const { count } = await ask(target, { method: 'GET', path });
    if (typeof count !== 'number') throw badAnswer(path);
    return count;
  } catch (error) {
    if (statusOf((error as TaxiflowError).cause) === 400) return undefined;
    throw error;
  }
}

function deleteStep(target: Target, path: string, what: string): Step {
  return step(target, { method: 'DELETE', path }, `${what} is there`, `deleted ${what}`);
}
