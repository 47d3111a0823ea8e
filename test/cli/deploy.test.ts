/** `taxiflow deploy up|status|down` with the real binary, on an emulator of AWS. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CloudWatchClient, SetAlarmStateCommand } from '@aws-sdk/client-cloudwatch';
import {
  DescribeServicesCommand,
  DescribeTaskDefinitionCommand,
  DescribeTasksCommand,
  ECSClient,
  ListTasksCommand,
  StopTaskCommand,
} from '@aws-sdk/client-ecs';
import { DescribeStreamSummaryCommand, KinesisClient } from '@aws-sdk/client-kinesis';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { type Account, inventory, startAccount } from '../deploy/account.ts';
import {
  ENVIRONMENT,
  elements,
  eventsXml,
  fakeCloudFormation,
  MISSING,
  members,
  type Said,
  STACK_ID,
  stackXml,
} from '../deploy/fake-cloudformation.ts';
import { temporaryFolder } from '../files.ts';
import { storeObject, withoutMinistack } from '../services/ministack.ts';
import { BIN, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';
import { PARALLEL, run } from './model.ts';

const IMAGE = `example/taxiflow@sha256:${'a'.repeat(64)}`;
const ON_AWS = { skip: withoutMinistack, ...PARALLEL };

const deploy = (account: Pick<Account, 'env'>, line: string, code = 0) =>
  run(['deploy', ...line.split(' ')], { env: account.env, code });

const settings = ({ endpoint }: Account) => ({
  endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  requestHandler: new NodeHttpHandler(),
});

interface Up {
  readonly stack_id: string | null;
  readonly action: string;
  readonly executed: boolean;
  readonly status: string | null;
  readonly changes: { action: string; type: string; resource: string; replacement: string }[];
  readonly outputs: Record<string, string>;
  readonly setup: { task: string; exit_code: number | null; reason: string } | null;
  readonly replay: { task: string } | null;
}

interface Status {
  readonly status: string | null;
  readonly resources: {
    stage: string;
    resource: string;
    type: string;
    physical_id: string;
    status: string;
  }[];
  readonly service: { running: number; desired: number } | null;
  readonly alarms: { name: string; reason: string }[];
  readonly left: { bucket: string; objects: number; bytes: number; more: boolean }[];
}

/** What is there now and was not before, without the parts of names that are drawn by lot. */
const madeSince = (before: readonly string[], now: readonly string[]) =>
  now
    .filter((thing) => !before.includes(thing))
    .map((thing) =>
      thing.replace(/(?<=-\w+-)[\dA-Fa-f]{13}$|(?<=(?:vpce|igw)-)[\da-f]+$|(?<=query\/)[\da-f-]{36}$/, '*'),
    );

const MADE = [
  'athena:query/*',
  'athena:workgroup/trial',
  ...[
    'archive-stale',
    'behind-stream',
    'dead-letters',
    'no-checkpoint',
    'search-red',
    'sink-behind',
    'throttled',
  ].map((alarm) => `cloudwatch:alarm/trial-${alarm}`),
  'cloudwatch:dashboard/trial',
  'ec2:endpoint/vpce-*',
  'ec2:gateway/igw-*',
  'ec2:group/Search domain of taxiflow, for its tasks alone',
  'ec2:group/Tasks of taxiflow, with no way in',
  'ec2:subnet/10.42.0.0/24',
  'ec2:subnet/10.42.1.0/24',
  'ec2:vpc/10.42.0.0/16',
  'ecs:cluster/trial',
  'ecs:task-definition/trial-autoscale',
  'ecs:task-definition/trial-process',
  'ecs:task-definition/trial-replay',
  'firehose:stream/trial-archive',
  'glue:database/trial',
  ...['Autoscale', 'Execution', 'Firehose', 'Process', 'Replay', 'Schedule'].map(
    (role) => `iam:role/trial-${role}Role-*`,
  ),
  'kinesis:stream/trial-trip-events',
  'logs:group//trial/firehose',
  'logs:group//trial/tasks',
  'opensearch:domain/trial',
  's3:bucket/trial-archivebucket-*',
  's3:bucket/trial-statebucket-*',
  'scheduler:schedule/trial-autoscale',
  'sns:subscription/alarms@example.com',
  'sns:topic/trial-alarms',
];
const KEPT = ['s3:bucket/trial-archivebucket-*', 's3:bucket/trial-statebucket-*'];

