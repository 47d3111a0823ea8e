/**
 * Chooses the index of each result. Ids and versions are unique only within one index, so all results of a window go to
 * the same index:
 *
 *  O5 the write index at the time the window first fired. It follows from the number of the window's first result and is
 *     stored before anything is sent, so a resend after a crash or a lost answer goes to the same index.
 *  O6 if the name has several indices, the sink asks the server once per run which index holds a window's documents. The
 *     answer overrides O5 and is stored too.
 */
import type { WindowDestination } from '../../state/destinations.ts';
import type { View } from '../../views/language.ts';

/** An index behind the name of a view. */
export interface LiveIndex {
  readonly name: string;
  /** Changes when the index is deleted and created again. */
  readonly uuid: string;
  /** Changes when shards are restored from a snapshot or lose their data; empty if the server does not report it. */
  readonly history: string;
  /** False while the index is closed or blocked. */
  readonly writable: boolean;
  readonly closed: boolean;
  /** The name to send documents to. */
  readonly address: string;
  /** Start of a bulk action's target, as JSON: the address and its options. */
  readonly target: string;
}

/** The indices behind the name of a view. */
export interface Place {
  readonly view: View;
  readonly name: string;
  readonly indices: ReadonlyMap<string, LiveIndex>;
  /** The write index. */
  readonly write: LiveIndex;
}

/** Windows whose first result has the number `from` or a later one go to this index. */
interface Epoch {
  readonly from: number;
  readonly index: string;
  readonly uuid: string;
  readonly history: string;
  /** The index was removed while a newer one existed; results below this number had been sent by then. */
  readonly gone?: number;
}

/** The durable part of the destinations. */
export interface DestinationStore {
  /** The stored epochs; undefined if none were stored. */
  epochs(): string | undefined;
  /** The windows whose index differs from that of their epoch. */
  exceptions(): readonly WindowDestination[];
  setEpochs(text: string): void;
  addExceptions(exceptions: readonly WindowDestination[]): void;
}

/** What to do after the indices behind a name were looked up. */
export interface Renewed {
  /** Send all results from this number on again, because an index lost its documents. */
  readonly again?: number;
  /** The indices that lost their documents. */
  readonly lost: readonly string[];
  /** Older indices that were removed. */
  readonly removed: readonly string[];
}

export class Destinations {
  readonly #store: DestinationStore;
  #epochs: Record<string, readonly Epoch[]>;
  /** Per window: name and uuid of its index. The uuid tells a recreated index, which is empty. */
  readonly #exceptions = new Map<string, string>();
  #added: WindowDestination[] = [];

  constructor(store: DestinationStore) {
    this.#store = store;
    this.#epochs = JSON.parse(store.epochs() ?? '{}');
    for (const exception of store.exceptions()) this.#exceptions.set(keyOf(exception), exception.destination);
  }

  /** Stores the changes; must be called before anything is sent according to them. */
  save(): void {
    this.#store.setEpochs(JSON.stringify(this.#epochs));
    this.saveExceptions();
  }

  saveExceptions(): void {
    if (this.#added.length === 0) return;
    this.#store.addExceptions(this.#added);
    this.#added = [];
  }

  /** Redirects the results of removed indices to the newest index, for a full resend. */
  forgetRemoved(): void {
    for (const [view, epochs] of Object.entries(this.#epochs)) {
      const latest = epochs.at(-1)!;
      this.#epochs[view] = epochs.map((epoch) =>
        epoch.gone === undefined ? epoch : { ...latest, from: epoch.from },
      );
    }
  }

  /**
   * Takes over the current indices. Results below number `sent` may have been sent, those below `settled` are settled.
   */
  renew({ view, indices, write }: Place, sent: number, settled: number): Renewed {
    const before = this.#epochs[view.name] ?? [];
    const went = before.filter(
      (epoch) => epoch.gone === undefined && !isLive(epoch, indices.get(epoch.index)),
    );
    // Deliberate clean-up keeps the write index; if that one is gone too, the loss was an accident.
    const last = before.at(-1);
    const meant = last === undefined || !went.includes(last) || indices.has(last.index);
    const removed = went.filter(({ index }) => meant && !indices.has(index));
    const lost = went.filter((epoch) => !removed.includes(epoch));
    let epochs = before.map((epoch): Epoch => {
      const live = indices.get(epoch.index);
      if (removed.includes(epoch)) return { ...epoch, gone: sent };
      if (epoch.gone !== undefined) return epoch;
      return { from: epoch.from, ...identityOf(live ?? write) };
    });
    const latest = epochs.at(-1);
    if (latest === undefined) epochs = [{ from: 1, ...identityOf(write) }];
    else if (latest.index !== write.name) {
      // Results possibly in flight to the previous index go there again, unless it is no longer writable.
      const from = indices.get(latest.index)?.writable ? sent : settled;
      epochs = [...epochs.filter((epoch) => epoch.from < from), { from, ...identityOf(write) }];
    }
    this.#epochs[view.name] = epochs;
    const names = new Set(lost.map(({ index }) => index));
    const holdsExceptions = [...this.#exceptions.values()].some((text) => names.has(indexIn(text)));
    return {
      ...(lost.length > 0 ? { again: holdsExceptions ? 1 : lost[0]!.from } : {}),
      lost: [...names],
      removed: removed.map(({ index }) => index),
    };
  }

  /** Whether all results of a view go to one index. */
  isSimple({ view, indices }: Place): boolean {
    return indices.size === 1 && this.#epochs[view.name]!.length === 1;
  }

  /** Whether a result was in an index that was removed; `first` is the number of its window's first result. */
  isRemoved(view: string, first: number, number: number): boolean {
    const { gone } = this.#epochOf(view, first);
    return gone !== undefined && number < gone;
  }

  /** The index of a window; `first` is the number of its first result, `lying` the index that holds documents of it. */
  indexOf(place: Place, windowStart: number, first: number, lying?: LiveIndex): LiveIndex {
    const { view, indices, write } = place;
    const key = { view: view.name, windowStart };
    const noted = this.#exceptions.get(keyOf(key));
    const exception = noted === undefined ? undefined : indices.get(indexIn(noted));
    if (exception && noted === destinationOf(exception)) return exception;
    const epoch = this.#epochOf(view.name, first);
    const planned = indices.get(epoch.index) ?? write;
    const index = lying ?? (planned.writable ? planned : write);
    if (index !== planned) {
      const destination = destinationOf(index);
      this.#exceptions.set(keyOf(key), destination);
      this.#added.push({ ...key, destination });
    }
    return index;
  }

  #epochOf(view: string, number: number): Epoch {
    const epochs = this.#epochs[view]!;
    return epochs.findLast(({ from }) => from <= number) ?? epochs[0]!;
  }
}

function identityOf({ name, uuid, history }: LiveIndex): Omit<Epoch, 'from' | 'gone'> {
  return { index: name, uuid, history };
}

function destinationOf({ name, uuid }: LiveIndex): string {
  return `${name} ${uuid}`;
}

/** The name in a destination; index names contain no spaces. */
function indexIn(destination: string): string {
  return destination.slice(0, destination.indexOf(' '));
}

function isLive({ uuid, history }: Epoch, live: LiveIndex | undefined): boolean {
  if (live?.uuid !== uuid) return false;
  return history === '' || live.history === '' || live.history === history;
}

function keyOf({ view, windowStart }: Pick<WindowDestination, 'view' | 'windowStart'>): string {
  return `${windowStart} ${view}`;
}
