import { command } from '../command.ts';
import { flag, text, type Values } from '../options.ts';
import { dataDir, log, onlyApp, port } from './shared.ts';

const options = {
  app: onlyApp,
  dataDir,
  port,
  host: text({
    default: '127.0.0.1',
    describe: 'Address to listen on; 0.0.0.0 lets other machines connect',
  }),
  export: text({
    describe: 'Write the page with all results into this file, which needs no server, and serve nothing',
    completes: 'file',
  }),
  open: flag('Open the page in a browser'),
  tiles: text({
    describe:
      'Street map under the cells: https://…/{z}/{x}/{y}.png; without it, the page contacts no other server',
  }),
  log,
  json: flag('Print the address, or what was exported, as JSON'),
};

export type DashboardArguments = Values<typeof options>;

export const dashboardCommand = command({
  usage: 'dashboard',
  summary: 'Serve the live page: results on a map of the city, and the state of the job',
  options,
  examples: [
    ['dashboard --app demo --open', 'look at the results of the demo'],
    ['dashboard --app demo --export demo.html', 'a file to send, which opens from disk'],
  ],
  meant: (word) => `dashboard --app ${word}`,
  load: async () => (await import('../handlers/dashboard.ts')).dashboard,
});
