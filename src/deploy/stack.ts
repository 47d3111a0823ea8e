/**
 * A stack of CloudFormation: planned as a change set, changed as planned, followed by its events, deleted.
 *
 * A stack that taxiflow made has the tag `taxiflow:stack`; any other of that name is left alone. Tags go to all resources, and some
 * have to be replaced for another tag, so nothing that changes is one.
 */
import { randomUUID } from 'node:crypto';
import {
  type Change as AwsChange,
  type Stack as AwsStack,
  CloudFormationClient,
  CreateChangeSetCommand,
  DeleteChangeSetCommand,
  DeleteStackCommand,
  DescribeChangeSetCommand,
  type DescribeChangeSetCommandOutput,
  DescribeEventsCommand,
  DescribeStacksCommand,
  ExecuteChangeSetCommand,
  ListChangeSetsCommand,
  ListStackResourcesCommand,
  ListStacksCommand,
  type Parameter,
} from '@aws-sdk/client-cloudformation';
import { TaxiflowError } from '../errors.ts';
import { errorMessage, errorName } from '../net/aws-errors.ts';
import { type AwsPlace, ask, clientSettings, watch } from './requests.ts';
import { causeOf, EventLog, endOf, isBeginning, lastOperation, type StackEvent } from './stack-events.ts';

export interface Stack {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly tags: ReadonlyMap<string, string>;
  /** The names of its parameters. */
  readonly parameters: ReadonlySet<string>;
  readonly outputs: ReadonlyMap<string, string>;
}

export interface Resource {
  readonly id: string;
  readonly type: string;
  readonly physicalId: string;
  readonly status: string;
  readonly reason: string;
}

export interface Change {
  readonly action: string;
  readonly type: string;
  readonly resource: string;
  readonly physicalId: string | undefined;
  /** Whether the resource is made anew, and its data lost unless it is kept. */
  readonly replacement: 'yes' | 'no' | 'maybe';
}

export interface Wanted {
  readonly name: string;
  readonly template: string;
  /** The parameters of the template; those without a value keep that of the stack, else have their default. */
  readonly parameters: ReadonlyMap<string, string | undefined>;
}

export interface Plan {
  readonly creates: boolean;
  readonly name: string;
  readonly stackId: string;
  /** Its id. */
  readonly changeSet: string;
  /** None: the stack is as it is wanted. */
  readonly changes: readonly Change[];
}

/** The end of an operation, or of our looking on. */
export interface Outcome {
  /** Undefined when we stopped looking: the operation goes on. */
  readonly status: string | undefined;
  readonly events: readonly StackEvent[];
}

type Verb = 'CREATE' | 'UPDATE' | 'DELETE';

export const OWN_TAG = 'taxiflow:stack';
const CHANGE_SET = 'taxiflow-';
const NOTHING = /didn't contain changes|no updates are to be performed/i;

const CREATION = [
  'is what a failed creation left',
  'mend that, then "taxiflow deploy down" and the same command again',
] as const;
const UPDATE = 'is stuck after a failed update';
/** States from which only a person leads on, and how. */
const LEFT: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  CREATE_FAILED: CREATION,
  ROLLBACK_COMPLETE: CREATION,
  ROLLBACK_FAILED: CREATION,
  DELETE_FAILED: ['is half deleted', '"taxiflow deploy down" goes on with it'],
  UPDATE_FAILED: [UPDATE, 'mend that, then "aws cloudformation rollback-stack --stack-name NAME"'],
  UPDATE_ROLLBACK_FAILED: [
    UPDATE,
    'mend that, then "aws cloudformation continue-update-rollback --stack-name NAME"; add "--resources-to-skip ProcessService" where the older image can\'t read the state, and deploy the new one again',
  ],
};

export class Stacks {
  readonly #place: AwsPlace;
  readonly #client: CloudFormationClient;

  constructor(place: AwsPlace) {
    this.#place = place;
    this.#client = new CloudFormationClient(clientSettings(place));
  }

