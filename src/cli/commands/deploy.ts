import { group } from '../command.ts';
import { downCommand, statusCommand, upCommand } from './deploy-stack.ts';

export const deployCommand = group(
  'deploy',
  'Bring the pipeline onto AWS as a stack of CloudFormation, and away again',
  [
    ['deploy up --image ghcr.io/me/taxiflow@sha256:…', 'create or change it'],
    ['deploy status', 'how it is doing'],
    ['deploy down', 'delete what costs, keep what holds data'],
  ],
  [upCommand, statusCommand, downCommand],
);
