/**
 * A plan of `es-setup`: what differs from what it makes, and what mends it. It is made by reading alone, so a plan that
 * was carried out is followed by one without steps.
 *
 *  S1 nothing is sent when something can't be mended.
 */
import type { Client } from '@opensearch-project/opensearch';
import { TaxiflowError } from '../errors.ts';
import type { View } from '../views/language.ts';
import type { Dashboards } from './dashboards.ts';
import { badAnswer, explained, statusOf } from './errors.ts';
import type { SavedObject } from './saved-objects.ts';
import type { LiveMapping, TemplateNotes } from './templates.ts';

export interface Target {
  readonly client: Client;
  /** As people are shown it. */
  readonly url: string;
  /** It does not answer; it is not asked, and taken for a current OpenSearch that holds nothing. */
  readonly isAssumedEmpty?: boolean;
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
  /** What isn't as it should be, in words; nothing where the step only notes or fits something. */
  readonly differences: readonly string[];
  /** What the step does, told once it is done. */
  readonly done: string;
  readonly request: Request;
  send(): Promise<void>;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** Differences that only a new index can mend; with one of them nothing is sent. */
  readonly conflicts: readonly string[];
  /** Differences that can't be mended and do no harm. */
  readonly harmless: readonly string[];
  /** What is left as it is, and why. */
  readonly notes: readonly string[];
}

/** While it is made. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

export function emptyPlan(): Mutable<Plan> {
  return { steps: [], conflicts: [], harmless: [], notes: [] };
}

/** Carries out a plan, one step after the other. Throws `mapping-conflict` before anything is sent (S1). */
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

/** An index as the server describes it. */
export interface LiveIndex {
  readonly aliases: Readonly<Record<string, { readonly is_write_index?: boolean }>>;
  readonly mappings: LiveMapping;
}

export interface LiveTemplate {
  readonly index_patterns?: unknown;
  readonly priority?: unknown;
  readonly data_stream?: unknown;
  readonly _meta?: TemplateNotes;
  readonly template?: {
    readonly mappings?: LiveMapping;
    readonly settings?: unknown;
    readonly aliases?: object;
  };
}

type Reached = Pick<Target, 'client' | 'url' | 'isAssumedEmpty'>;

/** The indices behind the name of an index or alias; undefined where there is none. Throws as `read`. */
export async function readIndices(
  target: Reached,
  name: string,
): Promise<Readonly<Record<string, LiveIndex>> | undefined> {
  const path = `/${name}`;
  const found = await read(target, path);
  if (!found) return undefined;
  const indices = Object.values(found) as Partial<LiveIndex>[];
  if (indices.length === 0 || !indices.every((index) => isObject(index?.mappings) && isObject(index.aliases)))
    throw badAnswer(path);
  return found as Record<string, LiveIndex>;
}

/** An index template; undefined where there is none. Throws as `read`. */
export async function readTemplate(target: Reached, name: string): Promise<LiveTemplate | undefined> {
  const path = `/_index_template/${name}`;
  const body = await read(target, path);
  if (!body) return undefined;
  const [found] = Array.isArray(body['index_templates']) ? body['index_templates'] : [];
  if (!isObject(found?.index_template)) throw badAnswer(path);
  return found.index_template as LiveTemplate;
}

/** What OpenSearch says to a GET; undefined where it has nothing at the path. Throws as `ask`. */
export async function read(
  target: Reached,
  path: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (target.isAssumedEmpty) return undefined;
  try {
    return await ask(target, { method: 'GET', path });
  } catch (error) {
    if (statusOf((error as TaxiflowError).cause) === 404) return undefined;
    throw error;
  }
}

/** What OpenSearch says. Throws as `explained`, and `opensearch-bad-answer` where that is no object. */
export async function ask(
  { client, url }: Pick<Target, 'client' | 'url'>,
  { method, path, body }: Pick<Request, 'path' | 'body'> & { readonly method: 'GET' | Request['method'] },
): Promise<Readonly<Record<string, unknown>>> {
  let answer: unknown;
  try {
    ({ body: answer } = await client.transport.request({ method, path, ...(body ? { body } : {}) }));
  } catch (error) {
    throw explained(error, url);
  }
  if (!isObject(answer)) throw badAnswer(path);
  return answer;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** A step that sends one request to OpenSearch, which it must acknowledge. */
export function step(target: Target, request: Omit<Request, 'to'>, difference: string, done: string): Step {
  return {
    differences: [difference],
    done,
    request: { to: 'opensearch', ...request },
    send: async () => {
      const { acknowledged } = await ask(target, request);
      if (acknowledged !== true) throw badAnswer(request.path);
    },
  };
}

/** A saved object, in words. */
export function nameOf({ type, id }: Pick<SavedObject, 'type' | 'id'>): string {
  return `${type} ${id}`;
}