  close(): void {
    this.#client.destroy();
  }

  /** The region that is asked. Throws `no-region`. */
  region(): Promise<string> {
    return ask(this.#place, 'cloudformation:DescribeStacks', () => this.#client.config.region());
  }

  /** The stack with this name, or the deleted one with this id. */
  async find(name: string): Promise<Stack | undefined> {
    const { Stacks: found = [] } = await ask(
      this.#place,
      'cloudformation:DescribeStacks',
      () => this.#client.send(new DescribeStacksCommand({ StackName: name })),
      (error) => (isMissing(error) ? { $metadata: {}, Stacks: [] } : undefined),
    );
    return found[0] && stackOf(found[0]);
  }

  /** The resources of a stack, in the order of their names. */
  async resources(stackId: string): Promise<Resource[]> {
    const found: Resource[] = [];
    let token: string | undefined;
    do {
      const next = token === undefined ? {} : { NextToken: token };
      const page = await ask(this.#place, 'cloudformation:ListStackResources', () =>
        this.#client.send(new ListStackResourcesCommand({ StackName: stackId, ...next })),
      );
      for (const one of page.StackResourceSummaries ?? [])
        found.push({
          id: one.LogicalResourceId ?? '',
          type: one.ResourceType ?? '',
          physicalId: one.PhysicalResourceId ?? '',
          status: one.ResourceStatus ?? '',
          reason: one.ResourceStatusReason ?? '',
        });
      token = page.NextToken;
    } while (token);
    return found.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Every event of a stack, also of a deleted one; AWS keeps them for 90 days. */
  history(stackId: string): Promise<StackEvent[]> {
    return new EventLog(this.#client, this.#place, stackId).fresh();
  }

  /** Why the last operation of a stack failed, in one line. */
  async lastCause(stackId: string): Promise<string> {
    const log = new EventLog(this.#client, this.#place, stackId);
    return causeOf(lastOperation(await log.fresh((page) => page.some(isBeginning))));
  }

  /** Refuses a stack that can't be changed now: `stack-taken`, `stack-busy`, `stack-left`. */
  async refuseUnready(stack: Stack): Promise<void> {
    const { name, status, id } = stack;
    if (status === 'REVIEW_IN_PROGRESS') return this.#refuseForeignReview(stack);
    refuseForeign(stack);
    if (status.endsWith('_IN_PROGRESS')) throw busy(stack);
    const left = LEFT[status];
    if (!left) return;
    const [what, hint] = left;
    throw new TaxiflowError('stack-left', `stack ${name} ${what} (${status}): ${await this.lastCause(id)}`, {
      hint: hint.replace('NAME', name),
    });
  }

  /** Refuses a stack that can't be deleted now: `stack-taken`, `stack-busy`. */
  async refuseUndeletable(stack: Stack): Promise<void> {
    if (stack.status === 'REVIEW_IN_PROGRESS') return this.#refuseForeignReview(stack);
    refuseForeign(stack);
    const { status } = stack;
    if (/^(?:UPDATE|ROLLBACK|IMPORT)\w*_IN_PROGRESS$/.test(status)) throw busy(stack);
  }

  /** A stack in review holds nothing; it is ours if all that is planned for it is ours. */
  async #refuseForeignReview(stack: Stack): Promise<void> {
    const { Summaries = [] } = await ask(this.#place, 'cloudformation:ListChangeSets', () =>
      this.#client.send(new ListChangeSetsCommand({ StackName: stack.id })),
    );
    if (!Summaries.every(({ ChangeSetName: name = '' }) => name.startsWith(CHANGE_SET))) throw taken(stack);
  }

  /** Makes a change set from the stack that is there, which may be none. Nothing changes before `execute`. */
  async plan(wanted: Wanted, stack: Stack | undefined): Promise<Plan> {
    const creates = stack === undefined || stack.status === 'REVIEW_IN_PROGRESS';
    const planName = `${CHANGE_SET}${randomUUID()}`;
    const { name, template } = wanted;
    const input = {
      StackName: name,
      ChangeSetName: planName,
      ChangeSetType: creates ? ('CREATE' as const) : ('UPDATE' as const),
      TemplateBody: template,
      Parameters: parametersOf(wanted, creates ? undefined : stack),
      Tags: [...tagsOf(stack)].map(([Key, Value]) => ({ Key, Value })),
      Capabilities: ['CAPABILITY_NAMED_IAM' as const],
    };
    await ask(
      this.#place,
      'cloudformation:CreateChangeSet',
      () => this.#client.send(new CreateChangeSetCommand(input)),
      // The answer to an earlier attempt was lost: nobody else has this name.
      (error) =>
        errorName(error).startsWith('AlreadyExists') && errorMessage(error).includes(planName)
          ? { $metadata: {} }
          : undefined,
    );
    const described = await this.#planned(name, planName);
    const { StackId: stackId = name, ChangeSetId: changeSet = planName } = described;
    const plan = { creates, name, changeSet, stackId };
    if (described.Status !== 'FAILED') return { ...plan, changes: await this.#changes(plan, described) };
    const found = await this.#findings(changeSet);
    const why = [...found, described.StatusReason ?? 'AWS gives no reason'].join('; ');
    await this.discard({ ...plan, changes: [] });
    if (NOTHING.test(why)) return { ...plan, changes: [] };
    throw new TaxiflowError(
      'aws-refused',
      `AWS can't plan stack ${name}: ${why.replace(/\s+/g, ' ').trim()}`,
      {
        hint: 'mend what the message names',
      },
    );
  }

  /** What AWS found wrong in a plan, resource by resource, where it tells: the status says only that something is. */
  async #findings(changeSet: string): Promise<string[]> {
    try {
      const { OperationEvents = [] } = await ask(this.#place, 'cloudformation:DescribeEvents', () =>
        this.#client.send(new DescribeEventsCommand({ ChangeSetName: changeSet })),
      );
      return OperationEvents.flatMap(
        ({ LogicalResourceId: id, ValidationStatus, ValidationStatusReason: why }) =>
          ValidationStatus === 'FAILED' && why ? [`${id ?? 'the template'}: ${why}`] : [],
      );
    } catch {
      // Without the right to see them, or before an emulator, the plan's own reason has to do.
      return [];
    }
  }

  async #planned(name: string, changeSet: string): Promise<DescribeChangeSetCommandOutput> {
    // An interrupt ends the command after the plan: half a plan could not be discarded.
    const { signal: _, ...place } = this.#place;
    const found = await watch(place, async () => {
      const described = await this.#describe(name, changeSet);
      return /PENDING|IN_PROGRESS/.test(described.Status ?? '') ? undefined : described;
    });
    return found!;
  }

  #describe(name: string, changeSet: string, token?: string): Promise<DescribeChangeSetCommandOutput> {
    return ask(this.#place, 'cloudformation:DescribeChangeSet', () =>
      this.#client.send(
        new DescribeChangeSetCommand({
          StackName: name,
          ChangeSetName: changeSet,
          ...(token === undefined ? {} : { NextToken: token }),
        }),
      ),
    );
  }

