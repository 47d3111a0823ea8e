/**
 * Amazon Kinesis as it may behave at its worst, below the SDK: one stream.
 *
 *  - a put is stored in part, or as a whole without an answer, or twice, or long after it was given up
 *  - a record is seen by readers up to a second after it was stored; in a shard, in the order of its sequence numbers
 *  - a read returns any number of records, none too, whatever it says about the distance to the tip
 *  - an iterator expires; a list of shards lags, and comes in pages
 *  - a split or merge closes its parents; a closed shard ends once it is read to its end, and leaves the list once its
 *    records are gone
 */
import { setMaxListeners } from 'node:events';
import { KinesisClient } from '@aws-sdk/client-kinesis';
import { FanOutModel } from './fan-out-model.ts';
import type { Faults } from './faults.ts';
import { type Network, NoAnswer } from './network.ts';
import { running } from './surroundings.ts';
import { Broken, type Process, type World } from './world.ts';

const HASHES = 1n << 128n;
const RETENTION_HOURS = 24;
/** Records go a little after their time: the Date of an answer, from which a reader knows the time, is in whole seconds. */
const GRACE_MS = 2_000;
/** Of the stream when a world begins. */
const AGE_MS = 3_600_000;
const SEEN_MS = 1_000;
const ITERATOR_MS = 300_000;
/** Lists lag by less than what the reader expects (10 s). */
const LIST_LAG_MS = 5_000;
const READS_PER_SECOND = 5;
/** The SDK's second attempt. */
const AGAIN_MS = 100;

export interface KinesisRecord {
  readonly sequence: string;
  /** Base64. */
  readonly data: string;
  /** Epoch ms. */
  readonly arrival: number;
  /** From when on readers see it. */
  readonly seen: number;
}

export interface KinesisShard {
  readonly id: string;
  readonly parents: readonly string[];
  readonly first: bigint;
  readonly last: bigint;
  readonly opened: number;
  readonly firstSequence: string;
  closed: number | undefined;
  /** Records with lower numbers are gone. */
  trimmed: number;
  /** When it left the list. */
  gone: number | undefined;
  readonly records: KinesisRecord[];
  readonly reads: number[];
}

interface Iterator {
  readonly shard: KinesisShard;
  readonly at: number;
  readonly until: number;
}

interface Answer {
  readonly output?: object;
  /** Of a request whose body is read by taxiflow itself. */
  readonly body?: string;
  /** What it brings. */
  readonly records?: readonly KinesisRecord[];
}

type Input = Readonly<Record<string, unknown>>;

export function awsError(name: string, status: number): Error {
  return Object.assign(new Error(`${name} of the model`), {
    name,
    $metadata: { httpStatusCode: status },
    $fault: status < 500 ? 'client' : 'server',
  });
}

/** What the SDK throws where no answer comes. */
export function sdkError(failure: NoAnswer['failure']): Error {
  if (failure === 'unavailable') return awsError('ServiceUnavailable', 503);
  if (failure === 'silent')
    return Object.assign(new Error('socket timed out'), { name: 'TimeoutError', $metadata: {} });
  const code = failure === 'refused' ? 'ECONNREFUSED' : 'ECONNRESET';
  return Object.assign(new Error(`read ${code}`), { code, $metadata: {} });
}

export class KinesisModel {
  readonly name = 'trips';
  readonly shards: KinesisShard[] = [];
  /** Told of each put before it is carried out, by whom it was sent, and of each record that is stored. */
  onPut: (data: readonly string[], of: Process | undefined) => void = () => {};
  onStored: (data: string, shard: KinesisShard) => void = () => {};
  /** Told of records when an answer with them has come to a process. */
  onReceived: (of: Process, records: readonly KinesisRecord[]) => void = () => {};
  readonly retentionMs = RETENTION_HOURS * 3_600_000;
  readonly #clients = new WeakMap<KinesisClient, AbortController>();
  readonly #world: World;
  readonly #faults: Faults;
  readonly #network: Network;
  readonly #iterators = new Map<string, Iterator>();
  #lagsSince = 0;
  #lagsUntil = 0;
  #sequences = 0;
  readonly #created: number;
  readonly fanOut: FanOutModel;

