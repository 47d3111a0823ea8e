import { EXIT, type TaxiflowError, usageError } from '../../errors.ts';
import {
  DEFAULT_SHARDS,
  lacks,
  openAdmin,
  parseTarget,
  type StreamTarget,
  streamsThatCan,
} from '../../streams/connectors.ts';
import type { Capability, ShardDescription, StreamAdmin } from '../../streams/ports.ts';
import { shardIdOf } from '../../streams/shards.ts';
import type {
  CreateArguments,
  MergeArguments,
  ReshardArguments,
  SplitArguments,
  StreamArguments,
  TrimArguments,
} from '../commands/stream.ts';
import { timeOf } from '../options.ts';
import { formatted, printJson, progressLine, say, several, write } from '../terminal.ts';

async function withAdmin<T>(
  args: StreamArguments,
  work: (admin: StreamAdmin, target: StreamTarget) => Promise<T>,
): Promise<T> {
  const progress = await progressLine();
  const target = parseTarget(args.name);
  const admin = await openAdmin(target, {
    dataDir: args.dataDir,
    region: args.region,
    endpointUrl: args.endpointUrl,
    onWait: (status) => progress.update(`the stream is ${status}`),
  });
  try {
    return await work(admin, target);
  } finally {
    progress.stop();
    admin.close();
  }
}

const SHARD = /^(?:\d+|shardId-\d+)$/;

/** Moves the stream's name to the end if it was given before its shards. */
function nameLast(words: readonly (string | undefined)[]): readonly (string | undefined)[] {
  const [first, ...others] = words;
  if (SHARD.test(String(first)) || !others.every((word) => SHARD.test(String(word)))) return words;
  return [...others, first];
}

/** Refuses the name of a stream where a shard belongs, unless another word names the stream. */
function refuseAsShards(verb: string, shards: readonly string[], name: string | undefined): void {
  for (const word of shards) {
    if (SHARD.test(word) || (name !== undefined && !word.includes(':'))) continue;
    const form = shards.map((_, i) => i).join(' ');
    throw usageError(
      `"${word}" was taken for the shard; a shard is a number such as 0, or an id such as ${shardIdOf(0)}`,
      `"taxiflow stream ${verb} ${form} ${word}"`,
    );
  }
}

function shardArgument(value: string): string {
  return /^\d+$/.test(value) ? shardIdOf(Number(value)) : value;
}

/** What a stream answers that can't do what was asked: which ones can, and what to do instead. */
function cannot(what: string, target: StreamTarget, capability: Capability): TaxiflowError {
  return usageError(`${what} is for ${streamsThatCan(capability)}`, lacks(target, capability));
}

export function create(args: CreateArguments): Promise<number> {
  return withAdmin(args, async (admin, target) => {
    if (args.onDemand && args.shards !== undefined)
      throw usageError('an --on-demand stream has no fixed number of shards', 'omit --shards');
    const shards = args.onDemand ? undefined : (args.shards ?? DEFAULT_SHARDS);
    if (shards !== undefined) await admin.create(shards);
    else if (admin.createOnDemand) await admin.createOnDemand();
    else throw cannot('--on-demand', target, 'on-demand');
    if (args.json) printJson({ command: 'stream create', stream: admin.name, shards: shards ?? null });
    say(`created ${admin.name} ${shards === undefined ? 'on demand' : `with ${several(shards, 'shard')}`}`);
    return EXIT.done;
  });
}

export function describe(args: StreamArguments): Promise<number> {
  return withAdmin(args, async (admin) => {
    const shards = await admin.describe();
    if (args.json) printJson({ command: 'stream describe', stream: admin.name, shards });
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

export async function split(args: SplitArguments): Promise<number> {
  const [shard = '', name] = nameLast([args.shard, args.name]);
  refuseAsShards('split', [shard], name);
  const { at } = args;
  if (at !== undefined && !/^\d+$/.test(at)) {
    throw usageError(`--at ${at} is not a hash key`, 'write a whole number from 0 to 2^128 − 1');
  }
  const key = at === undefined ? undefined : BigInt(at);
  return resharded({ ...args, name }, 'split', (admin) => admin.split(shardArgument(shard), key));
}

export async function merge(args: MergeArguments): Promise<number> {
  const [shard = '', other = '', name] = nameLast([args.shard, args.other, args.name]);
  refuseAsShards('merge', [shard, other], name);
  return resharded({ ...args, name }, 'merge', (admin) =>
    admin.merge(shardArgument(shard), shardArgument(other)),
  );
}

export function reshard(args: ReshardArguments): Promise<number> {
  return resharded(args, 'reshard', (admin) => admin.reshard(args.shards));
}

function resharded(
  args: StreamArguments,
  verb: string,
  change: (admin: StreamAdmin) => Promise<string[]>,
): Promise<number> {
  return withAdmin(args, async (admin) => {
    const opened = await change(admin);
    if (args.json) printJson({ command: `stream ${verb}`, stream: admin.name, opened });
    say(`${admin.name}: opened ${opened.join(', ') || 'no shards, none were needed'}`);
    return EXIT.done;
  });
}

export function trim(args: TrimArguments): Promise<number> {
  return withAdmin(args, async (admin, target) => {
    if (!admin.trim) throw cannot('trim', target, 'trim');
    const before = args.before === 'now' ? Date.now() + 1 : timeOf(args.before, '--before');
    const shard = args.shard === undefined ? undefined : shardArgument(args.shard);
    const trimmed = await admin.trim(before, shard);
    if (args.json) printJson({ command: 'stream trim', stream: admin.name, trimmed });
    say(`${admin.name}: deleted ${several(trimmed, 'record')}`);
    return EXIT.done;
  });
}

export function remove(args: StreamArguments): Promise<number> {
  return withAdmin(args, async (admin) => {
    await admin.delete();
    if (args.json) printJson({ command: 'stream delete', stream: admin.name });
    say(`deleted ${admin.name}`);
    return EXIT.done;
  });
}
