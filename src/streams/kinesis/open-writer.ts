/** A Kinesis stream opened for writing. */
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import type { StreamWriter } from '../ports.ts';
import { type KinesisOptions, listShards } from './client.ts';
import { contact } from './contact.ts';
import { untilDone } from './errors.ts';
import { KinesisWriter } from './writer.ts';

export interface KinesisWriterOptions extends KinesisOptions {
  readonly clock: Clock;
  /** Pack trips in the Kinesis Producer Library's format. */
  readonly aggregate?: boolean;
  /** Watermarks are going to be written, so the stream has to put records where they are meant to be. */
  readonly watermarks?: boolean;
}

/** Throws what `contact` throws, and `stream-spreads`. */
export async function openKinesisWriter(options: KinesisWriterOptions): Promise<StreamWriter> {
  const { stream, clock, aggregate = false, watermarks = false } = options;
  const { client, name, identity, spreads } = await contact(options);
  if (watermarks && spreads) {
    client.destroy();
    throw new TaxiflowError(
      'stream-spreads',
      `${name} spreads records over its shards by itself, so watermarks would not reach each of them`,
      {
        hint: 'set its record distribution strategy to USER_PARTITION_KEY with "aws kinesis update-stream-record-distribution-strategy"',
      },
    );
  }
  const shards = () => listShards(client, stream, (request) => untilDone(request, stream, clock));
  const writer = new KinesisWriter({ client, stream, clock, aggregate, shards });
  return {
    name,
    identity,
    shards,
    get counts() {
      return { ...writer.counts };
    },
    put: (batch) => writer.put(batch),
    broadcast: (recordFor) => writer.broadcast(recordFor),
    close: async () => client.destroy(),
  };
}
