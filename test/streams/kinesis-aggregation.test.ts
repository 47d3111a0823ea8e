import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Aggregate, disaggregate } from '../../src/streams/kinesis/aggregation.ts';

describe('aggregated records', () => {
  it('give back what was put into them, in order, and know their length', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { minLength: 1, maxLength: 40 }), (records) => {
        const aggregate = new Aggregate('key', '340282366920938463463374607431768211455');
        for (const record of records) aggregate.add(record);
        const bytes = aggregate.finish();
        assert.equal(bytes.length, aggregate.bytes);
        assert.deepEqual(
          disaggregate(bytes)?.map((record) => [...record]),
          records.map((record) => [...record]),
        );
      }),
    );
  });

  it('are the bytes that the format asks for', () => {
    const aggregate = new Aggregate('p', '7');
    aggregate.add(Buffer.from('ab'));
    const bytes = aggregate.finish();
    assert.equal(
      bytes.subarray(0, -16).toString('hex'),
      `f3899ac2${'0a0170'}${'120137'}${'1a0808001000'}${'1a026162'}`,
    );
  });

  it('that are damaged, and plain records, are taken as they are', () => {
    const aggregate = new Aggregate('p', '7');
    aggregate.add(Buffer.from('ab'));
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
