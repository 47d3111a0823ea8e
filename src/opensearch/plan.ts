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
import { explained } from './errors.ts';
import type { SavedObject } from './saved-objects.ts';

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

/** What OpenSearch says to a GET; undefined where it has nothing at the path. Throws as `explained`. */
export async function read(
  { client, url, isAssumedEmpty }: Pick<Target, 'client' | 'url' | 'isAssumedEmpty'>,
  path: string,
): Promise<unknown> {
  if (isAssumedEmpty) return undefined;
  try {
    const { body, statusCode } = await client.transport.request({ method: 'GET', path }, { ignore: [404] });
    return statusCode === 404 ? undefined : body;
  } catch (error) {
    throw explained(error, url);
  }
}

/** A step that sends one request to OpenSearch. */
export function step(target: Target, request: Omit<Request, 'to'>, difference: string, done: string): Step {
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

/** A saved object, in words. */
export function nameOf({ type, id }: Pick<SavedObject, 'type' | 'id'>): string {
  return `${type} ${id}`;
}
