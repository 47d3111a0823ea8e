/** Hands the views of an app to a cluster of Flink as a job, follows it, stops it with a savepoint and starts it again. */
import { setTimeout as wait } from 'node:timers/promises';
import { TaxiflowError, usageError } from '../errors.ts';
import { FlinkCluster, type JobFigures, OVER } from '../flink/cluster.ts';
import { addressIn, GatewaySession, gatewayVersion } from '../flink/gateway.ts';
import { checkedUrl } from '../flink/http.ts';
import {
  appsWithJobs,
  type JobRecord,
  readRecord,
  type SavepointPlace,
  writeRecord,
} from '../flink/job-record.ts';
import { openResultFolder } from '../flink/result-files.ts';
import {
  fingerprint,
  type JobDefinition,
  jobName,
  scriptOf,
  settingsOf,
  statementSet,
} from '../flink/script.ts';
import { refuseAggregated, refuseUnreadParents, subtasksFor } from '../flink/shards.ts';
import { flinkPath, type KinesisConnector, quoted, type ResultTarget } from '../flink/tables.ts';
import { lacks, openReader, parseTarget } from '../streams/connectors.ts';
import { kinesisEndpoint } from '../streams/kinesis/endpoint.ts';
import type { Position, StreamReader } from '../streams/ports.ts';
import { checkViews } from '../views/check.ts';
import type { View } from '../views/language.ts';
import { appOf } from './processor-options.ts';

export interface FlinkOptions {
  readonly dataDir: string;
  readonly stream: string | undefined;
  readonly app?: string | undefined;
  readonly region?: string | undefined;
  readonly endpointUrl?: string | undefined;
  readonly views: readonly View[];
  readonly eventTime: 'dropoff' | 'arrival';
  readonly maxDisorder?: number | undefined;
  readonly from: 'trim-horizon' | 'latest' | number;
  /** Flink's SQL gateway. */
  readonly gateway: string;
  /** Flink's job manager; by default the one that the gateway names. */
  readonly rest?: string | undefined;
  readonly connector: KinesisConnector;
  readonly target: ResultTarget;
  /** Subtasks behind the source for each shard. */
  readonly parallelism: number;
  /** Ms; undefined: as the cluster has it. */
  readonly checkpointInterval?: number | undefined;
  readonly onNote: (note: string) => void;
}

/** By default a job manager's figures are this old, ms. */
const FIGURES_MS = 10_000;
const DEFAULT_CHECKPOINTS_MS = 10_000;
/** How long free task slots are waited for, and between two looks, ms. */
const SLOTS_MS = 10_000;
const LOOK_MS = 250;

/** Of a stream that Flink can read. Throws `contradicting-options`. */
function targetOf(stream: string | undefined) {
  const target = parseTarget(stream);
  const instead = lacks(target, 'flink');
  if (instead === undefined) return target;
  throw new TaxiflowError('contradicting-options', 'a cluster of Flink reads streams of Amazon Kinesis', {
    hint: instead,
    exitCode: 2,
  });
}

/** The stream as the tables of a job name it. */
export async function definitionOf(
  options: Omit<FlinkOptions, 'gateway' | 'onNote'>,
  reader: Pick<StreamReader, 'identity'>,
): Promise<JobDefinition> {
  const { views, eventTime, connector, from, target, maxDisorder } = options;
  return {
    app: options.app ?? appOf(targetOf(options.stream)),
    views: checkViews(views),
    eventTime,
    target,
    source: {
      arn: reader.identity.split(' ')[0]!,
      endpoint: kinesisEndpoint(options.endpointUrl),
      from,
      connector,
      maxDisorder,
    },
  };
}

export function openStream(
  options: Pick<FlinkOptions, 'stream' | 'dataDir' | 'region' | 'endpointUrl'>,
): Promise<StreamReader> {
  const { dataDir, region, endpointUrl } = options;
  return openReader(targetOf(options.stream), { dataDir, region, endpointUrl });
}

