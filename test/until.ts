/** How tests wait for other processes. */
import { setTimeout as wait } from 'node:timers/promises';

/** What never comes is given up after this; nothing takes so long, on however slow and busy a machine. */
export const PATIENCE_MS = 300_000;

/** Looks again and again until `condition` holds; throws after `PATIENCE_MS`. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; !(await condition()); await wait(20)) {
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
  }
}
