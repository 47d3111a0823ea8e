/** A job of Flink as statements of SQL. */
import { createHash } from 'node:crypto';
import { TRIP_FIELDS, type TripField } from '../events/trip.ts';
import { fieldsOf } from '../views/check.ts';
import type { View } from '../views/language.ts';
import { sqlOfViews } from '../views/sql/print.ts';
import { type Queries, queriesOf } from './queries.ts';
import {
  jarsFor,
  type KinesisSource,
  quoted,
  type ResultTarget,
  resultTable,
  resultTableName,
  sourceTable,
} from './tables.ts';

export interface JobDefinition {
  readonly app: string;
  readonly views: readonly View[];
  readonly eventTime: 'dropoff' | 'arrival';
  readonly source: KinesisSource;
  readonly target: ResultTarget;
}

/** What changes from one start of a job to the next. */
export interface JobStart {
  readonly parallelism: number;
  /** Ms between checkpoints; undefined: as the cluster has it. */
  readonly checkpointInterval: number | undefined;
  /** Where it goes on from. */
  readonly savepoint: string | undefined;
}

export interface JobScript {
  /** Tables and views. */
  readonly tables: readonly string[];
  /** INSERT INTO …, one for each view. */
  readonly inserts: readonly string[];
  readonly timeZone: string | undefined;
  /** Tables that read the stream, each for itself. */
  readonly sources: number;
}

/** The name by which a cluster lists the job of an app. */
export function jobName(app: string): string {
  return `taxiflow ${app}`;
}

/** Throws `no-flink-sql` and `no-sql` for views that Flink can't take. */
export function checkedQueries(views: readonly View[], eventTime: 'dropoff' | 'arrival'): Queries {
  // What can't be said in SQL at all is refused by what prints it.
  sqlOfViews(views);
  return queriesOf(views, eventTime);
}

/** Throws `no-flink-sql` and `no-sql` for views that Flink can't take. */
export function scriptOf({ views, eventTime, source, target }: JobDefinition): JobScript {
  const { timeZone, sources, views: tripViews, results } = checkedQueries(views, eventTime);
  const fields = new Set<TripField>(
    views.flatMap((view) => fieldsOf(view)).filter((field) => Object.hasOwn(TRIP_FIELDS, field)),
  );
  return {
    timeZone,
    sources: sources.length,
    tables: [
      ...sources.map((table) => sourceTable(table, fields, { ...source, tables: sources.length })),
      ...tripViews,
      ...results.map((result) => resultTable(result, target)),
    ],
    inserts: results.map(({ view, query }) => `INSERT INTO ${resultTableName(view)}\n${query}`),
  };
}

/** Settings of the session, in order. */
export function settingsOf(
  app: string,
  { timeZone }: JobScript,
  start: JobStart,
): [name: string, value: string][] {
  const { parallelism, checkpointInterval, savepoint } = start;
  return [
    ['pipeline.name', jobName(app)],
    ['execution.runtime-mode', 'streaming'],
    ['parallelism.default', String(parallelism)],
    ['table.local-time-zone', timeZone ?? 'UTC'],
    // What these have on a cluster would take trips away, or count them twice.
    ['table.exec.resource.default-parallelism', '-1'],
    ['table.exec.source.idle-timeout', '0 ms'],
    ['execution.checkpointing.mode', 'EXACTLY_ONCE'],
    // A watermark takes effect with its record, so what is late doesn't depend on the moment.
    ['pipeline.auto-watermark-interval', '0 ms'],
    ...(checkpointInterval === undefined
      ? []
      : [['execution.checkpointing.interval', `${checkpointInterval} ms`] as [string, string]]),
    ...(savepoint === undefined ? [] : [['execution.savepoint.path', savepoint] as [string, string]]),
  ];
}

/** All of it as one file, for the SQL client, Zeppelin or a gateway. */
export function scriptText(definition: JobDefinition, start: JobStart): string {
  const script = scriptOf(definition);
  const { app, source, target } = definition;
  const comments = [
    `The views of app ${app} as a job of Apache Flink, by "taxiflow flink sql".`,
    'Jars that the gateway and the cluster need in lib/, from Maven Central:',
    ...jarsFor(source, target).map((jar) => `  ${jar}`),
    `Exact with as many subtasks as the stream has open shards (parallelism.default; ${start.parallelism} when this was printed).`,
    'The cluster reads the stream by its own AWS role or credentials.',
  ];
  return `${[
    comments.map((line) => `-- ${line}`).join('\n'),
    settingsOf(app, script, start)
      .map(([name, value]) => `SET ${quoted(name)} = ${quoted(value)};`)
      .join('\n'),
    ...script.tables.map((statement) => `${statement};`),
    `${statementSet(script)};`,
  ].join('\n\n')}\n`;
}

/** One job for all views. */
export function statementSet({ inserts }: JobScript): string {
  return `EXECUTE STATEMENT SET\nBEGIN\n${inserts.map((insert) => `${insert};`).join('\n')}\nEND`;
}

/** Tells scripts of other views, times or targets apart: a savepoint of one does not fit another. */
export function fingerprint({ tables, inserts, timeZone }: JobScript): string {
  return createHash('sha256')
    .update(JSON.stringify([tables, inserts, timeZone]))
    .digest('hex')
    .slice(0, 16);
}
