/** The table of a trip's fields, and what derives from it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TripColumns } from '../../src/events/columns.ts';
import { SOURCE_FIELDS, STRING_FIELDS, TRIP_FIELD_NAMES, TRIP_FIELDS } from '../../src/events/trip.ts';
import { ROOT } from '../files.ts';

test('docs/views.md lists the fields as the table has them', () => {
  const docs = readFileSync(join(ROOT, 'docs', 'views.md'), 'utf8');
  const rows = [...docs.matchAll(/^\| `(\w+)` +\| (integer|number|string|time) +\| (.*?) *\|$/gm)];
  assert.deepEqual(
    rows.map(([, name, type, unit]) => [name, type, unit]),
    TRIP_FIELD_NAMES.map((name) => {
      const field: { type: string; unit?: string } = TRIP_FIELDS[name];
      return [name, field.type, field.unit ?? ''];
    }),
  );
});

test('no two string fields share a dictionary', () => {
  const { dictionaries, words } = new TripColumns();
  assert.deepEqual(Object.keys(dictionaries), [...STRING_FIELDS]);
  assert.equal(new Set(Object.values(dictionaries)).size, STRING_FIELDS.length);
  assert.equal(new Set(Object.values(words)).size, STRING_FIELDS.length);
});

test('no header of a file names two fields', () => {
  const headers = SOURCE_FIELDS.flatMap((name): readonly string[] => TRIP_FIELDS[name].columns);
  assert.equal(new Set(headers).size, headers.length);
});
