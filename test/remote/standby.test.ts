/** Standbys wait by their own clock, through outages, and only one of them takes what it has seen. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { type HeadContent, OwnHead } from '../../src/remote/head.ts';
import { type RemoteOptions, waitAsStandby } from '../../src/remote/state.ts';
import type { Condition, ObjectStore } from '../../src/s3/object-store.ts';

class OneObject {
  content: HeadContent | undefined;
  etag = 0;
  looks = 0;
  fails = (_look: number) => false;

  url(key: string): string {
    return key;
  }

  async get(): Promise<{ bytes: Buffer; etag: string } | undefined> {
    if (this.fails(this.looks++)) throw new TaxiflowError('s3-unreachable', 'no answer');
    return this.content && { bytes: Buffer.from(JSON.stringify(this.content)), etag: String(this.etag) };
  }

  async put(_: string, body: Uint8Array, condition: Condition): Promise<string> {
    const isFree = 'IfMatch' in condition ? condition.IfMatch === String(this.etag) : this.etag === 0;
    if (!isFree) throw new TaxiflowError('s3-changed', 'it changed');
    this.content = JSON.parse(Buffer.from(body).toString()) as HeadContent;
    return String(++this.etag);
  }
}

const JOB = {
  app: 'job',
  stream: '{"stream":"s","views":"e3b0c44298fc1c14","settings":""}',
  interval: 10,
};
const KEY = 'job/head.json';

function optionsOf(object: OneObject, notes: string[] = []): RemoteOptions {
  return {
    store: object as unknown as ObjectStore,
    prefix: '',
    dataDir: '/nowhere',
    app: 'job',
    acceptChanges: false,
    identity: { stream: 's', views: '', settings: '' },
    clock: systemClock,
    interval: 10,
    signal: new AbortController().signal,
    onNote: (note) => notes.push(note),
  };
}

describe('a standby', () => {
  it('waits through an outage, and counts from its end', async () => {
    const object = new OneObject();
    const head = await OwnHead.take(object as unknown as ObjectStore, KEY, JOB, null);
    object.fails = (look) => look > 0 && look < 4;
    const notes: string[] = [];
    const seen = await waitAsStandby(optionsOf(object, notes), 500);
    assert.equal(seen?.content.owner, head.content.owner);
    assert.ok(object.looks >= 6, `${object.looks} looks`);
    assert.equal(notes.length, 1, 'it says so once');
  });

  it('takes only what it has seen: of two that saw no head, one wins, and a head that came since is left alone', async () => {
    const object = new OneObject();
    const store = object as unknown as ObjectStore;
    const [a, b] = await Promise.all([
      waitAsStandby(optionsOf(object), 200),
      waitAsStandby(optionsOf(object), 200),
    ]);
    assert.deepEqual([a, b], [null, null]);
    await OwnHead.take(store, KEY, JOB, a);
    await assert.rejects(OwnHead.take(store, KEY, JOB, b), { code: 'taken-over', exitCode: 4 });
    assert.equal(object.content!.epoch, 1);
  });

  it('begins later than the life before it, however wrong its clock is', async () => {
    const object = new OneObject();
    const store = object as unknown as ObjectStore;
    await OwnHead.take(store, KEY, JOB, null);
    const ahead = { ...object.content!, created: Date.now() + 3_600_000 };
    object.content = ahead;
    const next = await OwnHead.take(store, KEY, JOB, { content: ahead, etag: String(object.etag) });
    assert.ok(next.content.created > ahead.created);
  });
});
