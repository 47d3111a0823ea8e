import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Aggregate, piecesOf } from '../../src/streams/kinesis/aggregation.ts';

/** The records in an aggregated record, at any offset in a buffer. */
function disaggregate(record: Buffer): Buffer[] | undefined {
  const data = Buffer.concat([Buffer.from('before'), record, Buffer.from('after')]);
  const pieces = piecesOf(data, 6, 6 + record.length);
  return pieces?.filter((_, i) => i % 2 === 0).map((start, i) => data.subarray(start, pieces[2 * i + 1]));
}

describe('aggregated records', () => {
  it('give back what was put into them, in order, and know their length', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { minLength: 1, maxLength: 40 }), (records) => {
        const aggregate = new Aggregate('key', '340282366920938463463374607431768211455', 20_000);
        for (const record of records)
          assert.ok(aggregate.add(Buffer.from(record), 0, record.length), 'there is room');
        const bytes = aggregate.finish();
        assert.deepEqual(
          disaggregate(bytes)?.map((record) => [...record]),
          records.map((record) => [...record]),
        );
      }),
    );
  });

  it('take what fits into the given length, to the byte', () => {
    const most = (bytes: number) => {
      const aggregate = new Aggregate('p', '7', bytes);
      while (aggregate.add(Buffer.from('abc'), 0, 3));
      return aggregate.finish().length;
    };
    // Frame and keys take 26 bytes, each record of 3 takes 11.
    for (const [bytes, used] of [
      [26 + 10, 26],
      [26 + 11, 37],
      [26 + 21, 37],
      [26 + 22, 48],
    ] as const)
      assert.equal(most(bytes), used);
  });

  it('are the bytes that the format asks for', () => {
    const aggregate = new Aggregate('p', '7', 100);
    aggregate.add(Buffer.from('xaby'), 1, 3);
    const bytes = aggregate.finish();
    assert.equal(
      bytes.subarray(0, -16).toString('hex'),
      `f3899ac2${'0a0170'}${'120137'}${'1a0808001000'}${'1a026162'}`,
    );
  });

  it('are taken as plain records if they are damaged or not aggregated', () => {
    const aggregate = new Aggregate('p', '7', 100);
    aggregate.add(Buffer.from('xaby'), 1, 3);
    const bytes = aggregate.finish();
    for (let i = 0; i < bytes.length; i++) {
      const damaged = Buffer.from(bytes);
      damaged[i]! ^= 1;
      assert.equal(disaggregate(damaged), undefined, `byte ${i}`);
    }
    assert.equal(disaggregate(Buffer.from('{"type":"trip"}')), undefined);
    assert.equal(disaggregate(Buffer.alloc(0)), undefined);
  });
});
