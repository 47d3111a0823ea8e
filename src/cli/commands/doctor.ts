import { command } from '../command.ts';
import { flag, speedup, text, texts, type Values } from '../options.ts';
import { app, dataDir, endpointUrl, indexPrefix, json, openSearchAccess, region, stream } from './shared.ts';

const positionals = {
  paths: texts('Trip files to replay: their rate against the shards of the stream'),
};

const options = {
  stream,
  dataDir,
  region,
  endpointUrl,
  app,
  speedup: speedup('1440', 'Event time over wall time of the replay, or max'),
  aggregate: flag('The replay would pack many trips per record'),
  opensearch: text({ describe: 'OpenSearch or Elasticsearch that results would go to' }),
  indexPrefix,
  ...openSearchAccess,
  json,
};

export type DoctorArguments = Values<typeof positionals> & Values<typeof options>;

export const doctorCommand = command({
  usage: 'doctor [paths..]',
  summary: 'Check what a run would need, and say what to do about it',
  positionals,
  options,
  examples: [
    ['$0 doctor', 'this machine and the embedded stream'],
    ['$0 doctor trips.csv --stream NAME --region REGION', 'would Amazon Kinesis take these trips?'],
  ],
  load: async () => (await import('../handlers/doctor.ts')).doctor,
});