describe('a stack, from nothing to nothing', ON_AWS, () => {
  test('up makes everything once, status shows it, down leaves the buckets, down --with-data nothing', async (t) => {
    const account = await startAccount(t);
    const before = await inventory(account);
    const made = (
      await deploy(
        account,
        `up --name trial --image ${IMAGE} --autoscale --alarm-email alarms@example.com --shards 4 --yes --json`,
      )
    ).json<Up>();
    assert.deepEqual([made.action, made.executed, made.status], ['create', true, 'CREATE_COMPLETE']);
    assert.deepEqual([...new Set(madeSince(before, await inventory(account)))], MADE);
    await assertMade(account, made);

    const again = (await deploy(account, 'up --name trial --yes --json')).json<Up>();
    assert.deepEqual([again.action, again.executed, again.changes], ['none', false, []]);
    assert.equal(again.stack_id, made.stack_id);

    const status = (await deploy(account, 'status --name trial --json')).json<Status>();
    assert.deepEqual(
      status.resources.map(({ resource }) => resource),
      made.changes.map(({ resource }) => resource).sort(),
      'each resource that was planned is there',
    );
    assert.ok(status.resources.every((each) => each.status === 'CREATE_COMPLETE' && each.physical_id !== ''));
    assert.deepEqual([...new Set(status.resources.map(({ stage }) => stage))].sort(), [
      'access',
      'alarms',
      'archive',
      'network',
      'search',
      'stream',
      'tasks',
    ]);
    assert.deepEqual([status.service?.running, status.service?.desired], [1, 1]);
    assert.deepEqual([status.alarms, status.left], [[], []]);

    assert.match(
      (await deploy(account, 'down --name trial --region us-east-1', 2)).stderr,
      /\nTry: add --yes/,
    );
    const { stderr } = await deploy(account, 'down --name trial --yes --region us-east-1');
    assert.match(
      stderr,
      /\n"taxiflow deploy down --with-data --name trial --region us-east-1" deletes them\n$/,
    );
    assert.match(stderr, /stack trial is deleted\n/);
    assert.match(stderr, /s3:\/\/trial-archivebucket-\w+: empty\n.*s3:\/\/trial-statebucket-\w+: empty\n/);
    assert.deepEqual(madeSince(before, await inventory(account)), KEPT, 'nothing that costs by the hour');

    assert.match(
      (await deploy(account, 'down --name trial --yes')).stderr,
      /there is no stack trial in us-east-1\n/,
    );
    assert.deepEqual(
      madeSince(before, await inventory(account)),
      KEPT,
      'the data is deleted only if that is asked for',
    );
    await deploy(account, 'down --name trial --with-data --yes');
    assert.deepEqual(await inventory(account), before, 'nothing at all');
    const nothing = await deploy(account, 'down --name trial --with-data --yes');
    assert.match(nothing.stderr, /^there is no stack trial in us-east-1, and no bucket of one\n$/);
  });

  test('an update changes what is given, and keeps the rest', async (t) => {
    const account = await startAccount(t);
    await deploy(account, `up --image ${IMAGE} --search none --alarm-email one@example.com --yes`);
    const planned = (await deploy(account, 'up --alarm-email two@example.com --dry-run --json')).json<Up>();
    assert.deepEqual(planned.changes, [
      {
        ...planned.changes[0],
        action: 'modify',
        type: 'AWS::SNS::Subscription',
        resource: 'AlarmMail',
        replacement: 'maybe',
      },
    ]);
    assert.deepEqual(
      (await inventory(account)).filter((each) => each.startsWith('sns:sub')),
      ['sns:subscription/one@example.com'],
    );
    const { stdout, stderr } = await deploy(account, 'up --alarm-email two@example.com --yes');
    assert.match(stdout, /^modify {2}AlarmMail {2}AWS::SNS::Subscription {2}may be replaced$/m);
    assert.match(
      stderr,
      /\n1 of 1: taxiflow \(AWS::CloudFormation::Stack\) UPDATE_COMPLETE\nstack taxiflow is updated/,
    );
    const now = await inventory(account);
    assert.ok(now.includes('sns:subscription/two@example.com'), now.join());
    assert.ok(!now.some((each) => each.startsWith('opensearch:')), 'a stack without search stays without');
    const { resources } = (await deploy(account, 'status --json')).json<Status>();
    assert.ok(resources.every(({ status }) => status === 'UPDATE_COMPLETE'));
    await deploy(account, 'up --alarm-email none --yes');
    assert.ok(!(await inventory(account)).some((each) => each.startsWith('sns:sub')), 'taken away');
  });

  test('files that are not there are told before a replay of them is started', async (t) => {
    const account = await startAccount(t);
    const missing = await deploy(account, `up --image ${IMAGE} --trips s3://nowhere/2016 --yes`, 1);
    assert.match(missing.stderr, /^Error: there is no bucket nowhere/m);
    await storeObject(account, 'lake', '2016/trips.csv', 'trips');
    const empty = await deploy(account, `up --image ${IMAGE} --trips s3://lake/2017 --yes`, 2);
    assert.match(empty.stderr, /^Error: there is nothing at s3:\/\/lake\/2017\nTry: check the prefix/m);
    await deploy(account, `up --image ${IMAGE} --search none --trips s3://lake/2016 --replay --yes`);
    const { tasks } = (await deploy(account, 'status --json')).json<{ tasks: { what: string }[] }>();
    assert.deepEqual(
      tasks.map(({ what }) => what),
      ['taxiflow-replay'],
      'the replay is seen',
    );
  });

  test('shards go in the steps that Amazon takes, and a domain stays where it is', async (t) => {
    const account = await startAccount(t);
    await deploy(account, `up --image ${IMAGE} --search public --shards 4 --yes`);
    const steep = await deploy(account, 'up --shards 16 --yes', 2);
    assert.match(
      steep.stderr,
      /\nError: the stream has 4 open shards, and Amazon at most doubles or halves them at once\nTry: go in steps: --shards 8 next; or "taxiflow stream reshard taxiflow-trip-events --shards 16/,
    );
    await deploy(account, 'up --shards 8 --dry-run');
    const same = await deploy(account, 'up --shards 4 --yes');
    assert.match(same.stderr, /nothing to change: stack taxiflow is as it should be\n$/);
    const moved = await deploy(account, 'up --search domain --yes', 2);
    assert.match(moved.stderr, /^Error: a domain can't go from "public" to "domain"\nTry: .*--search none/);
    await deploy(account, 'up --search none --yes');
    const now = await deploy(account, 'up --search domain --yes');
    assert.match(now.stdout, /^add {5}SearchDomain/m);
  });

  test('a dry run, and a run that nobody could be asked about, leave nothing', async (t) => {
    const account = await startAccount(t);
    const before = await inventory(account);
    const dry = (await deploy(account, `up --image ${IMAGE} --dry-run --json`)).json<Up>();
    assert.deepEqual([dry.action, dry.executed, dry.stack_id], ['create', false, null]);
    assert.ok(dry.changes.length > 30 && dry.changes.every(({ action }) => action === 'add'));
    const unasked = await deploy(account, `up --image ${IMAGE}`, 2);
    assert.match(unasked.stdout, /^add {5}Stream {15}AWS::Kinesis::Stream$/m, 'the plan is shown');
    assert.match(
      unasked.stderr,
      /Error: there is no terminal to ask on, so nothing was changed\nTry: add --yes/,
    );
    assert.equal((await deploy(account, 'status --json')).json<Status>().status, null, 'no stack in review');
    assert.deepEqual(await inventory(account), before);

    await deploy(account, `up --image ${IMAGE} --yes`);
    const made = await inventory(account);
    assert.match(
      (await deploy(account, 'down --with-data --dry-run')).stdout,
      /^empty and delete +taxiflow-statebucket-/m,
    );
    assert.match((await deploy(account, 'down', 2)).stderr, /so nothing was deleted\nTry: add --yes/);
    assert.deepEqual(await inventory(account), made);
  });
});

async function assertMade(account: Account, { outputs }: Up): Promise<void> {
  const s3 = new S3Client({ ...settings(account), forcePathStyle: true });
  const bucket = new URL(outputs['StateUrl']!).hostname;
  assert.equal((await s3.send(new GetBucketVersioningCommand({ Bucket: bucket }))).Status, 'Enabled');
  assert.match(
    (await s3.send(new GetBucketPolicyCommand({ Bucket: bucket }))).Policy ?? '',
    /aws:SecureTransport/,
  );
  const kinesis = new KinesisClient(settings(account));
  const { StreamDescriptionSummary: stream } = await kinesis.send(
    new DescribeStreamSummaryCommand({ StreamName: outputs['StreamName'] }),
  );
  assert.deepEqual([stream?.OpenShardCount, stream?.RetentionPeriodHours], [4, 24]);
  const ecs = new ECSClient(settings(account));
  const { services } = await ecs.send(
    new DescribeServicesCommand({ cluster: outputs['ClusterName'], services: [outputs['ServiceName']!] }),
  );
  assert.deepEqual(services?.[0]?.networkConfiguration?.awsvpcConfiguration, {
    subnets: outputs['Subnets']?.split(','),
    securityGroups: [outputs['TaskGroupId']],
    assignPublicIp: 'ENABLED',
  });
  const { taskDefinition } = await ecs.send(
    new DescribeTaskDefinitionCommand({ taskDefinition: outputs['ProcessTaskArn'] }),
  );
  const [container] = taskDefinition?.containerDefinitions ?? [];
  assert.equal(container?.image, IMAGE);
  assert.ok(container?.command?.join(' ').includes(`--opensearch ${outputs['SearchEndpoint']}`));
  for (const client of [s3, kinesis, ecs]) client.destroy();
}

describe('tasks', ON_AWS, () => {
  test('--setup runs es-setup in the network of the service and waits for it; --replay starts one; down stops it', async (t) => {
    const account = await startAccount(t);
    const ecs = new ECSClient(settings(account));
    t.after(() => ecs.destroy());
    const { outputs } = (await deploy(account, `up --image ${IMAGE} --yes --json`)).json<Up>();
    const cluster = outputs['ClusterName']!;
    const ours = async () => {
      const { taskArns = [] } = await ecs.send(new ListTasksCommand({ cluster, desiredStatus: 'RUNNING' }));
      const { tasks = [] } = await ecs.send(new DescribeTasksCommand({ cluster, tasks: taskArns }));
      return tasks.filter(({ startedBy }) => startedBy === 'taxiflow deploy');
    };
    // Without Docker the emulator runs no container, so the test is the one that ends the task.
    const up = deploy(account, 'up --setup --replay --json');
    await until('es-setup is started', async () => (await ours()).length === 1);
    const [setup] = await ours();
    assert.deepEqual(setup?.overrides?.containerOverrides, [
      {
        name: 'process',
        command: [
          ...['es-setup', '--endpoint', outputs['SearchEndpoint'], '--dashboards', outputs['DashboardsUrl']],
          ...['--aws-sigv4', '--wait', '5m'],
        ],
      },
    ]);
    assert.equal(setup.taskDefinitionArn, outputs['ProcessTaskArn']);
    await ecs.send(
      new StopTaskCommand({ cluster, task: setup.taskArn, reason: 'Essential container exited' }),
    );
    const told = (await up).json<Up>();
    assert.deepEqual(told.setup, {
      task: setup.taskArn,
      exit_code: 0,
      reason: 'Essential container exited',
    });
    const [replay] = await ours();
    assert.equal(replay?.taskDefinitionArn, outputs['ReplayTaskArn']);
    assert.deepEqual([told.action, told.replay?.task], ['none', replay?.taskArn]);

    const down = await deploy(account, 'down --yes');
    assert.match(down.stderr, /stopped a task of taxiflow\n/, 'the replay; the service stops its own');
    const { tasks } = await ecs
      .send(new DescribeTasksCommand({ cluster, tasks: [told.replay!.task] }))
      .catch(() => ({ tasks: [] }));
    assert.ok((tasks ?? []).every(({ lastStatus }) => lastStatus === 'STOPPED'));
  });

  test('status shows alarms that have gone off', async (t) => {
    const account = await startAccount(t);
    await deploy(account, `up --image ${IMAGE} --search none --yes --endpoint-url ${account.endpoint}`);
    const cloudwatch = new CloudWatchClient(settings(account));
    t.after(() => cloudwatch.destroy());
    await cloudwatch.send(
      new SetAlarmStateCommand({
        AlarmName: 'taxiflow-dead-letters',
        StateValue: 'ALARM',
        StateReason: 'three were\nrefused',
      }),
    );
    const { alarms } = (await deploy(account, 'status --json')).json<Status>();
    assert.deepEqual(
      alarms.map(({ name, reason }) => [name, reason]),
      [['taxiflow-dead-letters', 'three were refused']],
    );
    assert.match(
      (await deploy(account, 'status')).stdout,
      /alarms: 1 gone off\n {2}taxiflow-dead-letters since /,
    );
  });
});

describe('data', ON_AWS, () => {
  test('a bucket with more versions than a page, markers and unfinished uploads is measured, kept, then emptied', async (t) => {
    const account = await startAccount(t);
    const before = await inventory(account);
    const { outputs } = (await deploy(account, `up --image ${IMAGE} --search none --yes --json`)).json<Up>();
    const Bucket = new URL(outputs['StateUrl']!).hostname;
    const s3 = new S3Client({ ...settings(account), forcePathStyle: true });
    t.after(() => s3.destroy());
    const put = (Key: string, Body: string) => s3.send(new PutObjectCommand({ Bucket, Key, Body }));
    for (let from = 0; from < 1_050; from += 50)
      await Promise.all(Array.from({ length: 50 }, (_, i) => put(`process/${from + i}`, 'abcd')));
    await put('process/0', 'efgh');
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'process/1' }));
    await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'process/large' }));

    const kept = await deploy(account, 'down --yes');
    assert.match(kept.stderr, new RegExp(`s3://${Bucket}: 1,051 objects, 0.0 MB`));
    const { left } = (await deploy(account, 'status --json')).json<Status>();
    assert.deepEqual(
      left
        .filter(({ bucket }) => bucket === Bucket)
        .map(({ objects, bytes, more }) => [objects, bytes, more]),
      [[1_051, 4_204, false]],
    );
    const gone = await deploy(account, 'down --with-data --yes --json');
    assert.deepEqual(gone.json<{ removed: string[] }>().removed.length, 2);
    assert.deepEqual(await inventory(account), before);
  });
});

