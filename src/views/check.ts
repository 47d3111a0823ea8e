/** Checks views and reports a mistake with its place: `views[1].having.left: …`. */
import { TaxiflowError } from '../errors.ts';
import { timeZoneOf } from '../events/time-zones.ts';
import { TRIP_FIELD_NAMES, TRIP_FIELDS, type TripField } from '../events/trip.ts';
import { nearest } from '../suggest.ts';
import { AGGREGATE_FUNCTIONS, AGGREGATES } from './aggregates.ts';
import { MAX_DURATION_DAYS } from './durations.ts';
import { MAX_PRECISION } from './geohash.ts';
import {
  type Aggregate,
  type EventTime,
  type Expression,
  RETRACTED,
  type TimePart,
  type Top,
  type ValueType,
  type View,
  type Window,
} from './language.ts';

/** The fields an expression may use, and their types. */
export type Scope = ReadonlyMap<string, ValueType>;

export const TRIP_SCOPE: Scope = new Map(TRIP_FIELD_NAMES.map((name) => [name, TRIP_FIELDS[name].type]));

/** Names of the fields that every result has besides its key and aggregates. */
const RESERVED = ['view', 'window_start', 'window_end', 'timestamp', RETRACTED];
const NAME = /^[a-z][a-z0-9_]{0,63}$/;
const MAX_SLIDES = 10_000;
/** Results of a window that are kept in memory to find the first ones. */
const MOST_TOP = 100_000;
const DAY_MS = 86_400_000;
const MAX_KEY_PARTS = 8;
/** Deepest nesting of objects and lists in a view; the compiled source is nested as deep. */
const MAX_DEPTH = 300;
/** Most objects, lists and values in a view. */
const MAX_PARTS = 100_000;

/** The hint where there is no better one. */
export const SEE_VIEWS = 'see "Views" in docs/views.md, and "taxiflow process --explain"';

function fail(path: string, problem: string, hint = SEE_VIEWS): never {
  throw new TaxiflowError('bad-view', `${path}: ${problem}`, {
    hint,
    exitCode: 2,
  });
}

/** Checks a list of views and returns it typed. Throws `bad-view` with the place of the first mistake. */
export function checkViews(value: unknown): View[] {
  if (!Array.isArray(value) || value.length === 0) fail('views', 'not a list of at least one view');
  const views = value as View[];
  const names = new Set<string>();
  for (const [i, view] of views.entries()) {
    const path = `views[${i}]`;
    checkView(view, path);
    if (names.has(view.name)) fail(`${path}.name`, `two views are named ${view.name}`);
    names.add(view.name);
  }
  return views;
}

/** Walks a value without recursion, so that deep nesting and cycles end in an error and not in a stack overflow. */
function checkPlain(value: unknown, path: string): void {
  const waiting: [part: unknown, depth: number][] = [[value, 0]];
  let parts = 0;
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [part, depth] = next;
    if (!isPlain(part)) fail(path, 'a view must be plain data', PLAIN);
    if (typeof part !== 'object' || part === null) continue;
    if (depth > MAX_DEPTH) fail(path, `nested more than ${MAX_DEPTH} deep`, TOO_LARGE);
    for (const inner of Object.values(part)) {
      if (++parts > MAX_PARTS) fail(path, `more than ${MAX_PARTS.toLocaleString('en-US')} parts`, TOO_LARGE);
      waiting.push([inner, depth + 1]);
    }
  }
}

/** Whether JSON can hold the value, or it is undefined. */
function isPlain(part: unknown): boolean {
  if (typeof part !== 'object' || part === null)
    return ['string', 'number', 'boolean', 'undefined', 'object'].includes(typeof part);
  const kind: unknown = Object.getPrototypeOf(part);
  return kind === null || kind === Object.prototype || kind === Array.prototype;
}

const PLAIN = 'use only objects, lists, strings, numbers and booleans, as in JSON';
const TOO_LARGE = 'flatten it with lists in all() and any(), or split it into several views';

