/**
 * How many shards a stream is to have: a pure function of what was written minute by minute.
 *
 * A1 never outside of min and max, never more than twice or less than half as many in one step. A2 more use never means fewer
 * shards. A3 under constant use, a change is never taken back. A4 no shard is taken away on figures that have not come.
 */
import type { MinuteOfWrites } from '../ports.ts';

/** What a shard of Amazon Kinesis takes in a second. */
export const SHARD_TAKES = { bytes: 1_048_576, records: 1_000 } as const;

const MINUTE = 60_000;
const DAY_MS = 1_440 * MINUTE;
/** Shards are added for the use of the newest whole minutes, which must not be older than `FRESH_MS`. */
const UP_MINUTES = 2;
const FRESH_MS = 5 * MINUTE;
/** Shards are taken away if they were not needed in any of so many whole minutes in a row. */
const DOWN_MINUTES = 15;
/** The use after it must stay below this part of the target, or the next minute could take the change back. */
const DOWN_MARGIN = 0.8;
/** A stream is resharded ten times a day at most, so a step up adds half at least, and one down takes away a quarter. */
const LEAST_UP = 0.5;
const LEAST_DOWN = 0.25;
/** After any change, ms. */
const DOWN_PAUSE_MS = 15 * MINUTE;
/** So many changes within 24 hours are followed by no step down: the others of the ten are for steps up. */
const DOWN_CHANGES = 6;
/** How far back `decide` needs figures, ms. */
export const LOOK_BACK_MS = 25 * MINUTE;

export interface AutoscaleOptions {
  readonly min: number;
  readonly max: number;
  /** The part of what the shards take that is to be used, above 0 and at most 1. */
  readonly target: number;
}

/** A stream as it was found. */
export interface Look {
  /** Epoch ms. */
  readonly now: number;
  /** Open ones. */
  readonly shards: number;
  /** Whole minutes, oldest first; those that are not known are left out. */
  readonly minutes: readonly MinuteOfWrites[];
  /** When the newest open shard was made, epoch ms. */
  readonly changedAt: number;
  /** When the stream was resharded, epoch ms, oldest first. */
  readonly reshards: readonly number[];
}

export interface Use {
  /** Written in a second. */
  readonly bytes: number;
  readonly records: number;
  /** The part that is used of what the shards take: of bytes or records, whichever is more; at least 1 if writes were throttled. */
  readonly perShard: number;
  /** Records turned away in the minute. */
  readonly throttled: number;
}

export interface Decision {
  readonly action: 'up' | 'down' | 'hold';
  readonly shards: number;
  /** Shards after this step. */
  readonly to: number;
  /** Shards after all steps. */
  readonly wanted: number;
  /** In the busiest of the newest minutes; undefined where no figures have come. */
  readonly use: Use | undefined;
  readonly why: string;
  /** From when on shards may be taken away at the earliest, after this step if one is due, epoch ms; undefined if they may now. */
  readonly nextDown: number | undefined;
}

export function decide(look: Look, options: AutoscaleOptions): Decision {
  const { shards } = look;
  const { min, max } = options;
  const recent = recentMinutes(look);
  const use = recent.map((minute) => useOf(minute, look)).sort((a, b) => b.perShard - a.perShard)[0];
  const found = { shards, use, nextDown: nextDown(look) };
  const hold = (why: string): Decision => ({ ...found, action: 'hold', to: shards, wanted: shards, why });
  const told = use
    ? `${percent(use.perShard)} of what ${shardsOf(shards)} ${shards === 1 ? 'takes' : 'take'} is used`
    : 'no figures have come';

  const needed = use ? wholeShards((use.perShard * shards) / options.target) : 0;
  if (needed > shards && shards < max) {
    const throttled = use!.throttled > 0 ? ', and writes were throttled' : '';
    return up(
      look,
      use,
      afterAllSteps(shards, needed, options),
      `${told}${throttled}; the target is ${percent(options.target)}`,
    );
  }
  if (shards < min) return up(look, use, min, `--min is ${min}`);

  if (shards === max && needed > max) return hold(`${told}, but --max is ${max}`);

  const lasting = lastingMinutes(look);
  const known = lasting.length === DOWN_MINUTES;
  const most = [...lasting, ...recent].reduce(
    (top, minute) => Math.max(top, useOf(minute, look).perShard),
    0,
  );
  const enough = clamp(wholeShards((most * shards) / (options.target * DOWN_MARGIN)), options);
  if (shards > max) return down(found, look, known ? enough : max, `--max is ${max}`);
  if (!known)
    return hold(
      !use
        ? `no figures of the last ${DOWN_MINUTES} minutes have come, so no shard is taken away`
        : `${told}; figures of ${lasting.length} of the last ${DOWN_MINUTES} minutes have come, and fewer shards take all`,
    );
  const isWorth = enough === min || enough <= shards * (1 - LEAST_DOWN);
  if (enough < shards && isWorth)
    return down(
      found,
      look,
      enough,
      `${shardsOf(enough)} would have been enough for ${DOWN_MINUTES} minutes`,
    );
  return hold(told);
}

