import { type Alarm, ringing } from '../../deploy/alarm-states.ts';
import { type OneOff, type ServiceState, Tasks } from '../../deploy/cluster.ts';
import { Buckets } from '../../deploy/left-buckets.ts';
import type { AwsPlace } from '../../deploy/requests.ts';
import { OWN_TAG, type Resource, type Stack, Stacks } from '../../deploy/stack.ts';
import { STAGES, stageOf } from '../../deploy/stages.ts';
import { type Left, leftBy } from '../../deploy/teardown.ts';
import { EXIT } from '../../errors.ts';
import type { Invocation } from '../command.ts';
import type { StatusArguments } from '../commands/deploy-stack.ts';
import { formatted, printJson, say, show, write } from '../terminal.ts';
import { idOf, leftJson, outputsText, tellLeft } from './deploy-shared.ts';

interface Seen {
  readonly stack: Stack;
  /** Why the last operation failed; undefined if it didn't. */
  readonly trouble: string | undefined;
  readonly resources: readonly Resource[];
  /** Undefined where there is none, or none yet. */
  readonly service: ServiceState | undefined;
  readonly tasks: readonly OneOff[];
  readonly alarms: readonly Alarm[];
}

export async function status(args: StatusArguments, invocation: Invocation): Promise<number> {
  const place = { region: args.region, endpointUrl: args.endpointUrl };
  const stacks = new Stacks(place);
  const buckets = new Buckets(place);
  try {
    const stack = await stacks.find(args.name);
    const seen = stack && (await look(stacks, place, stack));
    const left = await leftBy({ stacks, buckets }, args.name);
    if (args.json) printJson(asJson(args.name, seen, left));
    else if (seen) await showStack(seen);
    if (!seen)
      say(
        `there is no stack ${args.name} in ${await stacks.region()}; "taxiflow deploy up --image …" makes one`,
      );
    if (stack && !stack.tags.has(OWN_TAG)) say('note: taxiflow did not make this stack');
    tellLeft(left, invocation);
    return EXIT.done;
  } finally {
    buckets.close();
    stacks.close();
  }
}

async function look(stacks: Stacks, place: AwsPlace, stack: Stack): Promise<Seen> {
  const resources = await stacks.resources(stack.id);
  const failed = /ROLLBACK|FAILED/.test(stack.status);
  const named = (type: string) => resources.filter((each) => each.type === type && each.physicalId !== '');
  const [cluster, service] = [named('AWS::ECS::Cluster')[0], named('AWS::ECS::Service')[0]];
  const tasks = new Tasks(place);
  try {
    return {
      stack,
      trouble: failed ? await stacks.lastCause(stack.id) : undefined,
      resources,
      service:
        cluster && service
          ? await tasks.service({ cluster: cluster.physicalId, service: service.physicalId })
          : undefined,
      tasks: cluster ? await tasks.others(cluster.physicalId) : [],
      alarms: await ringing(
        place,
        named('AWS::CloudWatch::Alarm').map(({ physicalId }) => physicalId),
      ),
    };
  } finally {
    tasks.close();
  }
}

function asJson(name: string, seen: Seen | undefined, left: readonly Left[]) {
  return {
    command: 'deploy status',
    stack: name,
    stack_id: seen?.stack.id ?? null,
    status: seen?.stack.status ?? null,
    trouble: seen?.trouble ?? null,
    resources: (seen?.resources ?? []).map((resource) => ({
      stage: stageOf(resource),
      resource: resource.id,
      type: resource.type,
      physical_id: resource.physicalId,
      status: resource.status,
      reason: resource.reason === '' ? null : resource.reason,
    })),
    service: seen?.service ? { ...seen.service, stopped: seen.service.stopped ?? null } : null,
    tasks: (seen?.tasks ?? []).map(({ exitCode, reason, ...task }) => ({
      ...task,
      exit_code: exitCode ?? null,
      reason: reason ?? null,
    })),
    alarms: seen?.alarms ?? [],
    outputs: Object.fromEntries(seen?.stack.outputs ?? []),
    left: leftJson(left),
  };
}

async function showStack({ stack, trouble, resources, service, tasks, alarms }: Seen): Promise<void> {
  show(`stack ${stack.name}: ${stack.status}${trouble === undefined ? '' : `, ${trouble}`}\n\n`);
  const rows = STAGES.flatMap((stage) =>
    resources
      .filter((resource) => stageOf(resource) === stage)
      .map(({ id, type, status, reason }) => ({
        stage,
        resource: id,
        type,
        status: `${status} ${reason}`.trim(),
      })),
  );
  await write(formatted(rows, 'table'));
  if (service) {
    const { running, desired, pending, events, stopped } = service;
    show(`\nservice: ${running} of ${desired} tasks run${pending > 0 ? `, ${pending} starting` : ''}\n`);
    if (stopped !== undefined) show(`  the last that stopped: ${stopped}\n`);
    for (const event of events) show(`  ${event}\n`);
  }
  for (const { task, what, state, exitCode, reason } of tasks)
    show(
      `task ${what} ${idOf(task)}: ${state}${exitCode === undefined ? '' : ` with exit code ${exitCode}`}${reason ? `, ${reason}` : ''}\n`,
    );
  show(`\nalarms: ${alarms.length === 0 ? 'none has gone off' : `${alarms.length} gone off`}\n`);
  for (const { name, reason, since } of alarms) show(`  ${name} since ${since ?? '–'}: ${reason}\n`);
  if (stack.outputs.size > 0) show(`\n${outputsText(stack.outputs)}`);
}