function checkView(view: View, path: string): void {
  if (!isObject(view)) fail(path, 'not a view');
  checkPlain(view, path);
  onlyParts(view, ['name', 'where', 'by', 'window', 'aggregates', 'having', 'top', 'time'], path, 'a view');
  checkName(view.name, `${path}.name`);
  if (view.where !== undefined) expectType(view.where, TRIP_SCOPE, `${path}.where`, 'boolean');
  if (!isObject(view.by)) fail(`${path}.by`, 'not an object of key fields');
  if (Object.keys(view.by).length > MAX_KEY_PARTS)
    fail(`${path}.by`, `more than ${MAX_KEY_PARTS} key fields`);
  for (const [name, expression] of Object.entries(view.by)) {
    checkName(name, `${path}.by.${name}`);
    if (typeOf(expression, TRIP_SCOPE, `${path}.by.${name}`) === 'boolean') {
      fail(
        `${path}.by.${name}`,
        'a key must be a number, a time or a string',
        'choose([[condition, "yes"]], "no") turns it into a string',
      );
    }
  }
  checkWindow(view.window, `${path}.window`);
  if (!isObject(view.aggregates) || Object.keys(view.aggregates).length === 0) {
    fail(`${path}.aggregates`, 'not an object of at least one aggregate');
  }
  const results = new Map<string, ValueType>();
  for (const [name, aggregate] of Object.entries(view.aggregates)) {
    checkName(name, `${path}.aggregates.${name}`);
    if (Object.hasOwn(view.by, name)) fail(`${path}.aggregates.${name}`, 'a key field has that name');
    results.set(name, aggregateType(aggregate, `${path}.aggregates.${name}`));
  }
  if (view.having !== undefined) expectType(view.having, results, `${path}.having`, 'boolean');
  if (view.top !== undefined) checkTop(view, view.top, `${path}.top`);
  if (view.time !== undefined && !EVENT_TIMES.includes(view.time))
    fail(`${path}.time`, `${inWords(view.time)} is not one of ${EVENT_TIMES.join(', ')}`);
}

const EVENT_TIMES: readonly EventTime[] = ['dropoff', 'pickup', 'arrival'];

function checkTop({ by: key, aggregates }: View, top: Top, path: string): void {
  if (!isObject(top as unknown))
    fail(path, 'not a top', '{ n: 10, order: [{ name: "trips", descending: true }] }');
  onlyParts(top, ['n', 'by', 'order', 'rank'], path, 'a top');
  const { n, by = [], order, rank } = top;
  if (!Number.isSafeInteger(n) || n < 1 || n > MOST_TOP)
    fail(`${path}.n`, `${inWords(n)} is not a number from 1 to ${MOST_TOP.toLocaleString('en-US')}`);
  if (!Array.isArray(by)) fail(`${path}.by`, 'not a list of key fields');
  for (const [i, name] of by.entries())
    if (!Object.hasOwn(key, String(name)))
      fail(
        `${path}.by[${i}]`,
        `${inWords(name)} is not a key field`,
        `there are ${Object.keys(key).join(', ')}`,
      );
  if (!Array.isArray(order) || order.length === 0) fail(`${path}.order`, 'not a list of at least one field');
  const names = [...Object.keys(key), ...Object.keys(aggregates)];
  for (const [i, part] of order.entries()) {
    const place = `${path}.order[${i}]`;
    if (!isObject(part as unknown)) fail(place, 'not a field', '{ name: "trips", descending: true }');
    onlyParts(part, ['name', 'descending'], place, 'a field of an order');
    if (!names.includes(part.name))
      fail(
        `${place}.name`,
        `${inWords(part.name)} is no key field and no aggregate`,
        `there are ${names.join(', ')}`,
      );
    if (part.descending !== undefined && typeof part.descending !== 'boolean')
      fail(`${place}.descending`, 'neither true nor false');
  }
  if (rank === undefined) return;
  checkName(rank, `${path}.rank`);
  if (names.includes(rank)) fail(`${path}.rank`, 'a field of the result has that name');
}

/** A value of any kind, for a message. */
function inWords(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // JSON has no bigints and no cycles.
    return typeof value === 'bigint' ? `${value}n` : `a ${typeof value}`;
  }
}

