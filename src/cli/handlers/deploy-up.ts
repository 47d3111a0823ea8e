import { readFileSync } from 'node:fs';
import { type Cluster, Tasks } from '../../deploy/cluster.ts';
import type { AwsPlace } from '../../deploy/requests.ts';
import { type Change, type Plan, type Stack, Stacks, VERSION_TAG } from '../../deploy/stack.ts';
import { MOST_BYTES, type Template, templateOf, templateText } from '../../deploy/template.ts';
import { EXIT, TaxiflowError, usageError } from '../../errors.ts';
import type { Invocation } from '../command.ts';
import type { UpArguments } from '../commands/deploy.ts';
import { parameterValues, refuseContradictions, rememberedShape, SHAPE_TAG, shapeTag } from '../deploy.ts';
import { confirmed, formatted, interruption, printJson, progressLine, say, several, show, write } from '../terminal.ts';
import { eventLine, interrupted, outputsText } from './deploy-shared.ts';

/** What `up` came to. */
interface Made {
  readonly plan: Plan;
  readonly stack: Stack | undefined;
  readonly executed: boolean;
}

export async function up(args: UpArguments, invocation: Invocation): Promise<number> {
  refuseContradictions(args);
  const { signal, done } = interruption();
  const place = { region: args.region, endpointUrl: args.endpointUrl, signal };
  const stacks = new Stacks(place);
  try {
    const made = await make(args, stacks, signal);
    const tasks = made.stack && (made.executed || made.plan.changes.length === 0) ? await runTasks(args, place, made.stack) : {};
    report(args, invocation, made, tasks);
    return 'declined' in made ? EXIT.failed : EXIT.done;
  } finally {
    stacks.close();
    done();
  }
}

async function make(args: UpArguments, stacks: Stacks, signal: AbortSignal): Promise<Made> {
  const stack = await stacks.find(args.name);
  if (stack) await stacks.refuseUnready(stack);
  const shape = rememberedShape(args, stack?.tags.get(SHAPE_TAG));
  const template = templateOf(shape);
  const parameters = parameterValues(args, Object.keys(template.Parameters));
  refuseMissing(template, parameters, stack);
  say(`planning stack ${args.name} in ${await stacks.region()}`);
  const plan = await stacks.plan(
    {
      name: args.name,
      template: bodyOf(template),
      parameters,
      tags: { [VERSION_TAG]: version(), [SHAPE_TAG]: shapeTag(shape) },
    },
    stack,
  );
  if (plan.changes.length === 0) {
    say(`nothing to change: stack ${args.name} is as it should be`);
    return { plan, stack, executed: false };
  }
  if (!args.json) await showChanges(plan.changes);
  const yes = await allowed(args, stacks, plan, signal);
  if (!yes) return { plan, stack, executed: false, ...(args.dryRun ? {} : { declined: true }) };
  await execute(stacks, plan);
  return { plan, stack: await stacks.find(args.name), executed: true };
}

/** Whether the plan is to be carried out; otherwise nothing is left of it. */
async function allowed(args: UpArguments, stacks: Stacks, plan: Plan, signal: AbortSignal): Promise<boolean> {
  const count = several(plan.changes.length, 'resource');
  const answer = args.dryRun
    ? false
    : args.yes || (await confirmed(`${plan.creates ? 'create' : 'change'} stack ${plan.name}, ${count}?`, signal));
  if (answer && !signal.aborted) return true;
  await stacks.discard(plan);
  if (signal.aborted) throw interrupted('stopped before anything was changed', '"taxiflow deploy up" plans anew');
  if (answer === undefined)
    throw usageError('there is no terminal to ask on, so nothing was changed', 'add --yes to make these changes');
  say(args.dryRun ? `${count} would be changed` : 'nothing was changed');
  return false;
}

