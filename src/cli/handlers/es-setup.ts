import { EXIT, usageError } from '../../errors.ts';
import { connect, productOf } from '../../opensearch/connection.ts';
import { carryOut, type Plan, planDelete, planSetup, reach, type Target } from '../../opensearch/setup.ts';
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
  if (args.withData && !removing) throw usageError('--with-data needs --delete', 'add --delete');
  if (args.check && (args.dryRun || removing))
    throw usageError(
      `--check cannot be combined with --${removing ? 'delete' : 'dry-run'}`,
      'omit one of them',
    );
  const wait = waitOf(args);
  const prefix = checkedPrefix(args.indexPrefix);
  const file = args.views;
  const views = file === undefined ? checkViews(taxiViews()) : await loadViews(file);

  const access = accessOf(args, args.endpoint);
  const dashboardsUrl = args.dashboards;
  const dashboards =
    dashboardsUrl === undefined
      ? undefined
      : { url: shownUrl(dashboardsUrl), client: await connect({ ...access, url: dashboardsUrl }) };
  const url = shownUrl(access.url);
  const target: Target = { client: await connect(access), url, dashboards, prefix, views };
  try {
    const server = await reached(target, wait);
    say(`${server} at ${url}${dashboards ? `, Dashboards at ${dashboards.url}` : ''}`);
    if (!dashboards) say('no --dashboards given: no dashboard is set up');
    const plan = removing ? await planDelete(target, args.withData) : await planSetup(target);
    for (const note of plan.notes) say(`note: ${note}`);
    const about = {
      command: 'es-setup',
      endpoint: url,
      dashboards: dashboards?.url ?? null,
      server,
      index_prefix: prefix,
    };
    if (args.check) return check(args, invocation, plan, about);
    if (args.dryRun) return dryRun(args, plan, about);
    return await apply(args, plan, about, removing);
  } finally {
    await Promise.all([target.client.close(), dashboards?.client.close()]);
  }
}

/** Ms to wait; `--wait` alone reads as ''. */
function waitOf(args: EsSetupArguments): number {
  const given = args.wait;
  if (given === undefined) return 0;
  const ms = duration(given === '' ? DEFAULT_WAIT : given);
  if (Number.isFinite(ms)) return ms;
  throw usageError(`--wait ${given} is not a duration`, 'write for example 30s or 5m');
}

async function reached(target: Target, wait: number): Promise<string> {
  const progress = await progressLine();
  try {
    return productOf(await reach(target, wait, { onWait: (why) => progress.update(`waiting: ${why}`) }));
  } finally {
    progress.stop();
  }
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

async function apply(args: EsSetupArguments, plan: Plan, about: About, removing: boolean): Promise<number> {
  const done: string[] = [];
  await carryOut(plan, (step) => {
    done.push(step.done);
    say(step.done);
  });
  for (const difference of plan.harmless) say(`note: left as it is: ${difference}`);
  if (args.json) printJson({ ...about, done, notes: [...plan.notes, ...plan.harmless] });
  if (done.length === 0) say(removing ? 'nothing to delete' : 'nothing to do: everything is set up');
  return EXIT.done;
}
