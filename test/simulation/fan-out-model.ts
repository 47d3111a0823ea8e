/**
 * Enhanced fan-out as it may behave at its worst: consumers that take their time to be made and to go, and are taken away by somebody;
 * subscriptions that end after five minutes or earlier, break off or fall silent, and can't be moved in their first seconds.
 */

import type { Faults } from './faults.ts';
import { awsError, type KinesisModel, type KinesisRecord, type KinesisShard } from './kinesis-model.ts';
import type { Process, World } from './world.ts';

const LASTS_MS = 300_000;
/** In its first seconds, a subscription is not given to somebody else. */
const FIRM_MS = 5_000;
/** A consumer is made, and goes, within so long. */
const CHANGE_MS = 3_000;
/** Of events: those with records, and those without. */
const EVENT_MS = 200;
const IDLE_MS = 5_000;
const MOST_RECORDS = 50;

interface Consumer {
  readonly name: string;
  readonly arn: string;
  readonly activeFrom: number;
  goneFrom: number;
}

interface Subscription {
  readonly consumer: Consumer;
  readonly shard: KinesisShard;
  readonly of: Process;
  readonly opened: number;
  /** The number of the next record. */
  at: number;
  /** When its last event was sent. */
  told: number;
  isOver: boolean;
  /** What is on its way, in order. */
  readonly sent: Come[];
  /** What has come to the reader and is not taken yet. */
  readonly come: Come[];
  waiting: ((come: Come) => void) | undefined;
}

type Come = { readonly event?: object; readonly records?: readonly KinesisRecord[]; readonly error?: Error };

export class FanOutModel {
  readonly #world: World;
  readonly #faults: Faults;
  readonly #kinesis: KinesisModel;
  readonly #consumers: Consumer[] = [];
  readonly #subscriptions = new Map<string, Subscription>();

  constructor(world: World, faults: Faults, kinesis: KinesisModel) {
    this.#world = world;
    this.#faults = faults;
    this.#kinesis = kinesis;
  }

  /** Somebody takes all consumers away. */
  takeAway(): void {
    for (const consumer of this.#consumers) this.#remove(consumer);
  }

  register({ ConsumerName }: Readonly<Record<string, unknown>>): object {
    const { now } = this.#world;
    if (this.#named(ConsumerName)) throw awsError('ResourceInUseException', 400);
    const consumer: Consumer = {
      name: String(ConsumerName),
      arn: `arn:aws:kinesis:us-east-1:1:stream/trips/consumer/${ConsumerName}:${this.#consumers.length}`,
      activeFrom: now + CHANGE_MS * this.#world.chance('consumer')() ** 2,
      goneFrom: Number.POSITIVE_INFINITY,
    };
    this.#consumers.push(consumer);
    return { Consumer: this.#described(consumer) };
  }

  describe({ ConsumerName }: Readonly<Record<string, unknown>>): object {
    const found = this.#named(ConsumerName);
    if (!found) throw awsError('ResourceNotFoundException', 400);
    return { ConsumerDescription: this.#described(found) };
  }

  deregister({ ConsumerARN }: Readonly<Record<string, unknown>>): object {
    const found = this.#consumers.find(
      ({ arn, goneFrom }) => arn === ConsumerARN && goneFrom > this.#world.now,
    );
    if (!found) throw awsError('ResourceNotFoundException', 400);
    this.#remove(found);
    return {};
  }

  #named(name: unknown): Consumer | undefined {
    return this.#consumers.find((consumer) => consumer.name === name && consumer.goneFrom > this.#world.now);
  }

  #described({ name, arn, activeFrom, goneFrom }: Consumer): object {
    const status =
      goneFrom < Number.POSITIVE_INFINITY
        ? 'DELETING'
        : activeFrom <= this.#world.now
          ? 'ACTIVE'
          : 'CREATING';
    return {
      ConsumerName: name,
      ConsumerARN: arn,
      ConsumerStatus: status,
      ConsumerCreationTimestamp: new Date(activeFrom),
    };
  }

  #remove(consumer: Consumer): void {
    if (consumer.goneFrom < Number.POSITIVE_INFINITY) return;
    consumer.goneFrom = this.#world.now + CHANGE_MS * this.#world.chance('consumer')();
    for (const one of this.#subscriptions.values())
      if (one.consumer === consumer) this.#send(one, { error: awsError('ResourceNotFoundException', 400) });
  }

  /** The events of a shard, to a process. */
  subscribe(
    { ConsumerARN, ShardId, StartingPosition }: Readonly<Record<string, unknown>>,
    of: Process,
  ): object {
    const { now } = this.#world;
    const consumer = this.#consumers.find(({ arn, goneFrom }) => arn === ConsumerARN && goneFrom > now);
    if (!consumer) throw awsError('ResourceNotFoundException', 400);
    if (consumer.activeFrom > now || consumer.goneFrom < Number.POSITIVE_INFINITY)
      throw awsError('ResourceInUseException', 400);
    const { Type, SequenceNumber, Timestamp } = StartingPosition as Readonly<Record<string, unknown>>;
    const { shard, at } = this.#kinesis.placeIn(
      String(ShardId),
      String(Type),
      SequenceNumber,
      Timestamp as Date,
    );
    const key = `${consumer.arn} ${shard.id}`;
    const before = this.#subscriptions.get(key);
    if (before && !before.isOver) {
      if (now - before.opened < FIRM_MS) throw awsError('ResourceInUseException', 400);
      this.#send(before, {});
    }
    const made: Subscription = {
      consumer,
      shard,
      of,
      opened: now,
      at,
      told: now,
      isOver: false,
      sent: [],
      come: [],
      waiting: undefined,
    };
    this.#subscriptions.set(key, made);
    this.#next(made, 0);
    return { EventStream: { [Symbol.asyncIterator]: () => this.#taken(made) } };
  }

  #taken(subscription: Subscription): AsyncIterator<object> {
    const result = ({ event, records, error }: Come) => {
      if (error) throw error;
      if (records && records.length > 0) this.#kinesis.onReceived(subscription.of, records);
      return event ? { done: false as const, value: event } : { done: true as const, value: undefined };
    };
    return {
      next: async () => {
        const first = subscription.come.shift();
        if (first) return result(first);
        if (subscription.isOver) return result({});
        return result(
          await new Promise<Come>((resolve) => {
            subscription.waiting = resolve;
          }),
        );
      },
      return: async () => {
        subscription.isOver = true;
        subscription.waiting?.({});
        return { done: true, value: undefined };
      },
    };
  }

  #next(subscription: Subscription, ms: number): void {
    this.#world.after(ms, undefined, '', () => this.#push(subscription));
  }