/** A job on a cluster. */
export class FlinkJob {
  record: JobRecord;
  readonly cluster: FlinkCluster;
  readonly #dataDir: string;

  /** It was started by this run, and did not run before. */
  readonly isNew: boolean;

  private constructor(dataDir: string, record: JobRecord, isNew = false) {
    this.isNew = isNew;
    this.#dataDir = dataDir;
    this.record = record;
    this.cluster = new FlinkCluster(record.rest);
  }

  /** The job that an app had last; without a name, that of the only app with one. Throws `no-flink-job`. */
  static of(dataDir: string, named: string | undefined): FlinkJob {
    const apps = appsWithJobs(dataDir);
    if (named === undefined && apps.length > 1)
      throw usageError(`${apps.length} apps have jobs: ${apps.join(', ')}`, 'name one with --app NAME');
    const app = named ?? apps[0] ?? '';
    const record = app === '' ? undefined : readRecord(dataDir, app);
    if (record) return new FlinkJob(dataDir, record);
    if (app === '')
      throw new TaxiflowError('no-flink-job', `no app in ${dataDir} has a job of Flink`, {
        hint: 'start one with "taxiflow process --engine flink"',
      });
    throw new TaxiflowError('no-flink-job', `app "${app}" has no job of Flink in ${dataDir}`, {
      hint: 'start one with "taxiflow process --engine flink", or see "taxiflow flink list --flink-gateway URL"',
    });
  }

  /**
   * Submits a job, or finds the one of this app that runs already. One that was stopped with a savepoint goes on from there. Throws
   * `flink-unreachable`, `flink-version`, `flink-refused`, `no-flink-sql`, `reshard-unread`, `other-state`, …
   */
  static async submit(options: FlinkOptions): Promise<FlinkJob> {
    const gateway = checkedUrl(options.gateway, '--flink-gateway');
    const rest = options.rest === undefined ? undefined : checkedUrl(options.rest, '--flink-rest');
    const reader = await openStream(options);
    try {
      const definition = await definitionOf(options, reader);
      // What can't be said is refused before anything is asked.
      const script = scriptOf(definition);
      const version = await gatewayVersion(gateway);
      checkVersion(version, definition);
      const before = readRecord(options.dataDir, definition.app);
      const mark = fingerprint(script);
      const running = before && (await stateOf(before));
      const isRunning = running !== undefined && !OVER.includes(running);
      // A job that has failed since goes on from where it began; what it wrote again is found to be there.
      const from = before?.savepoint ?? before?.restoredFrom;
      if (before && (isRunning || from)) refuseOther(before, mark, isRunning);
      if (before && isRunning) {
        options.onNote(`the job of app "${before.app}" runs already since ${before.submittedAt}`);
        return new FlinkJob(options.dataDir, before);
      }
      if (!from) await refuseResults(options);
      const { parallelism: perShard, checkpointInterval } = options;
      if (from) options.onNote(`goes on from savepoint ${from.path}`);
      const made = { dataDir: options.dataDir, gateway, rest, perShard, checkpointInterval };
      return await FlinkJob.#start(made, options, definition, reader, from);
    } finally {
      await reader.close();
    }
  }

