/**
 * What may be shown to people. Text from files, streams, servers and command lines can hold characters that a terminal
 * obeys or that reorder what is read, and URLs can hold secrets.
 */

/** Control characters (C0, DEL, C1), line separators, and marks that change the direction of text. */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** One line of text for a terminal: each character that is not to be printed becomes `·`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '·');
}

/** Text as data: characters that are not to be printed are written as JSON writes them, `\u001b`. Valid JSON stays equal. */
export function escaped(text: string, keep = ''): string {
  return text.replace(UNPRINTABLE, (character) =>
    keep.includes(character) ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A URL without what can be a secret: user name, password, query string and fragment. Text that is no URL likewise. */
export function shownUrl(url: string): string {
  const bare =
    URL.canParse(url) && new URL(url).host !== '' ? url : url.replace(/^([a-z][a-z\d+.-]*:\/\/)?.*@/is, '$1');
  return bare.replace(/[?#].*$/s, '').replace(/^([a-z][a-z\d+.-]*:\/\/)[^/]*@/is, '$1');
}

const URLS = /\b[a-z][a-z\d+.-]*:\/\/[^\s"'<>|]+/gi;
/** What stands behind a URL in a sentence. */
const END_OF_URL = /[.,:;!)\]]+$/;

/** Text with the secrets of each URL in it left out. In `s3://` a question mark is a wildcard, unless `NAME=` follows. */
export function withoutSecrets(text: string): string {
  return text.replace(URLS, (match) => {
    const url = match.replace(END_OF_URL, '');
    const wildcards = /^s3:\/\/[^/@]*\//i.test(url) && !/[?&][^/&=]*=/.test(url);
    return wildcards ? match : shownUrl(url) + match.slice(url.length);
  });
}
