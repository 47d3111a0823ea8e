/** Templates as data and as text, without AWS. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CollectionTag, parse, type ScalarTag, type YAMLMap, type YAMLSeq } from 'yaml';
import { nameOf, optionsOf } from '../../src/cli/command.ts';
import { COMMANDS } from '../../src/cli/commands/index.ts';
import { policyOf, rolesOf, statementsOf } from '../../src/deploy/template/access.ts';
import {
  att,
  ref,
  sub,
  subJson,
  type Template,
  type Value,
} from '../../src/deploy/template/cloudformation.ts';
import { MOST_BYTES, templateOf, templateText, withDefaults } from '../../src/deploy/template/template.ts';
import { TRIP_FIELD_NAMES } from '../../src/events/trip.ts';
import { VARIANTS } from './variants.ts';

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
/** As CloudFormation has it. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as Json;

/** The short forms of CloudFormation's functions. */
const SHORT: (ScalarTag | CollectionTag)[] = [
  ...['Ref', 'Condition', 'GetAtt', 'Sub', 'GetAZs'].map(
    (name): ScalarTag => ({
      tag: `!${name}`,
      resolve: (text: string) =>
        name === 'Ref' || name === 'Condition'
          ? { [name]: text }
          : { [`Fn::${name}`]: name === 'GetAtt' ? text.split('.') : text },
    }),
  ),
  ...['Sub', 'If', 'Not', 'Equals', 'Select', 'Join', 'Split'].map(
    (name): CollectionTag => ({
      tag: `!${name}`,
      collection: 'seq',
      resolve: (node: YAMLMap.Parsed | YAMLSeq.Parsed) =>
        ({ [`Fn::${name}`]: node.toJSON() as Json }) as never,
    }),
  ),
];

function* walk(value: Json): Generator<Record<string, Json>> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value;
  for (const part of Object.values(value)) yield* walk(part);
}

/** What a part of a template refers to: names, with attributes after a point. */
function references(value: Json): string[] {
  return [...walk(value)].flatMap((part) => {
    const { Ref: name, 'Fn::GetAtt': path, 'Fn::Sub': text, 'Fn::If': choice, Condition: condition } = part;
    if (typeof name === 'string') return [name];
    if (Array.isArray(path)) return [path.join('.')];
    if (Array.isArray(choice)) return [`condition ${String(choice[0])}`];
    if (typeof condition === 'string') return [`condition ${condition}`];
    const [format, own] = Array.isArray(text) ? (text as [string, Record<string, Json>]) : [text, {}];
    if (typeof format !== 'string') return [];
    const used = [...format.matchAll(/\$\{([^!}][^}]*)\}/g)].map(([, used]) => used!);
    return used.filter((used) => !(used in own));
  });
}

const RESOURCE_ATTRIBUTES = /^(Arn|Name|GroupId|DomainEndpoint|CollectionEndpoint|DashboardEndpoint)$/;

function problemsOf({ Parameters, Conditions, Resources, Outputs }: Template): string[] {
  const named = references(plain([Conditions, Resources, Outputs]));
  const wrong = named.filter((one) => {
    const [, condition] = /^condition (.*)$/.exec(one) ?? [];
    if (condition !== undefined) return !(condition in Conditions);
    const [name, attribute] = one.split('.') as [string, string?];
    if (attribute !== undefined) return !(name in Resources && RESOURCE_ATTRIBUTES.test(attribute));
    return !(name in Resources || name in Parameters || name.startsWith('AWS::'));
  });
  const after = Object.values(Resources).flatMap(({ DependsOn = [] }) => DependsOn);
  const unknown = [...after].flat().filter((name) => !(name in Resources));
  const idle = [
    ...Object.keys(Parameters).filter((name) => !named.includes(name)),
    ...Object.keys(Conditions).filter((name) => !named.includes(`condition ${name}`)),
  ];
  return [
    ...wrong.map((one) => `nothing is called ${one}`),
    ...unknown.map((one) => `no resource ${one} to wait for`),
    ...idle.map((one) => `${one} is not used`),
  ];
}

