/** The trips that taxiflow brings along: a week, made on the fly, the same bytes each time. */
import type { Input } from './inputs.ts';

export const BUILT_IN = {
  trips: 280_000,
  from: '2016-01-11',
  hours: 7 * 24,
  seed: 1,
  layout: 'yellow-2015',
  dirty: 0,
} as const;

/** How the built-in trips are named where inputs are listed. */
export const BUILT_IN_NAME = 'the built-in trips';

export function builtInTrips(): Input {
  return { name: BUILT_IN_NAME, size: undefined, found: false, open: chunks };
}

async function* chunks(onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  // Only here, so that a replay of files doesn't load the generator.
  const { generateCsv } = await import('./generator/generate.ts');
  for (const text of generateCsv(BUILT_IN)) {
    const chunk = Buffer.from(text);
    onBytes(chunk.length);
    yield chunk;
  }
}
