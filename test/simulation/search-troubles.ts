/** What other hands, disks and restarts do to indices for a while; in the end each is as it should be. */
import type { Random } from '../random.ts';
import type { ModelIndex, ModelServer } from '../sinks/opensearch-model.ts';
import type { SearchModel } from './search-model.ts';
import type { World } from './world.ts';

type Plan = (kind: string, most: number, happen: (details: Random) => void) => void;

/** The longest of them, ms: longer than a run waits at its end. */
const LONGEST_MS = 90_000;

export function planTroubles(plan: Plan, world: World, search: SearchModel): void {
  const { server } = search;
  const later = (details: Random, what: string, happen: () => void) =>
    world.after(details() ** 2 * LONGEST_MS, undefined, what, happen);
  const anyIndex = (details: Random) =>
    [...server.indices.values()][Math.floor(details() * server.indices.size)];
  const forAWhile = (kind: string, set: (index: ModelIndex, on: boolean) => void) =>
    plan(kind, 1, (details) => {
      const index = anyIndex(details);
      if (!index) return;
      set(index, true);
      later(details, `${kind} no more`, () => set(index, false));
    });
  forAWhile('closed-index', (index, on) => {
    index.isClosed = on;
  });
  forAWhile('disk-full', (index, on) => {
    index.isFull = on;
  });
  plan('no-write-index', 1, (details) => {
    const [alias, of] = writeAliases(server)[0] ?? [];
    const write = of && [...of].find(([, isWriteIndex]) => isWriteIndex)?.[0];
    if (alias === undefined || write === undefined) return;
    of!.set(write, false);
    later(details, 'a write index again', () => {
      const now = server.aliases.get(alias);
      if (now?.has(write) && ![...now.values()].includes(true)) now.set(write, true);
    });
  });
  plan('mapping-changed', 1, (details) => {
    const index = anyIndex(details);
    // What another hand makes of an index without a mapping may contradict the views.
    if (!index?.mappings['properties']) return;
    const { _meta, properties, ...rest } = index.mappings;
    index.mappings = { ...rest, properties: { ...(properties as object), mine: { type: 'keyword' } } };
  });
  plan('template-deleted', 2, () => server.templates.clear());
  plan('unauthorized', 1, (details) => {
    search.denies = details() < 0.5 ? 401 : 403;
    later(details, 'authorized again', () => {
      search.denies = undefined;
    });
  });
  plan('restarted', 2, (details) => {
    search.isDown = true;
    later(details, 'up again', () => {
      search.isDown = false;
      for (const index of server.indices.values()) {
        index.refresh();
        index.isRecovering = true;
        later(details, 'recovered', () => {
          index.isRecovering = false;
        });
      }
    });
  });
}

function writeAliases({ aliases }: ModelServer) {
  return [...aliases].filter(([name]) => !name.endsWith('-writer'));
}
