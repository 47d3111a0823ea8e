import { once } from 'node:events';
import { createWriteStream, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { openProcessor } from '../../app/processor.ts';
import { openReplay } from '../../app/replay.ts';
import { startDashboard } from '../../dashboard/dashboard.ts';
import { nearest, type Place } from '../../dashboard/page/places.ts';
import type { Dashboard } from '../../dashboard/server.ts';
import { generateCsv } from '../../dataset/generator/generate.ts';
import type { ProcessOutcome, Progress } from '../../engine/run.ts';
import { EXIT, TaxiflowError, translate } from '../../errors.ts';
import { makeFile, makeFolder } from '../../private-files.ts';
import type { ReplayOutcome } from '../../replay/run.ts';
import { removeState } from '../../state/files.ts';
import { StateReader } from '../../state/reader.ts';
import type { ResultDocument } from '../../state/results.ts';
import { deleteLocalStream } from '../../streams/local/files.ts';
import { cellCenter } from '../../views/geohash.ts';
import { bar } from '../chart.ts';
import type { Invocation } from '../command.ts';
import type { DemoArguments } from '../commands/demo.ts';
import {
  formatted,
  interruption,
  isoShort,
  type ProgressLine,
  printJson,
  progressLine,
  reconciliationOf,
  say,
  span,
  thousands,
} from '../terminal.ts';
import { LOOPBACK, openBrowser, tellPageFailed } from './dashboard.ts';

const NAME = 'demo';
const DAY = '2016-01-14';
/** A day passes in half a minute, so the default interval would fire windows only every four hours of event time. */
const WATERMARK_INTERVAL = 250;
const PLAIN_INTERVAL = 5_000;
const CHECKPOINT_INTERVAL = 500;
const AIRPORTS = ['JFK', 'LGA'] as const;
const AREAS_SHOWN = 10;
const PLACES = new URL('../../dashboard/page/places.json', import.meta.url);

export async function demo(args: DemoArguments, invocation: Invocation): Promise<number> {
  const dataDir = args.dataDir;
  const factor = args.speedup;
  const trips = args.trips;
  const port = args.port;
  const { signal, done } = interruption();
  const progress = await progressLine(PLAIN_INTERVAL);
  const started = Date.now();
  let page: Dashboard | undefined;
  try {
    startAfresh(dataDir);
    page = await startDashboard({ dataDir, app: NAME, host: LOOPBACK, port }, tellPageFailed);
    const file = await makeTrips(dataDir, trips, args.seed, signal);
    if (signal.aborted) {
      say('interrupted while the trips were being generated');
      return EXIT.interrupted;
    }
    say(`${thousands(trips)} generated trips of ${DAY}: ${file}`);
    say(
      `replaying into local:${NAME} at speedup ${Number.isFinite(factor) ? factor : 'max'} and processing; Ctrl-C stops`,
    );
    say(`live page: ${page.url}`);
    if (args.open) openBrowser(page.url);
    const line = await runLine(dataDir, file, factor, progress, signal);
    progress.stop();
    if (signal.aborted) {
      const next = '"taxiflow demo" starts over, "taxiflow results --app demo" shows the results so far';
      say(`interrupted; results so far are kept: ${invocation.completed(next)}`);
      return EXIT.interrupted;
    }
    show(args, dataDir, line, Date.now() - started);
    if (process.stderr.isTTY && !args.exit) {
      say(`the live page stays at ${page.url} until Ctrl-C`);
      if (!signal.aborted) await once(signal, 'abort');
    }
    return EXIT.done;
  } finally {
    progress.stop();
    await page?.close();
    done();
  }
}

interface Line {
  readonly replay: ReplayOutcome;
  readonly processed: ProcessOutcome;
}

/** Deletes the previous demo's state and stream. Throws `app-running` if that demo is still running. */
function startAfresh(dataDir: string): void {
  try {
    removeState(dataDir, NAME);
  } catch (error) {
    if (!(error instanceof TaxiflowError) || error.code !== 'app-running') throw error;
    throw new TaxiflowError(error.code, 'a demo is already running in this folder', {
      hint: 'stop that demo first, or choose another folder with --data-dir',
    });
  }
  deleteLocalStream(dataDir, NAME);
}

async function makeTrips(dataDir: string, trips: number, seed: number, signal: AbortSignal): Promise<string> {
  const file = join(dataDir, 'demo-trips.csv');
  try {
    makeFolder(dataDir);
    rmSync(file, { force: true });
    const csv = generateCsv({ trips, from: DAY, hours: 24, seed, layout: 'yellow-2015', dirty: 0 });
    await pipeline(Readable.from(csv), createWriteStream(file, { fd: makeFile(file) }), { signal });
  } catch (error) {
    if (signal.aborted) return file;
    throw translate(error, 'the folder of the demo', dataDir);
  }
  return file;
}

/** Runs replay and processor concurrently; the processor ends after the replay. */
async function runLine(
  dataDir: string,
  file: string,
  factor: number,
  progress: ProgressLine,
  interrupted: AbortSignal,
): Promise<Line> {
  const failed = new AbortController();
  const common = { stream: `local:${NAME}`, dataDir, signal: AbortSignal.any([interrupted, failed.signal]) };
  let replayed = false;
  let lag = 0;
  const processor = await openProcessor({
    ...common,
    checkpointInterval: CHECKPOINT_INTERVAL,
    untilEnd: () => replayed,
    drain: true,
    onProgress: (now) => progress.update(progressText(now, lag)),
  });
  const replay = await openReplay({
    ...common,
    paths: [file],
    speedup: factor,
    watermarkInterval: WATERMARK_INTERVAL,
    onProgress: (now) => {
      lag = now.lag;
    },
  });
  // When one fails, the other stops too, and the error is reported.
  const stopBoth = (error: unknown) => {
    failed.abort();
    throw error;
  };
  const replaying = replay.run().finally(() => {
    replayed = true;
  });
  const [sent, processed] = await Promise.all([replaying.catch(stopBoth), processor.run().catch(stopBoth)]);
  return { replay: sent, processed };
}

function progressText({ counters, watermark }: Progress, lag: number): string {
  const clock = Number.isFinite(watermark) ? new Date(watermark).toISOString().slice(11, 16) : '–';
  const behind = lag > 1_000 ? `  replay ${span(lag)} behind` : '';
  return `${clock} in New York  ${thousands(counters.processed + counters.filtered)} trips  ${thousands(counters.results)} results${behind}`;
}

function show(args: DemoArguments, dataDir: string, { replay, processed }: Line, ms: number): void {
  const reader = new StateReader(dataDir, NAME);
  const areas = hottest(reader.results({ view: 'pickup_count' }));
  const minutes = minutesByHour(reader.results({ view: 'trip_duration' }));
  reader.close();
  const { results } = processed.counters;
  const { line: reconciliation } = reconciliationOf(processed.counters);
  if (args.json) {
    printJson({
      command: 'demo',
      sent: replay.sent,
      acknowledged: replay.acknowledged,
      ...processed.counters,
      watermark: isoShort(processed.watermark),
      hottest: areas,
      minutes_to_airports: minutes,
      reconciliation,
      duration_ms: ms,
    });
    return;
  }
  const out = process.stdout;
  out.write(`\nWhere the day's pick-ups were\n\n`);
  for (const piece of formatted(
    areas.map(({ location, near, pickups }) => ({ location, near, pickups })),
    'table',
  ))
    out.write(`  ${piece}`);
  out.write(`\nMinutes to the airports, by hour of drop-off\n\n`);
  for (const line of chart(minutes)) out.write(`  ${line}\n`);
  out.write(
    `\n${thousands(results)} results of ${thousands(replay.acknowledged)} trips in ${span(ms)}\n${reconciliation}\n`,
  );
  const at = dataDir === '.taxiflow' ? '' : ` --data-dir ${dataDir}`;
  out.write(
    [
      '',
      `Results   ${join(dataDir, 'apps', `${NAME}.sqlite`)} (a SQLite file: SELECT * FROM trip_duration)`,
      'Try next',
      `  npx taxiflow query --app ${NAME}${at} "SELECT location, sum(pickup_count) FROM pickup_count GROUP BY 1"`,
      `  npx taxiflow dashboard --app ${NAME}${at} --export demo.html`,
      `  npx taxiflow results --app ${NAME}${at} --view trip_duration`,
      `  npx taxiflow stream describe local:${NAME}${at}`,
      `  npx taxiflow process --stream local:${NAME} --app hourly --window 1h --until-end${at}`,
      '  npx taxiflow --help',
      '',
    ].join('\n'),
  );
}

interface HotArea {
  readonly location: string;
  readonly near: string;
  readonly pickups: number;
}

function hottest(results: Iterable<ResultDocument>): HotArea[] {
  const places = JSON.parse(readFileSync(PLACES, 'utf8')) as Place[];
  const pickups = new Map<string, number>();
  for (const { location, pickup_count } of results) {
    pickups.set(String(location), (pickups.get(String(location)) ?? 0) + Number(pickup_count));
  }
  return [...pickups]
    .sort((a, b) => b[1] - a[1])
    .slice(0, AREAS_SHOWN)
    .map(([location, count]) => ({ location, near: nearTo(location, places), pickups: count }));
}

/** The place name that the live page shows for a cell. */
function nearTo(location: string, places: readonly Place[]): string {
  const { lat, lon } = cellCenter(location);
  return nearest(places, lat, lon)[0];
}

interface HourOfAirport {
  readonly airport_code: string;
  readonly hour: number;
  readonly trips: number;
  readonly minutes: number;
}

function minutesByHour(results: Iterable<ResultDocument>): HourOfAirport[] {
  const sums = new Map<string, { trips: number; minutes: number }>();
  for (const { airport_code, window_start, trip_count, sum_trip_duration } of results) {
    const key = `${airport_code} ${String(window_start).slice(11, 13)}`;
    const sum = sums.get(key) ?? { trips: 0, minutes: 0 };
    sum.trips += Number(trip_count);
    sum.minutes += Number(sum_trip_duration);
    sums.set(key, sum);
  }
  return [...sums]
    .map(([key, { trips, minutes }]) => ({
      airport_code: key.slice(0, 3),
      hour: Number(key.slice(4)),
      trips,
      minutes: Math.round((minutes / trips) * 10) / 10,
    }))
    .sort((a, b) => a.airport_code.localeCompare(b.airport_code) || a.hour - b.hour);
}

const BAR = 28;

/** One bar per hour and airport, all on one scale. */
function* chart(minutes: readonly HourOfAirport[]): Generator<string> {
  const scale = minutes.reduce((most, hour) => Math.max(most, hour.minutes), 1) / BAR;
  yield `hour  ${AIRPORTS.map((airport) => airport.padEnd(BAR + 6))
    .join('')
    .trimEnd()}`;
  for (let hour = 0; hour < 24; hour++) {
    const cells = AIRPORTS.map((airport) => {
      const found = minutes.find((row) => row.airport_code === airport && row.hour === hour);
      if (!found) return '–'.padEnd(BAR + 6);
      return `${bar(found.minutes / scale)} ${String(Math.round(found.minutes))}`.padEnd(BAR + 6);
    });
    yield `  ${String(hour).padStart(2, '0')}  ${cells.join('').trimEnd()}`;
  }
}
