import { command, group } from '../command.ts';
import { text, type Values, whole } from '../options.ts';
import { stackShape } from './deploy-options.ts';
import { downCommand, statusCommand, upCommand } from './deploy-stack.ts';
import { json } from './shared.ts';

const templateOptions = { ...stackShape, json };
export type TemplateArguments = Values<typeof templateOptions>;

const template = command({
  usage: 'template',
  summary: 'Print the stack as a template of CloudFormation, as YAML or with --json as JSON',
  options: templateOptions,
  examples: [
    ['deploy template > taxiflow.yaml', 'a stack with a small network and an OpenSearch domain of its own'],
    ['deploy template --search existing=https://search.example.com', 'results go to a domain that exists'],
  ],
  load: async () => (await import('../handlers/deploy-template.ts')).template,
});

const costOptions = {
  ...stackShape,
  shards: whole({ least: 0, most: 10_000, default: 8, describe: 'Shards of the stream; 0 = on demand' }),
  retentionHours: whole({
    least: 24,
    most: 8_760,
    default: 24,
    describe: 'How long the stream keeps records',
  }),
  hours: whole({
    least: 1,
    most: 744,
    default: 730,
    describe: 'Hours of the month that the stack is there',
  }),
  tripsPerDay: whole({
    least: 0,
    most: 1_000_000_000_000,
    default: 400_000,
    describe: 'Trips sent in 24 of these hours; a day of 2016 has 400,000',
  }),
  searchInstance: text({ default: 't3.medium.search', describe: 'Kind of the search nodes' }),
  searchNodes: whole({ least: 1, most: 2, default: 1, describe: 'Search nodes' }),
  searchStorage: whole({ least: 10, most: 1_000, default: 20, describe: 'GiB for each search node' }),
  json,
};
export type CostArguments = Values<typeof costOptions>;

const cost = command({
  usage: 'cost',
  summary: 'Estimate what a stack costs in a month, by list prices',
  options: costOptions,
  examples: [
    ['deploy cost', 'the stack that "deploy template" prints'],
    ['deploy cost --search serverless --shards 2 --hours 8', 'a small one, for a working day'],
  ],
  load: async () => (await import('../handlers/deploy-template.ts')).cost,
});

export const deployCommand = group(
  'deploy',
  'Run the whole pipeline on AWS',
  [
    ['deploy cost', 'what a stack costs in a month'],
    ['deploy up --image ghcr.io/me/taxiflow@sha256:…', 'create it, or change it'],
    ['deploy status', 'how it is doing'],
    ['deploy down', 'delete what costs, keep what holds data'],
  ],
  [template, cost, upCommand, statusCommand, downCommand],
);
