/** Addresses in S3. Reading one loads no SDK. */
import { usageError } from '../errors.ts';

export function isS3(place: string): boolean {
  return /^s3:\/\//i.test(place);
}

/** Bucket and key of an `s3://` URL. Throws `usage` where there is no bucket. */
export function placeOf(url: string): { readonly bucket: string; readonly key: string } {
  const [, bucket = '', key = ''] = /^s3:\/\/([^/]*)\/?(.*)$/is.exec(url) ?? [];
  // What is no bucket may be a key and its secret, so it is not repeated.
  if (!/^[a-z0-9][a-z0-9._-]*$/i.test(bucket))
    throw usageError('there is no bucket in an s3:// address', 'write it as s3://bucket/prefix');
  return { bucket, key };
}

/** The bucket and the prefix of `s3://bucket/prefix`; the prefix has `/` at its end or is empty. Throws `usage`. */
export function prefixOf(url: string): { readonly bucket: string; readonly prefix: string } {
  const { bucket, key } = placeOf(url);
  return { bucket, prefix: key === '' || key.endsWith('/') ? key : `${key}/` };
}