/** Refuses parts that would otherwise be ignored silently. */
function onlyParts(node: object, parts: readonly string[], path: string, what: string): void {
  for (const name of Object.keys(node)) {
    if (parts.includes(name)) continue;
    const meant = nearest(name.slice(0, 64), parts);
    const hint = meant ? `did you mean ${meant}? The parts are` : 'the parts are';
    fail(`${path}.${name}`, `${what} has no such part`, `${hint} ${parts.join(', ')}`);
  }
}

function checkName(name: unknown, path: string): void {
  if (typeof name !== 'string' || !NAME.test(name)) {
    fail(
      path,
      `${inWords(name)} is not a valid name`,
      'use lower-case letters, digits and "_", a letter first',
    );
  }
  if (RESERVED.includes(name)) fail(path, `${name} is part of every result`, 'choose another name');
}

const WINDOW_PARTS: Readonly<Record<Window['kind'], readonly string[]>> = {
  tumbling: ['size_ms', 'offset_ms', 'time_zone'],
  sliding: ['size_ms', 'slide_ms', 'offset_ms', 'time_zone'],
  cumulating: ['size_ms', 'step_ms', 'offset_ms', 'time_zone'],
  session: ['gap_ms'],
};
const KINDS = Object.keys(WINDOW_PARTS) as Window['kind'][];

function checkWindow(value: unknown, path: string): void {
  if (!isObject(value)) fail(path, 'not a window', 'tumbling("10m") or sliding("1h", "10m")');
  const window = value as unknown as Window;
  if (!KINDS.includes(window.kind))
    fail(`${path}.kind`, `${inWords(window.kind)} is not a window`, `the windows are ${inList(KINDS)}`);
  onlyParts(window, ['kind', ...WINDOW_PARTS[window.kind]], path, 'a window');
  if (window.kind === 'session') {
    checkDuration(window.gap_ms, `${path}.gap_ms`);
    return;
  }
  checkDuration(window.size_ms, `${path}.size_ms`);
  if (window.kind === 'sliding') checkSlide(window, window.slide_ms, `${path}.slide_ms`);
  if (window.kind === 'cumulating') checkStep(window, window.step_ms, `${path}.step_ms`);
  const { offset_ms, size_ms } = window;
  if (offset_ms !== undefined && (!Number.isSafeInteger(offset_ms) || Math.abs(offset_ms) >= size_ms))
    fail(`${path}.offset_ms`, 'not a duration of whole milliseconds shorter than the window');
  if (window.time_zone !== undefined) checkLocalDays(window, path);
}

function checkSlide({ size_ms }: { size_ms: number }, slide_ms: number, path: string): void {
  checkDuration(slide_ms, path);
  if (slide_ms > size_ms) fail(path, 'longer than the window, so trips would fall between windows');
  if (size_ms / slide_ms > MAX_SLIDES) fail(path, `a trip would be in more than ${MAX_SLIDES} windows`);
}

function checkStep({ size_ms }: { size_ms: number }, step_ms: number, path: string): void {
  checkDuration(step_ms, path);
  if (size_ms % step_ms !== 0) fail(path, 'the window is not a whole number of steps');
  if (size_ms / step_ms > MAX_SLIDES) fail(path, `a trip would be in more than ${MAX_SLIDES} windows`);
}

/** Hours have no place in a day of 23 hours, so windows in a time zone are of whole days. */
function checkLocalDays(window: Exclude<Window, { kind: 'session' }>, path: string): void {
  checkTimeZone(window.time_zone, `${path}.time_zone`);
  const slide = window.kind === 'sliding' ? window.slide_ms : DAY_MS;
  for (const [part, ms] of Object.entries({
    size_ms: window.size_ms,
    slide_ms: slide,
    offset_ms: window.offset_ms ?? 0,
  }))
    if (ms % DAY_MS !== 0)
      fail(
        `${path}.${part}`,
        'not a number of days',
        'a window in a time zone is of whole days, such as "1d"',
      );
}

function checkTimeZone(name: unknown, path: string): void {
  if (typeof name === 'string' && timeZoneOf(name) !== undefined) return;
  fail(
    path,
    `${inWords(name)} is not a time zone`,
    'name one of the IANA database, such as America/New_York',
  );
}

