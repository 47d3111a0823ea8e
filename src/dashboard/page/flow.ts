/** What waits for what along the line of a job, in words. Plain data, so that it can be tested without a browser. */
import { age, bytes, count, rate } from './format.ts';
import type { JobStatus, SinkStatus } from './wire.ts';

/** `behind`: something waits for the part that the words name; `blocked`: it can't go on; `rests`: no processor runs. */
export type FlowState = 'flows' | 'waits' | 'behind' | 'blocked' | 'rests';

export interface Edge {
  readonly state: FlowState;
  /** What passes now; empty where nothing is known to pass. */
  readonly rate: string;
  readonly words: string;
}

/** The part that holds the others up: the stream, the processor or a sink by its name. */
export type Part = 'stream' | 'processor' | { readonly sink: string };

export interface Flow {
  /** From the stream to the processor. */
  readonly read: Edge;
  /** From the processor to the state. */
  readonly commit: Edge;
  readonly sinks: readonly { readonly sink: SinkStatus; readonly edge: Edge }[];
  readonly holdsUp: readonly Part[];
  /** One sentence on the whole. */
  readonly summary: string;
}

/** A shard that is less behind than this keeps up: it is the time of a batch or two. */
const KEEPS_UP_MS = 2_000;
const MOSTLY = 0.5;

export function flowOf(status: JobStatus): Flow {
  const sinks = status.sinks.map((sink) => ({ sink, edge: sinkEdge(sink, status) }));
  const blocked = sinks
    .filter(({ edge }) => edge.state === 'blocked')
    .map(({ sink }) => ({ sink: sink.name }));
  const behind = sinks.filter(({ edge }) => edge.state === 'behind').map(({ sink }) => ({ sink: sink.name }));
  const slow = slowPart(status);
  const holdsUp: Part[] = [...(slow ? [slow] : []), ...blocked, ...behind];
  return {
    read: readEdge(status, slow),
    commit: commitEdge(status),
    sinks,
    holdsUp,
    summary: summaryOf(status, holdsUp),
  };
}

/** Of the time, the part in which the processor is at work. */
export function busy({ load }: JobStatus): number | undefined {
  return load && load.processing + load.committing;
}

export function percent(part: number): string {
  return part > 0 && part < 0.01 ? '< 1 %' : `${Math.round(part * 100)} %`;
}

/** The most that an open shard is behind, ms. */
export function lagOf({ shards }: JobStatus): number | undefined {
  const lags = shards.flatMap(({ ended, lagMs }) => (ended || lagMs === undefined ? [] : [lagMs]));
  return lags.length === 0 ? undefined : lags.reduce((most, lag) => Math.max(most, lag), 0);
}

function isBehind(status: JobStatus): boolean {
  return status.running && !status.run?.delivering && (lagOf(status) ?? 0) >= KEEPS_UP_MS;
}

/** What the records that lie in the stream wait for. */
function slowPart(status: JobStatus): 'stream' | 'processor' | undefined {
  const { load } = status;
  if (!isBehind(status) || !load) return undefined;
  return load.processing + load.committing + load.others >= MOSTLY ? 'processor' : 'stream';
}

function readEdge(status: JobStatus, slow: 'stream' | 'processor' | undefined): Edge {
  const { running, run, rates, totals } = status;
  if (!running) return { state: 'rests', rate: '', words: endWords(status) };
  if (run?.delivering) return { state: 'waits', rate: '', words: 'everything is read' };
  const passes = rates.trips > 0 ? `${rate(rates.trips)} trips/s` : '';
  if (!totals?.read) return { state: 'waits', rate: passes, words: 'no records yet' };
  const lag = lagOf(status);
  // Where Flink computes, or before the first note.
  if (lag === undefined) return { state: rates.trips > 0 ? 'flows' : 'waits', rate: passes, words: '' };
  if (lag < KEEPS_UP_MS) {
    const flows = rates.trips > 0;
    return {
      state: flows ? 'flows' : 'waits',
      rate: passes,
      words: flows ? 'caught up' : 'caught up, waits for trips',
    };
  }
  return { state: 'behind', rate: passes, words: `${age(lag)} behind${slowWords(status, slow)}` };
}

