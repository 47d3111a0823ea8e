/** The saved-objects API of OpenSearch Dashboards, and of Kibana 7.10, as far as it is needed here. */
import { randomUUID } from 'node:crypto';
import type { Client } from '@opensearch-project/opensearch';
import { TaxiflowError } from '../errors.ts';
import { shownUrl } from '../printable.ts';
import { DASHBOARDS, explained, statusOf } from './errors.ts';
import { type LiveObject, ndjson, objectDifferences, type SavedObject } from './saved-objects.ts';
import type { TimeRange } from './time-range.ts';

export interface Dashboards {
  readonly client: Client;
  /** As people are shown it. */
  readonly url: string;
  /** It does not answer; it is not asked, and taken for one that holds nothing. */
  readonly isAssumedEmpty?: boolean;
}

/**
 * Dashboards refuses a request without the first header, Kibana one without the second. Where there are tenants, the
 * default is a user's own, in which others would not find the dashboard; the global one is seen by all.
 */
const HEADERS = { 'osd-xsrf': 'true', 'kbn-xsrf': 'true', securitytenant: 'global' };

export const IMPORT_PATH = '/api/saved_objects/_import';

export function objectPath({ type, id }: Pick<SavedObject, 'type' | 'id'>): string {
  return `/api/saved_objects/${type}/${encodeURIComponent(id)}`;
}

/** The object as Dashboards has it; undefined where it has none. Throws `unsupported-dashboards`, else as `explained`. */
export async function readObject(
  { client, url, isAssumedEmpty }: Dashboards,
  object: Pick<SavedObject, 'type' | 'id'>,
  options: { requestTimeout?: number } = {},
): Promise<LiveObject | undefined> {
  if (isAssumedEmpty) return undefined;
  let body: unknown;
  let headers: Readonly<Record<string, unknown>> | null | undefined;
  try {
    ({ body, headers } = await client.transport.request(
      { method: 'GET', path: objectPath(object) },
      { headers: HEADERS, ...options },
    ));
  } catch (error) {
    const { message } = ((error as { meta?: { body?: unknown } }).meta?.body ?? {}) as { message?: unknown };
    if (statusOf(error) === 404 && typeof message === 'string' && message.startsWith('Saved object ['))
      return undefined;
    if (statusOf(error) === 404 || statusOf(error) === 400) throw unsupported(url, error);
    throw explained(error, url, DASHBOARDS);
  }
  const live = body as LiveObject | undefined;
  if (typeof live === 'object' && typeof live?.attributes === 'object') return live;
  // A redirection goes to a page to log in, to TLS or to another path. Its query string may hold secrets.
  const location = shownUrl(String(headers?.['location'] ?? ''));
  throw unsupported(url, undefined, location && `, but a redirection to ${location}`);
}

function unsupported(url: string, cause?: unknown, instead = ''): TaxiflowError {
  return new TaxiflowError('unsupported-dashboards', `no OpenSearch Dashboards answers at ${url}${instead}`, {
    hint: 'give --dashboards the URL of Dashboards with its base path, for instance http://localhost:5601 or https://DOMAIN/_dashboards (of Elasticsearch: https://DOMAIN/_plugin/kibana)',
    cause,
  });
}

interface ImportReply {
  readonly success?: boolean;
  readonly successCount?: number;
  readonly errors?: readonly ImportError[];
}

interface ImportError {
  readonly type: string;
  readonly id: string;
  readonly error: {
    readonly type: string;
    readonly message?: string;
    readonly references?: readonly { readonly type: string; readonly id: string }[];
  };
}

/**
 * Imports objects over what is there, and reads them back, since Dashboards can report success without storing anything.
 * Throws `dashboards-import` with the first object that isn't there as it was sent.
 */
export async function importObjects(dashboards: Dashboards, objects: readonly SavedObject[]): Promise<void> {
  const { client, url } = dashboards;
  const boundary = `taxiflow-${randomUUID()}`;
  let reply: ImportReply;
  try {
    const { body } = await client.transport.request(
      {
        method: 'POST',
        path: IMPORT_PATH,
        querystring: { overwrite: true },
        body: multipart(objects, boundary),
      },
      { headers: { ...HEADERS, 'content-type': `multipart/form-data; boundary=${boundary}` } },
    );
    reply = (body ?? {}) as ImportReply;
  } catch (error) {
    throw explained(error, url, DASHBOARDS);
  }
  if (reply.success !== true || reply.successCount !== objects.length)
    throw notImported(url, inWords(reply, objects.length));
  for (const object of objects) {
    const live = await readObject(dashboards, object);
    const found = live ? objectDifferences(live, object) : ['it is not there'];
    if (found.length > 0)
      throw notImported(url, `it said success, but of ${object.type} ${object.id} ${found.join(', ')}`);
  }
}

/** The name of the file has to end in `.ndjson`. */
function multipart(objects: readonly SavedObject[], boundary: string): string {
  return [
    `--${boundary}`,
    'Content-Disposition: form-data; name="file"; filename="taxiflow.ndjson"',
    'Content-Type: application/ndjson',
    '',
    ndjson(objects),
    `--${boundary}--`,
    '',
  ].join('\r\n');
}

function inWords({ success, successCount, errors = [] }: ImportReply, sent: number): string {
  const [first] = errors;
  if (!first) return `it says success ${success} for ${successCount ?? 'none'} of ${sent} objects`;
  const { type, message, references = [] } = first.error;
  const missing = references.map((reference) => `${reference.type} ${reference.id}`).join(', ');
  const more = errors.length > 1 ? `, and ${errors.length - 1} more` : '';
  return `${first.type} ${first.id}: ${message ?? type}${missing && ` (${missing})`}${more}`;
}

function notImported(url: string, what: string): TaxiflowError {
  return new TaxiflowError(
    'dashboards-import',
    `OpenSearch Dashboards at ${url} did not take the dashboard: ${what}`,
    { hint: 'see its log; "taxiflow es-setup --dry-run --dashboards …" prints what is sent' },
  );
}

/** The request that gives a dashboard other times. */
export function timesRequest(id: string, { from, to }: TimeRange) {
  return {
    method: 'PUT',
    path: objectPath({ type: 'dashboard', id }),
    body: { attributes: { timeFrom: from, timeTo: to } },
  } as const;
}

/**
 * Gives a dashboard other times and leaves the rest of it. False when somebody saved or deleted it since `live` was read;
 * then nothing is changed. Throws as `explained`.
 */
export async function saveTimes(
  { client, url }: Dashboards,
  id: string,
  live: LiveObject,
  range: TimeRange,
): Promise<boolean> {
  const { method, path, body } = timesRequest(id, range);
  try {
    const { statusCode } = await client.transport.request(
      { method, path, body: { ...body, ...(live.version === undefined ? {} : { version: live.version }) } },
      { headers: HEADERS, ignore: [404, 409] },
    );
    return statusCode === 200;
  } catch (error) {
    throw explained(error, url, DASHBOARDS);
  }
}

/** Removes an object; one that isn't there is fine. Throws as `explained`. */
export async function deleteObject(
  { client, url }: Dashboards,
  object: Pick<SavedObject, 'type' | 'id'>,
): Promise<void> {
  try {
    await client.transport.request(
      { method: 'DELETE', path: objectPath(object) },
      { headers: HEADERS, ignore: [404] },
    );
  } catch (error) {
    throw explained(error, url, DASHBOARDS);
  }
}
