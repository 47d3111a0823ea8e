/** Follows a job of Flink: how it is doing, what went wrong, whether its stream was resharded, and when everything is read. */
import { setTimeout as wait } from 'node:timers/promises';
import { TaxiflowError } from '../errors.ts';
import { type JobFigures, OVER } from '../flink/cluster.ts';
import type { Tally } from '../flink/tally.ts';
import type { StreamReader } from '../streams/ports.ts';
import type { View } from '../views/language.ts';
import { windowTimes } from '../views/windows.ts';
import type { FlinkJob } from './flink-job.ts';

/** Ms between two looks at a job, and at the shards of its stream. */
const LOOK_MS = 500;
const SHARDS_MS = 5_000;
/** How long a job manager may be away, ms. */
const AWAY_MS = 120_000;
/** Results lie in open files for this long, ms, before a checkpoint can show them. */
const OPEN_MS = 2_500;
/** No trip is from before, nor from after. */
const PLAUSIBLE = [Date.UTC(2000, 0, 1), Date.UTC(2100, 0, 1)] as const;
/** Ms without a parsed record, once all shards are read, that show that none can be. */
const NOTHING_MS = 30_000;

export interface FollowOptions {
  readonly job: FlinkJob;
  readonly reader: StreamReader;
  readonly views: readonly View[];
  /** What the stream holds, once it is counted; with it, the job is followed until that is read. */
  readonly tally: Promise<Tally> | undefined;
  /** Stop following when the stream was resharded and its old shards are read. */
  readonly followReshards: boolean;
  /** Ends the following, not the job. */
  readonly signal: AbortSignal;
  readonly onFigures: (figures: JobFigures) => void;
  readonly onNote: (note: string) => void;
}

export type Followed =
  | { readonly end: 'left'; readonly figures: JobFigures | undefined }
  /** `readUpTo`, epoch ms: all that had arrived before it is read, and its results are in files. */
  | { readonly end: 'read'; readonly figures: JobFigures; readonly readUpTo: number }
  | {
      readonly end: 'resharded';
      readonly figures: JobFigures;
      readonly readUpTo: number;
    };

/** Throws `flink-job-failed`, `flink-unreachable`, … */
export function follow(options: FollowOptions): Promise<Followed> {
  return new Following(options).run();
}

class Following {
  readonly #o: FollowOptions;
  #tally: Tally | undefined;
  /** Why the stream could not be counted. */
  #uncounted: unknown;
  /** Since when all that was there is read, by our clock. */
  #wholeSince: number | undefined;
  #restarts = 0;
  #late = 0;
  /** Since when the figures are what they are, by our clock. */
  #steadySince = Date.now();
  #steady = '';
  #shardsAt = Date.now();
  #isResharded = false;
  /** Since when the job manager doesn't answer. */
  #awaySince: number | undefined;
  #figures: JobFigures | undefined;

  constructor(options: FollowOptions) {
    this.#o = options;
    options.tally?.then(
      (tally) => {
        this.#tally = tally;
      },
      (error: unknown) => {
        this.#uncounted = error;
      },
    );
  }

