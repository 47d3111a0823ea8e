/** `--stream TARGET`, understood the same way by every subcommand. */
import { systemClock } from '../clock.ts';
import { TaxiflowError } from '../errors.ts';
import type { StreamReader, StreamWriter } from './stream.ts';

export const DEFAULT_STREAM = 'taxi-trip-events';
export const DEFAULT_SHARDS = 8;

export type StreamTarget =
  | { readonly kind: 'local'; readonly name: string }
  | { readonly kind: 'kinesis'; readonly name: string };

/** Nothing, an empty text or `local:NAME` is the embedded stream; `NAME`, `kinesis:NAME` or an ARN is Amazon Kinesis. */
export function parseTarget(text: string | undefined): StreamTarget {
  if (text === undefined || text === '' || text === 'local' || text === 'local:') {
    return { kind: 'local', name: DEFAULT_STREAM };
  }
  if (text.startsWith('local:')) return { kind: 'local', name: text.slice('local:'.length) };
  return { kind: 'kinesis', name: text.startsWith('kinesis:') ? text.slice('kinesis:'.length) : text };
}

export interface StreamOptions {
  readonly dataDir: string;
  /** Make a local stream with this many shards where there is none. */
  readonly createShards?: number;
}

/** Opens a stream for reading and writing. Throws `TaxiflowError`. */
export async function openStream(
  target: StreamTarget,
  options: StreamOptions,
): Promise<StreamReader & StreamWriter> {
  if (target.kind === 'kinesis') {
    throw new TaxiflowError(
      'no-kinesis',
      `"${target.name}" is a Kinesis stream, which this version can't reach yet`,
      {
        hint: `use the embedded stream: --stream local:${target.name.replace(/^.*\//, '')}`,
      },
    );
  }
  const { LocalStream } = await import('./local/log.ts');
  return LocalStream.open({ ...options, name: target.name, clock: systemClock });
}

/** The line that says which stream a command uses. */
export function describeTarget(target: StreamTarget, dataDir: string): string {
  return target.kind === 'local'
    ? `stream: local:${target.name} (embedded, in ${dataDir})`
    : `stream: ${target.name} (Amazon Kinesis)`;
}