/** What is wrong, the command line, what AWS says of the stack, the code of the end, and what the user is told. */
const MISTAKES: readonly (readonly [string, string, Said, number, RegExp])[] = [
  [
    'no image',
    'up',
    MISSING,
    2,
    /^Error: there is no such stack yet, and a new one needs --image: .+\nTry: /,
  ],
  [
    'a stack without rights',
    'up',
    denied('cloudformation:DescribeStacks'),
    1,
    /^Error: not allowed to cloudformation:DescribeStacks: .+\nTry: add /,
  ],
  [
    'expired credentials',
    'down --yes',
    { code: 'ExpiredToken', message: 'expired', status: 403 },
    1,
    /^Error: AWS does not accept .+\nTry: log in/,
  ],
  [
    'a name that is taken',
    'up',
    stackXml('CREATE_COMPLETE', { tags: {} }),
    1,
    /did not make\nTry: choose another name/,
  ],
  [
    'a name that is taken',
    'down --yes',
    stackXml('CREATE_COMPLETE', { tags: {} }),
    1,
    /did not make\nTry: choose another name/,
  ],
  [
    'another operation',
    'up',
    stackXml('UPDATE_IN_PROGRESS'),
    1,
    /under way \(UPDATE_IN_PROGRESS\)\nTry: "taxiflow deploy status"/,
  ],
  [
    'another operation',
    'down --yes',
    stackXml('UPDATE_IN_PROGRESS'),
    1,
    /under way \(UPDATE_IN_PROGRESS\)\nTry: /,
  ],
  [
    'a failed creation',
    'up',
    stackXml('ROLLBACK_COMPLETE'),
    1,
    /\(ROLLBACK_COMPLETE\): Domain \(AWS::Test::Domain\): too many\nTry: .*"taxiflow deploy down"/,
  ],
  [
    'no search to set up',
    'up --image IMAGE --search none --setup',
    MISSING,
    2,
    /^Error: --setup prepares a search .+\nTry: omit --setup/,
  ],
  [
    'an option for another shape',
    'up --image IMAGE --search none --search-nodes 2',
    MISSING,
    2,
    /^Error: --search-nodes is not for .+\nTry: /,
  ],
  [
    'a VPC without subnets',
    'up --image IMAGE --vpc vpc-1',
    MISSING,
    2,
    /^Error: --vpc needs two of its subnets\nTry: /,
  ],
];

