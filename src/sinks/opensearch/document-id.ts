/** The id of a result in OpenSearch: view, window and key, so that a correction replaces the earlier result. */
import { createHash } from 'node:crypto';
import type { View } from '../../views/language.ts';

/** The longest id that OpenSearch accepts, bytes. */
const ID_BYTES = 512;
const QUOTE = '"'.charCodeAt(0);

/**
 * Returns the function that gives a document its id, such as `pickup_count|2016-01-01T00:00:00.000Z|dr5ru7`. An id over
 * the limit is hashed. A document is JSON without spaces, as in the results table.
 */
export function documentIds({
  name,
  by,
  window,
}: Pick<View, 'name' | 'by' | 'window'>): (document: string) => string {
  const view = escaped(name);
  // Cumulating windows begin together.
  const ends = window.kind === 'cumulating' ? ['window_end'] : [];
  const parts = ['window_start', ...ends, ...Object.keys(by)];
  const markers = parts.map((part) => `,${JSON.stringify(part)}:`);
  return (document) => {
    let id = view;
    // Only parts with a separator need escaping; otherwise the id uses the JSON text as it is.
    if (document.includes('\\') || document.includes('|')) {
      const fields = JSON.parse(document) as Record<string, unknown>;
      for (const part of parts) id += `|${escaped(fields[part])}`;
    } else for (const marker of markers) id += `|${textAfter(document, marker)}`;
    // A UTF-16 unit takes at most three bytes.
    if (id.length * 3 <= ID_BYTES || Buffer.byteLength(id) <= ID_BYTES) return id;
    return `${name}|${createHash('sha256').update(id).digest('base64url')}`;
  };
}

/** The value after `,"name":`, a marker that no string contains while no quote is escaped. */
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

/** A part of an id, escaped so that different keys never share an id. */
function escaped(part: unknown): string {
  if (part === null || part === undefined) return '\\-';
  return String(part).replaceAll(/[\\|]/g, '\\$&');
}
