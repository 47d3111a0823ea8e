import { command } from '../command.ts';
import { choice, flag, milliseconds, optionalChoice, text, type Values } from '../options.ts';
import { flinkCluster } from './flink.ts';
import {
  app,
  dataDir,
  deadLetterLimit,
  endpointUrl,
  indexPrefix,
  log,
  metrics,
  openSearchAccess,
  port,
  region,
  stream,
  views,
} from './shared.ts';

const options = {
  stream,
  dataDir,
  region,
  endpointUrl,
  app,
  consumer: choice(['polling', 'efo'], {
    default: 'polling',
    describe:
      'Kinesis: polling shares 2 MB/s per shard with other consumers; efo (enhanced fan-out) costs extra',
  }),
  views,
  window: milliseconds({ describe: 'Window size of the default views, for example 1h  [default: 10m]' }),
  explain: optionalChoice(['plan', 'sql'], 'Print the plan, or the views as SQL, and exit'),
  acceptChanges: flag('Let views begin anew whose key, window or functions changed since the last run'),
  backfill: flag('Fill views that are new or begin anew with what the stream still holds'),
  dryRun: flag('Print what would become of the state with these views, and exit'),
  from: text({
    default: 'trim-horizon',
    describe: 'Where a new processor starts reading: trim-horizon, latest or a time',
    offers: ['trim-horizon', 'latest'],
  }),
  untilEnd: flag('Stop after reading every record now in the stream'),
  drain: flag('At the end, also fire the open windows'),
  closeIdle: milliseconds({
    least: 1,
    describe: 'After this long without a record, fire the open windows too; later trips of theirs are late',
  }),
  eventTime: choice(['dropoff', 'arrival'], {
    default: 'dropoff',
    describe: 'Time that assigns trips to windows',
  }),
  maxDisorder: milliseconds({
    describe: 'For streams without watermark records: watermark = newest drop-off minus this',
  }),
  allowedLateness: milliseconds({
    default: '0',
    describe: 'How long after its end a window still accepts late trips',
  }),
  checkpointInterval: milliseconds({ default: '1s', describe: 'Time between checkpoints' }),
  state: text({
    describe: 'Commit the state to S3 at s3://bucket/prefix, where another processor can take it over',
  }),
  stateInterval: milliseconds({ describe: 'With --state: time between commits to S3  [default: 5s]' }),
  standby: flag('With --state: wait until the processor that has the state is silent, then take over'),
  takeover: milliseconds({ describe: 'With --standby: silence after which it takes over  [default: 30s]' }),
  output: text({ describe: 'Write results as NDJSON to this file, or - for stdout', completes: 'file' }),
  opensearch: text({ describe: 'Write results to OpenSearch or Elasticsearch at this URL' }),
  dashboards: text({
    describe:
      'URL of OpenSearch Dashboards, to fit its dashboard to the results  [default: that of es-setup]',
  }),
  indexPrefix,
  resend: flag('Send all results to OpenSearch again, including those already delivered'),
  ...openSearchAccess,
  archive: text({
    describe: 'Write every trip once, as Parquet by day, to this folder or s3:// prefix',
    completes: 'folder',
  }),
  archiveInterval: milliseconds({
    least: 1,
    describe: 'With --archive: time after which a file is closed  [default: 5m]',
  }),
  retain: milliseconds({
    least: 1,
    describe:
      'Remove results this much event time behind the watermark, once every sink has them  [default: keep all]',
  }),
  dashboard: flag('Serve the live page of this run'),
  port,
  engine: choice(['embedded', 'flink'], {
    default: 'embedded',
    describe:
      'Compute here, or hand the views to a cluster of Apache Flink, for more than one machine carries',
  }),
  ...flinkCluster,
  resultsTo: text({
    describe:
      'With --engine flink: folder or s3:// prefix that the cluster writes results to, or http(s):// of OpenSearch  [default: in the data folder]',
    completes: 'folder',
  }),
  resultsFrom: text({
    describe:
      'Take the results that a job of Flink writes to this folder or s3:// prefix, instead of a stream',
    completes: 'folder',
  }),
  detach: flag('With --engine flink: submit the job and exit; it goes on by itself'),
  followReshards: flag('With --engine flink: after a reshard, stop with a savepoint and start again'),
  onError: choice(['keep', 'report'], {
    default: 'keep',
    describe: 'Late and unreadable records: keep as dead letters, or also report with exit code 3',
  }),
  deadLetterLimit: deadLetterLimit('Most dead letters to keep per reason'),
  allowGap: flag('Continue if records expired from the stream before they were read'),
  metrics,
  log,
  json: flag('Print the outcome as one JSON object on stdout, or on stderr with --output -'),
};

export type ProcessArguments = Values<typeof options>;

export const processCommand = command({
  usage: 'process',
  summary: 'Process a stream in event-time windows, exactly once',
  options,
  examples: [
    ['process', 'follow the embedded stream until Ctrl-C'],
    ['process --until-end --drain --output out.ndjson', 'process what is there, then exit'],
  ],
  meant: (word) => (/[.*/]/.test(word) ? `replay ${word}` : `process --stream local:${word}`),
  load: async () => (await import('../handlers/process.ts')).processStream,
});
