/**
 * What was written to a Kinesis stream, as CloudWatch has it by the minute. CloudWatch gets figures one to two minutes late, and
 * nothing at all of a minute without writes. A minute that is missing counts as one without writes only where figures of later
 * minutes have come, be it of readers, or where none have come for an hour: else its figures may still be on their way.
 */
import {
  CloudWatchClient,
  GetMetricDataCommand,
  type MetricDataQuery,
  type MetricDataResult,
} from '@aws-sdk/client-cloudwatch';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import {
  accessError,
  awsVerdict,
  errorMessage,
  errorName,
  httpStatus,
  isTimeout,
} from '../../net/aws-errors.ts';
import { muteVersionWarning } from '../../net/aws-sdk.ts';
import { type Backoff, retry } from '../../net/retry.ts';
import type { MinuteOfWrites } from '../ports.ts';
import type { KinesisOptions } from './client.ts';
import { nameOf, regionOfArn } from './stream-name.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const CONNECT_MS = 3_000;
/** The limit of all attempts of one request. */
const REQUEST_MS = 8_000;
const TRIES = 5;
const BACKOFF: Backoff = { firstMs: 100, longestMs: 2_000, jitter: 'full' };
/** Figures of a minute that ended so long ago are whole. */
const LATE_MS = 2 * MINUTE;
/** A stream of which nothing has come for so long is idle. */
const SILENT_MS = HOUR;
/** Longer than a stream is silent before it counts as idle. */
const LOOK_BACK_MS = 3 * HOUR;
/** CloudWatch keeps figures by the hour for longer. */
const EVER_MS = 14 * 24 * HOUR;
/** Far more than a look back takes. */
const MOST_PAGES = 50;

const METRICS = {
  bytes: 'IncomingBytes',
  records: 'IncomingRecords',
  throttled: 'WriteProvisionedThroughputExceeded',
  // Readers ask all the time, so their figures show that figures of the stream arrive.
  reads: 'GetRecords.Success',
} as const;
type Metric = keyof typeof METRICS;
const NAMES = Object.keys(METRICS) as Metric[];

/** Sums by the start of their minute or hour, epoch ms. */
type Sums = Readonly<Record<Metric, Map<number, number>>>;

export class WrittenFigures {
  readonly #client: CloudWatchClient;
  readonly #stream: string;
  readonly #clock: Clock;

