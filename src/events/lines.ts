/**
 * Splits the data of one stream record: other producers put several JSON lines, or several concatenated objects, into
 * one record.
 */

const NEWLINE = 0x0a;
const BLANKS = [0x20, 0x09, 0x0a, 0x0d];
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/**
 * The records in `data[start, end)`, as pairs of start and end. Data that is one JSON value is one record; otherwise each
 * line that isn't blank is a record, or several if it consists of several objects. Blank data is one record.
 */
export function recordsIn(data: Buffer, start: number, end: number): number[] {
  if (isJson(data, start, end)) return [start, end];
  const pieces: number[] = [];
  const own = data.subarray(0, end);
  for (let at = start; at < end; ) {
    const newline = own.indexOf(NEWLINE, at);
    const to = newline < 0 ? end : newline;
    if (skipBlank(data, at, to) < to) addRecordsOf(data, at, to, pieces);
    at = to + 1;
  }
  return pieces.length > 0 ? pieces : [start, end];
}

function addRecordsOf(data: Buffer, start: number, end: number, pieces: number[]): void {
  const objects = isJson(data, start, end) ? undefined : objectsIn(data, start, end);
  for (const edge of objects ?? [start, end]) pieces.push(edge);
}

/** The objects of a line that consists of objects and white space only, else undefined. */
function objectsIn(data: Buffer, start: number, end: number): number[] | undefined {
  const pieces: number[] = [];
  for (let at = skipBlank(data, start, end); at < end; at = skipBlank(data, at, end)) {
    const close = data[at] === OPEN ? endOfObject(data, at, end) : -1;
    if (close < 0 || !isJson(data, at, close)) return undefined;
    pieces.push(at, close);
    at = close;
  }
  return pieces;
}

/** The index after the brace that closes the one at `start`; −1 if there is none. */
function endOfObject(data: Buffer, start: number, end: number): number {
  let depth = 0;
  let quoted = false;
  for (let at = start; at < end; at++) {
    const c = data[at];
    if (quoted) {
      if (c === BACKSLASH) at++;
      else if (c === QUOTE) quoted = false;
    } else if (c === QUOTE) quoted = true;
    else if (c === OPEN) depth++;
    else if (c === CLOSE && --depth === 0) return at + 1;
  }
  return -1;
}

/** The index of the first byte from `start` on that is not JSON white space. */
function skipBlank(data: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && BLANKS.includes(data[at]!)) at++;
  return at;
}

function isJson(data: Buffer, start: number, end: number): boolean {
  try {
    JSON.parse(data.toString('utf8', start, end));
    return true;
  } catch {
    return false;
  }
}
