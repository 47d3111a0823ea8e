/**
 * The Kinesis Producer Library's aggregated record: many records in one, so that a shard carries more than 1,000
 * a second. Four magic bytes, a protobuf message (a table of partition keys, a table of explicit hash keys, and
 * records that point into them), the message's MD5.
 */
import { createHash } from 'node:crypto';

const MAGIC = Buffer.from([0xf3, 0x89, 0x9a, 0xc2]);
const MD5_BYTES = 16;

/** Tags of protobuf fields that hold bytes (wire type 2) or a number (wire type 0). */
const PARTITION_KEYS = (1 << 3) | 2;
const HASH_KEYS = (2 << 3) | 2;
const RECORDS = (3 << 3) | 2;
const KEY_INDEX = 1 << 3;
const HASH_INDEX = 2 << 3;
const DATA = (3 << 3) | 2;

/** Collects records for one hash key until they fill an aggregated record. */
export class Aggregate {
  readonly #parts: Buffer[] = [];
  #bytes: number;
  count = 0;

  constructor(partitionKey: string, explicitHashKey: string) {
    this.#bytes = MAGIC.length + MD5_BYTES;
    this.#push(delimited(PARTITION_KEYS, Buffer.from(partitionKey)));
    this.#push(delimited(HASH_KEYS, Buffer.from(explicitHashKey)));
  }

  /** Length of the aggregated record as it stands. */
  get bytes(): number {
    return this.#bytes;
  }

  add(data: Uint8Array): void {
    const body = Buffer.concat([Buffer.from([KEY_INDEX, 0, HASH_INDEX, 0]), delimited(DATA, data)]);
    this.#push(delimited(RECORDS, body));
    this.count++;
  }

  finish(): Buffer {
    const message = Buffer.concat(this.#parts);
    return Buffer.concat([MAGIC, message, createHash('md5').update(message).digest()]);
  }

  #push(part: Buffer): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }
}

function delimited(tag: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([tag]), varint(data.length), data]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The records of an aggregated record; undefined when it is a plain one, or only looks like one. */
export function disaggregate(record: Uint8Array): Uint8Array[] | undefined {
  const data = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (data.length < MAGIC.length + MD5_BYTES || !data.subarray(0, MAGIC.length).equals(MAGIC))
    return undefined;
  const message = data.subarray(MAGIC.length, data.length - MD5_BYTES);
  const digest = data.subarray(data.length - MD5_BYTES);
  if (!createHash('md5').update(message).digest().equals(digest)) return undefined;
  const found: Uint8Array[] = [];
  for (const [tag, value] of fields(message)) {
    if (tag !== RECORDS || typeof value === 'number') continue;
    for (const [inner, content] of fields(value))
      if (inner === DATA && typeof content !== 'number') found.push(content);
  }
  return found;
}

/** Fields of a protobuf message: tag, and bytes or a number. */
function* fields(message: Buffer): Generator<[tag: number, value: Buffer | number]> {
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new RangeError('an aggregated record ends in the middle of a number');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = number();
    const value = number();
    if ((tag & 7) === 0) yield [tag, value];
    else {
      yield [tag, message.subarray(at, at + value)];
      at += value;
    }
  }
}
