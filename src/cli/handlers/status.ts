import { setTimeout as wait } from 'node:timers/promises';
import { EXIT, TaxiflowError } from '../../errors.ts';
import { chooseApp } from '../../state/files.ts';
import { JobWatch } from '../../status/job-watch.ts';
import type { JobDetails, JobStatus } from '../../status/model.ts';
import type { StatusArguments } from '../commands/status.ts';
import {
  formatted,
  interruption,
  isoOrNull,
  isoShort,
  printJson,
  show,
  sinksJson,
  span,
  thousands,
} from '../terminal.ts';

const LOOK_MS = 1_000;
const CLEAR = '\u001b[H\u001b[2J';

export async function status(args: StatusArguments): Promise<number> {
  const dataDir = args.dataDir;
  const app = chooseApp(dataDir, args.app);
  const watch = new JobWatch({ dataDir, app, now: Date.now });
  const { signal, done } = interruption();
  try {
    // A terminal shows one screen; elsewhere, reports follow one another.
    const between = globalThis.process.stdout.isTTY ? CLEAR : '\n';
    let before = args.watch && between === CLEAR ? CLEAR : '';
    for (let more = true; more && !signal.aborted; ) {
      watch.look();
      const now = watch.status();
      const { trouble } = now;
      if (trouble) throw new TaxiflowError(trouble.code, trouble.message, trouble);
      if (args.json) printJson(asJson(now, await watch.details()));
      else {
        globalThis.process.stdout.write(before);
        show(asText(now));
      }
      before = between;
      more = args.watch;
      if (more) await wait(LOOK_MS, undefined, { signal }).catch(() => {});
    }
    return EXIT.done;
  } finally {
    watch.close();
    done();
  }
}

function asJson(now: JobStatus, details: JobDetails | undefined) {
  const { totals, checkpoint } = now;
  return {
    command: 'status',
    app: now.app,
    stream: now.stream ?? null,
    views: now.views,
    running: now.running,
    standby: now.standby,
    run: runJson(now),
    settings: details
      ? { event_time: details.settings.eventTime, allowed_lateness_ms: details.settings.allowedLateness }
      : null,
    load: now.load ?? null,
    remote: now.remote ?? null,
    watermark: isoOrNull(now.watermark),
    moved_on: now.movedOn ?? false,
    open_windows: now.openWindows ?? null,
    totals: totals ?? null,
    records_per_second: now.rates.trips,
    results_per_second: now.rates.results,
    checkpoint: checkpoint
      ? {
          number: checkpoint.number,
          at: new Date(checkpoint.at).toISOString(),
          age_ms: now.now - checkpoint.at,
          duration_ms: checkpoint.durationMs ?? null,
          bytes: checkpoint.bytes ?? null,
        }
      : null,
    state_bytes: now.stateBytes ?? null,
    shards: now.shards.map(({ id, position, watermark, ended, lagMs }) => ({
      shard: id,
      position,
      watermark: isoOrNull(watermark),
      ended,
      lag_ms: lagMs ?? null,
      holds_watermark_back: id === now.slowest,
    })),
    sinks: sinksJson(now.sinks),
    dead_letters: now.deadLetters.map(({ reason, count, kept }) => ({ reason, count, kept })),
    ...pastJson(details),
  };
}

function runJson({ run }: JobStatus) {
  if (!run) return null;
  return {
    pid: run.pid,
    started_at: isoOrNull(run.startedAt),
    noted_at: isoOrNull(run.notedAt),
    end: run.end ?? null,
    delivering: run.delivering,
    checkpoint_interval_ms: run.checkpointInterval,
    taxiflow: run.versions?.taxiflow ?? null,
    node: run.versions?.node ?? null,
  };
}

