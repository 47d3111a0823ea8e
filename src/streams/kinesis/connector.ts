/** Amazon Kinesis as a connector. */
import { systemClock } from '../../clock.ts';
import { shownUrl } from '../../printable.ts';
import type { Connector } from '../ports.ts';
import { kinesisEndpoint } from './endpoint.ts';
import { nameOf } from './stream-name.ts';

const NAME = /^(?:arn:.+|[a-zA-Z0-9_.-]{1,128})$/;

export const kinesis: Connector = {
  streams: 'Kinesis streams',
  lacks: { trim: 'a Kinesis stream forgets records by its retention period' },
  parse(text) {
    const name = text.startsWith('kinesis:') ? text.slice('kinesis:'.length) : text;
    return NAME.test(name) ? name : undefined;
  },
  nameOf,
  describe(name, { endpointUrl }) {
    const endpoint = kinesisEndpoint(endpointUrl);
    return `${name} (${endpoint ? `Kinesis at ${shownUrl(endpoint)}` : 'Amazon Kinesis'})`;
  },
  async openReader(stream, options) {
    const { KinesisReader } = await import('./reader.ts');
    return KinesisReader.open({ ...options, stream, clock: systemClock });
  },
  async openWriter(stream, options) {
    const { openKinesisWriter } = await import('./open-writer.ts');
    return openKinesisWriter({ ...options, stream, clock: systemClock });
  },
  async openAdmin(stream, options) {
    const { KinesisAdmin } = await import('./admin.ts');
    return new KinesisAdmin({ ...options, stream, clock: systemClock });
  },
  async list(options) {
    const { listKinesisStreams } = await import('./admin.ts');
    return listKinesisStreams({ ...options, clock: systemClock });
  },
  async inspect(stream, options) {
    const { KinesisReader } = await import('./reader.ts');
    const reader = await KinesisReader.open({ ...options, stream, clock: systemClock });
    try {
      const { name, identity, retentionMs, onDemand, spreads } = reader;
      const openShards = (await reader.shards()).filter((shard) => shard.open).length;
      return { name, identity, openShards, retentionMs, credentials: true, limited: true, onDemand, spreads };
    } finally {
      await reader.close();
    }
  },
};
