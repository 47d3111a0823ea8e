import { Tasks } from '../../deploy/cluster.ts';
import { Buckets } from '../../deploy/left-buckets.ts';
import { type Resource, type Stack, Stacks } from '../../deploy/stack.ts';
import { isBucket, isOfBucket, type Left, leftBy, tearDown } from '../../deploy/teardown.ts';
import { EXIT, usageError } from '../../errors.ts';
import type { Invocation } from '../command.ts';
import type { DownArguments } from '../commands/deploy-stack.ts';
import {
  confirmed,
  formatted,
  interruption,
  printJson,
  progressLine,
  say,
  several,
  thousands,
  write,
} from '../terminal.ts';
import { eventLine, interrupted, isTold, leftJson, tellLeft } from './deploy-shared.ts';

interface Parts {
  readonly stacks: Stacks;
  readonly tasks: Tasks;
  readonly buckets: Buckets;
  readonly signal: AbortSignal;
}

/** What is there, and what is to become of it. */
interface Before {
  readonly stack: Stack | undefined;
  readonly going: readonly Resource[];
  /** Buckets of the stack. */
  readonly kept: readonly Resource[];
  /** Buckets of stacks before it. */
  readonly left: readonly Left[];
}

interface After {
  readonly executed: boolean;
  readonly status: string | null;
  /** Buckets. */
  readonly removed: readonly string[];
  readonly left: readonly Left[];
}

export async function down(args: DownArguments, invocation: Invocation): Promise<number> {
  const { signal, done } = interruption();
  const place = { region: args.region, endpointUrl: args.endpointUrl, signal };
  const parts = { stacks: new Stacks(place), tasks: new Tasks(place), buckets: new Buckets(place), signal };
  try {
    const before = await look(args, parts);
    const { stack, left } = before;
    const hasWork = stack !== undefined || (args.withData && left.length > 0);
    if (!stack)
      say(
        `there is no stack ${args.name} in ${await parts.stacks.region()}${left.length === 0 ? ', and no bucket of one' : ''}`,
      );
    if (hasWork) await showPlan(args, before);
    const declined = hasWork && !args.dryRun && !(await allowed(args, before, signal));
    const nothing: After = { executed: false, status: null, removed: [], left };
    const after = hasWork && !args.dryRun && !declined ? await carryOut(args, parts, before) : nothing;
    report(args, before, after);
    if (after.executed || !hasWork) tellLeft(after.left, invocation);
    return declined ? EXIT.failed : EXIT.done;
  } finally {
    parts.buckets.close();
    parts.tasks.close();
    parts.stacks.close();
    done();
  }
}

async function look({ name }: DownArguments, parts: Parts): Promise<Before> {
  const stack = await parts.stacks.find(name);
  if (stack) await parts.stacks.refuseUndeletable(stack);
  const resources = stack ? await parts.stacks.resources(stack.id) : [];
  // One without an id was never made.
  const there = resources.filter(
    ({ physicalId, status }) => physicalId !== '' && status !== 'DELETE_COMPLETE',
  );
  return {
    stack,
    going: there.filter((resource) => !isOfBucket(resource)),
    kept: there.filter(isBucket),
    left: await leftBy(parts, name),
  };
}

async function showPlan(args: DownArguments, { going, kept, left }: Before): Promise<void> {
  if (args.json) return;
  const row = (action: string, resource: string, type: string) => ({ action, resource, type });
  const ofBucket = args.withData ? 'empty and delete' : 'keep';
  const buckets = [
    ...kept.map(({ physicalId, type }) => row(ofBucket, physicalId, type)),
    ...left.map(({ physicalId, type }) => row(ofBucket, physicalId, type)),
  ];
  await write(formatted([...going.map(({ id, type }) => row('delete', id, type)), ...buckets], 'table'));
}

async function allowed(args: DownArguments, before: Before, signal: AbortSignal): Promise<boolean> {
  const { stack, kept, left } = before;
  const buckets = several(kept.length + (args.withData ? left.length : 0), 'bucket');
  const what = stack
    ? `delete stack ${args.name}, and ${args.withData ? `delete all data in its ${buckets}` : `keep its ${buckets}`}?`
    : `delete all data in ${buckets} of stack ${args.name}?`;
  const answer = args.yes || (await confirmed(what, signal));
  if (signal.aborted)
    throw interrupted('stopped before anything was deleted', '"taxiflow deploy down" begins anew');
  if (answer === undefined)
    throw usageError('there is no terminal to ask on, so nothing was deleted', 'add --yes to delete this');
  if (!answer) say('nothing was deleted');
  return answer;
}

async function carryOut(args: DownArguments, parts: Parts, { stack }: Before): Promise<After> {
  const status = stack ? await deleted(parts, stack) : null;
  const left = await leftBy(parts, args.name);
  if (!args.withData) return { executed: true, status, removed: [], left };
  const removed: string[] = [];
  for (const { physicalId } of left) {
    await removeBucket(parts, physicalId);
    removed.push(physicalId);
  }
  return { executed: true, status, removed, left: [] };
}

async function deleted(parts: Parts, stack: Stack): Promise<string | null> {
  const progress = await progressLine(0);
  try {
    const { status, events } = await tearDown(parts, stack, {
      onStep: (text) => progress.update(text),
      onEvent: (event) => {
        if (isTold(event)) progress.update(eventLine(event));
      },
    });
    if (status !== undefined) {
      say(`stack ${stack.name} is deleted`);
      return status;
    }
    const hint = '"taxiflow deploy status" shows how far it is; "taxiflow deploy down" goes on';
    throw interrupted(
      events.length === 0
        ? `stopped before stack ${stack.name} was deleted`
        : `stopped looking on; the deletion of stack ${stack.name} goes on by itself`,
      hint,
    );
  } finally {
    progress.stop();
  }
}

async function removeBucket({ buckets }: Parts, bucket: string): Promise<void> {
  const progress = await progressLine();
  try {
    await buckets.remove(bucket, (count) =>
      progress.update(`s3://${bucket}: deleted ${thousands(count)} versions of objects`),
    );
  } finally {
    progress.stop();
  }
  say(`deleted s3://${bucket} and all that it held`);
}

function report(args: DownArguments, { stack, going, kept }: Before, after: After): void {
  if (!args.json) return;
  printJson({
    command: 'deploy down',
    stack: args.name,
    stack_id: stack?.id ?? null,
    dry_run: args.dryRun,
    executed: after.executed,
    status: after.status,
    resources: going.map(({ id, type, physicalId }) => ({ resource: id, type, physical_id: physicalId })),
    buckets: kept.map(({ physicalId }) => physicalId),
    removed: after.removed,
    left: leftJson(after.left),
  });
}
