/** What taxiflow remembers of an app's job on a cluster: `flink/APP.json` in the data folder. No secret is in it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TaxiflowError, translating } from '../errors.ts';
import { makeFolder, replaceFile } from '../private-files.ts';
import type { View } from '../views/language.ts';
import type { JobDefinition } from './script.ts';

/** A savepoint that a job goes on from. */
export interface SavepointPlace {
  readonly path: string;
  /** All records that had arrived before this were read; ISO 8601. Undefined where that is not known. */
  readonly readUpTo: string | undefined;
  /** All windows have fired, so that nothing can be added to them. */
  readonly drained: boolean;
}

export interface JobRecord {
  readonly version: 1;
  readonly app: string;
  readonly gateway: string;
  /** The job manager. */
  readonly rest: string;
  readonly stream: string;
  /** Region and endpoint as they were given, to open the stream again. */
  readonly region: string | undefined;
  readonly endpointUrl: string | undefined;
  readonly definition: Omit<JobDefinition, 'app'> & { readonly views: readonly View[] };
  readonly fingerprint: string;
  readonly checkpointInterval: number | undefined;
  /** Subtasks behind the source for each shard. */
  readonly perShard: number;
  /** Tables that read the stream, each for itself. */
  readonly sources: number;
  /** Open shards when the job was started. */
  readonly shards: readonly string[];
  /** How old the figures of the job manager may be, ms. */
  readonly figuresMs: number;
  /** Savepoints go there where the cluster has no folder of its own for them. */
  readonly savepointFolder: string | undefined;
  /** The savepoint that it began from. */
  readonly restoredFrom: SavepointPlace | undefined;
  readonly job: string;
  /** ISO 8601. */
  readonly submittedAt: string;
  /** Where the job goes on from, once it was stopped with a savepoint. */
  readonly savepoint?: SavepointPlace | undefined;
}

function recordPath(dataDir: string, app: string): string {
  return join(dataDir, 'flink', `${app}.json`);
}

/** The apps in a data folder that have had a job, sorted. */
export function appsWithJobs(dataDir: string): string[] {
  const folder = join(dataDir, 'flink');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort();
}

/** The record of an app; undefined where it never had a job. Throws `corrupt`. */
export function readRecord(dataDir: string, app: string): JobRecord | undefined {
  const path = recordPath(dataDir, app);
  if (!existsSync(path)) return undefined;
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as JobRecord;
    if (record.version === 1 && typeof record.job === 'string' && typeof record.rest === 'string')
      return record;
  } catch {
    // It is told below.
  }
  throw new TaxiflowError('corrupt', `${path} can't be read`, {
    hint: 'remove it; "taxiflow flink list --flink-gateway URL" shows the jobs of the cluster',
  });
}

/** Replaces the record whole, so that a crash leaves the old one or the new one. */
export function writeRecord(dataDir: string, record: JobRecord): void {
  const path = recordPath(dataDir, record.app);
  translating('the record of the job', path, () => {
    makeFolder(join(dataDir, 'flink'));
    replaceFile(path, `${JSON.stringify(record, null, 2)}\n`);
  });
}
