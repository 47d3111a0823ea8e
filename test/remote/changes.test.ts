/** Changes of a state, taken now and then and applied to a copy, make the copy the state. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import { applyChanges, Changes } from '../../src/remote/changes.ts';
import { Database } from '../../src/sqlite.ts';
import { statePath } from '../../src/state/files.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';

const SEED = 3;

function rowsOf(path: string): Record<string, unknown[]> {
  const db = new Database(path, { readonly: true });
  const tables = db
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .pluck()
    .all() as string[];
  const sorted = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).sort();
  const all = Object.fromEntries(
    tables.map((name) => [name, sorted(db.prepare(`SELECT * FROM ${name}`).all())]),
  );
  db.close();
  return all;
}

async function stateOf(t: TestContext): Promise<string> {
  const dataDir = temporaryFolder(t);
  await (await openProcessor({ dataDir, app: 'job', untilEnd: true })).run();
  return statePath(dataDir, 'job');
}

describe('changes of a state', () => {
  it('bring a copy up to date: rows added, changed, replaced and gone, in every table', async (t) => {
    const path = await stateOf(t);
    const copy = join(temporaryFolder(t), 'copy.sqlite');
    const db = new Database(path);
    t.after(() => db.close());
    db.pragma('wal_checkpoint(TRUNCATE)');
    copyFileSync(path, copy);
    const changes = new Changes(db);
    assert.equal(changes.take(), undefined, 'nothing has changed');
    const random = randomNumbers(SEED);
    const n = (most: number) => Math.floor(random() * most);
    const steps: readonly (() => void)[] = [
      () => db.prepare('INSERT OR REPLACE INTO panes VALUES (?, ?, ?, 0, ?, ?, NULL, ?, ?)').run(`v${n(3)}`, n(4), n(4), 'panes', n(3), n(100), Buffer.from([n(9)])),
      () => db.prepare('DELETE FROM panes WHERE view = ? AND window_start = ?').run(`v${n(3)}`, n(4)),
      () => db.prepare('INSERT OR IGNORE INTO firings VALUES (?, 1, ?, ?, 0, 0, ?)').run(n(1_000), 'v', n(5), '[{}]'),
      () => db.prepare('DELETE FROM firings WHERE window_start = ?').run(n(5)),
      () => db.prepare('INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, 0)').run(`s${n(2)}`, n(50), '{}'),
      () => db.prepare('INSERT OR REPLACE INTO seen_pages VALUES (?, ?, ?, 0, ?)').run('r', n(4), n(1e6) / 7, Buffer.from([n(9), 255])),
      () => db.prepare('DELETE FROM seen_pages WHERE page = ?').run(n(4)),
      () => db.prepare('INSERT OR REPLACE INTO seen_ranges VALUES (?, ?, ?, 0)').run('r', n(9), n(99)),
      () => db.prepare('INSERT INTO dead_letters (scope, reason, source, position, detail, raw, at) VALUES (?, ?, ?, ?, ?, ?, ?)').run('', 'x', 's', 'p', 'd', String(n(9)), 't'),
      () => { for (let i = 0; i < 3; i++) db.prepare("INSERT INTO dead_letter_counts VALUES ('', ?, 1, 1) ON CONFLICT DO UPDATE SET count = count + 1").run(`r${n(2)}`); },
      () => db.prepare('INSERT OR REPLACE INTO archive_trips VALUES (?, ?, 1, 0, ?)').run(n(3), n(9), Buffer.from([n(9)])),
      () => db.prepare('DELETE FROM archive_trips WHERE file = ?').run(n(3)),
      () => db.prepare('DELETE FROM dead_letters WHERE raw = ?').run(String(n(9))),
      () => db.prepare('UPDATE run SET status = ?').run(String(n(9))),
      () => db.prepare("INSERT OR REPLACE INTO checkpoint VALUES (1, ?, 't', 0, ?)").run(n(99), '{}'),
    ]; // biome-ignore format: a step a line
    const target = new Database(copy);
    t.after(() => target.close());
    let taken = 0;
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < n(12); i++) steps[n(steps.length)]!();
      const bytes = changes.take();
      if (!bytes) continue;
      taken++;
      const file = join(temporaryFolder(t), 'changes');
      writeFileSync(file, bytes);
      applyChanges(target, file);
      assert.deepEqual(rowsOf(copy), rowsOf(path), `round ${round}`);
      applyChanges(target, file);
      assert.deepEqual(rowsOf(copy), rowsOf(path), 'applied twice is applied once');
    }
    assert.ok(taken > 40);
  });

  it('are all there the next time where they could not be taken', async (t) => {
    const db = new Database(await stateOf(t));
    t.after(() => db.close());
    const changes = new Changes(db);
    db.exec("UPDATE run SET status = 'x'");
    const exec = db.exec.bind(db);
    db.exec = (sql) => {
      if (sql.includes('CREATE TABLE taken.run')) throw new Error('read error');
      return exec(sql);
    };
    assert.throws(() => changes.take(), /read error/, 'what went wrong, not what followed from it');
    assert.equal(db.inTransaction, false);
    db.exec = exec;
    const taken = new Database(changes.take()!);
    t.after(() => taken.close());
    assert.equal(taken.prepare('SELECT status FROM run').pluck().get(), 'x');
  });
});
