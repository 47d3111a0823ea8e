/** C11 under hands that cross: a processor that was replaced, a removal that was stopped, two archives in one place. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import type { TripChunk } from '../../src/engine/kept-trips.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { TripColumns } from '../../src/events/columns.ts';
import { packTrips } from '../../src/events/packed.ts';
import { NUMERIC_FIELDS, STRING_FIELDS } from '../../src/events/trip.ts';
import { type ArchivePlace, placeOfArchive } from '../../src/sinks/archive/place.ts';
import { ArchiveSink } from '../../src/sinks/archive/sink.ts';
import { Database } from '../../src/sqlite.ts';
import { ARCHIVE_SCHEMA, ArchiveTables } from '../../src/state/archive.ts';
import { StateRows } from '../../src/state/rows.ts';
import { temporaryFolder } from '../files.ts';
import { until } from '../until.ts';

const DAY = Date.UTC(2016, 0, 1);

/** Trips of a day, ten seconds apart. */
function chunkOf(count: number, day = 0): TripChunk {
  const columns = new TripColumns(count);
  for (const field of NUMERIC_FIELDS) columns.numbers[field].fill(Number.NaN);
  for (const field of STRING_FIELDS) columns.words[field].fill(-1);
  for (let row = 0; row < count; row++)
    columns.numbers.dropoff_datetime[row] = DAY + day * 86_400_000 + row * 10_000;
  return {
    count,
    trips: packTrips(
      columns,
      Uint32Array.from({ length: count }, (_, row) => row),
    ),
  };
}

function tablesIn(t: TestContext, path: string): ArchiveTables {
  const db = new Database(path);
  t.after(() => db.close());
  return new ArchiveTables(new StateRows(db, 'the state', path));
}

/** A state whose archive has two closed files of ten trips; its path. */
function stateOf(t: TestContext): string {
  const path = join(temporaryFolder(t), 'state.sqlite');
  const db = new Database(path);
  db.exec(ARCHIVE_SCHEMA);
  const tables = new ArchiveTables(new StateRows(db, 'the state', path));
  tables.begin('s3://place', 'app', { ms: 1e9 });
  for (const _ of [1, 2]) tables.add([chunkOf(10)], 0, true);
  db.close();
  return path;
}

function copied(t: TestContext, path: string): ArchiveTables {
  const copy = join(temporaryFolder(t), 'copy.sqlite');
  copyFileSync(path, copy);
  return tablesIn(t, copy);
}

/** A bucket that several sinks see, each through a network of its own. */
class Bucket {
  readonly files = new Map<string, Uint8Array>();
  #owner: string | undefined;

  seen(network: { down: boolean }, tried: () => void = () => {}): ArchivePlace {
    const reach = () => {
      tried();
      if (network.down) throw new TaxiflowError('s3-unreachable', 'the network is down');
    };
    const { files } = this;
    return {
      url: 's3://place',
      names: async function* () {
        yield* [...files.keys()].sort();
      },
      owner: async () => this.#owner,
      own: async (text) => {
        reach();
        const isFree = this.#owner === undefined;
        if (isFree) this.#owner = text;
        return isFree;
      },
      write: async (name, bytes) => {
        reach();
        files.set(name, bytes);
      },
      remove: async (name) => {
        reach();
        files.delete(name);
      },
    };
  }
}

const sinkOf = (place: ArchivePlace, archive: ArchiveTables) =>
  new ArchiveSink({
    ...{ place, archive, app: 'app', interval: 1e9, goesOn: false, clock: systemClock },
    ...{ onTrouble: () => {}, onNote: () => {} },
  });

async function delivered(sink: ArchiveSink): Promise<void> {
  await sink.open();
  sink.wake();
  await sink.close(false);
}

describe('the archive, by several hands', () => {
  it('a processor that was replaced removes nothing of its successor', async (t) => {
    const state = stateOf(t);
    const bucket = new Bucket();
    // The first life writes both files and dies before a head notes it.
    await delivered(sinkOf(bucket.seen({ down: false }), copied(t, state)));
    const network = { down: false };
    let tries = 0;
    const replaced = sinkOf(bucket.seen(network, () => tries++), copied(t, state)); // biome-ignore format: one line
    await replaced.open();
    network.down = true;
    replaced.wake();
    await until('it tries', () => tries > 0);
    const successor = copied(t, state);
    await delivered(sinkOf(bucket.seen({ down: false }), successor));
    assert.deepEqual(successor.status(), { written: 20, pending: 0 });
    const before = [...bucket.files.keys()];
    const asked = tries;
    network.down = false;
    await replaced.close(true);
    assert.equal(tries, asked, 'it asks for nothing once it is stopped');
    assert.deepEqual([...bucket.files.keys()], before);
    assert.equal(before.length, 2);
  });

  it('a removal that was stopped is not taken for done', async (t) => {
    const archive = copied(t, stateOf(t));
    const bucket = new Bucket();
    const stale = ['000001', '000003'].map(
      (number) => `day=2016-01-02/${archive.nameFor('app')}-${number}.parquet`,
    );
    for (const name of stale) bucket.files.set(name, new Uint8Array(1));
    const network = { down: true };
    let tries = 0;
    const stopped = sinkOf(bucket.seen(network, () => tries++), archive); // biome-ignore format: one line
    await stopped.open();
    stopped.wake();
    await until('it tries', () => tries > 0);
    await stopped.close(true);
    assert.deepEqual([...bucket.files.keys()], stale);
    await delivered(sinkOf(bucket.seen({ down: false }), archive));
    assert.deepEqual(
      [...bucket.files.keys()].sort(),
      ['000001', '000002'].map((number) => `day=2016-01-01/${archive.nameFor('app')}-${number}.parquet`),
    );
  });

  it('two that begin in one empty place are told apart by who writes first', async (t) => {
    const bucket = new Bucket();
    const [one, other] = [copied(t, stateOf(t)), copied(t, stateOf(t))];
    const sinks = [one, other].map((archive) => sinkOf(bucket.seen({ down: false }), archive));
    for (const sink of sinks) await sink.open();
    sinks[0]!.wake();
    await sinks[0]!.close(false);
    sinks[1]!.wake();
    await assert.rejects(sinks[1]!.close(false), { code: 'output-in-use' });
    assert.ok([...bucket.files.keys()].every((name) => name.includes(one.nameFor('app'))));
    assert.deepEqual(other.status(), { written: 0, pending: 20 }, 'its trips stay in the state');
  });

  it('closes files within a checkpoint, however much that holds', (t) => {
    const archive = copied(t, stateOf(t));
    archive.begin('s3://place', 'app', { trips: 10 });
    archive.add([chunkOf(10), chunkOf(10), chunkOf(4)], 0, false);
    assert.equal(archive.openFile, 5, 'two more are closed');
    for (const number of [1, 2, 3, 4]) {
      assert.deepEqual(archive.nextClosed(), { number, count: 10 });
      archive.passed({ number, count: 10 });
    }
    assert.equal(archive.nextClosed(), undefined);
    archive.add([], 0, true);
    assert.deepEqual(archive.nextClosed(), { number: 5, count: 4 });
  });

  it('refuses addresses that are none, and repeats no secret of them', () => {
    for (const place of ['gs://bucket/x', 's3:/bucket/x', 'file:///x'])
      assert.throws(() => placeOfArchive(place), { exitCode: 2 });
    assert.throws(
      () => placeOfArchive('s3://KEY:secret@bucket/x'),
      (error: Error) => {
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
    assert.equal(placeOfArchive('s3://bucket/a/b/'), 's3://bucket/a/b');
  });
});
