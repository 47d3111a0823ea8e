/**
 * A dashboard that is there already, with what is ours put right and what the user made of it kept: panels that were
 * added, how panels are arranged and set, the refresh interval, and times.
 */
import { type LiveObject, parsed, type Reference, type SavedObject } from './saved-objects.ts';
import { covers, type TimeRange, timesOfDashboard } from './time-range.ts';

interface Panel {
  readonly panelIndex?: string;
  readonly panelRefName?: string;
  /** Its place, and its index once more. */
  readonly gridData: Grid & { readonly i?: string };
  readonly embeddableConfig?: Readonly<Record<string, unknown>>;
}

interface Grid {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

/** Rows of the panels of earlier versions, which cut the legend of the map at 900 pixels. */
const FORMER_ROWS = 28;

/**
 * Our dashboard as it should be where `live` is. `results` are the times of the results, if there are any. A dashboard
 * whose panels can't be read is replaced by ours.
 */
export function keptDashboard(ours: SavedObject, live: LiveObject, results?: TimeRange): SavedObject {
  const panels = parsed(live.attributes['panelsJSON']);
  if (!Array.isArray(panels) || panels.some((panel) => !panel?.gridData)) return ours;
  const references = live.references ?? [];
  const own = ownPanels(ours);
  let isFormer = false;
  const kept = (panels as Panel[]).map((panel) => {
    const made = own.get(idOf(panel, references) ?? '');
    if (!made || !isOfFormerVersion(panel, made)) return panel;
    isFormer = true;
    const { gridData } = panel;
    const isAsMade = gridData.h === FORMER_ROWS;
    return {
      ...panel,
      ...(made.embeddableConfig ? { embeddableConfig: made.embeddableConfig } : {}),
      ...(isAsMade ? { gridData: { ...gridData, h: made.gridData.h } } : {}),
    };
  });
  const there = new Set(kept.map((panel) => idOf(panel, references)));
  const missing = [...own].filter(([id]) => !there.has(id));
  const times = timesOfDashboard(live.attributes);
  const shown = results && !covers(times, results) ? results : times;
  return {
    ...ours,
    attributes: {
      ...ours.attributes,
      panelsJSON: JSON.stringify([...kept, ...missing.map(([id, panel]) => added(id, panel, kept))]),
      ...(isFormer ? {} : { refreshInterval: live.attributes['refreshInterval'] }),
      ...{ timeFrom: shown.from, timeTo: shown.to },
    },
    references: [
      // References of a filter go with the filter.
      ...references.filter(({ name }) => !name.startsWith('kibanaSavedObjectMeta')),
      ...missing.map(([id]) => ({ name: `panel_${id}`, type: 'visualization', id })),
    ],
  };
}

/** By the id of the visualization. */
function ownPanels({ attributes, references }: SavedObject): Map<string, Panel> {
  const panels = parsed(attributes['panelsJSON']) as Panel[];
  return new Map(panels.map((panel) => [idOf(panel, references)!, panel]));
}

function idOf({ panelRefName }: Panel, references: readonly Reference[]): string | undefined {
  return references.find(({ name }) => name === panelRefName)?.id;
}

/** A map with the zoom of a `tile_map`, or lines without colours of their own. */
function isOfFormerVersion({ embeddableConfig = {} }: Panel, made: Panel): boolean {
  return (
    'mapZoom' in embeddableConfig ||
    Object.keys(made.embeddableConfig ?? {}).some((key) => !(key in embeddableConfig))
  );
}

/** Our panel in its place, or below all others where something else is there. */
function added(id: string, panel: Panel, others: readonly Panel[]): Panel {
  const grids = others.map(({ gridData }) => gridData);
  const place = panel.gridData;
  const isTaken = grids.some(
    ({ x, y, w, h }) => x < place.x + place.w && place.x < x + w && y < place.y + place.h && place.y < y + h,
  );
  const bottom = grids.reduce((lowest, { y, h }) => Math.max(lowest, y + h), 0);
  const y = isTaken ? bottom : place.y;
  return { ...panel, panelIndex: id, panelRefName: `panel_${id}`, gridData: { ...place, y, i: id } };
}
