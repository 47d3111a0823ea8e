/**
 * Where the results of a view go in OpenSearch, and their mapping there. The name is `PREFIX + view`: an alias of
 * `PREFIX + view-000001` where `es-setup` made it, else an index. The mapping is the same for both.
 */
import { usageError } from '../errors.ts';
import { AGGREGATES } from '../views/aggregates.ts';
import { TRIP_SCOPE, typeOf } from '../views/check.ts';
import type { Aggregate, Expression, ValueType, View } from '../views/language.ts';

export interface FieldMapping {
  readonly type: 'keyword' | 'date' | 'long' | 'double' | 'geo_point';
}

export interface Mapping {
  readonly dynamic: 'strict';
  readonly properties: Readonly<Record<string, FieldMapping>>;
}

/** The name that documents of a view are written to and searched by. */
export function indexName(prefix: string, view: string): string {
  return `${prefix}${view}`;
}

/** The index that `es-setup` makes behind the name. */
export function firstIndex(prefix: string, view: string): string {
  return `${indexName(prefix, view)}-000001`;
}

/** The body of that index: the alias, and the mapping, since a template of somebody else may have a higher priority. */
export function firstIndexOf(prefix: string, view: View) {
  return { aliases: { [indexName(prefix, view.name)]: { is_write_index: true } }, mappings: mappingOf(view) };
}

/** Whether the indices behind a name are those of a data stream, which takes no document twice. */
export function isDataStream(name: string, indices: readonly string[]): boolean {
  return indices.length > 0 && indices.every((index) => index.startsWith(`.ds-${name}-`));
}

/** The index that takes what is written to a name, of the indices behind it; undefined where none does. */
export function writeIndexOf(
  name: string,
  indices: Readonly<
    Record<string, { readonly aliases?: Readonly<Record<string, { readonly is_write_index?: boolean }>> }>
  >,
): string | undefined {
  if (name in indices) return name;
  const said = Object.entries(indices).map(
    ([index, { aliases = {} }]) => [index, aliases[name]?.is_write_index] as const,
  );
  const [chosen] = said.find(([, isWriteIndex]) => isWriteIndex === true) ?? [];
  // A single index takes writes unless it says no.
  return chosen ?? (said.length === 1 && said[0]![1] !== false ? said[0]![0] : undefined);
}

export function templateName(prefix: string, view: string): string {
  return `taxiflow-${indexName(prefix, view)}`;
}

/** The prefix, if the name of an index may begin with it. Throws `usage`. */
export function checkedPrefix(prefix: string): string {
  if (/^([a-z0-9][a-z0-9_.-]*)?$/.test(prefix) && prefix.length <= 100) return prefix;
  throw usageError(
    `--index-prefix ${prefix} can't begin the name of an index`,
    'use lower-case letters, digits, "-", "_" and ".", for instance nyc-',
  );
}

const TYPES: Readonly<Record<ValueType, FieldMapping['type']>> = {
  integer: 'long',
  number: 'double',
  string: 'keyword',
  time: 'date',
  // The checker lets no key or aggregate be a boolean.
  boolean: 'keyword',
};

/** The mapping of a view's results: a type for each of their fields; other fields are refused. */
export function mappingOf(view: View): Mapping {
  const properties: Record<string, FieldMapping> = {
    view: { type: 'keyword' },
    window_start: { type: 'date' },
    window_end: { type: 'date' },
    timestamp: { type: 'date' },
  };
  for (const [name, key] of Object.entries(view.by)) properties[name] = { type: keyType(key, name) };
  for (const [name, aggregate] of Object.entries(view.aggregates))
    properties[name] = { type: aggregateType(aggregate, name) };
  if (view.top?.rank !== undefined) properties[view.top.rank] = { type: 'long' };
  return { dynamic: 'strict', properties };
}

function keyType(key: Expression, name: string): FieldMapping['type'] {
  // OpenSearch reads a geohash as a point.
  return key.op === 'geohash' ? 'geo_point' : TYPES[typeOf(key, TRIP_SCOPE, name)];
}

function aggregateType({ fn, of }: Aggregate, name: string): FieldMapping['type'] {
  return TYPES[AGGREGATES[fn].resultType(of && typeOf(of, TRIP_SCOPE, name))!];
}

/** The body of a composable index template for the name and the indices behind it. */
export function templateOf(prefix: string, view: View) {
  const name = indexName(prefix, view.name);
  return {
    index_patterns: [name, `${name}-*`],
    // The pattern of a shorter name may cover a longer one, which has to win.
    priority: 200 + name.length,
    template: { mappings: mappingOf(view) },
    _meta: { description: `Results of the view ${view.name}, by taxiflow es-setup` },
  };
}

/** What an index template says of itself, beside what it is for. */
export interface TemplateNotes {
  readonly description?: string;
  /** URL of the Dashboards that `es-setup` was given; `process` fits the dashboard there to the results. */
  readonly dashboards?: string;
}

/** A mapping as the server has it. */
export interface LiveMapping {
  readonly dynamic?: unknown;
  readonly properties?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Parameters that change what becomes of a value. Others, such as `ignore_above`, leave results as they are. */
const DECISIVE = new Set(['format', 'index', 'doc_values', 'enabled', 'path']);

export interface MappingDifference {
  /** `missing`: the field can be added. `contradiction`: only a new index helps. `dynamic` can be set. `extra` does no harm. */
  readonly kind: 'missing' | 'contradiction' | 'dynamic' | 'extra';
  /** In words, such as `location is a keyword, not a geo_point`. */
  readonly text: string;
}

/** Every difference between the mapping of an index or a template and that of a view. */
export function compareMapping(live: LiveMapping, expected: Mapping): MappingDifference[] {
  const found: MappingDifference[] = [];
  const add = (kind: MappingDifference['kind'], text: string) => found.push({ kind, text });
  // A field may be called "constructor", which every object has.
  const fields = new Map(Object.entries(live.properties ?? {}));
  for (const [name, { type }] of Object.entries(expected.properties)) {
    const { type: liveType, ...parameters } = fields.get(name) ?? {};
    if (!fields.has(name)) add('missing', `${name} is missing; it should be a ${type}`);
    else if (liveType !== type) add('contradiction', `${name} is a ${liveType ?? 'object'}, not a ${type}`);
    else {
      for (const [parameter, value] of Object.entries(parameters)) {
        const kind = DECISIVE.has(parameter) ? 'contradiction' : 'extra';
        add(kind, `${name} has ${parameter} ${JSON.stringify(value)}, which it should not`);
      }
    }
  }
  for (const name of fields.keys())
    if (!Object.hasOwn(expected.properties, name)) add('extra', `${name} is there, but not in the view`);
  // The server leaves out its default.
  const dynamic = String(live.dynamic ?? 'true');
  if (dynamic !== expected.dynamic) add('dynamic', `dynamic is ${dynamic}, not ${expected.dynamic}`);
  return found;
}

/** Where the mapping of an index refuses or changes what a view writes, in words; nothing where all results fit. */
export function differences(live: LiveMapping, expected: Mapping): string[] {
  return compareMapping(live, expected)
    .filter(({ kind }) => kind === 'missing' || kind === 'contradiction')
    .map(({ text }) => text);
}
