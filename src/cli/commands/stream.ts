import { systemClock } from '../../clock.ts';
import { EXIT, TaxiflowError, usageError } from '../../errors.ts';
import { LocalStream, type ShardDescription } from '../../streams/local/log.ts';
import { shardIdOf } from '../../streams/stream.ts';
import { parseTarget } from '../../streams/target.ts';
import type { Arguments } from '../command.ts';
import { text, time, whole } from '../read.ts';
import { formatted, printJson, say, several, write } from '../terminal.ts';

function localTarget(args: Arguments): { dataDir: string; name: string } {
  const target = parseTarget(text(args, 'name'));
  if (target.kind === 'kinesis') {
    throw new TaxiflowError(
      'no-kinesis',
      `"${target.name}" is a Kinesis stream, which this version can't reach yet`,
      {
        hint: `for an embedded stream write local:${target.name}`,
      },
    );
  }
  return { dataDir: text(args, 'data-dir')!, name: target.name };
}

async function withStream<T>(args: Arguments, work: (stream: LocalStream) => Promise<T> | T): Promise<T> {
  const stream = LocalStream.open({ ...localTarget(args), clock: systemClock });
  try {
    return await work(stream);
  } finally {
    await stream.close();
  }
}

function shardArgument(args: Arguments, name: string): string {
  const value = String(args[name]);
  return /^\d+$/.test(value) ? shardIdOf(Number(value)) : value;
}

export async function create(args: Arguments): Promise<number> {
  const target = localTarget(args);
  const shards = whole(args, 'shards', 1)!;
  if (shards > 1_000) throw usageError('--shards is 1,000 at most');
  if (LocalStream.exists(target.dataDir, target.name)) {
    throw new TaxiflowError('stream-exists', `there is a stream local:${target.name} already`, {
      hint: `look at it with "taxiflow stream describe local:${target.name}", or remove it with "taxiflow stream delete"`,
    });
  }
  await LocalStream.open({ ...target, clock: systemClock, createShards: shards }).close();
  if (args['json']) printJson({ command: 'stream create', stream: `local:${target.name}`, shards });
  say(`made local:${target.name} with ${several(shards, 'shard')}`);
  return EXIT.done;
}

export async function describe(args: Arguments): Promise<number> {
  const shards = await withStream(args, (stream) => stream.describe());
  const name = `local:${localTarget(args).name}`;
  if (args['json']) printJson({ command: 'stream describe', stream: name, shards });
  else await write(formatted(shards.map(shardRow), 'table'));
  return EXIT.done;
}

function shardRow({ first_hash_key, last_hash_key, parents, ...shard }: ShardDescription) {
  const share = (Number(BigInt(last_hash_key) - BigInt(first_hash_key)) / 2 ** 128) * 100;
  return {
    shard: shard.shard,
    state: shard.open ? 'open' : 'closed',
    parents: parents.join(' ') || '–',
    'hash keys': `${share.toFixed(1)}%`,
    records: shard.records,
    MB: shard.bytes / 1e6,
    'last arrival': shard.last_arrival ?? '–',
  };
}

export async function split(args: Arguments): Promise<number> {
  const at = text(args, 'at');
  if (at !== undefined && !/^\d+$/.test(at))
    throw usageError(`--at ${at} is no hash key`, 'a whole number from 0 to 2^128 − 1');
  return reshard(args, 'split', (stream) =>
    stream.split(shardArgument(args, 'shard'), at === undefined ? undefined : BigInt(at)),
  );
}

export async function merge(args: Arguments): Promise<number> {
  return reshard(args, 'merge', (stream) =>
    stream.merge(shardArgument(args, 'shard'), shardArgument(args, 'other')),
  );
}

async function reshard(
  args: Arguments,
  verb: string,
  change: (stream: LocalStream) => string[],
): Promise<number> {
  const made = await withStream(args, change);
  if (args['json'])
    printJson({ command: `stream ${verb}`, stream: `local:${localTarget(args).name}`, opened: made });
  say(`opened ${made.join(' and ')}`);
  return EXIT.done;
}

export async function trim(args: Arguments): Promise<number> {
  const before = text(args, 'before') === 'now' ? Date.now() + 1 : time(args, 'before')!;
  const shard = args['shard'] === undefined ? undefined : shardArgument(args, 'shard');
  const trimmed = await withStream(args, (stream) => stream.trim(before, shard));
  if (args['json']) printJson({ command: 'stream trim', stream: `local:${localTarget(args).name}`, trimmed });
  say(`forgot ${several(trimmed, 'record')}`);
  return EXIT.done;
}

export async function remove(args: Arguments): Promise<number> {
  const { dataDir, name } = localTarget(args);
  // Opening it first tells of a stream that isn't there.
  await withStream(args, () => undefined);
  LocalStream.delete(dataDir, name);
  if (args['json']) printJson({ command: 'stream delete', stream: `local:${name}` });
  say(`deleted local:${name}`);
  return EXIT.done;
}
