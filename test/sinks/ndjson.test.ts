import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NdjsonSink, type Outbox } from '../../src/sinks/ndjson.ts';
import type { Cursor, StoredFiring } from '../../src/state/sqlite-state.ts';
import { temporaryFolder } from '../support.ts';

/** An outbox in memory, whose cursor survives a crash as the state's does. */
class MemoryOutbox implements Outbox {
  readonly firings: StoredFiring[] = [];
  readonly cursors = new Map<string, Cursor>();
  next = 1;

  get nextResult(): number {
    return this.next;
  }

  commit(count: number): void {
    const docs = Array.from({ length: count }, (_, i) =>
      JSON.stringify({ number: this.next + i, text: 'line\n, {"x"}' }),
    );
    this.firings.push({
      first: this.next,
      count,
      view: 'v',
      windowStart: 0,
      correction: false,
      docs: `[${docs.join(',\n')}]`,
    });
    this.next += count;
  }

  cursor(sink: string): Cursor | undefined {
    return this.cursors.get(sink);
  }

  moveCursor(sink: string, cursor: Cursor): void {
    this.cursors.set(sink, cursor);
  }

  *firingsFrom(from: number): Generator<StoredFiring> {
    yield* this.firings.filter((firing) => firing.first >= from);
  }

  get numbers(): number[] {
    return Array.from({ length: this.next - 1 }, (_, i) => i + 1);
  }
}

function numbersIn(path: string): number[] {
  const text = readFileSync(path, 'utf8');
  return text === ''
    ? []
    : text
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { number: number }).number);
}

describe('the NDJSON sink', () => {
  it('C3 writes each result once, whatever crashes left behind it', (t) => {
    const folder = temporaryFolder(t);
    let file = 0;
    const step = fc.oneof(
      fc.record({ do: fc.constant('commit' as const), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ do: fc.constant('deliver' as const) }),
      fc.record({ do: fc.constant('crash' as const), torn: fc.string({ maxLength: 30 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const path = join(folder, `${file++}.ndjson`);
        const outbox = new MemoryOutbox();
        let sink = new NdjsonSink(outbox, path);
        for (const now of steps) {
          if (now.do === 'commit') outbox.commit(now.count);
          else if (now.do === 'deliver') sink.wake();
          else {
            // What was written after the last cursor: part of a line, or lines the cursor doesn't know.
            appendFileSync(path, now.torn);
            sink = new NdjsonSink(outbox, path);
          }
        }
        sink.close();
        assert.deepEqual(numbersIn(path), outbox.numbers);
      }),
      { numRuns: 60 },
    );
  });

  it('is filled from the first result when it is added later', (t) => {
    const folder = temporaryFolder(t);
    const outbox = new MemoryOutbox();
    outbox.commit(3);
    const first = new NdjsonSink(outbox, join(folder, 'a.ndjson'));
    first.close();
    outbox.commit(2);
    const second = new NdjsonSink(outbox, join(folder, 'b.ndjson'));
    second.close();
    assert.deepEqual(numbersIn(join(folder, 'b.ndjson')), outbox.numbers);
  });

  it('writes a file anew that somebody removed or shortened', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    const outbox = new MemoryOutbox();
    outbox.commit(4);
    new NdjsonSink(outbox, path).close();
    truncateSync(path, 10);
    new NdjsonSink(outbox, path).close();
    assert.deepEqual(numbersIn(path), outbox.numbers);
  });

  it('writes a file anew that somebody shortened while it runs', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    const outbox = new MemoryOutbox();
    outbox.commit(4);
    const sink = new NdjsonSink(outbox, path);
    sink.wake();
    truncateSync(path, 10);
    outbox.commit(2);
    sink.wake();
    assert.deepEqual(numbersIn(path), outbox.numbers);
    sink.close();
    new NdjsonSink(outbox, path).close();
    assert.deepEqual(numbersIn(path), outbox.numbers);
  });

  it('stops where another app writes to the same file, which keeps its lines', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    const [one, other] = [new MemoryOutbox(), new MemoryOutbox()];
    const [first, second] = [new NdjsonSink(one, path), new NdjsonSink(other, path)];
    for (const outbox of [one, other]) outbox.commit(3);
    first.wake();
    assert.throws(() => second.wake(), { code: 'output-in-use' });
    second.close();
    one.commit(2);
    first.close();
    assert.deepEqual(numbersIn(path), one.numbers);
  });

  it('leaves what somebody else wrote', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    writeFileSync(path, 'of another job\n');
    const outbox = new MemoryOutbox();
    outbox.commit(1);
    assert.throws(() => new NdjsonSink(outbox, path), { code: 'output-in-use' });
    assert.equal(readFileSync(path, 'utf8'), 'of another job\n');
  });

  it('writes nothing more behind what it could not write whole', { skip: !existsSync('/dev/full') }, () => {
    const outbox = new MemoryOutbox();
    const sink = new NdjsonSink(outbox, '/dev/full');
    outbox.commit(1);
    assert.throws(() => sink.wake(), { code: 'disk-full' });
    sink.close();
    sink.close();
    assert.equal(sink.status().pending, 1);
  });

  it('says what is wrong with a file that cannot be', (t) => {
    const path = join(temporaryFolder(t), 'no', 'such', 'out.ndjson');
    assert.throws(() => new NdjsonSink(new MemoryOutbox(), path), { code: 'cannot-open' });
    assert.equal(existsSync(path), false);
  });
});
