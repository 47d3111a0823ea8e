import { EXIT, TaxiflowError } from '../../errors.ts';
import { listStreams, nameOf, openAdmin, type StreamTarget } from '../../streams/connectors.ts';
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
  for (const target of await listStreams('local', args)) streams.push(await described(target, args));
  // A description of each Kinesis stream would be a request each, and Amazon allows few per second.
  const ofKinesis = args.kinesis ? await listStreams('kinesis', args) : [];
  for (const target of ofKinesis) streams.push({ stream: nameOf(target), ...UNKNOWN });
  if (args.json) printJson({ command: 'stream list', streams });
  else if (streams.length > 0) await write(formatted(streams.map(asRow), 'table'));
  if (streams.length === 0) say(`there are no embedded streams in ${args.dataDir}`);
  return EXIT.done;
}

/** A stream that cannot be read is listed with the reason. */
async function described(target: StreamTarget, { dataDir }: ListArguments): Promise<Listed> {
  const stream = nameOf(target);
  try {
    const admin = await openAdmin(target, { dataDir });
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
