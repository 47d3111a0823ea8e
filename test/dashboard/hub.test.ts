/** Pages that don't keep up cost a bounded amount of memory. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { Hub } from '../../src/dashboard/hub.ts';

/** A page whose network takes nothing until it is told to. */
class SlowPage extends EventEmitter {
  unread = 0;
  text = '';
  get writableLength(): number {
    return this.unread;
  }
  write(bytes: Buffer | string): boolean {
    this.unread += bytes.length;
    this.text += bytes;
    return false;
  }
  read(): void {
    this.unread = 0;
    this.emit('drain');
  }
}

const asResponse = (page: SlowPage) => page as unknown as ServerResponse;
const LINE = `"${'x'.repeat(100_000)}"`;

test("a page that doesn't read is skipped, and starts again when it reads", () => {
  const hub = new Hub('a.0');
  const slow = new SlowPage();
  const quick = new SlowPage();
  for (const page of [slow, quick]) hub.add(asResponse(page), 'a.0', '{}');
  for (let i = 1; i <= 1000; i++) {
    hub.windows([LINE], `a.${i}`, 0);
    quick.read();
  }
  assert.ok(slow.unread < 1_000_000, `${slow.unread} bytes wait for the slow page`);
  assert.doesNotMatch(quick.text, /event: reset/, 'the other one misses nothing');
  assert.equal(quick.text.match(/event: windows/g)?.length, 1000);
  slow.read();
  assert.match(slow.text, /event: reset\nid: a\.1000\ndata: \{\}\n\n$/);
  slow.read();
  hub.windows([LINE], 'a.1001', 0);
  assert.match(slow.text, /id: a\.1001\n/, 'it listens again');
});

test('missed events are sent again as long as they are kept', () => {
  const hub = new Hub('a.0');
  for (let i = 1; i <= 100; i++) hub.windows([LINE], `a.${i}`, 0);
  const join = (after: string) => {
    const page = new SlowPage();
    hub.add(asResponse(page), after, '{}');
    return page.text;
  };
  assert.equal(join('a.98').match(/event: windows/g)?.length, 2);
  for (const after of ['a.2', 'a.50', 'a.90']) assert.match(join(after), /event: reset/, 'too long ago');
  for (let i = 0; i <= 100; i++)
    assert.ok(join(`a.${i}`).length < 300_000, `who knows a.${i} is sent little`);
  assert.match(join('b.99'), /event: reset/, 'another state');
  assert.doesNotMatch(join('a.100'), /event: (reset|windows)/);
});

test('events are delayed with many pages, so that they cost a part of a core at most', () => {
  const hub = new Hub('a.0');
  for (let i = 0; i < 100; i++) hub.add(asResponse(new SlowPage()), 'a.0', '{}');
  hub.windows([LINE], 'a.1', 1_000);
  assert.equal(hub.ready(1_000 + 2_000), false, '10 MB take two seconds and a half');
  assert.equal(hub.ready(1_000 + 2_600), true);
});

test('a page that missed many events loads everything instead', () => {
  const hub = new Hub('a.0');
  const page = new SlowPage();
  hub.add(asResponse(page), 'a.0', '{}');
  hub.windows([LINE, LINE, LINE], 'a.3', 0);
  assert.match(page.text, /event: reset\nid: a\.3/);
  assert.ok(page.unread < 1_000, 'nothing of it is sent');
});

test('a closed page is forgotten', () => {
  const hub = new Hub('a.0');
  const page = new SlowPage();
  hub.add(asResponse(page), 'a.0', '{}');
  page.emit('close');
  assert.equal(hub.size, 0);
});
