import { LONGEST_TIMER } from '../../clock.ts';
import { EXTRA_FIELDS } from '../../events/trip.ts';
import { command } from '../command.ts';
import {
  choice,
  flag,
  MOST_SHARDS,
  milliseconds,
  names,
  speedup,
  text,
  texts,
  time,
  type Values,
  WHY_SHARDS,
  whole,
} from '../options.ts';
import { dataDir, deadLetterLimit, endpointUrl, json, log, metrics, region, stream } from './shared.ts';

const positionals = {
  paths: texts(
    'TLC files (CSV, .gz, .zst, .zip, Parquet), folders, quoted globs, s3:// URLs, or - for stdin  [default: a built-in week]',
    'file',
  ),
};

const options = {
  stream,
  dataDir,
  region,
  endpointUrl,
  signRequest: flag('Sign requests to S3 (--no-sign-request reads public objects without credentials)', true),
  requestPayer: flag('Pay for requests to a requester-pays bucket'),
  shards: whole({
    least: 1,
    most: MOST_SHARDS,
    why: WHY_SHARDS,
    describe: 'Shards of a new embedded stream  [default: 8]',
  }),
  retention: milliseconds({
    least: 1,
    describe:
      'Embedded streams: remove records this long after their arrival, such as 24h  [default: keep all]',
  }),
  aggregate: flag("Kinesis: pack many trips per record, in the Kinesis Producer Library's format"),
  speedup: speedup('1440', 'Event time divided by wall time, or max'),
  seek: time({ describe: 'Skip trips that end before this time' }),
  until: time({ describe: 'Stop at the first trip that ends at this time or later' }),
  limit: whole({
    least: 0,
    describe: 'Send at most this many trips, counted from the first; with --resume too',
  }),
  adaptTime: choice(['original', 'invocation', 'ingestion'], {
    default: 'original',
    describe:
      'Keep times as they are, shift them so that the first trip ends now, or end each trip when it is sent',
  }),
  watermarkInterval: milliseconds({
    least: 1,
    describe: 'Time between watermarks, such as 1s  [default: ten minutes of event time, 200ms to 5s]',
  }),
  watermark: flag('Send watermarks (--no-watermark sends none)', true),
  statisticsFrequency: whole({
    least: 1,
    most: LONGEST_TIMER,
    default: 10_000,
    describe: 'Milliseconds between lines of progress when stderr is not a terminal',
  }),
  assumeSorted: flag('Do not sort: the rows are already in drop-off order'),
  dateOrder: choice(['mdy', 'dmy'], {
    describe: "Order of day and month in dates such as 3/4/2016  [default: inferred from the file's dates]",
  }),
  timeZone: text({
    describe:
      'Read times without a zone as local times, such as America/New_York  [default: as they stand, as UTC]',
  }),
  fields: names(EXTRA_FIELDS, {
    describe: 'Fields that ride along, such as fare,tip, or all',
    suffix: '_amount',
  }),
  onError: choice(['keep', 'report', 'fail'], {
    default: 'keep',
    describe: 'Rejected rows: keep as dead letters, also report with exit code 3, or fail at the first',
  }),
  deadLetterLimit: deadLetterLimit('Most rejected rows to keep per reason'),
  resume: flag('Continue where this replay was interrupted'),
  dryRun: flag('Send nothing; print the number of trips, their span, rates and shards needed'),
  metrics,
  log,
  json,
};

export type ReplayArguments = Values<typeof positionals> & Values<typeof options>;

export const replayCommand = command({
  usage: 'replay [paths..]',
  summary: 'Replay historic trips into a stream in drop-off order, faster than real time',
  positionals,
  options,
  examples: [
    ['replay -speedup 1440', 'the built-in week, a day per minute'],
    ['replay trips.csv', 'into the embedded stream, a day per minute'],
    ['replay -speedup max -stream local:t1 "2016/*.csv.gz"', 'as fast as possible'],
    ['replay s3://bucket/trips/2016', 'every trip file under a prefix on Amazon S3'],
  ],
  load: async () => (await import('../handlers/replay.ts')).replay,
});
