/**
 * PutRecords and GetRecords, the two requests that carry records, with bodies of our own. The SDK's serializer walks the
 * schema of each record, which costs more than everything else together. The SDK still does credentials, signatures,
 * retries and errors.
 */
import { GetRecordsCommand, type KinesisClient, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import type { FetchedRecord } from './batch.ts';
import { badAnswer, required } from './errors.ts';
import { streamInput } from './stream-name.ts';

/** A record for PutRecords. */
export interface PutEntry {
  readonly partitionKey: string;
  readonly explicitHashKey: string;
  readonly data: Buffer;
}

/** The answer of PutRecords about one record. */
export interface PutAnswer {
  readonly SequenceNumber?: string;
  readonly ShardId?: string;
  readonly ErrorCode?: string;
}

export interface Fetched {
  readonly records: readonly FetchedRecord[];
  /** The iterator of the next read; undefined at the end of a closed shard. */
  readonly next: string | undefined;
  /** The distance to the tip, ms. */
  readonly behind: number;
  /** This was the end of a closed shard. */
  readonly hasChildren: boolean;
}

interface PutRecordsAnswer {
  readonly FailedRecordCount?: number;
  readonly Records?: readonly PutAnswer[];
}

interface GetRecordsAnswer {
  readonly Records?: readonly {
    readonly Data?: string;
    readonly SequenceNumber?: string;
    /** Epoch seconds. */
    readonly ApproximateArrivalTimestamp?: number;
  }[];
  readonly NextShardIterator?: string | null;
  readonly MillisBehindLatest?: number;
  readonly ChildShards?: readonly unknown[] | null;
}

/** One answer for each entry, in their order. Throws the SDK's errors and `kinesis-bad-answer`. */
export async function putRecords(
  client: KinesisClient,
  stream: string,
  entries: readonly PutEntry[],
): Promise<readonly PutAnswer[]> {
  const command = new PutRecordsCommand({ ...streamInput(stream), Records: [] });
  const taken = withBody(command, putBody(stream, entries));
  await client.send(command);
  const request = 'PutRecords';
  const answer = parsed<PutRecordsAnswer>(taken().toString(), request);
  const answers = listIn(answer.Records, request, 'Records');
  if (answers.length !== entries.length)
    throw badAnswer(request, `entry for each of ${entries.length} records, but ${answers.length}`);
  for (const one of answers) {
    if (!one?.ErrorCode) required(one?.SequenceNumber, request, 'SequenceNumber or ErrorCode of a record');
  }
  const failed = answers.filter(({ ErrorCode }) => ErrorCode).length;
  if ((answer.FailedRecordCount ?? failed) !== failed)
    throw badAnswer(request, `ErrorCode for each of the ${answer.FailedRecordCount} records that failed`);
  return answers;
}

/** One batch of records. Throws the SDK's errors and `kinesis-bad-answer`. */
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
  // Every part that is used here is ASCII, and Latin-1 decodes at the speed of memory.
  const request = 'GetRecords';
  const answer = parsed<GetRecordsAnswer>(taken().toString('latin1'), request);
  return {
    records: listIn(answer.Records, request, 'Records').map((record) => ({
      data: textIn(record?.Data, request, 'Data of a record'),
      sequence: textIn(record?.SequenceNumber, request, 'SequenceNumber of a record'),
      arrival: Math.round((record.ApproximateArrivalTimestamp ?? 0) * 1_000),
    })),
    next: answer.NextShardIterator ?? undefined,
    behind: numberIn(answer.MillisBehindLatest, request, 'MillisBehindLatest'),
    hasChildren: (answer.ChildShards?.length ?? 0) > 0,
  };
}

function parsed<T extends object>(text: string, request: string): T {
  const answer: unknown = JSON.parse(text);
  if (typeof answer !== 'object' || answer === null) throw badAnswer(request, 'fields');
  return answer as T;
}

function listIn<T>(part: readonly T[] | undefined, request: string, name: string): readonly T[] {
  if (!Array.isArray(part)) throw badAnswer(request, name);
  return part;
}

/** A text that may be empty, since a record may have no data. */
function textIn(part: string | undefined, request: string, name: string): string {
  if (typeof part !== 'string') throw badAnswer(request, name);
  return part;
}

function numberIn(part: number | undefined, request: string, name: string): number {
  if (typeof part !== 'number') throw badAnswer(request, name);
  return part;
}

type Command = PutRecordsCommand | GetRecordsCommand;

/** Gives a command our body, and takes the answer's body before the SDK does, unless it is an error. */
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
    // It must be the innermost, so that the deserializer does not see the body.
    { step: 'deserialize', priority: 'low', name: 'ownAnswer' },
  );
  return () => taken;
}

const NOTHING = Buffer.from('{}');

/** The body of PutRecords. Base64 and keys are ASCII, so every part can be written as Latin-1. */
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
