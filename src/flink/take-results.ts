/**
 * Takes the results of a job of Flink into a state, each exactly once.
 *
 *  C10 results, and which files they came from, are committed together.
 *
 * Files are whole and final, so what was committed is never read again; a copy of a result, as a job makes that was
 * started anew, is counted and left out.
 */
import type { Clock } from '../clock.ts';
import type { DeadLetterBuffer } from '../dead-letters.ts';
import type { ProcessOutcome, Progress } from '../engine/run.ts';
import type { Sink } from '../engine/sink.ts';
import { type Counters, NO_COUNTS, type StateStore } from '../engine/state-store.ts';
import type { ShardProgress } from '../engine/watermarks.ts';
import { type Firing, inPieces } from '../engine/windows/documents.ts';
import type { View } from '../views/language.ts';
import { DocumentReader, type TakenDocument } from './result-document.ts';
import { LONGEST_LINE, type ResultFile, type ResultFolder } from './result-files.ts';
import { TakenFiles } from './taken-files.ts';

export interface TakeOptions {
  readonly folder: ResultFolder;
  readonly store: StateStore;
  /** The documents of a window that the store has, as JSON lists. */
  readonly storedDocs: (view: string, label: number) => Iterable<string>;
  readonly views: readonly View[];
  readonly deadLetters: DeadLetterBuffer;
  readonly sinks: readonly Sink[];
  readonly clock: Clock;
  /** Ms between two looks at the folder. */
  readonly interval: number;
  /** Stop after taking what is there; may become true during the run. */
  readonly untilEnd: () => boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** Results in memory after which they are committed. */
const AT_ONCE = 100_000;
/** Windows whose keys are kept in memory, to find copies. */
const MOST_WINDOWS = 2_000;
const ROUNDING = 1e-9;
const NO_DUPLICATES = {
  pages: [],
  ranges: [],
  late: [],
  chunks: [],
  gonePages: [],
  goneRanges: [],
  goneChunks: [],
  goneLate: [],
};

/** Of a job that was started again, the sums of doubles may differ by their order. */
function isSame(before: string, now: string): boolean {
  if (before === now) return true;
  const [a, b] = [before, now].map((text) => Object.values(JSON.parse(text) as Record<string, unknown>));
  return a!.every((x, i) => {
    const y = b![i];
    if (typeof x !== 'number' || typeof y !== 'number') return x === y;
    return Math.abs(x - y) <= ROUNDING * Math.max(1, Math.abs(x));
  });
}

export async function takeResults(options: TakeOptions): Promise<ProcessOutcome> {
  const { sinks, signal } = options;
  const open = new Set(sinks);
  const stop = () => {
    for (const sink of sinks) sink.interrupt?.();
  };
  signal.addEventListener('abort', stop);
  try {
    const outcome = await new Taking(options).run();
    for (const sink of sinks) {
      open.delete(sink);
      await sink.close(outcome.interrupted);
    }
    return outcome;
  } catch (error) {
    for (const sink of open) await sink.close(true);
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

type Pending = { readonly reader: DocumentReader; readonly document: TakenDocument };

class Taking {
  readonly #o: TakeOptions;
  readonly #readers: ReadonlyMap<string, DocumentReader>;
  readonly #taken: TakenFiles;
  readonly #before: Counters;
  readonly #counters: Counters;
  /** Documents by view and label, then by key. */
  readonly #known = new Map<string, Map<string, string>>();
  #pending: Pending[] = [];
  #watermark: number;
  #checkpoints = 0;

  constructor(options: TakeOptions) {
    const { stored } = options.store;
    this.#o = options;
    this.#readers = new Map(options.views.map((view) => [view.name, new DocumentReader(view)]));
    this.#taken = new TakenFiles(
      (stored?.shards ?? []).map(({ id, position }) => [
        id,
        position.at === 'after' ? position.sequence : '',
      ]),
    );
    this.#before = { ...(stored?.counters ?? NO_COUNTS) };
    this.#counters = { ...this.#before };
    this.#watermark = stored?.watermark ?? Number.NEGATIVE_INFINITY;
  }

  async run(): Promise<ProcessOutcome> {
    const { signal, clock, interval, untilEnd, sinks } = this.#o;
    for (const sink of sinks) sink.wake();
    for (let isOver = false; !isOver && !signal.aborted; ) {
      // What was there at that time is to be taken, so this comes before the look.
      isOver = untilEnd();
      await this.#takeAll();
      this.#tell(false);
      if (!isOver) await clock.sleep(interval, signal);
    }
    this.#tell(true);
    return this.#outcome(signal.aborted);
  }

  async #takeAll(): Promise<void> {
    const { folder, signal } = this.#o;
    const files = (await folder.list()).filter(({ name }) => !this.#taken.has(name));
    files.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const file of files) {
      if (signal.aborted) break;
      await this.#take(file);
      if (this.#pending.length >= AT_ONCE) this.#commit();
    }
    if (files.length > 0) this.#commit();
  }

  async #take(file: ResultFile): Promise<void> {
    let row = 0;
    for await (const line of file.lines()) {
      row++;
      if (line === '') continue;
      this.#counters.read++;
      this.#takeLine(line, file.name, row);
    }
    this.#taken.add(file.name);
  }

  #takeLine(line: string, source: string, row: number): void {
    try {
      if (line.length > LONGEST_LINE) throw new Error(`longer than ${LONGEST_LINE} characters`);
      const value: unknown = JSON.parse(line);
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw new Error('not an object');
      const found = value as Record<string, unknown>;
      const reader = this.#readers.get(String(found['view']));
      if (!reader) throw new Error(`there is no view ${JSON.stringify(found['view'])}`);
      this.#takeDocument(reader, reader.read(found));
    } catch (error) {
      this.#counters.dead++;
      this.#o.deadLetters.add('not-result', () => ({
        source,
        position: String(row),
        detail: error instanceof Error ? error.message : String(error),
        raw: line.slice(0, LONGEST_LINE),
      }));
    }
  }

  #takeDocument(reader: DocumentReader, document: TakenDocument): void {
    const known = this.#documentsOf(reader.view, document.label);
    const before = known.get(document.key);
    if (before !== undefined && isSame(before, document.text)) {
      this.#counters.duplicate++;
      return;
    }
    if (before !== undefined)
      throw new Error(
        'another result of this window and key is there already: two jobs have written to this folder',
      );
    known.set(document.key, document.text);
    this.#counters.processed++;
    this.#pending.push({ reader, document });
  }

  /** The documents that are known of a window, by key. */
  #documentsOf(view: View, label: number): Map<string, string> {
    const id = `${view.name} ${label}`;
    const found = this.#known.get(id);
    if (found) return found;
    const reader = this.#readers.get(view.name)!;
    const known = new Map<string, string>();
    for (const docs of this.#o.storedDocs(view.name, label))
      for (const row of JSON.parse(docs) as Record<string, unknown>[]) {
        const { key, text } = reader.read(row);
        known.set(key, text);
      }
    this.#known.set(id, known);
    return known;
  }

  #commit(): void {
    const { store, deadLetters, sinks } = this.#o;
    const firings = this.#firings();
    this.#pending = [];
    this.#counters.results = this.#counters.processed;
    store.commit({
      watermark: this.#watermark,
      counters: this.#counters,
      shards: this.#taken.entries().map(
        ([id, sequence]): ShardProgress => ({
          id,
          position: { at: 'after', sequence },
          watermark: this.#watermark,
          latest: this.#watermark,
          owed: false,
          ended: false,
          idle: false,
        }),
      ),
      firings,
      blocks: [],
      gone: [],
      duplicates: NO_DUPLICATES,
      deadLetters: deadLetters.take(),
      closedUpTo: {},
    });
    this.#checkpoints++;
    // Windows are over soon after they fire, so those that came first are the ones nobody asks for again.
    for (const id of this.#known.keys()) {
      if (this.#known.size <= MOST_WINDOWS) break;
      this.#known.delete(id);
    }
    for (const sink of sinks) sink.wake();
  }

  /** By the ends of windows, as the embedded engine fires them; then by view and key. */
  #firings(): Firing[] {
    const order = new Map(this.#o.views.map(({ name }, i) => [name, i]));
    const groups = new Map<string, Pending[]>();
    for (const pending of this.#pending) {
      const id = `${pending.reader.view.name} ${pending.document.label}`;
      const group = groups.get(id);
      if (group) group.push(pending);
      else groups.set(id, [pending]);
      this.#watermark = Math.max(this.#watermark, pending.document.end);
    }
    const windows = [...groups.values()].map((group) => {
      group.sort((a, b) => a.document.end - b.document.end || (a.document.key < b.document.key ? -1 : 1));
      const { reader, document } = group[0]!;
      return { group, view: reader.view.name, label: document.label, end: document.end };
    });
    windows.sort((a, b) => a.end - b.end || order.get(a.view)! - order.get(b.view)!);
    return windows.flatMap(({ group, view, label, end }) => [
      ...inPieces(
        { view, windowStart: label, windowEnd: end, correction: false },
        group.map(({ document }) => document.text),
      ),
    ]);
  }

  #tell(ended: boolean): void {
    this.#o.onProgress?.({
      counters: this.#sinceStart(),
      watermark: this.#watermark,
      newest: this.#watermark,
      openWindows: 0,
      slowestShard: undefined,
      fraction: undefined,
      lags: new Map(),
      atTip: true,
      ended,
    });
  }

  #sinceStart(): Counters {
    const entries = Object.entries(this.#counters) as [keyof Counters, number][];
    return Object.fromEntries(
      entries.map(([name, count]) => [name, count - this.#before[name]]),
    ) as unknown as Counters;
  }

  #outcome(interrupted: boolean): ProcessOutcome {
    return {
      counters: this.#sinceStart(),
      totals: { ...this.#counters },
      watermark: this.#watermark,
      openWindows: 0,
      checkpoints: this.#checkpoints,
      interrupted,
      lost: [],
      noWatermark: [],
      waiting: 0,
      lateInAView: 0,
      keyless: {},
    };
  }
}