  /** Starts a job again that was stopped with a savepoint, with a subtask for each shard that is open now. */
  static async restore(
    dataDir: string,
    named: string | undefined,
    savepoint: string | undefined,
    onNote: (note: string) => void,
  ): Promise<FlinkJob> {
    const { record } = FlinkJob.of(dataDir, named);
    const { app } = record;
    const state = await stateOf(record);
    if (state !== undefined && !OVER.includes(state))
      throw new TaxiflowError('flink-running', `the job of app "${app}" is ${state}`, {
        hint: `stop it first: "taxiflow flink stop --app ${app}"`,
      });
    const from =
      savepoint === undefined
        ? (record.savepoint ?? record.restoredFrom)
        : { path: savepoint, readUpTo: undefined, drained: false };
    if (!from)
      throw new TaxiflowError('no-savepoint', `the job of app "${app}" was not stopped with a savepoint`, {
        hint: 'name one with --savepoint PATH, or start it anew with "taxiflow process --engine flink"',
      });
    const { stream, region, endpointUrl, gateway, rest, perShard, checkpointInterval, definition } = record;
    const place = { dataDir, stream, region, endpointUrl };
    const reader = await openStream(place);
    try {
      onNote(`goes on from savepoint ${from.path}`);
      const made = { dataDir, gateway, rest, perShard, checkpointInterval };
      return await FlinkJob.#start(made, place, { app, ...definition }, reader, from);
    } finally {
      await reader.close();
    }
  }

  static async #start(
    { dataDir, gateway, rest, perShard, checkpointInterval }: Made,
    { stream, region, endpointUrl }: Pick<FlinkOptions, 'stream' | 'region' | 'endpointUrl'>,
    definition: JobDefinition,
    reader: StreamReader,
    from: SavepointPlace | undefined,
  ): Promise<FlinkJob> {
    if (from?.drained)
      throw new TaxiflowError(
        'other-state',
        `the job of app "${definition.app}" was stopped with --drain: all its windows have fired, and trips that come later would make a second result of them`,
        {
          hint: 'give this job a name of its own with --app NAME, or name an earlier savepoint with "taxiflow flink restore --savepoint PATH"',
        },
      );
    const shards = await reader.shards();
    const subtasks = subtasksFor(shards, reader.name);
    await refuseShards(reader, shards, definition, from);
    const script = scriptOf(definition);
    const session = await GatewaySession.open(gateway);
    try {
      const { settings } = session;
      const cluster = new FlinkCluster(rest ?? addressIn(settings));
      const parallelism = subtasks * perShard;
      await refuseSecond(cluster, definition.app);
      await refuseFewSlots(cluster, parallelism);
      const interval = checkpointInterval ?? (hasCheckpoints(settings) ? undefined : DEFAULT_CHECKPOINTS_MS);
      const start = { parallelism, checkpointInterval: interval, savepoint: from?.path };
      for (const [name, value] of settingsOf(definition.app, script, start))
        await session.run(`SET ${quoted(name)} = ${quoted(value)}`);
      for (const statement of script.tables) await session.run(statement);
      const { job } = await session.run(statementSet(script));
      if (job === undefined)
        throw new TaxiflowError('flink-bad-answer', 'the SQL gateway has started no job', {
          hint: "look into the gateway's log",
        });
      const record: JobRecord = {
        version: 1,
        app: definition.app,
        gateway,
        rest: cluster.url,
        stream: stream ?? '',
        region,
        endpointUrl,
        definition,
        fingerprint: fingerprint(script),
        checkpointInterval,
        perShard,
        sources: script.sources,
        shards: shards.filter((shard) => shard.open).map(({ id }) => id),
        figuresMs: Number.parseInt(settings['metrics.fetcher.update-interval'] ?? '', 10) || FIGURES_MS,
        savepointFolder: savepointFolder(settings, definition),
        restoredFrom: from,
        job,
        submittedAt: new Date().toISOString(),
      };
      writeRecord(dataDir, record);
      return new FlinkJob(dataDir, record, true);
    } finally {
      await session.close();
    }
  }

  /** The jobs that the apps in a data folder had last. */
  static all(dataDir: string): FlinkJob[] {
    return appsWithJobs(dataDir).map((app) => FlinkJob.of(dataDir, app));
  }

  figures(): Promise<JobFigures> {
    return this.cluster.figures(this.record.job);
  }

  /** It reads the stream from where the definition says, and not from a savepoint. */
  get isFresh(): boolean {
    return this.record.restoredFrom === undefined;
  }

  get id(): string {
    return this.record.job;
  }

  /**
   * Stops the job; returns the place of the savepoint that it goes on from. `readUpTo` (epoch ms): all that had arrived before it
   * has been read.
   */
  async stop(drain: boolean, readUpTo: number | undefined, folder?: string): Promise<string> {
    const state = await this.cluster.stateOf(this.id);
    if (state === undefined || OVER.includes(state))
      throw new TaxiflowError(
        'no-flink-job',
        `job ${this.id} of app "${this.record.app}" does not run: it is ${state ?? 'forgotten by its cluster'}`,
        {
          hint: `"taxiflow flink restore --app ${this.record.app}" starts it again from a savepoint`,
        },
      );
    const path = await this.cluster.stop(this.id, drain, folder ?? this.record.savepointFolder);
    const savepoint = {
      path,
      drained: drain,
      readUpTo: readUpTo === undefined ? undefined : new Date(readUpTo).toISOString(),
    };
    this.#remember({ ...this.record, savepoint });
    return path;
  }

  async cancel(): Promise<void> {
    await this.cluster.cancel(this.record.job);
  }

  /** A time before which all that had arrived has been read, epoch ms; undefined where the job is behind. */
  async readUpTo(): Promise<number | undefined> {
    return this.isAtTip(await this.figures()) ? Date.now() - 2 * this.record.figuresMs : undefined;
  }

  /** Whether all shards are read up to what is there now; one that has told nothing yet is not. Parents of a reshard were read before. */
  isAtTip({ behind }: JobFigures): boolean {
    const { shards, sources } = this.record;
    const atTip = behind.filter(({ ms }) => ms === 0).map(({ shard }) => shard);
    return shards.every((shard) => atTip.filter((one) => one === shard).length >= sources);
  }

  /** Why a job has failed. */
  async failure(): Promise<TaxiflowError> {
    const why = (await this.cluster.failureOf(this.record.job)) ?? 'Flink gives no reason';
    return new TaxiflowError('flink-job-failed', `job ${this.record.job} has failed: ${why}`, {
      hint: failureHint(why),
    });
  }

  #remember(record: JobRecord): void {
    this.record = record;
    writeRecord(this.#dataDir, record);
  }
}

