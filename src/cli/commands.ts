/** Every command and option, as data. Nothing heavy is imported here: `--help` loads neither SDK nor SQLite. */
import type { Options, PositionalOptions } from 'yargs';
import type { CommandSpec } from './command.ts';

const json: Options = {
  type: 'boolean',
  default: false,
  describe: 'Print the outcome as one JSON object on stdout',
};
const dataDir: Options = {
  type: 'string',
  default: '.taxiflow',
  requiresArg: true,
  describe: 'Folder of embedded streams, states and results',
};
const stream: Options = {
  type: 'string',
  describe:
    'local:NAME is an embedded stream; NAME, kinesis:NAME or an ARN is Amazon Kinesis  [default: local:taxi-trip-events]',
};
const endpointUrl: Options = {
  type: 'string',
  requiresArg: true,
  describe: "AWS endpoint, for an emulator  [default: Amazon's own]",
};
const region: Options = { type: 'string', requiresArg: true, describe: 'AWS region' };
const app: Options = {
  type: 'string',
  requiresArg: true,
  describe: "Name of the processor's state  [default: the name of the stream]",
};
const onlyApp: Options = {
  ...app,
  describe: "Name of the processor's state  [default: the only one, or that of the default stream]",
};
const target: Record<string, PositionalOptions> = {
  name: { type: 'string', describe: 'Stream, as for --stream  [default: local:taxi-trip-events]' },
};
const format: Options = {
  choices: ['table', 'ndjson', 'csv'],
  describe: 'How to print  [default: table on a terminal, else ndjson]',
};

const port: Options = {
  type: 'number',
  default: 8080,
  requiresArg: true,
  describe: 'Port of the live page, or the next free one',
};
/** How to speak to OpenSearch; name and password come from the environment alone. */
const openSearchAccess: Record<string, Options> = {
  'aws-sigv4': {
    type: 'boolean',
    default: false,
    describe: 'Sign requests to OpenSearch, for Amazon OpenSearch Service and Serverless',
  },
  ca: { type: 'string', requiresArg: true, describe: 'PEM file of the certificates to trust for https' },
  insecure: { type: 'boolean', default: false, describe: 'Trust whatever server answers https' },
};

const replay: CommandSpec = {
  usage: 'replay [paths..]',
  summary: 'Replay historic trips into a stream, in drop-off order, at a speedup',
  positionals: {
    paths: {
      type: 'string',
      array: true,
      describe:
        'TLC files (CSV, .gz, .zst, .zip, Parquet), folders, quoted globs, s3:// URLs, or - for stdin',
    },
  },
  options: {
    stream,
    'data-dir': dataDir,
    region,
    'endpoint-url': endpointUrl,
    'sign-request': {
      type: 'boolean',
      default: true,
      describe: 'Sign requests to S3 (--no-sign-request: public objects, without credentials)',
    },
    'request-payer': {
      type: 'boolean',
      default: false,
      describe: 'Pay for what is read of a requester-pays bucket',
    },
    shards: {
      type: 'number',
      requiresArg: true,
      describe: 'Shards of an embedded stream that is made  [default: 8]',
    },
    aggregate: {
      type: 'boolean',
      default: false,
      describe: "Kinesis: many trips a record, in the Kinesis Producer Library's format",
    },
    speedup: {
      type: 'string',
      default: '1440',
      requiresArg: true,
      describe: 'Event time over wall time, or max',
    },
    seek: { type: 'string', requiresArg: true, describe: 'Skip trips that end before this time' },
    until: {
      type: 'string',
      requiresArg: true,
      describe: 'Stop at the first trip that ends at this time or later',
    },
    limit: { type: 'number', requiresArg: true, describe: 'Send this many trips at most' },
    'adapt-time': {
      choices: ['original', 'invocation', 'ingestion'],
      default: 'original',
      describe:
        'Times as they are, moved so that the first trip (strays apart) ends now, or each trip ends when it is sent',
    },
    watermark: { type: 'boolean', default: true, describe: "Send watermarks (--no-watermark: don't)" },
    'statistics-frequency': {
      type: 'number',
      default: 60_000,
      requiresArg: true,
      describe: 'Ms between lines of statistics',
    },
    'assume-sorted': {
      type: 'boolean',
      default: false,
      describe: 'Stream rows that are in drop-off order already',
    },
    'date-order': {
      choices: ['mdy', 'dmy'],
      requiresArg: true,
      describe: "Order of day and month in dates such as 3/4/2016  [default: by the file's own dates]",
    },
    'on-error': {
      choices: ['keep', 'report', 'fail'],
      default: 'keep',
      describe: 'Rejected rows: keep as dead letters, report with exit code 3 too, or fail at the first',
    },
    'dead-letter-limit': {
      type: 'number',
      default: 100_000,
      requiresArg: true,
      describe: 'Rejected rows kept a reason',
    },
    resume: { type: 'boolean', default: false, describe: 'Go on where this replay was interrupted' },
    'dry-run': {
      type: 'boolean',
      default: false,
      describe: 'Read everything, send nothing: trips, span, rates, shards needed',
    },
    json,
  },
  examples: [
    ['$0 replay trips.csv', 'a day a minute into the embedded stream'],
    ['$0 replay -speedup max -stream local:t1 "2016/*.csv.gz"', 'as fast as it goes'],
    ['$0 replay s3://bucket/trips/2016', 'every trip file under a prefix, from Amazon S3'],
  ],
  load: async () => (await import('./commands/replay.ts')).replay,
};

