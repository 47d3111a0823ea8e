import { AlignedWindows } from '../../../src/engine/windows/aligned.ts';
import type { Firing } from '../../../src/engine/windows/documents.ts';
import type { PaneBlock } from '../../../src/engine/windows/pane-runs.ts';
import { TripColumns } from '../../../src/events/columns.ts';
import { decoderOf } from '../../../src/events/decode.ts';
import type { Trip } from '../../../src/events/trip.ts';
import { fieldsOf } from '../../../src/views/check.ts';
import { compileView } from '../../../src/views/javascript/compile.ts';
import type * as l from '../../../src/views/language.ts';
import { type MemoryPanes, packed } from '../memory.ts';

/** Panes of a view with their own columns, as in one process. */
export class Process {
  readonly panes: AlignedWindows;
  readonly memory = { bytes: 0, uses: 0 };
  readonly #stored: MemoryPanes;
  readonly #columns = new TripColumns();
  readonly #decode: ReturnType<typeof decoderOf>;

  constructor(view: l.View, lateness: number, stored: MemoryPanes, watermark?: number) {
    this.#stored = stored;
    this.#decode = decoderOf(fieldsOf(view));
    // Earlier words make the codes differ from those of the previous process.
    if (watermark !== undefined)
      for (const word of ['x', 'VTS', 'y']) this.#columns.dictionaries.vendor_id.code(word);
    this.panes = new AlignedWindows(compileView(view, this.#columns), lateness, stored, this.memory);
    if (watermark === undefined) return;
    this.panes.restore(watermark, stored.windows);
    this.panes.judgeBy(watermark);
  }

  advance(watermark: number): void {
    this.panes.advance(watermark);
    this.panes.judgeBy(watermark);
  }

  /** Makes a checkpoint; windows for which `leaves` holds leave memory. Returns the firings and the blocks written. */
  checkpoint(leaves: (start: number) => boolean = () => false): { firings: Firing[]; blocks: PaneBlock[] } {
    const { panes } = this;
    const firings = panes.takeDue().flatMap((end) => [...panes.fire(end)]);
    panes.endFiring();
    for (const window of panes.inMemory) if (leaves(window.start)) panes.putAway(window);
    const blocks = [...panes.changes()];
    this.#stored.write(blocks);
    for (const { windowEnd } of panes.takeGone()) this.#stored.forget(panes.view.view.name, windowEnd);
    panes.committed();
    return { firings, blocks };
  }

  /** Takes a trip and returns its outcome. */
  add(trip: Trip): number {
    return this.addAll([trip])[0]!;
  }

  addAll(trips: readonly Trip[]): number[] {
    this.#decode(packed(trips.map((trip) => JSON.stringify({ type: 'trip', ...trip }))), this.#columns);
    const outcomes = new Uint8Array(trips.length);
    this.panes.view.accumulate(0, trips.length, this.#columns.numbers.dropoff_datetime, outcomes, this.panes);
    return [...outcomes];
  }

  /** Number of panes in memory. */
  get count(): number {
    return Array.from(this.panes.inMemory).reduce((sum, { panes }) => sum + panes.count, 0);
  }
}
