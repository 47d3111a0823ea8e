/** Which fields of a key are places. Results of all places are added up; those of another field are kept apart. */
import type { Expression, View } from './language.ts';

const ZONES = ['pickup_zone', 'dropoff_zone'];

/** Whether an expression is a place: a geohash or a TLC zone. */
export function isPlace(expression: Expression): boolean {
  return expression.op === 'geohash' || (expression.op === 'field' && ZONES.includes(expression.name));
}

/** Names of the key fields of a view that are not places. */
export function groupFields({ by }: View): string[] {
  return Object.keys(by).filter((name) => !isPlace(by[name]!));
}
