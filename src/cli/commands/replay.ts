import { LONGEST_TIMER } from '../../clock.ts';
import { command } from '../command.ts';
import {
  choice,
  flag,
  MOST_SHARDS,
  milliseconds,
  speedup,
  texts,
  time,
  type Values,
  whole,
} from '../options.ts';
import { dataDir, deadLetterLimit, endpointUrl, json, region, stream } from './shared.ts';

const positionals = {
  paths: texts(
    'TLC files (CSV, .gz, .zst, .zip, Parquet), folders, quoted globs, s3:// URLs, or - for stdin  [default: a built-in week]',
  ),
};

const options = {
  stream,
  dataDir,
  region,
  endpointUrl,
  signRequest: flag('Sign requests to S3 (--no-sign-request: public objects, without credentials)', true),
  requestPayer: flag('Pay for what is read of a requester-pays bucket'),
  shards: whole({
    least: 1,
    most: MOST_SHARDS,
    describe: 'Shards of an embedded stream that is made  [default: 8]',
  }),
  aggregate: flag("Kinesis: many trips per record, in the Kinesis Producer Library's format"),
  speedup: speedup('1440', 'Event time over wall time, or max'),
  seek: time({ describe: 'Skip trips that end before this time' }),
  until: time({ describe: 'Stop at the first trip that ends at this time or later' }),
  limit: whole({ least: 0, describe: 'Send this many trips at most' }),
  adaptTime: choice(['original', 'invocation', 'ingestion'], {
    default: 'original',
    describe: 'Times as they are, moved so that the first trip ends now, or each trip ends when it is sent',
  }),
  watermarkInterval: milliseconds({
    least: 1,
    describe: 'Time between watermarks, such as 1s  [default: ten minutes of event time, 200ms to 5s]',
  }),
  watermark: flag("Send watermarks (--no-watermark: don't)", true),
  statisticsFrequency: whole({
    least: 1,
    most: LONGEST_TIMER,
    default: 10_000,
    describe: 'Ms between lines of progress, where stderr is not a terminal',
  }),
  assumeSorted: flag('Stream rows that are in drop-off order already'),
  dateOrder: choice(['mdy', 'dmy'], {
    describe: "Order of day and month in dates such as 3/4/2016  [default: by the file's own dates]",
  }),
  onError: choice(['keep', 'report', 'fail'], {
    default: 'keep',
    describe: 'Rejected rows: keep as dead letters, report with exit code 3 too, or fail at the first',
  }),
  deadLetterLimit: deadLetterLimit('Rejected rows kept per reason'),
  resume: flag('Go on where this replay was interrupted'),
  dryRun: flag('Read everything, send nothing: trips, span, rates, shards needed'),
  json,
};

export type ReplayArguments = Values<typeof positionals> & Values<typeof options>;

export const replayCommand = command({
  usage: 'replay [paths..]',
  summary: 'Replay historic trips into a stream, in drop-off order, at a speedup',
  positionals,
  options,
  examples: [
    ['$0 replay -speedup 1440', 'the built-in week, a day a minute'],
    ['$0 replay trips.csv', 'a day a minute into the embedded stream'],
    ['$0 replay -speedup max -stream local:t1 "2016/*.csv.gz"', 'as fast as it goes'],
    ['$0 replay s3://bucket/trips/2016', 'every trip file under a prefix, from Amazon S3'],
  ],
  load: async () => (await import('../handlers/replay.ts')).replay,
});
