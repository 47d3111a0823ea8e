/**
 * PutRecords and GetRecords, the two requests that carry records, with bodies of our own: the SDK's serializer
 * goes through the schema of each record, which costs more than all the rest. The SDK does everything else:
 * credentials, signatures, retries, errors.
 */
import { GetRecordsCommand, type KinesisClient, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import type { FetchedRecord } from './batch.ts';
import { badAnswer, required, streamInput } from './client.ts';

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
  /** Ms behind the tip. */
  readonly behind: number;
  /** The shard is closed, and this was its end. */
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

/** Answers in the order of `entries`, one each. Throws the SDK's errors, and `kinesis-bad-answer`. */
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

/** Throws the SDK's errors, and `kinesis-bad-answer`. */
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

/** Also an empty text: a record may have no data. */
function textIn(part: string | undefined, request: string, name: string): string {
  if (typeof part !== 'string') throw badAnswer(request, name);
  return part;
}

function numberIn(part: number | undefined, request: string, name: string): number {
  if (typeof part !== 'number') throw badAnswer(request, name);
  return part;
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