  constructor(options: KinesisOptions & { readonly clock: Clock }) {
    muteVersionWarning();
    const region = options.region ?? regionOfArn(options.stream);
    this.#client = new CloudWatchClient({
      maxAttempts: 2,
      requestHandler: new NodeHttpHandler({ connectionTimeout: CONNECT_MS, requestTimeout: REQUEST_MS }),
      ...(region ? { region } : {}),
      ...(options.endpointUrl ? { endpoint: options.endpointUrl } : {}),
    });
    this.#stream = nameOf(options.stream);
    this.#clock = options.clock;
  }

  /** Throws `no-figures`, `access-denied`, `no-credentials`, …; `cloudwatch-unreachable` for what may pass. */
  async written(since: number, until: number): Promise<MinuteOfWrites[]> {
    const sums = await this.#sums(Math.min(since, until - LOOK_BACK_MS), until, MINUTE);
    const newest = NAMES.reduce((at, name) => newestOf(sums[name], at), Number.NEGATIVE_INFINITY);
    const isIdle =
      until - newest > SILENT_MS && (Number.isFinite(newest) || (await this.#hasEverCome(until)));
    const minutes: MinuteOfWrites[] = [];
    for (let start = Math.ceil(since / MINUTE) * MINUTE; start + MINUTE <= until; start += MINUTE) {
      const isOld = start + MINUTE <= until - LATE_MS;
      const hasCome = sums.bytes.has(start) || sums.records.has(start) || sums.throttled.has(start);
      const isEmpty = isOld && (isIdle || start + LATE_MS <= newest);
      if (!hasCome && !isEmpty) continue;
      const sum = (name: Metric) => sums[name].get(start) ?? 0;
      const [bytes, records, throttled] = [sum('bytes'), sum('records'), sum('throttled')];
      minutes.push({ start, bytes, records, throttled, settled: isOld });
    }
    return minutes;
  }

  close(): void {
    this.#client.destroy();
  }

  /** False of a stream to which nobody ever wrote: nobody can tell it from one whose figures don't come. */
  async #hasEverCome(until: number): Promise<boolean> {
    const sums = await this.#sums(until - EVER_MS, until, HOUR);
    return NAMES.some((name) => sums[name].size > 0);
  }

  async #sums(since: number, until: number, period: number): Promise<Sums> {
    const sums: Sums = { bytes: new Map(), records: new Map(), throttled: new Map(), reads: new Map() };
    let next: string | undefined;
    let pages = 0;
    do {
      const command = new GetMetricDataCommand({
        MetricDataQueries: NAMES.map((name) => this.#query(name, period / 1_000)),
        StartTime: new Date(Math.floor(since / period) * period),
        EndTime: new Date(until),
        ScanBy: 'TimestampAscending',
        ...(next === undefined ? {} : { NextToken: next }),
      });
      const page = await this.#request((abortSignal) => this.#client.send(command, { abortSignal }));
      for (const result of page.MetricDataResults ?? []) add(result, sums);
      next = page.NextToken;
      if (++pages > MOST_PAGES) throw badAnswer(`more than ${MOST_PAGES} pages`);
    } while (next);
    return sums;
  }

  #query(name: Metric, seconds: number): MetricDataQuery {
    const Dimensions = [{ Name: 'StreamName', Value: this.#stream.slice('kinesis:'.length) }];
    const Metric = { Namespace: 'AWS/Kinesis', MetricName: METRICS[name], Dimensions };
    return { Id: name, MetricStat: { Metric, Period: seconds, Stat: 'Sum' } };
  }

  #request<T>(request: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = AbortSignal.timeout(REQUEST_MS);
    return retry(() => request(signal), {
      clock: this.#clock,
      signal,
      patience: (error) => (awsVerdict(error) === 'final' ? undefined : { ...BACKOFF, tries: TRIES }),
      explain: (error) => explained(error, this.#stream),
    });
  }
}

function newestOf(sums: ReadonlyMap<number, number>, least: number): number {
  let newest = least;
  for (const at of sums.keys()) newest = Math.max(newest, at);
  return newest;
}

function add({ Id, StatusCode, Timestamps = [], Values = [] }: MetricDataResult, sums: Sums): void {
  // A page may hold a part of a result; the next ones have the rest.
  if (StatusCode !== undefined && StatusCode !== 'Complete' && StatusCode !== 'PartialData')
    throw badAnswer(`${Id}: ${StatusCode}`);
  const found = Id === undefined ? undefined : (sums as Partial<Record<string, Map<number, number>>>)[Id];
  if (!found || Timestamps.length !== Values.length) throw badAnswer('figures that were not asked for');
  for (const [i, at] of Timestamps.entries()) {
    const value = Values[i]!;
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) throw badAnswer(`a sum of ${value}`);
    found.set(at.getTime(), value);
  }
}

function badAnswer(what: string): TaxiflowError {
  return new TaxiflowError('no-figures', `CloudWatch's answer can't be used: ${what}`, {
    hint: 'check --endpoint-url and the proxies of this network',
  });
}

/** An error of the SDK as a `TaxiflowError`. */
function explained(error: unknown, stream: string): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  const access = accessError(error);
  if (access) return access;
  const status = httpStatus(error);
  // What is no JSON is the answer of something else, where it isn't one that broke.
  const isOther = error instanceof SyntaxError && status !== undefined && status < 500;
  if (isTimeout(error) || (awsVerdict(error) !== 'final' && !isOther)) {
    const what = isTimeout(error) ? 'timed out' : errorMessage(error);
    return new TaxiflowError(
      'cloudwatch-unreachable',
      `CloudWatch, which has the figures of ${stream}, does not answer: ${what}`,
      { hint: 'check --region, --endpoint-url and the network', cause: error },
    );
  }
  const says = isOther
    ? `what answers is not CloudWatch (HTTP status ${status})`
    : `CloudWatch says: ${errorName(error)}: ${errorMessage(error)}`;
  return new TaxiflowError('no-figures', `there are no figures of what is written to ${stream}: ${says}`, {
    hint: 'an emulator of Kinesis alone has none; AWS_ENDPOINT_URL_CLOUDWATCH names that of CloudWatch',
    cause: error,
  });
}
