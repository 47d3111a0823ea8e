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
  readonly #data: Buffer;
  #at: number;

  /** `bytes`: the most the aggregated record may take. */
  constructor(partitionKey: string, explicitHashKey: string, bytes: number) {
    this.#data = Buffer.allocUnsafe(bytes);
    this.#at = MAGIC.copy(this.#data);
    this.#text(PARTITION_KEYS, partitionKey);
    this.#text(HASH_KEYS, explicitHashKey);
  }

  /** Adds `source[start, end)`; false when there is no room left. */
  add(source: Buffer, start: number, end: number): boolean {
    const length = end - start;
    const body = 5 + varintLength(length) + length;
    if (this.#at + 1 + varintLength(body) + body + MD5_BYTES > this.#data.length) return false;
    this.#data[this.#at++] = RECORDS;
    this.#varint(body);
    // The first key of each table is this record's.
    this.#data[this.#at++] = KEY_INDEX;
    this.#data[this.#at++] = 0;
    this.#data[this.#at++] = HASH_INDEX;
    this.#data[this.#at++] = 0;
    this.#data[this.#at++] = DATA;
    this.#varint(length);
    this.#at += source.copy(this.#data, this.#at, start, end);
    return true;
  }

  finish(): Buffer {
    const digest = createHash('md5').update(this.#data.subarray(MAGIC.length, this.#at)).digest();
    this.#at += digest.copy(this.#data, this.#at);
    return this.#data.subarray(0, this.#at);
  }

  #text(tag: number, text: string): void {
    this.#data[this.#at++] = tag;
    this.#varint(Buffer.byteLength(text));
    this.#at += this.#data.write(text, this.#at);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.#data[this.#at++] = (rest & 0x7f) | 0x80;
    this.#data[this.#at++] = rest;
  }
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) length++;
  return length;
}

/**
 * Where the records of the aggregated record `data[start, end)` lie in it, as pairs of start and end; undefined when
 * it is a plain record, or only looks like an aggregated one: with a wrong digest, a torn message, no record in it, or
 * a record without data.
 */
export function piecesOf(data: Buffer, start: number, end: number): number[] | undefined {
  if (end - start < MAGIC.length + MD5_BYTES || data.compare(MAGIC, 0, 4, start, start + 4) !== 0)
    return undefined;
  const from = start + MAGIC.length;
  const to = end - MD5_BYTES;
  const digest = createHash('md5').update(data.subarray(from, to)).digest();
  if (data.compare(digest, 0, MD5_BYTES, to, end) !== 0) return undefined;
  const pieces: number[] = [];
  const outer = new Fields(data, from, to);
  const inner = new Fields(data, 0, 0);
  while (outer.next()) {
    if (outer.tag !== RECORDS) continue;
    let at = -1;
    let until = -1;
    inner.over(outer.start, outer.end);
    // Of a field that comes twice, protobuf takes the last.
    while (inner.next()) if (inner.tag === DATA) [at, until] = [inner.start, inner.end];
    if (inner.broken || at < 0) return undefined;
    pieces.push(at, until);
  }
  return outer.broken || pieces.length === 0 ? undefined : pieces;
}

/** Bytes of a varint that protobuf allows. */
const VARINT_BYTES = 10;

/** Goes over the fields of a protobuf message that have contents; numbers are passed over. */
class Fields {
  tag = 0;
  /** Where the contents of the field lie. */
  start = 0;
  end = 0;
  /** The message ends in the middle of a field, or has one that is none. */
  broken = false;
  readonly #data: Buffer;
  #at: number;
  #to: number;

  constructor(data: Buffer, from: number, to: number) {
    this.#data = data;
    this.#at = from;
    this.#to = to;
  }

  over(from: number, to: number): void {
    this.#at = from;
    this.#to = to;
  }

  next(): boolean {
    while (this.#at < this.#to && !this.broken) {
      this.tag = this.#number();
      // Field 0 doesn't exist, and a tag has 32 bits.
      if (this.tag < 8 || this.tag >= 2 ** 32) this.broken = true;
      const length = this.#contents();
      this.start = this.#at;
      this.end = this.#at + length;
      this.#at = this.end;
      if (this.end > this.#to) this.broken = true;
      if ((this.tag & 7) === 2) return !this.broken;
    }
    return false;
  }

  /** Bytes that follow; a varint is passed over here. */
  #contents(): number {
    switch (this.tag & 7) {
      case 0:
        this.#number();
        return 0;
      case 1:
        return 8;
      case 2:
        return this.#number();
      case 5:
        return 4;
      default:
        this.broken = true;
        return 0;
    }
  }

  #number(): number {
    let value = 0;
    for (let scale = 1, bytes = 0; this.#at < this.#to && bytes < VARINT_BYTES; scale *= 128, bytes++) {
      const byte = this.#data[this.#at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    this.broken = true;
    return 0;
  }
}
