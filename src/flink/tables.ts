/** The tables of a job: the stream as its source, in the words of each connector, and where its results go. */
import { fileURLToPath } from 'node:url';
import { TRIP_FIELD_NAMES, TRIP_FIELDS, type TripField } from '../events/trip.ts';
import { indexName } from '../opensearch/templates.ts';
import { interval } from '../views/sql/print-expressions.ts';
import { PICKUP_LAG_MS } from '../views/windows.ts';
import { SQL_TYPES } from './expressions.ts';
import { EVENT_TIME, type ResultQuery, type SourceTable } from './queries.ts';

/** The version of the Kinesis connector: 4 is the one of Flink 1.19 and 1.20 that unpacks aggregated records, 5 the one from 5.0 on. */
export const KINESIS_CONNECTORS = ['kinesis-4', 'kinesis-5'] as const;
export type KinesisConnector = (typeof KINESIS_CONNECTORS)[number];

export interface KinesisSource {
  readonly arn: string;
  /** AWS endpoint, of an emulator. */
  readonly endpoint: string | undefined;
  readonly from: 'trim-horizon' | 'latest' | number;
  readonly connector: KinesisConnector;
  /** Ms; the watermark then comes from the trips. */
  readonly maxDisorder: number | undefined;
}

/** Of a job with so many tables of one stream. */
type SharedSource = KinesisSource & { readonly tables: number };

/** Where a job writes its results. */
export type ResultTarget =
  /** A folder that the cluster writes and taxiflow reads, as a URI: `file:///…` or `s3://…`. */
  | { readonly kind: 'files'; readonly uri: string }
  | { readonly kind: 'opensearch'; readonly url: string; readonly prefix: string };

type Settings = Readonly<Record<string, string | undefined>>;

/** Between two reads of a shard, which allows five a second to all that read it. */
const READ_INTERVAL_MS = 250;
/** A part of results is closed after this, and shown by the checkpoint that follows. */
const ROLL = '1 s';
const MS = interval(1);
/** A hundred years. */
const NEVER_MS = 100 * 365 * 86_400_000;

/** CREATE TEMPORARY TABLE for the records of a stream. */
export function sourceTable(
  table: SourceTable,
  fields: ReadonlySet<TripField>,
  source: SharedSource,
): string {
  const needed = new Set<TripField>([...fields, 'trip_id', 'replay', 'pickup_datetime', 'dropoff_datetime']);
  const columns = [
    '`type` STRING',
    ...TRIP_FIELD_NAMES.filter((field) => needed.has(field)).map(
      (field) => `${field} ${SQL_TYPES[TRIP_FIELDS[field].type]}`,
    ),
    '`watermark` TIMESTAMP_LTZ(3)',
    `${EVENT_TIME} AS ${eventTime(table)}`,
    `WATERMARK FOR ${EVENT_TIME} AS ${watermark(table, source.maxDisorder)}`,
  ];
  return `CREATE TEMPORARY TABLE ${table.name} (\n  ${columns.join(',\n  ')}\n) WITH (\n${settingsSql({
    ...SOURCE_SETTINGS[source.connector](source),
    format: 'json',
    'json.timestamp-format.standard': 'ISO-8601',
    // A field that can't be read is missing, and a record without a time is no trip.
    'json.ignore-parse-errors': 'true',
  })}\n)`;
}

function eventTime({ time, earlier }: SourceTable): string {
  const shift = earlier === 0 ? '' : ` - ${interval(earlier)}`;
  // Flink takes no record without a time; this one is no trip, and no watermark either.
  const nothing = 'TO_TIMESTAMP_LTZ(0, 3)';
  const parts =
    time === 'dropoff'
      ? ['`watermark`', 'dropoff_datetime', nothing]
      : [`\`watermark\` - ${interval(PICKUP_LAG_MS)}`, 'pickup_datetime', nothing];
  return `COALESCE(${parts.join(', ')})${shift}`;
}

/** Flink's watermark says that no trip of its own ms comes any more, taxiflow's that none before it does. */
function watermark({ time, earlier }: SourceTable, maxDisorder: number | undefined): string {
  if (maxDisorder === undefined) return `CASE WHEN \`type\` = 'watermark' THEN ${EVENT_TIME} - ${MS} END`;
  const behind = interval(maxDisorder + (time === 'pickup' ? PICKUP_LAG_MS : 0) + earlier + 1);
  return `CASE WHEN \`type\` = 'trip' AND dropoff_datetime IS NOT NULL THEN dropoff_datetime - ${behind} END`;
}

