/** O1: ids compared with ids made from the parsed document. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { documentIds } from '../../src/sinks/opensearch/document-id.ts';
import { checkViews } from '../../src/views/check.ts';
import { taxiViews } from '../../src/views/taxi.ts';

const START = '2016-01-11T00:00:00.000Z';
const [pickups, rides] = checkViews(taxiViews());

function meant(name: string, keys: readonly string[], document: string): string {
  const fields = JSON.parse(document) as Record<string, unknown>;
  const part = (value: unknown) =>
    value === undefined || value === null
      ? '\\-'
      : String(value).replaceAll('\\', '\\\\').replaceAll('|', '\\|');
  return [name, fields['window_start'], ...keys.map((key) => fields[key])].map(part).join('|');
}

it('view, window and key, unchanged over all versions', () => {
  const times = `"window_start":"${START}","window_end":"2016-01-11T00:10:00.000Z"`;
  assert.equal(
    documentIds(pickups!)(`{"view":"pickup_count",${times},"location":"dr5ru7","pickup_count":3}`),
    `pickup_count|${START}|dr5ru7`,
  );
  assert.equal(
    documentIds(rides!)(
      `{"view":"trip_duration",${times},"airport_code":"JFK","location":"dr5ru7","trip_count":3}`,
    ),
    `trip_duration|${START}|${Object.keys(rides!.by)[0] === 'location' ? 'dr5ru7|JFK' : 'JFK|dr5ru7'}`,
  );
});

it('the id equals that from the parsed document for any keys; long ids are hashed', () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('a|b', 'a\\', '"', ',"b":', '","b":"', 'é', '\u2028', '\n', 'null', ''),
    fc.string({ unit: 'binary', maxLength: 600 }),
  );
  const value = fc.oneof(text, fc.integer(), fc.double({ noNaN: true }), fc.constant(null));
  const document = fc.record({ a: value, b: value, a_b: value, n: value }, { requiredKeys: ['n'] });
  fc.assert(
    fc.property(document, (fields) => {
      const keys = ['a', 'b'];
      const view = { name: 'v', by: Object.fromEntries(keys.map((key) => [key, { op: 'field' }])) };
      const line = JSON.stringify({ view: 'v', window_start: START, window_end: START, ...fields });
      const id = documentIds({ ...view, window: { kind: 'tumbling', size_ms: 1 } } as never)(line);
      const expected = meant('v', keys, line);
      if (Buffer.byteLength(expected) <= 512) assert.equal(id, expected);
      else assert.match(id, /^v\|[\w-]{43}$/);
    }),
    { numRuns: 2_000 },
  );
});