/** Mistakes that are found before anything is asked. */
const WRITTEN: readonly (readonly [string, RegExp])[] = [
  [
    'up --image example/taxiflow',
    /^Error: --image example\/taxiflow must name an image by its digest, .+\nTry: /,
  ],
  ['up --image example/taxiflow:1.2', /must name an image by its digest/],
  ['up --image example/taxiflow@sha256:0123', /must name an image by its digest/],
  ['up --name No --image IMAGE', /^Error: --name No must be 3 to 28 lower-case letters/],
  ['up --image IMAGE --cpu 3', /^Error: --cpu 3 is not one of 512, 1024/],
  ['up --image IMAGE --alarm-email nobody', /^Error: --alarm-email nobody /],
  ['up --image IMAGE --trips bucket/prefix', /^Error: there is no bucket in an s3:\/\/ address\nTry: /],
  ['up --image IMAGE --search elastic', /^Error: --search elastic is not one of /],
  ['up --image IMAGE --subnets subnet-1,subnet-2', /^Error: --subnets needs their VPC\nTry: /],
  ['up --image IMAGE --vpc vpc-1 --subnets subnet-1,subnet-1', /^Error: --vpc needs two of its subnets\n/],
  [
    'up --image IMAGE --shards 0 --autoscale',
    /^Error: Amazon looks after the shards of a stream on demand\n/,
  ],
  ['up --image IMAGE --autoscale --shards-min 9 --shards-max 3', /^Error: --shards-min 9 is more than /],
  ['up --image IMAGE --speedup 0', /^Error: --speedup 0 must be a number above 0, or max\n/],
  [
    'up --image IMAGE --search-admin arn:aws:sts::123456789012:assumed-role/Admin/me',
    /^Error: --search-admin .+ must be the ARN of a user or role/,
  ],
];

