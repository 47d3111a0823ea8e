/**
 * Every variant as a stack of an emulator, by a change set. It knows no serverless collections, so those variants are
 * created without their search; it runs no containers.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CloudFormationClient,
  CreateChangeSetCommand,
  DeleteStackCommand,
  DescribeChangeSetCommand,
  DescribeStackEventsCommand,
  DescribeStacksCommand,
  ExecuteChangeSetCommand,
  paginateListStackResources,
  type Stack,
} from '@aws-sdk/client-cloudformation';
import type { Template } from '../../src/deploy/template/cloudformation.ts';
import { type StackShape, templateOf, templateText } from '../../src/deploy/template/template.ts';
import { type Ministack, startMinistack, withoutMinistack } from '../services/ministack.ts';
import { until } from '../until.ts';
import { askedFor, VARIANTS } from './variants.ts';

const UNKNOWN = /^AWS::OpenSearchServerless::/;

interface Made {
  readonly stack: Stack;
  /** Types by logical id. */
  readonly resources: Readonly<Record<string, string>>;
}

class Emulator {
  readonly #client: CloudFormationClient;

  constructor({ endpoint, env }: Ministack) {
    const credentials = {
      accessKeyId: env['AWS_ACCESS_KEY_ID']!,
      secretAccessKey: env['AWS_SECRET_ACCESS_KEY']!,
    };
    this.#client = new CloudFormationClient({ endpoint, region: env['AWS_REGION']!, credentials });
  }

  async create(template: Template, parameters: Readonly<Record<string, string>>): Promise<Made> {
    const StackName = parameters['Name']!;
    const change = { StackName, ChangeSetName: 'first' };
    await this.#client.send(
      new CreateChangeSetCommand({
        ...change,
        ChangeSetType: 'CREATE',
        TemplateBody: templateText(template),
        Capabilities: ['CAPABILITY_IAM'],
        Parameters: Object.entries(parameters).map(([ParameterKey, ParameterValue]) => ({
          ParameterKey,
          ParameterValue,
        })),
      }),
    );
    await until('the change set is there', async () => {
      const { Status, StatusReason } = await this.#client.send(new DescribeChangeSetCommand(change));
      assert.notEqual(Status, 'FAILED', StatusReason);
      return Status === 'CREATE_COMPLETE';
    });
    await this.#client.send(new ExecuteChangeSetCommand(change));
    const stack = await this.#settled(StackName);
    assert.equal(stack.StackStatus, 'CREATE_COMPLETE', await this.#failure(StackName));
    return { stack, resources: await this.resources(StackName) };
  }

  /** The first failure of a stack. */
  async #failure(StackName: string): Promise<string> {
    const { StackEvents = [] } = await this.#client.send(new DescribeStackEventsCommand({ StackName }));
    const failed = StackEvents.filter(({ ResourceStatus }) => ResourceStatus?.endsWith('_FAILED')).at(-1);
    return `${failed?.LogicalResourceId}: ${failed?.ResourceStatusReason}`;
  }

  async #settled(StackName: string): Promise<Stack> {
    let stack: Stack | undefined;
    await until('the stack is there', async () => {
      [stack] = (await this.#client.send(new DescribeStacksCommand({ StackName }))).Stacks ?? [];
      return (
        /(COMPLETE|FAILED)$/.test(stack?.StackStatus ?? '') && stack?.StackStatus !== 'REVIEW_IN_PROGRESS'
      );
    });
    return stack!;
  }

  async resources(StackName: string): Promise<Record<string, string>> {
    const found: [string, string][] = [];
    for await (const { StackResourceSummaries = [] } of paginateListStackResources(
      { client: this.#client },
      { StackName },
    ))
      for (const { LogicalResourceId, ResourceType, ResourceStatus } of StackResourceSummaries)
        if (ResourceStatus !== 'DELETE_COMPLETE') found.push([LogicalResourceId!, ResourceType!]);
    return Object.fromEntries(found);
  }

  /** The resources that the end of a stack left behind. */
  async kept({ StackId }: Stack): Promise<string[]> {
    const { StackEvents = [] } = await this.#client.send(
      new DescribeStackEventsCommand({ StackName: StackId }),
    );
    const skipped = StackEvents.filter(({ ResourceStatus }) => ResourceStatus === 'DELETE_SKIPPED');
    return skipped.map(({ LogicalResourceId }) => LogicalResourceId!).sort();
  }

  async remove({ StackId }: Stack): Promise<Stack> {
    await this.#client.send(new DeleteStackCommand({ StackName: StackId }));
    return this.#settled(StackId!);
  }
}

