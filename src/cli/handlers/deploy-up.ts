import { type Cluster, Tasks } from '../../deploy/cluster.ts';
import type { AwsPlace } from '../../deploy/requests.ts';
import { type Change, type Plan, type Stack, Stacks } from '../../deploy/stack.ts';
import {
  type StackShape,
  setupArguments,
  type Template,
  templateOf,
} from '../../deploy/template/template.ts';
import { EXIT, TaxiflowError, usageError } from '../../errors.ts';
import { placeOf } from '../../s3/addresses.ts';
import { DEFAULT_DATA_DIR, openAdmin, parseTarget } from '../../streams/connectors.ts';
import type { Invocation } from '../command.ts';
import type { UpArguments } from '../commands/deploy-stack.ts';
import { bodyOf, flagOf, type Given, givenParameters, parametersFor } from '../deploy.ts';
import { shapeOf } from '../stack-shape.ts';
import {
  confirmed,
  formatted,
  interruption,
  printJson,
  progressLine,
  say,
  several,
  show,
  span,
  write,
} from '../terminal.ts';
import { eventLine, idOf, interrupted, isTold, outputsText } from './deploy-shared.ts';

/** It waits five minutes for the search service by itself; the rest is for its image to be fetched. */
const SETUP_MS = 20 * 60_000;

/** What `up` came to. */
interface Made {
  readonly plan: Plan;
  readonly stack: Stack | undefined;
  readonly outcome: 'none' | 'planned' | 'declined' | 'unasked' | 'done';
}

export async function up(args: UpArguments, invocation: Invocation): Promise<number> {
  refuseContradictions(args);
  const given = givenParameters(args);
  const { signal, done } = interruption();
  const place = { region: args.region, endpointUrl: args.endpointUrl, signal };
  const stacks = new Stacks(place);
  try {
    const made = await make(args, given, stacks, signal);
    const { stack, outcome } = made;
    const goesOn = outcome === 'done' || (outcome === 'none' && !args.dryRun);
    if (outcome === 'done') tellDone(args, invocation, made);
    const tasks = stack && goesOn ? await runTasks(args, place, stack) : {};
    if (args.json) report(args, made, tasks);
    if (tasks.setup) refuseFailed(tasks.setup, stack?.outputs.get('LogsCommand'));
    if (outcome !== 'unasked') return outcome === 'declined' ? EXIT.failed : EXIT.done;
    throw usageError('there is no terminal to ask on, so nothing was changed', 'add --yes to change it');
  } finally {
    stacks.close();
    done();
  }
}

async function make(args: UpArguments, given: Given, stacks: Stacks, signal: AbortSignal): Promise<Made> {
  const { name } = args;
  const stack = await stacks.find(name);
  if (stack) await stacks.refuseUnready(stack);
  const present = stack?.outputs.get('Shape');
  const { shape } = shapeOf(args, present);
  refuseMove(present, shape);
  const template = templateOf(shape);
  const parameters = parametersFor(template, given);
  refuseMissing(template, parameters, stack);
  if (args.setup && shape.search === 'none')
    throw usageError('--setup prepares a search service, and this stack has none', 'omit --setup');
  say(`planning stack ${name} in ${await stacks.region()}`);
  const open = await openShards(args, given, stack);
  await lookForTrips(args);
  const plan = await stacks.plan({ name, template: bodyOf(template), parameters }, stack);
  if (plan.changes.length === 0) {
    say(`nothing to change: stack ${name} is as it should be`);
    tellShards(given, stack, open);
    return { plan, stack, outcome: 'none' };
  }
  if (!args.json) await showChanges(plan.changes);
  const outcome = await decided(args, stacks, plan, signal);
  if (outcome !== 'done') return { plan, stack, outcome };
  await execute(stacks, plan);
  return { plan, stack: await stacks.find(name), outcome };
}

/** `done` if the plan is to be carried out; otherwise nothing is left of it. */
async function decided(
  args: UpArguments,
  stacks: Stacks,
  plan: Plan,
  signal: AbortSignal,
): Promise<Exclude<Made['outcome'], 'none'>> {
  const count = several(plan.changes.length, 'change');
  const question = `${plan.creates ? 'create' : 'change'} stack ${plan.name}, ${count}?`;
  const answer = args.dryRun ? false : args.yes || (await confirmed(question, signal));
  if (answer && !signal.aborted) return 'done';
  await stacks.discard(plan);
  if (signal.aborted)
    throw interrupted('stopped before anything was changed', '"taxiflow deploy up" plans anew');
  if (answer === undefined) return 'unasked';
  say(args.dryRun ? `${count} would be made` : 'nothing was changed');
  return args.dryRun ? 'planned' : 'declined';
}

