import { command } from '../command.ts';
import { flag, optionalText, text, type Values } from '../options.ts';
import { indexPrefix, json, openSearchAccess, region, views } from './shared.ts';

const options = {
  endpoint: text({ default: 'http://localhost:9200', describe: 'URL of OpenSearch' }),
  dashboards: text({ describe: 'URL of OpenSearch Dashboards; without it, the dashboard is left out' }),
  indexPrefix,
  views,
  check: flag('Only say what differs; exit code 3 if something does'),
  dryRun: flag('Only print what would be sent, as JSON lines'),
  wait: optionalText('Wait for a cluster that is starting, for instance 5m  [2m without a time]'),
  delete: flag('Take everything away again, but no documents'),
  withData: flag('With --delete: indices with documents too'),
  ...openSearchAccess,
  region,
  json,
};

export type EsSetupArguments = Values<typeof options>;

export const esSetupCommand = command({
  usage: 'es-setup',
  summary: 'Prepare OpenSearch for the results: index templates, aliases and a dashboard',
  options,
  examples: [
    ['$0 es-setup --dashboards http://localhost:5601', 'everything, on this machine'],
    ['$0 es-setup --check', 'does the cluster still have what it should?'],
  ],
  load: async () => (await import('../handlers/es-setup.ts')).esSetup,
});
