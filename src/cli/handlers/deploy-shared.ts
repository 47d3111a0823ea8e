/** What the handlers of `deploy` have in common. */
import type { Held } from '../../deploy/left-buckets.ts';
import type { StackEvent } from '../../deploy/stack-events.ts';
import type { Left } from '../../deploy/teardown.ts';
import { EXIT, TaxiflowError } from '../../errors.ts';
import type { Invocation } from '../command.ts';
import { say, thousands } from '../terminal.ts';

/** The short id of a task. */
export function idOf(taskArn: string): string {
  return taskArn.split('/').at(-1) ?? taskArn;
}

/** Whether an event is worth a line: on a terminal each is, since the next one takes its place. */
export function isTold({ ofStack, status }: StackEvent): boolean {
  return ofStack || process.stderr.isTTY || !status.endsWith('_IN_PROGRESS');
}

export function eventLine({ resource, type, status, reason }: StackEvent): string {
  const why = reason === '' ? '' : `: ${reason}`;
  return `${resource} (${type}) ${status}${why}`;
}

export function interrupted(message: string, hint: string): TaxiflowError {
  return new TaxiflowError('interrupted', message, { hint, exitCode: EXIT.interrupted });
}

/** Names and values, one a line. */
export function outputsText(outputs: ReadonlyMap<string, string>): string {
  const width = [...outputs.keys()].reduce((most, key) => Math.max(most, key.length), 0) + 2;
  return [...outputs].map(([key, value]) => `${key.padEnd(width)}${value}\n`).join('');
}

export function leftJson(left: readonly Left[]) {
  return left.map(({ physicalId, resource, held }) => ({
    bucket: physicalId,
    resource,
    objects: held?.objects ?? null,
    bytes: held?.bytes ?? null,
    more: held?.more ?? null,
  }));
}

/** What an earlier `down` kept. */
export function tellLeft(left: readonly Left[], invocation: Invocation): void {
  if (left.length === 0) return;
  say(
    `kept of stacks that were deleted, and paid for by what ${left.length === 1 ? 'it holds' : 'they hold'}:`,
  );
  for (const one of left) say(`  ${leftLine(one)}`);
  say(invocation.completed('"taxiflow deploy down --with-data" deletes them'));
}

function leftLine({ physicalId, held }: Left): string {
  return `s3://${physicalId}: ${held === undefined ? 'may not be looked into' : heldText(held)}`;
}

function heldText({ objects, bytes, more }: Held): string {
  if (objects === 0) return 'empty';
  return `${more ? 'more than ' : ''}${thousands(objects)} object${objects === 1 ? '' : 's'}, ${(bytes / 1e6).toFixed(1)} MB`;
}
