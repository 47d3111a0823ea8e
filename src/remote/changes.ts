/**
 * The rows of a state that changed since they were last taken, found by triggers of this connection, and written as an SQLite file:
 * each changed row under the name of its table, and keys of rows that are gone under `gone_` and its name.
 */
import { type Sqlite, transaction } from '../sqlite.ts';

/** Names of the tables of states, which go into statements. */
const TABLE = /^[a-z_]+$/;

interface Table {
  readonly name: string;
  /** Columns of its primary key. */
  readonly key: readonly string[];
}

function tablesOf(db: Sqlite, schema = 'main'): Table[] {
  const names = (
    db
      .prepare(
        `SELECT name FROM ${schema}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`,
      )
      .pluck()
      .all() as string[]
  ).filter((name) => TABLE.test(name));
  return names.map((name) => ({
    name,
    key: db
      .prepare('SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk')
      .pluck()
      .all(name) as string[],
  }));
}

const same = (columns: readonly string[], prefix: string) =>
  columns.map((column) => `"${column}" = ${prefix}"${column}"`).join(' AND ');

const listed = (columns: readonly string[], prefix = '') =>
  columns.map((column) => `${prefix}"${column}"`).join(', ');

export class Changes {
  readonly #db: Sqlite;
  readonly #tables: readonly Table[];

  constructor(db: Sqlite) {
    this.#db = db;
    this.#tables = tablesOf(db);
    db.pragma('temp_store = MEMORY');
    for (const { name, key } of this.#tables) {
      if (key.length === 0) throw new Error(`the table ${name} has no primary key`);
      db.exec(
        `CREATE TEMP TABLE changed_${name} (${listed(key)}, PRIMARY KEY (${listed(key)})) WITHOUT ROWID`,
      );
      // OR IGNORE would not do: in a trigger, the conflict clause of the statement that fires it counts instead.
      for (const [event, row] of [['INSERT', 'NEW'], ['UPDATE', 'NEW'], ['DELETE', 'OLD']] as const) // biome-ignore format: one line
        db.exec(
          `CREATE TEMP TRIGGER changed_${name}_${event} AFTER ${event} ON main.${name}
           BEGIN INSERT INTO changed_${name} SELECT ${listed(key, `${row}.`)}
             WHERE NOT EXISTS (SELECT 1 FROM changed_${name} WHERE ${same(key, `${row}.`)}); END`,
        );
    }
  }

  /** Takes the rows changed since the last call, as they are now; undefined if there are none. Outside a transaction. */
  take(): Buffer | undefined {
    const db = this.#db;
    db.exec("ATTACH ':memory:' AS taken");
    try {
      const isAny = transaction(db, () => this.#move());
      return isAny ? db.serialize({ attached: 'taken' }) : undefined;
    } finally {
      db.exec('DETACH taken');
    }
  }

  #move(): boolean {
    const db = this.#db;
    let isAny = false;
    for (const { name, key } of this.#tables) {
      const changed = db.prepare(`SELECT count(*) FROM changed_${name}`).pluck().get() as number;
      if (changed === 0) continue;
      isAny = true;
      const columns = listed(key);
      db.exec(
        `CREATE TABLE taken.${name} AS SELECT t.* FROM changed_${name} JOIN main.${name} t USING (${columns});
         CREATE TABLE taken.gone_${name} AS SELECT ${columns} FROM changed_${name} c
           WHERE NOT EXISTS (SELECT 1 FROM main.${name} t WHERE ${key.map((column) => `t."${column}" = c."${column}"`).join(' AND ')});
         DELETE FROM changed_${name};`,
      );
    }
    return isAny;
  }
}

/** Applies the changes in the SQLite file `path` to a state. */
export function applyChanges(db: Sqlite, path: string): void {
  const tables = tablesOf(db);
  db.prepare('ATTACH ? AS taken').run(path);
  try {
    const there = new Set(tablesOf(db, 'taken').map(({ name }) => name));
    transaction(db, () => {
      for (const { name, key } of tables) {
        const columns = listed(key);
        if (there.has(`gone_${name}`))
          db.exec(
            `DELETE FROM main.${name} WHERE (${columns}) IN (SELECT ${columns} FROM taken.gone_${name})`,
          );
        if (there.has(name)) db.exec(`INSERT OR REPLACE INTO main.${name} SELECT * FROM taken.${name}`);
      }
    });
  } finally {
    db.exec('DETACH taken');
  }
}
