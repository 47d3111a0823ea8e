/** The table of connectors says what their streams can do, before anything is opened. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONNECTORS, lacks, openAdmin, parseTarget, streamsThatCan } from '../../src/streams/connectors.ts';
import type { Capability } from '../../src/streams/ports.ts';
import { temporaryFolder } from '../files.ts';

describe('connectors', () => {
  it('find the stream that a text means', () => {
    for (const [text, connector, name] of [
      [undefined, 'local', 'taxi-trip-events'],
      ['', 'local', 'taxi-trip-events'],
      ['local', 'local', 'taxi-trip-events'],
      ['local:trips', 'local', 'trips'],
      ['trips', 'kinesis', 'trips'],
      ['kinesis:local', 'kinesis', 'local'],
      ['arn:aws:kinesis:us-east-1:1:stream/trips', 'kinesis', 'arn:aws:kinesis:us-east-1:1:stream/trips'],
    ] as const)
      assert.deepEqual(parseTarget(text), { connector, name });
    // What is left of local:$NAME without a NAME must not mean another stream.
    for (const none of ['no stream', 'local:'])
      assert.throws(() => parseTarget(none), { code: 'usage', exitCode: 2 });
  });

  for (const connector of Object.keys(CONNECTORS) as (keyof typeof CONNECTORS)[]) {
    it(`say what ${connector} lacks, which is what its admin has no method for`, async (t) => {
      const target = { connector, name: 'trips' };
      const place = { dataDir: temporaryFolder(t), region: 'us-east-1', endpointUrl: 'http://127.0.0.1:9' };
      const admin = await openAdmin(target, place);
      t.after(() => admin.close());
      const methods: [Capability, unknown][] = [
        ['trim', admin.trim],
        ['on-demand', admin.createOnDemand],
      ];
      for (const [capability, method] of methods)
        assert.equal(lacks(target, capability) === undefined, method !== undefined, capability);
    });
  }

  it('say which streams can do something', () => {
    assert.equal(streamsThatCan('trim'), 'embedded streams');
    assert.equal(streamsThatCan('on-demand'), 'Kinesis streams');
    assert.equal(streamsThatCan('fan-out'), 'Kinesis streams');
  });
});
