import { command } from '../command.ts';
import { flag, speedup, text, texts, type Values } from '../options.ts';
import {
  app,
  endpointUrl,
  indexPrefix,
  json,
  openSearchAccess,
  region,
  stream,
  uncheckedDataDir,
} from './shared.ts';

const positionals = {
  paths: texts('Trip files to replay; their rate is compared with the capacity of the stream', 'file'),
};

const options = {
  stream,
  dataDir: uncheckedDataDir,
  region,
  endpointUrl,
  app,
  speedup: speedup('1440', 'Speedup of the replay: event time divided by wall time, or max'),
  aggregate: flag('Assume a replay with --aggregate, which packs many trips per record'),
  opensearch: text({ describe: 'URL of the OpenSearch or Elasticsearch that will receive the results' }),
  indexPrefix,
  ...openSearchAccess,
  json,
};

export type DoctorArguments = Values<typeof positionals> & Values<typeof options>;

export const doctorCommand = command({
  usage: 'doctor [paths..]',
  summary: 'Check what a run needs, and say how to fix what is missing',
  positionals,
  options,
  examples: [
    ['doctor', 'check this machine and the embedded stream'],
    ['doctor trips.csv --stream NAME --region REGION', 'can this Kinesis stream take these trips?'],
  ],
  load: async () => (await import('../handlers/doctor.ts')).doctor,
});