function denied(action: string): Said {
  const message = `User: arn:aws:iam::123456789012:user/ann is not authorized to perform: ${action} on resource: *`;
  return { code: 'AccessDenied', message, status: 403 };
}

const filled = (line: string) => line.replace('IMAGE', IMAGE);
const ONE_LINE_ONE_HINT = /^(?!Error:|Try:).*\n|^Error: [^\n]+\nTry: [^\n]+\n/gm;

describe('mistakes', PARALLEL, () => {
  for (const [what, line, said, code, told] of MISTAKES)
    test(`${what}: ${line.replace(' --image IMAGE', '')}`, async (t) => {
      const fake = await fakeCloudFormation(t, {
        DescribeStacks: [said],
        DescribeStackEvents: [
          eventsXml([
            [2, 'taxiflow', 'ROLLBACK_COMPLETE'],
            [1, 'Domain', 'CREATE_FAILED', 'too many'],
          ]),
        ],
      });
      const env = { ...ENVIRONMENT, AWS_ENDPOINT_URL: fake.url };
      const { stdout, stderr } = await deploy({ env }, filled(line), code);
      assert.match(stderr, told);
      assert.deepEqual([stdout, stderr.replace(ONE_LINE_ONE_HINT, '')], ['', ''], 'one line, one hint');
      assert.ok(
        fake.actions().every((action) => action.startsWith('Describe')),
        'nothing is changed',
      );
    });

  for (const [line, told] of WRITTEN)
    test(`${line}: nothing is asked`, async (t) => {
      const fake = await fakeCloudFormation(t, {});
      const { stderr } = await deploy(
        { env: { ...ENVIRONMENT, AWS_ENDPOINT_URL: fake.url } },
        filled(line),
        2,
      );
      assert.match(stderr, told);
      assert.match(stderr, /^Error: [^\n]+\nTry: [^\n]+\n$/);
      assert.deepEqual(fake.asked, []);
    });

  test('a value in the configuration file, under "deploy up", is read and checked like a flag', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(join(cwd, 'taxiflow.config.json'), '{"deploy up": {"image": "taxiflow:latest"}}');
    const { stderr } = await run(['deploy', 'up'], { cwd, code: 2 });
    assert.match(
      stderr,
      /^Error: --image taxiflow:latest must name .+ \(--image is set by .*taxiflow\.config\.json: deploy up\.image\)\n/,
    );
  });

  test('no region: status, up and down say where to set one', async () => {
    const { AWS_REGION: _, ...env } = ENVIRONMENT;
    for (const line of ['status', `up --image ${IMAGE}`, 'down --yes']) {
      const { stderr } = await deploy(
        { env: { ...env, AWS_CONFIG_FILE: '/nowhere', AWS_EC2_METADATA_DISABLED: 'true' } },
        line,
        1,
      );
      assert.match(stderr, /^Error: no AWS region is set\nTry: give --region, or set AWS_REGION\n$/);
    }
  });
});

