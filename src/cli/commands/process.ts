import { command } from '../command.ts';
import { choice, flag, milliseconds, text, type Values } from '../options.ts';
import {
  app,
  dataDir,
  deadLetterLimit,
  endpointUrl,
  indexPrefix,
  json,
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
    describe: 'Kinesis: share 2 MB/s a shard with others, or enhanced fan-out, which costs extra',
  }),
  views,
  window: milliseconds({ describe: 'Window of the default views, for instance 1h  [default: 10m]' }),
  explain: flag('Print the plan and exit'),
  from: text({
    default: 'trim-horizon',
    describe: 'Where a new state begins: trim-horizon, latest or a time',
  }),
  untilEnd: flag('Stop when everything that is there now has been read'),
  drain: flag('At the end, let the open windows fire too'),
  eventTime: choice(['dropoff', 'arrival'], { default: 'dropoff', describe: 'The time windows go by' }),
  maxDisorder: milliseconds({
    describe: 'Watermark = newest drop-off minus this, for streams without watermark records',
  }),
  allowedLateness: milliseconds({
    default: '0',
    describe: 'How long after its end a window is still corrected',
  }),
  checkpointInterval: milliseconds({ default: '1s', describe: 'Time between checkpoints' }),
  output: text({ describe: 'Results as NDJSON to a file, or - for stdout' }),
  opensearch: text({ describe: 'Results to OpenSearch or Elasticsearch at this URL' }),
  indexPrefix,
  resend: flag('Send all results to OpenSearch again, whatever was delivered'),
  ...openSearchAccess,
  dashboard: flag('Serve the live page of this run'),
  port,
  onError: choice(['keep', 'report'], {
    default: 'keep',
    describe: 'Late and unreadable records: keep as dead letters, or report with exit code 3 too',
  }),
  deadLetterLimit: deadLetterLimit('Dead letters kept per reason'),
  allowGap: flag('Go on when records fell out of the stream before they were read'),
  json,
};

export type ProcessArguments = Values<typeof options>;

export const processCommand = command({
  usage: 'process',
  summary: 'Process a stream in event-time windows, exactly once',
  options,
  examples: [
    ['$0 process', 'follow the embedded stream until Ctrl-C'],
    ['$0 process --until-end --drain --output out.ndjson', 'all results of what is there, then exit'],
  ],
  load: async () => (await import('../handlers/process.ts')).processStream,
});
