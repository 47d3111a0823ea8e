/** Files that are there whole or not at all. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { claimFile, replaceFile, tidyAway } from '../src/private-files.ts';
import { withScratch, withScratchBeside } from '../src/savepoints/places.ts';
import { temporaryFolder } from './files.ts';

describe('a file made whole', () => {
  it('belongs to the first who claims it, and nothing else is left', (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'owner.json');
    assert.equal(claimFile(path, 'first'), true);
    assert.equal(claimFile(path, 'second'), false);
    assert.equal(readFileSync(path, 'utf8'), 'first');
    assert.deepEqual(readdirSync(folder), ['owner.json']);
    assert.throws(() => claimFile(join(folder, 'none', 'owner.json'), 'x'), { code: 'ENOENT' });
  });

  it('takes the place of the one before', (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'mark');
    for (const text of ['a long first text', 'short']) replaceFile(path, text);
    assert.equal(readFileSync(path, 'utf8'), 'short');
    assert.deepEqual(readdirSync(folder), ['mark']);
  });
});

describe('temporary folders', () => {
  it('are elsewhere where they can not be in the place meant for them, unless it must be that place', async (t) => {
    const file = join(temporaryFolder(t), 'file');
    writeFileSync(file, '');
    const name = async (folder: string) => folder;
    const elsewhere = await withScratch(name, join(file, 'tmp'));
    assert.ok(!elsewhere.startsWith(file));
    assert.throws(() => withScratchBeside(name, join(file, 'tmp')), { code: 'cannot-open' });
    tidyAway(join(file, 'nothing'));
  });
});