/** A stack that is planned with two changes, and never ends to be made. */
const ENDLESS = {
  DescribeStacks: [MISSING, stackXml('REVIEW_IN_PROGRESS'), MISSING],
  CreateChangeSet: [elements({ Id: 'arn:change', StackId: STACK_ID })],
  DescribeChangeSet: [
    elements({ StackId: STACK_ID, ChangeSetId: 'arn:change', Status: 'CREATE_COMPLETE' }) +
      members(
        'Changes',
        ['Stream', 'Cluster'].map(
          (LogicalResourceId) =>
            `<ResourceChange>${elements({ Action: 'Add', LogicalResourceId, ResourceType: 'AWS::Test::Thing' })}</ResourceChange>`,
        ),
      ),
  ],
  DescribeStackEvents: [
    eventsXml([]),
    eventsXml([
      [2, 'Stream', 'CREATE_IN_PROGRESS'],
      [1, 'taxiflow', 'CREATE_IN_PROGRESS'],
    ]),
  ],
  ExecuteChangeSet: [''],
  DeleteChangeSet: [''],
  DeleteStack: [''],
} as const;

test('Ctrl-C while a stack is made leaves it to AWS, and says so', async (t) => {
  const fake = await fakeCloudFormation(t, ENDLESS);
  const env = { ...ENVIRONMENT, AWS_ENDPOINT_URL: fake.url };
  const ran = await taxiflow(['deploy', 'up', '--image', IMAGE, '--yes'], {
    env,
    onStart: (child) =>
      child.stderr?.on('data', (chunk: Buffer) => {
        if (/CREATE_IN_PROGRESS/.test(chunk.toString())) child.kill('SIGINT');
      }),
  });
  assert.equal(ran.code, 130, ran.stderr);
  assert.match(
    ran.stderr,
    /\nError: stopped looking on; stack taxiflow goes on by itself\nTry: "taxiflow deploy status" shows how far it is\n$/,
  );
  assert.ok(!fake.actions().some((action) => action.startsWith('Delete')));
});

