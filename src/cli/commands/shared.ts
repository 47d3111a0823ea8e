/** Options that several commands have. */
import { DEFAULT_DATA_DIR } from '../../streams/target.ts';
import { choice, flag, port as listenPort, optionalText, text, whole } from '../options.ts';

export const json = flag('Print the outcome as one JSON object on stdout');
export const dataDir = text({
  default: DEFAULT_DATA_DIR,
  describe: 'Folder of embedded streams, states and results',
});
export const stream = optionalText(
  'local:NAME is an embedded stream; NAME, kinesis:NAME or an ARN is Amazon Kinesis  [default: local:taxi-trip-events]',
);
export const region = text({ describe: 'AWS region' });
export const endpointUrl = text({ describe: "AWS endpoint, for an emulator  [default: Amazon's own]" });
export const app = text({ describe: "Name of the processor's state  [default: the name of the stream]" });
export const onlyApp = text({
  describe: "Name of the processor's state  [default: the only one, or that of the default stream]",
});
export const streamName = text({
  describe: 'Stream, as for --stream  [default: local:taxi-trip-events]',
});
export const format = choice(['table', 'ndjson', 'csv'], {
  describe: 'How to print  [default: table on a terminal, else ndjson]',
});
export const port = listenPort({
  default: 8080,
  describe: 'Port of the live page, or the next free one; 0 for any',
});
export const deadLetterLimit = (describe: string) => whole({ least: 0, default: 100_000, describe });
export const indexPrefix = text({
  default: '',
  describe: 'What the names of indices begin with, for instance nyc-',
});
export const views = text({ describe: 'Module with views of your own (.js, .mjs or .json)' });

/** How to speak to OpenSearch; name and password come from the environment alone. */
export const openSearchAccess = {
  awsSigv4: flag('Sign requests to OpenSearch, for Amazon OpenSearch Service and Serverless'),
  ca: text({ describe: 'PEM file of the certificates to trust for https' }),
  insecure: flag('Trust whatever server answers https'),
};
