/** How a job is doing, for Prometheus: its conventions for names and base units. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { JobStatus } from './model.ts';

type Labels = Readonly<Record<string, string>>;
type Value = readonly [labels: Labels, value: number | null | undefined];

/** The text that a scrape gets. */
export async function metricsOf(status: JobStatus): Promise<{ type: string; text: string }> {
  const registry = new Registry();
  if (status.app !== null) registry.setDefaultLabels({ app: status.app });
  const add = (
    metric: typeof Counter | typeof Gauge,
    name: string,
    help: string,
    values: readonly Value[],
  ) => {
    const known = values.filter(([, value]) => typeof value === 'number' && Number.isFinite(value));
    if (known.length === 0) return;
    const labelNames = Object.keys(known[0]![0]);
    const made = new metric({ name: `taxiflow_${name}`, help, labelNames, registers: [registry] });
    for (const [labels, value] of known) made.inc(labels, value!);
  };
  const counter = (name: string, help: string, values: readonly Value[]) => add(Counter, name, help, values);
  const gauge = (name: string, help: string, values: readonly Value[]) => add(Gauge, name, help, values);

  const { totals, checkpoint, shards, sinks } = status;
  const seconds = (ms: number | null | undefined) => (typeof ms === 'number' ? ms / 1_000 : undefined);
  gauge('up', 'Whether a processor runs on this state', [[{}, status.running ? 1 : 0]]);
  const outcomes = ['watermarks', 'processed', 'filtered', 'duplicate', 'late', 'dead'] as const;
  counter(
    'records_total',
    'Records read, by what they turned out to be',
    outcomes.map((outcome): Value => [{ outcome }, totals?.[outcome]]),
  );
  counter('results_total', 'Results written', [[{}, totals?.results]]);
  gauge('watermark_timestamp_seconds', 'Event time up to which windows have fired', [
    [{}, seconds(status.watermark)],
  ]);
  gauge(
    'shard_watermark_timestamp_seconds',
    'Event time of an open shard',
    shards
      .filter(({ ended }) => !ended)
      .map(({ id, watermark }): Value => [{ shard: id }, seconds(watermark)]),
  );
  gauge(
    'shard_lag_seconds',
    'Time since the last record read of a shard arrived, 0 at its tip',
    shards.map(({ id, lagMs }): Value => [{ shard: id }, seconds(lagMs)]),
  );
  gauge('open_windows', 'Windows that have not fired yet', [[{}, status.openWindows]]);
  counter('checkpoints_total', 'Checkpoints committed', [[{}, checkpoint?.number]]);
  gauge('checkpoint_timestamp_seconds', 'Time of the last checkpoint', [[{}, seconds(checkpoint?.at)]]);
  gauge('checkpoint_duration_seconds', 'What the last checkpoint took', [
    [{}, seconds(checkpoint?.durationMs)],
  ]);
  gauge('checkpoint_size_bytes', 'What the last checkpoint wrote', [[{}, checkpoint?.bytes]]);
  gauge('state_size_bytes', 'Size of the state file', [[{}, status.stateBytes]]);
  const bySink = (value: (sink: JobStatus['sinks'][number]) => number): Value[] =>
    sinks.map((sink): Value => [{ sink: sink.name }, value(sink)]);
  counter(
    'sink_delivered_results_total',
    'Results a sink has',
    bySink(({ delivered }) => delivered),
  );
  gauge(
    'sink_pending_results',
    'Results a sink still has to get',
    bySink(({ pending }) => pending),
  );
  counter(
    'sink_rejected_results_total',
    'Results refused for good',
    bySink(({ rejected }) => rejected),
  );
  counter(
    'sink_retries_total',
    'Results sent again',
    bySink(({ retries }) => retries),
  );
  gauge(
    'sink_blocked',
    'Whether something keeps a sink from going on',
    bySink(({ trouble }) => (trouble ? 1 : 0)),
  );
  counter(
    'dead_letters_total',
    'What was refused, by reason',
    status.deadLetters.map(({ reason, count }): Value => [{ reason }, count]),
  );
  return { type: registry.contentType, text: await registry.metrics() };
}
