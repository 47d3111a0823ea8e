/** A CloudFormation that answers as it is told: what an emulator never says, in the words and the XML of AWS. */
import type { TestContext } from 'node:test';
import { type Answer, serve } from '../services/http.ts';
import '../aws-settings.ts';

/** The fields of a request. */
export type Form = URLSearchParams;
/** An answer to one request: the content of its result, or an error. */
export type Said = string | { readonly code: string; readonly message: string; readonly status?: number };
/** Answers of each action; of several, the last is given again and again. */
export type Script = Readonly<Record<string, readonly Said[] | ((form: Form) => Said | 'cut')>>;

export interface Fake {
  readonly url: string;
  /** Every request, in order. */
  readonly asked: readonly Form[];
  /** The actions asked for, in order. */
  actions(): string[];
}

const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_REGION: 'eu-west-1' };
/** For the real binary. */
export const ENVIRONMENT = CREDENTIALS;

/** `other` answers what is for another service. */
export async function fakeCloudFormation(
  t: TestContext,
  script: Script,
  other: (asked: { path: string; target: string; body: string }) => Answer = () => ({ status: 404 }),
): Promise<Fake> {
  Object.assign(process.env, CREDENTIALS);
  const asked: Form[] = [];
  const given = new Map<string, number>();
  const server = await serve(t, ({ path, headers, body }) => {
    const form = new URLSearchParams(body.toString());
    const action = form.get('Action');
    if (action === null)
      return other({ path, target: String(headers['x-amz-target'] ?? ''), body: body.toString() });
    asked.push(form);
    const answers = script[action];
    if (answers === undefined) return { status: 500, body: `${action} is not in the script` };
    const times = given.get(action) ?? 0;
    given.set(action, times + 1);
    const said =
      typeof answers === 'function' ? answers(form) : answers[Math.min(times, answers.length - 1)]!;
    return said === 'cut' ? { status: 503, body: '' } : answerOf(action, said);
  });
  return { url: server.url, asked, actions: () => asked.map((form) => form.get('Action') ?? '') };
}

function answerOf(action: string, said: Said): Answer {
  const headers = { 'content-type': 'text/xml' };
  const space = 'xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"';
  const id = '<RequestId>b9b4b068-3a41-11e5-94eb-example</RequestId>';
  if (typeof said === 'string') {
    const result = `<${action}Result>${said}</${action}Result>`;
    const body = `<${action}Response ${space}>${result}<ResponseMetadata>${id}</ResponseMetadata></${action}Response>`;
    return { headers, body };
  }
  const { code, message, status = 400 } = said;
  const error = `<Type>Sender</Type><Code>${code}</Code><Message>${message}</Message>`;
  return { status, headers, body: `<ErrorResponse ${space}><Error>${error}</Error>${id}</ErrorResponse>` };
}

export const STACK_ID =
  'arn:aws:cloudformation:eu-west-1:123456789012:stack/taxiflow/5d0c2f10-cb6e-11f0-9a1c-0a1b2c3d4e5f';
export const MISSING: Said = { code: 'ValidationError', message: 'Stack with id taxiflow does not exist' };

/** Elements with texts; one without a value is left out. */
export function elements(fields: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(fields)
    .map(([name, value]) => (value === undefined ? '' : `<${name}>${value}</${name}>`))
    .join('');
}

export const members = (list: string, all: readonly string[]) =>
  `<${list}>${all.map((one) => `<member>${one}</member>`).join('')}</${list}>`;

/** A stack as DescribeStacks has it; taxiflow's unless `tags` says otherwise. */
export function stackXml(
  status: string,
  {
    id = STACK_ID,
    tags = { 'taxiflow:stack': '1' } as Record<string, string>,
    parameters = [] as string[],
  } = {},
): string {
  const about = elements({
    StackId: id,
    StackName: 'taxiflow',
    StackStatus: status,
    CreationTime: '2026-11-27T10:00:00.000Z',
  });
  const tagged = members(
    'Tags',
    Object.entries(tags).map(([Key, Value]) => elements({ Key, Value })),
  );
  const set = members(
    'Parameters',
    parameters.map((ParameterKey) => elements({ ParameterKey, ParameterValue: 'x' })),
  );
  return members('Stacks', [about + tagged + set]);
}

/** An event: seconds after ten o'clock, the resource, its status, and why. */
export type Told = readonly [second: number, resource: string, status: string, reason?: string];

/** Events as DescribeStackEvents has them, in the order given; `next` is the token of the page after. */
export function eventsXml(
  events: readonly Told[],
  { next, id = STACK_ID }: { next?: string; id?: string } = {},
): string {
  const told = events.map(([second, resource, status, reason]) => {
    const isStack = resource === 'taxiflow';
    return elements({
      StackId: id,
      EventId: `${resource}-${status}-${second}`,
      StackName: 'taxiflow',
      LogicalResourceId: resource,
      PhysicalResourceId: isStack ? id : `${resource.toLowerCase()}-1`,
      ResourceType: isStack
        ? 'AWS::CloudFormation::Stack'
        : resource.endsWith('Bucket')
          ? 'AWS::S3::Bucket'
          : `AWS::Test::${resource}`,
      Timestamp: new Date(Date.UTC(2026, 10, 27, 10, 0, second)).toISOString(),
      ResourceStatus: status,
      ResourceStatusReason: reason,
    });
  });
  return members('StackEvents', told) + elements({ NextToken: next });
}
