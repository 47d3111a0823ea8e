/**
 * A state whose point of commitment is in S3 (C8). The working state is a local file; at each interval its changes go up as an
 * object, and then the head that names them. Sinks get only results that the last accepted head covers.
 *
 *  H4 the head names a whole copy (the base) and the changes since. A copy that was made meanwhile takes the place of the base with
 *     the first changes taken after it was done; changes from before it was begun are left out.
 *  H5 an object is removed once an accepted head no longer names it.
 */
import { createHash, randomUUID } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { type Clock, hasPassed } from '../clock.ts';
import type { Checkpoint, StateIdentity, StateStore, StoredState } from '../engine/state-store.ts';
import type { BlockPlace, Key, PaneBlock, WindowSpan } from '../engine/windows/pane-runs.ts';
import { EXIT, TaxiflowError, translate, translating } from '../errors.ts';
import { Attempts } from '../net/retry.ts';
import { makeFolder, replaceFile, syncFolder } from '../private-files.ts';
import { isOutOfReach, OUT_OF_REACH } from '../s3/errors.ts';
import type { ObjectStore } from '../s3/object-store.ts';
import { unpackSavepoint } from '../savepoints/file.ts';
import { withScratch, withScratchBeside } from '../savepoints/places.ts';
import { Database } from '../sqlite.ts';
import { noteRestored } from '../state/checkpoint-row.ts';
import { isRunning, statePath, takeLock } from '../state/files.ts';
import { growsOnly, streamName } from '../state/identity.ts';
import { rowCrc, StateRows } from '../state/rows.ts';
import type { RemoteStatus } from '../state/run-row.ts';
import { FORMAT } from '../state/schema.ts';
import type { SqliteState } from '../state/store.ts';
import { refuseForeignParts } from '../state/verify.ts';
import { type ViewChange, viewChanges } from '../state/view-changes.ts';
import type { View } from '../views/language.ts';
import { copyInThread } from './base.ts';
import { applyChanges, Changes } from './changes.ts';
import { type Found, type HeadContent, OwnHead, type Part, readHead } from './head.ts';

/** So many changes, or changes larger than the base, are worth a new base. */
const MOST_INCREMENTS = 64;
const LEAST_BASE_BYTES = 4 << 20;
/** Between two heads that change nothing, while the owner is busy with something long. */
const BEAT_MS = 2_000;
/** After a whole copy failed, the next one is tried no earlier. */
const COPY_AGAIN_MS = 300_000;
/** A head that has not moved for so many of its intervals stands still. */
const MISSED_BEATS = 3;
/** Between two looks of a standby. */
const LEAST_LOOK_MS = 200;
const MOST_LOOK_MS = 2_000;
const MOST_UNPACKED = 2 ** 31;

const packed = promisify(gzip);
const unpackedBytes = promisify(gunzip) as (bytes: Buffer, options: object) => Promise<Buffer>;

export interface RemoteOptions {
  readonly store: ObjectStore;
  /** Prefix of keys, with `/` at its end or empty. */
  readonly prefix: string;
  readonly dataDir: string;
  readonly app: string;
  readonly identity: StateIdentity;
  /** Take over a state that was made with other views. */
  readonly acceptChanges: boolean;
  readonly clock: Clock;
  /** Ms between heads. */
  readonly interval: number;
  readonly signal: AbortSignal;
  readonly onNote: (note: string) => void;
}

/** The head of a job that was taken over, with its local state restored; the next step is to open that. */
export interface TakenState {
  readonly head: OwnHead;
  /** Where the state goes on from; undefined for a new one. */
  readonly from: HeadContent | undefined;
}

const keyOf = ({ prefix, app }: Pick<RemoteOptions, 'prefix' | 'app'>) => `${prefix}${app}/head.json`;

/** The job as a head names it: views may be long. */
function jobOf({ stream, views, settings }: StateIdentity): string {
  const digest = createHash('sha256').update(views).digest('hex').slice(0, 16);
  return JSON.stringify({ stream, views: digest, settings });
}

