/** The rules of CloudWatch's embedded metric format, as Amazon's specification has them, and sums over its lines. */
import assert from 'node:assert/strict';

const RATES = ['Bytes', 'Kilobytes', 'Megabytes', 'Gigabytes', 'Terabytes'];
const BITS = ['Bits', 'Kilobits', 'Megabits', 'Gigabits', 'Terabits'];
const UNITS = new Set([
  ...['Seconds', 'Microseconds', 'Milliseconds', 'Percent', 'Count', 'Count/Second', 'None'],
  ...[...RATES, ...BITS].flatMap((unit) => [unit, `${unit}/Second`]),
]);
const MOST_BYTES = 1_048_576;
const MOST_DIMENSIONS = 30;
const MOST_METRICS = 100;
const TWO_WEEKS = 14 * 86_400_000;
const TWO_HOURS = 2 * 3_600_000;

interface Directive {
  readonly Namespace: string;
  readonly Dimensions: readonly (readonly string[])[];
  readonly Metrics: readonly {
    readonly Name: string;
    readonly Unit?: string;
    readonly StorageResolution?: number;
  }[];
}

export interface EmfLine {
  readonly namespace: string;
  readonly dimensionSets: readonly (readonly string[])[];
  readonly dimensions: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, number>>;
  readonly units: Readonly<Record<string, string | undefined>>;
  /** Epoch ms. */
  readonly at: number;
}

/** Parses a line and checks it; `now` is epoch ms. */
export function checkedEmf(line: string, now = Date.now()): EmfLine {
  assert.ok(!/[\r\n]/.test(line), 'one line');
  assert.ok(Buffer.byteLength(line) <= MOST_BYTES, 'too long');
  const root = JSON.parse(line) as Record<string, unknown>;
  const { Timestamp: at, CloudWatchMetrics: directives } = root['_aws'] as {
    Timestamp: number;
    CloudWatchMetrics: Directive[];
  };
  assert.ok(Number.isSafeInteger(at) && at >= 0, 'Timestamp is epoch ms');
  assert.ok(
    at >= now - TWO_WEEKS && at <= now + TWO_HOURS,
    'CloudWatch drops what is too old or in the future',
  );
  assert.equal(directives.length, 1);
  const [{ Namespace: namespace, Dimensions: sets, Metrics: metrics }] = directives as [Directive];
  checkName(namespace);
  assert.match(namespace, /^[^:].*/);
  assert.ok(sets.length > 0);
  for (const set of sets) {
    assert.ok(set.length <= MOST_DIMENSIONS);
    assert.equal(new Set(set).size, set.length);
    for (const name of set) checkDimension(name, root[name]);
  }
  assert.ok(metrics.length > 0 && metrics.length <= MOST_METRICS);
  assert.equal(new Set(metrics.map(({ Name }) => Name)).size, metrics.length, 'a metric is named once');
  for (const { Name, Unit, StorageResolution } of metrics) {
    checkName(Name);
    assert.ok(Unit === undefined || UNITS.has(Unit), `${Unit} is no unit`);
    assert.ok([undefined, 1, 60].includes(StorageResolution));
    const value = root[Name];
    assert.ok(typeof value === 'number' && Number.isFinite(value), `${Name} is ${value}`);
  }
  const named = new Set(['_aws', ...sets.flat(), ...metrics.map(({ Name }) => Name)]);
  assert.deepEqual(
    Object.keys(root).filter((key) => !named.has(key)),
    [],
    'nothing else is on the line',
  );
  return {
    namespace,
    dimensionSets: sets,
    dimensions: Object.fromEntries(sets.flat().map((name) => [name, root[name] as string])),
    metrics: Object.fromEntries(metrics.map(({ Name }) => [Name, root[Name] as number])),
    units: Object.fromEntries(metrics.map(({ Name, Unit }) => [Name, Unit])),
    at,
  };
}

function checkName(name: string): void {
  assert.ok(name.trim() !== '' && name.length <= 1_024, `${name} is no name`);
}

function checkDimension(name: string, value: unknown): void {
  assert.ok(name.length >= 1 && name.length <= 250 && !name.startsWith(':'));
  assert.ok(typeof value === 'string' && value.trim() !== '' && value.length <= 1_024, `${name} is ${value}`);
  assert.match(value, /^[ -~]*$/, 'ASCII');
}

/** The lines of a command's stdout that are metrics, each checked. */
export function emfIn(stdout: string): EmfLine[] {
  return stdout
    .split('\n')
    .filter((line) => line.includes('"_aws"'))
    .map((line) => checkedEmf(line));
}

/** The sum of each count over all lines. */
export function sums(lines: readonly EmfLine[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { metrics, units } of lines)
    for (const [name, value] of Object.entries(metrics))
      if (units[name] === 'Count') total[name] = (total[name] ?? 0) + value;
  return total;
}
