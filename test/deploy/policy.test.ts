/** What the roles of tasks allow is what taxiflow does as the template starts it: nothing is missing, nothing left over. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CloudWatchClient, PutMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { type Role, statementsOf } from '../../src/deploy/template/access.ts';
import type { Value } from '../../src/deploy/template/cloudformation.ts';
import { type StackShape, setupCommand, templateOf } from '../../src/deploy/template/template.ts';
import { ObjectStore } from '../../src/s3/object-store.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { startDashboards } from '../services/dashboards.ts';
import { type Ministack, startMinistack, storeObject, withoutMinistack } from '../services/ministack.ts';
import { startOpenSearch, withoutOpenSearch } from '../services/opensearch.ts';
import { type Call, type Recorder, recording } from '../services/recorder.ts';
import { taxiflow } from '../taxiflow.ts';

const SHAPE: StackShape = { network: 'own', search: 'domain', autoscale: true };

/** What the template's references stand for in this test. */
const NAMES: Readonly<Record<string, string>> = {
  Stream: 'trips',
  StateBucket: 'states',
  ArchiveBucket: 'archive',
  TripsBucket: 'files',
  TripsPrefix: 'tlc/',
  Speedup: 'max',
  ShardsMin: '1',
  ShardsMax: '8',
  ShardsTarget: '0.6',
};

/** A text of the template, as it is in this test. */
function filled(value: Value, search: string): string {
  if (typeof value !== 'object') return String(value);
  const { Ref: name, 'Fn::Sub': text, 'Fn::If': choice } = value as Record<string, Value>;
  if (typeof name === 'string') return NAMES[name]!;
  if (Array.isArray(choice)) return filled((choice as readonly Value[])[1]!, search);
  return String(text)
    .replace(/^https:\/\/\$\{SearchDomain\.DomainEndpoint\}/, search)
    .replace(/\$\{([^}]+)\}/g, (_, name: string) => NAMES[name]!);
}

/** The arguments that the template gives a container. */
function argumentsOf(command: readonly Value[], search: string, dataDir: string): string[] {
  return command.map((word) => filled(word, search)).map((word) => (word === '/data' ? dataDir : word));
}

function commandOf(task: string): readonly Value[] {
  const { Properties } = templateOf(SHAPE).Resources[task]!;
  const { ContainerDefinitions } = Properties as { ContainerDefinitions: { Command: Value[] }[] };
  return ContainerDefinitions[0]!.Command;
}