interface Made {
  readonly dataDir: string;
  readonly gateway: string;
  readonly rest: string | undefined;
  readonly perShard: number;
  readonly checkpointInterval: number | undefined;
}

/** The state of a recorded job; undefined where its cluster has forgotten it, as one does that was started anew. */
function stateOf({ rest, job }: JobRecord): Promise<string | undefined> {
  return new FlinkCluster(rest).stateOf(job);
}

function refuseOther(
  { app, fingerprint: made, submittedAt }: JobRecord,
  mark: string,
  isRunning: boolean,
): void {
  if (made === mark) return;
  const what = isRunning ? 'a job that runs' : 'a job that was stopped with a savepoint';
  throw new TaxiflowError(
    'other-state',
    `app "${app}" has ${what}, of ${submittedAt}, with other views, another stream or another place for results`,
    { hint: 'run it as it was made, or give this job a name of its own with --app NAME' },
  );
}

/** Results of another job in the same folder would be mixed with those of a new one. */
async function refuseResults({ target, region, endpointUrl }: FlinkOptions): Promise<void> {
  if (target.kind !== 'files') return;
  const folder = await openResultFolder(target.uri, { region, endpointUrl });
  const [file] = await folder.list();
  if (!file) return;
  throw new TaxiflowError('output-in-use', `${target.uri} holds results of an earlier job: ${file.name}`, {
    hint: 'name an empty folder with --results-to; --results-from takes what is in this one',
  });
}