  async run(): Promise<Followed> {
    const { signal, onNote } = this.#o;
    while (!signal.aborted) {
      try {
        const followed = await this.#look();
        if (this.#awaySince !== undefined) onNote('the job manager answers again');
        this.#awaySince = undefined;
        if (followed) return followed;
      } catch (error) {
        this.#away(error);
      }
      await wait(LOOK_MS, undefined, { signal }).catch(() => {});
    }
    return { end: 'left', figures: this.#figures };
  }

  async #look(): Promise<Followed | undefined> {
    const { job, onFigures } = this.#o;
    if (this.#uncounted !== undefined) throw this.#uncounted;
    const figures = await job.figures();
    this.#figures = figures;
    if (OVER.includes(figures.state)) throw await this.#over(figures);
    onFigures(figures);
    await this.#tellTrouble(figures);
    const steadyMs = this.#steadyMs(figures);
    this.#refuseNonsense(figures, steadyMs);
    const readUpTo = Date.now() - job.record.figuresMs;
    if (this.#o.tally)
      return this.#isRead(figures, steadyMs) ? { end: 'read', figures, readUpTo } : undefined;
    return (await this.#isReshardRead(figures, steadyMs))
      ? { end: 'resharded', figures, readUpTo }
      : undefined;
  }

  /** A job manager that is replaced does not answer, has no leader, or does not know its jobs yet. Throws what else there is. */
  #away(error: unknown): void {
    const { onNote } = this.#o;
    const code = error instanceof TaxiflowError ? error.code : undefined;
    const isAway = code === 'flink-unreachable' || (code === 'no-flink-job' && this.#figures !== undefined);
    if (!isAway || Date.now() - (this.#awaySince ?? Date.now()) > AWAY_MS) throw error;
    if (this.#awaySince === undefined)
      onNote(`${(error as TaxiflowError).message}; trying on for ${AWAY_MS / 60_000} minutes`);
    this.#awaySince ??= Date.now();
  }

  async #over({ state }: JobFigures): Promise<TaxiflowError> {
    const { job } = this.#o;
    if (state === 'FAILED') return job.failure();
    return new TaxiflowError('flink-job-failed', `job ${job.id} is ${state}: somebody else has stopped it`, {
      hint: `start it again with "taxiflow flink restore --app ${job.record.app}"`,
    });
  }

  async #tellTrouble({ restarts = 0, late, state }: JobFigures): Promise<void> {
    const { job, onNote } = this.#o;
    if (restarts > this.#restarts || (state === 'RESTARTING' && this.#restarts === 0)) {
      const why = await job.cluster.failureOf(job.id);
      if (restarts > this.#restarts) {
        onNote(`the job was restarted from its last checkpoint${why === undefined ? '' : `: ${why}`}`);
        this.#restarts = restarts;
      }
    }
    if (late > 0 && this.#late === 0)
      onNote('trips behind the watermark were dropped by Flink, which counts them only: see late');
    this.#late = Math.max(this.#late, late);
  }

  /** Records that are read as something else give no error in Flink. */
  #refuseNonsense(figures: JobFigures, steadyMs: number): void {
    const { watermark, records, subtasks } = figures;
    const { shards, perShard } = this.#o.job.record;
    if (subtasks !== undefined && subtasks > 0 && subtasks < shards.length * perShard)
      throw new TaxiflowError(
        'flink-job-failed',
        `the job reads ${shards.length} shards with ${subtasks} subtasks: Flink mixes shards before it takes watermarks, and drops trips`,
        { hint: 'stop the job; use a scheduler that keeps the parallelism (jobmanager.scheduler: default)' },
      );
    if (watermark !== undefined && (watermark < PLAUSIBLE[0] || watermark > PLAUSIBLE[1]))
      throw new TaxiflowError(
        'flink-job-failed',
        `the watermark of the job is ${new Date(watermark).toISOString()}: its connector reads times otherwise than taxiflow writes them`,
        { hint: 'check the version of the JSON format on the cluster; the job was left running' },
      );
    const isNothing = records === 0 && (this.#tally?.records ?? 0) > 0 && this.#o.job.isAtTip(figures);
    if (isNothing && steadyMs > NOTHING_MS + this.#certainMs)
      throw new TaxiflowError(
        'flink-job-failed',
        `none of the ${this.#tally!.records} records could be parsed by the job`,
        { hint: 'check with "taxiflow doctor" that the stream holds trips in taxiflow\'s form' },
      );
  }

  /** For how long nothing has changed, ms. */
  #steadyMs(figures: JobFigures): number {
    const { state, records, results, watermark } = figures;
    const now = JSON.stringify([state, records, results, watermark, this.#o.job.isAtTip(figures)]);
    if (now !== this.#steady) {
      this.#steady = now;
      this.#steadySince = Date.now();
    }
    return Date.now() - this.#steadySince;
  }

  /** Figures are some time old, so two of the same prove something only after that time. */
  get #certainMs(): number {
    return 2 * this.#o.job.record.figuresMs + LOOK_MS;
  }

  /** Whether all that was there is read, and its results are in files that a checkpoint has shown. */
  #isRead(figures: JobFigures, steadyMs: number): boolean {
    const { job } = this.#o;
    if (!this.#tally || figures.state !== 'RUNNING') return false;
    const { records, restarts } = figures;
    const isWhole = job.isFresh && restarts === 0 && records >= this.#tally.records && job.isAtTip(figures);
    // A stream that goes on is never steady, but has passed this once.
    if (isWhole) this.#wholeSince ??= Date.now();
    if (this.#wholeSince !== undefined && this.#areOut(figures, this.#wholeSince + this.#certainMs))
      return true;
    return job.isAtTip(figures) && steadyMs > this.#certainMs && this.#areOut(figures, this.#steadySince);
  }

  /** Whether a checkpoint has shown the results of all that was read before a time, epoch ms. */
  #areOut({ checkpoints: { lastMs } }: JobFigures, before: number): boolean {
    return lastMs !== undefined && lastMs > before + OPEN_MS;
  }

  async #isReshardRead(figures: JobFigures, steadyMs: number): Promise<boolean> {
    const { job, reader, onNote } = this.#o;
    if (!this.#isResharded && Date.now() - this.#shardsAt > SHARDS_MS) {
      this.#shardsAt = Date.now();
      const open = (await reader.shards()).filter((shard) => shard.open);
      this.#isResharded = open.some(({ id }) => !job.record.shards.includes(id));
      const advice = this.#o.followReshards
        ? ''
        : `; then stop it with "taxiflow flink stop --app ${job.record.app}" and go on with "taxiflow flink restore --app ${job.record.app}"`;
      if (this.#isResharded)
        onNote(
          `the stream was resharded from ${job.record.shards.length} to ${open.length} shards; the job reads the old ones to their end${advice}`,
        );
    }
    if (
      !this.#isResharded ||
      !this.#o.followReshards ||
      !job.isAtTip(figures) ||
      steadyMs <= this.#certainMs ||
      !this.#areOut(figures, this.#steadySince)
    )
      return false;
    this.#refuseAhead(figures);
    return true;
  }

  /** A shard that has ended no longer holds the watermark, so windows may have fired without what its children have. */
  #refuseAhead({ reached }: JobFigures): void {
    const { job, views } = this.#o;
    const ahead = reached.find(([least, most]) =>
      views.some(({ window }) =>
        window.kind === 'session'
          ? most > least
          : windowTimes(window).sliceAt(least - 1).to <= most && most > least,
      ),
    );
    if (!ahead) return;
    const [least, most] = ahead.map((ms) => (Number.isFinite(ms) ? new Date(ms).toISOString() : 'none'));
    throw new TaxiflowError(
      'reshard-unread',
      `the shards ended at different times, from ${least} to ${most}: windows between them may have fired without trips that lie in the new shards`,
      {
        hint: `stop the job before a reshard: "taxiflow flink stop --app ${job.record.app}", reshard, "taxiflow flink restore --app ${job.record.app}"; this one has to start anew, as another app`,
      },
    );
  }
}
