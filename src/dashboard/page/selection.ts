/** What is chosen of a view: one of its figures, words of its keys, and pinned areas or keys. */
import type { Choice } from './address.ts';
import type { Filter } from './figures.ts';
import { firstMetric, keysOf, type Metric, metricsOf } from './metrics.ts';
import type { ViewShape } from './wire.ts';

export interface Selection {
  readonly shape: ViewShape;
  readonly metrics: readonly Metric[];
  readonly metric: Metric;
  /** By number of the key field among those that are no place. */
  readonly words: Filter;
  /** Codes of areas, or names of keys. */
  readonly pins: readonly string[];
}

/** What an address chooses of a view; `nonsense` says in words what it has not. Undefined for a view without figures. */
export function selectionOf(
  shape: ViewShape,
  { figure, pins, filter }: Choice,
  nonsense: string[],
): Selection | undefined {
  const metrics = metricsOf(shape);
  const chosen = metrics.find(({ name }) => name === figure);
  if (figure !== undefined && !chosen) nonsense.push(`${shape.name} has no figure “${figure}”`);
  const metric = chosen ?? firstMetric(shape, metrics);
  if (!metric) return undefined;
  const keys = keysOf(shape).map(({ name }) => name);
  const words = new Map<number, string>();
  for (const [name, word] of filter) {
    if (keys.includes(name)) words.set(keys.indexOf(name), word);
    else nonsense.push(`${shape.name} has no key “${name}”`);
  }
  return { shape, metrics, metric, words, pins };
}

/** What is chosen, for an address: only what a view doesn't begin with. */
export function choiceOf({
  shape,
  metrics,
  metric,
  words,
  pins,
}: Selection): Pick<Choice, 'figure' | 'pins' | 'filter'> {
  const keys = keysOf(shape);
  return {
    ...(metric === firstMetric(shape, metrics) ? {} : { figure: metric.name }),
    pins,
    filter: new Map([...words].map(([at, word]) => [keys[at]!.name, word])),
  };
}