function checkDuration(value: unknown, path: string): void {
  if (typeof value !== 'number' || !Number.isInteger(value) || value <= 0)
    fail(
      path,
      'not a duration of whole milliseconds',
      'write for example "10m" or "1h"; a number counts milliseconds',
    );
  if (value > MAX_DURATION_DAYS * 86_400_000)
    fail(path, `longer than ${MAX_DURATION_DAYS} days`, 'write for example "10m", "1h" or "1d"');
}

function aggregateType(aggregate: Aggregate, path: string): ValueType {
  if (!isObject(aggregate))
    fail(
      path,
      'not an aggregate',
      'count(), sum(x), avg(x), min(x), max(x), countDistinct(x), percentile(x, 0.95), …',
    );
  const { fn } = aggregate;
  if (!AGGREGATE_FUNCTIONS.includes(fn))
    fail(
      `${path}.fn`,
      `${inWords(fn)} is not an aggregate function`,
      `choose one of ${inList(AGGREGATE_FUNCTIONS)}`,
    );
  onlyParts(aggregate, ['fn', 'of', 'filter', ...(fn === 'percentile' ? ['p'] : [])], path, 'an aggregate');
  if (aggregate.filter !== undefined) expectType(aggregate.filter, TRIP_SCOPE, `${path}.filter`, 'boolean');
  if (aggregate.fn === 'percentile' && !(aggregate.p >= 0 && aggregate.p <= 1))
    fail(`${path}.p`, `${inWords(aggregate.p)} is not a share from 0 to 1`, '0.95 is the 95th percentile');
  const { operandOptional, resultType } = AGGREGATES[fn];
  const of =
    operandOptional && !('of' in aggregate) ? undefined : typeOf(aggregate.of!, TRIP_SCOPE, `${path}.of`);
  const type = resultType(of);
  if (type !== undefined) return type;
  if (fn !== 'count') return fail(`${path}.of`, `${fn} needs a number, but this is a ${of}`);
  return fail(
    `${path}.of`,
    'a condition is never missing, so all trips would be counted',
    'to count the trips for which it holds, use count({ filter: condition })',
  );
}

