/** Names of places, from `places.json`, which `scripts/outline.ts` makes. */

/** Name, borough, longitude and latitude of the centre (degrees). */
export type Place = readonly [name: string, borough: string, lon: number, lat: number];

/** Length of a degree of longitude in degrees of latitude, in New York. */
const LON_SCALE = 0.758;

/** The place with the nearest centre; a nameless one if `places` is empty. */
export function nearest(places: readonly Place[], lat: number, lon: number): Place {
  let found: Place = ['', '', 0, 0];
  let least = Number.POSITIVE_INFINITY;
  for (const place of places) {
    const distance = ((place[2] - lon) * LON_SCALE) ** 2 + (place[3] - lat) ** 2;
    if (distance < least) [found, least] = [place, distance];
  }
  return found;
}

/** Names that people look for, and the words that stand for them in the list. */
const ALSO: ReadonlyMap<string, string> = new Map([
  ['lga', 'laguardia airport'],
  ['ewr', 'newark airport'],
  ['kennedy', 'jfk airport'],
  ['wtc', 'world trade center'],
]);
/** Words that are written in two ways. */
const ABBREVIATIONS: ReadonlyMap<string, string> = new Map([
  ['sq', 'square'],
  ['st', 'saint'],
  ['ft', 'fort'],
  ['mt', 'mount'],
]);
/** Letters of a word from which on one of them may be wrong. */
const TYPO_FROM = 5;

/** How a name fits, best first. */
const FITS = ['name', 'start', 'words', 'within', 'borough', 'typo'] as const;
type Fit = (typeof FITS)[number];

/**
 * The places that a text fits, best first: names that are the text, that begin with it, that have words which begin with its
 * words, or that hold it within a word; then all places of a borough, then names with one letter wrong. Case and accents
 * don't count.
 */
export function findPlaces(places: readonly Place[], text: string): Place[] {
  const asked = wordsOf(text);
  const also = ALSO.get(asked.join(' '));
  const words = also ? also.split(' ') : asked;
  if (words.length === 0) return [];
  const found: { place: Place; rank: number }[] = [];
  for (const place of places) {
    const rank = rankOf(place, words);
    if (rank !== undefined) found.push({ place, rank });
  }
  found.sort((a, b) => a.rank - b.rank || a.place[0].length - b.place[0].length);
  return found.map(({ place }) => place);
}

/** The worst fit of the words, and the number of those that only say which borough is meant; none if a word fits nothing. */
function rankOf([name, borough]: Place, asked: readonly string[]): number | undefined {
  const words = wordsOf(name).map(writtenOut);
  const joined = words.join('');
  const wanted = [asked.join(''), asked.map(writtenOut).join('')];
  if (wanted.includes(joined)) return rank('name');
  if (wanted.some((text) => joined.startsWith(text))) return rank('start');
  const boroughs = wordsOf(borough);
  const fits = asked.map((word) => fitOf(words, word) ?? (fitOf(boroughs, word) ? 'borough' : undefined));
  if (fits.includes(undefined)) return undefined;
  const worst = FITS.findLast((fit) => fit !== 'borough' && fits.includes(fit)) ?? 'borough';
  const byBorough = fits.filter((fit) => fit === 'borough').length;
  return rank(worst) + byBorough / (fits.length + 1);
}

function rank(fit: Fit): number {
  return FITS.indexOf(fit);
}

function fitOf(words: readonly string[], asked: string): Fit | undefined {
  if (words.some((word) => word.startsWith(asked) || word.startsWith(writtenOut(asked)))) return 'words';
  if (asked.length > 2 && words.some((word) => word.includes(asked))) return 'within';
  return asked.length >= TYPO_FROM && words.some((word) => beginsAlmost(word, asked)) ? 'typo' : undefined;
}

function writtenOut(word: string): string {
  return ABBREVIATIONS.get(word) ?? word;
}

/** Whether a word begins with a text in which one letter is wrong, missing, too many or changed places with its neighbour. */
function beginsAlmost(word: string, text: string): boolean {
  let i = 0;
  while (i < text.length && word[i] === text[i]) i++;
  const begins = (of: number, from: number) => word.slice(of).startsWith(text.slice(from));
  const isSwapped = word[i] === text[i + 1] && word[i + 1] === text[i] && begins(i + 2, i + 2);
  return begins(i + 1, i + 1) || begins(i + 1, i) || begins(i, i + 1) || isSwapped;
}

/** Words in small letters without accents; apostrophes and points are no letters of a word. */
function wordsOf(text: string): string[] {
  const plain = text.normalize('NFD').replace(/[\u0300-\u036f'’.]/g, '');
  return plain.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}
