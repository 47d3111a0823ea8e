/** What real servers answered to bulk requests that went wrong in a known way. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FIXTURES } from '../files.ts';

const FOLDER = join(FIXTURES, 'opensearch-replies');

export interface Reply {
  readonly httpStatus: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Text where the server sent no JSON. */
  readonly body: unknown;
}

export interface ReplyItem {
  readonly status: number;
  readonly error?: { readonly type: string; readonly reason: string };
}

/** Replies by name, such as `bulk-write-block`, for each server, such as `opensearch-3.8.0`. */
export function recordedReplies(): Map<string, Map<string, Reply>> {
  return new Map(
    readdirSync(FOLDER)
      .filter((file) => file.endsWith('.json'))
      .map((file) => {
        const replies = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Record<string, Reply>;
        return [file.slice(0, -'.json'.length), new Map(Object.entries(replies))];
      }),
  );
}

/** What became of each document, whatever was to be done with it; none where the request failed as a whole. */
export function itemsOf({ body }: Reply): ReplyItem[] {
  const { items = [] } = (typeof body === 'object' && body !== null ? body : {}) as {
    items?: Record<string, ReplyItem>[];
  };
  return items.flatMap((item) => Object.values(item));
}
