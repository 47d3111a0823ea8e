/** What a view means, in the words of the language alone: every trip looked at, nothing compiled, nothing kept. */
import type { Trip } from '../../src/events/trip.ts';
import { TRIP_FIELDS, type TripField } from '../../src/events/trip.ts';
import type { Aggregate, Expression, View, Window } from '../../src/views/language.ts';

type Value = number | string | boolean | undefined;
type Lookup = (name: string) => Value;

const ALPHABET = '0123456789bcdefghjkmnpqrstuvwxyz';

function geohash(lat: number, lon: number, precision: number): string | undefined {
  if (!(Math.abs(lat) <= 90 && Math.abs(lon) <= 180)) return undefined;
  let [south, north, west, east] = [-90, 90, -180, 180];
  let bits = '';
  while (bits.length < precision * 5) {
    if (bits.length % 2 === 0) {
      const middle = (west + east) / 2;
      bits += lon >= middle ? '1' : '0';
      [west, east] = lon >= middle ? [middle, east] : [west, middle];
    } else {
      const middle = (south + north) / 2;
      bits += lat >= middle ? '1' : '0';
      [south, north] = lat >= middle ? [middle, north] : [south, middle];
    }
  }
  return bits.replace(/.{5}/g, (five) => ALPHABET[Number.parseInt(five, 2)]!);
}

/** A part of a time as people read it. */
function partOf(part: string, time: number, timeZone: string): number {
  const shown = new Intl.DateTimeFormat('sv-SE', {
    timeZone,
    dateStyle: 'short',
    timeStyle: 'medium',
  }).format(time);
  const [year, month, day, hour, minute, second] = shown.split(/\D/).map(Number) as number[];
  const date = Date.UTC(year!, month! - 1, day!);
  const weekday = new Date(date).getUTCDay();
  const days = (from: number) => Math.round((date - from) / 86_400_000);
  switch (part) {
    case 'doy':
      return days(Date.UTC(year!, 0, 1)) + 1;
    case 'dow':
      return weekday + 1;
    case 'isodow':
      return weekday === 0 ? 7 : weekday;
    case 'quarter':
      return Math.ceil(month! / 3);
    case 'week': {
      const thursday = date + (4 - (weekday === 0 ? 7 : weekday)) * 86_400_000;
      const firstDay = Date.UTC(new Date(thursday).getUTCFullYear(), 0, 1);
      return 1 + Math.floor((thursday - firstDay) / (7 * 86_400_000));
    }
    default:
      return { year, month, day, hour, minute, second }[part]!;
  }
}

/** The value of an expression; undefined is missing. */
export function evaluate(e: Expression, of: Lookup): Value {
  const number = (part: Expression) => evaluate(part, of) as number | undefined;
  switch (e.op) {
    case 'field':
      return of(e.name);
    case 'literal':
      return e.value;
    case 'add':
    case 'subtract':
    case 'multiply':
    case 'divide':
    case 'modulo': {
      const [a, b] = [number(e.left), number(e.right)];
      if (a === undefined || b === undefined) return undefined;
      const result = { add: a + b, subtract: a - b, multiply: a * b, divide: a / b, modulo: a % b }[e.op];
      return Number.isFinite(result) ? result : undefined;
    }
    case 'truncate':
    case 'floor':
    case 'ceil':
    case 'abs': {
      const value = number(e.of);
      return value === undefined ? undefined : Math[e.op === 'truncate' ? 'trunc' : e.op](value);
    }
    case 'extract': {
      const value = number(e.of);
      return value === undefined ? undefined : partOf(e.part, value, e.time_zone ?? 'UTC');
    }
    case 'instant':
      return e.ms;
    case 'eq':
    case 'ne':
    case 'lt':
    case 'lte':
    case 'gt':
    case 'gte': {
      const [a, b] = [evaluate(e.left, of), evaluate(e.right, of)];
      if (a === undefined || b === undefined) return false;
      return { eq: a === b, ne: a !== b, lt: a < b, lte: a <= b, gt: a > b, gte: a >= b }[e.op];
    }
    case 'and':
      return e.of.every((part) => evaluate(part, of));
    case 'or':
      return e.of.some((part) => evaluate(part, of));
    case 'not':
      return !evaluate(e.of, of);
    case 'present':
      return evaluate(e.of, of) !== undefined;
    case 'within': {
      const [lat, lon] = [number(e.lat), number(e.lon)];
      if (lat === undefined || lon === undefined) return false;
      const { south, north, west, east } = e.area;
      return south <= lat && lat <= north && west <= lon && lon <= east;
    }
    case 'geohash': {
      const [lat, lon] = [number(e.lat), number(e.lon)];
      return lat === undefined || lon === undefined ? undefined : geohash(lat, lon, e.precision);
    }
    case 'case': {
      const branch = e.when.find(({ if: condition }) => evaluate(condition, of));
      const value = branch?.value ?? e.otherwise;
      return value === undefined ? undefined : evaluate(value, of);
    }
  }
}

