import { command, group } from '../command.ts';
import { choice, flag, milliseconds, optionalText, text, type Values, whole } from '../options.ts';
import { app, dataDir, endpointUrl, json, onlyApp, region, stream, views } from './shared.ts';

const CONNECTORS = ['kinesis-4', 'kinesis-5'] as const;

const gateway = text({
  describe: "URL of Flink's SQL gateway, for example http://localhost:8083",
});
const connector = choice(CONNECTORS, {
  default: 'kinesis-4',
  describe:
    "The cluster's Kinesis connector: 4.x (Flink 1.19, 1.20), or 5.x and later, which has other words",
});
const perShard = whole({
  least: 1,
  most: 64,
  default: 1,
  describe: 'Subtasks behind the source for each open shard',
});

/** How to reach a cluster, and what it has. */
export const flinkCluster = {
  flinkGateway: gateway,
  flinkRest: text({ describe: "URL of Flink's job manager  [default: the one that the gateway names]" }),
  flinkConnector: connector,
  parallelism: perShard,
};

const sqlOptions = {
  stream,
  dataDir,
  region,
  endpointUrl,
  app,
  views,
  maxDisorder: milliseconds({
    describe: 'For streams without watermark records: watermark = newest drop-off minus this',
  }),
  from: text({
    default: 'trim-horizon',
    describe: 'Where the job starts reading: trim-horizon, latest or a time',
    offers: ['trim-horizon', 'latest'],
  }),
  resultsTo: text({
    describe:
      'Folder or s3:// prefix for results, or http(s):// of OpenSearch  [default: in the data folder]',
    completes: 'folder',
  }),
  indexPrefix: text({ default: '', describe: 'Prefix of index names, for example nyc-' }),
  flinkConnector: connector,
  parallelism: perShard,
  json,
};
export type SqlArguments = Values<typeof sqlOptions>;

const sql = command({
  usage: 'sql',
  summary: "Print the views as a job in Flink's SQL, ready for its SQL client, a gateway or a notebook",
  options: sqlOptions,
  examples: [['flink sql --stream trips --results-to s3://bucket/results > job.sql', 'both taxi views']],
  load: async () => (await import('../handlers/flink.ts')).sql,
});

const { json: _, ...jobOfSql } = sqlOptions;
const packageOptions = {
  ...jobOfSql,
  output: text({ default: 'taxiflow-job.jar', describe: 'File to write', completes: 'file' }),
  jars: text({
    describe: 'Folder with the jars of the connectors that "flink sql" names, to put into it',
    completes: 'folder',
  }),
  json,
};
export type PackageArguments = Values<typeof packageOptions>;

const packaging = command({
  usage: 'package',
  summary: 'Make what Amazon Managed Service for Apache Flink runs, with the commands to create it there',
  options: packageOptions,
  examples: [
    [
      'flink package --stream trips --results-to s3://bucket/results --jars connectors',
      'needs a JDK of 17, as javac and jar',
    ],
  ],
  load: async () => (await import('../handlers/flink.ts')).packageForAws,
});

const listOptions = { flinkGateway: gateway, flinkRest: flinkCluster.flinkRest, dataDir, json };
export type ListArguments = Values<typeof listOptions>;

const list = command({
  usage: 'list',
  summary: 'List the jobs of a cluster',
  options: listOptions,
  examples: [['flink list --flink-gateway http://localhost:8083', 'its jobs, the newest first']],
  load: async () => (await import('../handlers/flink.ts')).list,
});

const jobOptions = { app: onlyApp, dataDir, json };
export type JobArguments = Values<typeof jobOptions>;

const status = command({
  usage: 'status',
  summary: 'Show how the job of an app is doing',
  options: jobOptions,
  examples: [['flink status --app trips', 'state, restarts, checkpoints, watermark, counts']],
  load: async () => (await import('../handlers/flink.ts')).status,
});

const stopOptions = {
  ...jobOptions,
  savepoint: optionalText("Folder or s3:// prefix for the savepoint  [default: the cluster's own]", 'folder'),
  drain: flag('Fire the open windows before; nothing goes on from such a job'),
  cancel: flag('Make no savepoint; what the job has not written is lost'),
};
export type StopArguments = Values<typeof stopOptions>;

const stop = command({
  usage: 'stop',
  summary: 'Stop the job of an app with a savepoint',
  options: stopOptions,
  examples: [['flink stop --app trips', 'prints where the savepoint lies']],
  load: async () => (await import('../handlers/flink.ts')).stop,
});

const restoreOptions = {
  ...jobOptions,
  savepoint: text({ describe: 'Savepoint to go on from  [default: the one of the last stop]' }),
};
export type RestoreArguments = Values<typeof restoreOptions>;

const restore = command({
  usage: 'restore',
  summary: 'Start the job of an app again from a savepoint, with a subtask for each shard of now',
  options: restoreOptions,
  examples: [['flink restore --app trips', 'after "flink stop", or a reshard']],
  load: async () => (await import('../handlers/flink.ts')).restore,
});

export const flinkCommand = group(
  'flink',
  'Work with jobs on a cluster of Apache Flink',
  [
    ['flink sql --stream trips', 'the views as a job in SQL'],
    ['flink status --app trips', 'how the job of "process --engine flink" is doing'],
  ],
  [sql, packaging, list, status, stop, restore],
);
