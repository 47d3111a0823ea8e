import { costOf, PRICES } from '../../deploy/cost.ts';
import { templateOf, templateText, withDefaults } from '../../deploy/template/template.ts';
import { EXIT } from '../../errors.ts';
import type { CostArguments, TemplateArguments } from '../commands/deploy.ts';
import { shapeOf } from '../stack-shape.ts';
import { formatted, printJson, say, write } from '../terminal.ts';

export async function template(args: TemplateArguments): Promise<number> {
  const { shape, parameters } = shapeOf(args);
  const made = withDefaults(templateOf(shape), parameters);
  if (args.json) printJson(made);
  // As it is: what words for people leave out of URLs is part of it.
  else await write([templateText(made)]);
  return EXIT.done;
}

export async function cost({ json, ...args }: CostArguments): Promise<number> {
  const { shape } = shapeOf(args);
  const items = costOf(shape, args);
  const total = items.reduce((sum, { dollars }) => sum + dollars, 0);
  const { asOf, region, source } = PRICES;
  if (json)
    printJson({
      command: 'deploy cost',
      prices: { as_of: asOf, region, source },
      assumptions: {
        network: shape.network,
        search: shape.search,
        autoscale: shape.autoscale,
        shards: args.shards,
        retention_hours: args.retentionHours,
        hours: args.hours,
        trips_per_day: args.tripsPerDay,
        search_instance: args.searchInstance,
        search_nodes: args.searchNodes,
        search_storage_gib: args.searchStorage,
      },
      items: items.map(({ part, what, dollars }) => ({ part, what, usd: cents(dollars) })),
      total_usd: cents(total),
    });
  else {
    const rows = [...items, { part: 'total', what: '', dollars: total }];
    await write(
      formatted(
        rows.map(({ part, what, dollars }) => ({
          part,
          'USD a month': dollars.toFixed(2).padStart(11),
          what,
        })),
        'table',
      ),
    );
    say(`list prices of ${region} as of ${asOf}, from ${source}; check yours`);
    say(
      'not counted: free tiers, taxes, replays as tasks, queries, trips of earlier months, old versions of the state, standby copies, NAT or endpoints of --vpc, transfer out of AWS',
    );
  }
  return EXIT.done;
}

const cents = (dollars: number) => Math.round(dollars * 100) / 100;
