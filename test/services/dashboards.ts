/**
 * An OpenSearch Dashboards of the tests' own: its saved-objects API, answering as the real one (2.8) was recorded to;
 * `test/opensearch/dashboards.test.ts` holds it against the recordings.
 */
import type { TestContext } from 'node:test';
import { type Answer, type Asked, type Server, serve } from './http.ts';

export interface Stored {
  readonly type: string;
  readonly id: string;
  readonly attributes: Record<string, unknown>;
  readonly references?: readonly { readonly name: string; readonly type: string; readonly id: string }[];
  readonly migrationVersion?: Readonly<Record<string, string>>;
}

export interface FakeDashboards extends Server {
  /** What is stored, by `type:id`. An object that a test changes has another version from then on. */
  readonly objects: Map<string, Stored>;
  /** The versions told last: the content they were told of, and its number in the sequence of saves. */
  readonly versions: Map<string, { readonly content: string; readonly number: number }>;
  /** Answers instead, where it gives something. */
  instead: (asked: Asked) => Answer | undefined;
  /** Says success, and keeps nothing. */
  forgetful: boolean;
}

/** What 2.8 knows: the newest migration, the icon, and the attributes of a strict mapping. */
const TYPES: Record<string, { migration: string; icon: string; attributes: string[] }> = {
  'index-pattern': {
    migration: '7.6.0',
    icon: 'indexPatternApp',
    attributes: ['title', 'timeFieldName', 'fields', 'fieldFormatMap', 'sourceFilters', 'type', 'typeMeta'],
  },
  visualization: {
    migration: '7.10.0',
    icon: 'visualizeApp',
    attributes: [
      ...['title', 'visState', 'uiStateJSON', 'description', 'version', 'kibanaSavedObjectMeta'],
      'savedSearchRefName',
    ],
  },
  dashboard: {
    migration: '7.9.3',
    icon: 'dashboardApp',
    attributes: [
      ...['title', 'hits', 'description', 'panelsJSON', 'optionsJSON', 'version', 'kibanaSavedObjectMeta'],
      ...['timeRestore', 'timeFrom', 'timeTo', 'refreshInterval'],
    ],
  },
};

/** Starts it on a free port, under `basePath`; with `user` (`name:password`) nobody else gets in. It stops with the test. */
export async function startDashboards(
  t: Pick<TestContext, 'after'>,
  { basePath = '', user }: { basePath?: string; user?: string } = {},
): Promise<FakeDashboards> {
  const objects = new Map<string, Stored>();
  const server = await serve(t, (asked) => {
    const given = fake.instead(asked);
    if (given) return given;
    if (user && asked.headers.authorization !== `Basic ${Buffer.from(user).toString('base64')}`)
      return failure(401, 'Unauthorized', 'Authentication required');
    if (!asked.path.startsWith(`${basePath}/api/saved_objects/`))
      return failure(404, 'Not Found', 'Not Found');
    return answer(fake, asked, asked.path.slice(`${basePath}/api/saved_objects/`.length));
  });
  const fake: FakeDashboards = {
    ...server,
    url: `${server.url}${basePath}`,
    objects,
    versions: new Map(),
    instead: () => undefined,
    forgetful: false,
  };
  return fake;
}

function failure(statusCode: number, error: string, message: string): Answer {
  return { status: statusCode, body: { statusCode, error, message } };
}

function answer(fake: FakeDashboards, asked: Asked, path: string): Answer {
  if (asked.method !== 'GET' && asked.headers['osd-xsrf'] === undefined)
    return failure(400, 'Bad Request', 'Request must contain the osd-xsrf header.');
  if (asked.method === 'POST' && path.startsWith('_import'))
    return imported(fake, asked, new URLSearchParams(path.split('?')[1]).get('overwrite') === 'true');
  const [type = '', id = ''] = path.split('?')[0]!.split('/').map(decodeURIComponent);
  const key = `${type}:${id}`;
  const found = fake.objects.get(key);
  if (!found) return failure(404, 'Not Found', `Saved object [${type}/${id}] not found`);
  if (asked.method === 'DELETE') {
    fake.objects.delete(key);
    return { body: {} };
  }
  if (asked.method === 'PUT') return updated(fake, asked, found);
  return { body: { ...found, ...savedNow(fake, found) } };
}

/** What the server adds to an object: when it was saved, and its version, which names the number of the save. */
function savedNow(fake: FakeDashboards, object: Stored) {
  const version = Buffer.from(`[${numberOf(fake, object)},1]`).toString('base64');
  return { updated_at: '2024-01-01T00:00:00.000Z', version, namespaces: ['default'] };
}

function numberOf(fake: FakeDashboards, object: Stored): number {
  const key = `${object.type}:${object.id}`;
  const content = JSON.stringify(object);
  const last = fake.versions.get(key);
  if (last?.content === content) return last.number;
  const number = Math.max(-1, ...[...fake.versions.values()].map((one) => one.number)) + 1;
  fake.versions.set(key, { content, number });
  return number;
}

