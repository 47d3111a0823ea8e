import assert from 'node:assert/strict';
import { it } from 'node:test';
import { timeOfShard } from '../../src/streams/kinesis/sequence-time.ts';

it('tells when a shard was made by a first sequence number of Amazon', () => {
  for (const [sequence, time] of [
    // As in Amazon's documents: a record of 2018-12-17, of a shard that was made in November; and a first number of a shard.
    ['49590338271490256608559692538361571095921575989136588898', '2018-11-21T04:57:38.000Z'],
    ['49600871682957036442365024926191073437251060580128653314', '2019-10-28T21:12:45.000Z'],
  ] as const)
    assert.equal(new Date(timeOfShard(sequence) ?? 0).toISOString(), time);
});

it('tells nothing by any other', () => {
  const of = (hex: string) => String(BigInt(`0x${hex}`));
  const strange = [
    ...['', '0', '1', 'x', '-1', '9'.repeat(500), '000000017356892400000000000012'],
    of(`2${'05bf4e5c2'}${'0'.repeat(36)}1`),
    of(`3${'05bf4e5c2'}${'0'.repeat(36)}2`),
    of(`2${'05bf4e5c2'}${'0'.repeat(35)}2`),
    // Before Kinesis, and in 2150.
    ...[of(`2${'000000001'}${'0'.repeat(36)}2`), of(`2${'152000000'}${'0'.repeat(36)}2`)],
  ];
  for (const sequence of [undefined, ...strange])
    assert.equal(timeOfShard(sequence), undefined, String(sequence));
});
