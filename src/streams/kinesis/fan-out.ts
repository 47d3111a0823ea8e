/**
 * Enhanced fan-out: Kinesis pushes the records of each shard over a subscription that shares no limits with other
 * readers. A subscription ends after five minutes; the next one begins after the last record handed out (K1).
 */
import { setMaxListeners } from 'node:events';
import {
  DeregisterStreamConsumerCommand,
  DescribeStreamConsumerCommand,
  type KinesisClient,
  RegisterStreamConsumerCommand,
  SubscribeToShardCommand,
  type SubscribeToShardEvent,
  type SubscribeToShardEventStream,
} from '@aws-sdk/client-kinesis';
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import type { Position, RecordBatch } from '../ports.ts';
import { quietUntil, toBatch } from './batch.ts';
import { type KinesisOptions, PUSH_SILENT_MS, pushClient, startingPosition } from './client.ts';
import { required, SubscriptionBroken } from './errors.ts';

/** The time after which a read returns without records, ms. */
const READ_WAIT = 200;
const POLL_MS = 500;
const LIMIT_MS = 15_000;
/** The time that a run takes at its end to deregister its consumer. */
const CLOSE_MS = 5_000;
/** Kinesis refuses to move a subscription in its first five seconds, so it is asked again after this. */
const TAKEOVER_WAIT = 1_000;

const PUSHED = 'SubscribeToShard';
const DESCRIBED = 'DescribeStreamConsumer';
interface Consumer {
  readonly ConsumerARN: string;
  readonly ConsumerStatus: string;
}

interface Subscription {
  /** The ARN of its consumer. */
  readonly consumer: string;
  readonly events: AsyncIterator<SubscribeToShardEventStream>;
  readonly stop: AbortController;
  next: Promise<IteratorResult<SubscribeToShardEventStream>>;
  /** The position of its next event, as JSON. */
  after: string;
  /** Its last event was the newest. */
  atTip: boolean;
  /** The time of its last event, epoch ms. */
  heard: number;
}

export interface FanOutOptions extends KinesisOptions {
  readonly clock: Clock;
  readonly timeThere: () => number;
}

/** A consumer of a stream and its subscriptions; the first read registers it. Throws the SDK's errors. */
export class FanOut {
  readonly #client: KinesisClient;
  readonly #input: { readonly StreamARN: string; readonly ConsumerName: string };
  readonly #clock: Clock;
  readonly #timeThere: () => number;
  readonly #subscriptions = new Map<string, Subscription>();
  #consumer: Promise<string> | undefined;
  /** Aborted by `close`: a read under way must not begin anything. */
  readonly #over = new AbortController();

