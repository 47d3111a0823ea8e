/** A state in S3: other processors take it over, in other folders, and nothing is lost or doubled (C8). */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type HeadContent, readHead } from '../../src/remote/head.ts';
import { ObjectStore } from '../../src/s3/object-store.ts';
import { StateReader } from '../../src/state/reader.ts';
import { tumbling } from '../../src/views/language.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { type Ran, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';
import { type Ministack, startMinistack, storeObject, withoutMinistack } from './ministack.ts';

const TRIPS = 60_000;
/** Kills in the suite; `ROUNDS=200` for a search. */
const ROUNDS = Number(process.env['ROUNDS'] ?? 12);
const APP = 'job';
const SEED = Number(process.env['SEED'] ?? 7);
/** Checkpoints come fast, so that little work is between two kills. */
const FAST = ['--checkpoint-interval', '20ms', '--state-interval', '30ms'];

interface Line {
  readonly ministack: Ministack;
  /** Folder with a stream of `TRIPS` trips. */
  readonly source: string;
  /** Results of a run that nobody disturbed. */
  readonly expected: string;
  readonly store: ObjectStore;
  /** Makes a folder with the same stream, as another machine has it. */
  machine(): string;
}

/** Brings the stream of a folder to so many trips. */
async function grow(dataDir: string, trips: number): Promise<void> {
  const limit = ['--limit', String(trips), '--resume', '--speedup', 'max'];
  const replayed = await taxiflow(['replay', ...limit, '--data-dir', dataDir]);
  assert.equal(replayed.code, 0, replayed.stderr);
}

async function lineOf(t: TestContext, trips = TRIPS): Promise<Line> {
  const ministack = await startMinistack(t);
  Object.assign(process.env, ministack.env);
  await storeObject(ministack, 'states', 'notes.md', 'no state');
  const source = temporaryFolder(t);
  await grow(source, trips);
  const straight = await taxiflow([
    'process',
    '--until-end',
    '--drain',
    '--app',
    'straight',
    '--data-dir',
    source,
  ]);
  assert.equal(straight.code, 0, straight.stderr);
  const store = await ObjectStore.open('states', { endpointUrl: ministack.endpoint });
  return {
    ministack,
    source,
    expected: await resultsOf(source, 'straight'),
    store,
    machine: () => {
      const folder = join(temporaryFolder(t), 'data');
      mkdirSync(folder);
      cpSync(join(source, 'streams'), join(folder, 'streams'), { recursive: true });
      return folder;
    },
  };
}

async function resultsOf(dataDir: string, app = APP): Promise<string> {
  const ran = await taxiflow(['results', '--app', app, '--data-dir', dataDir, '--format', 'ndjson']);
  assert.equal(ran.code, 0, ran.stderr);
  return ran.stdout;
}

/** Totals of all views, as they are stored. */
function totalsOf(dataDir: string, app = APP): string[] {
  const reader = new StateReader(dataDir, app);
  try {
    const totals = reader.views().flatMap((view) => [...reader.totals(view)]);
    assert.ok(totals.length > 0);
    return totals.map((one) => JSON.stringify(one));
  } finally {
    reader.close();
  }
}

function process_(
  { ministack }: Line,
  dataDir: string,
  more: readonly string[] = [],
  onStart: (child: ChildProcess) => void = () => {},
): Promise<Ran> {
  const state = ['--state', 's3://states/jobs', '--endpoint-url', ministack.endpoint];
  return taxiflow(
    [
      'process',
      '--stream',
      'local:taxi-trip-events',
      '--app',
      APP,
      '--data-dir',
      dataDir,
      ...state,
      ...FAST,
      ...more,
    ],
    {
      env: ministack.env,
      onStart,
    },
  );
}

async function headOf({ store }: Line): Promise<HeadContent | undefined> {
  return (await readHead(store, `jobs/${APP}/head.json`))?.content;
}

const END = ['--until-end', '--drain'];

