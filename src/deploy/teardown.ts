/** The end of a stack: what keeps it from being deleted goes first, and what holds data is kept. */
import { TaxiflowError } from '../errors.ts';
import type { Tasks } from './cluster.ts';
import type { Buckets, Held } from './left-buckets.ts';
import type { Outcome, Resource, Stack, Stacks } from './stack.ts';
import { causeOf, type StackEvent } from './stack-events.ts';

export interface Progress {
  onStep(text: string): void;
  onEvent(event: StackEvent): void;
}

const BUCKET = 'AWS::S3::Bucket';
/** Network interfaces of tasks go minutes after them, and keep their groups until then. */
const TRIES = 3;

/** Deletes a stack. Throws `stack-failed` with the resource that can't be deleted. */
export async function tearDown(
  { stacks, tasks, signal }: { readonly stacks: Stacks; readonly tasks: Tasks; readonly signal: AbortSignal },
  stack: Stack,
  { onStep, onEvent }: Progress,
): Promise<Outcome> {
  for (let tries = 1, status = stack.status; ; tries++) {
    const resources = await stacks.resources(stack.id);
    for (const { type, physicalId } of resources) {
      if (type !== 'AWS::ECS::Cluster' || physicalId === '') continue;
      const stopped = await tasks.stopOthers(physicalId);
      if (stopped > 0) onStep(`stopped ${stopped === 1 ? 'a task' : `${stopped} tasks`} of ${physicalId}`);
    }
    if (signal.aborted) return { status: undefined, events: [] };
    // A bucket that can't be deleted holds data. AWS keeps resources only when a deletion has failed before.
    const stuck = resources.filter((each) => isBucket(each) && each.status === 'DELETE_FAILED');
    const retain = status === 'DELETE_FAILED' ? stuck.map(({ id }) => id) : [];
    const outcome = await stacks.delete({ ...stack, status }, retain, onEvent);
    if (outcome.status !== 'DELETE_FAILED') return outcome;
    const cause = causeOf(outcome.events);
    if (tries === TRIES)
      throw new TaxiflowError('stack-failed', `stack ${stack.name} was not deleted: ${cause}`, {
        hint: 'mend that, then "taxiflow deploy down" goes on; what it has deleted stays deleted',
      });
    onStep(`not all was deleted, once more: ${cause}`);
    status = outcome.status;
  }
}

/** What is kept of a stack: it holds data. */
export function isBucket({ type }: Resource): boolean {
  return type === BUCKET;
}

/** A bucket stays with its policy, and goes with it. */
export function isOfBucket({ type }: Resource): boolean {
  return type.startsWith('AWS::S3::');
}

/** What deleted stacks of a name have left. */
export interface Left {
  readonly type: string;
  readonly physicalId: string;
  /** Its name in the stack. */
  readonly resource: string;
  /** Undefined for what is no bucket, and for a bucket that may not be looked into. */
  readonly held: Held | undefined;
}

/** The buckets that taxiflow's deleted stacks of this name have kept and that are still there. */
export async function leftBy(
  { stacks, buckets }: { readonly stacks: Stacks; readonly buckets: Buckets },
  name: string,
): Promise<Left[]> {
  const left = new Map<string, Left>();
  for (const stackId of await stacks.deleted(name)) {
    for (const { type, status, physicalId, resource } of await stacks.history(stackId)) {
      if (type !== BUCKET || status !== 'DELETE_SKIPPED' || left.has(physicalId)) continue;
      const held = await heldBy(buckets, physicalId);
      if (held !== 'gone') left.set(physicalId, { type, physicalId, resource, held });
    }
  }
  return [...left.values()].sort((a, b) => (a.physicalId < b.physicalId ? -1 : 1));
}

async function heldBy(buckets: Buckets, bucket: string): Promise<Held | undefined | 'gone'> {
  try {
    return (await buckets.held(bucket)) ?? 'gone';
  } catch (error) {
    if (error instanceof TaxiflowError && error.code === 'access-denied') return undefined;
    throw error;
  }
}
