/** The thread that parses a CSV file for `csv-thread.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { thrownAgain, toPlainError } from '../errors.ts';
import { readCsv } from './csv.ts';
import type { FromThread, Reject, Task, ToThread } from './csv-thread.ts';
import type { Input, OnBytes } from './inputs.ts';
import type { LineCounts, RowSink } from './sink.ts';
import { PLACE, type SourceTrip, type SourceTrips, TRIP_WIDTH } from './trips.ts';

/** Chunks to ask for ahead of their use. */
const AHEAD = 4;
const LEAST_ROOM = 64;

const port = parentPort!;
const task = workerData as Task;
const say = (message: FromThread, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

/** Answers that are awaited, in the order of their questions. */
const awaited: ((answer: ToThread) => void)[] = [];
port.on('message', (answer: ToThread) => awaited.shift()!(answer));

let readings = 0;

/** The bytes of the input, which the other thread reads. */
async function* chunks(counted: boolean): AsyncGenerator<Buffer> {
  const reading = readings++;
  say({ say: 'open', reading, counted });
  const ask = () => {
    say({ say: 'next', reading });
    return new Promise<ToThread>((resolve) => awaited.push(resolve));
  };
  const asked = Array.from({ length: AHEAD }, ask);
  try {
    for (;;) {
      const { chunk, error } = await asked.shift()!;
      if (error) throw thrownAgain(error);
      if (!chunk) return;
      asked.push(ask());
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    }
  } finally {
    say({ say: 'close', reading });
  }
}

/** Trips found one by one. */
class Single {
  readonly #vendors: string[] = [];
  #values = new Float64Array(LEAST_ROOM * TRIP_WIDTH);
  #count = 0;

  add({ values, vendor }: SourceTrip): void {
    const at = this.#count++ * TRIP_WIDTH;
    if (at === this.#values.length) {
      const grown = new Float64Array(2 * at);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values.set(values, at);
    if (vendor === undefined) return;
    // Rows of one vendor often follow each other.
    if (this.#vendors.at(-1) !== vendor) this.#vendors.push(vendor);
    this.#values[at + PLACE.vendor_id] = this.#vendors.length - 1;
  }

  take(): SourceTrips | undefined {
    if (this.#count === 0) return undefined;
    const trips = {
      count: this.#count,
      values: this.#values.slice(0, this.#count * TRIP_WIDTH),
      vendors: this.#vendors.splice(0),
    };
    this.#count = 0;
    return trips;
  }
}

const single = new Single();
let trips: SourceTrips[] = [];
let rejects: Reject[] = [];

function keepSingle(): void {
  const found = single.take();
  if (found) trips.push(found);
}

function flush(): void {
  keepSingle();
  if (trips.length + rejects.length === 0) return;
  say(
    { say: 'rows', trips, rejects },
    trips.map(({ values }) => values.buffer as ArrayBuffer),
  );
  trips = [];
  rejects = [];
}

const counted: OnBytes = () => {};
const input: Input = {
  name: task.name,
  size: undefined,
  found: false,
  open: (onBytes) => chunks(onBytes === counted),
  ...(task.once ? { once: true } : {}),
};

let leftOut: Parameters<RowSink['leftOut']> = [0, undefined];
let lines: LineCounts = { lines: 0, headers: 0, blank: 0, continued: 0 };
let digest = '';
const sink: RowSink = {
  trip: (trip) => {
    single.add(trip);
    return true;
  },
  trips: ({ count, values, vendors }) => {
    keepSingle();
    trips.push({ count, values: values.slice(0, count * TRIP_WIDTH), vendors: [...vendors] });
  },
  reject: (reason, line, raw, detail) => {
    rejects.push({ reason, line, raw, detail: detail() });
  },
  leftOut: (...found) => {
    leftOut = found;
  },
  lines: (found) => {
    lines = found;
  },
};

try {
  const options = {
    dateOrder: task.dateOrder,
    folder: task.folder,
    onBytes: counted,
    onDigest: (found: string) => {
      digest = found;
    },
    onNote: (note: string) => say({ say: 'note', note }),
  };
  for await (const _ of readCsv(input, sink, options)) flush();
  flush();
  say({ say: 'end', lines, leftOut, digest });
} catch (error) {
  flush();
  say({ say: 'failed', error: toPlainError(error) });
}
