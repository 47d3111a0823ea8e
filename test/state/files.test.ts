/** taxiflow's own files: one name each, private to their owner. */
import assert from 'node:assert/strict';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { Duplicates } from '../../src/engine/duplicates.ts';
import { NO_COUNTS } from '../../src/engine/state-store.ts';
import { statePath } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import { SqliteState } from '../../src/state/store.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';

const IDENTITY = { stream: 'local:a (1)', views: '[]', settings: 'x' };
const open = (dataDir: string, app: string) => SqliteState.open({ dataDir, app, identity: IDENTITY });
const commit = (state: SqliteState) =>
  state.commit({
    watermark: 1,
    counters: NO_COUNTS,
    shards: [],
    blocks: [],
    gone: [],
    closedUpTo: {},
    firings: [],
    duplicates: new Duplicates().takeChanges(0, () => false),
    deadLetters: new DeadLetterBuffer(1).take(),
  });

describe('a state has one name (C4)', () => {
  for (const [how, link] of [
    ['a symbolic link', symlinkSync],
    ['a hard link', linkSync],
  ] as const) {
    it(`and is refused under another by ${how}, running or not`, (t) => {
      const dataDir = temporaryFolder(t);
      const state = open(dataDir, 'one');
      commit(state);
      link(statePath(dataDir, 'one'), statePath(dataDir, 'two'));
      assert.throws(() => open(dataDir, 'two'), { code: 'linked-file', hint: /remove the link/ });
      commit(state);
      state.close();
      assert.throws(() => open(dataDir, 'two'), { code: 'linked-file' });
      assert.throws(() => new StateReader(dataDir, 'two'), { code: 'linked-file' });
      rmSync(statePath(dataDir, 'two'));
      open(dataDir, 'one').close();
    });
  }

  it('also by a dangling link, and by links beside it, which are not followed', (t) => {
    const dataDir = temporaryFolder(t);
    open(dataDir, 'one').close();
    const elsewhere = join(dataDir, 'elsewhere');
    for (const suffix of ['', '-wal', '-shm', '.lock']) {
      symlinkSync(elsewhere, statePath(dataDir, `x${suffix.length}`) + suffix);
      assert.throws(() => open(dataDir, `x${suffix.length}`), { code: 'linked-file' }, suffix);
    }
    assert.equal(existsSync(elsewhere), false);
  });

  it('while folders may have several, which share one lock', (t) => {
    const folder = temporaryFolder(t);
    const dataDir = join(folder, 'data');
    const state = open(dataDir, 'one');
    symlinkSync(dataDir, join(folder, 'other'));
    mkdirSync(join(folder, 'third'));
    symlinkSync(join(dataDir, 'apps'), join(folder, 'third', 'apps'));
    for (const name of ['other', 'third'])
      assert.throws(() => open(join(folder, name), 'one'), { code: 'app-running' });
    state.close();
    open(join(folder, 'other'), 'one').close();
  });

  it('and takes no commit once it has lost it', (t) => {
    for (const lose of [
      (path: string) => rmSync(path),
      (path: string) => renameSync(path, `${path}.old`),
      (path: string) => {
        renameSync(path, `${path}.old`);
        writeFileSync(path, '');
      },
    ]) {
      const dataDir = temporaryFolder(t);
      const state = open(dataDir, 'one');
      commit(state);
      lose(state.path);
      assert.throws(() => commit(state), { code: 'state-gone', hint: /put it back/ });
      state.close();
    }
  });
});

describe('files that taxiflow creates', { skip: process.platform === 'win32' }, () => {
  it('are accessible only to their owner', async (t) => {
    const cwd = temporaryFolder(t);
    for (const args of [
      ['replay', fixture('yellow-2015.csv'), '--speedup', 'max'],
      ['process', '--until-end', '--drain'],
      ['doctor'],
    ]) {
      const { code, stderr } = await taxiflow(args, { cwd });
      assert.equal(code, 0, stderr);
    }
    const found = ['.', ...(readdirSync(join(cwd, '.taxiflow'), { recursive: true }) as string[])].sort();
    assert.ok(found.length > 6, found.join());
    for (const name of found) {
      const { mode } = statSync(join(cwd, '.taxiflow', name));
      assert.equal(mode & 0o077, 0, name);
    }
  });

  it('never replace the target of a link', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(join(cwd, 'precious'), 'mine');
    mkdirSync(join(cwd, '.taxiflow', 'streams'), { recursive: true });
    for (const name of ['streams/x.sqlite', 'replays.sqlite']) {
      symlinkSync(join(cwd, 'precious'), join(cwd, '.taxiflow', name));
      const { code, stderr } = await taxiflow(
        ['replay', fixture('yellow-2015.csv'), '--speedup', 'max', '--stream', 'local:x'],
        { cwd },
      );
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^Error: .* is a symbolic link: .*\nTry: /m);
      rmSync(join(cwd, '.taxiflow', name));
    }
    assert.equal(statSync(join(cwd, 'precious')).size, 4);
  });
});
