/** The whole pipeline as one stack of CloudFormation: a function of its shape, put together from its parts in their order. */
import { accessPart } from './access.ts';
import { archivePart } from './archive.ts';
import { autoscalePart } from './autoscale.ts';
import { boardPart } from './board.ts';
import { bucketsPart } from './buckets.ts';
import type { Parameter, Part, Template } from './cloudformation.ts';
import { networkPart } from './network.ts';
import { searchPart } from './search.ts';
import { type StackShape, shapeText } from './shape.ts';
import { streamPart } from './stream.ts';
import { tasksPart } from './tasks.ts';
import { watchPart } from './watch.ts';

export type { Parameter, Template } from './cloudformation.ts';
export { NETWORKS, SEARCHES, type StackShape } from './shape.ts';
export { setupArguments, setupCommand } from './tasks.ts';
export { MOST_BYTES, templateText } from './template-text.ts';

/** The template with other defaults of its parameters. */
export function withDefaults(template: Template, defaults: Readonly<Record<string, string>>): Template {
  const parameters = Object.entries(template.Parameters).map(([name, parameter]) => {
    const given = defaults[name];
    return [name, given === undefined ? parameter : { ...parameter, Default: given }] as const;
  });
  return { ...template, Parameters: Object.fromEntries(parameters) };
}

const NAME: Parameter = {
  Type: 'String',
  Default: 'taxiflow',
  AllowedPattern: '[a-z][a-z0-9-]{2,27}',
  ConstraintDescription: 'must be 3 to 28 lower-case letters, digits and hyphens, beginning with a letter',
  Description: 'Prefix of everything that is made',
};

export function templateOf(shape: StackShape): Template {
  const parts: [title: string, part: Part][] = [
    ['Network', networkPart(shape)],
    ['Stream', streamPart()],
    ['State and archive', bucketsPart()],
    ['Search', searchPart(shape)],
    ['Roles', accessPart(shape)],
    ['Tasks', tasksPart(shape)],
    ['Archive', archivePart()],
    ['Shards', autoscalePart(shape)],
    ['Alarms', watchPart(shape)],
    ['Dashboard', boardPart(shape)],
  ];
  const all = <K extends 'parameters' | 'rules' | 'conditions' | 'resources' | 'outputs'>(key: K) =>
    Object.fromEntries(parts.flatMap(([, part]) => Object.entries(part[key] ?? {}))) as Required<Part>[K];
  const groups = parts.filter(([, { parameters }]) => parameters !== undefined);
  return {
    AWSTemplateFormatVersion: '2010-09-09',
    Description: 'taxiflow: trips from a stream to a map, watched and archived',
    Metadata: {
      'AWS::CloudFormation::Interface': {
        ParameterGroups: [
          { Label: { default: 'Name' }, Parameters: ['Name'] },
          ...groups.map(([title, { parameters = {} }]) => ({
            Label: { default: title },
            Parameters: Object.keys(parameters),
          })),
        ],
      },
    },
    Parameters: { Name: NAME, ...all('parameters') },
    Rules: all('rules'),
    Conditions: all('conditions'),
    Resources: all('resources'),
    Outputs: {
      ...all('outputs'),
      Shape: { Description: 'What the stack is made of', Value: shapeText(shape) },
    },
  };
}
