/** Ratios of two things measured in turn in one run, so that a busy machine slows both. */

export const TRIPS = Number(process.env['BENCH_TRIPS'] ?? 1_000_000);
export const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);

interface Measured {
  readonly name: string;
  /** Microseconds a trip, of each round. */
  readonly ours: number[];
  readonly baseline: number[];
  readonly floor: number | undefined;
}

/** Both in turn, one round to warm up; the ratio is baseline over ours. Prints it; false when below the floor. */
export async function compare(
  name: string,
  floor: number | undefined,
  ours: () => Promise<void> | void,
  baseline: () => Promise<void> | void,
  trips = TRIPS,
): Promise<boolean> {
  const measured: Measured = { name, ours: [], baseline: [], floor };
  for (let round = 0; round <= ROUNDS; round++) {
    const [a, b] = [await timed(ours, trips), await timed(baseline, trips)];
    if (round === 0) continue;
    measured.ours.push(a);
    measured.baseline.push(b);
  }
  return report(measured);
}

async function timed(work: () => Promise<void> | void, trips: number): Promise<number> {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e3 / trips;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

function report({ name, ours, baseline, floor }: Measured): boolean {
  const ratios = ours.map((x, i) => baseline[i]! / x);
  const met = floor === undefined || median(ratios) >= floor;
  const floorText = floor === undefined ? '' : `  floor ${floor.toFixed(1)} ${met ? 'met' : 'NOT MET'}`;
  console.log(
    `${name.padEnd(58)} ${median(ratios).toFixed(2)}×  (${Math.min(...ratios).toFixed(2)}…${Math.max(...ratios).toFixed(2)})  ` +
      `${median(ours).toFixed(2)} against ${median(baseline).toFixed(2)} µs a trip${floorText}`,
  );
  return met;
}
