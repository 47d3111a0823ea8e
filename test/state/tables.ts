/** The tables of views as any SQLite tool reads them: from the file, without code of taxiflow. */
import { Database } from '../../src/sqlite.ts';
import type { StateReader } from '../../src/state/reader.ts';

/** All rows of the tables of a state as result documents, sorted. */
export function tableLines(reader: StateReader): string[] {
  const db = new Database(reader.path, { readonly: true });
  try {
    return reader
      .tables()
      .flatMap(({ name, view }) =>
        (db.prepare(`SELECT * FROM main.${name}`).all() as object[]).map((row) =>
          JSON.stringify({ view, ...row }),
        ),
      )
      .sort();
  } finally {
    db.close();
  }
}

/** The same of what `taxiflow results` prints. */
export function resultLines(reader: StateReader): string[] {
  return [...reader.results()].map((row) => JSON.stringify(row)).sort();
}