function slowWords({ load }: JobStatus, slow: 'stream' | 'processor' | undefined): string {
  if (!load) return '';
  if (slow === 'stream') return `: waits for the stream (${percent(load.reading)} of the time)`;
  const atWork = load.processing + load.committing;
  const mostly = load.committing >= MOSTLY * atWork ? ', mostly with checkpoints' : '';
  return atWork >= MOSTLY
    ? `: waits for the processor (busy ${percent(atWork)}${mostly})`
    : `: waits for the processor (${percent(load.others)} of its time goes to sinks and other work)`;
}

function commitEdge({ running, rates, checkpoint, run }: JobStatus): Edge {
  const passes = running && rates.results > 0 ? `${rate(rates.results)} results/s` : '';
  if (!checkpoint) return { state: running ? 'waits' : 'rests', rate: passes, words: 'no checkpoint yet' };
  const every = run && running ? `a checkpoint every ${age(run.checkpointInterval)}` : 'the last checkpoint';
  const took = checkpoint.durationMs === undefined ? '' : ` took ${rate(checkpoint.durationMs)} ms`;
  const wrote = checkpoint.bytes === undefined ? '' : `, ${bytes(checkpoint.bytes)}`;
  const words = run && running ? `${every}; the last${took}${wrote}` : `${every}${took}${wrote}`;
  return { state: running ? (passes === '' ? 'waits' : 'flows') : 'rests', rate: passes, words };
}

function sinkEdge(sink: SinkStatus, status: JobStatus): Edge {
  const { pending, trouble, retries } = sink;
  const things = sink.unit ?? 'results';
  const waiting = `${count(pending)} ${pending === 1 ? things.slice(0, -1) : things}`;
  const again = retries > 0 ? `; ${count(retries)} sent again in this run` : '';
  if (!status.running) {
    const words =
      pending > 0 ? `${waiting} wait${pending === 1 ? 's' : ''} for the next run` : `has all ${things}`;
    return { state: 'rests', rate: '', words };
  }
  if (trouble)
    return {
      state: 'blocked',
      rate: '',
      words: `${waiting} wait${pending === 1 ? 's' : ''}, ${blockedWords(sink, status.now)}`,
    };
  if (pending === 0) return { state: 'flows', rate: '', words: `has all ${things} so far${again}` };
  // More than ten seconds of results on their way are more than a batch.
  const isBehind = sink.unit !== 'trips' && pending > Math.max(10_000, status.rates.results * 10);
  return { state: isBehind ? 'behind' : 'flows', rate: '', words: `${waiting} on the way${again}` };
}

/** Since when a sink is blocked, and why. */
export function blockedWords({ trouble, since }: SinkStatus, now: number): string {
  const began = since === undefined ? Number.NaN : Date.parse(since);
  return `blocked${Number.isFinite(began) ? ` for ${age(now - began)}` : ''}: ${trouble}`;
}

/** How the run that is over ended. */
export function endWords({ run, totals }: JobStatus): string {
  if (!run) return totals ? 'no processor runs' : 'nothing was read yet';
  if (run.end === 'all-read') return 'everything was read';
  if (run.end === 'failed') return 'the run failed; the next one goes on from here';
  return run.end === 'stopped'
    ? 'stopped, goes on from here'
    : 'no processor runs; the next one goes on from here';
}

function summaryOf(status: JobStatus, holdsUp: readonly Part[]): string {
  if (!status.running) {
    const { standby, run } = status;
    if (standby) return 'No processor runs here; one waits to take the job over.';
    if (run?.end === 'failed')
      return 'The last run failed: see below why. The next one goes on from the last checkpoint.';
    if (run?.end === 'all-read') return 'The run is over: everything was read, and its results are here.';
    return 'No processor runs now. The next one goes on from the last checkpoint.';
  }
  const sentences = holdsUp.map((part) => {
    if (part === 'processor') return 'The stream waits for the processor.';
    if (part === 'stream') return 'The processor waits for the stream.';
    return `${part.sink} holds up its own results; the rest of the line goes on.`;
  });
  if (sentences.length > 0) return sentences.join(' ');
  return status.run?.delivering
    ? 'Everything is read; the sinks are given the rest.'
    : 'Nothing holds the line up.';
}
