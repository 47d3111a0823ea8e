/** What happens to a stack: its events in their order, and which of them made it fail. */
import { type CloudFormationClient, DescribeStackEventsCommand } from '@aws-sdk/client-cloudformation';
import { type AwsPlace, ask } from './requests.ts';

export interface StackEvent {
  readonly id: string;
  /** Epoch ms. */
  readonly at: number;
  /** The logical id of the resource. */
  readonly resource: string;
  readonly type: string;
  /** Empty before there is one. */
  readonly physicalId: string;
  readonly status: string;
  /** Empty without one. */
  readonly reason: string;
  /** Whether it is about the stack as a whole. */
  readonly ofStack: boolean;
}

/** The events of one stack, each told once. */
export class EventLog {
  readonly #client: CloudFormationClient;
  readonly #place: AwsPlace;
  readonly stackId: string;
  readonly #seen = new Set<string>();
  /** Events before this time are not told, epoch ms. */
  #since = Number.NEGATIVE_INFINITY;

  constructor(client: CloudFormationClient, place: AwsPlace, stackId: string) {
    this.#client = client;
    this.#place = place;
    this.stackId = stackId;
  }

  /** Tells none of the events up to now. A stack may have thousands, so only the newest are looked at. */
  async skip(): Promise<void> {
    const { events } = await this.#page();
    for (const { id, at } of events) {
      this.#seen.add(id);
      this.#since = Math.max(this.#since, at);
    }
  }

  /** Those not told before, in the order of their times; no pages behind one for which `enough` holds. */
  async fresh(enough: (page: readonly StackEvent[]) => boolean = () => false): Promise<StackEvent[]> {
    const found: StackEvent[] = [];
    let token: string | undefined;
    do {
      const { events, next } = await this.#page(token);
      const unseen = events.filter(({ id, at }) => !this.#seen.has(id) && at >= this.#since);
      for (const event of unseen) {
        this.#seen.add(event.id);
        found.push(event);
      }
      // The newest come first: behind a page that is known as a whole lies nothing new.
      token = unseen.length === 0 || enough(events) ? undefined : next;
    } while (token);
    return inOrder(found);
  }

  async #page(token?: string): Promise<{ events: StackEvent[]; next: string | undefined }> {
    const { StackEvents = [], NextToken: next } = await ask(
      this.#place,
      'cloudformation:DescribeStackEvents',
      () =>
        this.#client.send(
          new DescribeStackEventsCommand({
            StackName: this.stackId,
            ...(token === undefined ? {} : { NextToken: token }),
          }),
        ),
    );
    const events = StackEvents.map((event) => ({
      id: event.EventId ?? '',
      at: event.Timestamp?.getTime() ?? 0,
      resource: event.LogicalResourceId ?? '',
      type: event.ResourceType ?? '',
      physicalId: event.PhysicalResourceId ?? '',
      status: event.ResourceStatus ?? '',
      reason: event.ResourceStatusReason ?? '',
      ofStack: event.PhysicalResourceId === this.stackId,
    }));
    return { events, next };
  }
}

/** By time; AWS lists the newest first, so events of one moment are turned round. */
function inOrder(newestFirst: readonly StackEvent[]): StackEvent[] {
  return [...newestFirst].reverse().sort((a, b) => a.at - b.at);
}

/** The last event of an operation, once it is over. */
export function endOf(events: readonly StackEvent[]): StackEvent | undefined {
  return events.findLast(({ ofStack, status }) => ofStack && /_(?:COMPLETE|FAILED)$/.test(status));
}

/** The events since the last operation began. */
export function lastOperation(events: readonly StackEvent[]): readonly StackEvent[] {
  const began = events.findLastIndex(isBeginning);
  return events.slice(Math.max(began, 0));
}

/** Whether an operation begins with it. */
export function isBeginning({ ofStack, status }: StackEvent): boolean {
  return ofStack && /^(?:CREATE|UPDATE|DELETE)_IN_PROGRESS$/.test(status);
}

/** The first that failed by itself: where one fails, AWS cancels all others, and these fail too. */
export function firstFailure(events: readonly StackEvent[]): StackEvent | undefined {
  const failed = events.filter(({ ofStack, status }) => !ofStack && status.endsWith('_FAILED'));
  return failed.find(({ reason }) => !/cancell?ed/i.test(reason)) ?? failed[0];
}

/** Why an operation failed, in one line. */
export function causeOf(events: readonly StackEvent[]): string {
  const failure = firstFailure(events);
  if (failure) return `${failure.resource} (${failure.type}): ${oneLine(failure.reason) || failure.status}`;
  const told = events.find(
    ({ ofStack, status, reason }) => ofStack && /ROLLBACK|FAILED/.test(status) && reason,
  );
  return oneLine(told?.reason ?? '') || 'AWS gives no reason';
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