/** A stack that is there, and never ends to be deleted. */
const THERE = {
  DescribeStacks: [stackXml('CREATE_COMPLETE')],
  ListStackResources: [
    members(
      'StackResourceSummaries',
      [
        ['Cluster', 'AWS::ECS::Cluster'],
        ['StateBucket', 'AWS::S3::Bucket'],
      ].map(([LogicalResourceId, ResourceType]) =>
        elements({
          LogicalResourceId,
          ResourceType,
          PhysicalResourceId: 'x',
          ResourceStatus: 'CREATE_COMPLETE',
        }),
      ),
    ),
  ],
  ListStacks: [members('StackSummaries', [])],
  DescribeStackEvents: [eventsXml([]), eventsXml([[1, 'taxiflow', 'DELETE_IN_PROGRESS']])],
  DeleteStack: [''],
} as const;
const emptyCluster = () => ({ body: { taskArns: [] } });

test('Ctrl-C while a stack is deleted leaves it to AWS, and says so', async (t) => {
  const fake = await fakeCloudFormation(t, THERE, emptyCluster);
  const ran = await taxiflow(['deploy', 'down', '--yes', '--json'], {
    env: { ...ENVIRONMENT, AWS_ENDPOINT_URL: fake.url },
    onStart: (child) =>
      child.stderr?.on('data', (chunk: Buffer) => {
        if (/DELETE_IN_PROGRESS/.test(chunk.toString())) child.kill('SIGINT');
      }),
  });
  assert.equal(ran.code, 130, ran.stderr);
  assert.match(
    ran.stderr,
    /\nError: stopped looking on; the deletion of stack taxiflow goes on by itself\nTry: "taxiflow deploy status" shows how far it is; "taxiflow deploy down" goes on\n$/,
  );
});

/** What ECS says of a task that has stopped with this container. */
function ecs(
  container: object,
  runTask: object = { tasks: [{ taskArn: 'arn:aws:ecs:eu-west-1:1:task/c/7' }] },
) {
  return ({ target }: { target: string }) => {
    const answers: Record<string, object> = {
      DescribeServices: {
        services: [
          {
            networkConfiguration: {
              awsvpcConfiguration: { subnets: ['subnet-1'], securityGroups: ['sg-1'] },
            },
          },
        ],
      },
      DescribeTaskDefinition: { taskDefinition: { containerDefinitions: [{ name: 'process' }] } },
      RunTask: runTask,
      DescribeTasks: {
        tasks: [
          {
            lastStatus: 'STOPPED',
            stoppedReason: 'Essential container in task exited',
            containers: [container],
          },
        ],
      },
    };
    return {
      body: answers[target.split('.').at(-1)!],
      headers: { 'content-type': 'application/x-amz-json-1.1' },
    };
  };
}

