/** A stream and a state in memory: what is committed is copied, so that nothing else outlives a crash. */
import type { Clock } from '../../src/clock.ts';
import type { Checkpoint, StateStore, StoredState } from '../../src/engine/checkpoint.ts';
import type { PageRecord, SeenRange } from '../../src/engine/duplicates.ts';
import type { Firing, PaneBlock } from '../../src/engine/panes.ts';
import { TaxiflowError } from '../../src/errors.ts';
import {
  type Position,
  type RecordBatch,
  type Shard,
  type StreamReader,
  shardIdOf,
} from '../../src/streams/stream.ts';

export type Document = Readonly<Record<string, unknown>>;

export class MemoryStore implements StateStore {
  readonly firings: Firing[] = [];
  readonly commits: Checkpoint[] = [];
  loads = 0;
  readonly #blocks = new Map<string, PaneBlock>();
  readonly #pages = new Map<string, PageRecord>();
  readonly #ranges = new Map<string, SeenRange[]>();
  readonly #letters = new Map<string, number>();
  #last: Checkpoint | undefined;
  stored: StoredState | undefined;
  /** Told before each commit, counted from 1; what it throws is the crash. */
  beforeCommit: (commit: number) => void = () => {};

  commit(checkpoint: Checkpoint): void {
    this.beforeCommit(this.commits.length + 1);
    const c = structuredClone(checkpoint);
    for (const { view, windowStart } of c.gone) {
      for (const [key, block] of this.#blocks)
        if (block.view === view && block.windowStart === windowStart) this.#blocks.delete(key);
    }
    for (const block of c.blocks) {
      // Through JSON, as a file would keep them.
      const kept = JSON.parse(JSON.stringify(block)) as PaneBlock;
      this.#blocks.set(`${block.view} ${block.windowStart} ${block.block}`, kept);
    }
    for (const { replay, page } of c.duplicates.closed) this.#pages.delete(`${replay} ${page}`);
    for (const page of c.duplicates.pages) this.#pages.set(`${page.replay} ${page.page}`, page);
    for (const { replay, ranges } of c.duplicates.ranges) this.#ranges.set(replay, ranges);
    for (const [reason, n] of c.deadLetters.counts)
      this.#letters.set(reason, (this.#letters.get(reason) ?? 0) + n);
    this.firings.push(...c.firings);
    this.commits.push(c);
    this.#last = c;
  }

  /** What a new process finds. */
  reopen(): this {
    if (!this.#last) return this;
    const windows = new Map<string, { view: string; windowStart: number; fired: boolean }>();
    for (const { view, windowStart, fired } of this.#blocks.values()) {
      const key = `${view} ${windowStart}`;
      windows.set(key, { view, windowStart, fired: fired || (windows.get(key)?.fired ?? false) });
    }
    this.stored = structuredClone({
      watermark: this.#last.watermark,
      counters: this.#last.counters,
      shards: this.#last.shards.map((shard) => ({ ...shard, idle: false })),
      windows: [...windows.values()],
      pages: [...this.#pages.values()],
      ranges: [...this.#ranges].map(([replay, ranges]) => ({ replay, ranges })),
      deadLetters: [],
    });
    return this;
  }

  load(view: string, windowStart: number): PaneBlock[] {
    this.loads++;
    return [...this.#blocks.values()].filter((b) => b.view === view && b.windowStart === windowStart);
  }

  get blocks(): number {
    return this.#blocks.size;
  }

  get pages(): number {
    return this.#pages.size;
  }

  /** Dead letters by reason. */
  get letters(): Record<string, number> {
    return Object.fromEntries(this.#letters);
  }

  /** The results in the order they were committed. */
  get documents(): Document[] {
    return this.firings.flatMap(documentsOf);
  }
}

export function documentsOf({ docs }: Firing): Document[] {
  return JSON.parse(`[${docs}]`) as Document[];
}

/** Records in one piece of memory. */
export function packed(records: readonly string[]) {
  const pieces = records.map((record) => Buffer.from(record));
  const ends = new Uint32Array(pieces.length);
  let end = 0;
  for (const [i, piece] of pieces.entries()) {
    end += piece.length;
    ends[i] = end;
  }
  return { count: pieces.length, data: Buffer.concat(pieces), ends };
}

export interface MemoryShard extends Shard {
  open: boolean;
  /** Records with lower numbers fell out of retention. */
  trimmed: number;
  readonly records: { readonly text: string; readonly arrival: number }[];
}

/** Shards as arrays. */
export class MemoryReader implements StreamReader {
  readonly name = 'memory';
  readonly identity = 'memory-1';
  readonly list: MemoryShard[] = [];
  /** Told before each read, counted from 1. */
  beforeRead: (read: number, shardId: string) => void = () => {};
  #reads = 0;
  #made = 0;

  constructor(shards: number) {
    for (let i = 0; i < shards; i++) this.add([]);
  }

  add(parents: readonly MemoryShard[]): MemoryShard {
    for (const parent of parents) parent.open = false;
    const shard: MemoryShard = {
      id: shardIdOf(this.#made++),
      parents: parents.map(({ id }) => id),
      firstHashKey: 0n,
      lastHashKey: 0n,
      open: true,
      trimmed: 0,
      records: [],
    };
    this.list.push(shard);
    return shard;
  }

  get open(): MemoryShard[] {
    return this.list.filter((shard) => shard.open);
  }

  put(shard: MemoryShard, text: string, arrival = 0): void {
    shard.records.push({ text, arrival });
  }

  broadcast(text: string): void {
    for (const shard of this.open) this.put(shard, text);
  }

  async shards(): Promise<readonly Shard[]> {
    return this.list.map((shard) => ({ ...shard }));
  }

  async read(shardId: string, position: Position, limit: number): Promise<RecordBatch> {
    this.beforeRead(++this.#reads, shardId);
    const shard = this.list.find(({ id }) => id === shardId);
    if (!shard) throw new TaxiflowError('no-shard', shardId);
    const { records, trimmed } = shard;
    const asked = this.#indexAt(shard, position);
    const from = Math.max(asked, trimmed);
    const taken = records.slice(from, from + limit);
    const next = from + taken.length;
    return {
      ...packed(taken.map(({ text }) => text)),
      arrivals: Float64Array.from(taken, ({ arrival }) => arrival),
      next: next === 0 ? { at: 'trim-horizon' } : { at: 'after', sequence: String(next - 1) },
      atTip: next >= records.length,
      ended: next >= records.length && !shard.open,
      lost: from > asked ? `${from - asked} records` : undefined,
      sequenceOf: (row) => String(from + row),
    };
  }

  async close(): Promise<void> {}

  #indexAt({ records }: MemoryShard, position: Position): number {
    if (position.at === 'after') return Number(position.sequence) + 1;
    if (position.at === 'latest') return records.length;
    if (position.at === 'trim-horizon') return 0;
    const found = records.findIndex(({ arrival }) => arrival >= position.ms);
    return found < 0 ? records.length : found;
  }
}

/** A millisecond passes whenever somebody looks, and a sleep is over at once. */
export class HurriedClock implements Clock {
  #ms = Date.UTC(2020, 0, 1);

  now(): number {
    return this.#ms++;
  }

  /** Somebody sets it. */
  setBack(ms: number): void {
    this.#ms -= ms;
  }

  async sleep(ms: number): Promise<void> {
    this.#ms += ms;
    // A run that never ends can still be stopped then.
    if (ms > 0) await new Promise((resolve) => setImmediate(resolve));
  }
}
