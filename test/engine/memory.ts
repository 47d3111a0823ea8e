/** A stream and a state in memory: what is committed is copied, so that nothing else outlives a crash. */

import type { DuplicateChanges, StoredTrips } from '../../src/engine/duplicates.ts';
import type { Checkpoint, StateStore, StoredState } from '../../src/engine/state-store.ts';
import type { StoredWindow } from '../../src/engine/windows/aligned.ts';
import type { Firing } from '../../src/engine/windows/documents.ts';
import type { BlockPlace, PaneBlock, StoredPanes, WindowSpan } from '../../src/engine/windows/pane-runs.ts';
import { TaxiflowError } from '../../src/errors.ts';
import type { Position, RecordBatch, Shard, StreamReader } from '../../src/streams/ports.ts';
import { shardIdOf } from '../../src/streams/shards.ts';

export type Document = Readonly<Record<string, unknown>>;

const placeOf = ({ view, windowStart, windowEnd, part, kind, block }: BlockPlace) =>
  `${view} ${windowStart} ${windowEnd} ${part} ${kind} ${block}`;

/** Blocks of panes, copied like into a file. */
export class MemoryPanes implements StoredPanes {
  readonly #blocks = new Map<string, PaneBlock>();
  /** Number of blocks read. */
  loads = 0;

  block(place: BlockPlace): Uint8Array | undefined {
    const found = this.#blocks.get(placeOf(place));
    if (found) this.loads++;
    return found && Buffer.from(found.data);
  }

  firstKey(place: BlockPlace): PaneBlock['first'] {
    return this.#blocks.get(placeOf(place))?.first;
  }

  rewrite(blocks: Iterable<PaneBlock>): void {
    this.write(blocks);
  }

  put(blocks: Iterable<PaneBlock>): void {
    this.write(blocks);
  }

  drop({ view, windowEnd }: WindowSpan & { readonly view: string }): void {
    this.forget(view, windowEnd);
  }

  write(blocks: Iterable<PaneBlock>): void {
    for (const block of blocks) this.#blocks.set(placeOf(block), { ...block, data: Buffer.from(block.data) });
  }

  forget(view: string, windowEnd: number): void {
    for (const [key, block] of this.#blocks)
      if (block.view === view && block.windowEnd === windowEnd) this.#blocks.delete(key);
  }

  get size(): number {
    return this.#blocks.size;
  }

  get windows(): (StoredWindow & { view: string })[] {
    const windows = new Map<string, StoredWindow & { view: string }>();
    for (const { view, windowStart, windowEnd, part, block, first } of this.#blocks.values()) {
      const key = `${view} ${windowEnd}`;
      const known = windows.get(key);
      windows.set(key, {
        view,
        windowStart,
        windowEnd,
        parts: Math.max(known?.parts ?? 0, part + 1),
        unsorted: (known?.unsorted ?? false) || (first === undefined && block > 0),
      });
    }
    return [...windows.values()];
  }
}

/** Trips seen, stored as in a file. */
export class MemoryTrips {
  readonly #pages = new Map<string, StoredTrips['pages'][number]>();
  readonly #ranges = new Map<string, StoredTrips['ranges'][number]>();
  readonly #chunks = new Map<number, StoredTrips['chunks'][number]>();
  readonly #late = new Map<string, StoredTrips['late'][number]>();

  take(changes: DuplicateChanges): void {
    const { pages, ranges, chunks, late, gonePages, goneRanges, goneChunks, goneLate } =
      structuredClone(changes);
    for (const { replay, id } of goneLate) this.#late.delete(`${replay} ${id}`);
    for (const trip of late) this.#late.set(`${trip.replay} ${trip.id}`, trip);
    for (const { replay, page } of gonePages) this.#pages.delete(`${replay} ${page}`);
    for (const { replay, from } of goneRanges) this.#ranges.delete(`${replay} ${from}`);
    for (const chunk of goneChunks) this.#chunks.delete(chunk);
    for (const page of pages) this.#pages.set(`${page.replay} ${page.page}`, page);
    for (const range of ranges) this.#ranges.set(`${range.replay} ${range.from}`, range);
    for (const chunk of chunks) this.#chunks.set(chunk.chunk, chunk);
  }