interface Statement {
  readonly Action: string | string[];
  readonly Resource?: Json;
  readonly Effect: string;
}

function statements(template: Template): Statement[] {
  return [...walk(plain(template.Resources))].filter(
    (part) => 'Effect' in part && 'Action' in part,
  ) as unknown as Statement[];
}

describe('a template', () => {
  for (const { name, shape } of VARIANTS) {
    it(`${name}: all it names is there, and all that is there is named`, () => {
      assert.deepEqual(problemsOf(templateOf(shape)), []);
    });
  }

  it('is told from one with a wrong name', () => {
    const template = templateOf({ network: 'own', search: 'none', autoscale: false });
    const { Stream: _, ...Resources } = template.Resources;
    assert.ok(problemsOf({ ...template, Resources }).includes('nothing is called Stream.Arn'));
    const { HasTrips: __, ...Conditions } = template.Conditions as Record<string, Value>;
    assert.ok(problemsOf({ ...template, Conditions }).includes('nothing is called condition HasTrips'));
  });

  it('is the same text each time, short enough to be sent, and means the same as its data', () => {
    for (const { name, shape } of VARIANTS) {
      const text = templateText(templateOf(shape));
      assert.equal(text, templateText(templateOf({ ...shape })), name);
      assert.ok(Buffer.byteLength(text) <= MOST_BYTES, `${name}: ${Buffer.byteLength(text)}`);
      const read: unknown = parse(text, { version: '1.1', customTags: (tags) => [...tags, ...SHORT] });
      assert.deepEqual(plain(read), plain(templateOf(shape)), name);
    }
  });

  it('says above each statement why it is', () => {
    for (const { name, shape } of VARIANTS) {
      const lines = templateText(templateOf(shape)).split('\n');
      const effects = lines.flatMap((line, i) => (/\bEffect: /.test(line) ? [i] : []));
      assert.ok(effects.length >= 15, `${name}: ${effects.length} statements`);
      for (const i of effects) assert.match(lines[i - 1]!, /^ *# \S.{9}/, `${name}: ${lines[i]}`);
    }
  });

  it('allows an action on everything only where no ARN exists for it', () => {
    const found = new Set<string>();
    for (const { shape } of VARIANTS)
      for (const { Action, Resource, Effect } of statements(templateOf(shape))) {
        assert.ok(Effect === 'Allow' || Effect === 'Deny');
        const on = JSON.stringify(Resource ?? 'its own');
        if (on === '"*"') found.add([Action].flat().join());
        if (Effect === 'Allow') assert.doesNotMatch([Action].flat().join(), /\*/);
      }
    assert.deepEqual([...found].sort(), ['cloudwatch:GetMetricData', 'ecr:GetAuthorizationToken']);
  });

  it('has the policies as data as its roles have them', () => {
    for (const { name, shape } of VARIANTS)
      for (const role of rolesOf(shape)) {
        const { Resources } = templateOf(shape);
        const [found] = Object.values(Resources).filter(
          ({ Type, Properties }) =>
            Type === 'AWS::IAM::Role' && JSON.stringify(Properties).includes(`"PolicyName":"${role}"`),
        );
        const policies = plain((found!.Properties as Record<string, Value>)['Policies']);
        const actions = [...walk(policies)].flatMap(({ Action }) => (Action ?? []) as string[]);
        assert.deepEqual([...new Set(actions)].sort(), policyOf(role, shape), `${name} ${role}`);
        assert.ok(statementsOf(role, shape).every(({ why }) => why.length > 10));
      }
  });

  it('opens no port to the world, and every bucket and stream is closed and encrypted', () => {
    for (const { name, shape } of VARIANTS) {
      const { Resources } = templateOf(shape);
      const all = Object.values(Resources);
      for (const { Properties = {} } of all) {
        const inward = (Properties as Record<string, Value>)['SecurityGroupIngress'] ?? '';
        assert.doesNotMatch(JSON.stringify(inward), /Cidr|PrefixList/, name);
      }
      const buckets = all.filter(({ Type }) => Type === 'AWS::S3::Bucket');
      assert.deepEqual(
        buckets.map(({ DeletionPolicy, UpdateReplacePolicy }) => [DeletionPolicy, UpdateReplacePolicy]),
        [
          ['Retain', 'Retain'],
          ['Retain', 'Retain'],
        ],
      );
      assert.equal(Resources['Stream']!.DeletionPolicy, 'Delete');
      const topic = all.find(({ Type }) => Type === 'AWS::SNS::Topic')!;
      assert.ok(!JSON.stringify(topic).includes('alias/aws/sns'), 'CloudWatch may not use that key');
    }
  });
});

const OF_PROCESS = [
  ...['records', 'results', 'late', 'dead_letters', 'watermark_lag_seconds', 'checkpoint_age_seconds'],
  ...['checkpoint_duration_seconds', 'sink_pending', 'sink_retries', 'sink_behind_seconds'],
];
const OF_REPLAY = ['trips', 'records', 'retries', 'watermark_lag_seconds'];

describe('what watches a stack', () => {
  it('goes by metrics that taxiflow prints, with their dimensions', () => {
    for (const { name, shape } of VARIANTS) {
      const { Resources } = templateOf(shape);
      const own = Object.values(Resources)
        .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
        .map(({ Properties }) => plain(Properties) as Record<string, Json>)
        .filter(({ Namespace }) => Namespace === 'taxiflow');
      for (const { MetricName, Dimensions } of own) {
        assert.ok(OF_PROCESS.includes(String(MetricName)), `${name}: ${String(MetricName)}`);
        const names = (Dimensions as { Name: string }[]).map(({ Name }) => Name);
        assert.deepEqual(names, ['stream', 'app']);
      }
      assert.equal(own.length, shape.search === 'none' ? 2 : 3, name);
    }
  });

  it('fires without a processor, but not where none is asked for', () => {
    const { Resources } = templateOf({ network: 'own', search: 'none', autoscale: false });
    const { Condition, Properties } = Resources['NoCheckpoint']!;
    assert.equal(Condition, 'Running');
    assert.equal((Properties as Record<string, Value>)['TreatMissingData'], 'breaching');
  });

  it('shows the line from left to right, no widget over another', () => {
    for (const { name, shape } of VARIANTS) {
      const { Properties } = templateOf(shape).Resources['Dashboard']!;
      const { 'Fn::Sub': text } = (Properties as Record<string, Record<string, string>>)['DashboardBody']!;
      const filled = text!.replace(/\$\{[^!}]+\}/g, 'name');
      const { widgets } = JSON.parse(filled) as { widgets: Widget[] };
      const taken = new Set<string>();
      for (const { x, y, width, height } of widgets)
        for (let i = x; i < x + width; i++)
          for (let j = y; j < y + height; j++) {
            assert.ok(i < 24 && !taken.has(`${i} ${j}`), `${name}: ${i} ${j}`);
            taken.add(`${i} ${j}`);
          }
      const titles = widgets.filter(({ type }) => type === 'text').sort((a, b) => a.x - b.x);
      const words = titles.map(({ properties }) => properties.markdown!.replace(/^## | →$/g, ''));
      const sinks = shape.search === 'none' ? [] : ['Sinks'];
      assert.deepEqual(words, ['Replay', 'Stream', 'Process', ...sinks, 'Archive'], name);
      for (const { properties } of widgets)
        for (const [space, metric, ...dimensions] of properties.metrics ?? []) {
          if (space !== 'taxiflow') continue;
          const isReplay = dimensions.length === 2;
          assert.ok((isReplay ? OF_REPLAY : OF_PROCESS).includes(metric!), metric);
          assert.deepEqual(dimensions, ['stream', 'name', ...(isReplay ? [] : ['app', 'name'])]);
        }
    }
  });
});

interface Widget {
  readonly type: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly properties: { readonly markdown?: string; readonly metrics?: string[][] };
}

/** Options that are announced, and whose commands do not have them here yet. */
const ANNOUNCED: readonly string[] = [];

describe('the commands of containers', () => {
  it('have options that taxiflow knows', () => {
    for (const { name, shape } of VARIANTS) {
      const found = [...walk(plain(templateOf(shape).Resources))].flatMap(({ Command }) =>
        Array.isArray(Command) ? [Command.map(String)] : [],
      );
      assert.equal(found.length, shape.autoscale ? 4 : 3, name);
      for (const words of found) {
        const [first, second] = words[0] === 'CMD' ? words.slice(2) : words;
        const command = COMMANDS.find((one) => nameOf(one) === first);
        assert.ok(command, words.join(' '));
        const inner = command.run ? command : command.commands.find((one) => nameOf(one) === second);
        if (!inner) assert.ok(ANNOUNCED.includes(second!), words.join(' '));
        const known = inner ? [...optionsOf(inner).keys()] : [];
        const unknown = words.filter((word) => word.startsWith('--')).map((word) => word.slice(2));
        const wrong = unknown.filter((option) => inner && !known.includes(option));
        assert.deepEqual(
          wrong.filter((option) => !ANNOUNCED.includes(option)),
          [],
          words.join(' '),
        );
      }
    }
  });
});

describe('the tables of the archive', () => {
  it('have all fields of a trip, and a partition that is no column', () => {
    const { Resources } = templateOf({ network: 'own', search: 'none', autoscale: false });
    for (const [table, more] of [
      ['TripsTable', ['other_values']],
      ['EventsTable', ['type', 'watermark', 'shard']],
    ] as const) {
      const { TableInput: input } = plain(Resources[table]!.Properties) as {
        TableInput: {
          StorageDescriptor: { Columns: { Name: string; Type: string }[] };
          PartitionKeys: { Name: string }[];
        };
      };
      const names = input.StorageDescriptor.Columns.map(({ Name }) => Name);
      assert.deepEqual([...names].sort(), [...TRIP_FIELD_NAMES, ...more].sort());
      assert.deepEqual(
        input.PartitionKeys.map(({ Name }) => Name),
        ['day'],
      );
    }
    const columns = JSON.stringify(Resources['TripsTable']);
    for (const column of [
      '"dropoff_datetime","Type":"timestamp"',
      '"trip_id","Type":"bigint"',
      '"payment_type","Type":"bigint"',
    ])
      assert.ok(columns.includes(column), column);
  });
});

describe('a text that CloudFormation fills in', () => {
  it('keeps what looks like a reference and is none', () => {
    assert.deepEqual(sub`a\${b}-${ref('X')}-${att('Y', 'Arn')}-${`\${z}`}`, {
      'Fn::Sub': `a\${!b}-\${X}-\${Y.Arn}-\${!z}`,
    });
    assert.deepEqual(sub`${{ 'Fn::Join': [',', ref('L')] }}!`, {
      'Fn::Sub': [`\${Value0}!`, { Value0: { 'Fn::Join': [',', { Ref: 'L' }] } }],
    });
  });

  it('is JSON whatever is in it, once it is filled in', () => {
    const odd = ['{"$":"x"}', '"', '\\', `\${a}`, "it's", `{"$":"\${b}"}`];
    const made = subJson({ odd, name: ref('X'), path: [sub`i/${ref('Y')}/*`, att('Z', 'Arn')] });
    const filled = made['Fn::Sub'].replace(/\$\{(!?)([^}]*)\}/g, (_, kept: string, name: string) =>
      kept ? `\${${name}}` : `<${name}>`,
    );
    assert.deepEqual(JSON.parse(filled), { odd, name: '<X>', path: ['i/<Y>/*', '<Z.Arn>'] });
    assert.throws(() => subJson({ a: { 'Fn::Join': [',', []] } }), /Fn::Join can't stand in a text/);
  });
});

it('parameters take other defaults', () => {
  const template = templateOf({ network: 'given', search: 'existing', autoscale: false });
  const { Parameters } = withDefaults(template, { VpcId: 'vpc-9' });
  assert.equal(Parameters['VpcId']!.Default, 'vpc-9');
  assert.equal(Parameters['SubnetIds']!.Default, undefined);
});
