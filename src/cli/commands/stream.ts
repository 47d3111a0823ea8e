import { EXIT, usageError } from '../../errors.ts';
import { type ShardDescription, type StreamAdmin, shardIdOf } from '../../streams/stream.ts';
import { DEFAULT_SHARDS, openAdmin, parseTarget } from '../../streams/target.ts';
import type { Arguments } from '../command.ts';
import { shardsOf, text, time } from '../read.ts';
import { formatted, printJson, progressLine, say, several, write } from '../terminal.ts';

async function withAdmin<T>(args: Arguments, work: (admin: StreamAdmin) => Promise<T>): Promise<T> {
  const progress = await progressLine();
  const admin = await openAdmin(parseTarget(text(args, 'name')), {
    dataDir: text(args, 'data-dir')!,
    region: text(args, 'region'),
    endpointUrl: text(args, 'endpoint-url'),
    onWait: (status) => progress.update(`the stream is ${status}`),
  });
  try {
    return await work(admin);
  } finally {
    progress.stop();
    admin.close();
  }
}

const SHARD = /^(?:\d+|shardId-\d+)$/;

/** The stream may come before its shards too, as it does where there are none. */
function nameLast(args: Arguments, shards: readonly string[]): Arguments {
  const [first, ...others] = [...shards, 'name'].map((key) => args[key]);
  if (SHARD.test(String(first)) || !others.every((word) => SHARD.test(String(word)))) return args;
  return { ...args, name: first, ...Object.fromEntries(shards.map((key, i) => [key, others[i]])) };
}

function shardArgument(args: Arguments, name: string): string {
  const value = String(args[name]);
  return /^\d+$/.test(value) ? shardIdOf(Number(value)) : value;
}

export function create(args: Arguments): Promise<number> {
  return withAdmin(args, async (admin) => {
    const given = shardsOf(args);
    const onDemand = args['on-demand'] === true;
    if (onDemand && given !== undefined)
      throw usageError('--on-demand chooses its shards itself', 'leave out --shards');
    const shards = onDemand ? undefined : (given ?? DEFAULT_SHARDS);
    await admin.create(shards);
    if (args['json']) printJson({ command: 'stream create', stream: admin.name, shards: shards ?? null });
    say(`made ${admin.name} ${shards === undefined ? 'on demand' : `with ${several(shards, 'shard')}`}`);
    return EXIT.done;
  });
}

export function describe(args: Arguments): Promise<number> {
  return withAdmin(args, async (admin) => {
    const shards = await admin.describe();
    if (args['json']) printJson({ command: 'stream describe', stream: admin.name, shards });
    else await write(formatted(shards.map(shardRow), 'table'));
    return EXIT.done;
  });
}

function shardRow({ first_hash_key, last_hash_key, parents, ...shard }: ShardDescription) {
  const place = (key: bigint) => ((Number(key) / 2 ** 128) * 100).toFixed(2);
  const figures = {
    records: shard.records,
    MB: (shard.bytes ?? 0) / 1e6,
    'last arrival': shard.last_arrival ?? '–',
  };
  return {
    shard: shard.shard,
    state: shard.open ? 'open' : 'closed',
    parents: parents.join(' ') || '–',
    'hash keys': `${place(BigInt(first_hash_key))} – ${place(BigInt(last_hash_key) + 1n)} %`,
    ...(shard.records === undefined ? {} : figures),
  };
}

export async function split(given: Arguments): Promise<number> {
  const args = nameLast(given, ['shard']);
  const at = text(args, 'at');
  if (at !== undefined && !/^\d+$/.test(at)) {
    throw usageError(`--at ${at} is no hash key`, 'a whole number from 0 to 2^128 − 1');
  }
  const key = at === undefined ? undefined : BigInt(at);
  return resharded(args, 'split', (admin) => admin.split(shardArgument(args, 'shard'), key));
}

export function merge(given: Arguments): Promise<number> {
  const args = nameLast(given, ['shard', 'other']);
  return resharded(args, 'merge', (admin) =>
    admin.merge(shardArgument(args, 'shard'), shardArgument(args, 'other')),
  );
}

export function reshard(args: Arguments): Promise<number> {
  const shards = shardsOf(args)!;
  return resharded(args, 'reshard', (admin) => admin.reshard(shards));
}

function resharded(
  args: Arguments,
  verb: string,
  change: (admin: StreamAdmin) => Promise<string[]>,
): Promise<number> {
  return withAdmin(args, async (admin) => {
    const opened = await change(admin);
    if (args['json']) printJson({ command: `stream ${verb}`, stream: admin.name, opened });
    say(`${admin.name}: opened ${opened.join(', ') || 'nothing, it is so already'}`);
    return EXIT.done;
  });
}

export function trim(args: Arguments): Promise<number> {
  return withAdmin(args, async (admin) => {
    const before = text(args, 'before') === 'now' ? Date.now() + 1 : time(args, 'before')!;
    const shard = args['shard'] === undefined ? undefined : shardArgument(args, 'shard');
    const trimmed = await admin.trim(before, shard);
    if (args['json']) printJson({ command: 'stream trim', stream: admin.name, trimmed });
    say(`${admin.name}: forgot ${several(trimmed, 'record')}`);
    return EXIT.done;
  });
}

export function remove(args: Arguments): Promise<number> {
  return withAdmin(args, async (admin) => {
    await admin.delete();
    if (args['json']) printJson({ command: 'stream delete', stream: admin.name });
    say(`deleted ${admin.name}`);
    return EXIT.done;
  });
}
