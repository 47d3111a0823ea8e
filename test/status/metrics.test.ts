/** /metrics by the rules that Prometheus' own promtool checks, which does it too where it is installed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { metricsOf } from '../../src/status/metrics.ts';
import type { JobStatus } from '../../src/status/model.ts';

const STATUS: JobStatus = {
  now: 1_800_000_000_000,
  app: 'a "quoted" app',
  dataDir: '.taxiflow',
  command: 'taxiflow',
  standby: false,
  load: { idle: 0.25, reading: 0, processing: 0.5, committing: 0.125, others: 0.125 },
  views: ['pickup_count'],
  running: true,
  watermark: 1_452_819_299_500,
  totals: { read: 21, watermarks: 1, processed: 2, filtered: 3, duplicate: 4, late: 5, dead: 6, results: 7 },
  shards: [
    { id: 's0', position: '1', watermark: 1_000, latest: 2_000, ended: false, lagMs: 1_500 },
    { id: 's1', position: '1', watermark: null, latest: null, ended: false },
    { id: 's2', position: '9', watermark: 500, latest: 500, ended: true },
  ],
  checkpoint: { number: 12, at: 1_799_999_999_000, durationMs: 4, bytes: 100 },
  stateBytes: 4_096,
  openWindows: 2,
  sinks: [
    { name: 'opensearch http://x', delivered: 5, pending: 2, rejected: 1, retries: 3, trouble: 'away' },
  ],
  deadLetters: [{ reason: 'late', count: 5, kept: 5 }],
  rates: { trips: 1, results: 1 },
};
const LINE = /^(?<name>[a-z_]+)(?:\{(?<labels>.*)\})? (?<value>\S+)$/;

describe('/metrics', () => {
  it('says what the status says, in base units', async () => {
    const { text } = await metricsOf(STATUS);
    const value = (start: string) => text.split('\n').find((line) => line.startsWith(`taxiflow_${start}`));
    const number = (start: string) => Number(value(start)?.split(' ').at(-1));
    assert.equal(number('up{'), 1);
    for (const [outcome, count] of Object.entries({ watermarks: 1, filtered: 3, late: 5, dead: 6 }))
      assert.equal(number(`records_total{outcome="${outcome}"`), count);
    assert.equal(number('watermark_timestamp_seconds'), 1_452_819_299.5);
    assert.equal(number('shard_lag_seconds{shard="s0"'), 1.5);
    assert.equal(value('shard_watermark_timestamp_seconds{shard="s1"'), undefined, 'unknown is left out');
    assert.equal(
      value('shard_watermark_timestamp_seconds{shard="s2"'),
      undefined,
      'ended shards hold nothing',
    );
    assert.equal(number('load_ratio{activity="processing"'), 0.5);
    assert.equal(number('checkpoint_duration_seconds'), 0.004);
    assert.equal(number('sink_pending_results'), 2);
    assert.equal(number('sink_blocked'), 1);
    assert.equal(number('dead_letters_total{reason="late"'), 5);
  });

  it('has only what is known before anything has run', async () => {
    const { text } = await metricsOf({
      ...STATUS,
      ...{
        app: null,
        running: false,
        load: undefined,
        watermark: null,
        totals: undefined,
        checkpoint: undefined,
      },
      ...{ stateBytes: undefined, openWindows: undefined, shards: [], sinks: [], deadLetters: [] },
    });
    assert.deepEqual(
      text.split('\n').filter((line) => line !== '' && !line.startsWith('#')),
      ['taxiflow_up 0'],
    );
  });

  it('keeps to the naming rules', async () => {
    const { type, text } = await metricsOf(STATUS);
    assert.match(type, /^text\/plain; version=0\.0\.4/);
    const types = new Map(
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [name!, kind!]),
    );
    const helped = new Set([...text.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name!));
    for (const line of text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))) {
      const { name = '', value } = LINE.exec(line)?.groups ?? {};
      assert.match(name, /^taxiflow_/, line);
      assert.ok(Number.isFinite(Number(value)), `${line} has no number`);
      assert.ok(helped.has(name), `${name} has no help`);
      assert.equal(types.get(name), name.endsWith('_total') ? 'counter' : 'gauge', name);
      assert.doesNotMatch(
        name,
        /_(ms|millis\w*|kb|kilo\w*|mb|mega\w*|count|sum|bucket|info)(_|$)/,
        'base units',
      );
    }
    const promtool = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    if (!promtool.error) assert.equal(promtool.status, 0, promtool.stdout + promtool.stderr);
  });
});
