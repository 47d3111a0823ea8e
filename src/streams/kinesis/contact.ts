/** The first look at a Kinesis stream, before it is read or written. */
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import { type KinesisOptions, kinesisClient, type StreamSummary, summaryOf, timeAt } from './client.ts';
import { firstContact } from './errors.ts';
import { nameOf } from './stream-name.ts';

export interface Contact {
  readonly client: KinesisClient;
  readonly summary: StreamSummary;
  /** How the stream is named to the user. */
  readonly name: string;
  readonly identity: string;
  /** The time by the clock of Kinesis, epoch ms. */
  readonly timeThere: () => number;
  /** Kinesis takes no notice of hash keys, so nobody can say which shard a record goes to. */
  readonly spreads: boolean;
}

/** Connects and looks at the stream. Throws `no-stream`, `no-credentials`, `kinesis-unreachable`, … within seconds. */
export async function contact(options: KinesisOptions & { readonly clock: Clock }): Promise<Contact> {
  const { stream, clock } = options;
  const client = kinesisClient(options);
  const timeThere = timeAt(client, clock);
  try {
    const summary = await firstContact(stream, clock, (signal) => summaryOf(client, stream, signal));
    if (summary.StreamStatus !== 'ACTIVE' && summary.StreamStatus !== 'UPDATING') {
      throw new TaxiflowError('stream-not-active', `Kinesis stream ${stream} is ${summary.StreamStatus}`, {
        hint: 'wait until it is active',
      });
    }
    return {
      client,
      summary,
      name: nameOf(stream),
      identity: `${summary.StreamARN} ${summary.StreamCreationTimestamp.toISOString()}`,
      timeThere,
      spreads: summary.RecordDistributionStrategy === 'AUTO',
    };
  } catch (error) {
    client.destroy();
    throw error;
  }
}