  /** Sends what there is, and goes on in a moment. */
  #push(subscription: Subscription): void {
    const { now } = this.#world;
    if (subscription.isOver || !subscription.of.alive) {
      subscription.isOver = true;
      return;
    }
    if (now - subscription.opened > LASTS_MS) {
      this.#send(subscription, {});
      return;
    }
    const { taken, at, behind, ended } = this.#kinesis.after(
      subscription.shard,
      subscription.at,
      MOST_RECORDS,
    );
    if (taken.length > 0 || ended || now - subscription.told > IDLE_MS * this.#world.chance('event')()) {
      const fault = this.#faults.of('kinesis', 'event', [
        'subscription-ended',
        'subscription-broken',
        'subscription-silent',
        'events-lost',
      ]);
      if (fault === 'subscription-ended') {
        this.#send(subscription, {});
        return;
      }
      if (fault === 'subscription-broken') {
        this.#send(subscription, { error: awsError('InternalFailureException', 500) });
        return;
      }
      // It looks open, and nothing comes any more.
      if (fault === 'subscription-silent') return;
      if (fault === 'events-lost') {
        const error = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
        this.#send(subscription, { error });
        return;
      }
      subscription.at = at;
      subscription.told = now;
      const children = this.#kinesis.shards.filter(({ parents }) => parents.includes(subscription.shard.id));
      const event = {
        SubscribeToShardEvent: {
          Records: taken.map(({ data, sequence, arrival }) => ({
            Data: Buffer.from(data, 'base64'),
            SequenceNumber: sequence,
            PartitionKey: 'p',
            ApproximateArrivalTimestamp: new Date(arrival),
          })),
          ContinuationSequenceNumber: taken.at(-1)?.sequence ?? subscription.shard.firstSequence,
          MillisBehindLatest: behind,
          ...(ended
            ? { ChildShards: children.map(({ id, parents }) => ({ ShardId: id, ParentShards: parents })) }
            : {}),
        },
      };
      this.#send(subscription, { event, records: taken }, ended);
      if (ended) return;
    }
    this.#next(subscription, EVENT_MS * this.#world.chance('event')());
  }

  /** To the reader, in order; what is no event is the last. */
  #send(subscription: Subscription, come: Come, isLast = come.event === undefined): void {
    if (subscription.isOver) return;
    if (isLast) subscription.isOver = true;
    subscription.sent.push(come);
    this.#world.soon(subscription.of, come.event ? 'event' : 'end of events', () => {
      const { waiting } = subscription;
      const first = subscription.sent.shift()!;
      subscription.waiting = undefined;
      if (waiting) waiting(first);
      else subscription.come.push(first);
    });
  }
}