async function execute(stacks: Stacks, plan: Plan): Promise<void> {
  const progress = await progressLine(0);
  const finished = new Set<string>();
  try {
    const { status } = await stacks.execute(plan, (event) => {
      if (!event.ofStack && event.status.endsWith('_COMPLETE')) finished.add(event.resource);
      progress.update(`${finished.size} of ${plan.changes.length}: ${eventLine(event)}`);
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

/** CloudFormation takes so many bytes in a request; JSON is shorter than YAML with its comments. */
function bodyOf(template: Template): string {
  const fits = (text: string) => Buffer.byteLength(text) <= MOST_BYTES;
  const yaml = templateText(template);
  if (fits(yaml)) return yaml;
  const json = JSON.stringify(template);
  if (fits(json)) return json;
  throw new TaxiflowError(
    'template-too-large',
    `the template has ${Buffer.byteLength(json)} bytes, and CloudFormation takes ${MOST_BYTES} at most`,
    { hint: '"taxiflow deploy template" prints it; put it into a bucket and create the stack from there' },
  );
}

/** A parameter without a value, a default and an earlier value has to be given. */
function refuseMissing(
  { Parameters }: Template,
  values: ReadonlyMap<string, string | undefined>,
  stack: Stack | undefined,
): void {
  for (const [name, { Default, Description }] of Object.entries(Parameters)) {
    if (Default !== undefined || values.get(name) !== undefined || stack?.parameters.has(name)) continue;
    throw usageError(`${flagOf(name)} is required: ${Description}`);
  }
}

const FLAGS: Readonly<Record<string, string>> = { VpcId: '--vpc', SubnetIds: '--subnets' };

function flagOf(parameter: string): string {
  return FLAGS[parameter] ?? `--${parameter.replace(/(?!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase()}`;
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
    if (!args.replay) return setup ? { setup } : {};
    const task = await tasks.run(cluster, output('ReplayTaskArn'));
    say(`replay is started: task ${idOf(task)}; ${output('LogsCommand')}`);
    return { ...(setup ? { setup } : {}), replay: { task } };
  } finally {
    tasks.close();
  }
}

async function runSetup(tasks: Tasks, cluster: Cluster, outputs: ReadonlyMap<string, string>) {
  const [url, dashboards] = [outputs.get('SearchEndpoint'), outputs.get('DashboardsUrl')];
  if (url === undefined) throw usageError('--setup needs a search service, and this stack has none', 'omit --setup');
  const command = setupArguments(url, dashboards);
  const task = await tasks.run(cluster, outputs.get('ProcessTaskArn') ?? '', command);
  const logs = outputs.get('LogsCommand') ?? '';
  const progress = await progressLine();
  try {
    const ended = await tasks.ended(cluster.cluster, task, (state) =>
      progress.update(`es-setup: task ${idOf(task)} is ${state}`),
    );
    if (ended === undefined) throw interrupted('stopped looking on; es-setup goes on by itself', logs);
    const { exitCode, reason } = ended;
    if (exitCode !== 0)
      throw new TaxiflowError(
        'task-failed',
        `es-setup failed with ${exitCode === undefined ? 'no exit code' : `exit code ${exitCode}`}: ${reason || 'AWS gives no reason'}`,
        { hint: logs === '' ? 'look at the log of the task' : `"${logs}" shows why; "taxiflow deploy up --setup" runs it again` },
      );
    say('es-setup is done');
    return { task, exit_code: exitCode, reason };
  } finally {
    progress.stop();
  }
}

/** How the task that prepares the search service is called. */
function setupArguments(url: string, dashboards: string | undefined): string[] {
  const shown = dashboards === undefined ? [] : ['--dashboards', dashboards];
  return ['es-setup', '--endpoint', url, ...shown, '--aws-sigv4', '--wait', '5m'];
}

function idOf(taskArn: string): string {
  return taskArn.split('/').at(-1) ?? taskArn;
}

function report(args: UpArguments, invocation: Invocation, { plan, stack, executed }: Made, tasks: Ran): void {
  const outputs = stack?.outputs ?? new Map();
  if (args.json)
    printJson({
      command: 'deploy up',
      stack: plan.name,
      stack_id: executed || !plan.creates ? plan.stackId : null,
      action: plan.changes.length === 0 ? 'none' : plan.creates ? 'create' : 'update',
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
      outputs: Object.fromEntries(outputs),
      setup: tasks.setup ?? null,
      replay: tasks.replay ?? null,
    });
  else if (executed) show(outputsText(outputs));
  if (executed) say(invocation.completed(`stack ${plan.name} is ${plan.creates ? 'created' : 'updated'}; "taxiflow deploy status" shows it`));
}

/** The version in package.json, which is next to dist/. */
function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