  /** `timeThere` is the time of Kinesis, epoch ms. */
  constructor(options: FanOutOptions, streamArn: string, name: string) {
    this.#client = pushClient(options);
    this.#input = { StreamARN: streamArn, ConsumerName: name };
    this.#clock = options.clock;
    this.#timeThere = options.timeThere;
    // Each shard may wait.
    setMaxListeners(0, this.#over.signal);
  }

  /** `again` is the position to resume from, since a moment later `latest` is another one. */
  async read(shardId: string, position: Position, again: Position): Promise<RecordBatch> {
    const consumer = this.#subscriptions.get(shardId)?.consumer ?? (await this.#registered());
    const waited = new AbortController();
    const stop = () => waited.abort();
    this.#over.signal.addEventListener('abort', stop);
    try {
      const subscription = await this.#subscriptionAt(shardId, position);
      const result = await Promise.race([subscription.next, this.#clock.sleep(READ_WAIT, waited.signal)]);
      if (result && !result.done)
        return this.#batchOf(shardId, subscription, again, result.value.SubscribeToShardEvent);
      const silent = this.#clock.now() - subscription.heard > PUSH_SILENT_MS;
      if (result?.done || silent) this.#drop(shardId);
      else subscription.after = JSON.stringify(again);
      return { ...toBatch([], again), atTip: !silent && subscription.atTip };
    } catch (error) {
      this.#drop(shardId);
      const name = error instanceof Error ? error.name : '';
      if (name !== 'ResourceInUseException' && name !== 'ResourceNotFoundException') throw error;
      if (name === 'ResourceInUseException') await this.#clock.sleep(TAKEOVER_WAIT, this.#over.signal);
      // With the consumer still there, the shard or the stream is missing.
      else if ((await this.#registeredNow()) === consumer) throw error;
      return toBatch([], again);
    } finally {
      this.#over.signal.removeEventListener('abort', stop);
      waited.abort();
    }
  }

  /** Ends the subscriptions and deregisters the consumer, which costs by the hour. */
  async close(): Promise<void> {
    this.#over.abort();
    for (const shardId of [...this.#subscriptions.keys()]) this.#drop(shardId);
    const ConsumerARN = await this.#consumer?.catch(() => undefined);
    // Without a network the consumer stays, and the next run takes it over.
    const abortSignal = AbortSignal.timeout(CLOSE_MS);
    if (ConsumerARN)
      await this.#client
        .send(new DeregisterStreamConsumerCommand({ ConsumerARN }), { abortSignal })
        .catch(() => {});
    this.#client.destroy();
  }

  #batchOf(
    shardId: string,
    subscription: Subscription,
    again: Position,
    event: SubscribeToShardEvent | undefined,
  ): RecordBatch {
    const { Records, MillisBehindLatest, ChildShards } = required(event, PUSHED, 'SubscribeToShardEvent');
    const records = required(Records, PUSHED, 'Records').map((record) => ({
      data: required(record.Data, PUSHED, 'Data of a record'),
      sequence: required(record.SequenceNumber, PUSHED, 'SequenceNumber of a record'),
      arrival: record.ApproximateArrivalTimestamp?.getTime() ?? 0,
    }));
    const behind = required(MillisBehindLatest, PUSHED, 'MillisBehindLatest');
    const ended = (ChildShards?.length ?? 0) > 0;
    const batch = toBatch(records, again);
    const isQuiet = !ended && (records.length === 0 || behind === 0);
    const next = isQuiet ? quietUntil(batch.next, this.#timeThere() - behind) : batch.next;
    const atTip = ended || behind === 0;
    if (ended) this.#drop(shardId);
    else {
      subscription.after = JSON.stringify(next);
      subscription.atTip = atTip;
      subscription.heard = this.#clock.now();
      subscription.next = nextOf(subscription.events);
    }
    return { ...batch, next, atTip, ended };
  }

  async #subscriptionAt(shardId: string, position: Position): Promise<Subscription> {
    const after = JSON.stringify(position);
    const known = this.#subscriptions.get(shardId);
    if (known?.after === after) return known;
    this.#drop(shardId);
    const consumer = await this.#registered();
    this.#over.signal.throwIfAborted();
    const stop = new AbortController();
    const { EventStream: stream } = await this.#client.send(
      new SubscribeToShardCommand({
        ConsumerARN: consumer,
        ShardId: shardId,
        StartingPosition: startingPosition(position),
      }),
      { abortSignal: stop.signal },
    );
    const events = required(stream, PUSHED, 'EventStream')[Symbol.asyncIterator]();
    const subscription = {
      consumer,
      events,
      stop,
      next: nextOf(events),
      after,
      atTip: false,
      heard: this.#clock.now(),
    };
    this.#subscriptions.set(shardId, subscription);
    return subscription;
  }

  #drop(shardId: string): void {
    const subscription = this.#subscriptions.get(shardId);
    this.#subscriptions.delete(shardId);
    subscription?.stop.abort();
    // This frees the connection; an abort does not, once the answer has begun.
    subscription?.events.return?.().catch(() => {});
  }

  async #registered(): Promise<string> {
    this.#over.signal.throwIfAborted();
    this.#consumer ??= this.#register().catch((error: unknown) => {
      this.#consumer = undefined;
      throw error;
    });
    return this.#consumer;
  }

  /** The consumer's ARN, a new one if somebody has deregistered the last, which may still be on its way out. */
  async #registeredNow(): Promise<string> {
    const known = await this.#registered();
    const found = await this.#described();
    if (found?.ConsumerARN === known && found.ConsumerStatus === 'ACTIVE') return known;
    this.#consumer = undefined;
    return this.#registered();
  }

  /** The consumer's ARN once it is active. A consumer of this name from an earlier run is taken over. */
  async #register(): Promise<string> {
    for (const since = this.#clock.now(); ; ) {
      try {
        await this.#client.send(new RegisterStreamConsumerCommand(this.#input));
      } catch (error) {
        const name = error instanceof Error ? error.name : '';
        // Too many registrations at once pass; too many consumers in all have the same error, and don't.
        if (name === 'LimitExceededException' && this.#clock.now() - since > LIMIT_MS)
          throw this.#tooMany(error as Error);
        if (name !== 'ResourceInUseException' && name !== 'LimitExceededException') throw error;
      }
      const consumer = await this.#described();
      if (consumer?.ConsumerStatus === 'ACTIVE') return consumer.ConsumerARN;
      await this.#clock.sleep(POLL_MS);
    }
  }

  #tooMany({ message }: Error): TaxiflowError {
    return new TaxiflowError(
      'too-many-consumers',
      `Kinesis takes no further consumer of this stream: ${message}`,
      {
        hint: `look at them with "aws kinesis list-stream-consumers --stream-arn ${this.#input.StreamARN}", take away those nobody needs, or leave out --consumer`,
      },
    );
  }

  async #described(): Promise<Consumer | undefined> {
    try {
      const answer = await this.#client.send(new DescribeStreamConsumerCommand(this.#input));
      const described = required(answer.ConsumerDescription, DESCRIBED, 'ConsumerDescription');
      return {
        ConsumerARN: required(described.ConsumerARN, DESCRIBED, 'ConsumerARN'),
        ConsumerStatus: required(described.ConsumerStatus, DESCRIBED, 'ConsumerStatus'),
      };
    } catch (error) {
      if (!(error instanceof Error && error.name === 'ResourceNotFoundException')) throw error;
      return undefined;
    }
  }
}

function nextOf(events: AsyncIterator<SubscribeToShardEventStream>) {
  const next = events.next().catch((error: unknown) => {
    // A fault of the client, such as a key it may not use, does not pass.
    const own = (error as { $fault?: string }).$fault === 'client';
    throw own ? error : new SubscriptionBroken(String(error), { cause: error });
  });
  // It may fail while no read waits for it; the next read gets the error.
  next.catch(() => {});
  return next;
}
