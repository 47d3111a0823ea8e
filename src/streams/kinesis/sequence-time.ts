/**
 * When a shard was made, by its first sequence number. No request tells it, and it is the only place where the time of a
 * reshard outlives whoever asked for it. Sequence numbers are 186 bits in hexadecimal: a 2, the second in which the shard was
 * made (9 digits), …, the version (the last digit). Amazon does not document that, so numbers of any other form tell nothing.
 */

const VERSION_2 = /^2([\da-f]{9})[\da-f]{36}2$/;
/** Kinesis began in 2013; what seems to be later than 2100 is something else. */
const [FIRST, LAST] = [Date.UTC(2013, 0, 1), Date.UTC(2100, 0, 1)];

/** Epoch ms, to the second. */
export function timeOfShard(firstSequence: string | undefined): number | undefined {
  if (firstSequence === undefined || !/^\d{1,60}$/.test(firstSequence)) return undefined;
  const [, seconds] = VERSION_2.exec(BigInt(firstSequence).toString(16)) ?? [];
  if (seconds === undefined) return undefined;
  const ms = Number.parseInt(seconds, 16) * 1_000;
  return ms >= FIRST && ms < LAST ? ms : undefined;
}