  async #changes(
    plan: Omit<Plan, 'changes'>,
    first: DescribeChangeSetCommandOutput,
  ): Promise<readonly Change[]> {
    const changes: Change[] = [];
    for (let page = first; ; page = await this.#describe(plan.stackId, plan.changeSet, page.NextToken)) {
      for (const change of page.Changes ?? []) changes.push(changeOf(change));
      if (!page.NextToken) return changes;
    }
  }

  /** Takes a plan back, and the empty stack that it was made in. */
  async discard({ creates, changeSet, stackId }: Plan): Promise<void> {
    await ask(this.#place, 'cloudformation:DeleteChangeSet', () =>
      this.#client.send(new DeleteChangeSetCommand({ StackName: stackId, ChangeSetName: changeSet })),
    );
    if (!creates || (await this.find(stackId))?.status !== 'REVIEW_IN_PROGRESS') return;
    await this.#delete(stackId);
    const { signal: _, ...place } = this.#place;
    await watch(place, async () => {
      const stack = await this.find(stackId);
      return stack === undefined || stack.status === 'DELETE_COMPLETE' ? true : undefined;
    });
  }

  /** Does what was planned, and tells each event. Throws `stack-failed` with the first cause. */
  async execute(plan: Plan, onEvent: (event: StackEvent) => void): Promise<Outcome> {
    const log = await this.#logFromNow(plan.stackId);
    await ask(this.#place, 'cloudformation:ExecuteChangeSet', () =>
      this.#client.send(
        new ExecuteChangeSetCommand({
          StackName: plan.stackId,
          ChangeSetName: plan.changeSet,
          // A repetition is recognized by it.
          ClientRequestToken: randomUUID(),
          // What a failed creation made holds nothing that is to be kept.
          RetainExceptOnCreate: true,
        }),
      ),
    );
    const outcome = await this.#follow(log, plan.creates ? 'CREATE' : 'UPDATE', onEvent);
    const { status, events } = outcome;
    if (status !== undefined && !/^(?:CREATE|UPDATE)_COMPLETE$/.test(status)) {
      const undone = status.endsWith('ROLLBACK_COMPLETE');
      const cause = causeOf(events);
      const hint = plan.creates
        ? `${mendingOf(cause)}, then "taxiflow deploy down" and the same command again`
        : undone
          ? 'mend that, then run the same command again; the stack is as it was'
          : '"taxiflow deploy status" shows what the stack is like';
      throw new TaxiflowError(
        'stack-failed',
        `stack ${plan.name} was not ${plan.creates ? 'created' : 'updated'}: ${cause}`,
        { hint },
      );
    }
    return outcome;
  }

  /** Deletes a stack except the resources in `retain`, and tells each event. Goes on with a deletion under way. */
  async delete(
    stack: Stack,
    retain: readonly string[],
    onEvent: (event: StackEvent) => void,
  ): Promise<Outcome> {
    const { id, status } = stack;
    if (status === 'DELETE_IN_PROGRESS')
      return this.#follow(new EventLog(this.#client, this.#place, id), 'DELETE', onEvent);
    const log = await this.#logFromNow(id);
    await this.#delete(id, retain);
    return this.#follow(log, 'DELETE', onEvent);
  }

  async #delete(stackId: string, retain: readonly string[] = []): Promise<void> {
    const RetainResources = retain.length > 0 ? { RetainResources: [...retain] } : {};
    const ClientRequestToken = randomUUID();
    await ask(this.#place, 'cloudformation:DeleteStack', () =>
      this.#client.send(
        new DeleteStackCommand({ StackName: stackId, ClientRequestToken, ...RetainResources }),
      ),
    );
  }

  async #logFromNow(stackId: string): Promise<EventLog> {
    const log = new EventLog(this.#client, this.#place, stackId);
    await log.skip();
    return log;
  }

  /** Tells the events of the operation `verb` until it is over, or until the signal. */
  async #follow(log: EventLog, verb: Verb, onEvent: (event: StackEvent) => void): Promise<Outcome> {
    let events: readonly StackEvent[] = [];
    const status = await watch(this.#place, async () => {
      const fresh = await log.fresh();
      for (const event of fresh) onEvent(event);
      events = lastOperation([...events, ...fresh].sort((a, b) => a.at - b.at));
      // The end of an operation that this one interrupts is not its end.
      if (events[0]?.status === `${verb}_IN_PROGRESS`) return endOf(events)?.status;
      return fresh.length === 0 && verb === 'DELETE' ? this.#deletedStatus(log.stackId) : undefined;
    });
    return { status, events };
  }

  /** A stack that held nothing may go without an event. */
  async #deletedStatus(stackId: string): Promise<string | undefined> {
    const status = (await this.find(stackId))?.status ?? 'DELETE_COMPLETE';
    return status === 'DELETE_COMPLETE' ? status : undefined;
  }

  /** Ids of taxiflow's deleted stacks of this name, the newest first; AWS lists them for 90 days. */
  async deleted(name: string): Promise<string[]> {
    const ids: string[] = [];
    let token: string | undefined;
    do {
      const next = token === undefined ? {} : { NextToken: token };
      const page = await ask(this.#place, 'cloudformation:ListStacks', () =>
        this.#client.send(new ListStacksCommand({ StackStatusFilter: ['DELETE_COMPLETE'], ...next })),
      );
      for (const { StackName, StackId } of page.StackSummaries ?? [])
        if (StackName === name && StackId !== undefined) ids.push(StackId);
      token = page.NextToken;
    } while (token);
    const ours: string[] = [];
    for (const id of ids) if ((await this.find(id))?.tags.has(OWN_TAG)) ours.push(id);
    return ours;
  }
}