const SOURCE_SETTINGS: Readonly<Record<KinesisConnector, (source: SharedSource) => Settings>> = {
  'kinesis-4': ({ arn, endpoint, from, tables }) => ({
    connector: 'kinesis',
    stream: nameIn(arn),
    'aws.region': regionIn(arn),
    ...(endpoint === undefined
      ? {}
      : { 'aws.endpoint': endpoint, 'aws.trust.all.certificates': isPlain(endpoint) }),
    'scan.stream.initpos': initialPosition(from),
    ...(typeof from === 'number'
      ? {
          'scan.stream.initpos-timestamp': new Date(from).toISOString(),
          'scan.stream.initpos-timestamp-format': "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
        }
      : {}),
    // With a subtask for each shard, this gives each subtask one: a watermark of a subtask is one of a shard.
    'scan.shard-assigner': 'uniform',
    'scan.shard.getrecords.intervalmillis': String(READ_INTERVAL_MS * tables),
    // Shards of a reshard are to be read once their parents are, by a job that is started for them.
    'scan.shard.discovery.intervalmillis': String(NEVER_MS),
  }),
  'kinesis-5': ({ arn, endpoint, from }) => ({
    connector: 'kinesis',
    'stream.arn': arn,
    'aws.region': regionIn(arn),
    ...(endpoint === undefined
      ? {}
      : {
          'aws.endpoint': endpoint,
          'aws.trust.all.certificates': isPlain(endpoint),
          ...(endpoint.startsWith('http:') ? { 'aws.http.protocol.version': 'HTTP1_1' } : {}),
        }),
    'source.init.position': initialPosition(from),
    ...(typeof from === 'number' ? { 'source.init.timestamp': new Date(from).toISOString() } : {}),
  }),
};

/** There is no certificate to check without TLS, but the setting has to be there. */
function isPlain(endpoint: string): string | undefined {
  return endpoint.startsWith('http:') ? 'true' : undefined;
}

function initialPosition(from: KinesisSource['from']): string {
  if (typeof from === 'number') return 'AT_TIMESTAMP';
  return from === 'latest' ? 'LATEST' : 'TRIM_HORIZON';
}

function nameIn(arn: string): string {
  return arn.replace(/^.*:stream\//, '');
}

function regionIn(arn: string): string {
  return arn.split(':')[3]!;
}

export function resultTableName(view: string): string {
  return `results_of_${view}`;
}

/** A folder as Flink names it: its URIs take no escapes. */
export function flinkPath(uri: string): string {
  const path = uri.startsWith('file:') ? `file://${fileURLToPath(uri)}` : uri;
  return path.replace(/\/+$/, '');
}

/** CREATE TEMPORARY TABLE for the results of a view. */
export function resultTable({ view, columns, key }: ResultQuery, target: ResultTarget): string {
  const keyed = target.kind === 'opensearch';
  const lines = columns.map(
    ({ name, type }) => `\`${name}\` ${type}${keyed && key.includes(name) ? ' NOT NULL' : ''}`,
  );
  // Results of the same key replace each other, so one that is written twice is there once.
  if (keyed) lines.push(`PRIMARY KEY (${key.map((name) => `\`${name}\``).join(', ')}) NOT ENFORCED`);
  const settings: Settings =
    target.kind === 'files'
      ? {
          connector: 'filesystem',
          path: `${flinkPath(target.uri)}/${view}`,
          format: 'json',
          'sink.rolling-policy.rollover-interval': ROLL,
          'sink.rolling-policy.check-interval': ROLL,
        }
      : {
          connector: 'opensearch-2',
          hosts: target.url,
          index: indexName(target.prefix, view),
          // As taxiflow's own ids: pickup_count|2016-01-01T00:00:00.000Z|dr5ru7
          'document-id.key-delimiter': '|',
          format: 'json',
        };
  return `CREATE TEMPORARY TABLE ${resultTableName(view)} (\n  ${lines.join(',\n  ')}\n) WITH (\n${settingsSql(settings)}\n)`;
}

function settingsSql(settings: Settings): string {
  return Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `  ${quoted(name)} = ${quoted(value!)}`)
    .join(',\n');
}

export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The jars that a job needs beside those of a distribution of Flink, by their Maven coordinates. */
export function jarsFor(source: Pick<KinesisSource, 'connector'>, target: ResultTarget): string[] {
  const kinesis =
    source.connector === 'kinesis-4'
      ? ['org.apache.flink:flink-sql-connector-kinesis:4.3.0-1.19 (Flink 1.19 and 1.20)']
      : [
          'org.apache.flink:flink-sql-connector-aws-kinesis-streams:5.0.0-1.20 (Flink 1.20)',
          'org.apache.flink:flink-sql-connector-aws-kinesis-streams:6.0.0-2.0 (Flink 2.x)',
        ];
  if (target.kind === 'opensearch')
    return [...kinesis, 'org.apache.flink:flink-sql-connector-opensearch2:2.0.0-1.19 (Flink 1.19 and 1.20)'];
  return target.uri.startsWith('s3')
    ? [
        ...kinesis,
        'org.apache.flink:flink-s3-fs-hadoop, of the version of Flink, as a plugin (it is in opt/ of a distribution)',
      ]
    : kinesis;
}
