import { EXIT } from '../../errors.ts';
import { type Difference, differenceOf } from '../../savepoints/diff.ts';
import type { SavepointHead } from '../../savepoints/file.ts';
import { usualFolder } from '../../savepoints/places.ts';
import {
  createSavepoint,
  deleteSavepoint,
  type Inspected,
  inspectSavepoint,
  listSavepoints,
  restoreSavepoint,
} from '../../savepoints/savepoints.ts';
import type { Position } from '../../streams/ports.ts';
import type { Invocation } from '../command.ts';
import type {
  CreateArguments,
  DiffArguments,
  ListArguments,
  OneArguments,
  RestoreArguments,
} from '../commands/savepoint.ts';
import {
  formatted,
  isoOrNull,
  isoShort,
  printJson,
  say,
  several,
  show,
  thousands,
  write,
} from '../terminal.ts';

interface Bucket {
  readonly region?: string | undefined;
  readonly endpointUrl?: string | undefined;
}

const s3Of = ({ region, endpointUrl }: Bucket) => ({ region, endpointUrl });
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)} MB`;
const atCheckpoint = ({ checkpoint, at }: SavepointHead) =>
  `checkpoint ${thousands(checkpoint)} of ${isoShort(Date.parse(at))}`;

export async function create(args: CreateArguments): Promise<number> {
  const began = performance.now();
  const { place, head } = await createSavepoint({ ...args, s3: s3Of(args) });
  const told = {
    command: 'savepoint create',
    savepoint: place,
    ...head,
    duration_ms: Math.round(performance.now() - began),
  };
  if (args.json) printJson(told);
  else show(`${place}\n`);
  say(`app "${head.app}", ${atCheckpoint(head)}, watermark ${head.watermark ?? 'none'}`);
  return EXIT.done;
}

export async function list(args: ListArguments): Promise<number> {
  const folder = args.place ?? usualFolder(args.dataDir);
  const found = await listSavepoints(folder, s3Of(args));
  if (args.json) {
    const savepoints = found.map(({ place, size, head, trouble }) => ({
      savepoint: place,
      size,
      ...(head ?? {}),
      trouble: trouble ?? null,
    }));
    printJson({ command: 'savepoint list', savepoints });
  } else if (found.length > 0) {
    const rows = found.map(({ place, size, head, trouble }) => ({
      savepoint: place,
      app: head?.app ?? (trouble === undefined ? '' : trouble),
      checkpoint: head?.checkpoint ?? '',
      at: head ? isoShort(Date.parse(head.at)) : '',
      watermark: head?.watermark ?? '',
      results: head?.results ?? '',
      size: megabytes(size),
    }));
    await write(formatted(rows, 'table'));
  }
  if (found.length === 0) say(`there is no savepoint in ${folder}`);
  return EXIT.done;
}

export async function inspect(args: OneArguments): Promise<number> {
  const found = await inspectSavepoint(args.savepoint, s3Of(args));
  if (args.json) printJson({ command: 'savepoint inspect', ...asJson(found) });
  else show(`${await asText(found)}\n`);
  return EXIT.done;
}

export async function verify(args: OneArguments): Promise<number> {
  const { place, head } = await inspectSavepoint(args.savepoint, s3Of(args));
  if (args.json) printJson({ command: 'savepoint verify', savepoint: place, ok: true, ...head });
  say(`${place} is sound: app "${head.app}", ${atCheckpoint(head)}`);
  return EXIT.done;
}

export async function diff(args: DiffArguments): Promise<number> {
  const [a, b] = [
    await inspectSavepoint(args.before, s3Of(args)),
    await inspectSavepoint(args.after, s3Of(args)),
  ];
  const found = differenceOf(a, b);
  if (args.json)
    printJson({ command: 'savepoint diff', before: a.place, after: b.place, ...differenceJson(found) });
  else show(`${await differenceText(found)}\n`);
  if (!found.sameJob) say('note: they are of different jobs: another stream, other views or other settings');
  return EXIT.done;
}

export async function restore(args: RestoreArguments, invocation: Invocation): Promise<number> {
  const found = await restoreSavepoint({ ...args, s3: s3Of(args) });
  const { place, head, summary } = found;
  if (args.json) {
    const { windows } = summary;
    printJson({
      command: 'savepoint restore',
      savepoint: place,
      app: args.app,
      from: head,
      open_windows: windows.length,
    });
  }
  say(
    `app "${args.app}" is ${atCheckpoint(head)} of app "${head.app}": ${several(summary.windows.length, 'open window')}, ${several(head.results, 'result')}`,
  );
  say(
    invocation.completed(
      `to go on: "taxiflow process --app ${args.app} --stream ${head.stream}"; its sinks begin with the first result`,
    ),
  );
  return EXIT.done;
}

export async function remove(args: OneArguments): Promise<number> {
  await deleteSavepoint(args.savepoint, s3Of(args));
  if (args.json) printJson({ command: 'savepoint delete', savepoint: args.savepoint });
  say(`${args.savepoint} is deleted`);
  return EXIT.done;
}

function asJson({ place, head, summary }: Inspected) {
  const { views, settings, checkpoint, watermark, counters, shards, windows, tripsSeen, results } = summary;
  return {
    savepoint: place,
    ...head,
    views,
    settings,
    checkpoint: checkpoint.number,
    watermark: isoOrNull(watermark),
    counters,
    shards: shards.map((shard) => ({ ...shard, watermark: isoOrNull(shard.watermark) })),
    windows: windows.map(({ view, start, end, panes, distinct, bytes }) => ({
      view,
      window_start: isoOrNull(start),
      window_end: isoOrNull(end),
      panes,
      distinct,
      bytes,
    })),
    trips_seen: tripsSeen,
    results: results.next - 1,
    results_kept: results.kept,
    sinks: summary.cursors,
    dead_letters: summary.deadLetters,
    sizes: summary.sizes,
  };
}

async function asText({ place, head, summary }: Inspected): Promise<string> {
  const { counters, sizes, results } = summary;
  const facts = [
    ['savepoint', `${place}, ${megabytes(head.bytes)} unpacked, state format ${head.state_format}`],
    ['app', `${head.app}, ${atCheckpoint(head)}`],
    ['stream', summary.stream],
    ['settings', summary.settings],
    ['views', summary.views.map(({ name }) => name).join(', ')],
    ['watermark', isoShort(summary.watermark ?? Number.NaN)],
    [
      'records',
      `read ${thousands(counters.read)}, processed ${thousands(counters.processed)}, filtered ${thousands(counters.filtered)}, duplicate ${thousands(counters.duplicate)}, late ${thousands(counters.late)}, dead ${thousands(counters.dead)}`,
    ],
    ['trips seen', thousands(summary.tripsSeen)],
    ['results', `${thousands(results.next - 1)}, ${thousands(results.kept)} kept`],
    ...summary.cursors.map(({ sink, delivered, pending }) => [
      'sink',
      `${sink}: ${thousands(delivered)} delivered, ${thousands(pending)} behind`,
    ]),
    ...summary.deadLetters.map(({ reason, count, kept }) => [
      'dead letters',
      `${reason}: ${thousands(count)}, ${thousands(kept)} kept`,
    ]),
    [
      'sizes',
      `windows ${megabytes(sizes.windows)}, results ${megabytes(sizes.results)}, trips seen ${megabytes(sizes.seen)}`,
    ],
  ].map(([name, text]) => `${name!.padEnd(14)}${text}`);
  const shards = summary.shards.map(({ shard, position, watermark, ended }) => ({
    shard,
    position: positionText(position),
    watermark: isoShort(watermark ?? Number.NaN),
    state: ended ? 'ended' : 'open',
  }));
  const windows = summary.windows.map(({ view, start, end, panes, distinct, bytes }) => ({
    view,
    window_start: isoShort(start),
    window_end: isoShort(end),
    panes,
    distinct,
    size: megabytes(bytes),
  }));
  return [facts.join('\n'), table(shards), table(windows)].filter((part) => part !== '').join('\n\n');
}

function table(rows: readonly Record<string, unknown>[]): string {
  return rows.length === 0 ? '' : [...formatted(rows, 'table')].join('').trimEnd();
}

function positionText(position: Position | null): string {
  if (position === null) return 'none';
  if (position.at === 'after') return `after ${position.sequence}`;
  return position.at === 'time' ? `from ${isoShort(position.ms)}` : position.at;
}

function differenceJson({ checkpoint, watermark, shards, windows, tripsSeen, ...rest }: Difference) {
  return {
    same_job: rest.sameJob,
    checkpoint,
    watermark: watermark.map(isoOrNull),
    counters: rest.counters,
    results: rest.results,
    trips_seen: tripsSeen,
    views: rest.views,
    shards: shards.map((shard) => ({ ...shard, watermark: shard.watermark.map(isoOrNull) })),
    windows: windows.map(({ view, start, end, change, panes }) => ({
      view,
      window_start: isoOrNull(start),
      window_end: isoOrNull(end),
      change,
      panes,
    })),
  };
}

async function differenceText(found: Difference): Promise<string> {
  const { checkpoint, watermark, counters, results, tripsSeen } = found;
  const facts = [
    ['checkpoint', checkpoint.map(thousands).join(' → ')],
    ['watermark', watermark.map((ms) => isoShort(ms ?? Number.NaN)).join(' → ')],
    [
      'records',
      `${signed(counters.read)} read, ${signed(counters.processed)} processed, ${signed(counters.late)} late`,
    ],
    ['results', results.map(thousands).join(' → ')],
    ['trips seen', tripsSeen.map(thousands).join(' → ')],
    ...found.views.map(({ view, change }) => ['view', `${view} ${change}`]),
  ].map(([name, text]) => `${name!.padEnd(14)}${text}`);
  const shards = found.shards.map(({ shard, position, watermark: own }) => ({
    shard,
    position: position.map(positionText).join(' → '),
    watermark: own.map((ms) => isoShort(ms ?? Number.NaN)).join(' → '),
  }));
  const windows = found.windows.map(({ view, start, end, change, panes }) => ({
    view,
    window_start: isoShort(start),
    window_end: isoShort(end),
    change,
    panes: panes.map(thousands).join(' → '),
  }));
  return [facts.join('\n'), table(shards), table(windows)].filter((part) => part !== '').join('\n\n');
}

function signed(count: number): string {
  return count < 0 ? `−${thousands(-count)}` : `+${thousands(count)}`;
}