/** The sum of doubles of ordinary size, exact and rounded once: in units of 2^-300. */
export function exactSum(values: readonly number[]): number {
  let sum = 0n;
  const view = new DataView(new ArrayBuffer(8));
  for (const value of values) {
    view.setFloat64(0, value);
    const bits = view.getBigUint64(0);
    const exponent = Number((bits >> 52n) & 0x7ffn);
    if (value === 0) continue;
    const mantissa = (bits & 0xfffffffffffffn) | 0x10000000000000n;
    const units = mantissa << BigInt(exponent - 1075 + 300);
    sum += value < 0 ? -units : units;
  }
  return Number(sum) / 2 ** 300;
}

function aggregated(aggregate: Aggregate, all: readonly Lookup[]): number | undefined {
  const { of: operand, filter } = aggregate;
  const trips = filter ? all.filter((of) => evaluate(filter, of)) : all;
  if (operand === undefined) return trips.length;
  const values = trips.map((of) => evaluate(operand, of)).filter((value) => value !== undefined);
  if (aggregate.fn === 'count') return values.length;
  if (aggregate.fn === 'count_distinct') return new Set(values).size;
  const numbers = values as number[];
  if (numbers.length === 0) return undefined;
  switch (aggregate.fn) {
    case 'sum':
      return exactSum(numbers);
    case 'avg':
      return exactSum(numbers) / numbers.length;
    case 'min':
      return Math.min(...numbers);
    case 'max':
      return Math.max(...numbers);
    case 'first':
    case 'last': {
      const timed = trips
        .map((of) => [of('dropoff_datetime') as number, evaluate(operand, of) as number] as const)
        .filter(([, value]) => value !== undefined)
        .sort(([t, x], [u, y]) => t - u || x - y);
      return timed.at(aggregate.fn === 'first' ? 0 : -1)![1];
    }
    case 'percentile': {
      const sorted = numbers.sort((a, b) => a - b);
      const place = aggregate.p * (sorted.length - 1);
      const [a, b] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
      return a + (b - a) * (place - Math.floor(place));
    }
    default: {
      const mean = exactSum(numbers) / numbers.length;
      const spread = exactSum(numbers.map((x) => (x - mean) ** 2));
      const n = numbers.length - (aggregate.fn.endsWith('samp') ? 1 : 0);
      if (n === 0) return undefined;
      return aggregate.fn.startsWith('var') ? spread / n : Math.sqrt(spread / n);
    }
  }
}

const isTime = (e: Expression): boolean =>
  (e.op === 'field' && TRIP_FIELDS[e.name as TripField]?.type === 'time') ||
  (e.op === 'case' && e.when.every(({ value }) => isTime(value)));

const iso = (ms: number) => new Date(ms).toISOString();

function lookup(trip: Trip): Lookup {
  return (name) => {
    const value = trip[name as TripField];
    return TRIP_FIELDS[name as TripField]?.type === 'time' && value !== undefined
      ? Date.parse(String(value))
      : value;
  };
}

/** The windows that hold a time, [start, end], epoch ms. */
export function windowsOf(window: Window, time: number): [start: number, end: number][] {
  if (window.kind === 'session' || window.time_zone !== undefined) throw new Error('not of this model');
  const { size_ms: size, offset_ms: offset = 0 } = window;
  const slide = window.kind === 'sliding' ? window.slide_ms : size;
  const found: [number, number][] = [];
  for (
    let start = Math.floor((time - offset) / slide) * slide + offset;
    start + size > time;
    start -= slide
  ) {
    if (window.kind !== 'cumulating') found.push([start, start + size]);
    else
      for (let end = start + window.step_ms; end <= start + size; end += window.step_ms)
        if (end > time) found.push([start, end]);
  }
  return found;
}

