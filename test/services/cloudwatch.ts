/** A CloudWatch that has the figures of a test, checks signatures, and answers as Amazon's reference says: in pages, newest last. */
import type { TestContext } from 'node:test';
import { serve } from './http.ts';
import { refusal } from './sigv4.ts';

/** What came of one metric of one stream at a time, epoch ms. */
export interface Point {
  readonly metric: string;
  readonly at: number;
  readonly value: number;
}

interface Query {
  readonly Id: string;
  readonly MetricStat: {
    readonly Metric: {
      readonly Namespace: string;
      readonly MetricName: string;
      readonly Dimensions: readonly { readonly Name: string; readonly Value: string }[];
    };
    readonly Period: number;
    readonly Stat: string;
  };
}

interface Request {
  readonly MetricDataQueries: readonly Query[];
  /** Epoch seconds. */
  readonly StartTime: number;
  readonly EndTime: number;
  readonly NextToken?: string;
}

export interface CloudWatchOptions {
  readonly stream: string;
  readonly points: readonly Point[];
  /** Data points of each metric in a page. */
  readonly pageSize?: number;
  /** The name of an error instead of the answer with this number, from 1; `partial` breaks a promise of the protocol. */
  readonly fault?: (nth: number) => string | undefined;
  /** Changes an answer. */
  readonly spoil?: (answer: Record<string, unknown>[]) => Record<string, unknown>[];
}

const SECRET = { accessKeyId: 'test', secretAccessKey: 'test' };

export async function startCloudWatch(t: TestContext, options: CloudWatchOptions) {
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: SECRET.accessKeyId,
    AWS_SECRET_ACCESS_KEY: SECRET.secretAccessKey,
    AWS_REGION: 'us-east-1',
  });
  const requests: Request[] = [];
  const { url } = await serve(t, (asked) => {
    const target = String(asked.headers['x-amz-target']);
    const scope = { region: 'us-east-1', service: 'monitoring', now: Date.now() };
    const wrong = refusal(asked, SECRET, scope);
    if (wrong) return problem('InvalidSignatureException', wrong);
    if (!target.endsWith('.GetMetricData')) return problem('UnknownOperationException', target);
    const request = JSON.parse(asked.body.toString()) as Request;
    requests.push(request);
    const fault = options.fault?.(requests.length);
    if (fault === 'silent') return undefined;
    if (fault !== undefined) return problem(fault, 'so it is', fault === 'InternalFailure' ? 500 : 400);
    return { body: answered(request, options) };
  });
  return { url, requests };
}

function problem(type: string, message: string, status = 400) {
  return { status, body: { __type: type, message } };
}

function answered(request: Request, options: CloudWatchOptions) {
  const { pageSize = Number.POSITIVE_INFINITY, spoil = (all) => all } = options;
  const from = Number(request.NextToken ?? 0);
  let more = false;
  const results = request.MetricDataQueries.map((query): Record<string, unknown> => {
    const sums = [...sumsOf(query, request, options)].sort(([a], [b]) => a - b);
    const page = sums.slice(from, from + pageSize);
    const isPart = sums.length > from + pageSize;
    more ||= isPart;
    return {
      Id: query.Id,
      Label: query.MetricStat.Metric.MetricName,
      Timestamps: page.map(([at]) => at / 1_000),
      Values: page.map(([, sum]) => sum),
      StatusCode: isPart ? 'PartialData' : 'Complete',
    };
  });
  return { MetricDataResults: spoil(results), ...(more ? { NextToken: String(from + pageSize) } : {}) };
}

function sumsOf(
  { MetricStat: { Metric, Period, Stat } }: Query,
  request: Request,
  options: CloudWatchOptions,
) {
  const sums = new Map<number, number>();
  const [dimension] = Metric.Dimensions;
  const isIts = dimension?.Name === 'StreamName' && dimension.Value === options.stream;
  if (Metric.Namespace !== 'AWS/Kinesis' || Stat !== 'Sum' || !isIts) return sums;
  for (const { metric, at, value } of options.points) {
    if (metric !== Metric.MetricName || at < request.StartTime * 1_000 || at >= request.EndTime * 1_000)
      continue;
    const start = Math.floor(at / (Period * 1_000)) * Period * 1_000;
    sums.set(start, (sums.get(start) ?? 0) + value);
  }
  return sums;
}
