import { command } from '../command.ts';
import type { Values } from '../options.ts';
import { dataDir, json } from './shared.ts';

const options = { dataDir, json };

export type AppsArguments = Values<typeof options>;

export const appsCommand = command({
  usage: 'apps',
  summary: 'List the processors there are, and how far each is',
  options,
  examples: [['apps', 'all that ran here']],
  meant: (word) => `status --app ${word}`,
  load: async () => (await import('../handlers/apps.ts')).apps,
});
