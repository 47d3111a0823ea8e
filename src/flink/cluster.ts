/** Flink's job manager over REST: jobs, how they are doing, and their end. */
import { setTimeout as wait } from 'node:timers/promises';
import { TaxiflowError } from '../errors.ts';
import { ask, FlinkRefused, rootCause } from './http.ts';

const WHAT = "Flink's job manager";
const POLL_MS = 100;
/** A savepoint of a large state takes minutes. */
const SAVEPOINT_MS = 30 * 60_000;

/** As Flink has it: `RUNNING`, `RESTARTING`, `FINISHED`, … */
export type JobState = string;

export const OVER: readonly JobState[] = ['FINISHED', 'CANCELED', 'FAILED'];

export interface JobSummary {
  readonly id: string;
  readonly name: string;
  readonly state: JobState;
  /** Epoch ms. */
  readonly started: number;
}

/** How a job is doing; what can't be told yet is undefined. */
export interface JobFigures {
  readonly state: JobState;
  readonly runningMs: number;
  readonly restarts: number | undefined;
  readonly checkpoints: {
    readonly completed: number;
    readonly failed: number;
    readonly lastMs: number | undefined;
  };
  /** Records that its sources have read and parsed, since the job was started or restarted. */
  readonly records: number;
  /** Shards that are read, once for each source: the distance from the tip, ms; −1 before the first read, and of one that had ended. */
  readonly behind: readonly { readonly shard: string; readonly ms: number }[];
  /** Of the windows, epoch ms: no trip before it is to come. */
  readonly watermark: number | undefined;
  /** For each source, the least and the greatest watermark that its subtasks have sent, epoch ms. */
  readonly reached: readonly (readonly [least: number, most: number])[];
  /** Subtasks of the source with the fewest. */
  readonly subtasks: number | undefined;
  readonly late: number;
  /** Results handed to the sinks, since the job was started or restarted. */
  readonly results: number;
}

interface JobAnswer {
  readonly state: JobState;
  readonly duration: number;
  readonly vertices: readonly { readonly id: string; readonly name: string; readonly parallelism: number }[];
}

interface Metric {
  readonly id: string;
  readonly sum?: number;
  readonly min?: number;
  readonly max?: number;
}

export class FlinkCluster {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  /** Task slots that are free. */
  async freeSlots(): Promise<number> {
    return (await this.#ask<{ 'slots-available': number }>('GET', '/overview'))['slots-available'];
  }

  async jobs(): Promise<JobSummary[]> {
    const { jobs } = await this.#ask<{
      jobs: readonly { jid: string; name: string; state: JobState; 'start-time': number }[];
    }>('GET', '/jobs/overview');
    return jobs
      .map(({ jid, name, state, 'start-time': started }) => ({ id: jid, name, state, started }))
      .sort((a, b) => b.started - a.started);
  }

  /** The state of a job; undefined where the cluster knows none of this id. */
  async stateOf(job: string): Promise<JobState | undefined> {
    try {
      return (await this.#ask<JobAnswer>('GET', `/jobs/${job}`)).state;
    } catch (error) {
      if (error instanceof TaxiflowError && error.code === 'no-flink-job') return undefined;
      throw error;
    }
  }

  async figures(job: string): Promise<JobFigures> {
    const { state, duration, vertices } = await this.#ask<JobAnswer>('GET', `/jobs/${job}`);
    const [metrics, checkpoints, restarts] = await Promise.all([
      Promise.all(vertices.map(({ id }) => this.#metricsOf(job, id))).then((all) => all.flat()),
      this.#checkpoints(job),
      this.#restarts(job),
    ]);
    const of = (pattern: RegExp) => metrics.filter(({ id }) => pattern.test(id));
    const sum = (pattern: RegExp) => of(pattern).reduce((total, metric) => total + (metric.sum ?? 0), 0);
    const windows = of(/^\w*Window(?:Deduplicate|Aggregate)\w*\[\d+\]\.currentInputWatermark$/);
    const shards = of(/^WatermarkAssigner\[\d+\]\.currentOutputWatermark$/);
    return {
      state,
      runningMs: duration,
      restarts,
      checkpoints,
      // Each source reads all records; the one behind tells how far the job is.
      records: least(of(/^WatermarkAssigner\[\d+\]\.numRecordsIn$/).map(({ sum = 0 }) => sum)) ?? 0,
      behind: of(/\.millisBehindLatest$/).map(({ id, max = -1 }) => ({
        shard: /shardId-\d+/.exec(id)?.[0] ?? id,
        ms: max,
      })),
      watermark: least(windows.flatMap(({ min }) => timeIn(min) ?? [])),
      reached: shards.map(({ min, max }) => [
        timeIn(min) ?? Number.NEGATIVE_INFINITY,
        timeIn(max) ?? Number.NEGATIVE_INFINITY,
      ]),
      subtasks: least(
        vertices.filter(({ name }) => name.startsWith('Source')).map(({ parallelism }) => parallelism),
      ),
      late: sum(/\.numLateRecordsDropped$/),
      results: sum(/(?:StreamingFileWriter|\bWriter)\.numRecordsIn$/),
    };
  }

  /** The innermost cause of a job's failure, or of its last restart. */
  async failureOf(job: string): Promise<string | undefined> {
    const { 'root-exception': root, exceptionHistory } = await this.#ask<{
      'root-exception'?: string | null;
      exceptionHistory?: { entries?: readonly { stacktrace?: string }[] };
    }>('GET', `/jobs/${job}/exceptions`);
    const trace = root ?? exceptionHistory?.entries?.[0]?.stacktrace;
    return trace ? rootCause(trace) : undefined;
  }

  /** Stops a job with a savepoint; returns where it lies. With `drain`, all windows fire before. */
  async stop(job: string, drain: boolean, folder: string | undefined): Promise<string> {
    return this.#savepoint(job, 'stop', {
      drain,
      ...(folder === undefined ? {} : { targetDirectory: folder }),
    });
  }

