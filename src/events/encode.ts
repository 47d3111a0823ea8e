import type { TripColumns } from './columns.ts';
import { formatIso } from './times.ts';
import { type NumericField, type StringField, TRIP_FIELDS } from './trip.ts';

/** The bytes of a watermark record (epoch ms). It names its shard for engines that can't see where a record came from. */
export function encodeWatermark(watermarkMs: number, shardId: string): Buffer {
  const watermark = new Date(watermarkMs).toISOString();
  return Buffer.from(`${JSON.stringify({ type: 'watermark', watermark, shard: shardId })}\n`);
}

/** The parts of a trip's record, in their order. */
const FIELDS = Object.entries(TRIP_FIELDS).map(([name, { type }]) => ({
  key: `,"${name}":`,
  isTime: type === 'time',
  word: type === 'string' ? (name as StringField) : undefined,
  number: name as NumericField,
}));

/** The trip in a row of a batch as JSON, in ASCII. All columns must be filled. */
export function encodeTrip({ words, dictionaries, numbers }: TripColumns, row: number): string {
  let text = '{"type":"trip"';
  for (const { key, isTime, word, number } of FIELDS) {
    if (word) {
      const code = words[word][row]!;
      if (code >= 0) text += key + asciiJson(dictionaries[word].words[code]!);
      continue;
    }
    const value = numbers[number][row]!;
    if (Number.isNaN(value)) continue;
    if (isTime) text += `${key}"${formatIso(value)}"`;
    // A template would write −0 as 0.
    else text += key + (value === 0 && 1 / value < 0 ? '-0' : value);
  }
  return `${text}}`;
}

function asciiJson(text: string): string {
  if (/^[\w .-]*$/.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
