/**
 * Writes every trip once, as Parquet files by event day, to a folder or to S3.
 *
 *  C11 the checkpoint that commits a trip also decides the number of its file (`state/archive.ts`), and a closed file is written whole
 *      under that number. Whatever crashes, it is written again with the same trips under the same name, so no trip is lost
 *      or doubled. With a state in S3, a file is written only once the last accepted head covers it.
 */
import type { Clock } from '../../clock.ts';
import type { Sink, SinkStatus } from '../../engine/sink.ts';
import { TaxiflowError } from '../../errors.ts';
import { Attempts } from '../../net/retry.ts';
import { isOutOfReach, OUT_OF_REACH } from '../../s3/errors.ts';
import { type ArchiveTables, archiveSink } from '../../state/archive.ts';
import { type ArchivePlace, nameOf, numberOf, ownFiles, takePlace } from './place.ts';
import { FileMaker } from './thread.ts';

export interface ArchiveSinkOptions {
  readonly place: ArchivePlace;
  readonly archive: ArchiveTables;
  /** Name of the processor. */
  readonly app: string;
  /** Ms after which a file is closed; five minutes by default. */
  readonly interval: number | undefined;
  /** Whether the state has read trips before. */
  readonly goesOn: boolean;
  readonly clock: Clock;
  /** Receives the reason when files begin to wait, and undefined when they are written again. */
  readonly onTrouble: (trouble: string | undefined) => void;
  readonly onNote: (note: string) => void;
}

/** At the end of a run: how long to go on while nothing can be written. */
const GIVE_UP_MS = 60_000;

export class ArchiveSink implements Sink {
  readonly name: string;
  readonly #o: ArchiveSinkOptions;
  readonly #maker = new FileMaker();
  /** Ends waits. */
  readonly #stop = new AbortController();
  #writing: Promise<void> | undefined;
  #failure: unknown;
  #isClosing = false;
  #trouble: { readonly why: string; readonly since: number } | undefined;
  #retries = 0;
  /** Files there of numbers that are not decided yet: a state that was set back reads their trips again. */
  #beyond: string[] = [];
  /** Files there that are decided and not passed: they are written again. */
  #again: string[] = [];
  #isTaken = false;

  constructor(options: ArchiveSinkOptions) {
    this.#o = options;
    this.name = archiveSink(options.place.url);
  }

  /** Notes the place in the state once it was seen. Throws `output-in-use` if it holds files of others. */
  async open(): Promise<void> {
    const { place, archive, app } = this.#o;
    const own = await ownFiles(place, archive.nameFor(app));
    this.#begin();
    this.#beyond = own.filter((file) => numberOf(file, this.#name)! >= archive.openFile);
    // These are usually written with the same bytes. To remove them all would take them from whoever has taken over since.
    this.#again = own.filter((file) => {
      const number = numberOf(file, this.#name)!;
      return number >= archive.nextFile && number < archive.openFile;
    });
  }

  #begin(): void {
    const { place, archive, app, interval, goesOn, onNote } = this.#o;
    const isNew = archive.place === undefined;
    const isFirst = isNew && archive.formerPlace === undefined;
    const before = archive.begin(place.url, app, interval === undefined ? {} : { ms: interval });
    if (before !== undefined && (before !== place.url || isNew))
      onNote(`trips up to here are archived in ${before}`);
    else if (isFirst && goesOn) onNote('the archive begins with the trips that are read from now on');
  }

  get #name(): string {
    return this.#o.archive.nameFor(this.#o.app);
  }

  wake(): void {
    if (this.#failure) throw this.#failure;
    if (this.#stop.signal.aborted || this.#writing || !this.#o.archive.nextClosed()) return;
    this.#writing = this.#writeAll()
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#writing = undefined;
      });
  }

  status(): SinkStatus {
    const { written, pending } = this.#o.archive.status();
    return {
      name: this.name,
      unit: 'trips',
      delivered: written,
      pending,
      rejected: 0,
      retries: this.#retries,
      trouble: this.#trouble?.why,
      since: this.#trouble && new Date(this.#trouble.since).toISOString(),
    };
  }

  async close(interrupted: boolean): Promise<void> {
    this.#isClosing = true;
    if (interrupted) this.interrupt();
    try {
      // A file may be closed in the moment in which the last one is done.
      do {
        this.wake();
        await this.#writing;
      } while (!this.#stop.signal.aborted && this.#o.archive.nextClosed());
      if (this.#failure) throw this.#failure;
    } finally {
      this.interrupt();
      await this.#maker.close();
    }
  }

  interrupt(): void {
    this.#stop.abort();
  }

  async #writeAll(): Promise<void> {
    const { archive, place } = this.#o;
    for (let file = archive.nextClosed(); file; file = archive.nextClosed()) {
      if (!this.#isTaken && !(await this.#patiently(() => takePlace(place, this.#name)))) return;
      this.#isTaken = true;
      const made = await this.#maker.make(archive.tripsOf(file.number));
      const files = new Map(made.map(({ day, bytes }) => [nameOf(day, this.#name, file.number), bytes]));
      if (this.#beyond.length > 0)
        this.#o.onNote(
          `${place.url} holds ${this.#beyond.length} files of what this state reads again: they are replaced`,
        );
      if (!(await this.#remove(this.#beyond))) return;
      for (const [name, bytes] of files) if (!(await this.#patiently(() => place.write(name, bytes)))) return;
      const stale = this.#again.filter(
        (name) => numberOf(name, this.#name) === file.number && !files.has(name),
      );
      if (!(await this.#remove(stale))) return;
      archive.passed(file);
      if (this.#stop.signal.aborted) return;
    }
  }

  /** Takes names off `files` as they are removed; false if it was stopped. */
  async #remove(files: string[]): Promise<boolean> {
    for (let name = files.at(-1); name !== undefined; name = files.at(-1)) {
      const last = name;
      if (!(await this.#patiently(() => this.#o.place.remove(last)))) return false;
      files.pop();
    }
    return true;
  }

  /** Repeats work for as long as S3 can't be reached; false if it was stopped. Other errors end it. */
  async #patiently(work: () => Promise<void>): Promise<boolean> {
    const { clock, onTrouble } = this.#o;
    const { signal } = this.#stop;
    for (const attempts = new Attempts(clock, signal); ; this.#retries++) {
      if (signal.aborted) return false;
      try {
        await work();
        if (this.#trouble) onTrouble(undefined);
        this.#trouble = undefined;
        return true;
      } catch (error) {
        if (!isOutOfReach(error)) throw error;
        const isNew = this.#trouble?.why !== error.message;
        this.#trouble = { why: error.message, since: this.#trouble?.since ?? clock.now() };
        if (isNew) onTrouble(error.message);
        if (signal.aborted) return false;
        if (this.#isClosing && clock.now() - this.#trouble.since > GIVE_UP_MS) throw this.#behind();
        await attempts.again(OUT_OF_REACH);
      }
    }
  }

  #behind(): TaxiflowError {
    const { pending, trouble } = this.status();
    return new TaxiflowError(
      'archive-behind',
      `${pending.toLocaleString('en-US')} trips are not in ${this.#o.place.url}: ${trouble}`,
      { hint: 'they are kept in the state; run the same command again to write them' },
    );
  }
}