/** Waits until the head has not moved for `patience` ms by our own clock; null if there is none. Ends early when stopped. */
export async function waitAsStandby(options: RemoteOptions, patience: number): Promise<Found | null> {
  const { store, clock, signal, onNote } = options;
  const look = Math.min(MOST_LOOK_MS, Math.max(LEAST_LOOK_MS, patience / 10));
  let seen: Found | null | undefined;
  let isTrouble = false;
  for (let since = clock.now(); !signal.aborted; await clock.sleep(look, signal)) {
    try {
      const found = (await readHead(store, keyOf(options))) ?? null;
      if (found) refuseOther(options, found);
      else if (seen) throw gone(store.url(keyOf(options)));
      // A look that failed tells nothing about the head.
      if (seen === undefined || isTrouble || found?.etag !== seen?.etag) since = clock.now();
      isTrouble = false;
      seen = found;
      // Some heads move more seldom than a standby would wait.
      const silence = Math.max(patience, MISSED_BEATS * (seen?.content.interval ?? 0));
      if (hasPassed(clock, since, silence)) return seen;
    } catch (error) {
      if (!isOutOfReach(error)) throw error;
      if (!isTrouble) onNote(`the head can't be seen: ${error.message}`);
      isTrouble = true;
    }
  }
  return seen ?? null;
}

/**
 * Takes the head of a job over, and makes the local state what the head names. Throws `other-state` for the head of another job, before
 * anything is changed, and `taken-over`.
 */
export async function takeState(options: RemoteOptions, seen?: Found | null): Promise<TakenState> {
  const { store, dataDir, app, identity } = options;
  const key = keyOf(options);
  const found = seen === undefined ? ((await readHead(store, key)) ?? null) : seen;
  if (found) refuseOther(options, found);
  if (isRunning(dataDir, app)) {
    throw new TaxiflowError('app-running', `app "${app}" is being run by another process in ${dataDir}`, {
      hint: 'stop that one first, or use a --data-dir of its own for this one, which then takes over',
    });
  }
  // The head is of other views once it names a state that is.
  const job = {
    app,
    stream: found?.content.base ? found.content.stream : jobOf(identity),
    interval: options.interval,
  };
  const head = await OwnHead.take(store, key, job, found);
  const from = found?.content.base ? found.content : undefined;
  // A state that is restored and not marked would be refused as one that was never of this head.
  markRemote(dataDir, app, store.url(key));
  if (from) await whileBeating(head, options, () => restore(options, from, head.content));
  return { head, from };
}

/** Refuses the head of another job, and to write over a local state that was never of this head. */
function refuseOther(options: RemoteOptions, { content }: Found): void {
  const { store, dataDir, app, identity, prefix } = options;
  const url = store.url(keyOf({ prefix, app }));
  if (!canGoOn(options, content)) throw otherJob(url, content, identity);
  refuseStrayState(dataDir, app, url);
}

function canGoOn({ identity, acceptChanges }: RemoteOptions, content: HeadContent): boolean {
  const [theirs, ours] = [jobIn(content.stream), jobIn(jobOf(identity))];
  return (
    theirs.stream === ours.stream &&
    (theirs.settings === ours.settings || growsOnly(theirs.settings, ours.settings)) &&
    (theirs.views === ours.views || acceptChanges)
  );
}

function jobIn(job: string): Record<keyof StateIdentity, string> {
  try {
    const { stream, views, settings } = JSON.parse(job);
    return { stream: String(stream), views: String(views), settings: String(settings) };
  } catch {
    return { stream: job, views: '', settings: '' };
  }
}

function gone(url: string): TaxiflowError {
  return new TaxiflowError('state-gone', `${url} is no longer there, though it was a moment ago`, {
    hint: 'whoever has the state on disk may run it again with --state; a new one would begin with the stream as it is now',
  });
}

function otherJob(url: string, content: HeadContent, identity: StateIdentity): TaxiflowError {
  const theirs = jobIn(content.stream);
  const other =
    theirs.stream !== identity.stream
      ? `of another stream: ${streamName(theirs.stream)}${streamName(theirs.stream) === streamName(identity.stream) ? ', made anew since' : ''}`
      : theirs.views !== jobIn(jobOf(identity)).views
        ? 'made with other views'
        : `made with other settings: ${theirs.settings}`;
  const isOfOtherViews = other === 'made with other views';
  return new TaxiflowError('other-state', `the state at ${url} is ${other}`, {
    hint: `${isOfOtherViews ? 'change its views with --accept-changes ("process --dry-run" tells what becomes of them)' : 'run it as it was made'}, or give this job a name of its own with --app NAME`,
  });
}

