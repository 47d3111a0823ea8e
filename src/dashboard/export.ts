/** Exports a job into one file: the page with all of its data, as of one moment, for a browser without a server. */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { EXIT, systemCode, TaxiflowError, translate } from '../errors.ts';
import { DEFAULT_DATA_DIR } from '../streams/connectors.ts';
import {
  CONTENTS,
  type Contents,
  type ExportedView,
  type History,
  type JobStatus,
  requestOf,
  type Settings,
  type Windows,
  type WindowUpdate,
} from './page/wire.ts';
import { answer, pageShell } from './page-file.ts';
import { StateWatch } from './watch.ts';

export interface ExportOptions {
  readonly dataDir: string;
  readonly app: string;
  readonly file: string;
  /** Epoch ms. */
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** More than this can neither be sent nor be opened at ease. */
  readonly mostBytes?: number;
}

export interface Exported {
  readonly bytes: number;
  readonly views: number;
  readonly windows: number;
  readonly results: number;
  /** From the start of the first window to the end of the last, epoch ms. */
  readonly from: number;
  readonly to: number;
}

const MOST_BYTES = 50_000_000;

/** Writes the file, or replaces one. Throws `no-results`, `page-too-large`, `cannot-open`, `interrupted`, … */
export async function exportPage(options: ExportOptions): Promise<Exported> {
  const { dataDir, app, now } = options;
  const watch = new StateWatch({ dataDir, app, now, isHeld: true });
  try {
    watch.look(new Set());
    const status = watch.status();
    if (status.trouble) {
      const { code, message, hint } = status.trouble;
      throw new TaxiflowError(code, message, hint === undefined ? {} : { hint });
    }
    if (watch.shapes.every(({ name }) => watch.labels(name).length === 0)) {
      throw new TaxiflowError('no-results', `app "${app}" has no results yet`, {
        hint: 'a window fires when the watermark passes its end; export the page after that',
      });
    }
    const found = new Tally();
    const bytes = await writeFile(options, pieces(watch, status, found));
    const { windows, results, from, to } = found;
    return { bytes, views: watch.shapes.length, windows, results, from, to };
  } finally {
    watch.close();
  }
}

/** What the windows of the file hold. */
class Tally {
  windows = 0;
  results = 0;
  from = Number.POSITIVE_INFINITY;
  to = Number.NEGATIVE_INFINITY;

  add({ start, end, values, omitted = 0 }: WindowUpdate): void {
    this.windows++;
    this.results += (values[0]?.length ?? 0) + omitted;
    this.from = Math.min(this.from, start);
    this.to = Math.max(this.to, end);
  }
}

/** The file from its beginning to its end, some windows at a time. */
async function* pieces(watch: StateWatch, status: JobStatus, found: Tally): AsyncGenerator<string> {
  const { head, tail } = await pageShell();
  yield head;
  yield answer('/api/settings', JSON.stringify({ tiles: null } satisfies Settings));
  yield answer('/api/job', JSON.stringify((await watch.details()) ?? null));
  for (const { reason } of status.deadLetters) {
    yield answer(requestOf('/api/dead-letters', { reason }), JSON.stringify(watch.deadLetters(reason)));
  }
  const views: ExportedView[] = [];
  for (const { name } of watch.shapes) {
    const view = { name, labels: watch.labels(name), parts: [] };
    yield* windowsOf(watch, view, found);
    views.push(view);
  }
  const { view: _, labels: __, ...history } = JSON.parse(watch.history(undefined)) as History;
  const contents: Contents = { ...history, status: statusToSend(status), views };
  yield answer(CONTENTS, JSON.stringify(contents));
  yield tail;
}

/** The windows of a view, the newest first, as a server gives them; notes in the view what there is. */
function* windowsOf(
  watch: StateWatch,
  { name, labels: [first], parts }: ExportedView & { parts: ExportedView['parts'][number][] },
  found: Tally,
): Generator<string> {
  let before = Number.MAX_SAFE_INTEGER;
  while (first !== undefined && before > first) {
    const text = watch.windows(name, before);
    yield answer(requestOf('/api/windows', { view: name, before: String(before) }), text);
    const { windows, next } = JSON.parse(text) as Windows;
    for (const window of windows) found.add(window);
    const from = next ?? first;
    parts.push({ before, from });
    before = from;
  }
}

/** The status without where on this machine the job is: the file is for others. */
function statusToSend(status: JobStatus): JobStatus {
  return { ...status, dataDir: DEFAULT_DATA_DIR, command: 'taxiflow' };
}

/** Writes a whole file or none. Returns its bytes. */
async function writeFile(options: ExportOptions, pieces: AsyncIterable<string>): Promise<number> {
  const { file, signal, mostBytes = MOST_BYTES } = options;
  const target = await targetOf(file);
  const partial = join(dirname(target), `.${basename(target)}.${randomUUID()}.partial`);
  let handle: FileHandle | undefined;
  try {
    handle = await open(partial, 'wx');
    let bytes = 0;
    for await (const piece of pieces) {
      if (signal.aborted) throw stopped(file);
      bytes += Buffer.byteLength(piece);
      if (bytes > mostBytes) throw tooLarge(mostBytes);
      await handle.writeFile(piece);
    }
    await handle.close();
    await rename(partial, target);
    return bytes;
  } catch (error) {
    await handle?.close();
    await rm(partial, { force: true });
    throw translate(error, 'the exported page', file, '--export');
  }
}

/** The file itself where its name is a link to it. Throws `cannot-open` for what is no file, such as a folder or a device. */
async function targetOf(file: string): Promise<string> {
  try {
    if ((await stat(file)).isFile()) return await realpath(file);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return file;
    throw translate(error, 'the exported page', file, '--export');
  }
  throw new TaxiflowError('cannot-open', `the page can't be exported to what is no file: ${file}`, {
    hint: 'name a file with --export, for example day.html',
  });
}

function stopped(file: string): TaxiflowError {
  return new TaxiflowError('interrupted', `stopped before ${file} was written`, {
    hint: 'the same command begins anew',
    exitCode: EXIT.interrupted,
  });
}

function tooLarge(mostBytes: number): TaxiflowError {
  return new TaxiflowError('page-too-large', `the page would have more than ${mostBytes / 1e6} MB`, {
    hint: 'serve it with "taxiflow dashboard", or export a job with fewer or longer windows',
  });
}