async function execute(stacks: Stacks, plan: Plan): Promise<void> {
  const progress = await progressLine(0);
  // An update tells of every resource, also of those that it leaves as they are.
  const awaited = new Set(plan.changes.map(({ resource }) => resource));
  try {
    const { status } = await stacks.execute(plan, (event) => {
      if (event.status.endsWith('_COMPLETE')) awaited.delete(event.resource);
      if (isTold(event))
        progress.update(
          `${plan.changes.length - awaited.size} of ${plan.changes.length}: ${eventLine(event)}`,
        );
    });
    if (status === undefined)
      throw interrupted(
        `stopped looking on; stack ${plan.name} goes on by itself`,
        '"taxiflow deploy status" shows how far it is',
      );
  } finally {
    progress.stop();
  }
}

async function showChanges(changes: readonly Change[]): Promise<void> {
  const replaced = { yes: 'replaced', maybe: 'may be replaced', no: '' };
  const rows = changes.map(({ action, type, resource, replacement }) => ({
    action,
    resource,
    type,
    replacement: action === 'modify' ? replaced[replacement] : '',
  }));
  await write(formatted(rows, 'table'));
}

/** A parameter without a value, a default and an earlier value has to be given. */
function refuseMissing(
  { Parameters }: Template,
  values: ReadonlyMap<string, string | undefined>,
  stack: Stack | undefined,
): void {
  for (const [name, { Default, Description }] of Object.entries(Parameters)) {
    if (Default !== undefined || values.get(name) !== undefined || stack?.parameters.has(name)) continue;
    if (stack) throw usageError(`${flagOf(name)} is required: ${Description}`);
    throw usageError(
      `there is no such stack yet, and a new one needs ${flagOf(name)}: ${Description}`,
      'add it, or check --name and --region',
    );
  }
}

interface Ran {
  readonly setup?: { readonly task: string; readonly exit_code: number | null; readonly reason: string };
  readonly replay?: { readonly task: string };
}

/** es-setup, and after it a first replay, where they are asked for. */
async function runTasks(args: UpArguments, place: AwsPlace, { outputs }: Stack): Promise<Ran> {
  if (!args.setup && !args.replay) return {};
  const tasks = new Tasks(place);
  const output = (key: string) => outputs.get(key) ?? '';
  const cluster: Cluster = { cluster: output('ClusterName'), service: output('ServiceName') };
  try {
    const setup = args.setup ? await runSetup(tasks, cluster, outputs) : undefined;
    if (!args.replay || (setup && setup.exit_code !== 0)) return setup ? { setup } : {};
    const task = await tasks.run(cluster, output('ReplayTaskArn'));
    say(`replay is started: task ${idOf(task)}; ${output('LogsCommand')}`);
    return { ...(setup ? { setup } : {}), replay: { task } };
  } finally {
    tasks.close();
  }
}

async function runSetup(tasks: Tasks, cluster: Cluster, outputs: ReadonlyMap<string, string>) {
  const [url = '', dashboards] = [outputs.get('SearchEndpoint'), outputs.get('DashboardsUrl')];
  const command = setupArguments(url, dashboards);
  const task = await tasks.run(cluster, outputs.get('ProcessTaskArn') ?? '', command);
  const logs = outputs.get('LogsCommand') ?? '';
  const progress = await progressLine();
  const began = Date.now();
  try {
    const ended = await tasks.ended(cluster.cluster, task, (state) => {
      const elapsed = Date.now() - began;
      progress.update(`es-setup: task ${idOf(task)} is ${state}, ${span(elapsed)}`);
      if (elapsed > SETUP_MS) throw neverEnded(task, state, logs);
    });
    if (ended === undefined)
      throw interrupted('stopped looking on; es-setup goes on by itself, and no replay was started', logs);
    if (ended.exitCode === 0) say('es-setup is done');
    return { task, exit_code: ended.exitCode ?? null, reason: ended.reason };
  } finally {
    progress.stop();
  }
}

function neverEnded(task: string, state: string, logs: string): TaxiflowError {
  return new TaxiflowError(
    'task-failed',
    `es-setup has not ended in ${span(SETUP_MS)}: task ${idOf(task)} is ${state}`,
    {
      hint: `"${logs}" shows what it says; "taxiflow deploy up --setup" runs it again`,
    },
  );
}

function refuseFailed({ exit_code, reason }: NonNullable<Ran['setup']>, logs: string | undefined): void {
  if (exit_code === 0) return;
  const how = exit_code === null ? 'without an exit code' : `with exit code ${exit_code}`;
  throw new TaxiflowError('task-failed', `es-setup ended ${how}: ${reason || 'AWS gives no reason'}`, {
    hint: `"${logs ?? 'aws logs tail'}" shows what it said; "taxiflow deploy up --setup" runs it again`,
  });
}

