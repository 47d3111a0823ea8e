import { systemClock } from '../../clock.ts';
import { EXIT, TaxiflowError, usageError } from '../../errors.ts';
import type { Decision } from '../../streams/autoscale/decide.ts';
import { autoscale } from '../../streams/autoscale/run.ts';
import { inspectStream, openAdmin, parseTarget } from '../../streams/connectors.ts';
import type { AutoscaleArguments } from '../commands/stream.ts';
import {
  interruption,
  isoOrNull,
  isoShort,
  printJson,
  progressLine,
  several,
  show,
  thousands,
} from '../terminal.ts';

export async function runAutoscale(args: AutoscaleArguments): Promise<number> {
  const { min, max, target } = args;
  if (min > max)
    throw usageError(`--min ${min} is more than --max ${max}`, 'give --max as well, or less for --min');
  const stream = parseTarget(args.name);
  const place = { dataDir: args.dataDir, region: args.region, endpointUrl: args.endpointUrl };
  const facts = await inspectStream(stream, place);
  if (facts.onDemand) {
    throw new TaxiflowError(
      'stream-on-demand',
      `Amazon chooses the shards of ${facts.name}: it is on demand`,
      {
        hint: 'leave it to Amazon, or switch the stream to provisioned mode first',
      },
    );
  }
  const output = new Output(facts.name, args);
  const admin = await openAdmin(stream, {
    ...place,
    onWait: (status) => output.wait(`the stream is ${status}`),
  });
  const { signal, done } = interruption();
  try {
    await autoscale({
      stream: admin,
      options: { min, max, target },
      clock: systemClock,
      signal,
      once: args.once,
      dryRun: args.dryRun,
      onDecision: (decision, time) => output.decision(decision, time),
      onChange: (decision) => output.wait(`resharding from ${decision.shards} to ${decision.to}`),
    });
    return EXIT.done;
  } finally {
    await output.stop();
    admin.close();
    done();
  }
}

/** Decisions on stdout. On a terminal, one that changes nothing is only the text of the progress line. */
class Output {
  readonly #stream: string;
  readonly #args: AutoscaleArguments;
  #progress = progressLine();

  constructor(stream: string, args: AutoscaleArguments) {
    this.#stream = stream;
    this.#args = args;
  }

  wait(text: string): void {
    void this.#progress.then((progress) => progress.update(text));
  }

  async decision(decision: Decision, time: number): Promise<void> {
    const { json, once, dryRun } = this.#args;
    const line = `${isoShort(time)} ${asText(decision, dryRun)}`;
    const goesOn = !once && !dryRun;
    if (!json && goesOn && decision.action === 'hold' && process.stderr.isTTY) return this.wait(line);
    // The progress line must not stand in the way of what is printed.
    await this.stop();
    if (json)
      printJson({ command: 'stream autoscale', stream: this.#stream, ...asJson(decision, time, dryRun) });
    else show(`${line}\n`);
    this.#progress = progressLine();
  }

  async stop(): Promise<void> {
    (await this.#progress).stop();
  }
}

function asJson({ use, nextDown, ...decision }: Decision, time: number, dryRun: boolean) {
  const { shards, wanted, action, to, why } = decision;
  return {
    time: new Date(time).toISOString(),
    shards,
    use: use
      ? {
          bytes_per_second: Math.round(use.bytes),
          records_per_second: Math.round(use.records),
          per_shard: Math.round(use.perShard * 1e4) / 1e4,
          throttled: use.throttled,
        }
      : null,
    wanted,
    action,
    to,
    why,
    next_allowed: isoOrNull(nextDown),
    dry_run: dryRun,
  };
}

function asText({ action, shards, to, wanted, use, why }: Decision, dryRun: boolean): string {
  const written = use ? `${thousands(use.records)} records/s, ${(use.bytes / 1e6).toFixed(2)} MB/s; ` : '';
  const then = to === wanted ? '' : `, then to ${wanted}`;
  const change =
    action === 'hold'
      ? `stays at ${several(shards, 'shard')}`
      : `${dryRun ? 'would go' : 'went'} ${action} from ${shards} to ${several(to, 'shard')}${then}`;
  return `${change}: ${written}${why}`;
}
