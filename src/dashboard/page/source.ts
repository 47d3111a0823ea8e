/** Where the page's data comes from: a server, or the file that the page was exported into. */
import type { Changes, History, JobStatus, Windows } from './wire.ts';

export interface Listener {
  /** What a view has; it replaces all that was known. */
  history(history: History): void;
  changes(changes: Changes): void;
  status(status: JobStatus): void;
  /** Whether the server answers. */
  connected(yes: boolean): void;
  /** Whether this page is disconnected to make room for newer ones. */
  crowded(yes: boolean): void;
  /** There is no job of that name. */
  noJob(app: string): void;
}

export type MapLibrary = typeof import('maplibre-gl');

export interface Source {
  /** Whether what it tells goes on. If not, the time of the status is that of the export. */
  readonly isLive: boolean;
  /** Tells the listener of a view of a job, from now on: the first one without a name. */
  open(app: string | undefined, view: string | undefined): void;
  /** Windows of a view before a label, the newest first; some after it may come with them. */
  windows(view: string, before: number): Promise<Windows>;
  /** Anything else that a server answers, such as `/api/dead-letters`. Throws with the server's words. */
  fetch<T>(path: string, query?: Readonly<Record<string, string>>): Promise<T>;
  library(): Promise<MapLibrary>;
}
