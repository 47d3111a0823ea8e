import { command } from '../command.ts';
import { flag, optionalText, text, type Values } from '../options.ts';
import { indexPrefix, json, openSearchAccess, region, views } from './shared.ts';

const options = {
  endpoint: text({ default: 'http://localhost:9200', describe: 'URL of OpenSearch' }),
  dashboards: text({ describe: 'URL of OpenSearch Dashboards; without it, no dashboard is created' }),
  indexPrefix,
  views,
  check: flag('Only report differences; exit code 3 if there are any'),
  dryRun: flag('Only print the requests, as JSON lines'),
  wait: optionalText('Wait for a cluster that is starting, for example 5m  [2m if no time is given]'),
  delete: flag('Delete everything es-setup created, except indices with documents'),
  withData: flag('With --delete: also delete indices with documents'),
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
    ['es-setup --dashboards http://localhost:5601', 'set up everything on this machine'],
    ['es-setup --check', 'is the cluster still set up correctly?'],
  ],
  meant: (word) => `es-setup --endpoint ${word}`,
  load: async () => (await import('../handlers/es-setup.ts')).esSetup,
});
