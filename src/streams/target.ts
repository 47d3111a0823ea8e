/** `--stream TARGET`, understood the same way by every subcommand. */
import { systemClock } from '../clock.ts';
import { usageError } from '../errors.ts';
import { shownUrl } from '../printable.ts';
import { kinesisEndpoint } from './kinesis/endpoint.ts';
import type { StreamAdmin, StreamReader, StreamWriter } from './stream.ts';

export const DEFAULT_STREAM = 'taxi-trip-events';
export const DEFAULT_SHARDS = 8;
/** Folder of embedded streams, states and results. */
export const DEFAULT_DATA_DIR = '.taxiflow';

const KINESIS_NAME = /^(?:arn:.+|[a-zA-Z0-9_.-]{1,128})$/;

export type StreamTarget =
  | { readonly kind: 'local'; readonly name: string }
  | { readonly kind: 'kinesis'; readonly name: string };

/** Nothing, an empty text or `local:NAME` is the embedded stream; `NAME`, `kinesis:NAME` or an ARN is Amazon Kinesis. */
export function parseTarget(text: string | undefined): StreamTarget {
  if (text === undefined || text === '' || text === 'local' || text === 'local:') {
    return { kind: 'local', name: DEFAULT_STREAM };
  }
  if (text.startsWith('local:')) return { kind: 'local', name: text.slice('local:'.length) };
  const name = text.startsWith('kinesis:') ? text.slice('kinesis:'.length) : text;
  if (KINESIS_NAME.test(name)) return { kind: 'kinesis', name };
  throw usageError(
    `"${text}" can't name a stream`,
    'local:NAME is an embedded stream; NAME, kinesis:NAME or an ARN is Amazon Kinesis',
  );
}

export interface StreamOptions {
  readonly dataDir: string;
  /** Make a local stream with this many shards where there is none. */
  readonly createShards?: number;
  readonly region?: string | undefined;
  readonly endpointUrl?: string | undefined;
  /** Kinesis: pack trips in the Kinesis Producer Library's format. */
  readonly aggregate?: boolean;
  /** Kinesis: watermarks are going to be written. */
  readonly watermarks?: boolean;
  /** Kinesis: read by enhanced fan-out, as the consumer of this name. */
  readonly fanOut?: string | undefined;
}

/** Opens a stream for reading and writing. Throws `TaxiflowError`. */
export async function openStream(
  target: StreamTarget,
  options: StreamOptions,
): Promise<StreamReader & StreamWriter> {
  if (target.kind === 'kinesis') {
    const { KinesisStream } = await import('./kinesis/stream.ts');
    return KinesisStream.open({ ...options, stream: target.name, clock: systemClock });
  }
  const { LocalStream } = await import('./local/log.ts');
  return LocalStream.open({ ...options, name: target.name, clock: systemClock });
}

/** The hands on a stream, for `taxiflow stream`. `onWait` is told of the state of a stream that takes its time. */
export async function openAdmin(
  target: StreamTarget,
  options: StreamOptions & { readonly onWait?: (status: string) => void },
): Promise<StreamAdmin> {
  if (target.kind === 'kinesis') {
    const { KinesisAdmin } = await import('./kinesis/admin.ts');
    return new KinesisAdmin({ ...options, stream: target.name, clock: systemClock });
  }
  const { LocalAdmin } = await import('./local/admin.ts');
  return new LocalAdmin(options.dataDir, target.name);
}

/** The line that says which stream a command uses. */
export function describeTarget(target: StreamTarget, dataDir: string, endpointUrl?: string): string {
  if (target.kind === 'local') return `stream: local:${target.name} (embedded, in ${dataDir})`;
  const endpoint = kinesisEndpoint(endpointUrl);
  return `stream: ${target.name} (${endpoint ? `Kinesis at ${shownUrl(endpoint)}` : 'Amazon Kinesis'})`;
}
