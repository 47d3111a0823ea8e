/** The page's search for places. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { PLACES } from '../../scripts/outline.ts';
import { findPlaces, type Place } from '../../src/dashboard/page/places.ts';

const places = JSON.parse(readFileSync(PLACES, 'utf8')) as Place[];
const first = (text: string) => findPlaces(places, text)[0]?.[0];
const names = (text: string) => findPlaces(places, text).map(([name]) => name);

test('what people type finds what they mean, as the first one', () => {
  for (const [text, name] of [
    ['jfk', 'JFK Airport'],
    ['LGA', 'LaGuardia Airport'],
    ['la guardia', 'LaGuardia Airport'],
    ['guardia', 'LaGuardia Airport'],
    ['kennedy', 'JFK Airport'],
    ['ewr', 'Newark Airport'],
    ['newark', 'Newark Airport'],
    ['wtc', 'World Trade Center'],
    ['times square', 'Times Square'],
    ['hudson square', 'Hudson Sq'],
    ['st albans', 'Saint Albans'],
    ['St. George', 'Saint George/New Brighton'],
    ['harlem', 'Harlem'],
    ['east harlem', 'East Harlem North'],
    ['upper east', 'Upper East Side'],
    ['greenpoint', 'Greenpoint'],
    ['governors island', "Governor's Island/Ellis Island/Liberty Island"],
    ['ellis', "Governor's Island/Ellis Island/Liberty Island"],
    ['ÁSTÓRIA', 'Astoria'],
    ['astoria park', 'Astoria Park'],
    ['broklyn hights', 'Brooklyn Heights'],
    ['sunset park brooklyn', 'Sunset Park East'],
  ] as const)
    assert.equal(first(text), name, `${text}: ${names(text).slice(0, 4).join(', ')}`);
});

test('each place is the first that its own name finds', () => {
  const written = (name = '') => name.replace(/\bSq\b/, 'Square');
  for (const [name] of places) assert.equal(written(first(name)), written(name));
});

test('names that begin with the text come before those with a word that does, and those before parts of words', () => {
  const found = names('park');
  const kind = (name: string) => (/^park/i.test(name) ? 0 : /\bpark/i.test(name) ? 1 : 2);
  assert.ok(found.length > 10);
  assert.deepEqual(found.map(kind), found.map(kind).toSorted(), found.join(', '));
  assert.equal(kind(found[0]!), 0);
});

test('one letter of a longer word may be wrong, none of a short one', () => {
  for (const [text, name] of [
    ['wiliamsburg', 'Williamsburg'],
    ['willaims', 'Williamsburg'],
    ['flushink', 'Flushing'],
    ['hharlem', 'Harlem'],
    ['tribekca', 'Tribeca'],
    ['astroia', 'Astoria'],
    ['columbis circle', 'Columbus Circle'],
  ] as const)
    assert.equal(first(text), name, text);
  for (const text of ['jfx', 'sohi', 'qwertz', 'wiliansburg', 'times xq'])
    assert.deepEqual(names(text), [], text);
  assert.ok(names('corona')[0] === 'Corona', 'what is right comes first');
});

test('any letter that is left out, doubled, changed or swapped still finds a name of one long word', () => {
  const long = places.filter(([name]) => /^[A-Z][a-z]{6,}$/.test(name));
  assert.ok(long.length > 20);
  const at = fc.record({ place: fc.constantFrom(...long), where: fc.nat(), kind: fc.nat(3) });
  fc.assert(
    fc.property(at, ({ place: [name], where, kind }) => {
      const i = where % (name.length - 1);
      const [before, letter, after] = [name.slice(0, i), name[i]!, name.slice(i + 1)];
      const text = [
        before + after,
        `${before}${letter}${letter}${after}`,
        `${before}ß${after}`,
        `${before}${after[0]}${letter}${after.slice(1)}`,
      ][kind]!;
      assert.ok(names(text).slice(0, 3).includes(name), `${text}: ${names(text).join(', ')}`);
    }),
    { numRuns: 500 },
  );
});

test('a borough finds its places after those that have it in their names', () => {
  const found = findPlaces(places, 'staten');
  const all = places.filter(([, borough]) => borough === 'Staten Island');
  assert.deepEqual(new Set(found.slice(0, all.length)), new Set(all));
  const brooklyn = findPlaces(places, 'brooklyn');
  const inName = brooklyn.map(([name]) => Number(!/brooklyn/i.test(name)));
  assert.deepEqual(inName, inName.toSorted(), 'names first');
});

test('nothing, and marks that are no words, find nothing; any text is an answer', () => {
  for (const text of ['', '  ', '/', '…', '%']) assert.deepEqual(names(text), [], text);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const found = findPlaces(places, text);
      assert.equal(new Set(found).size, found.length);
    }),
  );
});