/** A PUT: some attributes get other values, if nobody saved the object since the version that is named. */
function updated(fake: FakeDashboards, { body }: Asked, found: Stored): Answer {
  const { type, id } = found;
  const { attributes, version, references, ...others } = JSON.parse(body.toString() || '{}') as {
    attributes?: Record<string, unknown>;
    version?: string;
    references?: Stored['references'];
  };
  const bad = (message: string) => failure(400, 'Bad Request', message);
  if (typeof attributes !== 'object')
    return bad(`[request body.attributes]: expected value of type [object] but got [${typeof attributes}]`);
  const [stray] = Object.keys(others);
  if (stray !== undefined) return bad(`[request body.${stray}]: definition for this key is missing`);
  const sequence = /^\[(\d+),(\d+)\]$/.exec(Buffer.from(version ?? '', 'base64').toString());
  if (version !== undefined && !sequence) return bad(`Invalid version [${version}]`);
  const number = numberOf(fake, found);
  if (sequence && Number(sequence[1]) !== number) {
    const why = `[${type}:${id}]: version conflict, required seqNo [${sequence[1]}], primary term [${sequence[2]}]. current document has seqNo [${number}] and primary term [1]`;
    const message = `${why}: version_conflict_engine_exception: [version_conflict_engine_exception] Reason: ${why}`;
    return failure(409, 'Conflict', message);
  }
  const stranger = Object.keys(attributes).find((name) => !TYPES[type]!.attributes.includes(name));
  if (stranger !== undefined) {
    const why = `mapping set to strict, dynamic introduction of [${stranger}] within [${type}] is not allowed`;
    return bad(`${why}: strict_dynamic_mapping_exception: [strict_dynamic_mapping_exception] Reason: ${why}`);
  }
  const saved: Stored = {
    ...found,
    attributes: { ...found.attributes, ...attributes },
    ...(references ? { references } : {}),
  };
  if (!fake.forgetful) fake.objects.set(`${type}:${id}`, saved);
  return { body: { id, type, ...savedNow(fake, saved), attributes } };
}

function imported(fake: FakeDashboards, asked: Asked, overwrite: boolean): Answer {
  const file = fileOf(asked);
  const extension = /\.[^.]*$/.exec(file.name)?.[0] ?? '';
  if (extension !== '.ndjson') return failure(400, 'Bad Request', `Invalid file extension ${extension}`);
  let sent: Stored[];
  try {
    sent = file.content
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => JSON.parse(line) as Stored);
  } catch (error) {
    return failure(400, 'Bad Request', (error as Error).message);
  }
  if (sent.some(({ attributes }) => attributes === undefined))
    return failure(500, 'Internal Server Error', 'An internal server error occurred.');
  for (const { type, id, migrationVersion = {} } of sent) {
    const known = TYPES[type]?.migration;
    const asking = migrationVersion[type];
    if (known && asking && newer(asking, known)) {
      const message = `Document "${id}" has property "${type}" which belongs to a more recent version of OpenSearch Dashboards [${asking}]. The last known version is [${known}]`;
      return failure(422, 'Unprocessable Entity', message);
    }
  }
  const errors = sent.flatMap((object) => errorOf(fake, object, sent, overwrite) ?? []);
  if (errors.length > 0) return { body: { successCount: 0, success: false, errors } };
  const successResults = sent.map(({ type, id, attributes: { title } }) => ({
    ...{ type, id, meta: { title, icon: TYPES[type]!.icon } },
    ...(fake.objects.has(`${type}:${id}`) ? { overwrite: true } : {}),
  }));
  if (!fake.forgetful) for (const object of sent) fake.objects.set(`${object.type}:${object.id}`, object);
  return { body: { successCount: sent.length, success: true, successResults } };
}

function newer(one: string, other: string): boolean {
  return one.localeCompare(other, 'en', { numeric: true }) > 0;
}

/** Why an object isn't taken, in the reply's form. Whether its JSON strings make sense is not looked at. */
function errorOf(fake: FakeDashboards, object: Stored, sent: readonly Stored[], overwrite: boolean) {
  const { type, id, attributes, references = [] } = object;
  const title = attributes['title'];
  const known = TYPES[type];
  if (!known) return { id, type, title, meta: { title }, error: { type: 'unsupported_type' } };
  const failed = (error: object) => ({ id, type, title, meta: { title, icon: known.icon }, error });
  const missing = references
    .filter(
      (one) =>
        // A dashboard may show what isn't there.
        ['index-pattern', 'search'].includes(one.type) &&
        !fake.objects.has(`${one.type}:${one.id}`) &&
        !sent.some((other) => other.type === one.type && other.id === one.id),
    )
    .map((one) => ({ type: one.type, id: one.id }));
  if (missing.length > 0) return failed({ type: 'missing_references', references: missing });
  if (!overwrite && fake.objects.has(`${type}:${id}`)) return failed({ type: 'conflict' });
  const stranger = Object.keys(attributes).find((name) => !known.attributes.includes(name));
  if (stranger !== undefined) {
    const message = `mapping set to strict, dynamic introduction of [${stranger}] within [${type}] is not allowed`;
    return failed({ message, type: 'unknown' });
  }
  if (type === 'dashboard' && attributes['hits'] !== undefined && !Number.isInteger(attributes['hits'])) {
    const message = `failed to parse field [dashboard.hits] of type [integer] in document with id 'dashboard:${id}'. Preview of field's value: '${attributes['hits']}'`;
    return failed({ message, type: 'unknown' });
  }
  return undefined;
}

/** The one file of a multipart body. */
function fileOf({ headers, body }: Asked): { name: string; content: string } {
  const boundary = /boundary=(.+)$/.exec(headers['content-type'] ?? '')?.[1];
  const [, part = ''] = body.toString().split(`--${boundary}`);
  const end = part.indexOf('\r\n\r\n');
  return { name: /filename="([^"]*)"/.exec(part)?.[1] ?? '', content: part.slice(end + 4, -2) };
}
