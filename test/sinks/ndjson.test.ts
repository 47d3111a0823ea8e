import assert from 'node:assert/strict';
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NdjsonSink, type Outbox } from '../../src/sinks/ndjson.ts';
import type { Cursor, StoredFiring } from '../../src/state/outbox.ts';
import { temporaryFolder } from '../files.ts';

/** An outbox in memory, whose cursor survives a crash as the state's does. */
class MemoryOutbox implements Outbox {
  readonly firings: StoredFiring[] = [];
  readonly cursors = new Map<string, Cursor>();
  next = 1;

  get end(): number {
    return this.nextResult;
  }

  removedFrom(): number {
    return 0;
  }

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

  /** Called when results are about to be written. */
  onRead: () => void = () => {};

  *firingsFrom(from: number): Generator<StoredFiring> {
    this.onRead();
    yield* this.firings.filter((firing) => firing.first + firing.count > from);
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
  it('C3 writes each result once, whatever a crash left in the file', (t) => {
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
            // Bytes beyond the last cursor: a partial line, or lines the cursor doesn't cover.
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

  it('writes a removed or shortened file again', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    const outbox = new MemoryOutbox();
    outbox.commit(4);
    new NdjsonSink(outbox, path).close();
    truncateSync(path, 10);
    new NdjsonSink(outbox, path).close();
    assert.deepEqual(numbersIn(path), outbox.numbers);
  });

  it('writes a file again that was shortened during the run', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    const outbox = new MemoryOutbox();
    outbox.commit(4);
    const notes: string[] = [];
    const sink = new NdjsonSink(outbox, path, (note) => notes.push(note));
    sink.wake();
    truncateSync(path, 10);
    outbox.commit(2);
    sink.wake();
    assert.match(notes.join(), /out\.ndjson is shorter .* again$/, 'F2 it is told');
    assert.deepEqual(numbersIn(path), outbox.numbers);
    sink.close();
    new NdjsonSink(outbox, path).close();
    assert.deepEqual(numbersIn(path), outbox.numbers);
  });

  /** Events that can hit the output file, and where its lines are then. */
  const losses: Record<string, (path: string) => string | undefined> = {
    deleted: (path) => {
      rmSync(path);
      return undefined;
    },
    moved: (path) => {
      renameSync(path, `${path}.1`);
      return `${path}.1`;
    },
    rotated: (path) => {
      renameSync(path, `${path}.1`);
      writeFileSync(path, '');
      return `${path}.1`;
    },
    'replaced by a copy': (path) => {
      copyFileSync(path, `${path}.copy`);
      renameSync(`${path}.copy`, path);
      return undefined;
    },
    'replaced by a link': (path) => {
      renameSync(path, `${path}.1`);
      writeFileSync(`${path}.2`, '');
      symlinkSync(`${path}.2`, path);
      return `${path}.1`;
    },
  };

  for (const [how, lose] of Object.entries(losses)) {
    for (const when of ['before', 'while'] as const) {
      it(`F1 stops where its file is ${how} ${when} lines are written, and the next run writes all anew`, (t) => {
        const path = join(temporaryFolder(t), 'out.ndjson');
        const outbox = new MemoryOutbox();
        outbox.commit(4);
        const sink = new NdjsonSink(outbox, path);
        sink.wake();
        const [name, before] = [sink.name, outbox.cursor(sink.name)];
        outbox.commit(2);
        let old: string | undefined;
        if (when === 'before') old = lose(path);
        else
          outbox.onRead = () => {
            old = lose(path);
            outbox.onRead = () => {};
          };
        assert.throws(() => sink.wake(), { code: 'output-gone', hint: /same command/ });
        sink.close();
        assert.deepEqual(outbox.cursor(name), before, 'the cursor is not behind lines of another name');
        if (old) assert.equal(numbersIn(old).length, when === 'before' ? 4 : 6);
        const notes: string[] = [];
        new NdjsonSink(outbox, path, (note) => notes.push(note)).close();
        assert.deepEqual(numbersIn(path), outbox.numbers);
        // A copy is complete except for lines written elsewhere.
        assert.equal(notes.length, how === 'replaced by a copy' ? 0 : 1);
      });
    }
  }

  it('F1 reports at the end that a file is gone, even with nothing left to write', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    const outbox = new MemoryOutbox();
    outbox.commit(4);
    const sink = new NdjsonSink(outbox, path);
    sink.wake();
    rmSync(path);
    assert.throws(() => sink.close(), { code: 'output-gone' });
  });

  it('leaves a file that replaced its own between two runs', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    const outbox = new MemoryOutbox();
    outbox.commit(2);
    new NdjsonSink(outbox, path).close();
    const other = 'x'.repeat(500);
    writeFileSync(path, other);
    assert.throws(() => new NdjsonSink(outbox, path), { code: 'output-in-use' });
    assert.equal(readFileSync(path, 'utf8'), other);
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

  it('leaves a file of another writer', (t) => {
    const path = join(temporaryFolder(t), 'out.ndjson');
    writeFileSync(path, 'of another job\n');
    const outbox = new MemoryOutbox();
    outbox.commit(1);
    assert.throws(() => new NdjsonSink(outbox, path), { code: 'output-in-use' });
    assert.equal(readFileSync(path, 'utf8'), 'of another job\n');
  });

  it('writes nothing after a partial write', { skip: !existsSync('/dev/full') }, () => {
    const outbox = new MemoryOutbox();
    const sink = new NdjsonSink(outbox, '/dev/full');
    outbox.commit(1);
    assert.throws(() => sink.wake(), { code: 'disk-full' });
    sink.close();
    sink.close();
    assert.equal(sink.status().pending, 1);
  });

  it('explains why a file cannot be written', (t) => {
    const path = join(temporaryFolder(t), 'no', 'such', 'out.ndjson');
    assert.throws(() => new NdjsonSink(new MemoryOutbox(), path), { code: 'cannot-open' });
    assert.equal(existsSync(path), false);
  });

  it('leaves no file open that it could not go on with', (t) => {
    const path = join(temporaryFolder(t), 'results.ndjson');
    const next = () => {
      const file = openSync(path, 'a');
      closeSync(file);
      return file;
    };
    const [outbox, before] = [new MemoryOutbox(), next()];
    outbox.cursor = () => {
      throw new Error('read error');
    };
    assert.throws(() => new NdjsonSink(outbox, path), /read error/);
    assert.equal(next(), before);
  });
});
