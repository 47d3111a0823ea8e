/** The embedded stream as a connector. */
import { systemClock } from '../../clock.ts';
import { usageError } from '../../errors.ts';
import type { Connector } from '../ports.ts';
import { listLocalStreams, localStreamExists } from './files.ts';

export const DEFAULT_STREAM = 'taxi-trip-events';

export const local: Connector = {
  streams: 'embedded streams',
  lacks: {
    'on-demand': 'give --shards N instead',
    'fan-out': 'omit it: an embedded stream is always read at full speed',
    flink:
      'replay into a Kinesis stream and name it with --stream NAME; an embedded stream is on this machine alone',
  },
  parse(text) {
    if (text === '' || text === 'local') return DEFAULT_STREAM;
    if (text === 'local:')
      throw usageError(
        'local: names no stream',
        `write local:NAME, such as local:${DEFAULT_STREAM}, or check for an unset variable`,
      );
    return text.startsWith('local:') ? text.slice('local:'.length) : undefined;
  },
  nameOf: (name) => `local:${name}`,
  describe: (name, { dataDir }) => `local:${name} (embedded, in ${dataDir})`,
  missing: (name, dataDir) => (localStreamExists(dataDir, name) ? undefined : `local:${name}`),
  openReader: async (name, options) => (await log()).open({ ...options, name, clock: systemClock }),
  openWriter: async (name, options) => (await log()).open({ ...options, name, clock: systemClock }),
  async openAdmin(name, { dataDir }) {
    const { LocalAdmin } = await import('./admin.ts');
    return new LocalAdmin(dataDir, name);
  },
  list: async ({ dataDir }) => listLocalStreams(dataDir),
  async inspect(name, { dataDir }) {
    const stream = (await log()).open({ dataDir, name, clock: systemClock });
    try {
      const shards = stream.describe();
      return {
        name: stream.name,
        identity: stream.identity,
        openShards: shards.filter((shard) => shard.open).length,
        records: shards.reduce((total, shard) => total + (shard.records ?? 0), 0),
        retentionMs: Number.POSITIVE_INFINITY,
        credentials: false,
        limited: false,
        onDemand: false,
        spreads: false,
      };
    } finally {
      await stream.close();
    }
  },
};

async function log() {
  return (await import('./log.ts')).LocalStream;
}
