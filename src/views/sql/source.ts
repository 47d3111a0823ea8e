/** SQL text as tokens, each with its place, and errors that name it. */
import { TaxiflowError } from '../../errors.ts';
import { placed } from '../../source-place.ts';

export interface Token {
  /** `mark`: an operator or a bracket. `quoted`: a name in backticks. */
  readonly kind: 'word' | 'quoted' | 'number' | 'string' | 'mark' | 'end';
  /** As it stands; a name or a string without its quotes. */
  readonly text: string;
  /** Offset of its first character. */
  readonly at: number;
}

/** Most characters of a file of views. */
const LONGEST = 1_000_000;

const PATTERNS: readonly (readonly [kind: Token['kind'] | 'gap', pattern: RegExp])[] = [
  ['gap', /(?:\s|--[^\n]*|\/\*[\s\S]*?\*\/)+/y],
  ['word', /[A-Za-z_][\w$]*/y],
  ['quoted', /`(?:[^`]|``)+`/y],
  ['number', /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])/y],
  ['string', /'(?:[^']|'')*'/y],
  ['mark', /<>|!=|<=|>=|=>|\|\||[-+*/%(),;.=<>]/y],
];

/** What can't be read of an SQL text, and where. */
export class SqlSource {
  readonly path: string;
  readonly text: string;

  constructor(path: string, text: string) {
    this.path = path;
    this.text = text;
  }

  /** Throws `bad-view` with `file:line:column`, what is wrong there, and the line. */
  fail(at: number, problem: string, hint?: string): never {
    const before = this.text.slice(0, at).split('\n');
    const line = this.text.split('\n', before.length).at(-1)!.trimEnd();
    throw new TaxiflowError(
      'bad-view',
      placed(this.path, before.length, before.at(-1)!.length + 1, problem, line),
      { hint: hint ?? 'see "SQL" in docs/views.md', exitCode: 2 },
    );
  }

  tokens(): Token[] {
    const { text } = this;
    if (text.length > LONGEST)
      this.fail(
        0,
        `longer than ${LONGEST.toLocaleString('en-US')} characters`,
        'split it into several files',
      );
    const tokens: Token[] = [];
    for (let at = 0; at < text.length; ) {
      const [kind, end] = this.#next(at);
      if (kind !== 'gap') tokens.push({ kind, text: unquoted(kind, text.slice(at, end)), at });
      at = end;
    }
    tokens.push({ kind: 'end', text: '', at: text.trimEnd().length });
    return tokens;
  }

  #next(at: number): readonly [Token['kind'] | 'gap', number] {
    for (const [kind, pattern] of PATTERNS) {
      pattern.lastIndex = at;
      if (pattern.test(this.text)) return [kind, pattern.lastIndex];
    }
    const found = String.fromCodePoint(this.text.codePointAt(at)!);
    if (found === "'") this.fail(at, 'this string has no end', "a quote in a string is written ''");
    if (found === '`') this.fail(at, 'this name has no end');
    if (found === '"') this.fail(at, 'found "', "strings are in '…', names in `…` or without quotes");
    if (this.text.startsWith('/*', at)) this.fail(at, 'this comment has no end');
    if (/\d/.test(found)) this.fail(at, 'this is not a number');
    return this.fail(at, `found ${JSON.stringify(found)}, which no SQL has here`);
  }
}

function unquoted(kind: Token['kind'], text: string): string {
  if (kind === 'string') return text.slice(1, -1).replaceAll("''", "'");
  return kind === 'quoted' ? text.slice(1, -1).replaceAll('``', '`') : text;
}
