/**
 * Which index each result goes to. Ids and versions hold within one index only, so all results of a window go to one:
 *
 *  O5 the index that was written to when the window fired first; it is known from the numbers of results and is durable
 *     before anything is sent, so that what is sent again after a crash or a lost answer goes where it went before.
 *  O6 where several indices are behind the name, the server is asked once a run where documents of a window lie; what
 *     it says goes before O5 and is durable too.
 */
import type { WindowDestination } from '../../state/destinations.ts';
import type { View } from '../../views/language.ts';

/** An index behind the name of a view. */
export interface LiveIndex {
  readonly name: string;
  /** Another one when the index was deleted and made anew. */
  readonly uuid: string;
  /** Another one when its shards were restored from a snapshot or lost what they held; empty when the server doesn't tell. */
  readonly history: string;
  /** False while it is closed or blocked. */
  readonly writable: boolean;
  readonly closed: boolean;
  /** The name to write under. */
  readonly address: string;
  /** How the target of an action begins: the address, and what goes with it. */
  readonly target: string;
}

/** What is behind the name of a view. */
export interface Place {
  readonly view: View;
  readonly name: string;
  readonly indices: ReadonlyMap<string, LiveIndex>;
  /** The one that is written to. */
  readonly write: LiveIndex;
}

/** Results from the number `from` on go to this index. */
interface Epoch {
  readonly from: number;
  readonly index: string;
  readonly uuid: string;
  readonly history: string;
  /** The index was removed behind one that is newer, when results below this number had been sent. */
  readonly gone?: number;
}

/** What is durable of it. */
export interface DestinationStore {
  /** As they were stored last; undefined when they never were. */
  epochs(): string | undefined;
  /** The windows that lie elsewhere than their epoch says. */
  exceptions(): readonly WindowDestination[];
  setEpochs(text: string): void;
  addExceptions(exceptions: readonly WindowDestination[]): void;
}

/** What there is to do after the indices behind a name were looked at. */
export interface Renewed {
  /** All results from this number on are to be sent again, since an index lost what it held. */
  readonly again?: number;
  /** The indices that did. */
  readonly lost: readonly string[];
  /** Older indices that were removed. */
  readonly removed: readonly string[];
}

export class Destinations {
  readonly #store: DestinationStore;
  #epochs: Record<string, readonly Epoch[]>;
  /** By window: the name and the uuid of its index, since an index that was made anew holds nothing. */
  readonly #exceptions = new Map<string, string>();
  #added: WindowDestination[] = [];

  constructor(store: DestinationStore) {
    this.#store = store;
    this.#epochs = JSON.parse(store.epochs() ?? '{}');
    for (const exception of store.exceptions()) this.#exceptions.set(keyOf(exception), exception.destination);
  }

  /** Makes durable what has changed; to be called before anything is sent by it. */
  save(): void {
    this.#store.setEpochs(JSON.stringify(this.#epochs));
    this.saveExceptions();
  }

  saveExceptions(): void {
    if (this.#added.length === 0) return;
    this.#store.addExceptions(this.#added);
    this.#added = [];
  }

  /** The results of removed indices are to be sent again, to the newest one. */
  forgetRemoved(): void {
    for (const [view, epochs] of Object.entries(this.#epochs)) {
      const latest = epochs.at(-1)!;
      this.#epochs[view] = epochs.map((epoch) =>
        epoch.gone === undefined ? epoch : { ...latest, from: epoch.from },
      );
    }
  }

  /**
   * Takes the indices that are there now. Results below `sent` may have been sent, results below `settled` are settled.
   */
  renew({ view, indices, write }: Place, sent: number, settled: number): Renewed {
    const before = this.#epochs[view.name] ?? [];
    const went = before.filter(
      (epoch) => epoch.gone === undefined && !isLive(epoch, indices.get(epoch.index)),
    );
    // Who removes old indices leaves the one that is written to; that one gone, nobody meant it.
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
      // What may be under way to the index before goes there again, unless that takes nothing any more.
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

  /** Whether all results of a view go to one index, whatever their window. */
  isSimple({ view, indices }: Place): boolean {
    return indices.size === 1 && this.#epochs[view.name]!.length === 1;
  }

  /** Whether a result lay in an index that was removed; `first` is the number of its window's first result. */
  isRemoved(view: string, first: number, number: number): boolean {
    const { gone } = this.#epochOf(view, first);
    return gone !== undefined && number < gone;
  }

  /** The index of a window; `first` is the number of its first result, `lying` where documents of it were found. */
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

/** No name of an index holds a space. */
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
