/**
 * A Kinesis that does nothing, in a process of its own, so that what is measured is the client: puts are
 * acknowledged unread, reads answer with what was given. Prints its port.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

const SHARDS = 16;
const DATA = Buffer.from('"Data":');
const pages = new Map<string, Buffer>();
const acknowledgements = new Map<number, Buffer>();

const server = createServer(async (request, response) => {
  const body = await bodyOf(request);
  if (request.method === 'PUT') {
    pages.set(request.url!.slice(1), body);
    return response.end();
  }
  const target = String(request.headers['x-amz-target']).split('.').at(-1)!;
  const text = answer(target, body);
  response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1', 'content-length': text.length });
  return response.end(text);
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
// It ends with whoever started it.
process.stdin.resume().on('end', () => process.exit());

function answer(target: string, body: Buffer): Buffer {
  if (target === 'PutRecords') return acknowledgement(countOf(body));
  if (target === 'GetRecords') return pages.get(JSON.parse(body.toString()).ShardIterator)!;
  if (target === 'GetShardIterator') return json({ ShardIterator: JSON.parse(body.toString()).ShardId });
  if (target === 'ListShards') return json({ Shards: Array.from({ length: SHARDS }, (_, i) => shard(i)) });
  return json({
    StreamDescriptionSummary: {
      StreamStatus: 'ACTIVE',
      StreamARN: 'null',
      RetentionPeriodHours: 24,
      StreamCreationTimestamp: 1_700_000_000,
    },
  });
}

function shard(index: number) {
  const width = (1n << 128n) / BigInt(SHARDS);
  return {
    ShardId: `shardId-${String(index).padStart(12, '0')}`,
    HashKeyRange: {
      StartingHashKey: String(width * BigInt(index)),
      EndingHashKey: String(width * BigInt(index + 1) - 1n),
    },
    SequenceNumberRange: { StartingSequenceNumber: '1' },
  };
}

function acknowledgement(count: number): Buffer {
  let known = acknowledgements.get(count);
  if (!known) {
    const record = { SequenceNumber: '4'.repeat(56), ShardId: 'shardId-000000000000' };
    known = json({ FailedRecordCount: 0, Records: Array.from({ length: count }, () => record) });
    acknowledgements.set(count, known);
  }
  return known;
}

function countOf(body: Buffer): number {
  let count = 0;
  for (let at = body.indexOf(DATA); at >= 0; at = body.indexOf(DATA, at + DATA.length)) count++;
  return count;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
