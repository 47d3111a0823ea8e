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
import { Attempts, type Backoff } from '../../net/retry.ts';
import { type ArchiveTables, archiveSink } from '../../state/archive.ts';
import { type ArchivePlace, nameOf, numberOf, ownFiles } from './place.ts';
import { FileMaker } from './thread.ts';

export interface ArchiveSinkOptions {
  readonly place: ArchivePlace;
  readonly archive: ArchiveTables;
  readonly clock: Clock;
  /** Receives the reason when files begin to wait, and undefined when they are written again. */
  readonly onTrouble: (trouble: string | undefined) => void;
  readonly onNote: (note: string) => void;
}

const BACKOFF: Backoff = { firstMs: 500, longestMs: 15_000, jitter: 'full' };
const PASSING = new Set(['s3-unreachable', 's3-throttled']);
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
  /** Files of this archive that are there, until the first file is written. */
  #there: string[] = [];

  constructor(options: ArchiveSinkOptions) {
    this.#o = options;
    this.name = archiveSink(options.place.url);
  }

  /** Throws `output-in-use` if the place holds files of others. */
  async open(): Promise<void> {
    this.#there = await ownFiles(this.#o.place, this.#o.archive.name);
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
      this.wake();
      await this.#writing;
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
      const made = await this.#maker.make(archive.tripsOf(file.number));
      const files = new Map(made.map(({ day, bytes }) => [nameOf(day, archive.name, file.number), bytes]));
      await this.#removeLater(file.number, files);
      for (const [name, bytes] of files) if (!(await this.#patiently(() => place.write(name, bytes)))) return;
      archive.passed(file);
      if (this.#stop.signal.aborted) return;
    }
  }

  /** A state that was set back, as from a copy of its file, reads again what later files hold. */
  async #removeLater(number: number, written: ReadonlyMap<string, unknown>): Promise<void> {
    const { archive, place, onNote } = this.#o;
    const later = this.#there.filter((file) => numberOf(file, archive.name)! >= number);
    this.#there = [];
    const beyond = later.filter((file) => numberOf(file, archive.name)! >= archive.openFile);
    if (beyond.length > 0)
      onNote(`${place.url} holds ${beyond.length} files of what this state reads again: they are replaced`);
    for (const file of later) if (!written.has(file)) await this.#patiently(() => place.remove(file));
  }

  /** Repeats work for as long as S3 can't be reached; false if it was stopped. Other errors end it. */
  async #patiently(work: () => Promise<void>): Promise<boolean> {
    const { clock, onTrouble } = this.#o;
    const { signal } = this.#stop;
    for (const attempts = new Attempts(clock, signal); ; this.#retries++) {
      try {
        await work();
        if (this.#trouble) onTrouble(undefined);
        this.#trouble = undefined;
        return true;
      } catch (error) {
        if (!(error instanceof TaxiflowError) || !PASSING.has(error.code)) throw error;
        const isNew = this.#trouble?.why !== error.message;
        this.#trouble = { why: error.message, since: this.#trouble?.since ?? clock.now() };
        if (isNew) onTrouble(error.message);
        if (signal.aborted) return false;
        if (this.#isClosing && clock.now() - this.#trouble.since > GIVE_UP_MS) throw this.#behind();
        await attempts.again(BACKOFF);
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
