/** What a view means, in the words of the language alone: every trip looked at, nothing compiled, nothing kept. */
import type { Trip } from '../../src/events/trip.ts';
import { TRIP_FIELDS, type TripField } from '../../src/events/trip.ts';
import type { Aggregate, Expression, View } from '../../src/views/language.ts';

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
    case 'divide': {
      const [a, b] = [number(e.left), number(e.right)];
      if (a === undefined || b === undefined) return undefined;
      const result = { add: a + b, subtract: a - b, multiply: a * b, divide: a / b }[e.op];
      return Number.isFinite(result) ? result : undefined;
    }
    case 'truncate': {
      const value = number(e.of);
      return value === undefined ? undefined : Math.trunc(value);
    }
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

function aggregated(aggregate: Aggregate, trips: readonly Lookup[]): number | undefined {
  const { of: operand } = aggregate;
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

/** All results of a view over trips, in no order. */
export function groupBy(view: View, trips: readonly Trip[]): Record<string, unknown>[] {
  const { size_ms: size } = view.window;
  const slide = view.window.kind === 'sliding' ? view.window.slide_ms : size;
  const groups = new Map<string, { start: number; key: Value[]; trips: Lookup[] }>();
  for (const of of trips.map(lookup)) {
    if (view.where && !evaluate(view.where, of)) continue;
    const key = Object.values(view.by).map((e) => evaluate(e, of));
    if (key.includes(undefined)) continue;
    const time = of('dropoff_datetime') as number;
    for (let start = Math.floor(time / slide) * slide; start + size > time; start -= slide) {
      const id = JSON.stringify([start, ...key]);
      const group = groups.get(id) ?? { start, key, trips: [] };
      group.trips.push(of);
      groups.set(id, group);
    }
  }
  return [...groups.values()].flatMap(({ start, key, trips: own }) => {
    const values = new Map(Object.entries(view.aggregates).map(([name, a]) => [name, aggregated(a, own)]));
    if (view.having && !evaluate(view.having, (name) => values.get(name))) return [];
    const document: Record<string, unknown> = {
      view: view.name,
      window_start: iso(start),
      window_end: iso(start + size),
      timestamp: iso(start + size - 1),
    };
    for (const [i, [name, e]] of Object.entries(view.by).entries()) {
      document[name] = isTime(e) ? iso(key[i] as number) : key[i];
    }
    for (const [name, a] of Object.entries(view.aggregates)) {
      const value = values.get(name);
      const time = (a.fn === 'min' || a.fn === 'max') && isTime(a.of);
      document[name] = value === undefined ? null : time ? iso(value) : value;
    }
    return [document];
  });
}
