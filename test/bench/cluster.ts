/**
 * The two taxi views from one stream of eight shards, by the embedded engine and by `--engine flink`, on this machine: records a
 * second and CPU seconds. The emulator of Kinesis takes part of the machine too, of both the same.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { runOnFlink } from '../../dist/app/flink-process.js';
import { openProcessor } from '../../dist/app/processor.js';
import { folderUri } from '../../dist/flink/result-files.js';
import { taxiViews } from '../../dist/views/taxi.js';
import { ROOT } from '../files.ts';
import { startFlink, withoutFlink } from '../services/flink.ts';
import { createStream } from '../services/kinesis.ts';
import { startMinistack, withoutMinistack } from '../services/ministack.ts';
import { ROUNDS } from './measure.ts';

const SHARDS = 8;
/** Records that are written: an emulator takes some thousand a second. */
const MOST = 200_000;

export async function clusterBench(folder: string, csv: string): Promise<boolean> {
  const without = withoutFlink || withoutMinistack;
  if (without) {
    console.log(`cluster: not measured, ${without}`);
    return true;
  }
  const after: (() => unknown)[] = [];
  const t = { after: (done: unknown) => after.push(done as () => unknown) };
  try {
    const emulator = await startMinistack(t as never);
    Object.assign(process.env, emulator.env);
    const place = { dataDir: folder, endpointUrl: emulator.endpoint, region: 'us-east-1' };
    await createStream(emulator, 'bench', SHARDS);
    fill(csv, emulator.endpoint);
    const flink = await startFlink(t, { env: emulator.env });
    const views = taxiViews();
    for (let round = 0; round <= ROUNDS; round++) {
      const began = { ms: performance.now(), cpu: process.cpuUsage() };
      const ours = await openProcessor({
        ...place,
        stream: 'bench',
        app: `here${round}`,
        views,
        untilEnd: true,
      });
      const { counters } = await ours.run();
      const { user, system } = process.cpuUsage(began.cpu);
      const embedded = { seconds: (performance.now() - began.ms) / 1e3, cpu: (user + system) / 1e6 };
      const there = await onFlink(flink, round, counters.read);
      if (there.results !== counters.results)
        throw new Error(`Flink has ${there.results} results, taxiflow ${counters.results}`);
      if (round > 0) tell(counters.read, embedded, there);
    }
    return true;

    async function onFlink(cluster: typeof flink, round: number, total: number) {
      const app = `there${round}`;
      let [first, last, cpuFirst, cpuLast] = [0, 0, 0, 0];
      const run = await runOnFlink({
        ...place,
        stream: 'bench',
        app,
        views,
        eventTime: 'dropoff',
        from: 'trim-horizon',
        gateway: cluster.gateway,
        connector: 'kinesis-4',
        target: { kind: 'files', uri: folderUri(join(folder, app)) },
        parallelism: 1,
        onNote: () => {},
        processor: { ...place, app, views },
        untilEnd: true,
        drain: false,
        followReshards: false,
        signal: new AbortController().signal,
        onSubmitted: () => {
          [first, cpuFirst] = [performance.now(), cluster.cpuSeconds()];
        },
        onTaking: async () => {},
        onFigures: ({ records: read }) => {
          if (read >= total && last === 0) [last, cpuLast] = [performance.now(), cluster.cpuSeconds()];
        },
      });
      return { seconds: (last - first) / 1e3, cpu: cpuLast - cpuFirst, results: run.taken!.counters.results };
    }
  } finally {
    for (const stop of after.reverse()) await stop();
  }
}

/** As a user does. */
function fill(csv: string, endpoint: string): void {
  const args = ['replay', csv, '--stream', 'bench', '--speedup', 'max', '--limit', String(MOST)];
  const ran = spawnSync(process.execPath, [
    join(ROOT, 'bin', 'taxiflow.js'),
    ...args,
    '--endpoint-url',
    endpoint,
  ]);
  if (ran.status !== 0) throw new Error(String(ran.stderr));
}

interface Cost {
  readonly seconds: number;
  readonly cpu: number;
}

function tell(records: number, embedded: Cost, flink: Cost): void {
  const line = (name: string, { seconds, cpu }: Cost) =>
    `${name} ${Math.round(records / seconds).toLocaleString('en-US')} records/s, ${cpu.toFixed(1)} s of CPU`;
  console.log(
    `${line('embedded, 1 thread:', embedded)}; ${line(`Flink, p = ${SHARDS}:`, flink)}; CPU ratio ${(flink.cpu / embedded.cpu).toFixed(1)}`,
  );
}
