/** Describes views to the page: which key fields are places, and what the aggregates are of. */
import { AGGREGATES } from '../views/aggregates.ts';
import { TRIP_SCOPE, typeOf } from '../views/check.ts';
import { explainExpression } from '../views/explain.ts';
import type { Aggregate, EventTime, Expression, View } from '../views/language.ts';
import { isPlace } from '../views/places.ts';
import type { AggregateShape, KeyShape, ViewShape } from './page/wire.ts';

/** `eventTime` is that of the job. */
export function shapeOf(view: View, eventTime: EventTime): ViewShape {
  const { name, time = eventTime, window, by, aggregates, having, top } = view;
  return {
    name,
    time,
    window,
    keys: Object.entries(by).map(([key, of]) => keyShape(key, of)),
    aggregates: Object.entries(aggregates).map(([field, aggregate]) => aggregateShape(field, aggregate)),
    isCut: having !== undefined || top !== undefined,
    ...(top ? { top: { n: top.n, ...(top.rank === undefined ? {} : { rank: top.rank }) } } : {}),
  };
}

function keyShape(name: string, of: Expression): KeyShape {
  if (of.op === 'geohash') return { name, kind: 'geohash', ...endOf(of.lat) };
  if (isPlace(of)) return { name, kind: 'zone', ...endOf(of) };
  return { name, kind: 'word', ...(of.op === 'field' ? { field: of.name } : {}) };
}

/** The end of the trip that a field belongs to. */
function endOf(of: Expression): Pick<KeyShape, 'end'> {
  if (of.op !== 'field') return {};
  if (of.name.startsWith('pickup_')) return { end: 'pickup' };
  return of.name.startsWith('dropoff_') ? { end: 'dropoff' } : {};
}

function aggregateShape(name: string, aggregate: Aggregate): AggregateShape {
  const { fn, of, filter } = aggregate;
  const condition = filter ? ` where ${explainExpression(filter)}` : '';
  return {
    name,
    fn,
    ...(of ? { of: `${explainExpression(of)}${condition}` } : {}),
    ...(fn === 'percentile' ? { p: aggregate.p } : {}),
    isTime: AGGREGATES[fn].resultType(of && typeOf(of, TRIP_SCOPE, '')) === 'time',
  };
}