function inList(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

function expectType(expression: Expression, scope: Scope, path: string, wanted: ValueType): void {
  const type = typeOf(expression, scope, path);
  if (type !== wanted) fail(path, `expected a ${wanted}, but this is a ${type}`);
}

const isNumeric = (type: ValueType) => type === 'number' || type === 'integer';

const TWO = ['left', 'right'];
const ONE = ['of'];
const PARTS: Readonly<Record<Expression['op'], readonly string[]>> = {
  field: ['name'],
  literal: ['value'],
  add: TWO,
  subtract: TWO,
  multiply: TWO,
  divide: TWO,
  modulo: TWO,
  truncate: ONE,
  floor: ONE,
  ceil: ONE,
  abs: ONE,
  extract: ['part', 'of', 'time_zone'],
  instant: ['ms'],
  eq: TWO,
  ne: TWO,
  lt: TWO,
  lte: TWO,
  gt: TWO,
  gte: TWO,
  and: ONE,
  or: ONE,
  not: ONE,
  present: ONE,
  within: ['lat', 'lon', 'area'],
  geohash: ['lat', 'lon', 'precision'],
  case: ['when', 'otherwise'],
};

/** The type of an expression. Throws `bad-view` if it is invalid. */
export function typeOf(expression: Expression, scope: Scope, path: string): ValueType {
  if (!isObject(expression) || typeof expression.op !== 'string') {
    fail(path, 'not an expression', 'field("pickup_lat"), a comparison, geohash("pickup", 6), …');
  }
  if (Object.hasOwn(PARTS, expression.op))
    onlyParts(expression, ['op', ...PARTS[expression.op]], path, `"${expression.op}"`);
  switch (expression.op) {
    case 'field':
      return fieldType(expression.name, scope, path);
    case 'literal':
      return literalType(expression.value, path);
    case 'add':
    case 'subtract':
    case 'multiply':
    case 'divide':
    case 'modulo':
      return arithmeticType(expression, scope, path);
    case 'truncate':
    case 'floor':
    case 'ceil':
    case 'abs':
      return roundedType(expression, scope, path);
    case 'extract':
      return extractType(expression, scope, path);
    case 'instant':
      if (!Number.isSafeInteger(expression.ms))
        fail(`${path}.ms`, 'not a time', 'instant("2016-01-11T08:00:00Z")');
      return 'time';
    case 'eq':
    case 'ne':
    case 'lt':
    case 'lte':
    case 'gt':
    case 'gte':
      return comparisonType(expression, scope, path);
    case 'and':
    case 'or':
      if (!Array.isArray(expression.of) || expression.of.length === 0)
        fail(`${path}.of`, 'not a list of conditions');
      for (const [i, part] of expression.of.entries()) expectType(part, scope, `${path}.of[${i}]`, 'boolean');
      return 'boolean';
    case 'not':
      expectType(expression.of, scope, `${path}.of`, 'boolean');
      return 'boolean';
    case 'present':
      typeOf(expression.of, scope, `${path}.of`);
      return 'boolean';
    case 'within':
      checkPoint(expression, scope, path);
      checkArea(expression.area, `${path}.area`);
      return 'boolean';
    case 'geohash':
      checkPoint(expression, scope, path);
      checkPrecision(expression.precision, `${path}.precision`);
      return 'string';
    case 'case':
      return caseType(expression, scope, path);
    default:
      return fail(`${path}.op`, `${inWords((expression as { op: string }).op)} is not an operation`);
  }
}

type Rounded = Extract<Expression, { op: 'truncate' | 'floor' | 'ceil' | 'abs' }>;

function roundedType({ op, of }: Rounded, scope: Scope, path: string): ValueType {
  const type = typeOf(of, scope, `${path}.of`);
  if (!isNumeric(type)) fail(`${path}.of`, 'not a number');
  return op === 'truncate' ? 'integer' : type;
}

function checkPrecision(precision: number, path: string): void {
  if (Number.isInteger(precision) && precision >= 1 && precision <= MAX_PRECISION) return;
  fail(path, `${inWords(precision)} is not a precision from 1 to ${MAX_PRECISION}`);
}

const TIME_PARTS: readonly TimePart[] = ['year', 'quarter', 'month', 'week', 'day', 'doy', 'dow', 'isodow', 'hour', 'minute', 'second']; // biome-ignore format: one line

function extractType(e: Extract<Expression, { op: 'extract' }>, scope: Scope, path: string): ValueType {
  if (!TIME_PARTS.includes(e.part))
    fail(`${path}.part`, `${inWords(e.part)} is no part of a time`, `the parts are ${inList(TIME_PARTS)}`);
  if (typeOf(e.of, scope, `${path}.of`) !== 'time') fail(`${path}.of`, 'not a time');
  if (e.time_zone !== undefined) checkTimeZone(e.time_zone, `${path}.time_zone`);
  return 'integer';
}

function fieldType(name: string, scope: Scope, path: string): ValueType {
  const type = scope.get(name);
  if (type) return type;
  const names = [...scope.keys()];
  const meant = nearest(String(name).slice(0, 64), names);
  return fail(
    path,
    `there is no field ${inWords(name)}`,
    `${meant ? `did you mean ${meant}? There are` : 'there are'} ${names.join(', ')}`,
  );
}

function literalType(value: unknown, path: string): ValueType {
  if (typeof value === 'number' && Number.isFinite(value))
    return Number.isInteger(value) ? 'integer' : 'number';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'boolean';
  return fail(path, 'a literal must be a finite number, a string or a boolean');
}

type Binary = Extract<Expression, { left: Expression }>;

function arithmeticType(expression: Binary, scope: Scope, path: string): ValueType {
  const left = typeOf(expression.left, scope, `${path}.left`);
  const right = typeOf(expression.right, scope, `${path}.right`);
  if (expression.op === 'subtract' && left === 'time' && right === 'time') return 'integer';
  if (!isNumeric(left)) fail(`${path}.left`, `${expression.op} needs numbers, but this is a ${left}`);
  if (!isNumeric(right)) fail(`${path}.right`, `${expression.op} needs numbers, but this is a ${right}`);
  return expression.op !== 'divide' && left === 'integer' && right === 'integer' ? 'integer' : 'number';
}

function comparisonType(expression: Binary, scope: Scope, path: string): ValueType {
  const left = typeOf(expression.left, scope, `${path}.left`);
  const right = typeOf(expression.right, scope, `${path}.right`);
  if (left !== right && !(isNumeric(left) && isNumeric(right)))
    fail(path, `cannot compare ${articled(left)} with ${articled(right)}`);
  if (left === 'boolean')
    fail(path, 'conditions cannot be compared', 'combine them with all(), any() and not()');
  if (left !== 'string') return 'boolean';
  if (expression.op !== 'eq' && expression.op !== 'ne')
    fail(path, 'strings can be compared only with eq and ne');
  const literals = [expression.left, expression.right].filter((side) => side.op === 'literal').length;
  if (literals !== 1) fail(path, 'a string can be compared only with a literal');
  return 'boolean';
}

function articled(type: ValueType): string {
  return `${type === 'integer' ? 'an' : 'a'} ${type}`;
}

function caseType(expression: Extract<Expression, { op: 'case' }>, scope: Scope, path: string): ValueType {
  if (!Array.isArray(expression.when) || expression.when.length === 0)
    fail(`${path}.when`, 'not a list of branches');
  const results = expression.when.map((branch, i): [Expression, string] => {
    if (!isObject(branch as unknown))
      fail(`${path}.when[${i}]`, 'not a branch', '{ if: condition, value: expression }');
    onlyParts(branch, ['if', 'value'], `${path}.when[${i}]`, 'a branch');
    expectType(branch.if, scope, `${path}.when[${i}].if`, 'boolean');
    return [branch.value, `${path}.when[${i}].value`];
  });
  if (expression.otherwise !== undefined) results.push([expression.otherwise, `${path}.otherwise`]);
  const types = results.map(([value, where]) => {
    const type = typeOf(value, scope, where);
    if (type === 'string' && value.op !== 'literal') fail(where, 'a string in a case must be a literal');
    if (type === 'boolean') fail(where, 'the value of a case must be a number, a time or a string');
    return type;
  });
  if (types.every((type) => type === types[0])) return types[0]!;
  if (types.every(isNumeric)) return 'number';
  return fail(path, `its branches are of different types: ${[...new Set(types)].join(', ')}`);
}

function checkPoint(expression: { lat: Expression; lon: Expression }, scope: Scope, path: string): void {
  for (const part of ['lat', 'lon'] as const) {
    if (!isNumeric(typeOf(expression[part], scope, `${path}.${part}`)))
      fail(`${path}.${part}`, 'not a number');
  }
}

function checkArea(area: unknown, path: string): void {
  if (!isObject(area)) fail(path, 'not an area', '{ south, north, west, east } in degrees');
  onlyParts(area, ['south', 'north', 'west', 'east'], path, 'an area');
  const { south, north, west, east } = area as Record<string, unknown>;
  const degrees = [south, north, west, east].every(
    (edge) => typeof edge === 'number' && Number.isFinite(edge),
  );
  if (!degrees || (south as number) > (north as number) || (west as number) > (east as number)) {
    fail(path, 'not a box', '{ south ≤ north, west ≤ east } in degrees');
  }
}

function isObject(value: unknown): value is Record<string, unknown> & object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The fields that results of a checked view have behind their times, in order, and their types. */
export function resultTypes({ by, aggregates, top }: View): (readonly [name: string, type: ValueType])[] {
  return [
    ...Object.entries(by).map(([name, e]) => [name, typeOf(e, TRIP_SCOPE, name)] as const),
    ...Object.entries(aggregates).map(
      ([name, { fn, of }]) => [name, AGGREGATES[fn].resultType(of && typeOf(of, TRIP_SCOPE, name))!] as const,
    ),
    ...(top?.rank === undefined ? [] : [[top.rank, 'integer'] as const]),
  ];
}

/** The trip fields a view reads. */
export function fieldsOf({ where, by, aggregates, time }: View): TripField[] {
  const found = new Set<TripField>(time === 'pickup' ? ['pickup_datetime'] : []);
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) for (const part of node) walk(part);
    else if (isObject(node)) {
      if (node['op'] === 'field') found.add(node['name'] as TripField);
      for (const part of Object.values(node)) walk(part);
    }
  };
  walk([where, Object.values(by), Object.values(aggregates)]);
  return [...found];
}
