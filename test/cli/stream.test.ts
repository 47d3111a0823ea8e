/** `taxiflow stream` with the real binary: the life of an embedded stream, and resharding under a pipeline. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { PARALLEL, readNaively, recordsOf, run, tripsInOrder, YELLOW } from './model.ts';

interface Description {
  stream: string;
  shards: {
    shard: string;
    open: boolean;
    parents: string[];
    first_hash_key: string;
    last_hash_key: string;
    records: number;
    bytes: number;
    last_arrival: string | null;
  }[];
}

const id = (n: number) => `shardId-${String(n).padStart(12, '0')}`;
const KEYS = 2n ** 128n;

async function described(cwd: string, name: string): Promise<Description['shards']> {
  return (await run(['stream', 'describe', name, '--json'], { cwd })).json<Description>().shards;
}

/** The open shards cover every hash key exactly once. */
function assertCovered(shards: Description['shards']): void {
  const ranges = shards
    .filter(({ open }) => open)
    .map(({ first_hash_key, last_hash_key }): [bigint, bigint] => [
      BigInt(first_hash_key),
      BigInt(last_hash_key),
    ])
    .sort((a, b) => (a[0] < b[0] ? -1 : 1));
  let next = 0n;
  for (const [first, last] of ranges) {
    assert.equal(first, next);
    next = last + 1n;
  }
  assert.equal(next, KEYS);
}