type Found = Pick<Decision, 'shards' | 'use' | 'nextDown'>;

function up({ now, shards }: Look, use: Use | undefined, wanted: number, why: string): Decision {
  const to = Math.min(2 * shards, wanted);
  return { action: 'up', shards, to, wanted, use, why, nextDown: now + DOWN_PAUSE_MS };
}

/** Shards after as many steps up as it takes to have the needed ones. */
function afterAllSteps(shards: number, needed: number, options: AutoscaleOptions): number {
  const enough = clamp(needed, options);
  let reached = shards;
  while (reached < enough) {
    const least = enough > options.min ? Math.ceil(reached * (1 + LEAST_UP)) : enough;
    reached = Math.min(2 * reached, clamp(Math.max(enough, least), options));
  }
  return reached;
}

/** A step down, once it may be. */
function down(found: Found, { now, changedAt }: Look, wanted: number, why: string): Decision {
  const { shards, nextDown } = found;
  if (nextDown === undefined) {
    const to = Math.max(Math.ceil(shards / 2), wanted);
    return { ...found, action: 'down', to, wanted, why, nextDown: now + DOWN_PAUSE_MS };
  }
  const reason =
    now < changedAt + DOWN_PAUSE_MS
      ? 'the last change is too young'
      : `the stream was resharded ${DOWN_CHANGES} times within 24 hours`;
  return { ...found, action: 'hold', to: shards, wanted, why: `${why}, but ${reason}` };
}

function nextDown({ now, changedAt, reshards }: Look): number | undefined {
  const counted = reshards.at(-DOWN_CHANGES);
  const next = Math.max(changedAt + DOWN_PAUSE_MS, counted === undefined ? 0 : counted + DAY_MS);
  return next > now ? next : undefined;
}

/** Use of a minute in terms of the shards that there are now. */
function useOf({ start, bytes, records, throttled }: MinuteOfWrites, { shards, changedAt }: Look): Use {
  const perSecond = { bytes: bytes / 60, records: records / 60 };
  const share =
    Math.max(perSecond.bytes / SHARD_TAKES.bytes, perSecond.records / SHARD_TAKES.records) / shards;
  // Writes that other shards turned away don't tell whether these would.
  const isFull = throttled > 0 && start >= changedAt;
  return { ...perSecond, perShard: isFull ? Math.max(1, share) : share, throttled };
}

function recentMinutes({ minutes, now }: Look): MinuteOfWrites[] {
  return minutes.filter(({ start }) => start + MINUTE >= now - FRESH_MS).slice(-UP_MINUTES);
}

/** The newest minutes of which nothing more comes, in a row; none where the newest is not new. */
function lastingMinutes({ minutes, now }: Look): MinuteOfWrites[] {
  const settled = minutes.filter((minute) => minute.settled);
  const newest = settled.at(-1);
  if (!newest || newest.start + MINUTE < now - FRESH_MS) return [];
  const first = newest.start - (DOWN_MINUTES - 1) * MINUTE;
  return settled.filter(({ start }) => start >= first);
}

/** Rounded up, but not for what is lost in a division. */
function wholeShards(shards: number): number {
  return Math.ceil(shards - 1e-9);
}

function clamp(shards: number, { min, max }: AutoscaleOptions): number {
  return Math.min(max, Math.max(min, shards));
}

function percent(part: number): string {
  return `${(part * 100).toFixed(0)} %`;
}

function shardsOf(count: number): string {
  return `${count} shard${count === 1 ? '' : 's'}`;
}
