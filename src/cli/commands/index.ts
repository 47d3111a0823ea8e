/** Every command, in the order of the help. Imports nothing heavy: `--help` loads neither an SDK nor SQLite. */
import type { Command } from '../command.ts';
import { appsCommand } from './apps.ts';
import { completionCommand } from './completion.ts';
import { dashboardCommand } from './dashboard.ts';
import { dataCommand } from './data.ts';
import { deadLettersCommand } from './dead-letters.ts';
import { demoCommand } from './demo.ts';
import { deployCommand } from './deploy.ts';
import { doctorCommand } from './doctor.ts';
import { esSetupCommand } from './es-setup.ts';
import { flinkCommand } from './flink.ts';
import { generateCommand } from './generate.ts';
import { processCommand } from './process.ts';
import { queryCommand } from './query.ts';
import { replayCommand } from './replay.ts';
import { resultsCommand } from './results.ts';
import { savepointCommand } from './savepoint.ts';
import { stateCommand } from './state.ts';
import { statusCommand } from './status.ts';
import { streamCommand } from './stream.ts';

export const COMMANDS: readonly Command[] = [
  replayCommand,
  processCommand,
  resultsCommand,
  queryCommand,
  statusCommand,
  appsCommand,
  dashboardCommand,
  deadLettersCommand,
  savepointCommand,
  stateCommand,
  streamCommand,
  flinkCommand,
  esSetupCommand,
  deployCommand,
  doctorCommand,
  dataCommand,
  generateCommand,
  demoCommand,
  completionCommand,
];