describe('a state in S3', { skip: withoutMinistack }, () => {
  it('goes on in another folder, and its sinks get each result once', async (t) => {
    const line = await lineOf(t);
    const [a, b] = [line.machine(), line.machine()];
    const output = join(b, 'out.ndjson');
    const first = await process_(line, a, ['--until-end', '--json']);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /new in S3, at epoch 1/);
    const head = (await headOf(line))!;
    assert.deepEqual([head.epoch, head.next_result - 1], [1, first.json()['results']]);
    const second = await process_(line, b, [...END, '--output', output, '--json']);
    assert.equal(second.code, 0, second.stderr);
    assert.match(second.stderr, /restored at epoch 2: checkpoint \d+/);
    assert.equal(second.json()['read'], 0, 'nothing is read again');
    assert.equal(await resultsOf(b), line.expected);
    const lines = readFileSync(output, 'utf8').trimEnd().split('\n');
    assert.equal(lines.length, line.expected.trimEnd().split('\n').length);
    const [once, twice] = [await process_(line, line.machine(), [...END, '--output', '-']), await process_(line, line.machine(), [...END, '--output', '-'])]; // biome-ignore format: one line
    assert.equal(once.stdout.trimEnd().split('\n').length, lines.length, 'standard output gets them');
    assert.equal(twice.stdout, '', 'and once only, though the second run is elsewhere');
    const again = await process_(line, a, END);
    assert.equal(again.code, 0, 'the first machine takes it back, over the older state it has');
    assert.equal(await resultsOf(a), line.expected);
    assert.deepEqual(
      [totalsOf(a), totalsOf(b)],
      [1, 2].map(() => totalsOf(line.source, 'straight')),
    );
    const keys: string[] = [];
    for await (const { key } of line.store.list('jobs/')) keys.push(key);
    const named = (await headOf(line))!;
    const expected = [named.base!.key, ...named.increments.map(({ key }) => key), `jobs/${APP}/head.json`];
    assert.deepEqual(keys.sort(), expected.sort(), 'nothing is left that the head does not name');
  });

  it('is taken over after SIGKILL at any time, again and again, in a folder of its own each time', async (t) => {
    const line = await lineOf(t, Math.ceil(TRIPS / ROUNDS));
    const random = randomNumbers(SEED);
    let epochs = 0;
    let dataDir = '';
    for (let round = 1; ; round++) {
      dataDir = line.machine();
      const last = round > ROUNDS;
      let child: ChildProcess | undefined;
      const running = process_(line, dataDir, last ? END : ['--until-end'], (started) => {
        child = started;
      });
      // Every third life may end before it has taken the state over, however slow the machine is.
      const [soon, before, delay] = [random() < 1 / 3, epochs, random() * 900];
      if (!last) {
        if (!soon) await until('a take-over', async () => ((await headOf(line))?.epoch ?? 0) > before);
        setTimeout(() => child!.kill('SIGKILL'), delay).unref();
      }
      const ran = await running;
      const head = await headOf(line);
      assert.ok((head?.epoch ?? 0) >= epochs, 'epochs only rise');
      epochs = head?.epoch ?? 0;
      if (ran.signal === null) {
        assert.equal(ran.code, 0, `seed ${SEED}, round ${round}: ${ran.stderr}`);
        if (last) break;
      }
      // The stream goes on while nobody reads it, so that each life has work to do.
      if (round < ROUNDS) await grow(line.source, Math.ceil((TRIPS * (round + 1)) / ROUNDS));
    }
    assert.ok(epochs > ROUNDS / 2, `${epochs} take-overs`);
    const straight = ['process', ...END, '--app', 'whole', '--data-dir', line.source];
    assert.equal((await taxiflow(straight)).code, 0);
    assert.equal(await resultsOf(dataDir), await resultsOf(line.source, 'whole'), `seed ${SEED}`);
    assert.deepEqual(totalsOf(dataDir), totalsOf(line.source, 'whole'), `totals, seed ${SEED}`);
  });

  it('has one processor: a second one takes it over, and the first leaves with 4, also one that slept', async (t) => {
    const line = await lineOf(t);
    let first: ChildProcess | undefined;
    const a = line.machine();
    const running = process_(line, a, [], (child) => {
      first = child;
    });
    await until('a base in S3', async () => (await headOf(line))?.base != null);
    first!.kill('SIGSTOP');
    const b = line.machine();
    const second = await process_(line, b, END);
    assert.equal(second.code, 0, second.stderr);
    first!.kill('SIGCONT');
    const left = await running;
    assert.equal(left.code, 4, left.stderr);
    assert.match(left.stderr, /another processor has taken over/);
    assert.equal(await resultsOf(b), line.expected);
  });

  it('is taken over by one of two standbys when its processor is killed', async (t) => {
    const line = await lineOf(t);
    const children: ChildProcess[] = [];
    const start = (more: readonly string[]) =>
      process_(line, line.machine(), more, (child) => children.push(child));
    const killed = start([]);
    await until('a base in S3', async () => (await headOf(line))?.base != null);
    const standby = ['--standby', '--takeover', '1s', ...END];
    const standbys = [start(standby), start(standby)];
    const { epoch } = (await headOf(line))!;
    children[0]!.kill('SIGKILL');
    await killed;
    const since = Date.now();
    await until('a take-over', async () => ((await headOf(line))?.epoch ?? 0) > epoch);
    t.diagnostic(`taken over ${Date.now() - since} ms after the kill, with --takeover 1s`);
    const winner = await Promise.race(standbys.map((each, i) => each.then((ran) => ({ ran, i }))));
    assert.equal(winner.ran.code, 0, winner.ran.stderr);
    assert.match(winner.ran.stderr, new RegExp(`restored at epoch ${epoch + 1}`));
    children[1 + (1 - winner.i)]!.kill('SIGINT');
    await Promise.all(standbys);
  });

  it('goes on with other views when that is accepted, on any machine, and tells before', async (t) => {
    const line = await lineOf(t);
    const a = line.machine();
    assert.equal((await process_(line, a, ['--until-end'])).code, 0);
    const [one, two] = taxiViews();
    const wider = { ...two!, window: tumbling('20m') };
    const file = join(line.source, 'views.json');
    writeFileSync(file, JSON.stringify([one, wider]));
    const views = ['--views', file];
    const before = await headOf(line);
    const told = await process_(line, line.machine(), ['--dry-run', ...views]);
    assert.match(told.stdout, /^view trip_duration begins anew: other: its window/);
    const refused = await process_(line, line.machine(), ['--until-end', ...views]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /made with other views\nTry: .*--accept-changes/);
    assert.deepEqual(await headOf(line), before, 'nobody was disturbed');
    const changing = ['--accept-changes', '--backfill', ...views];
    let killed: ChildProcess | undefined;
    const dying = process_(line, line.machine(), changing, (child) => {
      killed = child;
    });
    await until('a take-over', async () => (await headOf(line))!.epoch > before!.epoch);
    killed!.kill('SIGKILL');
    await dying;
    const b = line.machine();
    const changed = await process_(line, b, [...END, ...changing, '--json']);
    assert.equal(changed.code, 0, changed.stderr);
    const again = await process_(line, line.machine(), ['--until-end', ...views, '--json']);
    assert.equal(again.code, 0, again.stderr);
    const { epoch, from } = again.json<{ restored: { epoch: number; from: string } }>().restored;
    assert.deepEqual([epoch, from], [(await headOf(line))!.epoch, 's3://states/jobs/job/head.json']);
    const old = await process_(line, a, ['--until-end']);
    assert.match(old.stderr, /made with other views/, 'the machine with the old views does not take it back');
    const whole = ['process', ...END, ...views, '--app', 'whole', '--data-dir', line.source];
    assert.equal((await taxiflow(whole)).code, 0);
    const sorted = (text: string) => text.split('\n').sort();
    assert.deepEqual(sorted(await resultsOf(b)), sorted(await resultsOf(line.source, 'whole')));
    const kept: string[] = [];
    for await (const { key } of line.store.list('jobs/')) if (key.endsWith('.savepoint')) kept.push(key);
    assert.ok(kept.length > 0, 'what went is kept in S3');
  });

  it('refuses what is not its own, before it changes anything', async (t) => {
    const line = await lineOf(t);
    const a = line.machine();
    assert.equal((await process_(line, a, ['--until-end'])).code, 0);
    const before = (await headOf(line))!;
    const other = await process_(line, line.machine(), ['--until-end', '--window', '5m']);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /made with other views/);
    const stray = line.machine();
    const local = await taxiflow([
      'process',
      '--until-end',
      '--app',
      APP,
      '--stream',
      'local:taxi-trip-events',
      '--data-dir',
      stray,
    ]);
    assert.equal(local.code, 0, local.stderr);
    const refused = await process_(line, stray, ['--until-end']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /there is a local state/);
    assert.deepEqual(await headOf(line), before, 'nobody was disturbed');
    await line.store.put(`jobs/${APP}/head.json`, Buffer.from('{"x":1}'));
    const broken = await process_(line, line.machine(), ['--until-end']);
    assert.match(broken.stderr, /is not the head of a state/);
    await line.store.put(`jobs/${APP}/head.json`, Buffer.from(JSON.stringify(before)));
    await line.store.put(before.base!.key, Buffer.from('changed'));
    const fresh = line.machine();
    const damaged = await process_(line, fresh, ['--until-end']);
    assert.equal(damaged.code, 1);
    assert.match(damaged.stderr, /differs from its checksum/);
    assert.equal(existsSync(join(fresh, 'apps', `${APP}.sqlite`)), false);
    assert.equal((await process_(line, a, ['--until-end', '--state', 's3://nowhere/x'])).code, 1);
    assert.equal((await taxiflow(['process', '--standby'])).code, 2);
  });
});
