/** Objects of Amazon S3, and of services with the same API, as inputs. */
import { TaxiflowError } from '../errors.ts';
import { placeOf } from '../s3/addresses.ts';
import { ObjectStore, type S3Options, type StoredObject } from '../s3/object-store.ts';
import { content, type Input, isTripFile } from './inputs.ts';

const WILDCARD = /[*?]/;

/**
 * The object with exactly this key; without one, every trip file whose key begins with it or matches it as a glob (`*`,
 * `**`, `?`), sorted by key. Throws `no-input`, `usage`, `s3-bad-answer` and as `translateS3`.
 */
export async function findObjects(url: string, options: S3Options): Promise<Input[]> {
  const { bucket, key } = placeOf(url);
  const store = await ObjectStore.open(bucket, options);
  const exact = key === '' || key.endsWith('/') ? undefined : await store.head(key);
  const objects = exact ? [exact] : await matching(store, key);
  if (objects.length > 0) return objects.map((object) => inputOf(store, object, exact === undefined));
  throw new TaxiflowError('no-input', `there is no CSV or Parquet file at ${url}`, {
    hint: 'name an object, a prefix, or a quoted glob; keys are told apart by case',
  });
}

async function matching(store: ObjectStore, key: string): Promise<StoredObject[]> {
  const wildcard = key.search(WILDCARD);
  const pattern = wildcard < 0 ? undefined : globPattern(key);
  const found: StoredObject[] = [];
  for await (const object of store.list(wildcard < 0 ? key : key.slice(0, wildcard))) {
    if (pattern ? pattern.test(object.key) : isTripFile(object.key)) found.push(object);
  }
  return found.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function inputOf(store: ObjectStore, object: StoredObject, found: boolean): Input {
  const name = store.url(object.key);
  return {
    name,
    size: object.size,
    found,
    tag: `${object.etag}:${object.size}`,
    open: (onBytes) => content(name, store.bytes(object, 0, object.size, onBytes)),
    ranges: async (onBytes) => ({
      size: object.size,
      read: async (start, end) => {
        const bytes = new Uint8Array(end - start);
        let at = 0;
        for await (const chunk of store.bytes(object, start, end, onBytes)) {
          bytes.set(chunk, at);
          at += chunk.length;
        }
        return bytes;
      },
      close: async () => {},
    }),
  };
}

/** `*` and `?` match within a folder, `**` matches across folders. */
function globPattern(glob: string): RegExp {
  const source = glob.replace(/\*\*\/|\*\*|[*?]|[^*?]+/g, (part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    return part === '?' ? '[^/]' : part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 's');
}
