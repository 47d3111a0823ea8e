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
const BRIEF = '{"stale":[1]}';
const idle = () => ({ busyUntil: 0 });
const brief = () => BRIEF;

test("a page that doesn't read is skipped, and starts again when it reads", () => {
  const hub = new Hub('a.0', idle());
  const slow = new SlowPage();
  const quick = new SlowPage();
  for (const page of [slow, quick]) hub.add(asResponse(page), 'a.0', '{}');
  for (let i = 1; i <= 1000; i++) {
    hub.changes(LINE, brief, `a.${i}`, 0);
    quick.read();
  }
  assert.ok(slow.unread < 1_000_000, `${slow.unread} bytes wait for the slow page`);
  assert.doesNotMatch(quick.text, /event: reset/, 'the other one misses nothing');
  assert.equal(quick.text.match(/event: changes/g)?.length, 1000);
  slow.read();
  assert.match(slow.text, /event: reset\nid: a\.1000\ndata: \{\}\n\n$/);
  slow.read();
  hub.changes(LINE, brief, 'a.1001', 0);
  assert.match(slow.text, /id: a\.1001\n/, 'it listens again');
});

test('missed events are sent again as long as they are kept', () => {
  const hub = new Hub('a.0', idle());
  for (let i = 1; i <= 100; i++) hub.changes(LINE, brief, `a.${i}`, 0);
  const join = (after: string) => {
    const page = new SlowPage();
    hub.add(asResponse(page), after, '{}');
    return page.text;
  };
  assert.equal(join('a.98').match(/event: changes/g)?.length, 2);
  for (const after of ['a.2', 'a.50', 'a.90']) assert.match(join(after), /event: reset/, 'too long ago');
  for (let i = 0; i <= 100; i++)
    assert.ok(join(`a.${i}`).length < 300_000, `who knows a.${i} is sent little`);
  assert.match(join('b.99'), /event: reset/, 'another state');
  assert.doesNotMatch(join('a.100'), /event: (reset|changes)/);
});

test('what is sent to many pages takes its time, so that it costs a part of a core at most', () => {
  const budget = idle();
  const hubs = [new Hub('a.0', budget), new Hub('a.0', budget)];
  for (const hub of hubs) for (let i = 0; i < 50; i++) hub.add(asResponse(new SlowPage()), 'a.0', '{}');
  hubs[0]!.changes(LINE, brief, 'a.1', 1_000);
  const first = budget.busyUntil - 1_000;
  assert.ok(first > 1_200 && first < 1_300, `5 MB take a second and a quarter, not ${first} ms`);
  hubs[1]!.changes(LINE, brief, 'a.1', 1_000);
  const both = budget.busyUntil - 1_000;
  assert.ok(both > 2_400 && both < 2_600, `the pages of another view share it: ${both} ms`);
});

test('after a reset, what pages load is part of the traffic', () => {
  const budget = idle();
  const hub = new Hub('a.0', budget);
  for (let i = 0; i < 100; i++) hub.add(asResponse(new SlowPage()), 'a.0', '{}');
  hub.loadBytes = 40_000;
  hub.reset('b.0', 5_000);
  assert.ok(budget.busyUntil >= 6_000, `4 MB take a second: ${budget.busyUntil - 5_000} ms`);
});

test('of changes that are large, only their brief form is sent, and of ones that are large even so, nothing', () => {
  const hub = new Hub('a.0', idle());
  const page = new SlowPage();
  hub.add(asResponse(page), 'a.0', '{}');
  hub.changes(LINE.repeat(3), brief, 'a.3', 0);
  assert.match(page.text, /event: changes\nid: a\.3\ndata: \{"stale":\[1\]\}\n\n$/);
  hub.changes(LINE.repeat(3), () => LINE.repeat(4), 'a.4', 0);
  assert.match(page.text, /event: reset\nid: a\.4\ndata: \{\}\n\n$/);
  assert.ok(page.unread < 1_000, 'nothing else of them is sent');
});

test('a closed page is forgotten', () => {
  const hub = new Hub('a.0', idle());
  const page = new SlowPage();
  hub.add(asResponse(page), 'a.0', '{}');
  page.emit('close');
  assert.equal(hub.size, 0);
});
