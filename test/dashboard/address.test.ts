/** The address of the page: what is written into it comes back, and nonsense in it is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressOf, type Choice, MOST_PINS, readAddress, TABS } from '../../src/dashboard/page/address.ts';

/** Any text but an empty one, which means that nothing is chosen; browsers make broken surrogates whole. */
const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
const YEAR_1970_TO_2100 = { min: 0, max: Date.UTC(2100, 0, 1) };

const choice: fc.Arbitrary<Choice> = fc.record(
  {
    tab: fc.constantFrom(...TABS),
    app: word,
    view: word,
    sql: word,
    figure: word,
    at: fc.oneof(
      fc.integer(YEAR_1970_TO_2100),
      fc.integer({ min: 0, max: 1e6 }).map((minutes) => minutes * 60_000),
    ),
    pins: fc.uniqueArray(word, { maxLength: MOST_PINS }),
    filter: fc.uniqueArray(fc.tuple(word, word), { selector: ([key]) => key }).map((all) => new Map(all)),
  },
  { requiredKeys: ['tab', 'pins', 'filter'], noNullPrototype: true },
);

test('an address leads back to what it was made of, without anything to complain of', () => {
  fc.assert(
    fc.property(choice, (made) => {
      const address = addressOf(made);
      // As a browser keeps it.
      const kept = new URL(address, 'http://page/').hash;
      const { sql, ...rest } = made;
      // Only the page for queries has one.
      const wanted = made.tab === 'sql' && sql !== undefined ? { ...rest, sql } : rest;
      assert.deepEqual(readAddress(kept), { choice: wanted, nonsense: [] });
    }),
  );
});

test('an address is read as text, whatever is in it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const { choice: found, nonsense } = readAddress(`#${text}`);
      assert.ok(TABS.includes(found.tab));
      assert.ok(found.pins.length <= MOST_PINS);
      assert.ok(found.at === undefined || Number.isFinite(found.at));
      assert.ok(nonsense.every((words) => words.length > 0));
    }),
  );
});

test('addresses are short, and read as they are spoken', () => {
  const made: Choice = {
    tab: 'results',
    view: 'fares',
    figure: 'trips',
    at: Date.UTC(2016, 0, 14, 18, 40),
    pins: ['dr5ru7', 'dr5rsr'],
    filter: new Map([['payment_type', '1']]),
  };
  assert.equal(
    addressOf(made),
    '#results?view=fares&figure=trips&at=2016-01-14T18:40&area=dr5ru7&area=dr5rsr&key.payment_type=1',
  );
  assert.equal(addressOf({ tab: 'job', pins: [], filter: new Map() }), '#job');
  assert.match(addressOf({ ...made, at: Date.UTC(2016, 0, 14, 18, 40, 30) }), /at=2016-01-14T18:40:30&/);
  assert.match(
    addressOf({ ...made, at: Date.UTC(2016, 0, 14, 18, 40, 30, 5) }),
    /at=2016-01-14T18:40:30\.005&/,
  );
});

test('earlier addresses and small liberties are understood', () => {
  for (const hash of ['', '#', '#city', '#results', '#/results', '#results?'])
    assert.deepEqual(readAddress(hash), {
      choice: { tab: 'results', pins: [], filter: new Map() },
      nonsense: [],
    });
  const twice = readAddress('#results?area=a&area=a&area=&view=');
  assert.deepEqual(twice, { choice: { tab: 'results', pins: ['a'], filter: new Map() }, nonsense: [] });
});

test('what makes no sense is told in words, and the rest is kept', () => {
  const said = (hash: string) => readAddress(hash).nonsense.join('; ');
  assert.match(said('#nowhere?view=fares'), /no page “nowhere”/);
  assert.equal(readAddress('#nowhere?view=fares').choice.view, 'fares');
  for (const time of [
    'yesterday',
    '2016-13-45T10:00',
    '2016-01-14',
    'NaN',
    '1e400',
    '2016-01-14T25:00',
    '%22',
  ])
    assert.match(said(`#results?at=${time}`), /is no time/, time);
  assert.match(said('#results?at=2016-01-14T10:00&colour=red'), /“colour” means nothing here/);
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.match(said(`#results?${name}=x`), /means nothing here/, name);
    assert.match(said(`#${name}`), /no page/, name);
    const { filter } = readAddress(`#results?key.${name}=x`).choice;
    assert.deepEqual([...filter], [[name, 'x']], 'a name like any other');
  }
  const many = Array.from({ length: MOST_PINS + 1 }, (_, i) => `area=${i}`).join('&');
  assert.match(said(`#results?${many}`), new RegExp(`only ${MOST_PINS} areas`));
  assert.equal(readAddress(`#results?${many}`).choice.pins.length, MOST_PINS);
});
