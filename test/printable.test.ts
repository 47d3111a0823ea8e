import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { escaped, printable, shownUrl, withoutSecrets } from '../src/printable.ts';

/** Code points that must not reach a terminal: C0, DEL, C1, line separators, and marks of direction. */
const FORBIDDEN = [
  ...Array.from({ length: 0x20 }, (_, i) => i),
  ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i),
  ...[0x61c, 0x200e, 0x200f, 0x2028, 0x2029],
  ...[0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069],
].map((code) => String.fromCodePoint(code));

describe('text for people', () => {
  it('keeps all but what a terminal obeys and what reorders text', () => {
    for (const character of FORBIDDEN) {
      assert.equal(printable(`a${character}b`), 'a·b');
      assert.doesNotMatch(
        escaped(`a${character}b`),
        new RegExp(character.replace(/[|^$.()[\]{}*+?\\]/g, '\\$&'), 'u'),
      );
    }
    for (const plain of ['é', '🚕', '👩‍👩‍👧', 'مرحبا', 'a b', '=1+1', '–'])
      assert.equal(printable(plain), plain);
  });

  it('is the same JSON when it is escaped', () => {
    const text = fc.string({
      unit: fc.oneof(
        fc.constantFrom(...FORBIDDEN),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      ),
    });
    fc.assert(
      fc.property(fc.dictionary(text, text), (value) => {
        const json = escaped(JSON.stringify(value));
        assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify(value)));
        for (const character of FORBIDDEN) assert.ok(!json.includes(character));
      }),
    );
  });
});

describe('URLs for people', () => {
  const SECRET = 's3cr3t';
  it('are without user, password, query string and fragment, whatever their form', () => {
    const word = fc.constantFrom('a', 'user', 'x-y', '%20', '');
    const url = fc.record({
      scheme: fc.constantFrom('http://', 'https://', 'HTTPS://', ''),
      user: fc.constantFrom(
        '',
        `${SECRET}@`,
        `${SECRET}:p@`,
        `u:${SECRET}@`,
        `u:${SECRET}/x@`,
        `u:@${SECRET}@`,
      ),
      host: fc.constantFrom('localhost:9200', 'h.example', '[::1]:9200', '10.0.0.1'),
      path: fc.array(word, { maxLength: 2 }).map((parts) => parts.map((part) => `/${part}`).join('')),
      query: fc.constantFrom('', `?${SECRET}`, `?token=${SECRET}`, `?a=b&X-Amz-Signature=${SECRET}`),
      fragment: fc.constantFrom('', `#${SECRET}`, `#t=${SECRET}?x`),
    });
    fc.assert(
      fc.property(url, ({ scheme, user, host, path, query, fragment }) => {
        const whole = `${scheme}${user}${host}${path}${query}${fragment}`;
        assert.equal(shownUrl(whole), `${scheme}${host}${path}`);
        if (scheme !== '')
          assert.doesNotMatch(withoutSecrets(`Error: "${whole}", says ${whole}: no`), new RegExp(SECRET));
      }),
    );
  });

  it('in a sentence leave the rest of it as it is', () => {
    for (const [text, shown] of [
      ['OpenSearch at https://h/x?token=abc: refused', 'OpenSearch at https://h/x: refused'],
      ['"taxiflow es-setup --endpoint https://h/?t=1"', '"taxiflow es-setup --endpoint https://h/"'],
      ['there is no s3://b/2016-0?.csv', 'there is no s3://b/2016-0?.csv'],
      ['s3://b/k?X-Amz-Signature=abc&x=1.', 's3://b/k.'],
      ['s3://key:word@b/2016-0?.csv', 's3://b/2016-0'],
      ['what? a/b#c @d', 'what? a/b#c @d'],
    ] as const)
      assert.equal(withoutSecrets(text), shown);
  });
});
