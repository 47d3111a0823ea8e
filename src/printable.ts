/**
 * Makes text safe to show. Text from files, streams, servers and command lines can hold characters that control a
 * terminal or reorder what is read, and URLs can hold secrets.
 */

/** Control characters (C0, DEL, C1), line separators, and marks that change the direction of text. */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Text for a terminal, on one line: each unprintable character becomes `·`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '·');
}

/** Text for data: unprintable characters not in `keep` become JSON escapes such as `\u001b`. JSON keeps its meaning. */
export function escaped(text: string, keep = ''): string {
  return text.replace(UNPRINTABLE, (character) =>
    keep.includes(character) ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A URL without its possible secrets: user name, password, query string and fragment. Works on text that isn't a URL too. */
export function shownUrl(url: string): string {
  const bare =
    URL.canParse(url) && new URL(url).host !== '' ? url : url.replace(/^([a-z][a-z\d+.-]*:\/\/)?.*@/is, '$1');
  return bare.replace(/[?#].*$/s, '').replace(/^([a-z][a-z\d+.-]*:\/\/)[^/]*@/is, '$1');
}

const URLS = /\b[a-z][a-z\d+.-]*:\/\/[^\s"'<>|]+/gi;
/** Punctuation after a URL in a sentence. */
const END_OF_URL = /[.,:;!)\]]+$/;

/** Removes the secrets of all URLs in a text. In `s3://` a question mark is a wildcard, unless `NAME=` follows. */
export function withoutSecrets(text: string): string {
  return text.replace(URLS, (match) => {
    const url = match.replace(END_OF_URL, '');
    const wildcards = /^s3:\/\/[^/@]*\//i.test(url) && !/[?&][^/&=]*=/.test(url);
    return wildcards ? match : shownUrl(url) + match.slice(url.length);
  });
}
