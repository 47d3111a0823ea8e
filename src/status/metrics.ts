/** A job's status for Prometheus, by its conventions for names and base units. */
import { Counter, Gauge, Registry } from 'prom-client';
import { ACTIVITIES } from '../engine/load.ts';
import type { JobStatus } from './model.ts';

type Labels = Readonly<Record<string, string>>;
type Value = readonly [labels: Labels, value: number | null | undefined];
type Kind = typeof Counter | typeof Gauge;
type Metric = readonly [kind: Kind, name: string, help: string, values: readonly Value[]];

/** The text that a scrape gets. */
export async function metricsOf(status: JobStatus): Promise<{ type: string; text: string }> {
  const registry = new Registry();
  if (status.app !== null) registry.setDefaultLabels({ app: status.app });
  const metrics = [...progress(status), ...shards(status), ...checkpoints(status), ...sinks(status)];
  for (const metric of [...metrics, deadLetters(status)]) register(registry, metric);
  return { type: registry.contentType, text: await registry.metrics() };
}

/** Registers a metric with the values that are known; without any, it is left out. */
function register(registry: Registry, [kind, name, help, values]: Metric): void {
  const known = values.filter(([, value]) => typeof value === 'number' && Number.isFinite(value));
  if (known.length === 0) return;
  const labelNames = Object.keys(known[0]![0]);
  const made = new kind({ name: `taxiflow_${name}`, help, labelNames, registers: [registry] });
  for (const [labels, value] of known) made.inc(labels, value!);
}

const OUTCOMES = ['watermarks', 'processed', 'filtered', 'duplicate', 'late', 'dead'] as const;

function progress({ running, totals, watermark, load }: JobStatus): Metric[] {
  const shares = ACTIVITIES.map((activity): Value => [{ activity }, load?.[activity]]);
  const outcomes = OUTCOMES.map((outcome): Value => [{ outcome }, totals?.[outcome]]);
  return [
    [Gauge, 'up', 'Whether a processor runs on this state', [[{}, running ? 1 : 0]]],
    [Gauge, 'load_ratio', 'Part of the time of the last ten seconds, by what the processor did', shares],
    [Counter, 'records_total', 'Records read, by what they turned out to be', outcomes],
    [Counter, 'results_total', 'Results written', [[{}, totals?.results]]],
    [
      Gauge,
      'watermark_timestamp_seconds',
      'Event time up to which windows have fired',
      [[{}, seconds(watermark)]],
    ],
  ];
}

function shards({ shards, openWindows }: JobStatus): Metric[] {
  const watermarks = shards
    .filter(({ ended }) => !ended)
    .map(({ id, watermark }): Value => [{ shard: id }, seconds(watermark)]);
  const lags = shards.map(({ id, lagMs }): Value => [{ shard: id }, seconds(lagMs)]);
  return [
    [Gauge, 'shard_watermark_timestamp_seconds', 'Event time of an open shard', watermarks],
    [Gauge, 'shard_lag_seconds', 'Time since the last record read of a shard arrived, 0 at its tip', lags],
    [Gauge, 'open_windows', 'Windows that have not fired yet', [[{}, openWindows]]],
  ];
}

function checkpoints({ checkpoint, stateBytes }: JobStatus): Metric[] {
  const at = seconds(checkpoint?.at);
  const duration = seconds(checkpoint?.durationMs);
  return [
    [Counter, 'checkpoints_total', 'Checkpoints committed', [[{}, checkpoint?.number]]],
    [Gauge, 'checkpoint_timestamp_seconds', 'Time of the last checkpoint', [[{}, at]]],
    [Gauge, 'checkpoint_duration_seconds', 'What the last checkpoint took', [[{}, duration]]],
    [Gauge, 'checkpoint_size_bytes', 'What the last checkpoint wrote', [[{}, checkpoint?.bytes]]],
    [Gauge, 'state_size_bytes', 'Size of the state file', [[{}, stateBytes]]],
  ];
}

function sinks({ sinks }: JobStatus): Metric[] {
  const bySink = (value: (sink: JobStatus['sinks'][number]) => number): Value[] =>
    sinks.map((sink): Value => [{ sink: sink.name }, value(sink)]);
  const blocked = bySink(({ trouble }) => (trouble ? 1 : 0));
  return [
    [Counter, 'sink_delivered_results_total', 'Results a sink has', bySink(({ delivered }) => delivered)],
    [Gauge, 'sink_pending_results', 'Results a sink still has to get', bySink(({ pending }) => pending)],
    [Counter, 'sink_rejected_results_total', 'Results refused for good', bySink(({ rejected }) => rejected)],
    [Counter, 'sink_retries_total', 'Results sent again', bySink(({ retries }) => retries)],
    [Gauge, 'sink_blocked', 'Whether something keeps a sink from going on', blocked],
  ];
}

function deadLetters({ deadLetters }: JobStatus): Metric {
  const counts = deadLetters.map(({ reason, count }): Value => [{ reason }, count]);
  return [Counter, 'dead_letters_total', 'What was refused, by reason', counts];
}

function seconds(ms: number | null | undefined): number | undefined {
  return typeof ms === 'number' ? ms / 1_000 : undefined;
}
