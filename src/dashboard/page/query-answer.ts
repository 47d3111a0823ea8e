/** What the server answers to a query, as JSON. */

export type ColumnType = 'INTEGER' | 'REAL' | 'TEXT' | 'BLOB' | 'NULL';

export interface QueryRows {
  /** Types are those of the values that came; a column without any is `NULL`. */
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
  readonly rows: readonly (readonly (string | number | null)[])[];
  /** Whether there are more rows. */
  readonly cut: boolean;
  readonly ms: number;
}

/** To a query without SQL. */
export interface QueryTables {
  readonly tables: readonly {
    readonly table: string;
    readonly view: string;
    readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
  }[];
}

export interface QueryFailure {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string | undefined };
}

export type QueryAnswer = QueryRows | QueryTables | QueryFailure;
