/** The times that the saved dashboard shows, and those of the results that are there. */
import type { Client } from '@opensearch-project/opensearch';
import type { View } from '../views/language.ts';
import { explained, statusOf } from './errors.ts';
import { indexName } from './templates.ts';

/** ISO 8601, or as Dashboards writes times (`now-1h`). */
export interface TimeRange {
  readonly from: string;
  readonly to: string;
}

/** Since the first month of the TLC's data: nothing is hidden, but a single day is a thin line in it. */
export const ALL_TIMES: TimeRange = { from: '2009-01-01T00:00:00.000Z', to: 'now' };

const DAY_MS = 86_400_000;

export interface Searched {
  readonly client: Client;
  readonly url: string;
  readonly prefix: string;
  readonly views: readonly View[];
}

/** The days, midnight to midnight in UTC, of the results that a search finds; undefined without any. Throws as `explained`. */
export async function timesOfResults({
  client,
  url,
  prefix,
  views,
}: Searched): Promise<TimeRange | undefined> {
  const names = views.map((view) => indexName(prefix, view.name)).join();
  const path = `/${names}/_search?ignore_unavailable=true&allow_no_indices=true`;
  const aggs = { min: { min: { field: 'timestamp' } }, max: { max: { field: 'timestamp' } } };
  try {
    const { body } = await client.transport.request({ method: 'POST', path, body: { size: 0, aggs } });
    const { min, max } = body?.aggregations ?? {};
    if (typeof min?.value !== 'number' || typeof max?.value !== 'number') return undefined;
    return {
      from: new Date(Math.floor(min.value / DAY_MS) * DAY_MS).toISOString(),
      to: new Date((Math.floor(max.value / DAY_MS) + 1) * DAY_MS).toISOString(),
    };
  } catch (error) {
    // Missing indices and contradicting mappings are looked at elsewhere. Amazon doesn't promise to read the parameters
    // of a signed POST, so a missing index may be an error here.
    if (statusOf(error) === 400 || statusOf(error) === 404) return undefined;
    throw explained(error, url);
  }
}

/** The times that a saved dashboard has. */
export function timesOfDashboard(attributes: Readonly<Record<string, unknown>>): TimeRange {
  return { from: String(attributes['timeFrom']), to: String(attributes['timeTo']) };
}

/** Whether a dashboard shows the results' times. One that was made before there were any does not: its range is too wide. */
export function covers(shown: TimeRange, results: TimeRange): boolean {
  if (isSame(shown, ALL_TIMES)) return false;
  // Relative times, such as now-1h, are the user's own and are left.
  return (
    !(Date.parse(shown.from) > Date.parse(results.from)) && !(Date.parse(shown.to) < Date.parse(results.to))
  );
}

/**
 * Whether a dashboard's times are from here: those of a dashboard made before there were results, `last`, which we saved or
 * found before, or times from the first day of the results to some midnight in UTC.
 */
export function areOurs(shown: TimeRange, results: TimeRange, last?: TimeRange): boolean {
  if (isSame(shown, ALL_TIMES) || (last !== undefined && isSame(shown, last))) return true;
  return shown.from === results.from && Date.parse(shown.to) % DAY_MS === 0;
}

/** Our times, grown to hold those of the results; undefined where they do already. */
export function grown(shown: TimeRange, results: TimeRange): TimeRange | undefined {
  if (isSame(shown, ALL_TIMES)) return results;
  if (covers(shown, results)) return undefined;
  const earliest = Math.min(Date.parse(shown.from), Date.parse(results.from));
  const latest = Math.max(Date.parse(shown.to), Date.parse(results.to));
  return { from: new Date(earliest).toISOString(), to: new Date(latest).toISOString() };
}

export function isSame(one: TimeRange, other: TimeRange): boolean {
  return one.from === other.from && one.to === other.to;
}
