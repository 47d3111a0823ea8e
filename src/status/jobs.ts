/** The jobs of a data directory, for a list of them: of each state, only its small rows are read. */
import { TaxiflowError } from '../errors.ts';
import { listApps } from '../state/apps.ts';
import { isRunning, isStandby } from '../state/files.ts';
import { StateReader } from '../state/reader.ts';
import type { JobSummary } from './model.ts';

/** By name. */
export function listJobs(dataDir: string): JobSummary[] {
  return listApps(dataDir).map((app) => jobOf(dataDir, app));
}

function jobOf(dataDir: string, app: string): JobSummary {
  const nothing = { stream: null, end: null, watermark: null, results: null, checkpointAt: null };
  let standby = false;
  let reader: StateReader | undefined;
  try {
    standby = isStandby(dataDir, app);
    const running = isRunning(dataDir, app);
    reader = new StateReader(dataDir, app);
    const checkpoint = reader.checkpoint();
    return {
      app,
      stream: reader.stream(),
      running,
      standby,
      end: reader.runStatus()?.end ?? null,
      watermark: checkpoint?.watermark ?? null,
      results: checkpoint?.counters.results ?? null,
      checkpointAt: checkpoint ? Date.parse(checkpoint.at) : null,
      trouble: null,
    };
  } catch (error) {
    const trouble = error instanceof TaxiflowError ? error.message : String(error);
    return { app, running: false, standby, ...nothing, trouble };
  } finally {
    reader?.close();
  }
}
