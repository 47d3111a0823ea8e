/** The buckets that a stack leaves: how much they hold, and their end. */
import {
  AbortMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  type DeleteObjectsCommandOutput,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  S3Client,
} from '@aws-sdk/client-s3';
import { EXIT, TaxiflowError } from '../errors.ts';
import { errorName, httpStatus } from '../net/aws-errors.ts';
import { type AwsPlace, ask, clientSettings } from './requests.ts';

export interface Held {
  /** Versions of objects; markers of deleted ones don't count. */
  readonly objects: number;
  readonly bytes: number;
  /** There are more than were counted. */
  readonly more: boolean;
}

/** A hundred thousand objects: counting more takes longer than anybody waits. */
const MOST_PAGES = 100;
/** Something still wrote when the bucket was emptied. */
const EMPTYINGS = 3;

export class Buckets {
  readonly #place: AwsPlace;
  readonly #client: S3Client;

  constructor(place: AwsPlace) {
    this.#place = place;
    const env = process.env;
    const isEmulator = place.endpointUrl ?? env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'];
    this.#client = new S3Client({
      ...clientSettings(place),
      ...(isEmulator ? { forcePathStyle: true } : {}),
      // A stack's buckets lie in its region, but someone may have forgotten which that was.
      followRegionRedirects: true,
    });
  }

  close(): void {
    this.#client.destroy();
  }

  /** What a bucket holds; undefined if it isn't there. */
  async held(bucket: string): Promise<Held | undefined> {
    let [objects, bytes, pages] = [0, 0, 0];
    for (let from: Marker | undefined = {}; from !== undefined; ) {
      const page: Page | 'gone' = await this.#versions(bucket, from);
      if (page === 'gone') return undefined;
      for (const { Size = 0 } of page.Versions ?? []) {
        objects++;
        bytes += Size;
      }
      from = nextOf(page);
      if (from !== undefined && ++pages === MOST_PAGES) return { objects, bytes, more: true };
    }
    return { objects, bytes, more: false };
  }

  /** Deletes a bucket and all that it holds; `onProgress` is told how many versions and markers are gone. */
  async remove(bucket: string, onProgress: (deleted: number) => void): Promise<void> {
    let deleted = 0;
    for (let emptyings = 1; ; emptyings++) {
      await this.#empty(bucket, (count) => {
        deleted += count;
        onProgress(deleted);
      });
      const ended = await ask(
        this.#place,
        's3:DeleteBucket',
        async (): Promise<End> => {
          await this.#client.send(new DeleteBucketCommand({ Bucket: bucket }));
          return 'gone';
        },
        (error) => (isGone(error) ? 'gone' : errorName(error) === 'BucketNotEmpty' ? 'not empty' : undefined),
      );
      if (ended === 'gone') return;
      if (emptyings === EMPTYINGS)
        throw new TaxiflowError('aws-refused', `bucket ${bucket} is filled again as soon as it is empty`, {
          hint: 'stop what writes to it, then run the same command again',
        });
    }
  }

  async #empty(bucket: string, onDeleted: (count: number) => void): Promise<void> {
    for (;;) {
      // The first page each time: what it listed is gone.
      const page = await this.#versions(bucket, {});
      if (page === 'gone') return;
      const Objects = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].map(({ Key, VersionId }) => ({
        Key,
        VersionId,
      }));
      if (Objects.length === 0) break;
      const answer = await ask<DeleteObjectsCommandOutput>(this.#place, 's3:DeleteObjectVersion', () =>
        this.#client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } })),
      );
      const [refused] = answer.Errors ?? [];
      if (refused !== undefined)
        throw new TaxiflowError(
          refused.Code === 'AccessDenied' ? 'access-denied' : 'aws-refused',
          `s3://${bucket}/${refused.Key} can't be deleted: ${refused.Code} ${refused.Message ?? ''}`.trim(),
          { hint: 's3:DeleteObject and s3:DeleteObjectVersion are needed, and no lock on the object' },
        );
      onDeleted(Objects.length);
      if (this.#place.signal?.aborted)
        throw new TaxiflowError('interrupted', `stopped while bucket ${bucket} was being emptied`, {
          hint: '"taxiflow deploy down --with-data" goes on',
          exitCode: EXIT.interrupted,
        });
    }
    await this.#abortUploads(bucket);
  }

  /** Parts of an upload that was never ended are paid for, and keep a bucket from being deleted. */
  async #abortUploads(bucket: string): Promise<void> {
    for (;;) {
      const { Uploads = [] } = await ask(this.#place, 's3:ListBucketMultipartUploads', () =>
        this.#client.send(new ListMultipartUploadsCommand({ Bucket: bucket })),
      );
      if (Uploads.length === 0) return;
      for (const { Key, UploadId } of Uploads)
        await ask(
          this.#place,
          's3:AbortMultipartUpload',
          () => this.#client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId })),
          (error) => (errorName(error) === 'NoSuchUpload' ? { $metadata: {} } : undefined),
        );
    }
  }

  #versions(bucket: string, from: Marker): Promise<Page | 'gone'> {
    return ask<Page | 'gone'>(
      this.#place,
      's3:ListBucketVersions',
      () => this.#client.send(new ListObjectVersionsCommand({ Bucket: bucket, ...from })),
      (error) => (isGone(error) ? 'gone' : undefined),
    );
  }
}

type Page = ListObjectVersionsCommandOutput;
type End = 'gone' | 'not empty';
interface Marker {
  readonly KeyMarker?: string;
  readonly VersionIdMarker?: string;
}

/** Where the next page begins; undefined after the last. */
function nextOf({ IsTruncated, NextKeyMarker, NextVersionIdMarker }: Page): Marker | undefined {
  if (!IsTruncated || NextKeyMarker === undefined) return undefined;
  return {
    KeyMarker: NextKeyMarker,
    ...(NextVersionIdMarker === undefined ? {} : { VersionIdMarker: NextVersionIdMarker }),
  };
}

function isGone(error: unknown): boolean {
  return (
    errorName(error) === 'NoSuchBucket' || (errorName(error) === 'NotFound' && httpStatus(error) === 404)
  );
}