function tellDone(args: UpArguments, invocation: Invocation, { plan, stack }: Made): void {
  if (!args.json && stack) show(outputsText(stack.outputs));
  const deed = plan.creates ? 'created' : 'updated';
  say(invocation.completed(`stack ${plan.name} is ${deed}; "taxiflow deploy status" shows it`));
}

function report(args: UpArguments, { plan, stack, outcome }: Made, tasks: Ran): void {
  const executed = outcome === 'done';
  printJson({
    command: 'deploy up',
    stack: plan.name,
    stack_id: executed || !plan.creates ? plan.stackId : null,
    action: outcome === 'none' ? 'none' : plan.creates ? 'create' : 'update',
    dry_run: args.dryRun,
    executed,
    changes: plan.changes.map(({ action, type, resource, physicalId, replacement }) => ({
      action,
      type,
      resource,
      physical_id: physicalId ?? null,
      replacement,
    })),
    status: stack?.status ?? null,
    outputs: Object.fromEntries(stack?.outputs ?? []),
    setup: tasks.setup ?? null,
    replay: tasks.replay ?? null,
  });
}

/** The stack asks for as many as before, and the stream has others since: AWS sees nothing to change. */
function tellShards(given: Given, stack: Stack | undefined, open: number | undefined): void {
  const wanted = given.get('Shards');
  if (open === undefined || wanted === undefined || Number(wanted) === open) return;
  const name = stack?.outputs.get('StreamName');
  say(
    `note: the stream has ${several(open, 'open shard')} since it was resharded; "taxiflow stream reshard ${name} --shards ${wanted}" brings it back`,
  );
}

/** A replay of nothing would fail long after it was started. Without the right to look, the tasks may still have it. */
async function lookForTrips({ trips, region, endpointUrl }: UpArguments): Promise<void> {
  if (trips === undefined || trips === 'none') return;
  const { ObjectStore } = await import('../../s3/object-store.ts');
  const { bucket, key } = placeOf(trips);
  try {
    const store = await ObjectStore.open(bucket, { region, endpointUrl });
    for await (const _ of store.list(key)) return;
  } catch (error) {
    if (!(error instanceof TaxiflowError) || error.code !== 's3-access-denied') throw error;
    say(`note: whether there are trips at ${trips} can't be seen from here`);
    return;
  }
  throw usageError(`there is nothing at ${trips}`, 'check the prefix of --trips');
}

/** What doesn't go together. */
function refuseContradictions({ autoscale, shards, shardsMin, shardsMax }: UpArguments): void {
  if (autoscale && shards === 0)
    throw usageError(
      'Amazon looks after the shards of a stream on demand',
      'omit --autoscale, or --shards 0',
    );
  if (shardsMin !== undefined && shardsMax !== undefined && shardsMin > shardsMax)
    throw usageError(`--shards-min ${shardsMin} is more than --shards-max ${shardsMax}`, 'turn them round');
}

/** A domain can't go into a VPC or out of it, and a new one would want the name of the old. */
function refuseMove(present: string | undefined, { search }: StackShape): void {
  const domains = ['domain', 'public'];
  const before = /search=(\w+)/.exec(present ?? '')?.[1] ?? search;
  if (before === search || !domains.includes(before) || !domains.includes(search)) return;
  throw usageError(
    `a domain can't go from "${before}" to "${search}"`,
    `"taxiflow deploy up --search none" first, then --search ${search} --setup; the state holds the results`,
  );
}

/** Amazon at most doubles the open shards at once, and at least halves them; others may have changed them since. */
async function openShards(
  { region, endpointUrl }: UpArguments,
  given: Given,
  stack: Stack | undefined,
): Promise<number | undefined> {
  const [wanted, name] = [Number(given.get('Shards') ?? Number.NaN), stack?.outputs.get('StreamName')];
  if (!(wanted > 0) || name === undefined) return undefined;
  const admin = await openAdmin(parseTarget(`kinesis:${name}`), {
    dataDir: DEFAULT_DATA_DIR,
    region,
    endpointUrl,
  });
  try {
    const open = (await admin.describe()).filter((shard) => shard.open).length;
    if (open === 0 || (wanted <= open * 2 && wanted >= open / 2)) return open;
    const next = wanted > open ? open * 2 : Math.ceil(open / 2);
    throw usageError(
      `the stream has ${open} open shards, and Amazon at most doubles or halves them at once`,
      `go in steps: --shards ${next} next; or "taxiflow stream reshard ${name} --shards ${wanted}", which does it`,
    );
  } finally {
    admin.close();
  }
}
