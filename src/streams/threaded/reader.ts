/**
 * Reads a stream in threads of their own, so that the engine's thread has only packed trips to take in: requests, unpacking
 * and JSON are theirs. Each shard is read by one of them.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type PlainError, thrownAgain } from '../../errors.ts';
import { PackedTrips } from '../../events/packed.ts';
import type { StreamTarget } from '../connectors.ts';
import type { Position, ReaderOptions, RecordBatch, Shard, StreamReader } from '../ports.ts';

/** Always the compiled file: a worker thread can't load TypeScript. */
const THREAD = fileURLToPath(new URL('../../../dist/streams/threaded/worker.js', import.meta.url));

/** What a thread is to read. */
export interface Task {
  readonly target: StreamTarget;
  readonly options: ReaderOptions;
}

/** A question to a thread, answered under the same number. */
export type Question = { readonly number: number } & (
  | { readonly ask: 'open' | 'shards' | 'close' }
  | { readonly ask: 'remaining'; readonly shard: string; readonly position: Position }
  | { readonly ask: 'read'; readonly shard: string; readonly position: Position; readonly limit: number }
);

export interface Answer {
  readonly number: number;
  readonly error?: PlainError;
  readonly value?: Opened | readonly Shard[] | SentBatch | number | undefined;
}

export interface Opened {
  readonly name: string;
  readonly identity: string;
}

/** A batch as it is sent from one thread to another. */
export interface SentBatch extends Omit<RecordBatch, 'data' | 'packed' | 'sequenceOf'> {
  readonly data: Uint8Array;
  readonly packed: readonly {
    readonly row: number;
    readonly from: number;
    readonly count: number;
    readonly bytes: Uint8Array;
  }[];
  /** One a line. */
  readonly sequences: string;
}

type Ask = Question extends infer Q ? (Q extends Question ? Omit<Q, 'number'> : never) : never;

/** One thread and the questions it has not answered yet. */
class Thread {
  readonly #worker: Worker;
  readonly #asked = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #number = 0;
  #failure: Error | undefined;

  constructor(task: Task, program: string) {
    this.#worker = new Worker(program, { workerData: task });
    this.#worker.on('message', ({ number, value, error }: Answer) => {
      const asked = this.#asked.get(number);
      this.#asked.delete(number);
      if (error) asked?.reject(thrownAgain(error));
      else asked?.resolve(value);
    });
    this.#worker.on('error', (error) => this.#die(error));
    this.#worker.on('exit', () => this.#die(new Error('a thread that reads the stream ended too early')));
  }

  ask<T>(question: Ask): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const number = this.#number++;
      this.#asked.set(number, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ ...question, number });
    });
  }

  async close(): Promise<void> {
    try {
      await this.ask({ ask: 'close' });
    } finally {
      await this.#worker.terminate();
    }
  }

  #die(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#asked.values()) reject(this.#failure);
    this.#asked.clear();
  }
}

export class ThreadedReader implements StreamReader {
  readonly name: string;
  readonly identity: string;
  readonly #threads: readonly Thread[];
  /** The thread that reads a shard. */
  readonly #readers = new Map<string, Thread>();

  private constructor(threads: readonly Thread[], { name, identity }: Opened) {
    this.#threads = threads;
    this.name = name;
    this.identity = identity;
  }

  /** Throws what opening the stream throws. `count` is the number of threads. */
  static async open(
    target: StreamTarget,
    options: ReaderOptions,
    count: number,
    program = THREAD,
  ): Promise<ThreadedReader> {
    const threads: Thread[] = [];
    try {
      // The first may make the stream, which the others then find.
      let opened: Opened | undefined;
      for (let i = 0; i < count; i++) {
        const thread = new Thread({ target, options }, program);
        threads.push(thread);
        const found = await thread.ask<Opened>({ ask: 'open' });
        opened ??= found;
      }
      return new ThreadedReader(threads, opened!);
    } catch (error) {
      for (const thread of threads) await thread.close().catch(() => {});
      throw error;
    }
  }

  async shards(): Promise<readonly Shard[]> {
    // Each thread goes by its own list, and none may know less than what is returned.
    const lists = this.#threads.map((thread) => thread.ask<readonly Shard[]>({ ask: 'shards' }));
    const [list] = await Promise.all(lists);
    return list!;
  }

  async read(shard: string, position: Position, limit: number): Promise<RecordBatch> {
    return received(await this.#readerOf(shard).ask<SentBatch>({ ask: 'read', shard, position, limit }));
  }

  remaining(shard: string, position: Position): Promise<number | undefined> {
    return this.#readerOf(shard).ask({ ask: 'remaining', shard, position });
  }

  async close(): Promise<void> {
    const ends = await Promise.allSettled(this.#threads.map((thread) => thread.close()));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  #readerOf(shard: string): Thread {
    let thread = this.#readers.get(shard);
    if (!thread) {
      thread = this.#threads[this.#readers.size % this.#threads.length]!;
      this.#readers.set(shard, thread);
    }
    return thread;
  }
}

const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

function received({ data, packed, sequences, ...batch }: SentBatch): RecordBatch {
  let lines: string[] | undefined;
  return {
    ...batch,
    data: asBuffer(data),
    ...(packed.length > 0
      ? {
          packed: packed.map(({ row, from, count, bytes }) => {
            return { row, from, count, trips: PackedTrips.read(asBuffer(bytes))! };
          }),
        }
      : {}),
    sequenceOf: (row) => {
      lines ??= sequences.split('\n');
      return lines[row]!;
    },
  };
}
