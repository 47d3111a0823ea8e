/** The id of a result in OpenSearch: its view, window and key, so that a corrected result takes the place of the one before. */
import { createHash } from 'node:crypto';
import type { View } from '../../views/language.ts';

/** The longest id OpenSearch takes. */
const ID_BYTES = 512;
const QUOTE = '"'.charCodeAt(0);

/**
 * Ids of a view's documents, such as `pickup_count|2016-01-01T00:00:00.000Z|dr5ru7`; one that would be too long as its
 * hash. A document is JSON as the results table has it, without spaces.
 */
export function documentIds({ name, by }: Pick<View, 'name' | 'by'>): (document: string) => string {
  const view = escaped(name);
  const parts = ['window_start', ...Object.keys(by)];
  const markers = parts.map((part) => `,${JSON.stringify(part)}:`);
  return (document) => {
    let id = view;
    // Parts that separators are in are escaped; in all others the text of the JSON is that of the id.
    if (document.includes('\\') || document.includes('|')) {
      const fields = JSON.parse(document) as Record<string, unknown>;
      for (const part of parts) id += `|${escaped(fields[part])}`;
    } else for (const marker of markers) id += `|${textAfter(document, marker)}`;
    // A character takes three bytes at most.
    if (id.length * 3 <= ID_BYTES || Buffer.byteLength(id) <= ID_BYTES) return id;
    return `${name}|${createHash('sha256').update(id).digest('base64url')}`;
  };
}

/** The value behind `,"name":`, which no string holds as long as no quote is escaped. */
function textAfter(document: string, marker: string): string {
  const at = document.indexOf(marker);
  if (at < 0) return escaped(undefined);
  const start = at + marker.length;
  if (document.charCodeAt(start) === QUOTE)
    return document.slice(start + 1, document.indexOf('"', start + 1));
  const comma = document.indexOf(',', start);
  const value = document.slice(start, comma < 0 ? document.length - 1 : comma);
  return value === 'null' ? escaped(null) : value;
}

/** A part of an id, so that no two keys make the same one. */
function escaped(part: unknown): string {
  if (part === null || part === undefined) return '\\-';
  return String(part).replaceAll(/[\\|]/g, '\\$&');
}
