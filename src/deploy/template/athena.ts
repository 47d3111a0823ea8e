/** Views as SQL of Amazon Athena (Trino), over trips that are there once. */

import type { Cells } from '../../flink/expressions.ts';
import { FlinkExpressions } from '../../flink/expressions.ts';
import type { Expression, View } from '../../views/language.ts';
import { type Aggregates, interval } from '../../views/sql/print-expressions.ts';

/** Trino has no geohash either, so cells are computed as for Flink; times it computes otherwise. */
class AthenaExpressions extends FlinkExpressions {
  override difference(from: string, to: string): string {
    return `DATE_DIFF('millisecond', ${from}, ${to})`;
  }

  /** A cast rounds in Trino. */
  override value(e: Expression, aggregates?: Aggregates): string {
    if (e.op !== 'truncate') return super.value(e, aggregates);
    return `CAST(TRUNCATE(${this.value(e.of, aggregates)}) AS BIGINT)`;
  }
}

const EPOCH = "TIMESTAMP '1970-01-01 00:00:00'";

/** A view with tumbling windows, over the columns of a trip in `table`, which has a partition for each `day`. */
export function athenaQuery(view: View, table: string): string {
  const { window, by, where, aggregates, having, time } = view;
  if (window.kind !== 'tumbling' || window.time_zone !== undefined || window.offset_ms)
    throw new Error(`view ${view.name} has no plain tumbling windows`);
  const column = time === 'pickup' ? 'pickup_datetime' : 'dropoff_datetime';
  const cells = new Map<string, Cells>();
  const sql = new AthenaExpressions(view.name, undefined, column, cells);
  const names = Object.keys(by);
  const keys = Object.entries(by).map(([name, e]) => `${sql.value(e)} AS ${name}`);
  const taken = where ? sql.condition(where) : 'TRUE';
  const results = Object.entries(aggregates).map(([name, one]) => `${sql.aggregate(one)} AS ${name}`);
  const after = having ? [`HAVING ${sql.condition(having, aggregates)}`] : [];
  const length = interval(window.size_ms);
  const passed = `CAST(FLOOR(${sql.difference(EPOCH, column)} / ${window.size_ms}E0) AS BIGINT)`;
  // After all is printed, all cells that are used are known.
  const columns = [...cells.values()].flatMap(({ name, x, y }) => [`${x} AS ${name}_x`, `${y} AS ${name}_y`]);
  return [
    `SELECT ${['window_start', `window_start + ${length} AS window_end`, ...names, ...results].join(', ')}`,
    'FROM (',
    `  SELECT *, ${EPOCH} + ${passed} * ${length} AS window_start, ${keys.join(', ')}`,
    `  FROM (SELECT ${['*', ...columns].join(',\n    ')}\n    FROM ${table}`,
    "    WHERE day >= '2009-01-01' -- narrow this to the days you need",
    '  )',
    `  WHERE ${taken}`,
    ')',
    `WHERE ${names.map((name) => `${name} IS NOT NULL`).join(' AND ') || 'TRUE'}`,
    `GROUP BY ${['window_start', ...names].join(', ')}`,
    ...after,
    `ORDER BY ${['window_start', ...names].join(', ')}`,
    '',
  ].join('\n');
}