const processCommand: CommandSpec = {
  usage: 'process',
  summary: 'Process a stream in event-time windows, exactly once',
  options: {
    stream,
    'data-dir': dataDir,
    region,
    'endpoint-url': endpointUrl,
    app,
    consumer: {
      choices: ['polling', 'efo'],
      default: 'polling',
      describe: 'Kinesis: share 2 MB/s a shard with others, or enhanced fan-out, which costs extra',
    },
    views: {
      type: 'string',
      requiresArg: true,
      describe: 'Module with views of your own (.js, .mjs or .json)',
    },
    window: {
      type: 'string',
      requiresArg: true,
      describe: 'Window of the default views, for instance 1h  [default: 10m]',
    },
    explain: { type: 'boolean', default: false, describe: 'Print the plan and exit' },
    from: {
      type: 'string',
      default: 'trim-horizon',
      requiresArg: true,
      describe: 'Where a new state begins: trim-horizon, latest or a time',
    },
    'until-end': {
      type: 'boolean',
      default: false,
      describe: 'Stop when everything that is there now has been read',
    },
    drain: { type: 'boolean', default: false, describe: 'At the end, let the open windows fire too' },
    'event-time': { choices: ['dropoff', 'arrival'], default: 'dropoff', describe: 'The time windows go by' },
    'max-disorder': {
      type: 'string',
      requiresArg: true,
      describe: 'Watermark = newest drop-off minus this, for streams without watermark records',
    },
    'allowed-lateness': {
      type: 'string',
      default: '0',
      requiresArg: true,
      describe: 'How long after its end a window is still corrected',
    },
    'checkpoint-interval': {
      type: 'string',
      default: '1s',
      requiresArg: true,
      describe: 'Time between checkpoints',
    },
    output: { type: 'string', requiresArg: true, describe: 'Results as NDJSON to a file, or - for stdout' },
    opensearch: {
      type: 'string',
      requiresArg: true,
      describe: 'Results to OpenSearch or Elasticsearch at this URL',
    },
    'index-prefix': {
      type: 'string',
      default: '',
      requiresArg: true,
      describe: 'Index names begin with this',
    },
    resend: {
      type: 'boolean',
      default: false,
      describe: 'Send all results to OpenSearch again, whatever was delivered',
    },
    ...openSearchAccess,
    dashboard: { type: 'boolean', default: false, describe: 'Serve the live page of this run' },
    port,
    'on-error': {
      choices: ['keep', 'report'],
      default: 'keep',
      describe: 'Late and unreadable records: keep as dead letters, or report with exit code 3 too',
    },
    'dead-letter-limit': {
      type: 'number',
      default: 100_000,
      requiresArg: true,
      describe: 'Dead letters kept a reason',
    },
    'allow-gap': {
      type: 'boolean',
      default: false,
      describe: 'Go on when records fell out of the stream before they were read',
    },
    json,
  },
  examples: [
    ['$0 process', 'follow the embedded stream until Ctrl-C'],
    ['$0 process --until-end --drain --output out.ndjson', 'all results of what is there, then exit'],
  ],
  load: async () => (await import('./commands/process.ts')).process,
};