  constructor(world: World, faults: Faults, network: Network, shards: number) {
    this.#world = world;
    this.#faults = faults;
    this.#network = network;
    this.#created = world.now;
    this.fanOut = new FanOutModel(world, faults, this);
    for (let i = 0n; i < shards; i++)
      this.#open(
        [],
        (i * HASHES) / BigInt(shards),
        ((i + 1n) * HASHES) / BigInt(shards) - 1n,
        world.now - AGE_MS,
      );
  }

  /** For some seconds, some lists are as of now, others not; so one may be older than the one before it. */
  lag(share: number): void {
    const { now } = this.#world;
    if (now < this.#lagsUntil) return;
    // What changes in this moment is left out.
    this.#lagsSince = now - 1;
    this.#lagsUntil = now + share * LIST_LAG_MS;
  }

  get openShards(): KinesisShard[] {
    return this.shards
      .filter(({ closed }) => closed === undefined)
      .sort((a, b) => (a.first < b.first ? -1 : 1));
  }

  shard(id: string): KinesisShard {
    return this.shards.find((shard) => shard.id === id)!;
  }

  split(parent: KinesisShard): void {
    const middle = (parent.first + parent.last) / 2n;
    parent.closed = this.#world.now;
    this.#open([parent.id], parent.first, middle);
    this.#open([parent.id], middle + 1n, parent.last);
  }

  merge(low: KinesisShard, high: KinesisShard): void {
    low.closed = high.closed = this.#world.now;
    this.#open([low.id, high.id], low.first, high.last);
  }

  /** Takes away what is older than the retention. */
  #age(): void {
    const oldest = this.#world.now - this.retentionMs - GRACE_MS;
    for (const shard of this.shards) {
      const { records, closed } = shard;
      while (shard.trimmed < records.length && records[shard.trimmed]!.arrival < oldest) shard.trimmed++;
      if (
        closed !== undefined &&
        closed < oldest &&
        shard.trimmed === records.length &&
        shard.gone === undefined
      ) {
        shard.gone = this.#world.now;
        this.#faults.note(`shard expired#${shard.id}`, 'plan shard expired');
      }
    }
  }

  /** Stores a record in a shard, by whoever else writes there. */
  write(shard: KinesisShard, data: string): void {
    this.#store(shard, Buffer.from(data).toString('base64'));
  }

  #open(parents: readonly string[], first: bigint, last: bigint, opened = this.#world.now): void {
    const id = `shardId-${String(this.shards.length).padStart(12, '0')}`;
    this.shards.push({ id, parents, first, last, opened, firstSequence: this.#sequence(), closed: undefined, trimmed: 0, gone: undefined, records: [], reads: [] }); // biome-ignore format: one shard
  }

  /** As those of version 2: 186 bits that grow. */
  #sequence(): string {
    const seconds = Math.floor(this.#world.now / 1_000)
      .toString(16)
      .padStart(9, '0');
    return String(BigInt(`0x2${seconds}${(++this.#sequences).toString(16).padStart(36, '0')}2`));
  }

  #store(shard: KinesisShard, data: string): string {
    const { now } = this.#world;
    const last = shard.records.at(-1)?.seen ?? 0;
    const late = this.#faults.of('kinesis', 'record', ['late-to-be-seen']) ? SEEN_MS : 30;
    const seen = Math.max(last, now + late * this.#world.chance('seen')());
    const sequence = this.#sequence();
    shard.records.push({ sequence, data, arrival: Math.floor(now), seen });
    this.onStored(data, shard);
    return sequence;
  }

  /** In the place of the SDK's client. */
  async send(
    client: KinesisClient,
    command: Command,
    options: { abortSignal?: AbortSignal } = {},
  ): Promise<object> {
    const of = running()!;
    const life = this.#clients.get(client) ?? new AbortController();
    this.#clients.set(client, life);
    // Each request under way listens to it.
    setMaxListeners(0, life.signal);
    if (life.signal.aborted) this.#world.broken(new Broken(`${of.name} uses a client that it has destroyed`));
    of.opened.set(client, () => {});
    const { abortSignal } = options;
    const signal = abortSignal ? AbortSignal.any([abortSignal, life.signal]) : life.signal;
    const name = command.constructor.name.replace(/Command$/, '');
    const terminal = async ({ request }: { request: { body?: Uint8Array } }) => {
      const answer = await this.#attempts(name, command.input, request.body, signal, of);
      const { output = {}, body, records } = answer;
      if (records) this.onReceived(of, records);
      return {
        response: {
          statusCode: 200,
          headers: { date: new Date(this.#world.now).toUTCString() },
          body: body === undefined ? Buffer.from('') : pieces(body),
        },
        output: { $metadata: { httpStatusCode: 200 }, ...output },
      };
    };
    const stack = ownOf(client).concat(command.middlewareStack as never);
    const handler = stack.resolve(terminal as never, {} as never) as Handler;
    const { output } = await handler({ input: command.input, request: {} } as never);
    return output as object;
  }

  /** A destroyed client breaks the connections under way. */
  destroyed(client: KinesisClient): void {
    running()?.opened.delete(client);
    this.#clients.get(client)?.abort(new NoAnswer('reset'));
  }

  /** The SDK tries a second time by itself. */
  async #attempts(
    name: string,
    input: Input,
    body: Uint8Array | undefined,
    signal: AbortSignal,
    of: Process,
  ): Promise<Answer> {
    const attempt = () =>
      this.#network.ask({ server: 'kinesis', name, signal, serve: () => this.#serve(name, input, body, of) });
    const translated = (error: unknown) => (error instanceof NoAnswer ? sdkError(error.failure) : error);
    try {
      return await attempt();
    } catch (error) {
      const { name: failed, $metadata } = translated(error) as {
        name: string;
        $metadata?: { httpStatusCode?: number };
      };
      const again =
        ($metadata?.httpStatusCode ?? 500) >= 500 || failed === 'ProvisionedThroughputExceededException';
      if (signal.aborted || !again || error instanceof SyntaxError) throw translated(error);
      await new Promise<void>((resolve) => void this.#world.after(AGAIN_MS, of, '', resolve));
      return attempt().catch((second: unknown) => {
        throw translated(second);
      });
    }
  }

  #serve(name: string, input: Input, body: Uint8Array | undefined, of: Process): Answer {
    const random = this.#faults.details(name);
    const fault = this.#faults.of('kinesis', `${name} served`, [
      'throttled',
      'rubbish',
      'failed-though-done',
    ]);
    if (fault === 'throttled') throw awsError('ProvisionedThroughputExceededException', 400);
    if (fault === 'rubbish') {
      // What the SDK reads itself, it can't parse.
      if (name !== 'PutRecords' && name !== 'GetRecords')
        throw Object.assign(new SyntaxError('Unexpected token <'), { $metadata: { httpStatusCode: 200 } });
      return { body: ['<html>', '{"Records":', ''][Math.floor(random() * 3)]! };
    }
    const answer = this.#answer(name, input, body, of);
    if (fault === 'failed-though-done') throw awsError('InternalFailure', 500);
    return answer;
  }

  #answer(name: string, input: Input, body: Uint8Array | undefined, of: Process): Answer {
    this.#age();
    switch (name) {
      case 'DescribeStreamSummary':
        return { output: { StreamDescriptionSummary: { StreamName: this.name, StreamARN: `arn:aws:kinesis:us-east-1:1:stream/${this.name}`, StreamStatus: 'ACTIVE', RetentionPeriodHours: RETENTION_HOURS, StreamCreationTimestamp: new Date(this.#created), OpenShardCount: this.openShards.length, StreamModeDetails: { StreamMode: 'PROVISIONED' } } } }; // biome-ignore format: one answer
      case 'ListShards':
        return { output: this.#list(input) };
      case 'GetShardIterator':
        return { output: this.#iterator(input) };
      case 'RegisterStreamConsumer':
        return { output: this.fanOut.register(input) };
      case 'DescribeStreamConsumer':
        return { output: this.fanOut.describe(input) };
      case 'DeregisterStreamConsumer':
        return { output: this.fanOut.deregister(input) };
      case 'SubscribeToShard':
        return { output: this.fanOut.subscribe(input, of) };
      case 'GetRecords':
        return this.#get(input);
      case 'PutRecords':
        return { body: JSON.stringify(this.#put(JSON.parse(Buffer.from(body!).toString()), of)) };
      default:
        throw new Error(`the model does not know ${name}`);
    }
  }

  #list(input: Input): object {
    const random = this.#world.chance('list');
    let [asOf, from] = String(input['NextToken'] ?? '')
      .split(' ')
      .map(Number) as [number, number];
    if (input['NextToken'] === undefined) {
      const { now } = this.#world;
      const lags = now < this.#lagsUntil && random() < 0.7;
      asOf = lags ? this.#lagsSince : now;
      from = 0;
    } else if (this.#faults.of('kinesis', 'ListShards token', ['token-expired']))
      throw awsError('ExpiredNextTokenException', 400);
    const all = this.shards.filter((shard) => shard.opened <= asOf && (shard.gone ?? asOf) >= asOf);
    const page = random() < 0.2 ? 2 : 1_000;
    const shards = all.slice(from, from + page).map((shard) => ({
      ShardId: shard.id,
      ...(shard.parents[0] ? { ParentShardId: shard.parents[0] } : {}),
      ...(shard.parents[1] ? { AdjacentParentShardId: shard.parents[1] } : {}),
      HashKeyRange: { StartingHashKey: String(shard.first), EndingHashKey: String(shard.last) },
      SequenceNumberRange: {
        StartingSequenceNumber: shard.firstSequence,
        ...(shard.closed !== undefined && shard.closed <= asOf
          ? { EndingSequenceNumber: shard.firstSequence }
          : {}),
      },
    }));
    return { Shards: shards, ...(from + page < all.length ? { NextToken: `${asOf} ${from + page}` } : {}) };
  }

  #iterator({ ShardId, ShardIteratorType, StartingSequenceNumber, Timestamp }: Input): object {
    const { shard, at } = this.placeIn(String(ShardId), String(ShardIteratorType), StartingSequenceNumber, Timestamp as Date); // biome-ignore format: one call
    return { ShardIterator: this.#iteratorAt(shard, at) };
  }

  /** A shard that is there, and the number of its record at a position. */
  placeIn(id: string, type: string, sequence: unknown, time: Date): { shard: KinesisShard; at: number } {
    const shard = this.shard(id);
    if (!shard || shard.gone !== undefined) throw awsError('ResourceNotFoundException', 400);
    return { shard, at: this.#placeOf(shard, type, sequence, time) };
  }

  /** What readers see of a shard from a record on. */
  after(shard: KinesisShard, at: number, most: number) {
    this.#age();
    const { now } = this.#world;
    const from = Math.max(at, shard.trimmed);
    if (from > at) this.#faults.note(`records expired#${shard.id}:${from}`, 'plan records expired');
    let to = from;
    while (to < shard.records.length && to - from < most && shard.records[to]!.seen <= now) to++;
    const oldest = shard.records[to];
    // A record that readers don't see yet is behind no tip.
    const isBehind = oldest !== undefined && oldest.seen <= now;
    const behind = isBehind ? Math.max(1, Math.floor(now - oldest.arrival)) : 0;
    const ended = shard.closed !== undefined && to === shard.records.length;
    return { taken: shard.records.slice(from, to), at: to, behind, isBehind, ended };
  }

  #placeOf({ records }: KinesisShard, type: string, sequence: unknown, time: Date): number {
    if (type === 'TRIM_HORIZON') return 0;
    if (type === 'LATEST') return records.length;
    if (type === 'AT_TIMESTAMP') {
      const found = records.findIndex(({ arrival }) => arrival >= time.getTime());
      return found < 0 ? records.length : found;
    }
    const found = records.findIndex((record) => BigInt(record.sequence) > BigInt(String(sequence)));
    return found < 0 ? records.length : found;
  }

  #iteratorAt(shard: KinesisShard, at: number): string {
    const iterator = `${shard.id} ${at} ${this.#iterators.size}`;
    this.#iterators.set(iterator, { shard, at, until: this.#world.now + ITERATOR_MS });
    return iterator;
  }

  #get({ ShardIterator, Limit }: Input): Answer {
    const { now } = this.#world;
    const { shard, at, until } = this.#iterators.get(String(ShardIterator))!;
    if (now > until || this.#faults.of('kinesis', 'GetRecords iterator', ['iterator-expired']))
      throw awsError('ExpiredIteratorException', 400);
    if (shard.gone !== undefined) throw awsError('ResourceNotFoundException', 400);
    while (shard.reads.length > 0 && shard.reads[0]! <= now - 1_000) shard.reads.shift();
    if (shard.reads.length >= READS_PER_SECOND) throw awsError('ProvisionedThroughputExceededException', 400);
    shard.reads.push(now);
    const fault = this.#faults.of('kinesis', 'GetRecords answer', ['no-records', 'few-records', 'tip-lie']);
    const random = this.#faults.details('GetRecords answer');
    const most = fault === 'no-records' ? 0 : fault ? 1 + Math.floor(3 * random()) : Number(Limit);
    const { taken, at: to, behind, isBehind, ...found } = this.after(shard, at, most);
    // A full answer may deny that more follows it, and an empty one the tip.
    const told = fault !== 'tip-lie' ? behind : isBehind && taken.length === Number(Limit) ? 0 : behind + 500;
    const ended = found.ended && fault !== 'no-records';
    const answer = {
      Records: taken.map(({ data, sequence, arrival }) => ({ Data: data, SequenceNumber: sequence, PartitionKey: 'p', ApproximateArrivalTimestamp: arrival / 1_000 })),
      MillisBehindLatest: told,
      ...(ended
        ? { ChildShards: this.shards.filter(({ parents }) => parents.includes(shard.id)).map(({ id }) => ({ ShardId: id })) }
        : { NextShardIterator: this.#iteratorAt(shard, to) }),
    }; // biome-ignore format: one answer
    return { body: JSON.stringify(answer), records: taken };
  }

  #put({ Records }: { Records: readonly { Data: string; ExplicitHashKey: string }[] }, of: Process): object {
    this.onPut(
      Records.map(({ Data }) => Data),
      of,
    );
    const fault = this.#faults.of('kinesis', 'PutRecords records', [
      'some-refused',
      'some-stored-though-refused',
    ]);
    const random = this.#faults.details('PutRecords records');
    const answers = Records.map(({ Data, ExplicitHashKey }) => {
      const key = BigInt(ExplicitHashKey);
      const shard = this.openShards.find(({ first, last }) => first <= key && key <= last)!;
      const refused = fault !== undefined && random() < 0.4;
      if (refused && fault === 'some-refused')
        return { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'Rate exceeded' };
      const SequenceNumber = this.#store(shard, Data);
      if (refused) return { ErrorCode: 'InternalFailure', ErrorMessage: 'Internal service failure.' };
      return { SequenceNumber, ShardId: shard.id };
    });
    const failed = answers.filter((answer) => 'ErrorCode' in answer).length;
    return { FailedRecordCount: failed, Records: answers };
  }
}

const owns = new WeakMap<KinesisClient, Stack>();

type Stack = KinesisClient['middlewareStack'];

/** What taxiflow has put into the way of a client's requests, without what the SDK does. */
function ownOf(client: KinesisClient): Stack {
  const known = owns.get(client);
  if (known) return known;
  const own = client.middlewareStack.clone();
  owns.set(client, own);
  const names = [...own.identify().map((name) => name.split(' ')[0]!), 'httpAuthSchemeMiddleware'];
  for (const name of names) if (name !== 'timeAt') own.remove(name);
  return own;
}

type Handler = (args: never) => Promise<{ output: object }>;

interface Command {
  readonly input: Input;
  readonly middlewareStack: object;
}

async function* pieces(body: string): AsyncGenerator<Buffer> {
  yield Buffer.from(body);
}

const { prototype } = KinesisClient as unknown as { prototype: Record<string, unknown> };
const { destroy } = prototype;

/** Puts a model in the place of Kinesis, for all clients of this process; undefined takes it away. */
export function answerKinesis(model: KinesisModel | undefined): void {
  delete prototype['send'];
  prototype['destroy'] = destroy;
  if (!model) return;
  prototype['send'] = function (
    this: KinesisClient,
    command: Command,
    options?: { abortSignal?: AbortSignal },
  ) {
    return model.send(this, command, options);
  };
  prototype['destroy'] = function (this: KinesisClient) {
    model.destroyed(this);
  };
}
