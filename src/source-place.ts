/** Locates a mistake in a file that a user wrote: `file:line:column`, and the line. */
import { relative } from 'node:path';

/** Number of characters shown on each side of the mistake. */
const AROUND = 40;

/** `file:line:column: problem, in: the line`; line and column start at 1. */
export function placed(path: string, line: number, column: number, problem: string, text: string): string {
  const shown = text.slice(Math.max(0, column - AROUND), column + AROUND).trim();
  return `${shownPath(path)}:${line}:${column}: ${problem}${shown === '' ? '' : `, in: ${shown}`}`;
}

/** Relative to the current folder if the file is inside it. */
export function shownPath(path: string): string {
  const near = relative('.', path);
  return near === '' || near.startsWith('..') ? path : near;
}

/** Parses JSON; errors name the file `path`. Throws `SyntaxError` with the place of the mistake. */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const at = faultOf(text);
    const before = text.slice(0, at).split('\n');
    const line = text.split('\n', before.length).at(-1)!.trimEnd();
    // Only newer versions of Node.js give the position, so it is removed here.
    const problem = (error as Error).message.replace(
      /(?: in JSON at position .*|, (?:\.{3})?".*"(?:\.{3})? is not valid JSON)$/s,
      '',
    );
    throw new SyntaxError(placed(path, before.length, before.at(-1)!.length + 1, problem, line), {
      cause: error,
    });
  }
}

const GAP = /[ \t\n\r]*/y;
const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y;
/** The valid start of a string. */
const STRING_START = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** Offset of the first character that makes a text invalid JSON. */
function faultOf(text: string): number {
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  const takeMark = (mark: string): boolean => {
    take(GAP);
    const is = text[at] === mark;
    if (is) at++;
    return is;
  };
  const takeKey = (): boolean => {
    take(GAP);
    return take(STRING) && takeMark(':');
  };
  // The closing brackets still expected, innermost last.
  const open: string[] = [];
  for (;;) {
    take(GAP);
    if (takeMark('[')) {
      if (!takeMark(']')) {
        open.push(']');
        continue;
      }
    } else if (takeMark('{')) {
      if (!takeMark('}')) {
        open.push('}');
        if (!takeKey()) break;
        continue;
      }
    } else if (!take(STRING) && !take(SCALAR)) break;
    while (open.length > 0 && takeMark(open.at(-1)!)) open.pop();
    if (open.length === 0 || !takeMark(',')) break;
    if (open.at(-1) === '}' && !takeKey()) break;
  }
  take(GAP);
  STRING.lastIndex = at;
  if (!STRING.test(text)) take(STRING_START);
  return Math.min(at, text.length);
}
