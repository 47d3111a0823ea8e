import { EXIT, usageError } from '../../errors.ts';
import { connect, productOf } from '../../opensearch/connection.ts';
import { isAway } from '../../opensearch/errors.ts';
import { carryOut, type Plan, type Target } from '../../opensearch/plan.ts';
import { planSetup, reach, reachDashboards } from '../../opensearch/setup.ts';
import { planDelete } from '../../opensearch/teardown.ts';
import { checkedPrefix } from '../../opensearch/templates.ts';
import { shownUrl } from '../../printable.ts';
import { checkViews } from '../../views/check.ts';
import { duration } from '../../views/language.ts';
import { loadViews } from '../../views/load.ts';
import { taxiViews } from '../../views/taxi.ts';
import type { Invocation } from '../command.ts';
import type { EsSetupArguments } from '../commands/es-setup.ts';
import { accessOf } from '../opensearch.ts';
import { printJson, progressLine, say, several, show } from '../terminal.ts';

const DEFAULT_WAIT = '2m';

export async function esSetup(args: EsSetupArguments, invocation: Invocation): Promise<number> {
  const removing = args.delete;
  refuseContradictions(args);
  const wait = waitOf(args);
  const { target, close } = await targetOf(args);
  try {
    const { server, assumed } = await reached(target, wait, args.dryRun && !removing);
    const { url, dashboards, prefix } = target;
    if (assumed.length === 0)
      say(`${server} at ${url}${dashboards ? `, Dashboards at ${dashboards.url}` : ''}`);
    if (!dashboards) say('no --dashboards given: no dashboard is set up');
    const there = { ...target, ...assumedEmpty(target, assumed) };
    const plan = removing ? await planDelete(there, args.withData) : await planSetup(there);
    for (const note of plan.notes) say(`note: ${note}`);
    const about = {
      command: 'es-setup',
      endpoint: url,
      dashboards: dashboards?.url ?? null,
      server,
      index_prefix: prefix,
    };
    if (args.check) return check(args, invocation, plan, about);
    if (args.dryRun) return dryRun(args, plan, { ...about, assumed });
    return await apply(args, plan, about, removing);
  } finally {
    await close();
  }
}

function refuseContradictions(args: EsSetupArguments): void {
  if (args.withData && !args.delete) throw usageError('--with-data needs --delete', 'add --delete');
  if (args.check && (args.dryRun || args.delete))
    throw usageError(
      `--check cannot be combined with --${args.delete ? 'delete' : 'dry-run'}`,
      'omit one of them',
    );
}

async function targetOf(args: EsSetupArguments): Promise<{ target: Target; close(): Promise<unknown> }> {
  const prefix = checkedPrefix(args.indexPrefix);
  const views = args.views === undefined ? checkViews(taxiViews()) : await loadViews(args.views);
  const access = accessOf(args, args.endpoint);
  const url = args.dashboards;
  const dashboards =
    url === undefined ? undefined : { url: shownUrl(url), client: await connect({ ...access, url }) };
  const client = await connect(access);
  return {
    target: { client, url: shownUrl(access.url), dashboards, prefix, views },
    close: () => Promise.all([client.close(), dashboards?.client.close()]),
  };
}

/** Ms to wait; `--wait` alone reads as ''. */
function waitOf(args: EsSetupArguments): number {
  const given = args.wait;
  if (given === undefined) return 0;
  const ms = duration(given === '' ? DEFAULT_WAIT : given);
  if (Number.isFinite(ms)) return ms;
  throw usageError(`--wait ${given} is not a duration`, 'write for example 30s or 5m');
}

/** A server that does not answer, so that nothing is known of what it holds. */
type Assumed = 'opensearch' | 'dashboards';

interface Reached {
  /** What runs there, such as `OpenSearch 3.8.0`. */
  readonly server: string;
  readonly assumed: readonly Assumed[];
}

/** Waits for the servers. Those that do not answer are taken for empty ones where nothing is to be sent. */
async function reached(target: Target, wait: number, mayAssume: boolean): Promise<Reached> {
  const progress = await progressLine();
  try {
    const server = await reach(target, wait, { onWait: (why) => progress.update(`waiting: ${why}`) });
    return { server: productOf(server), assumed: [] };
  } catch (error) {
    if (!mayAssume || !isAway(error)) throw error;
  } finally {
    progress.stop();
  }
  return assume(target);
}

async function assume({ dashboards, ...target }: Target): Promise<Reached> {
  const assumed: Assumed[] = [];
  const orAssume = (which: Assumed, doing: string) => (error: unknown) => {
    if (!isAway(error)) throw error;
    assumed.push(which);
    say(`note: ${(error as Error).message}; ${doing}`);
  };
  const server = await reach(target).catch(
    orAssume('opensearch', 'assumed: a current OpenSearch that holds nothing'),
  );
  if (dashboards)
    await reachDashboards(dashboards).catch(
      orAssume('dashboards', 'assumed: a current one that holds nothing'),
    );
  return { server: server ? productOf(server) : 'OpenSearch', assumed };
}

function assumedEmpty({ dashboards }: Target, assumed: readonly Assumed[]): Partial<Target> {
  return {
    isAssumedEmpty: assumed.includes('opensearch'),
    dashboards: dashboards && { ...dashboards, isAssumedEmpty: assumed.includes('dashboards') },
  };
}

type About = Readonly<Record<string, unknown>>;

function check(args: EsSetupArguments, invocation: Invocation, plan: Plan, about: About): number {
  const mendable = plan.steps.flatMap((step) => step.differences);
  const differences = [...plan.conflicts, ...mendable, ...plan.harmless];
  if (args.json) printJson({ ...about, check: true, differences });
  else for (const difference of differences) show(`${difference}\n`);
  if (differences.length === 0) {
    say('no differences: everything is set up');
    return EXIT.done;
  }
  const mends = invocation.completed('; "taxiflow es-setup" repairs what it can');
  say(`${several(differences.length, 'difference')}${mendable.length > 0 ? mends : ''}`);
  return EXIT.rejected;
}

function dryRun(args: EsSetupArguments, plan: Plan, about: About): number {
  const requests = plan.steps.map(({ request }) => request);
  if (args.json) printJson({ ...about, dry_run: true, requests, conflicts: plan.conflicts });
  else for (const request of requests) printJson(request);
  for (const conflict of plan.conflicts)
    say(`nothing would be sent, because an index contradicts the views: ${conflict}`);
  say(`${several(requests.length, 'request')} would be sent`);
  return EXIT.done;
}

const TIMES_SHOWN =
  'note: Dashboards shows times in the zone of the browser; to see those of the results, set dateFormat:tz to UTC in its Advanced Settings';

async function apply(args: EsSetupArguments, plan: Plan, about: About, removing: boolean): Promise<number> {
  const done: string[] = [];
  await carryOut(plan, (step) => {
    done.push(step.done);
    say(step.done);
  });
  for (const difference of plan.harmless) say(`note: left as it is: ${difference}`);
  if (args.json) printJson({ ...about, done, notes: [...plan.notes, ...plan.harmless] });
  if (args.dashboards !== undefined && !removing) say(TIMES_SHOWN);
  if (done.length === 0) say(removing ? 'nothing to delete' : 'nothing to do: everything is set up');
  return EXIT.done;
}