const streamCommand: CommandSpec = {
  usage: 'stream',
  summary: 'Make, look at and reshard streams',
  options: {},
  commands: [
    {
      usage: 'create [name]',
      summary: 'Make a stream',
      positionals: target,
      options: {
        'data-dir': dataDir,
        region,
        'endpoint-url': endpointUrl,
        shards: { type: 'number', requiresArg: true, describe: 'Number of shards  [default: 8]' },
        'on-demand': { type: 'boolean', default: false, describe: 'Kinesis: as many shards as it takes' },
        json,
      },
      load: async () => (await import('./commands/stream.ts')).create,
    },
    {
      usage: 'describe [name]',
      summary: 'Show the shards of a stream',
      positionals: target,
      options: { 'data-dir': dataDir, region, 'endpoint-url': endpointUrl, json },
      load: async () => (await import('./commands/stream.ts')).describe,
    },
    {
      usage: 'split <shard> [name]',
      summary: 'Split a shard in two',
      positionals: {
        shard: { type: 'string', demandOption: true, describe: 'Id of an open shard, or its number' },
        ...target,
      },
      options: {
        'data-dir': dataDir,
        region,
        'endpoint-url': endpointUrl,
        at: {
          type: 'string',
          requiresArg: true,
          describe: 'First hash key of the second half  [default: the middle]',
        },
        json,
      },
      load: async () => (await import('./commands/stream.ts')).split,
    },
    {
      usage: 'merge <shard> <other> [name]',
      summary: 'Merge two neighbouring shards',
      positionals: {
        shard: { type: 'string', demandOption: true, describe: 'Id of an open shard, or its number' },
        other: { type: 'string', demandOption: true, describe: 'Its neighbour' },
        ...target,
      },
      options: { 'data-dir': dataDir, region, 'endpoint-url': endpointUrl, json },
      load: async () => (await import('./commands/stream.ts')).merge,
    },
    {
      usage: 'reshard [name]',
      summary: 'Bring a stream to a number of even shards',
      positionals: target,
      options: {
        'data-dir': dataDir,
        region,
        'endpoint-url': endpointUrl,
        shards: { type: 'number', demandOption: true, requiresArg: true, describe: 'Number of open shards' },
        json,
      },
      load: async () => (await import('./commands/stream.ts')).reshard,
    },
    {
      usage: 'trim [name]',
      summary: 'Forget the oldest records',
      positionals: target,
      options: {
        'data-dir': dataDir,
        region,
        'endpoint-url': endpointUrl,
        before: {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'Records that arrived before this time; now for all',
        },
        shard: { type: 'string', requiresArg: true, describe: 'Only of this shard' },
        json,
      },
      load: async () => (await import('./commands/stream.ts')).trim,
    },
    {
      usage: 'delete <name>',
      summary: 'Remove a stream with all its records',
      // Nothing is taken away by default.
      positionals: { name: { type: 'string', demandOption: true, describe: 'Stream, as for --stream' } },
      options: { 'data-dir': dataDir, region, 'endpoint-url': endpointUrl, json },
      load: async () => (await import('./commands/stream.ts')).remove,
    },
  ],
};

const esSetup: CommandSpec = {
  usage: 'es-setup',
  summary: 'Prepare OpenSearch for the results: index templates, aliases and a dashboard',
  options: {
    endpoint: {
      type: 'string',
      default: 'http://localhost:9200',
      requiresArg: true,
      describe: 'URL of OpenSearch',
    },
    dashboards: {
      type: 'string',
      requiresArg: true,
      describe: 'URL of OpenSearch Dashboards; without it, the dashboard is left out',
    },
    'index-prefix': {
      type: 'string',
      default: '',
      requiresArg: true,
      describe: 'What the names of indices begin with, for instance nyc-',
    },
    views: {
      type: 'string',
      requiresArg: true,
      describe: 'Module with views of your own (.js, .mjs or .json), as for process',
    },
    check: {
      type: 'boolean',
      default: false,
      describe: 'Only say what differs; exit code 3 if something does',
    },
    'dry-run': { type: 'boolean', default: false, describe: 'Only print what would be sent, as JSON lines' },
    wait: {
      type: 'string',
      describe: 'Wait for a cluster that is starting, for instance 5m  [2m without a time]',
    },
    delete: { type: 'boolean', default: false, describe: 'Take everything away again, but no documents' },
    'with-data': { type: 'boolean', default: false, describe: 'With --delete: indices with documents too' },
    ...openSearchAccess,
    region,
    json,
  },
  examples: [
    ['$0 es-setup --dashboards http://localhost:5601', 'everything, on this machine'],
    ['$0 es-setup --check', 'does the cluster still have what it should?'],
  ],
  load: async () => (await import('./commands/es-setup.ts')).esSetup,
};

const results: CommandSpec = {
  usage: 'results',
  summary: 'Print results',
  options: {
    app: onlyApp,
    'data-dir': dataDir,
    view: { type: 'string', requiresArg: true, describe: 'Only of this view' },
    since: { type: 'string', requiresArg: true, describe: 'Only windows that start at this time or later' },
    format,
    json: { ...json, describe: 'All results as one JSON array' },
  },
  load: async () => (await import('./commands/results.ts')).results,
};

const deadLetters: CommandSpec = {
  usage: 'dead-letters',
  summary: 'List what was refused, why and from where',
  options: {
    app: {
      ...app,
      describe: 'Only of this processor  [default: of all, and rows that replays refused]',
    },
    'data-dir': dataDir,
    reason: { type: 'string', requiresArg: true, describe: 'Only with this reason' },
    format,
    output: { type: 'string', requiresArg: true, describe: 'Export to a file' },
    json: { ...json, describe: 'Counts and letters as one JSON object' },
  },
  load: async () => (await import('./commands/dead-letters.ts')).deadLetters,
};

