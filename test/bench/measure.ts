/** Ratios of two things measured in turn in one run, so that a busy machine slows both. */

export const TRIPS = Number(process.env['BENCH_TRIPS'] ?? 1_000_000);
export const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);

interface Measured {
  readonly name: string;
  /** Microseconds a unit, of each round. */
  readonly ours: number[];
  readonly baseline: number[];
  readonly floor: number | undefined;
  readonly unit: string;
}

/** One round; a number it gives back is the ms it took, known better than by waiting for it. */
type Work = () => unknown;

/** Both in turn, one round to warm up; the ratio is baseline over ours. Prints it; false when below the floor. */
export async function compare(
  name: string,
  floor: number | undefined,
  ours: Work,
  baseline: Work,
  count = TRIPS,
  unit = 'trip',
): Promise<boolean> {
  const measured: Measured = { name, ours: [], baseline: [], floor, unit };
  for (let round = 0; round <= ROUNDS; round++) {
    const [a, b] = [await timed(ours, count), await timed(baseline, count)];
    if (round === 0) continue;
    measured.ours.push(a);
    measured.baseline.push(b);
  }
  return report(measured);
}

async function timed(work: Work, count: number): Promise<number> {
  const start = performance.now();
  const told = await work();
  return ((typeof told === 'number' ? told : performance.now() - start) * 1e3) / count;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

function report({ name, ours, baseline, floor, unit }: Measured): boolean {
  const ratios = ours.map((x, i) => baseline[i]! / x);
  const met = floor === undefined || median(ratios) >= floor;
  const floorText = floor === undefined ? '' : `  floor ${floor.toFixed(1)} ${met ? 'met' : 'NOT MET'}`;
  console.log(
    `${name.padEnd(58)} ${median(ratios).toFixed(2)}×  (${Math.min(...ratios).toFixed(2)}…${Math.max(...ratios).toFixed(2)})  ` +
      `${median(ours).toFixed(2)} against ${median(baseline).toFixed(2)} µs a ${unit}${floorText}`,
  );
  return met;
}