  async cancel(job: string): Promise<void> {
    await this.#ask('PATCH', `/jobs/${job}?mode=cancel`);
    await this.#over(job);
  }

  async #savepoint(job: string, how: 'stop', body: object): Promise<string> {
    const { 'request-id': request } = await this.#ask<{ 'request-id': string }>(
      'POST',
      `/jobs/${job}/${how}`,
      body,
    );
    for (const deadline = Date.now() + SAVEPOINT_MS; Date.now() < deadline; await wait(POLL_MS)) {
      const { status, operation } = await this.#ask<{
        status: { id: string };
        operation?: { location?: string; 'failure-cause'?: { 'stack-trace'?: string } };
      }>('GET', `/jobs/${job}/savepoints/${request}`);
      if (status.id !== 'COMPLETED') continue;
      if (operation?.location !== undefined) {
        await this.#over(job);
        return operation.location;
      }
      throw new TaxiflowError(
        'flink-refused',
        `no savepoint of the job was made: ${rootCause(operation?.['failure-cause']?.['stack-trace'] ?? 'no reason is given')}`,
        { hint: 'the job runs on; check that the cluster can write its folder of savepoints, and try again' },
      );
    }
    throw new TaxiflowError('flink-refused', 'the savepoint took longer than 30 minutes', {
      hint: "look into the job manager's log",
    });
  }

  /** Waits for the end of a job; what it wrote is final then. */
  async #over(job: string): Promise<void> {
    while (!OVER.includes((await this.stateOf(job)) ?? 'FINISHED')) await wait(POLL_MS);
  }

  async #checkpoints(job: string): Promise<JobFigures['checkpoints']> {
    const { counts, latest } = await this.#ask<{
      counts?: { completed?: number; failed?: number };
      latest?: { completed?: { latest_ack_timestamp?: number } | null };
    }>('GET', `/jobs/${job}/checkpoints`);
    return {
      completed: counts?.completed ?? 0,
      failed: counts?.failed ?? 0,
      lastMs: latest?.completed?.latest_ack_timestamp,
    };
  }

  async #restarts(job: string): Promise<number | undefined> {
    const metrics = await this.#ask<{ id: string; value: string }[]>(
      'GET',
      `/jobs/${job}/metrics?get=numRestarts`,
    );
    const value = Number(metrics[0]?.value);
    return Number.isInteger(value) ? value : undefined;
  }

  async #metricsOf(job: string, vertex: string): Promise<Metric[]> {
    const path = `/jobs/${job}/vertices/${vertex}/subtasks/metrics`;
    const wanted =
      /(?:millisBehindLatest|numLateRecordsDropped|WatermarkAssigner\[\d+\]\.(?:numRecordsIn|currentOutputWatermark)|Window(?:Deduplicate|Aggregate)\w*\[\d+\]\.currentInputWatermark|(?:StreamingFileWriter|\bWriter)\.numRecordsIn)$/;
    const ids = (await this.#ask<{ id: string }[]>('GET', path))
      .map(({ id }) => id)
      .filter((id) => wanted.test(id));
    if (ids.length === 0) return [];
    return this.#ask<Metric[]>('GET', `${path}?get=${ids.map(encodeURIComponent).join(',')}&agg=min,max,sum`);
  }

  async #ask<T extends object>(method: 'GET' | 'POST' | 'PATCH', path: string, body?: unknown): Promise<T> {
    try {
      return await ask<T>(WHAT, method, `${this.url}${path}`, body);
    } catch (error) {
      if (!(error instanceof FlinkRefused)) throw error;
      const job = /^\/jobs\/([\da-f]{32})/.exec(path)?.[1];
      if (error.refusal.status === 404 && job !== undefined)
        throw new TaxiflowError('no-flink-job', `the cluster at ${this.url} knows no job ${job}`, {
          hint: '"taxiflow flink list" shows its jobs',
        });
      const isAway = error.refusal.status >= 502;
      throw new TaxiflowError(
        isAway ? 'flink-unreachable' : 'flink-refused',
        `${WHAT}: ${error.refusal.why}`,
        {
          hint: "look into the job manager's log",
        },
      );
    }
  }
}

/** Flink's watermark in taxiflow's terms; undefined before the first. */
function timeIn(watermark: number | undefined): number | undefined {
  return watermark !== undefined && watermark > -(2 ** 62) ? watermark + 1 : undefined;
}

function least(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((a, b) => Math.min(a, b));
}
