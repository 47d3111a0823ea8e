/** Options that several commands share. */
import { DEFAULT_DATA_DIR } from '../../streams/connectors.ts';
import { choice, flag, folder, port as listenPort, optionalText, text, whole } from '../options.ts';

export const json = flag('Print the outcome as one JSON object on stdout');
const aboutDataDir = {
  default: DEFAULT_DATA_DIR,
  describe: 'Folder for embedded streams, state and results',
};
export const dataDir = folder(aboutDataDir);
/** For `doctor`, which reports a wrong folder as one of its checks. */
export const uncheckedDataDir = text({ ...aboutDataDir, completes: 'folder' });
export const stream = optionalText(
  'local:NAME is an embedded stream; NAME, kinesis:NAME or an ARN is Amazon Kinesis  [default: local:taxi-trip-events]',
  'stream',
);
export const log = choice(['text', 'json'], {
  default: 'text',
  describe: 'Messages on stderr: text, or one JSON event a line',
});
export const metrics = choice(['emf'], {
  describe: "Print figures on stdout every 10 s, in CloudWatch's embedded metric format",
});
export const region = text({ describe: 'AWS region' });
export const endpointUrl = text({ describe: "AWS endpoint, for an emulator  [default: Amazon's]" });
export const app = text({
  describe: 'Name of the processor, which names its state  [default: the name of the stream]',
  completes: 'app',
});
export const onlyApp = text({
  describe: 'Name of the processor  [default: the only one, or that of the default stream]',
  completes: 'app',
});
export const streamName = text({
  describe: 'Stream, as for --stream  [default: local:taxi-trip-events]',
  completes: 'stream',
});
export const format = choice(['table', 'ndjson', 'csv'], {
  describe: 'Output format  [default: table on a terminal, else ndjson]',
});
export const port = listenPort({
  default: 8080,
  describe: 'Port of the live page, or the next free one; 0 picks any free port',
});
export const deadLetterLimit = (describe: string) => whole({ least: 0, default: 100_000, describe });
export const indexPrefix = text({
  default: '',
  describe: 'Prefix of index names, for example nyc-',
});
export const views = text({
  describe: 'File with your own views (.sql, .js, .mjs or .json)',
  completes: 'file',
});

/** How to connect to OpenSearch. User name and password come only from the environment. */
export const openSearchAccess = {
  awsSigv4: flag('Sign requests to OpenSearch, for Amazon OpenSearch Service and Serverless'),
  ca: text({ describe: 'PEM file with the certificates to trust for https', completes: 'file' }),
  insecure: flag('Do not verify the server certificate for https'),
};