function inState<T>(app: string, path: string, work: () => T): T {
  return translating(`the state of app "${app}"`, path, work);
}

const markPath = (dataDir: string, app: string) => `${statePath(dataDir, app)}.remote`;

/** The head that the local state of an app is a copy of, if it is one. */
export function headOfLocal(dataDir: string, app: string): string | undefined {
  const path = markPath(dataDir, app);
  if (!existsSync(path) || !existsSync(statePath(dataDir, app))) return undefined;
  return inState(app, path, () => readFileSync(path, 'utf8'));
}

function refuseStrayState(dataDir: string, app: string, url: string): void {
  const path = statePath(dataDir, app);
  if (!existsSync(path) || headOfLocal(dataDir, app) === url) return;
  throw new TaxiflowError('other-state', `there is a local state ${path} that is not that of ${url}`, {
    hint: 'give this job a name of its own with --app NAME, or move the file away',
  });
}

function markRemote(dataDir: string, app: string, url: string): void {
  const path = markPath(dataDir, app);
  inState(app, path, () => {
    makeFolder(dirname(path));
    // Half a mark would be that of another head, and a state without one is refused, so it is safe before there is a state.
    if (existsSync(path) && readFileSync(path, 'utf8') === url) syncFolder(dirname(path));
    else replaceFile(path, url);
  });
}

/** Makes the local state of what a head names, for the life that its new head begins. */
async function restore(
  options: RemoteOptions,
  content: HeadContent,
  { created, epoch }: HeadContent,
): Promise<void> {
  const path = statePath(options.dataDir, options.app);
  const lock = inState(options.app, path, () => takeLock(path, options.app));
  try {
    const move = (state: string) => {
      const db = new Database(state);
      try {
        beginLife(db, created);
        noteRestored(db, { from: options.store.url(keyOf(options)), epoch });
        refuseForeignParts(new StateRows(db, 'the state in S3', options.store.url(content.base!.key)));
      } finally {
        db.close();
      }
      for (const suffix of ['-wal', '-shm', '']) rmSync(path + suffix, { force: true });
      // The log of the state before must not come back beside this one.
      syncFolder(dirname(path));
      renameSync(state, path);
    };
    await withFetched(options, content, move, withScratchBeside);
  } catch (error) {
    throw translate(error, `the state of app "${options.app}"`, path);
  } finally {
    lock.close();
  }
}

/** Runs `work` on a state file made of the base and the changes that a head names. */
function withFetched<T>(
  { store, dataDir }: Pick<RemoteOptions, 'store' | 'dataDir'>,
  content: HeadContent,
  work: (state: string) => T,
  scratch: (work: (folder: string) => Promise<T>, parent: string) => Promise<T> = withScratch,
): Promise<T> {
  return scratch(
    async (folder) => {
      const base = join(folder, 'base.savepoint');
      await fetchPart(store, content.base!, base);
      const state = join(folder, 'state.sqlite');
      await unpackSavepoint(base, state);
      const db = new Database(state);
      try {
        for (const [i, part] of content.increments.entries()) {
          const file = join(folder, `${i}.changes`);
          await fetchPart(store, part, file);
          const bytes = await unpackedBytes(readFileSync(file), { maxOutputLength: MOST_UNPACKED });
          writeFileSync(file, bytes);
          applyChanges(db, file);
          rmSync(file);
        }
      } finally {
        db.close();
      }
      return work(state);
    },
    join(dataDir, 'tmp'),
  );
}

/** What would become of the views of a state in S3, which is only looked at; nothing if there is none. */
export async function remoteChanges(
  options: Pick<RemoteOptions, 'store' | 'prefix' | 'dataDir' | 'app'>,
  views: readonly View[],
): Promise<readonly ViewChange[]> {
  const found = await readHead(options.store, keyOf(options));
  if (!found?.content.base) return [];
  return withFetched(options, found.content, (state) => {
    const db = new Database(state, { readonly: true });
    try {
      return viewChanges(db, views);
    } finally {
      db.close();
    }
  });
}