describe('es-setup as a task', PARALLEL, () => {
  const nothing = elements({
    StackId: STACK_ID,
    ChangeSetId: 'arn:change',
    Status: 'FAILED',
    StatusReason: 'No updates are to be performed.',
  });
  const unchanged = {
    DescribeStacks: [stackXml('CREATE_COMPLETE', { parameters: ['Image'] })],
    CreateChangeSet: ENDLESS.CreateChangeSet,
    DescribeChangeSet: [nothing],
    DeleteChangeSet: [''],
  };
  for (const [what, answers, told] of [
    [
      'fails',
      ecs({ exitCode: 1 }),
      /^Error: es-setup ended with exit code 1: Essential container in task exited\nTry: /m,
    ],
    [
      'has no image',
      ecs({ reason: 'CannotPullContainerError: not found' }),
      /^Error: es-setup ended without an exit code: Essential container in task exited; CannotPullContainerError: not found\nTry: /m,
    ],
    [
      'is not started',
      ecs({}, { failures: [{ reason: 'RESOURCE:MEMORY', detail: 'none left' }] }),
      /^Error: no task was started: RESOURCE:MEMORY none left\nTry: /m,
    ],
  ] as const)
    test(`that ${what}: its exit code and its reason, and no replay`, async (t) => {
      const fake = await fakeCloudFormation(t, unchanged, answers);
      const env = { ...ENVIRONMENT, AWS_ENDPOINT_URL: fake.url };
      const { stdout, stderr } = await deploy({ env }, 'up --setup --replay --json', 1);
      assert.match(stderr, told);
      if (what === 'is not started') return;
      const { setup, replay } = JSON.parse(stdout) as Up;
      assert.equal(setup?.exit_code, what === 'fails' ? 1 : null);
      assert.equal(replay, null);
    });
});

/** Runs the binary on a terminal, and types `keys` when it asks. */
function onTerminal(line: string, env: Record<string, string>, keys: string) {
  const python = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';
  const child = spawn('python3', ['-c', python, process.execPath, BIN, 'deploy', ...line.split(' ')], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return new Promise<{ code: number | null; said: string }>((resolve) => {
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const asked = said.includes('[y/N]');
      said += chunk;
      if (!asked && said.includes('[y/N]')) child.stdin.write(keys);
    });
    child.on('close', (code) => resolve({ code, said }));
  });
}

describe('on a terminal', {
  skip: process.platform === 'win32' ? 'there are no pseudo-terminals' : withoutMinistack,
}, () => {
  for (const [answer, keys, code] of [
    ['no', 'n\r', 1],
    ['nothing', '\r', 1],
    ['Ctrl-C', '\u0003', 130],
    ['Ctrl-D', '\u0004', 1],
  ] as const)
    test(`${answer} is a no: nothing is left of the plan`, async (t) => {
      const fake = await fakeCloudFormation(t, ENDLESS);
      const ran = await onTerminal(
        `up --image ${IMAGE}`,
        { ...ENVIRONMENT, AWS_ENDPOINT_URL: fake.url },
        keys,
      );
      assert.match(ran.said, /create stack taxiflow, 2 changes\? \[y\/N\]/);
      assert.match(ran.said, code === 1 ? /nothing was changed/ : /stopped before anything was changed/);
      assert.equal(ran.code, code, ran.said);
      assert.deepEqual(
        fake.actions().filter((action) => !action.startsWith('Describe')),
        ['CreateChangeSet', 'DeleteChangeSet', 'DeleteStack'],
      );
    });

  test('no is a no for down too', async (t) => {
    const fake = await fakeCloudFormation(t, THERE, emptyCluster);
    const ran = await onTerminal('down --with-data', { ...ENVIRONMENT, AWS_ENDPOINT_URL: fake.url }, 'no\r');
    assert.match(ran.said, /delete stack taxiflow, and delete all data in its 1 bucket\? \[y\/N\]/);
    assert.match(ran.said, /nothing was deleted/);
    assert.equal(ran.code, 1, ran.said);
    assert.ok(!fake.actions().includes('DeleteStack'));
  });

  test('yes is a yes', async (t) => {
    const fake = await fakeCloudFormation(t, {
      ...ENDLESS,
      DescribeStacks: [MISSING, stackXml('CREATE_COMPLETE')],
      DescribeStackEvents: [
        eventsXml([]),
        eventsXml([
          [2, 'taxiflow', 'CREATE_COMPLETE'],
          [1, 'taxiflow', 'CREATE_IN_PROGRESS'],
        ]),
      ],
    });
    const ran = await onTerminal(
      `up --image ${IMAGE}`,
      { ...ENVIRONMENT, AWS_ENDPOINT_URL: fake.url },
      'y\r',
    );
    assert.equal(ran.code, 0, ran.said);
    assert.match(ran.said, /stack taxiflow is created/);
  });
});