/** The past and the savepoints, each oldest first. */
function pastJson(details: JobDetails | undefined) {
  const { past, savepoints } = details ?? {};
  return {
    checkpoints: (past?.checkpoints ?? []).map(({ number, at, durationMs, bytes }) => ({
      number,
      at: isoOrNull(at),
      duration_ms: durationMs,
      bytes,
    })),
    failures: (past?.failures ?? []).map(({ at, code, message }) => ({ at: isoOrNull(at), code, message })),
    history: (past?.points ?? []).map((point) => ({
      at: isoOrNull(point.at),
      begins: point.begins,
      trips: point.trips,
      results: point.results,
      most_trips_per_second: point.mostTrips,
      most_results_per_second: point.mostResults,
      watermark: isoOrNull(point.watermark),
      lag_ms: point.lagMs,
      pending: point.pending,
    })),
    savepoints: (savepoints?.shown.toReversed() ?? []).map(
      ({ file, checkpoint, at, watermark, results, bytes }) => ({
        savepoint: file,
        checkpoint,
        at: isoOrNull(at),
        watermark: isoOrNull(watermark),
        results,
        bytes,
      }),
    ),
  };
}

function loadText({ idle, reading, processing, committing }: NonNullable<JobStatus['load']>): string {
  const percent = (part: number) => `${Math.round(part * 100)} %`;
  return `${percent(processing + committing)} busy (${percent(committing)} with checkpoints), ${percent(reading)} reading, ${percent(idle)} waiting for records`;
}

function asText(now: JobStatus): string {
  const { totals, checkpoint, watermark } = now;
  const facts: [string, string][] = [
    ['app', `${now.app}, ${now.running ? 'running' : 'not running'}`],
    ['stream', now.stream ?? '–'],
    [
      'watermark',
      `${isoShort(watermark ?? Number.NaN)}${now.movedOn ? ', moved on beyond the records: what comes before it is late' : ''}`,
    ],
    [
      'checkpoint',
      checkpoint
        ? `${thousands(checkpoint.number)}, ${span(now.now - checkpoint.at)} old` +
          (checkpoint.durationMs === undefined
            ? ''
            : `, took ${checkpoint.durationMs.toFixed(1)} ms, ${thousands((checkpoint.bytes ?? 0) / 1e3)} kB`)
        : 'none yet',
    ],
  ];
  if (totals) {
    const { read, watermarks, processed, filtered, duplicate, late, dead, results } = totals;
    facts.push(
      [
        'records',
        `read ${thousands(read)} = watermarks ${thousands(watermarks)} + processed ${thousands(processed)} + filtered ${thousands(filtered)}` +
          ` + duplicate ${thousands(duplicate)} + late ${thousands(late)} + dead ${thousands(dead)}`,
      ],
      ['results', thousands(results)],
    );
  }
  if (now.running)
    facts.push([
      'rate',
      `${thousands(now.rates.trips)} records/s, ${thousands(now.rates.results)} results/s`,
    ]);
  if (now.load) facts.push(['load', loadText(now.load)]);
  if (now.remote) {
    const { head, epoch, checkpoint: covered } = now.remote;
    facts.push(['in S3', `${head}, epoch ${thousands(epoch)}, up to checkpoint ${thousands(covered)}`]);
  }
  for (const { name, delivered, pending, rejected, retries, trouble, since } of now.sinks)
    facts.push([
      'sink',
      `${name}: ${thousands(delivered)} delivered, ${thousands(pending)} pending, ${thousands(rejected)} refused, ${thousands(retries)} resent${trouble ? `; waiting${since ? ` since ${since}` : ''}: ${trouble}` : ''}`,
    ]);
  for (const { reason, count } of now.deadLetters) facts.push(['dead', `${thousands(count)} ${reason}`]);
  const shards = now.shards.map(({ id, position, watermark: at, ended, lagMs }) => ({
    shard: id,
    state: ended ? 'ended' : id === now.slowest ? 'holds watermark back' : 'open',
    position,
    watermark: isoShort(at ?? Number.NaN),
    lag: lagMs === undefined ? '–' : span(lagMs),
  }));
  return `${facts.map(([name, fact]) => `${name.padEnd(11)} ${fact}\n`).join('')}\n${[...formatted(shards, 'table')].join('')}`;
}