/** Moves the head while `work` takes its time, so that no standby takes its owner for dead. Throws `taken-over` when it is too late. */
export async function whileBeating<T>(
  head: OwnHead,
  { clock }: Pick<RemoteOptions, 'clock'>,
  work: () => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  let lost: unknown;
  const beat = async () => {
    for (;;) {
      await clock.sleep(BEAT_MS, over.signal);
      if (over.signal.aborted) return;
      try {
        await head.replace(head.content);
      } catch (error) {
        if (isOutOfReach(error)) continue;
        lost = error;
        return;
      }
    }
  };
  const beating = beat();
  try {
    return await work();
  } finally {
    over.abort();
    await beating;
    // biome-ignore lint/correctness/noUnsafeFinally: nothing that was made counts any more
    if (lost) throw lost;
  }
}

/** A new life of a state writes above what any earlier one has written: when it began is in the head that made it the owner. */
function beginLife(db: InstanceType<typeof Database>, created: number): void {
  // What its last processor noted stays until the next one does: it has the job's past.
  db.prepare('UPDATE run SET created = ?, crc = ?').run(created, rowCrc([created], ''));
}

async function fetchPart(store: ObjectStore, part: Part, path: string): Promise<void> {
  if (!(await store.fetch(part.key, path))) throw damaged(store.url(part.key), 'it is missing');
  if ((await digestOf(path)) !== part.sha256)
    throw damaged(store.url(part.key), 'it differs from its checksum');
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function damaged(url: string, detail: string): TaxiflowError {
  return new TaxiflowError('damaged', `${url}, which the head of the state names, is damaged: ${detail}`, {
    hint: 'restore a savepoint with another --app, or begin anew with another --app or prefix',
  });
}

/** What goes up with one head. */
interface Upload {
  readonly increments: readonly Part[];
  readonly base: Part;
  readonly checkpoint: number;
  /** When that checkpoint was committed, epoch ms. */
  readonly at: number | undefined;
  readonly nextResult: number;
  /** Number of the archive's open file. */
  readonly openFile: number;
}

export class RemoteState implements StateStore {
  readonly #o: RemoteOptions;
  readonly #state: SqliteState;
  readonly #head: OwnHead;
  readonly #changes: Changes;
  readonly #onCovered: () => void;
  #uploading: Promise<void> | undefined;
  #failure: unknown;
  #last = Number.NEGATIVE_INFINITY;
  /** Number of the checkpoint that the last accepted head covers. */
  #covered: number;
  /** When that one was committed, epoch ms; undefined before the first. */
  coveredAt: number | undefined;
  /** Changes since the base, as the next head will name them. */
  #increments: readonly Part[];
  #base: Part | undefined;
  /** A new base in the making, and the changes taken since it was begun. */
  #next: { readonly made: Promise<Part>; done: Part | undefined; since: Part[] } | undefined;
  #isTrouble = false;
  readonly #stopped = new AbortController();
  #removing: Promise<void> = Promise.resolve();
  /** When a whole copy failed, epoch ms. */
  #copyFailed = Number.NEGATIVE_INFINITY;
  /** Whether what earlier lives left behind is still to be removed. */
  #isFirst = true;

  /** `onCovered` is called when results may leave that had to wait. */
  constructor(options: RemoteOptions, state: SqliteState, { head, from }: TakenState, onCovered: () => void) {
    this.#o = options;
    this.#state = state;
    this.#head = head;
    this.#onCovered = onCovered;
    this.#changes = inState(options.app, state.path, () => new Changes(state.db));
    // When this life began is to be known to the next one.
    state.db.exec('UPDATE run SET created = created');
    const isUsable = from?.base && from.state_format === FORMAT && from.stream === jobOf(options.identity);
    this.#base = isUsable ? from.base! : undefined;
    this.#increments = isUsable ? from.increments : [];
    this.#covered = from?.checkpoint ?? 0;
    this.coveredAt = from && state.checkpointAt;
    state.outbox.cover(from?.next_result ?? 1);
    // The state is what the head names, so its closed files are covered.
    state.archive.cover(from ? state.archive.openFile : 1);
  }

  get stored(): StoredState | undefined {
    return this.#state.stored;
  }

  block(place: BlockPlace): Uint8Array | undefined {
    return this.#state.block(place);
  }

  firstKey(place: BlockPlace): Key | undefined {
    return this.#state.firstKey(place);
  }

  rewrite(blocks: Iterable<PaneBlock>): void {
    this.#state.rewrite(blocks);
  }

  put(blocks: Iterable<PaneBlock>): void {
    this.#state.put(blocks);
  }

  drop(window: WindowSpan & { readonly view: string }): void {
    this.#state.drop(window);
  }

  commit(checkpoint: Checkpoint): void {
    if (this.#failure) throw this.#failure;
    this.#state.commit(checkpoint);
    if (!this.#uploading && hasPassed(this.#o.clock, this.#last, this.#o.interval)) this.#begin();
  }

  async flush(): Promise<void> {
    while (this.#covered < this.#state.checkpoint && !this.#failure) {
      if (!this.#uploading) this.#begin();
      await this.#uploading;
    }
    if (this.#failure) throw this.#failure;
  }

  /** Commits where the sinks stand, after they are closed: results that have left are not to leave again. */
  async finish(): Promise<void> {
    await this.#uploading;
    if (this.#failure || this.#covered === 0) return;
    // Short runs would else never come to use a new base that they made.
    await this.#next?.made.catch(() => {});
    this.#begin();
    await this.#uploading;
    if (this.#failure)
      this.#o.onNote(`where the sinks stand is not in S3: ${(this.#failure as Error).message}`);
  }

  /** The head that covers the state, for people. */
  get status(): RemoteStatus {
    return {
      head: this.#o.store.url(keyOf(this.#o)),
      epoch: this.#head.content.epoch,
      checkpoint: this.#covered,
      at: this.coveredAt === undefined ? null : new Date(this.coveredAt).toISOString(),
    };
  }

  /** Gives up waiting for S3. */
  stop(): void {
    this.#stopped.abort();
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.stop();
    await this.#uploading;
    await this.#next?.made.catch(() => {});
    await this.#removing;
  }

  #begin(): void {
    this.#last = this.#o.clock.now();
    this.#uploading = this.#upload()
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#uploading = undefined;
      });
  }

  async #upload(): Promise<void> {
    if (!this.#base && !this.#next) await whileBeating(this.#head, this.#o, () => this.#beginBase());
    const upload = await this.#take();
    const { base, increments, checkpoint, at, nextResult, openFile } = upload;
    const before = this.#head.content;
    await this.#patiently(() =>
      this.#head.replace(
        { base, increments, state_format: FORMAT, checkpoint, next_result: nextResult },
        jobOf(this.#o.identity),
      ),
    );
    this.#base = base;
    this.#increments = increments;
    this.#covered = checkpoint;
    this.coveredAt = at;
    this.#state.outbox.cover(nextResult);
    this.#state.archive.cover(openFile);
    this.#onCovered();
    this.#removing = this.#removing.then(() => this.#removeUnnamed(before, upload));
    if (
      !this.#next &&
      this.#isBaseDue(base, increments) &&
      hasPassed(this.#o.clock, this.#copyFailed, COPY_AGAIN_MS)
    )
      void this.#beginBase().catch((error: unknown) => {
        this.#copyFailed = this.#o.clock.now();
        this.#o.onNote(`no new copy of the state could be made: ${(error as Error).message}`);
      });
  }

  /** Takes the changes since the last upload, and the place of the commit they lead to. */
  async #take(): Promise<Upload> {
    const changes = inState(this.#o.app, this.#state.path, () => this.#changes.take());
    // These belong to the same moment.
    const { checkpoint, checkpointAt: at, outbox, archive } = this.#state;
    const { nextResult } = outbox;
    const { openFile } = archive;
    const next = this.#next;
    const made = next?.done;
    if (changes && changes.length > MOST_UNPACKED) {
      // More than can be unpacked at once: a whole copy has them too.
      this.#next = undefined;
      await this.#beginBase();
      return this.#take();
    }
    if (changes) {
      const part = await this.#put('changes', await packed(changes, { level: 1 }));
      this.#increments = [...this.#increments, part];
      next?.since.push(part);
    }
    if (made) {
      this.#next = undefined;
      return { base: made, increments: next!.since, checkpoint, at, nextResult, openFile };
    }
    return { base: this.#base!, increments: this.#increments, checkpoint, at, nextResult, openFile };
  }

  #isBaseDue(base: Part, increments: readonly Part[]): boolean {
    const bytes = increments.reduce((sum, part) => sum + part.bytes, 0);
    return increments.length >= MOST_INCREMENTS || bytes > Math.max(base.bytes, LEAST_BASE_BYTES);
  }

  #beginBase(): Promise<Part> {
    const made = this.#copy();
    const next = { made, done: undefined as Part | undefined, since: [] as Part[] };
    this.#next = next;
    made.then(
      (part) => {
        next.done = part;
      },
      () => {
        if (this.#next === next) this.#next = undefined;
      },
    );
    return made;
  }

  async #copy(): Promise<Part> {
    const { dataDir, app } = this.#o;
    return withScratch(
      async (folder) => {
        const path = join(folder, 'base.savepoint');
        await copyInThread({ state: this.#state.path, app, path });
        const key = this.#keyFor('base');
        await this.#patiently(() => this.#o.store.putFile(key, path));
        return { key, sha256: await digestOf(path), bytes: statSync(path).size };
      },
      join(dataDir, 'tmp'),
    ).catch((error: unknown) => {
      throw translate(error, `the copy of the state of app "${app}"`, join(dataDir, 'tmp'));
    });
  }

  async #put(kind: string, bytes: Buffer): Promise<Part> {
    const key = this.#keyFor(kind);
    await this.#patiently(() => this.#o.store.put(key, bytes));
    return { key, sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length };
  }

  /** A name that no other process uses, in the order of the heads. */
  #keyFor(kind: string): string {
    const { prefix, app } = this.#o;
    const { epoch, sequence } = this.#head.content;
    const number = `${String(epoch).padStart(6, '0')}-${String(sequence + 1).padStart(9, '0')}`;
    return `${prefix}${app}/${number}-${randomUUID().slice(0, 8)}.${kind}`;
  }

  /** Repeats work for as long as S3 can't be reached. Other errors end it. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    const { clock, onNote } = this.#o;
    const signal = AbortSignal.any([this.#o.signal, this.#stopped.signal]);
    for (const attempts = new Attempts(clock, signal); ; ) {
      try {
        const done = await work();
        if (this.#isTrouble) onNote('S3 takes the state again');
        this.#isTrouble = false;
        return done;
      } catch (error) {
        if (!isOutOfReach(error)) throw error;
        if (!this.#isTrouble) onNote(`results wait until the state is in S3: ${error.message}`);
        this.#isTrouble = true;
        // Whoever stopped the run does not wait for S3; the next run reads again from the last head.
        if (signal.aborted)
          throw new TaxiflowError('s3-unreachable', error.message, {
            hint: 'the next run goes on from what S3 has',
            exitCode: EXIT.failed,
          });
        await attempts.again(OUT_OF_REACH);
      }
    }
  }

  async #removeUnnamed(before: HeadContent, { base, increments }: Upload): Promise<void> {
    const named = new Set([base.key, ...increments.map(({ key }) => key)]);
    const old = [...(before.base ? [before.base] : []), ...before.increments].filter(
      ({ key }) => !named.has(key),
    );
    for (const { key } of old) await this.#o.store.delete(key).catch(() => {});
    if (!this.#isFirst) return;
    this.#isFirst = false;
    await this.#removeLeftovers(named).catch(() => {});
  }

  /** Objects of earlier lives that no head came to name. */
  async #removeLeftovers(named: ReadonlySet<string>): Promise<void> {
    const { store, prefix, app } = this.#o;
    const own = `${prefix}${app}/`;
    for await (const { key } of store.list(own)) {
      const epoch = Number(/^(\d{6,})-\d{9,}-[0-9a-f]{8}\.\w+$/.exec(key.slice(own.length))?.[1]);
      if (epoch < this.#head.content.epoch && !named.has(key)) await store.delete(key);
    }
  }
}
