/** What a state was made of (C5): a state of another stream, other views or other settings is refused. */
import type { StateIdentity } from '../engine/state-store.ts';
import { TaxiflowError } from '../errors.ts';
import { formatOf, type Sqlite } from '../sqlite.ts';
import { corruptRow, rowCrc } from './rows.ts';

/** The format from which on the rows have checksums. */
const CHECKED_FORMAT = 7;

interface IdentityRow {
  readonly name: keyof StateIdentity;
  readonly value: string;
}

/** What a state was made of. Throws as SQLite does of a damaged page. */
export function readIdentity(db: Sqlite): StateIdentity {
  return Object.fromEntries(
    identityRows(db).map(({ name, value }) => [name, value]),
  ) as unknown as StateIdentity;
}

function identityRows(db: Sqlite): IdentityRow[] {
  if (formatOf(db) < CHECKED_FORMAT)
    return db.prepare('SELECT name, value FROM identity').all() as IdentityRow[];
  const rows = db.prepare('SELECT name, value, crc FROM identity').all() as (IdentityRow & { crc: number })[];
  // A damaged row may have lost its value.
  for (const { name, value, crc } of rows)
    if (typeof value !== 'string' || rowCrc([name], value) !== crc)
      throw corruptRow('what the state was made of differs from its checksum');
  return rows;
}

/** Writes what a state is made of, or the parts of it that change. */
export function writeIdentity(db: Sqlite, identity: Partial<StateIdentity>): void {
  const write = db.prepare('INSERT OR REPLACE INTO identity (name, value, crc) VALUES (?, ?, ?)');
  for (const [name, value] of Object.entries(identity)) write.run(name, value, rowCrc([name], value));
}

/** Throws `other-state` where a state was made of something else than `identity`. */
export function checkIdentity(db: Sqlite, identity: StateIdentity, app: string, mayChange = false): void {
  for (const { name, value } of identityRows(db)) {
    if (identity[name] === value) continue;
    if (mayChange && (name === 'views' || (name === 'settings' && growsOnly(value, identity.settings))))
      continue;
    if (name === 'stream') refuseOtherStream(value, identity.stream, app, db.name);
    const detail = name === 'views' ? '' : `: it has ${value}, this is ${identity[name]}`;
    throw new TaxiflowError('other-state', `the state of app "${app}" was made with other ${name}${detail}`, {
      hint: 'run it as it was made, or give this job a name of its own with --app NAME',
    });
  }
}

const SETTINGS = /^(event time \w+), allowed lateness (\d+) ms$/;

/** The settings of a job as its state names them. */
export function settingsText(eventTime: 'dropoff' | 'arrival', allowedLateness: number): string {
  return `event time ${eventTime}, allowed lateness ${allowedLateness} ms`;
}

/** Ms of allowed lateness in settings. */
export function latenessIn(settings: string): number {
  return Number(SETTINGS.exec(settings)?.[2] ?? 0);
}

/** The event time in settings. */
export function eventTimeIn(settings: string): 'dropoff' | 'arrival' {
  return SETTINGS.exec(settings)?.[1] === 'event time arrival' ? 'arrival' : 'dropoff';
}

/** Whether settings differ in nothing but that more lateness is allowed. */
export function growsOnly(made: string, now: string): boolean {
  return SETTINGS.exec(made)?.[1] === SETTINGS.exec(now)?.[1] && latenessIn(now) > latenessIn(made);
}

/** Refuses a stream that the state wasn't made with, even one of the same name. Throws `other-state`. */
export function refuseOtherStream(made: string, found: string, app: string, path: string): void {
  if (made === found) return;
  const [before, now] = [streamName(made), streamName(found)];
  const otherName = before !== now;
  const elsewhere = now.startsWith('local:') ? '' : ', or lies in another region or account';
  const detail = otherName ? `it has ${before}, this is ${now}` : `${now} was made anew since${elsewhere}`;
  throw new TaxiflowError(
    'other-state',
    `the state of app "${app}" was made with another stream: ${detail}`,
    {
      hint: otherName
        ? 'run it as it was made, or give this job a name of its own with --app NAME'
        : `give this job a name of its own with --app NAME, or remove ${path} to begin afresh`,
    },
  );
}

/** A stream as a state names it: its name, and what tells it from another stream of that name. */
export function streamIdentity(stream: { readonly name: string; readonly identity: string }): string {
  return `${stream.name} (${stream.identity})`;
}

/** The name in a `streamIdentity`, which is all that people need to see. */
export function streamName(identity: string): string {
  return identity.replace(/ \(.*\)$/, '');
}
