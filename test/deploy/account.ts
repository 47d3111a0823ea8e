/** An account of AWS in an emulator. */
import type { TestContext } from 'node:test';
import { startMinistack } from '../services/ministack.ts';

export interface Account {
  readonly endpoint: string;
  /** For the real binary. */
  readonly env: Record<string, string>;
}

/** An empty account. */
export async function startAccount(t: TestContext): Promise<Account> {
  const { endpoint, env } = await startMinistack(t);
  return { endpoint, env: { ...env, AWS_ENDPOINT_URL: endpoint } };
}

/** Everything in the account that taxiflow could have made, each as `service:kind/name`, by the services' own APIs. */
export async function inventory({ endpoint }: Account): Promise<string[]> {
  const found: string[] = [];
  for (const [kind, list] of Object.entries(LISTS)) {
    for (const name of await list((service, request) => call(endpoint, service, request)))
      found.push(`${kind}/${name}`);
  }
  return found.sort();
}

type Call = (service: string, request: Request) => Promise<string>;

/** A request in the protocol of its service: JSON by its target, a form, or a path. */
type Request =
  | { readonly target: string; readonly body?: unknown }
  | { readonly form: string }
  | { readonly path: string };

async function call(endpoint: string, service: string, request: Request): Promise<string> {
  const scope = `test/20260101/us-east-1/${service}/aws4_request`;
  const headers = {
    authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`,
    'x-amz-date': '20260101T000000Z',
  };
  const answer =
    'path' in request
      ? await fetch(endpoint + request.path, { headers })
      : await fetch(endpoint, {
          method: 'POST',
          headers: {
            ...headers,
            ...('form' in request
              ? { 'content-type': 'application/x-www-form-urlencoded' }
              : { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': request.target }),
          },
          body: 'form' in request ? request.form : JSON.stringify(request.body ?? {}),
        });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${service} ${JSON.stringify(request)}: ${answer.status} ${text}`);
  return text;
}

/** The texts of an element in XML. */
const texts = (xml: string, element: string) =>
  [...xml.matchAll(new RegExp(`<${element}>([^<]+)</${element}>`, 'g'))].map(([, text = '']) => text);
const json = async <T>(text: Promise<string>) => JSON.parse(await text) as T;
const lastOf = (arn: string) => arn.split(/[:/]/).at(-1)!;

const LISTS: Record<string, (call: Call) => Promise<string[]>> = {
  'kinesis:stream': async (call) =>
    (await json<{ StreamNames: string[] }>(call('kinesis', { target: 'Kinesis_20131202.ListStreams' })))
      .StreamNames,
  's3:bucket': async (call) => texts(await call('s3', { path: '/' }), 'Name'),
  'ecs:cluster': async (call) =>
    (
      await json<{ clusterArns: string[] }>(
        call('ecs', { target: 'AmazonEC2ContainerServiceV20141113.ListClusters' }),
      )
    ).clusterArns.map(lastOf),
  'ecs:task-definition': async (call) =>
    (
      await json<{ taskDefinitionArns: string[] }>(
        call('ecs', {
          target: 'AmazonEC2ContainerServiceV20141113.ListTaskDefinitions',
          body: { status: 'ACTIVE' },
        }),
      )
    ).taskDefinitionArns.map((arn) => arn.split('/').at(-1)!.replace(/:\d+$/, '')),
  'logs:group': async (call) =>
    (
      await json<{ logGroups: { logGroupName: string }[] }>(
        call('logs', { target: 'Logs_20140328.DescribeLogGroups' }),
      )
    ).logGroups.map(({ logGroupName }) => logGroupName),
  'cloudwatch:alarm': async (call) =>
    texts(await call('monitoring', { form: 'Action=DescribeAlarms&Version=2010-08-01' }), 'AlarmName'),
  'cloudwatch:dashboard': async (call) =>
    texts(await call('monitoring', { form: 'Action=ListDashboards&Version=2010-08-01' }), 'DashboardName'),
  'glue:database': async (call) =>
    (
      await json<{ DatabaseList: { Name: string }[] }>(call('glue', { target: 'AWSGlue.GetDatabases' }))
    ).DatabaseList.map(({ Name }) => Name),
  'firehose:stream': async (call) =>
    (
      await json<{ DeliveryStreamNames: string[] }>(
        call('firehose', { target: 'Firehose_20150804.ListDeliveryStreams' }),
      )
    ).DeliveryStreamNames,
  'athena:query': async (call) =>
    (await json<{ NamedQueryIds: string[] }>(call('athena', { target: 'AmazonAthena.ListNamedQueries' })))
      .NamedQueryIds,
  'athena:workgroup': async (call) =>
    (
      await json<{ WorkGroups: { Name: string }[] }>(
        call('athena', { target: 'AmazonAthena.ListWorkGroups' }),
      )
    ).WorkGroups.map(({ Name }) => Name),
  'sns:topic': async (call) =>
    texts(await call('sns', { form: 'Action=ListTopics&Version=2010-03-31' }), 'TopicArn').map(lastOf),
  'sns:subscription': async (call) =>
    texts(await call('sns', { form: 'Action=ListSubscriptions&Version=2010-03-31' }), 'Endpoint'),
  'opensearch:domain': async (call) =>
    (
      await json<{ DomainNames: { DomainName: string }[] }>(call('es', { path: '/2021-01-01/domain' }))
    ).DomainNames.map(({ DomainName }) => DomainName),
  'iam:role': async (call) =>
    texts(await call('iam', { form: 'Action=ListRoles&Version=2010-05-08' }), 'RoleName'),
  'ec2:vpc': async (call) =>
    texts(await call('ec2', { form: 'Action=DescribeVpcs&Version=2016-11-15' }), 'cidrBlock'),
  'ec2:group': async (call) =>
    texts(
      await call('ec2', { form: 'Action=DescribeSecurityGroups&Version=2016-11-15' }),
      'groupDescription',
    ),
  'ec2:subnet': async (call) =>
    texts(await call('ec2', { form: 'Action=DescribeSubnets&Version=2016-11-15' }), 'cidrBlock'),
  'ec2:endpoint': async (call) =>
    texts(await call('ec2', { form: 'Action=DescribeVpcEndpoints&Version=2016-11-15' }), 'vpcEndpointId'),
  'ec2:gateway': async (call) =>
    texts(
      await call('ec2', { form: 'Action=DescribeInternetGateways&Version=2016-11-15' }),
      'internetGatewayId',
    ),
  'scheduler:schedule': async (call) =>
    (await json<{ Schedules: { Name: string }[] }>(call('scheduler', { path: '/schedules' }))).Schedules.map(
      ({ Name }) => Name,
    ),
};
