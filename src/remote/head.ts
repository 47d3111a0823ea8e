/**
 * The head object: the point of commitment of a state in S3 (C8).
 *
 *  H1 it is replaced only by a conditional write on the version that its owner wrote, so the heads of a state are one line.
 *  H2 a take-over raises the epoch. Whoever finds a head that it did not write has been taken over, and writes no more.
 *  H3 a write whose answer was lost is known by what it wrote. One that was given up, and succeeded all the same, is written over.
 */
import { randomUUID } from 'node:crypto';
import { EXIT, TaxiflowError } from '../errors.ts';
import type { ObjectStore } from '../s3/object-store.ts';

export const HEAD_FORMAT = 1;

/** An object that the head names. */
export interface Part {
  readonly key: string;
  /** Of its bytes, in hex. */
  readonly sha256: string;
  readonly bytes: number;
}

export interface HeadContent {
  readonly format: number;
  readonly app: string;
  readonly stream: string;
  /** Raised by each take-over. */
  readonly epoch: number;
  /** Raised by each write. */
  readonly sequence: number;
  /** Which process wrote it. */
  readonly owner: string;
  /** A savepoint; null before the first checkpoint. */
  readonly base: Part | null;
  /** Changes since the base, in order. */
  readonly increments: readonly Part[];
  readonly state_format: number;
  /** Number of the checkpoint, and the number that its next result gets. */
  readonly checkpoint: number;
  readonly next_result: number;
  /** Ms between two heads of its owner. */
  readonly interval: number;
  /** When this epoch began, epoch ms: by the owner's clock, but always later than the epoch before. */
  readonly created: number;
  /** By the owner's clock, for people; ISO 8601. */
  readonly at: string;
}

/** Versions in OpenSearch count quarters of a second. */
const QUARTER_MS = 250;

/** What a commit changes. */
export type Change = Pick<HeadContent, 'base' | 'increments' | 'state_format' | 'checkpoint' | 'next_result'>;

/** A head as it was read. */
export interface Found {
  readonly content: HeadContent;
  readonly etag: string;
}

/** Reads a head; undefined where there is none. Throws `not-state`. */
export async function readHead(store: ObjectStore, key: string): Promise<Found | undefined> {
  const found = await store.get(key);
  if (!found) return undefined;
  const content = parsed(found.bytes);
  if (content) return { content, etag: found.etag };
  throw new TaxiflowError('not-state', `${store.url(key)} is not the head of a state of this taxiflow`, {
    hint: 'name another prefix with --state, or use the taxiflow that wrote it',
  });
}

function parsed(bytes: Buffer): HeadContent | undefined {
  try {
    const content = JSON.parse(bytes.toString()) as HeadContent;
    const isPart = (part: Part) =>
      typeof part.key === 'string' && typeof part.sha256 === 'string' && Number.isSafeInteger(part.bytes);
    const isSound =
      content.format === HEAD_FORMAT &&
      [content.app, content.stream, content.owner].every((text) => typeof text === 'string') &&
      [
        content.epoch,
        content.sequence,
        content.checkpoint,
        content.next_result,
        content.state_format,
        content.created,
        content.interval,
        content.interval,
      ].every((n) => Number.isSafeInteger(n) && n >= 0) &&
      (content.base === null || isPart(content.base)) &&
      Array.isArray(content.increments) &&
      content.increments.every(isPart);
    return isSound ? content : undefined;
  } catch {
    return undefined;
  }
}

const EMPTY: Change = { base: null, increments: [], state_format: 0, checkpoint: 0, next_result: 1 };

/** The head while this process owns it. */
export class OwnHead {
  readonly #store: ObjectStore;
  readonly #key: string;
  readonly #owner: string;
  #content: HeadContent;
  #etag: string;

  private constructor(store: ObjectStore, key: string, owner: string, { content, etag }: Found) {
    this.#store = store;
    this.#key = key;
    this.#owner = owner;
    this.#content = content;
    this.#etag = etag;
  }

  get content(): HeadContent {
    return this.#content;
  }

  /**
   * Takes the head `seen` over with the next epoch, or, for null, makes the first. It never looks again: what its caller has seen is what
   * is taken. Throws `taken-over` if another process is quicker.
   */
  static async take(
    store: ObjectStore,
    key: string,
    job: { readonly app: string; readonly stream: string; readonly interval: number },
    seen: Found | null,
  ): Promise<OwnHead> {
    const owner = randomUUID();
    const from: Change & { epoch: number; sequence: number; created: number } = seen?.content ?? {
      ...EMPTY,
      epoch: 0,
      sequence: 0,
      created: 0,
    };
    const content: HeadContent = {
      format: HEAD_FORMAT,
      ...job,
      epoch: from.epoch + 1,
      sequence: from.sequence + 1,
      owner,
      ...changeOf(from),
      created: Math.max(Date.now(), from.created + QUARTER_MS),
      at: new Date().toISOString(),
    };
    return new OwnHead(store, key, owner, await write(store, key, content, seen?.etag));
  }

  /** Commits a state of the job `stream`; throws `taken-over` if the head is another's by now, and S3's errors, after which it may be tried again. */
  async replace(change: Change, stream = this.#content.stream): Promise<void> {
    const content: HeadContent = {
      ...this.#content,
      stream,
      ...changeOf(change),
      sequence: this.#content.sequence + 1,
      owner: this.#owner,
      at: new Date().toISOString(),
    };
    const { content: written, etag } = await write(this.#store, this.#key, content, this.#etag);
    this.#content = written;
    this.#etag = etag;
  }
}

const changeOf = ({ base, increments, state_format, checkpoint, next_result }: Change): Change => ({
  base,
  increments,
  state_format,
  checkpoint,
  next_result,
});

/** Whether two heads say the same, whenever they were written. */
function isSame(one: HeadContent, other: HeadContent): boolean {
  return JSON.stringify({ ...one, at: '' }) === JSON.stringify({ ...other, at: '' });
}

/** Writes a head over the version `before`, or as the first; returns it as it was written. */
async function write(
  store: ObjectStore,
  key: string,
  content: HeadContent,
  before: string | undefined,
): Promise<Found> {
  const condition = before === undefined ? { IfNoneMatch: '*' as const } : { IfMatch: before };
  try {
    return { content, etag: await store.put(key, Buffer.from(JSON.stringify(content)), condition) };
  } catch (error) {
    if (!(error instanceof TaxiflowError)) throw error;
    // The write may have succeeded without an answer.
    const found = await readHead(store, key);
    const now = found?.content;
    if (found && isSame(found.content, content)) return found;
    // An earlier one of ours, which was given up without an answer, has the same sequence and says something else.
    if (found && found.content.owner === content.owner && found.etag !== before)
      return write(store, key, { ...content, sequence: found.content.sequence + 1 }, found.etag);
    if (error.code !== 's3-changed' && found?.etag === before) throw error;
    if (!now) {
      throw new TaxiflowError('state-gone', `${store.url(key)} was deleted while it was in use`, {
        hint: 'run the same command again: it goes on from its local state, under a new head',
      });
    }
    throw new TaxiflowError(
      'taken-over',
      `another processor has taken over: ${store.url(key)} is at epoch ${now.epoch} since ${now.at}`,
      {
        hint: 'leave it to that one; two processors of one state would disturb each other',
        exitCode: EXIT.takenOver,
      },
    );
  }
}
