import { systemClock } from '../../clock.ts';
import { EXIT, TaxiflowError } from '../../errors.ts';
import { openAdmin } from '../../streams/connectors.ts';
import { listLocalStreams } from '../../streams/local/files.ts';
import type { ListArguments } from '../commands/stream.ts';
import { formatted, printJson, say, write } from '../terminal.ts';

interface Listed {
  readonly stream: string;
  /** Open shards; null if unknown. */
  readonly shards: number | null;
  readonly records: number | null;
  readonly bytes: number | null;
  readonly last_arrival: string | null;
  /** Why the stream cannot be read. */
  readonly trouble: string | null;
}

const UNKNOWN = { shards: null, records: null, bytes: null, last_arrival: null, trouble: null };

export async function list(args: ListArguments): Promise<number> {
  const streams: Listed[] = [];
  for (const name of listLocalStreams(args.dataDir)) streams.push(await embedded(args.dataDir, name));
  for (const name of await kinesisNames(args)) streams.push({ stream: name, ...UNKNOWN });
  if (args.json) printJson({ command: 'stream list', streams });
  else if (streams.length > 0) await write(formatted(streams.map(asRow), 'table'));
  if (streams.length === 0) say(`there are no embedded streams in ${args.dataDir}`);
  return EXIT.done;
}

async function kinesisNames({ kinesis, region, endpointUrl }: ListArguments): Promise<string[]> {
  if (!kinesis) return [];
  const { listKinesisStreams } = await import('../../streams/kinesis/admin.ts');
  return listKinesisStreams({ region, endpointUrl, clock: systemClock });
}

/** A stream that cannot be read is listed with the reason. */
async function embedded(dataDir: string, name: string): Promise<Listed> {
  const stream = `local:${name}`;
  try {
    const admin = await openAdmin({ connector: 'local', name }, { dataDir });
    const shards = await admin.describe();
    admin.close();
    const arrivals = shards.flatMap(({ last_arrival }) => last_arrival ?? []);
    return {
      stream,
      shards: shards.filter(({ open }) => open).length,
      records: shards.reduce((sum, shard) => sum + (shard.records ?? 0), 0),
      bytes: shards.reduce((sum, shard) => sum + (shard.bytes ?? 0), 0),
      last_arrival: arrivals.sort().at(-1) ?? null,
      trouble: null,
    };
  } catch (error) {
    if (!(error instanceof TaxiflowError)) throw error;
    return { stream, ...UNKNOWN, trouble: error.message };
  }
}

function asRow({ stream, shards, records, bytes, last_arrival, trouble }: Listed) {
  return {
    stream,
    shards: shards ?? '–',
    records: records ?? '–',
    MB: bytes === null ? '–' : bytes / 1e6,
    'last arrival': trouble ?? last_arrival ?? '–',
  };
}