/** All results of a view over trips, in no order. */
export function groupBy(view: View, trips: readonly Trip[]): Record<string, unknown>[] {
  const groups = new Map<string, { start: number; end: number; key: Value[]; trips: Lookup[] }>();
  for (const of of trips.map(lookup)) {
    if (view.where && !evaluate(view.where, of)) continue;
    const key = Object.values(view.by).map((e) => evaluate(e, of));
    if (key.includes(undefined)) continue;
    const time = of('dropoff_datetime') as number;
    for (const [start, end] of windowsOf(view.window, time)) {
      const id = JSON.stringify([start, end, ...key]);
      const group = groups.get(id) ?? { start, end, key, trips: [] };
      group.trips.push(of);
      groups.set(id, group);
    }
  }
  return [...groups.values()].flatMap(({ start, end, key, trips: own }) => {
    const values = new Map(Object.entries(view.aggregates).map(([name, a]) => [name, aggregated(a, own)]));
    if (view.having && !evaluate(view.having, (name) => values.get(name))) return [];
    const document: Record<string, unknown> = {
      view: view.name,
      window_start: iso(start),
      window_end: iso(end),
      timestamp: iso(end - 1),
    };
    for (const [i, [name, e]] of Object.entries(view.by).entries()) {
      document[name] = isTime(e) ? iso(key[i] as number) : key[i];
    }
    for (const [name, a] of Object.entries(view.aggregates)) {
      const value = values.get(name);
      const time = ['min', 'max', 'first', 'last'].includes(a.fn) && isTime(a.of!);
      document[name] = value === undefined ? null : time ? iso(value) : value;
    }
    return [document];
  });
}

export interface ModelTotals {
  /** Epoch ms. */
  readonly end: number;
  readonly keys: number;
  readonly all: ModelSums;
  readonly groups: readonly ({ readonly key: readonly unknown[] } & ModelSums)[] | null;
}

interface ModelSums {
  readonly values: Readonly<Record<string, unknown>>;
  readonly of: Readonly<Record<string, unknown>>;
}

const TELLS_NO_COUNT = ['min', 'max', 'first', 'last', 'count_distinct'];
const isPlace = (e: Expression) =>
  e.op === 'geohash' || (e.op === 'field' && /^(pickup|dropoff)_zone$/.test(e.name));
const isBefore = (a: readonly unknown[], b: readonly unknown[]): boolean => {
  const i = a.findIndex((value, part) => value !== b[part]);
  return i >= 0 && (a[i] as number) < (b[i] as number);
};

/** Totals of each window over all trips that have the whole key: of all, and by the fields of the key that are not places. */
export function totalsOf({ having: _, top: __, ...view }: View, trips: readonly Trip[]): ModelTotals[] {
  const own = trips.filter((trip) => groupBy(view, [trip]).length > 0);
  const endOf = (document: Record<string, unknown>) => Date.parse(String(document['window_end']));
  const by = Object.fromEntries(Object.entries(view.by).filter(([, e]) => !isPlace(e)));
  const fields = Object.keys(by);
  const counts = Object.entries(view.aggregates).map(([name, a]): [string, Aggregate] => [
    name,
    { fn: 'count', ...(a.of && { of: a.of }), ...(a.filter && { filter: a.filter }) },
  ]);
  const sums = (key: View['by']) => {
    const made = groupBy({ ...view, by: key, aggregates: Object.fromEntries(counts) }, own);
    return groupBy({ ...view, by: key }, own).map((document, i) => {
      const of = (name: string) =>
        TELLS_NO_COUNT.includes(view.aggregates[name]!.fn) ? null : made[i]![name];
      const names = Object.keys(view.aggregates);
      return {
        end: endOf(document),
        key: Object.keys(key).map((name) => document[name]),
        values: Object.fromEntries(names.map((name) => [name, document[name]])),
        of: Object.fromEntries(names.map((name) => [name, of(name)])),
      };
    });
  };
  const keys = groupBy(view, own).map(endOf);
  const groups = fields.length > 0 ? sums(by) : [];
  return sums({}).map(({ end, values, of }) => {
    const found = groups
      .filter((group) => group.end === end)
      .map(({ end: _, ...group }) => group)
      .sort((a, b) => (isBefore(a.key, b.key) ? -1 : 1));
    return {
      end,
      keys: keys.filter((one) => one === end).length,
      all: { values, of },
      groups: found.length > 64 ? null : found,
    };
  });
}