function stackOf(stack: AwsStack): Stack {
  return {
    id: stack.StackId ?? '',
    name: stack.StackName ?? '',
    status: stack.StackStatus ?? '',
    tags: new Map((stack.Tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value])),
    parameters: new Set((stack.Parameters ?? []).map(({ ParameterKey = '' }) => ParameterKey)),
    outputs: new Map(
      (stack.Outputs ?? []).map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]),
    ),
  };
}

function changeOf({ ResourceChange: change = {} }: AwsChange): Change {
  const replacements: Record<string, Change['replacement']> = { True: 'yes', Conditional: 'maybe' };
  return {
    action: (change.Action ?? '').toLowerCase(),
    type: change.ResourceType ?? '',
    resource: change.LogicalResourceId ?? '',
    physicalId: change.PhysicalResourceId,
    replacement: replacements[change.Replacement ?? ''] ?? 'no',
  };
}

/** The tags that are there stay. */
function tagsOf(stack: Stack | undefined): Map<string, string> {
  const own = [...(stack?.tags ?? [])].filter(([key]) => !key.startsWith('aws:'));
  return new Map([...own, [OWN_TAG, '1']]);
}

/** A parameter that is not given keeps the value that the stack has. */
function parametersOf({ parameters }: Wanted, stack: Stack | undefined): Parameter[] {
  return [...parameters].flatMap(([ParameterKey, ParameterValue]): Parameter[] => {
    if (ParameterValue !== undefined) return [{ ParameterKey, ParameterValue }];
    return stack?.parameters.has(ParameterKey) ? [{ ParameterKey, UsePreviousValue: true }] : [];
  });
}

/** What to do about the cause of a failed creation. */
function mendingOf(cause: string): string {
  if (!/service.linked role/i.test(cause)) return 'mend that';
  const service = /opensearch/i.test(cause) ? 'opensearchservice' : 'ecs';
  return `"aws iam create-service-linked-role --aws-service-name ${service}.amazonaws.com" once in an account`;
}

function isMissing(error: unknown): boolean {
  return errorName(error) === 'ValidationError' && /does not exist/.test(errorMessage(error));
}

/** Throws `stack-taken` for a stack that taxiflow did not make. */
function refuseForeign(stack: Stack): void {
  if (!stack.tags.has(OWN_TAG)) throw taken(stack);
}

function taken({ name }: Stack): TaxiflowError {
  return new TaxiflowError('stack-taken', `there is a stack ${name} that taxiflow did not make`, {
    hint: 'choose another name with --name',
  });
}

function busy({ name, status }: Stack): TaxiflowError {
  return new TaxiflowError('stack-busy', `an operation on stack ${name} is under way (${status})`, {
    hint: '"taxiflow deploy status" shows how far it is; run the same command again when it is over',
  });
}
