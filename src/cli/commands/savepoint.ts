import { command, type Example, group } from '../command.ts';
import { text, type Values } from '../options.ts';
import { dataDir, endpointUrl, json, onlyApp, region } from './shared.ts';

const bucket = { region, endpointUrl };
const savepoint = text({ required: true, describe: 'File or s3:// URL of the savepoint', completes: 'file' });

const createOptions = {
  dataDir,
  app: onlyApp,
  to: text({
    describe:
      'File, folder (existing, or with / at its end) or s3:// URL  [default: savepoints in the data folder]',
    completes: 'file',
  }),
  ...bucket,
  json,
};
export type CreateArguments = Values<typeof createOptions>;

const create = command({
  usage: 'create',
  summary: 'Copy the state of a processor, which may be running',
  options: createOptions,
  examples: [
    ['savepoint create', 'the only processor there is'],
    ['savepoint create --app job --to s3://bucket/savepoints/ --region us-east-1', 'into a bucket'],
  ],
  load: async () => (await import('../handlers/savepoint.ts')).create,
});

const listPositionals = {
  place: text({
    describe: 'Folder or s3:// prefix  [default: savepoints in the data folder]',
    completes: 'file',
  }),
};
const listOptions = { dataDir, ...bucket, json };
export type ListArguments = Values<typeof listPositionals & typeof listOptions>;

const list = command({
  usage: 'list [place]',
  summary: 'List savepoints',
  positionals: listPositionals,
  options: listOptions,
  examples: [['savepoint list', 'those in the data folder']],
  load: async () => (await import('../handlers/savepoint.ts')).list,
});

const onePositionals = { savepoint };
const oneOptions = { ...bucket, json };
export type OneArguments = Values<typeof onePositionals & typeof oneOptions>;

const inspect = command({
  usage: 'inspect <savepoint>',
  summary: 'Show what a savepoint holds',
  positionals: onePositionals,
  options: oneOptions,
  examples: [['savepoint inspect job.savepoint', 'positions, windows, results, sizes']],
  load: async () => (await import('../handlers/savepoint.ts')).inspect,
});

const verify = command({
  usage: 'verify <savepoint>',
  summary: 'Check a savepoint, row by row',
  positionals: onePositionals,
  options: oneOptions,
  examples: [['savepoint verify job.savepoint', 'exit code 0 if it can be restored']],
  load: async () => (await import('../handlers/savepoint.ts')).verify,
});

const diffPositionals = {
  before: text({ required: true, describe: 'A savepoint', completes: 'file' }),
  after: text({ required: true, describe: 'A later one', completes: 'file' }),
};
export type DiffArguments = Values<typeof diffPositionals & typeof oneOptions>;

const diff = command({
  usage: 'diff <before> <after>',
  summary: 'Show what moved, appeared and went between two savepoints',
  positionals: diffPositionals,
  options: oneOptions,
  examples: [['savepoint diff monday.savepoint tuesday.savepoint', 'by shard, view and window']],
  load: async () => (await import('../handlers/savepoint.ts')).diff,
});

const restoreOptions = {
  dataDir,
  app: text({ required: true, describe: 'Name of the new processor' }),
  ...bucket,
  json,
};
export type RestoreArguments = Values<typeof onePositionals & typeof restoreOptions>;

const restore = command({
  usage: 'restore <savepoint>',
  summary: 'Make a new processor of a savepoint',
  positionals: onePositionals,
  options: restoreOptions,
  examples: [['savepoint restore job.savepoint --app job2', 'then: process --app job2']],
  load: async () => (await import('../handlers/savepoint.ts')).restore,
});

const remove = command({
  usage: 'delete <savepoint>',
  summary: 'Delete a savepoint',
  positionals: onePositionals,
  options: oneOptions,
  examples: [['savepoint delete job.savepoint', 'a file; anything else is refused']],
  load: async () => (await import('../handlers/savepoint.ts')).remove,
});

const EXAMPLES: readonly Example[] = [
  ['savepoint create', 'copy the state of the processor'],
  ['savepoint list', 'list the copies'],
  ['savepoint restore FILE --app job2', 'make a new processor of one'],
];

export const savepointCommand = group('savepoint', 'Copy, look into, compare and restore states', EXAMPLES, [
  create,
  list,
  inspect,
  diff,
  verify,
  restore,
  remove,
]);
