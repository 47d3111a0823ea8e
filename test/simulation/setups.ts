/** `es-setup`, run by a person while the line runs: it plans by reading, and carries out the plan. */
import { connect } from '../../src/opensearch/connection.ts';
import { carryOut, type Target } from '../../src/opensearch/plan.ts';
import { planSetup, reach } from '../../src/opensearch/setup.ts';
import type { View } from '../../src/views/language.ts';
import type { SearchModel } from './search-model.ts';
import { running } from './surroundings.ts';
import { Broken } from './world.ts';

const URL = 'http://search:9200';
const WAIT_MS = 20_000;

/** Sets up a server for some views; returns how many steps that took. Throws as `reach`, `planSetup` and `carryOut`. */
export async function setUp(views: readonly View[], search: SearchModel): Promise<number> {
  const client = await connect({ url: URL });
  const target: Target = { client, url: URL, prefix: '', views };
  try {
    await reach(target, WAIT_MS);
    const plan = await planSetup(target);
    if (search.writers.has(running()!)) throw new Broken('S1: a plan is made by reading alone');
    await carryOut(plan, () => {});
    return plan.steps.length;
  } finally {
    await client.close();
  }
}
