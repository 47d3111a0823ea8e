import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS, faulty, startKinesis } from './kinesis.ts';

test('the fault proxy knows every fault, and with the same seed does the same', async (t) => {
  const emulator = await startKinesis(t);
  const counts = async (seed: number) => {
    const { endpoint, faults } = await faulty(t, emulator, 1, seed);
    for (const target of ['PutRecords', 'GetRecords']) {
      for (let i = 0; i < 6; i++) {
        // Ten at once, one of which may overtake the others.
        await Promise.all(Array.from({ length: 10 }, () => ask(endpoint, target)));
      }
    }
    return faults;
  };
  const first = await counts(1);
  assert.deepEqual([...first.keys()].sort(), [...FAULTS].sort());
  const total = (faults: ReadonlyMap<string, number>) =>
    FAULTS.filter((fault) => fault !== 'slow' && fault !== 'overtaken').map((fault) => faults.get(fault));
  assert.deepEqual(total(await counts(1)), total(first));
});

async function ask(endpoint: string, target: string): Promise<void> {
  const headers = {
    'x-amz-target': `Kinesis_20131202.${target}`,
    'content-type': 'application/x-amz-json-1.1',
  };
  const body = JSON.stringify({
    StreamName: 'none',
    ShardIterator: 'none',
    Records: [{ Data: '', PartitionKey: 'a' }],
  });
  await fetch(endpoint, { method: 'POST', headers, body })
    .then((answer) => answer.text())
    .catch(() => {});
}