/** A template without what the emulator does not know, and whatever refers to it. */
function known(shape: StackShape): { template: Template; shape: StackShape } {
  const given = shape.search === 'serverless' ? { ...shape, search: 'none' as const } : shape;
  return { template: templateOf(given), shape: given };
}

/** Types of the resources that the template makes with these parameters. */
function expected({ Resources }: Template, without: readonly string[] = []): Record<string, string> {
  const made = Object.entries(Resources).filter(([id]) => !without.includes(id));
  return Object.fromEntries(made.map(([id, { Type }]) => [id, Type]));
}

const outputsOf = ({ Outputs = [] }: Stack) =>
  Object.fromEntries(Outputs.map(({ OutputKey, OutputValue }) => [OutputKey!, OutputValue!]));

test('stacks of the emulator', { skip: withoutMinistack }, async (t) => {
  const emulator = new Emulator(await startMinistack(t));

  for (const { name, shape } of VARIANTS)
    await t.test(`${name}: is created in whole`, async () => {
      const { template, shape: made } = known(shape);
      const { resources, stack } = await emulator.create(template, { Name: name, ...askedFor(made) });
      assert.deepEqual(resources, expected(template, ['AlarmMail']));
      assert.deepEqual(Object.keys(outputsOf(stack)).sort(), Object.keys(template.Outputs).sort());
    });

  await t.test('knows all types but those of serverless collections', () => {
    const types = VARIANTS.flatMap(({ shape }) => Object.values(expected(templateOf(shape))));
    assert.ok(types.some((type) => UNKNOWN.test(type)));
    const tried = VARIANTS.flatMap(({ shape }) => Object.values(expected(known(shape).template)));
    const untried = new Set(types.filter((type) => !tried.includes(type)));
    assert.ok(
      [...untried].every((type) => UNKNOWN.test(type)),
      [...untried].join(),
    );
  });

  await t.test(
    'takes its parameters: on demand, two nodes, files of trips, somebody to tell, no processor',
    async () => {
      const shape: StackShape = { network: 'own', search: 'domain', autoscale: true };
      const template = templateOf(shape);
      const { resources, stack } = await emulator.create(template, {
        ...askedFor(shape),
        Name: 'other-parameters',
        Shards: '0',
        SearchNodes: '2',
        SearchAdmin: 'arn:aws:iam::123456789012:role/admin',
        TripsBucket: 'trips',
        TripsPrefix: '2016/',
        AlarmEmail: 'somebody@example.com',
        Desired: '0',
      });
      assert.deepEqual(resources, expected(template, ['AutoscaleSchedule', 'NoCheckpoint']));
      const outputs = outputsOf(stack);
      assert.equal(outputs['StreamName'], 'other-parameters-trip-events');
      assert.match(outputs['StateUrl']!, /^s3:\/\/[a-z0-9.-]+\/process$/);
      const [, network, overrides] =
        /--network-configuration '([^']*)' --overrides '([^']*)'$/.exec(outputs['SetupCommand']!) ?? [];
      assert.match(
        network!,
        /^awsvpcConfiguration=\{subnets=\[subnet-\w+,subnet-\w+\],securityGroups=\[sg-\w+\],assignPublicIp=ENABLED\}$/,
      );
      const { containerOverrides } = JSON.parse(overrides!) as {
        containerOverrides: { command: string[] }[];
      };
      const [command, endpoint] = containerOverrides[0]!.command;
      assert.deepEqual([command, endpoint], ['es-setup', '--endpoint']);
    },
  );

  await t.test('leaves its buckets behind and nothing else', async () => {
    const shape: StackShape = { network: 'own', search: 'public', autoscale: false };
    const { stack } = await emulator.create(templateOf(shape), { ...askedFor(shape), Name: 'short-lived' });
    assert.equal((await emulator.remove(stack)).StackStatus, 'DELETE_COMPLETE');
    assert.deepEqual(await emulator.kept(stack), [
      'ArchiveBucket',
      'ArchiveBucketPolicy',
      'StateBucket',
      'StateBucketPolicy',
    ]);
  });
});
