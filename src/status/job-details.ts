/** What a page asks for when it shows the job: its past, its settings and its savepoints. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readHead } from '../savepoints/file.ts';
import { SUFFIX, usualFolder } from '../savepoints/places.ts';
import { eventTimeIn, latenessIn } from '../state/identity.ts';
import type { StateReader } from '../state/reader.ts';
import { unpackPast } from '../state/run-past.ts';
import { windowsInWords } from '../views/explain.ts';
import type { JobDetails, SavepointFacts } from './model.ts';

const SAVEPOINTS_SHOWN = 20;

export async function detailsOf(reader: StateReader, dataDir: string, app: string): Promise<JobDetails> {
  // The state is read first: it may be closed while savepoints are read.
  const { settings } = reader.identity();
  const past = unpackPast(reader.runStatus()?.past);
  const views = reader.definitions().map(({ name, window, by, aggregates }) => ({
    name,
    windows: windowsInWords(window),
    keys: Object.keys(by),
    aggregates: Object.keys(aggregates),
  }));
  return {
    past,
    views,
    settings: { eventTime: eventTimeIn(settings), allowedLateness: latenessIn(settings) },
    savepoints: await savepointsOf(usualFolder(dataDir), app),
  };
}

/** The newest savepoints of an app in a folder, by the names that `savepoint create` gives. */
async function savepointsOf(folder: string, app: string): Promise<JobDetails['savepoints']> {
  const names = await readdir(folder).catch(() => []);
  const own = names.filter((name) => name.startsWith(`${app}-`) && name.endsWith(SUFFIX)).sort();
  const shown: SavepointFacts[] = [];
  let others = 0;
  for (const file of own.slice(-SAVEPOINTS_SHOWN).reverse()) {
    const found = await savepointIn(join(folder, file), file).catch(() => undefined);
    // An app's name may begin with that of another.
    if (found?.app === app) shown.push(found.facts);
    else others++;
  }
  return { shown, count: own.length - others };
}

async function savepointIn(path: string, file: string): Promise<{ app: string; facts: SavepointFacts }> {
  const [{ app, checkpoint, at, watermark, results }, { size }] = await Promise.all([
    readHead(path),
    stat(path),
  ]);
  return {
    app,
    facts: {
      file,
      checkpoint,
      at: Date.parse(at),
      watermark: watermark === null ? null : Date.parse(watermark),
      results,
      bytes: size,
    },
  };
}
