/**
 * Looks at a stream once a minute and reshards it as `decide` says. All that it must know of earlier changes, the stream itself
 * tells by its shards, so that each look may be a run of its own, on any machine.
 */
import type { Clock } from '../../clock.ts';
import { type ErrorCode, TaxiflowError } from '../../errors.ts';
import { awsVerdict } from '../../net/aws-errors.ts';
import type { ShardDescription, StreamAdmin } from '../ports.ts';
import { type AutoscaleOptions, type Decision, decide, LOOK_BACK_MS, type Look } from './decide.ts';

const MINUTE = 60_000;
const DAY_MS = 1_440 * MINUTE;
/** After the end of a minute, when its last writes are in. */
const LOOK_AFTER_MS = 5_000;
/** Shards that are made in one go differ by less. */
const ONE_CHANGE_MS = MINUTE;
/** Until a reshard is tried again that a quota forbade. */
const QUOTA_PAUSE_MS = 10 * MINUTE;
/** What may have passed at the next look. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'cloudwatch-unreachable',
  'kinesis-limit',
  'kinesis-unreachable',
  'stream-not-active',
]);

export interface AutoscaleRun {
  readonly stream: Pick<StreamAdmin, 'describe' | 'isChanging' | 'reshard' | 'written'>;
  readonly options: AutoscaleOptions;
  readonly clock: Clock;
  /** Ends the run between two looks. */
  readonly signal: AbortSignal;
  /** Looks once, and takes one step at most. */
  readonly once: boolean;
  /** Looks once, and changes nothing. */
  readonly dryRun: boolean;
  /** Told of each decision, after it was carried out. */
  readonly onDecision: (decision: Decision, time: number) => void | Promise<void>;
  /** Told of a change that begins, which may take minutes. */
  readonly onChange?: (decision: Decision) => void;
}

/** Throws what keeps the first look, and later only what won't pass. */
export async function autoscale(run: AutoscaleRun): Promise<void> {
  const { clock, signal } = run;
  const scaler = new Scaler(run);
  await scaler.step();
  while (!run.once && !run.dryRun && !signal.aborted) {
    if (!scaler.isOnItsWay) {
      const now = clock.now();
      const next = Math.floor((now - LOOK_AFTER_MS) / MINUTE + 1) * MINUTE + LOOK_AFTER_MS;
      await clock.sleep(next - now, signal);
    }
    if (!signal.aborted) await scaler.stepOrWait();
  }
}

class Scaler {
  /** More of a change up follows at once. */
  isOnItsWay = false;
  readonly #run: AutoscaleRun;
  /** When shards were made at the latest of which the stream doesn't say when. */
  #unknownSince: number;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #shards = 0;

  constructor(run: AutoscaleRun) {
    this.#run = run;
    this.#unknownSince = run.clock.now();
  }

  async step(): Promise<void> {
    const { stream, options, clock, dryRun } = this.#run;
    this.isOnItsWay = false;
    const time = clock.now();
    const shards = await stream.describe();
    if (await stream.isChanging?.()) {
      this.#shards = openOf(shards).length;
      await this.#run.onDecision(held(this.#shards, 'the stream is being resharded'), time);
      return;
    }
    const minutes = await stream.written(time - LOOK_BACK_MS, time);
    const look: Look = { now: time, minutes, ...historyOf(shards, this.#unknownSince) };
    this.#shards = look.shards;
    const decision = this.#unlessPaused(decide(look, options), time);
    if (decision.action !== 'hold' && !dryRun) {
      this.#run.onChange?.(decision);
      await this.#reshard(decision.to);
      this.#unknownSince = clock.now();
      this.isOnItsWay = decision.action === 'up' && decision.to < decision.wanted;
    }
    await this.#run.onDecision(decision, time);
  }

  /** A step; what passes is told, and the next look comes in its turn. */
  async stepOrWait(): Promise<void> {
    const { clock } = this.#run;
    try {
      await this.step();
    } catch (error) {
      if (!(error instanceof TaxiflowError) || !mayPass(error)) throw error;
      await this.#run.onDecision(held(this.#shards, error.message), clock.now());
    }
  }

  async #reshard(shards: number): Promise<void> {
    try {
      await this.#run.stream.reshard(shards);
    } catch (error) {
      if (error instanceof TaxiflowError && error.code === 'kinesis-limit')
        this.#pausedUntil = this.#run.clock.now() + QUOTA_PAUSE_MS;
      throw error;
    }
  }

  #unlessPaused(decision: Decision, time: number): Decision {
    if (decision.action === 'hold' || time >= this.#pausedUntil) return decision;
    const why = `${decision.why}, but Kinesis refused a change for its quota less than ${QUOTA_PAUSE_MS / MINUTE} minutes ago`;
    return { ...decision, action: 'hold', to: decision.shards, why };
  }
}

function mayPass({ code, cause }: TaxiflowError): boolean {
  return PASSING.has(code) || (cause !== undefined && awsVerdict(cause) !== 'final');
}

function held(shards: number, why: string): Decision {
  return { action: 'hold', shards, to: shards, wanted: shards, use: undefined, why, nextDown: undefined };
}

/** Number and history of a stream's shards; `unknown` stands for a time that the stream doesn't tell. */
export function historyOf(
  shards: readonly ShardDescription[],
  unknown: number,
): Pick<Look, 'shards' | 'changedAt' | 'reshards'> {
  const openedAt = ({ opened_at }: ShardDescription) => (opened_at ? Date.parse(opened_at) : unknown);
  const open = openOf(shards);
  const changedAt = open.reduce((newest, shard) => Math.max(newest, openedAt(shard)), 0);
  const times = shards
    .flatMap((shard) => (shard.parents.length > 0 && shard.opened_at ? openedAt(shard) : []))
    .filter((time) => time > changedAt - DAY_MS)
    .sort((a, b) => a - b);
  const reshards = times.filter((time, i) => i === 0 || time - times[i - 1]! > ONE_CHANGE_MS);
  return { shards: open.length, changedAt, reshards };
}

function openOf(shards: readonly ShardDescription[]): ShardDescription[] {
  return shards.filter((shard) => shard.open);
}
