/** How much a fuzzer tries. `npm test` gives each a fixed seed and budget; `npm run fuzz` a new seed and more. */

/** Seed of the whole run: TAXIFLOW_FUZZ_SEED, or 1. A failure names it. */
export const FUZZ_SEED = whole(process.env['TAXIFLOW_FUZZ_SEED'], 1);

/** Times the budget of the suite: TAXIFLOW_FUZZ_TIMES, or 1. */
const TIMES = whole(process.env['TAXIFLOW_FUZZ_TIMES'], 1);

/** How many inputs to try, where the suite tries `count`. */
export function budget(count: number): number {
  return count * TIMES;
}

function whole(text: string | undefined, otherwise: number): number {
  const value = Number(text ?? otherwise);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`a whole number from 1 on is needed, not ${text}`);
  return value;
}
