import { command, group } from '../command.ts';
import { text, type Values } from '../options.ts';
import { dataDir, json, onlyApp } from './shared.ts';

const options = { dataDir, app: onlyApp, json };
export type CompactArguments = Values<typeof options>;

const compact = command({
  usage: 'compact',
  summary: 'Give the space of removed results and windows back to the disk',
  options,
  examples: [['state compact --app job', 'of a processor that is stopped']],
  load: async () => (await import('../handlers/state.ts')).compact,
});

const forgetPositionals = {
  sink: text({
    required: true,
    describe: 'A sink as `status` names it, in quotes if there is a space in it',
  }),
};
export type ForgetArguments = Values<typeof forgetPositionals & typeof options>;

const forget = command({
  usage: 'forget <sink>',
  summary: 'Give a sink up, so that results need not be kept for it',
  positionals: forgetPositionals,
  options,
  examples: [['state forget ndjson:/data/out.ndjson --app job', 'a file that is not written any more']],
  load: async () => (await import('../handlers/state.ts')).forget,
});

export const stateCommand = group(
  'state',
  'Look after the states of processors',
  [['state compact', 'make the file of a state smaller']],
  [compact, forget],
);
