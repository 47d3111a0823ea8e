/** The files of the page, found by exact name so that no path escapes the folder, and compressed once. */
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, gzip, constants as zlib } from 'node:zlib';
import { TaxiflowError } from '../errors.ts';

/** The build's output; the relative path is the same from `src` and from `dist`. */
const FOLDER = fileURLToPath(new URL('../../dist/dashboard/page/', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};

export type Encoding = 'br' | 'gzip' | 'identity';

export interface Body {
  readonly bytes: Buffer;
  readonly encoding: Encoding;
}

export interface Asset {
  readonly type: string;
  /** Weak `ETag` of the content, the same for every encoding. */
  readonly tag: string;
  body(encoding: Encoding): Promise<Body>;
}

export class Assets {
  readonly #paths = new Map<string, string>();
  readonly #loaded = new Map<string, Promise<Asset>>();

  constructor() {
    for (const path of filesIn(FOLDER)) {
      const name = relative(FOLDER, path).split(sep).join('/');
      if (extname(name) in TYPES) this.#paths.set(name === 'index.html' ? '/' : `/${name}`, path);
    }
    if (!this.#paths.has('/')) {
      throw new TaxiflowError('no-page', `the files of the page are missing from ${FOLDER}`, {
        hint: 'run "npm run build" first',
      });
    }
  }

  find(name: string): Promise<Asset> | undefined {
    const path = this.#paths.get(name);
    if (path === undefined) return undefined;
    const asset = this.#loaded.get(name) ?? load(path);
    this.#loaded.set(name, asset);
    return asset;
  }
}

/** The best encoding that an `Accept-Encoding` header allows; a quality of 0 refuses one. */
export function accepted(header: string | undefined): Encoding {
  const parts = (header ?? '').split(',').map((part) => part.replaceAll(' ', '').toLowerCase());
  const takes = (name: string) =>
    parts.some((part) => part === name || (part.startsWith(`${name};`) && !/;q=0(\.0*)?$/.test(part)));
  if (takes('br')) return 'br';
  return takes('gzip') ? 'gzip' : 'identity';
}

async function load(path: string): Promise<Asset> {
  const bytes = await readFile(path);
  const bodies = new Map<Encoding, Promise<Body>>();
  return {
    type: TYPES[extname(path)]!,
    tag: `W/"${createHash('sha256').update(bytes).digest('base64url').slice(0, 16)}"`,
    body: (encoding) => {
      const body = bodies.get(encoding) ?? compress(bytes, encoding);
      bodies.set(encoding, body);
      return body;
    },
  };
}

const br = promisify(brotliCompress);
const gz = promisify(gzip);

export async function compress(bytes: Buffer, encoding: Encoding): Promise<Body> {
  if (encoding === 'br') {
    const params = { [zlib.BROTLI_PARAM_QUALITY]: 5, [zlib.BROTLI_PARAM_SIZE_HINT]: bytes.length };
    return { bytes: await br(bytes, { params }), encoding };
  }
  return { bytes: encoding === 'gzip' ? await gz(bytes) : bytes, encoding };
}

function filesIn(folder: string): string[] {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (!found) return [];
  return (readdirSync(folder, { recursive: true }) as string[]).map((file) => join(folder, file));
}
