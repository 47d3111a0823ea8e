/** The parts of a file of SQL views, as they are written. */

/** An expression; `at` is the offset of its first character. */
export type Node = { readonly at: number } & (
  | { readonly kind: 'number'; readonly value: number; readonly isWhole: boolean }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'null' }
  | { readonly kind: 'timestamp'; readonly text: string }
  | { readonly kind: 'name'; readonly name: string; readonly table?: string | undefined }
  | Call
  | {
      readonly kind: 'arithmetic';
      readonly op: '+' | '-' | '*' | '/' | '%';
      readonly left: Node;
      readonly right: Node;
    }
  | { readonly kind: 'negative'; readonly of: Node }
  | { readonly kind: 'comparison'; readonly op: Comparison; readonly left: Node; readonly right: Node }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Node[] }
  | { readonly kind: 'not'; readonly of: Node }
  | {
      readonly kind: 'between';
      readonly of: Node;
      readonly low: Node;
      readonly high: Node;
      readonly negated: boolean;
    }
  | { readonly kind: 'in'; readonly of: Node; readonly list: readonly Node[]; readonly negated: boolean }
  | {
      readonly kind: 'is';
      readonly of: Node;
      readonly what: 'null' | 'true' | 'false' | 'unknown';
      readonly negated: boolean;
    }
  | {
      readonly kind: 'case';
      readonly when: readonly (readonly [condition: Node, value: Node])[];
      readonly otherwise?: Node | undefined;
    }
  | { readonly kind: 'cast'; readonly of: Node; readonly type: string }
  | { readonly kind: 'extract'; readonly part: string; readonly partAt: number; readonly of: Node }
);

export type Comparison = 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte';

export interface Call {
  readonly at: number;
  readonly kind: 'call';
  /** In upper case. */
  readonly name: string;
  readonly args: readonly Node[];
  readonly star: boolean;
  readonly distinct: boolean;
  readonly filter?: Node | undefined;
  readonly over?: { readonly partition: readonly Node[]; readonly order: readonly Ordered[] } | undefined;
}

export interface Ordered {
  readonly of: Node;
  readonly descending: boolean;
}

export interface Item {
  readonly at: number;
  /** Undefined for `*`. */
  readonly of: Node | undefined;
  readonly alias: string | undefined;
}

export interface Query {
  readonly at: number;
  readonly items: readonly Item[];
  readonly from: Source;
  readonly where: Node | undefined;
  readonly group: readonly Node[] | undefined;
  readonly having: Node | undefined;
}

export type Source = { readonly at: number; readonly alias?: string | undefined } & (
  | { readonly kind: 'table'; readonly name: string }
  | { readonly kind: 'query'; readonly query: Query }
  | WindowFunction
);

/** A window table-valued function. */
export interface WindowFunction {
  readonly at: number;
  readonly alias?: string | undefined;
  readonly kind: 'window';
  readonly name: 'TUMBLE' | 'HOP' | 'CUMULATE' | 'SESSION';
  readonly table: string;
  readonly tableAt: number;
  readonly partition: readonly Node[];
  /** The column of the descriptor. */
  readonly time: Node;
  /** By the name of the argument: SIZE, SLIDE, STEP, GAP, OFFSET; ms. */
  readonly intervals: Readonly<Record<string, Interval>>;
}

export interface Interval {
  readonly at: number;
  readonly ms: number;
}

export type Statement =
  | { readonly kind: 'view'; readonly at: number; readonly name: string; readonly query: Query }
  | {
      readonly kind: 'set';
      readonly at: number;
      readonly name: string;
      readonly value: string;
      readonly valueAt: number;
    };

/** Ms of the units of intervals and of TIMESTAMPDIFF. */
export const UNIT_MS: Readonly<Record<string, number>> = {
  MILLISECOND: 1,
  SECOND: 1_000,
  MINUTE: 60_000,
  HOUR: 3_600_000,
  DAY: 86_400_000,
  WEEK: 7 * 86_400_000,
};
