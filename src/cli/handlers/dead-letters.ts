import { existsSync } from 'node:fs';
import {
  countDeadLetters,
  type DeadLetterCount,
  type KeptDeadLetter,
  listDeadLetters,
} from '../../dead-letters.ts';
import { EXIT } from '../../errors.ts';
import { ledgerPath, replayNames } from '../../replay/ledger.ts';
import { openSqlite } from '../../sqlite.ts';
import { listApps } from '../../state/apps.ts';
import { StateReader } from '../../state/reader.ts';
import type { DeadLettersArguments } from '../commands/dead-letters.ts';
import { chosenFormat, formatted, printJson, say, several, thousands, write } from '../terminal.ts';

/** Number of dead letters on a terminal without --limit. */
const PAGE = 40;

interface Source {
  /** `replay of FILES into STREAM`, or `app NAME`; scope is that of the letter. */
  of(scope: string): string;
  counts(): DeadLetterCount[];
  /** In their order: all, or the latest `most`. */
  letters(reason?: string, most?: number): Iterable<KeptDeadLetter>;
  close(): void;
}

export async function deadLetters(args: DeadLettersArguments): Promise<number> {
  const sources = openSources(args.dataDir, args.app);
  const reason = args.reason;
  try {
    const counts = sources.flatMap((source) =>
      source
        .counts()
        .filter((row) => reason === undefined || row.reason === reason)
        .map((row) => ({ of: source.of(row.scope), reason: row.reason, count: row.count, kept: row.kept })),
    );
    if (args.json && args.output === undefined) {
      printJson({ command: 'dead-letters', counts, letters: [...latest(sources, reason, args.limit)] });
      return EXIT.done;
    }
    const format = chosenFormat(args.format);
    const onPage = format === 'table' && args.output === undefined && process.stdout.isTTY;
    const limit = args.limit ?? (onPage ? PAGE : Number.POSITIVE_INFINITY);
    await write(formatted(latest(sources, reason, limit), format, COLUMNS), args.output);
    if (args.json) printJson({ command: 'dead-letters', counts });
    for (const row of counts)
      say(
        `${row.of}: ${thousands(row.count)} ${row.reason}${row.kept < row.count ? `, ${thousands(row.kept)} kept` : ''}`,
      );
    const kept = counts.reduce((sum, row) => sum + row.kept, 0);
    // A limit that the user gave needs no note.
    if (args.limit === undefined && kept > limit)
      say(
        `these are the latest ${several(limit, 'dead letter')} of ${thousands(kept)}; --limit N or --limit all shows more; --reason and --app select`,
      );
    if (sources.length === 0) say(`nothing has been replayed or processed in ${args.dataDir} yet`);
    else if (counts.length === 0) say('no dead letters');
  } finally {
    for (const source of sources) source.close();
  }
  return EXIT.done;
}

/** The fields that `letters` yields, in order. */
const COLUMNS = ['of', 'reason', 'source', 'position', 'detail', 'at', 'raw'];

type Letter = Readonly<Record<'of' | 'reason' | 'source' | 'position' | 'detail' | 'at' | 'raw', string>>;

function* letters(sources: readonly Source[], reason?: string, most?: number): Generator<Letter> {
  for (const source of sources) {
    for (const { scope, reason: why, source: from, position, detail, at, raw } of source.letters(
      reason,
      most,
    )) {
      yield { of: source.of(scope), reason: why, source: from, position, detail, at, raw };
    }
  }
}

/** The latest `limit` letters of all sources, those of a source together. */
function latest(
  sources: readonly Source[],
  reason?: string,
  limit = Number.POSITIVE_INFINITY,
): Iterable<Letter> {
  if (!Number.isFinite(limit)) return letters(sources, reason);
  const found = [...letters(sources, reason, limit)];
  // Letters of one source with the same time are in their order, and sorting keeps it.
  const newest = new Set(found.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).slice(-limit));
  return found.filter((letter) => newest.has(letter));
}

function openSources(dataDir: string, app: string | undefined): Source[] {
  const apps = app === undefined ? listApps(dataDir) : [app];
  const sources = apps.map((name): Source => {
    const reader = new StateReader(dataDir, name);
    return {
      of: () => `app ${name}`,
      counts: () => reader.deadLetterCounts(),
      letters: (reason, most) => reader.deadLetters(reason, most),
      close: () => reader.close(),
    };
  });
  const path = ledgerPath(dataDir);
  if (app !== undefined || !existsSync(path)) return sources;
  const db = openSqlite(path, { what: 'the list of replays', readonly: true });
  const names = replayNames(db);
  const replays: Source = {
    of: (scope) => names.get(scope) ?? 'replay',
    counts: () => countDeadLetters(db),
    letters: (reason, most) => listDeadLetters(db, reason, most),
    close: () => db.close(),
  };
  return [replays, ...sources];
}
