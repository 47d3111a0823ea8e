/** The kinds of streams, by name, and `--stream TARGET`, which every command understands the same way. */
import { usageError } from '../errors.ts';
import { kinesis } from './kinesis/connector.ts';
import { local } from './local/connector.ts';
import type {
  AdminOptions,
  Capability,
  Connector,
  InspectOptions,
  ReaderOptions,
  StreamAdmin,
  StreamFacts,
  StreamReader,
  StreamWriter,
  WriterOptions,
} from './ports.ts';

export { DEFAULT_STREAM } from './local/connector.ts';
export const DEFAULT_SHARDS = 8;
/** Folder of embedded streams, states and results. */
export const DEFAULT_DATA_DIR = '.taxiflow';

/** A text means a stream of the first kind that takes it. */
export const CONNECTORS = { local, kinesis } as const satisfies Readonly<Record<string, Connector>>;

export interface StreamTarget {
  readonly connector: keyof typeof CONNECTORS;
  readonly name: string;
}

/** `local:NAME` or nothing is the embedded stream; `NAME`, `kinesis:NAME` or an ARN is Amazon Kinesis. */
export function parseTarget(text = ''): StreamTarget {
  for (const connector of Object.keys(CONNECTORS) as StreamTarget['connector'][]) {
    const name = CONNECTORS[connector].parse(text);
    if (name !== undefined) return { connector, name };
  }
  throw usageError(
    `"${text}" can't name a stream`,
    'local:NAME is an embedded stream; NAME, kinesis:NAME or an ARN is Amazon Kinesis',
  );
}

export function openReader(target: StreamTarget, options: ReaderOptions): Promise<StreamReader> {
  return connectorOf(target).openReader(target.name, options);
}

export function openWriter(target: StreamTarget, options: WriterOptions): Promise<StreamWriter> {
  return connectorOf(target).openWriter(target.name, options);
}

/** The admin of a stream, for `taxiflow stream`. */
export function openAdmin(target: StreamTarget, options: AdminOptions): Promise<StreamAdmin> {
  return connectorOf(target).openAdmin(target.name, options);
}

/** Looks at a stream, for `taxiflow doctor`. */
export function inspectStream(target: StreamTarget, options: InspectOptions): Promise<StreamFacts> {
  return connectorOf(target).inspect(target.name, options);
}

/** The streams of a kind, sorted by name. */
export async function listStreams(
  connector: StreamTarget['connector'],
  options: InspectOptions,
): Promise<StreamTarget[]> {
  return (await CONNECTORS[connector].list(options)).map((name) => ({ connector, name }));
}

/** The name of a stream that isn't there yet, so that opening it makes it; undefined of any other. */
export function missingStream(target: StreamTarget, dataDir: string): string | undefined {
  return connectorOf(target).missing?.(target.name, dataDir);
}

/** How a stream is named to the user. */
export function nameOf(target: StreamTarget): string {
  return connectorOf(target).nameOf(target.name);
}

/** The line that says which stream a command uses. */
export function describeTarget(target: StreamTarget, dataDir: string, endpointUrl?: string): string {
  return `stream: ${connectorOf(target).describe(target.name, { dataDir, endpointUrl })}`;
}

/** What to do instead where a stream can't do something; undefined where it can. */
export function lacks(target: StreamTarget, capability: Capability): string | undefined {
  return connectorOf(target).lacks[capability];
}

/** The streams that can do something, in words: `Kinesis streams`. */
export function streamsThatCan(capability: Capability): string {
  const all: readonly Connector[] = Object.values(CONNECTORS);
  const able = all.filter((connector) => connector.lacks[capability] === undefined);
  return able.map(({ streams }) => streams).join(' and ');
}

function connectorOf({ connector }: StreamTarget): Connector {
  return CONNECTORS[connector];
}
