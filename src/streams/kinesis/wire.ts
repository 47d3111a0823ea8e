/**
 * PutRecords and GetRecords, the two requests that carry records, with bodies of our own: the SDK's serializer
 * goes through the schema of each record, which costs more than all the rest. The SDK does everything else:
 * credentials, signatures, retries, errors.
 */
import { GetRecordsCommand, type KinesisClient, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import type { FetchedRecord } from './batch.ts';
import { streamInput } from './client.ts';

/** A record as PutRecords takes it. */
export interface PutEntry {
  readonly partitionKey: string;
  readonly explicitHashKey: string;
  readonly data: Buffer;
}

/** What PutRecords says of one record. */
export interface PutAnswer {
  readonly SequenceNumber?: string;
  readonly ShardId?: string;
  readonly ErrorCode?: string;
}

export interface Fetched {
  readonly records: readonly FetchedRecord[];
  /** The iterator to go on with; undefined at the end of a closed shard. */
  readonly next: string | undefined;
  /** Ms behind the tip; undefined where it isn't said. */
  readonly behind: number | undefined;
}

interface GetRecordsAnswer {
  readonly Records: readonly {
    readonly Data: string;
    readonly SequenceNumber: string;
    /** Epoch seconds. */
    readonly ApproximateArrivalTimestamp?: number;
  }[];
  readonly NextShardIterator?: string | null;
  readonly MillisBehindLatest?: number;
}

/** Answers in the order of `entries`. Throws the SDK's errors. */
export async function putRecords(
  client: KinesisClient,
  stream: string,
  entries: readonly PutEntry[],
): Promise<readonly PutAnswer[]> {
  const command = new PutRecordsCommand({ ...streamInput(stream), Records: [] });
  const taken = withBody(command, putBody(stream, entries));
  await client.send(command);
  return (JSON.parse(String(taken())) as { Records?: PutAnswer[] }).Records ?? [];
}

/** Throws the SDK's errors. */
export async function getRecords(
  client: KinesisClient,
  stream: string,
  iterator: string,
  limit: number,
): Promise<Fetched> {
  const arn = stream.startsWith('arn:') ? { StreamARN: stream } : {};
  const command = new GetRecordsCommand({ ...arn, ShardIterator: iterator, Limit: limit });
  const taken = withBody(command, undefined);
  await client.send(command);
  // Latin-1 is read at the speed of memory; of what is used here, all is ASCII.
  const answer = JSON.parse(taken().toString('latin1')) as GetRecordsAnswer;
  return {
    records: answer.Records.map(({ Data, SequenceNumber, ApproximateArrivalTimestamp = 0 }) => ({
      data: Data,
      sequence: SequenceNumber,
      arrival: Math.round(ApproximateArrivalTimestamp * 1_000),
    })),
    next: answer.NextShardIterator ?? undefined,
    behind: answer.MillisBehindLatest,
  };
}

type Command = PutRecordsCommand | GetRecordsCommand;

/** Gives a command a body of ours, and keeps the answer's body from the SDK unless it is an error. */
function withBody(command: Command, body: Buffer | undefined): () => Buffer {
  let taken = Buffer.alloc(0);
  const stack = command.middlewareStack as PutRecordsCommand['middlewareStack'];
  stack.add(
    (next) => (args) => {
      if (body) (args.request as { body: Uint8Array }).body = body;
      return next(args);
    },
    { step: 'build', priority: 'high', name: 'ownBody' },
  );
  stack.add(
    (next) => async (args) => {
      const result = await next(args);
      const response = result.response as { statusCode: number; body: AsyncIterable<Buffer> | Uint8Array };
      if (response.statusCode < 300 && !(response.body instanceof Uint8Array)) {
        const chunks: Buffer[] = [];
        for await (const chunk of response.body) chunks.push(chunk);
        taken = Buffer.concat(chunks);
        response.body = NOTHING;
      }
      return result;
    },
    // The innermost: what it takes away, the deserializer does not see.
    { step: 'deserialize', priority: 'low', name: 'ownAnswer' },
  );
  return () => taken;
}

const NOTHING = Buffer.from('{}');

/** Base64 is ASCII, and so are keys: every part can be written as latin1. */
function putBody(stream: string, entries: readonly PutEntry[]): Buffer {
  const head = `{${JSON.stringify(streamInput(stream)).slice(1, -1)},"Records":[`;
  let room = head.length + 2;
  for (const { data, partitionKey, explicitHashKey } of entries)
    room += 64 + partitionKey.length + explicitHashKey.length + 4 * Math.ceil(data.length / 3);
  const body = Buffer.allocUnsafe(room);
  let at = body.write(head, 'latin1');
  let separator = '';
  for (const { data, partitionKey, explicitHashKey } of entries) {
    const keys = `"PartitionKey":"${partitionKey}","ExplicitHashKey":"${explicitHashKey}"`;
    at += body.write(`${separator}{${keys},"Data":"${data.toString('base64')}"}`, at, 'latin1');
    separator = ',';
  }
  at += body.write(']}', at, 'latin1');
  return body.subarray(0, at);
}
