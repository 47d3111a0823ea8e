/**
 * Reads a CSV file in a thread of its own: this one reads and unpacks the bytes and sorts the trips, that one parses. The
 * thread asks for each chunk, so it never runs far ahead.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type PlainError, thrownAgain, toPlainError } from '../errors.ts';
import type { DateOrder } from '../events/times.ts';
import type { Input } from './inputs.ts';
import type { LineCounts, ReadOptions, RowSink } from './sink.ts';
import type { LeftOut, RejectReason, SourceTrips } from './trips.ts';

/** Always the compiled file: a worker thread can't load TypeScript. */
const THREAD = fileURLToPath(new URL('../../dist/dataset/csv-worker.js', import.meta.url));

/** What the thread is told to read. */
export interface Task {
  readonly name: string;
  readonly once: boolean;
  readonly dateOrder: DateOrder | undefined;
  readonly folder: string;
}

/** What the thread says. `open` asks for the input to be opened anew, and `next` for its next chunk. */
export type FromThread =
  | { readonly say: 'open'; readonly reading: number; readonly counted: boolean }
  | { readonly say: 'next' | 'close'; readonly reading: number }
  | { readonly say: 'rows'; readonly trips: readonly SourceTrips[]; readonly rejects: readonly Reject[] }
  | { readonly say: 'note'; readonly note: string }
  | {
      readonly say: 'end';
      readonly lines: LineCounts;
      readonly leftOut: readonly [number, (LeftOut & { readonly line: number }) | undefined];
      readonly digest: string;
    }
  | { readonly say: 'failed'; readonly error: PlainError };

export interface Reject {
  readonly reason: RejectReason;
  readonly line: number;
  readonly raw: string;
  readonly detail: string;
}

/** The answer to `next`: a chunk, the end, or an error. */
export interface ToThread {
  readonly reading: number;
  readonly chunk?: Uint8Array | undefined;
  readonly error?: PlainError;
}

/** Like `readCsv`. The sink must take trips in batches. Throws, too, if the thread dies. */
export async function* readCsvInThread(
  input: Input,
  sink: RowSink,
  options: ReadOptions,
  program = THREAD,
): AsyncGenerator<void> {
  const { dateOrder, folder } = options;
  const task: Task = { name: input.name, once: input.once === true, dateOrder, folder };
  const thread = new Worker(program, { workerData: task });
  const readings = new Readings(input, options, (answer) => thread.postMessage(answer));
  const said = messagesOf(thread);
  try {
    for await (const message of said) {
      if (readings.take(message)) continue;
      if (deliver(message, sink, options)) return;
      yield;
    }
  } finally {
    await thread.terminate();
    await readings.close();
  }
}

/** Hands on what the thread found; true at the end. */
function deliver(message: FromThread, sink: RowSink, options: ReadOptions): boolean {
  if (message.say === 'rows') {
    for (const trips of message.trips) sink.trips!(trips);
    for (const { reason, line, raw, detail } of message.rejects) sink.reject(reason, line, raw, () => detail);
  } else if (message.say === 'note') options.onNote(message.note);
  else if (message.say === 'failed') throw thrownAgain(message.error);
  else if (message.say === 'end') {
    const [count, first] = message.leftOut;
    sink.leftOut(count, first);
    sink.lines(message.lines);
    options.onDigest(message.digest);
    return true;
  }
  return false;
}

/** The messages of a thread; throws when it dies. */
async function* messagesOf(thread: Worker): AsyncGenerator<FromThread> {
  const waiting: FromThread[] = [];
  let failure: Error | undefined;
  let wake = () => {};
  thread.on('message', (message: FromThread) => {
    waiting.push(message);
    wake();
  });
  thread.on('error', (error) => {
    failure = error;
    wake();
  });
  thread.on('exit', () => {
    failure ??= new Error('the thread that reads the input ended too early');
    wake();
  });
  for (;;) {
    const next = waiting.shift();
    if (next) yield next;
    else if (failure) throw failure;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}

/** The openings of the input that the thread asked for. */
class Readings {
  readonly #input: Input;
  readonly #options: ReadOptions;
  readonly #answer: (answer: ToThread) => void;
  readonly #chunks = new Map<number, AsyncIterator<Buffer>>();
  /** Answers are given in the order of the questions. */
  #last: Promise<void> = Promise.resolve();

  constructor(input: Input, options: ReadOptions, answer: (answer: ToThread) => void) {
    this.#input = input;
    this.#options = options;
    this.#answer = answer;
  }

  /** False if the message is no question. */
  take(message: FromThread): boolean {
    if (message.say === 'open') {
      const onBytes = message.counted ? this.#options.onBytes : () => {};
      this.#chunks.set(message.reading, this.#input.open(onBytes)[Symbol.asyncIterator]());
    } else if (message.say === 'next') this.#last = this.#last.then(() => this.#next(message.reading));
    else if (message.say === 'close') void this.#close(message.reading);
    else return false;
    return true;
  }

  async close(): Promise<void> {
    // Standard input may send nothing for a long time.
    this.#input.cancel?.();
    await this.#last;
    for (const reading of this.#chunks.keys()) await this.#close(reading);
  }

  async #next(reading: number): Promise<void> {
    const chunks = this.#chunks.get(reading);
    if (!chunks) return;
    try {
      const { value, done } = await chunks.next();
      this.#answer(done ? { reading } : { reading, chunk: value });
    } catch (error) {
      this.#answer({ reading, error: toPlainError(error) });
    }
  }

  async #close(reading: number): Promise<void> {
    const chunks = this.#chunks.get(reading);
    this.#chunks.delete(reading);
    await chunks?.return?.();
  }
}