  get stored(): StoredTrips {
    return structuredClone({
      pages: [...this.#pages.values()],
      ranges: [...this.#ranges.values()].sort((a, b) => (a.replay < b.replay ? -1 : a.replay > b.replay ? 1 : a.from - b.from)),
      late: [...this.#late.values()],
      chunks: [...this.#chunks.values()].sort((a, b) => a.chunk - b.chunk),
    }); // biome-ignore format: a part a line
  }
}

export class MemoryStore implements StateStore {
  readonly firings: Firing[] = [];
  readonly commits: (Omit<Checkpoint, 'blocks' | 'gone' | 'firings'> & { firings: Firing[] })[] = [];
  readonly panes = new MemoryPanes();
  readonly #trips = new MemoryTrips();
  readonly #letters = new Map<string, number>();
  #last: Checkpoint | undefined;
  stored: StoredState | undefined;
  /** Called before each commit, counted from 1; throws to crash. */
  beforeCommit: (commit: number) => void = () => {};

  commit(checkpoint: Checkpoint): void {
    this.beforeCommit(this.commits.length + 1);
    // The port requires this order.
    const firings = [...checkpoint.firings];
    const blocks = [...checkpoint.blocks];
    const gone = [...checkpoint.gone];
    const c = structuredClone({ ...checkpoint, firings, blocks, gone });
    this.panes.write(blocks);
    for (const { view, windowEnd } of gone) this.panes.forget(view, windowEnd);
    this.#trips.take(c.duplicates);
    for (const [reason, n] of c.deadLetters.counts)
      this.#letters.set(reason, (this.#letters.get(reason) ?? 0) + n);
    for (const firing of firings) this.firings.push(firing);
    this.commits.push(c);
    this.#last = c;
  }

  /** The state that a new process finds. */
  reopen(): this {
    if (!this.#last) return this;
    this.stored = structuredClone({
      watermark: this.#last.watermark,
      counters: this.#last.counters,
      shards: this.#last.shards.map((shard) => ({ ...shard, idle: false })),
      windows: this.panes.windows,
      seen: this.#trips.stored,
      deadLetters: [],
      closedUpTo: this.#last.closedUpTo,
    });
    return this;
  }

  block(place: BlockPlace): Uint8Array | undefined {
    return this.panes.block(place);
  }

  firstKey(place: BlockPlace): PaneBlock['first'] {
    return this.panes.firstKey(place);
  }

  rewrite(blocks: Iterable<PaneBlock>): void {
    this.panes.rewrite(blocks);
  }

  put(blocks: Iterable<PaneBlock>): void {
    this.panes.put(blocks);
  }

  drop(window: WindowSpan & { readonly view: string }): void {
    this.panes.drop(window);
  }

  get blocks(): number {
    return this.panes.size;
  }

  /** Dead letters by reason. */
  get letters(): Record<string, number> {
    return Object.fromEntries([...this.#letters].filter(([, count]) => count !== 0));
  }

  /** The results in the order they were committed. */
  get documents(): Document[] {
    return this.firings.flatMap(documentsOf);
  }
}

export function documentsOf({ docs }: Firing): Document[] {
  return JSON.parse(`[${docs}]`) as Document[];
}

/** Totals by the end of their window; a firing in pieces has them once. */
export function totalsIn(firings: readonly Firing[]): Map<number, unknown> {
  const found = firings.filter(({ totals }) => totals !== undefined);
  return new Map(found.map(({ windowEnd, totals }) => [windowEnd, JSON.parse(totals!) as unknown]));
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
  /** Records with lower numbers have expired. */
  trimmed: number;
  readonly records: { readonly text: string; readonly arrival: number }[];
}

/** Shards as arrays. */
export class MemoryReader implements StreamReader {
  readonly name = 'memory';
  readonly identity = 'memory-1';
  readonly list: MemoryShard[] = [];
  /** Called before each read, counted from 1. */
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