function checkVersion(version: string, { source, target }: JobDefinition): void {
  const isOld = version.startsWith('1.');
  if (source.connector === 'kinesis-4' && !isOld)
    throw new TaxiflowError(
      'flink-version',
      `the connector kinesis-4 is for Flink 1.19 and 1.20, not ${version}`,
      {
        hint: 'add --flink-connector kinesis-5',
      },
    );
  if (target.kind === 'opensearch' && !isOld)
    throw new TaxiflowError('flink-version', `Flink has no connector to OpenSearch for ${version}`, {
      hint: 'write results to a folder or s3:// with --results-to, and let taxiflow send them on with --opensearch',
    });
}

/** Parents of a reshard that are not read yet are read beside their children. */
async function refuseShards(
  reader: StreamReader,
  shards: Awaited<ReturnType<StreamReader['shards']>>,
  { source: { from, connector } }: JobDefinition,
  savepoint: SavepointPlace | undefined,
): Promise<void> {
  const start: Position = typeof from === 'number' ? { at: 'time', ms: from } : { at: from };
  if (connector === 'kinesis-5') {
    // It begins a shard once the parents are read.
    await refuseAggregated(reader, shards, start);
    return;
  }
  if (savepoint) {
    const { readUpTo } = savepoint;
    const position: Position =
      readUpTo === undefined ? { at: 'trim-horizon' } : { at: 'time', ms: Date.parse(readUpTo) };
    const since =
      readUpTo === undefined
        ? 'that the savepoint may not have'
        : `of after ${readUpTo}, which the savepoint has not`;
    await refuseUnreadParents(reader, shards, position, since);
  } else if (from !== 'latest') {
    await refuseUnreadParents(reader, shards, start, 'of the time that is to be read');
  }
}

/** A job of this app that no record tells of, as after a crash, or from another machine. */
async function refuseSecond(cluster: FlinkCluster, app: string): Promise<void> {
  const name = jobName(app);
  const other = (await cluster.jobs()).find((job) => job.name === name && !OVER.includes(job.state));
  if (!other) return;
  throw new TaxiflowError(
    'flink-running',
    `the cluster at ${cluster.url} runs a job "${name}" already, which this data folder does not know: ${other.id}`,
    { hint: 'give this one a name of its own with --app NAME, or cancel that one on the cluster' },
  );
}

async function refuseFewSlots(cluster: FlinkCluster, parallelism: number): Promise<void> {
  let free = await cluster.freeSlots();
  // Those of a job that was just stopped are free a moment later.
  for (const deadline = Date.now() + SLOTS_MS; free < parallelism && Date.now() < deadline; ) {
    await wait(LOOK_MS);
    free = await cluster.freeSlots();
  }
  if (free >= parallelism) return;
  throw new TaxiflowError(
    'flink-refused',
    `the cluster has ${free} free task slots, and the job needs ${parallelism}: one for each open shard`,
    { hint: 'add task managers, or reshard the stream to fewer shards' },
  );
}

function hasCheckpoints(settings: Readonly<Record<string, string>>): boolean {
  return settings['execution.checkpointing.interval'] !== undefined;
}

/** Where savepoints go on a cluster without a folder for them: beside the results, where no result is looked for. */
function savepointFolder(
  settings: Readonly<Record<string, string>>,
  { target }: JobDefinition,
): string | undefined {
  const own = settings['execution.checkpointing.savepoint-dir'] ?? settings['state.savepoints.dir'];
  return own === undefined && target.kind === 'files' ? `${flinkPath(target.uri)}/_savepoints` : undefined;
}

function failureHint(why: string): string {
  if (/minBucketMemorySize|MemorySize is not valid/.test(why))
    return 'give the task managers more managed memory (taskmanager.memory.managed.size): every window of every subtask takes some';
  if (/ClassNotFound|NoClassDef/.test(why))
    return 'a jar is missing in lib/ of the task managers: "taxiflow flink sql" names all that are needed';
  if (/credentials|AccessDenied|not authorized|security token/i.test(why))
    return 'the cluster reads the stream by its own AWS role or credentials: check those of its task managers';
  return "look into the log of the task manager, or at the job in Flink's own page";
}