describe('stream', PARALLEL, () => {
  test('create, describe, split, merge, trim and delete, in JSON', async (t) => {
    const cwd = temporaryFolder(t);
    const json = async (...args: string[]) => (await run(['stream', ...args, '--json'], { cwd })).json();
    const stream = 'local:own';
    assert.deepEqual(await json('create', stream, '--shards', '4'), {
      command: 'stream create',
      stream,
      shards: 4,
    });
    const made = await described(cwd, stream);
    assertCovered(made);
    assert.deepEqual(
      made.map(({ shard, open, parents, records, last_arrival }) => [
        shard,
        open,
        parents,
        records,
        last_arrival,
      ]),
      [0, 1, 2, 3].map((n) => [id(n), true, [], 0, null]),
    );

    assert.deepEqual(await json('split', '1', stream), {
      command: 'stream split',
      stream,
      opened: [id(4), id(5)],
    });
    const at = String(KEYS / 8n);
    assert.deepEqual(await json('split', id(0), stream, '--at', at), {
      ...{ command: 'stream split', stream },
      opened: [id(6), id(7)],
    });
    assert.deepEqual(await json('merge', stream, '5', '2'), {
      command: 'stream merge',
      stream,
      opened: [id(8)],
    });
    const resharded = await described(cwd, stream);
    assertCovered(resharded);
    assert.deepEqual(
      resharded.map(({ open, parents }) => [open, parents]),
      [
        ...[
          [false, []],
          [false, []],
          [false, []],
          [true, []],
        ],
        ...[
          [true, [id(1)]],
          [false, [id(1)]],
          [true, [id(0)]],
          [true, [id(0)]],
          [true, [id(5), id(2)]],
        ],
      ],
    );
    assert.equal(resharded[7]!.first_hash_key, at);

    await run(['replay', YELLOW, '--speedup', 'max', '--stream', stream], { cwd });
    const filled = await described(cwd, stream);
    const records = filled.reduce((sum, shard) => sum + shard.records, 0);
    const open = filled.filter((shard) => shard.open).length;
    assert.equal(records, tripsInOrder(readNaively(YELLOW)).length + open, 'trips, and a watermark a shard');
    const asText = (await recordsOf(join(cwd, '.taxiflow'), 'own')).reduce(
      (sum, { text }) => sum + text.length,
      0,
    );
    const bytes = filled.reduce((sum, shard) => sum + shard.bytes, 0);
    assert.ok(bytes > 0 && bytes < asText / 3, `${bytes} bytes stored for ${asText} of text`);

    const own = filled[3]!.records;
    assert.deepEqual(await json('trim', stream, '--before', 'now', '--shard', '3'), {
      ...{ command: 'stream trim', stream },
      trimmed: own,
    });
    assert.equal((await json('trim', stream, '--before', '2016-01-01'))['trimmed'], 0);
    assert.equal((await json('trim', stream, '--before', 'now'))['trimmed'], records - own);
    assert.deepEqual(await recordsOf(join(cwd, '.taxiflow'), 'own'), []);
    assert.deepEqual(await json('delete', stream), { command: 'stream delete', stream });
    assert.ok(!existsSync(join(cwd, '.taxiflow', 'streams', 'own.sqlite')), 'its file is gone');
    await run(['stream', 'describe', stream], { cwd, code: 1 });
  });

  test('people get the same in words', async (t) => {
    const cwd = temporaryFolder(t);
    const made = await run(['stream', 'create', '--shards', '1'], { cwd });
    assert.deepEqual([made.stdout, made.stderr], ['', 'created local:taxi-trip-events with 1 shard\n']);
    const split = await run(['stream', 'split', '0'], { cwd });
    assert.equal(split.stderr, `local:taxi-trip-events: opened ${id(1)}, ${id(2)}\n`);
    const { stdout } = await run(['stream', 'describe'], { cwd });
    const [header, ...rows] = stdout.trimEnd().split('\n');
    assert.match(header!, /^shard +state +parents +hash keys +records +MB +last arrival$/);
    assert.match(rows[0]!, /^shardId-000000000000 +closed +– +0\.00 – 100\.00 % +0 +0 +–$/);
    assert.match(rows[2]!, /^shardId-000000000002 +open +shardId-000000000000 +50\.00 – 100\.00 % +0 +0 +–$/);
    const deleted = await run(['stream', 'delete', 'local:taxi-trip-events'], { cwd });
    assert.equal(deleted.stderr, 'deleted local:taxi-trip-events\n');
  });

  test('an impossible operation is refused in one message, and changes nothing', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['stream', 'create', 'local:own', '--shards', '4'], { cwd });
    await run(['stream', 'split', '3', 'local:own'], { cwd });
    const before = await described(cwd, 'local:own');
    const cases: [code: number, args: string[], message: RegExp][] = [
      [1, ['create', 'local:own'], /there is a stream local:own already[\s\S]*describe local:own/],
      [2, ['reshard', 'local:own', '--shards', '1001'], /--shards is 1,000 at most/],
      [1, ['describe', 'local:other'], /no stream local:other in \.taxiflow[\s\S]*stream create local:other/],
      [1, ['delete', 'local:other'], /no stream local:other/],
      [2, ['delete'], /an argument is missing: delete <name>\n/],
      [1, ['trim', 'local:own', '--before', 'now', '--shard', '77'], /no shardId-000000000077/],
      [1, ['split', '3', 'local:own'], /no open shardId-000000000003[\s\S]*describe/],
      [1, ['split', 'nosuch', 'local:own'], /no open nosuch/],
      [
        2,
        ['split', 'local:own'],
        /"local:own" was taken for the shard[\s\S]*"taxiflow stream split 0 local:own"/,
      ],
      [2, ['split', 'own'], /"own" was taken for the shard/],
      [
        2,
        ['merge', 'local:own', '0'],
        /"local:own" was taken for the shard[\s\S]*"taxiflow stream merge 0 1 local:own"/,
      ],
      [2, ['merge', '0', 'local:own'], /"local:own" was taken for the shard/],
      [2, ['split', '1', 'local:own', '--at', '5'], /hash key 5 doesn't divide/],
      [
        1,
        ['merge', '0', '2', 'local:own'],
        /shardId-000000000000 and shardId-000000000002 are not neighbours/,
      ],
      [1, ['merge', '2', '3', 'local:own'], /no open shardId-000000000003/],
    ];
    for (const [code, args, message] of cases) {
      const { stderr, stdout } = await run(['stream', ...args], { cwd, code });
      assert.match(stderr, message);
      assert.match(stderr, /^Error: [^\n]+\nTry: [^\n]+\n$/);
      assert.equal(stdout, '');
    }
    assert.deepEqual(await described(cwd, 'local:own'), before);
  });

  test('W4: resharding before, between and after runs does not change the results', async (t) => {
    const cwd = temporaryFolder(t);
    const reshard = (...args: string[]) => run(['stream', ...args], { cwd });
    const toEnd = ['process', '--until-end', '--output', 'out.ndjson', '--json'];
    await run(['replay', YELLOW, '--speedup', 'max', '--limit', '150', '--shards', '2'], { cwd });
    await reshard('split', '0');
    await run(toEnd, { cwd });
    await reshard('merge', '3', '1');
    await run(['replay', YELLOW, '--speedup', 'max', '--limit', '300', '--resume'], { cwd });
    await reshard('split', 'local:taxi-trip-events', '4');
    await reshard('reshard', '--shards', '3');
    await run(['replay', YELLOW, '--speedup', 'max', '--resume'], { cwd });
    const ran = await run([...toEnd, '--drain'], { cwd });
    assert.equal(ran.json()['late'], 0);
    const found = comparable(readFileSync(join(cwd, 'out.ndjson'), 'utf8'));
    assert.deepEqual(found, (await expectedLines([YELLOW])).lines);
  });

  test('C5: records trimmed before they were read stop the run; --allow-gap continues and reports the loss', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, '--speedup', 'max', '--limit', '150'], { cwd });
    await run(['process', '--until-end'], { cwd });
    await run(['replay', YELLOW, '--speedup', 'max', '--resume'], { cwd });
    const all = await recordsOf(join(cwd, '.taxiflow'));
    await run(['stream', 'trim', '--before', 'now'], { cwd });
    const { stderr } = await run(['process', '--until-end'], { cwd, code: 1 });
    assert.match(
      stderr,
      /^Error: local:taxi-trip-events no longer has \d+ records of shardId-[\s\S]*Try: .*--allow-gap/m,
    );
    const ran = await run(['process', '--until-end', '--allow-gap', '--json'], { cwd });
    const read = (ran.json()['totals'] as Record<string, number>)['read']!;
    const lost = ran.json<{ lost: string[] }>().lost;
    const records = lost.reduce((sum, text) => sum + Number.parseInt(text, 10), 0);
    assert.equal(records, all.length - read, lost.join('; '));
    for (const text of lost) assert.ok(ran.stderr.includes(`lost: ${text}`), text);
  });
});
