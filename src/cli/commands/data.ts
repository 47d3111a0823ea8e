import { command, group } from '../command.ts';
import type { Values } from '../options.ts';
import { json } from './shared.ts';

const listOptions = { json };
export type DataListArguments = Values<typeof listOptions>;

const list = command({
  usage: 'list',
  summary: "Show the built-in trips, and where the TLC's monthly files are",
  options: listOptions,
  examples: [['data list', 'kinds of files, their months, layouts and addresses; nothing is downloaded']],
  load: async () => (await import('../handlers/data.ts')).list,
});

export const dataCommand = group('data', 'Find trips to replay', list.examples, [list]);