/** Resources of statements, as the recorder has them. */
function placesOf(on: Value): string[] {
  if (on === '*') return ['*'];
  if (Array.isArray(on)) return (on as readonly Value[]).flatMap(placesOf);
  const text = JSON.stringify(on);
  if (/"Stream","Arn"/.test(text)) return ['stream'];
  if (/:es:/.test(text)) return ['es'];
  const bucket = Object.keys(NAMES).find((name) => text.includes(name) && name.endsWith('Bucket'))!;
  const [, prefix = ''] = /(?:\.Arn\}|TripsBucket\})(\/[^*"]*)\*/.exec(text) ?? [];
  return [`s3 ${NAMES[bucket]}${prefix}`];
}

/** `action on place`, without duplicates. */
function allowed(role: Role): Set<string> {
  return new Set(
    statementsOf(role, SHAPE).flatMap(({ actions, on }) =>
      actions.flatMap((action) => placesOf(on).map((place) => `${action} on ${place}`)),
    ),
  );
}

/** A key is where a statement allows it, or nowhere. */
function done(calls: readonly Call[], role: Role): Set<string> {
  const places = new Set(statementsOf(role, SHAPE).flatMap(({ on }) => placesOf(on)));
  return new Set(
    calls.map(({ action, on }) => {
      const place = [...places].find((one) => one === on || (one.endsWith('/') && on.startsWith(one)));
      return `${action} on ${place ?? on}`;
    }),
  );
}

function compare(calls: readonly Call[], role: Role): void {
  const [may, does] = [allowed(role), done(calls, role)];
  const missing = [...does].filter((one) => !may.has(one));
  const unused = [...may].filter((one) => !does.has(one));
  assert.deepEqual({ missing, unused }, { missing: [], unused: [] }, role);
}

/** Every trip has a result, of numbers that no packing shortens, so that the state is sent in parts. */
const NUMBERS = [
  ...['pickup_lat', 'pickup_lon', 'dropoff_lat', 'dropoff_lon', 'pickup_lat * pickup_lon'],
  ...['pickup_lat / dropoff_lat', 'pickup_lon / dropoff_lon', 'dropoff_lat * dropoff_lon'],
];
const LARGE = `SELECT window_start, window_end, trip_id, ${NUMBERS.map((number, i) => `MAX(${number}) AS n_${i}`).join(', ')}
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '10' MINUTE))
GROUP BY window_start, window_end, trip_id`;

test('the roles of tasks allow what is done, and nothing else', {
  skip: withoutMinistack || withoutOpenSearch,
}, async (t) => {
  const ministack = await startMinistack(t);
  const search = await startOpenSearch(t);
  const dashboards = await startDashboards(t, { basePath: '/_dashboards' });
  const aws = await recording(t, ministack.endpoint);
  const es = await recording(
    t,
    (path) => (path.startsWith('/_dashboards') ? dashboards.url : search.endpoint),
    'es',
  );
  await storeObject(ministack, 'files', 'tlc/yellow.csv', readFileSync(fixture('yellow-2015.csv')));
  for (const bucket of ['states', 'archive']) await storeObject(ministack, bucket, 'notes.md', 'nothing');
  const ran = async (recorder: Recorder | undefined, args: readonly string[], code = 0) => {
    const endpoint =
      args[0] === 'es-setup' ? [] : ['--endpoint-url', recorder?.endpoint ?? ministack.endpoint];
    const found = await taxiflow([...args, ...endpoint], { env: ministack.env });
    assert.equal(found.code, code, `${args.join(' ')}\n${found.stderr}`);
  };
  await ran(undefined, ['stream', 'create', 'trips', '--shards', '2']);

  await ran(aws, argumentsOf(commandOf('ReplayTask'), '', temporaryFolder(t)));
  compare(aws.calls.splice(0), 'replay');

  const setup = setupCommand(SHAPE)!;
  await ran(undefined, argumentsOf(setup, es.endpoint, ''));
  const command = (dataDir: string) => [
    ...argumentsOf(commandOf('ProcessTask'), es.endpoint, dataDir),
    ...['--until-end', '--state-interval', '100ms'],
  ];
  await ran(aws, command(temporaryFolder(t)));
  const before = await objectsOf(ministack);
  // A state that is set back, after more files of the archive: they are removed, and their trips written again.
  for (const seed of ['1', '2']) {
    const more = join(temporaryFolder(t), 'more.csv');
    await taxiflow([
      'generate',
      '--trips',
      '500',
      '--hours',
      '1',
      '--from',
      `2016-02-0${seed}`,
      '--seed',
      seed,
      '--out',
      more,
    ]);
    await ran(undefined, [
      'replay',
      more,
      '--stream',
      'trips',
      '--speedup',
      'max',
      '--data-dir',
      temporaryFolder(t),
    ]);
    await ran(aws, command(temporaryFolder(t)));
  }
  for (const [key, bytes] of before) await storeObject(ministack, 'states', key, bytes);
  await ran(aws, [...command(temporaryFolder(t)), '--drain']);

  // A state that grows: its new copy is sent in parts, given up where one is refused, and takes the place of older parts.
  const dataDir = temporaryFolder(t);
  const views = join(dataDir, 'views.sql');
  writeFileSync(views, `CREATE VIEW each_trip AS\n${LARGE};\n`);
  const replay = ['replay', '--speedup', 'max', '--data-dir', dataDir, '--resume'];
  const large = ['process', '--views', views, '--data-dir', dataDir, '--until-end'];
  const state = ['--state', 's3://states/process'];
  await ran(undefined, [...replay, '--limit', '2000']);
  await ran(aws, [...large, ...state]);
  await ran(undefined, replay);
  aws.refuse = ({ action }, url) => action === 's3:PutObject' && url.searchParams.get('partNumber') === '2';
  await ran(aws, [...large, ...state]);
  aws.refuse = () => false;
  await ran(aws, [...large, ...state, '--drain']);
  compare([...aws.calls.splice(0), ...es.calls], 'process');

  await use(ministack, 'IncomingBytes', 1_048_576 * 60 * 1.8);
  await use(ministack, 'IncomingRecords', 600);
  await ran(aws, argumentsOf(commandOf('AutoscaleTask'), '', ''));
  compare(aws.calls, 'autoscale');
});

/** Everything in the bucket of states. */
async function objectsOf(ministack: Ministack): Promise<Map<string, Buffer>> {
  Object.assign(process.env, ministack.env);
  const store = await ObjectStore.open('states', { endpointUrl: ministack.endpoint });
  const found = new Map<string, Buffer>();
  for await (const { key } of store.list('')) found.set(key, (await store.get(key))!.bytes);
  return found;
}

/** Tells CloudWatch what was written to the stream in each of the last minutes. */
async function use({ endpoint }: Ministack, MetricName: string, Value: number): Promise<void> {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const client = new CloudWatchClient({ endpoint, region: 'us-east-1', credentials });
  const minute = Math.floor(Date.now() / 60_000);
  const Dimensions = [{ Name: 'StreamName', Value: 'trips' }];
  const MetricData = [0, 1, 2].map((ago) => ({
    MetricName,
    Value,
    Dimensions,
    Timestamp: new Date((minute - ago) * 60_000 + 1),
  }));
  await client.send(new PutMetricDataCommand({ Namespace: 'AWS/Kinesis', MetricData }));
  client.destroy();
}