const generate: CommandSpec = {
  usage: 'generate',
  summary: 'Generate realistic trips in the form of TLC files',
  options: {
    trips: { type: 'number', default: 100_000, requiresArg: true, describe: 'Number of rows' },
    from: { type: 'string', default: '2016-01-11', requiresArg: true, describe: 'First pick-up time' },
    hours: { type: 'number', default: 24, requiresArg: true, describe: 'Span of the pick-ups' },
    seed: { type: 'number', default: 1, requiresArg: true, describe: 'The same seed gives the same file' },
    schema: {
      type: 'string',
      default: 'yellow-2015',
      requiresArg: true,
      describe:
        'Layout of the file: yellow-2009, -2010, -2014, -2015 (2015–16, coordinates) or -2017 (zones), green-2013, -2015 or -2017',
    },
    dirty: {
      type: 'number',
      default: 0,
      requiresArg: true,
      describe: 'Ratio of rows with the dirt of real files, 0 to 1',
    },
    out: {
      type: 'string',
      default: '-',
      requiresArg: true,
      describe: 'File (.gz is compressed), or - for stdout',
    },
    json,
  },
  load: async () => (await import('./commands/generate.ts')).generate,
};

const status: CommandSpec = {
  usage: 'status',
  summary: 'How a processor is doing: positions, watermark, checkpoints, sinks',
  options: {
    app: onlyApp,
    'data-dir': dataDir,
    watch: { type: 'boolean', default: false, describe: 'Look every second until Ctrl-C' },
    json,
  },
  load: async () => (await import('./commands/status.ts')).status,
};

const dashboard: CommandSpec = {
  usage: 'dashboard',
  summary: 'Serve the live page: the city on a map, and how the job is doing',
  options: {
    app: onlyApp,
    'data-dir': dataDir,
    port,
    host: {
      type: 'string',
      default: '127.0.0.1',
      requiresArg: true,
      describe: 'Address to listen on; 0.0.0.0 lets other machines look',
    },
    open: { type: 'boolean', default: false, describe: 'Open it in a browser' },
    tiles: {
      type: 'string',
      requiresArg: true,
      describe:
        'Street map under the cells: https://…/{z}/{x}/{y}.png (asks that server; without, no request leaves)',
    },
    json: { ...json, describe: 'Print the address as JSON' },
  },
  examples: [['$0 dashboard --app demo --open', 'look at what the demo left']],
  load: async () => (await import('./commands/dashboard.ts')).dashboard,
};

const demo: CommandSpec = {
  usage: 'demo',
  summary: 'See it work: a day of generated trips, replayed and processed at once',
  options: {
    'data-dir': dataDir,
    trips: { type: 'number', default: 200_000, requiresArg: true, describe: 'Trips of the day' },
    seed: { type: 'number', default: 1, requiresArg: true, describe: 'The same seed gives the same day' },
    speedup: {
      type: 'string',
      default: '2880',
      requiresArg: true,
      describe: 'Event time over wall time, or max',
    },
    port,
    open: { type: 'boolean', default: false, describe: 'Open the live page in a browser' },
    exit: { type: 'boolean', default: false, describe: 'End when the day is over, on a terminal too' },
    json,
  },
  load: async () => (await import('./commands/demo.ts')).demo,
};

const doctor: CommandSpec = {
  usage: 'doctor [paths..]',
  summary: 'Check what a run would need, and say what to do about it',
  positionals: {
    paths: {
      type: 'string',
      array: true,
      describe: 'Trip files to replay: their rate against the shards of the stream',
    },
  },
  options: {
    stream,
    'data-dir': dataDir,
    region,
    'endpoint-url': endpointUrl,
    app,
    speedup: {
      type: 'string',
      default: '1440',
      requiresArg: true,
      describe: 'Event time over wall time of the replay, or max',
    },
    aggregate: { type: 'boolean', default: false, describe: 'The replay would pack many trips a record' },
    opensearch: {
      type: 'string',
      requiresArg: true,
      describe: 'OpenSearch or Elasticsearch that results would go to',
    },
    'index-prefix': {
      type: 'string',
      default: '',
      requiresArg: true,
      describe: 'Index names begin with this',
    },
    ...openSearchAccess,
    json,
  },
  examples: [
    ['$0 doctor', 'this machine and the embedded stream'],
    ['$0 doctor trips.csv --stream NAME --region REGION', 'would Amazon Kinesis take these trips?'],
  ],
  load: async () => (await import('./commands/doctor.ts')).doctor,
};

export const COMMANDS: readonly CommandSpec[] = [
  replay,
  processCommand,
  results,
  status,
  dashboard,
  deadLetters,
  streamCommand,
  esSetup,
  doctor,
  generate,
  demo,
];
