import { command } from '../command.ts';
import { flag, text, type Values } from '../options.ts';
import { dataDir, onlyApp, port } from './shared.ts';

const options = {
  app: onlyApp,
  dataDir,
  port,
  host: text({
    default: '127.0.0.1',
    describe: 'Address to listen on; 0.0.0.0 lets other machines look',
  }),
  open: flag('Open it in a browser'),
  tiles: text({
    describe:
      'Street map under the cells: https://…/{z}/{x}/{y}.png (asks that server; without, no request leaves)',
  }),
  json: flag('Print the address as JSON'),
};

export type DashboardArguments = Values<typeof options>;

export const dashboardCommand = command({
  usage: 'dashboard',
  summary: 'Serve the live page: the city on a map, and how the job is doing',
  options,
  examples: [['$0 dashboard --app demo --open', 'look at what the demo left']],
  load: async () => (await import('../handlers/dashboard.ts')).dashboard,
});
