/**
 * Rows of numbers, found by a key of numbers. Everything is in typed arrays outside the JavaScript heap, so that a row
 * costs little and the size of a table is known exactly. The arrays are chunks of rows, so that a large table grows
 * without being copied.
 */

import { CHUNK_BITS } from '../../views/javascript/compiled-view.ts';

/** Rows per block, the unit that a checkpoint writes when a row has changed. */
export const BLOCK = 256;

const FIRST_ROWS = 4;
/** Bytes of a table besides its numbers: objects and array headers. */
const TABLE_BYTES = 1_000;
/** Rows per chunk; the first chunk starts smaller. */
const CHUNK = 1 << CHUNK_BITS;

/** Bytes of memory in use; everything that takes memory adds to it. */
export interface MemoryCount {
  bytes: number;
}

const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

export class KeyTable {
  /** Numbers per key, and per row besides the key. */
  readonly keyWidth: number;
  readonly width: number;
  count = 0;
  /** Numbers of the rows, per chunk; a row's numbers begin at `baseOf`. */
  readonly numbers: Float64Array[];
  readonly #keys: Float64Array[];
  readonly #memory: MemoryCount;
  /** Capacity, rows. */
  #room = FIRST_ROWS;
  /** Row + 1 by hash, 0 if empty. The length is a power of two, at least twice the number of rows. */
  #slots = new Int32Array(FIRST_ROWS * 2);
  #bytes = 0;
  /** 1 for each block changed since `cleaned`. */
  #changed = new Uint8Array(1);

  constructor(keyWidth: number, width: number, memory: MemoryCount) {
    this.keyWidth = keyWidth;
    this.width = width;
    this.#memory = memory;
    this.#keys = [new Float64Array(FIRST_ROWS * keyWidth)];
    this.numbers = [new Float64Array(FIRST_ROWS * width)];
    this.#count(TABLE_BYTES + FIRST_ROWS * 8 * (keyWidth + width + 1));
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#memory.bytes += bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  numbersOf(row: number): Float64Array {
    return this.numbers[row >>> CHUNK_BITS]!;
  }

  /** Index of a row's first number in its chunk. */
  baseOf(row: number): number {
    return (row & (CHUNK - 1)) * this.width;
  }

  /** A part of a row's key. */
  keyOf(row: number, part: number): number {
    return this.#keys[row >>> CHUNK_BITS]![(row & (CHUNK - 1)) * this.keyWidth + part]!;
  }

  /** The row of a key, marked as changed; ~row if it is new, with all numbers 0. */
  rowOf(key: Float64Array): number {
    const slot = this.#slotOf(key);
    const found = this.#slots[slot]! - 1;
    if (found < 0) return ~this.#append(key, slot);
    this.#changed[found >>> 8] = 1;
    return found;
  }

  /** The row of a key; −1 if there is none. */
  find(key: Float64Array): number {
    return this.#slots[this.#slotOf(key)]! - 1;
  }

  /** Where the row of a key is noted, or would be. */
  #slotOf(key: Float64Array): number {
    const { keyWidth } = this;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashOf(key, 0, keyWidth) & mask;
    for (let found = slots[slot]!; found !== 0; found = slots[slot]!) {
      const keys = this.#keys[(found - 1) >>> CHUNK_BITS]!;
      const at = ((found - 1) & (CHUNK - 1)) * keyWidth;
      let i = 0;
      while (i < keyWidth && keys[at + i] === key[i]) i++;
      if (i === keyWidth) return slot;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #append(key: Float64Array, slot: number): number {
    const { keyWidth } = this;
    const row = this.count;
    if (row === this.#room) this.#growRows();
    this.count++;
    const keys = this.#keys[row >>> CHUNK_BITS]!;
    const at = (row & (CHUNK - 1)) * keyWidth;
    // −0 is the same key as 0.
    for (let i = 0; i < keyWidth; i++) keys[at + i] = key[i]! + 0;
    if (this.count * 2 > this.#slots.length) this.#growSlots();
    else this.#slots[slot] = row + 1;
    this.#changed[row >>> 8] = 1;
    return row;
  }

  #growRows(): void {
    const rows = Math.min(this.#room, CHUNK);
    if (this.#room < CHUNK) {
      this.#keys[0] = longer(this.#keys[0]!, rows * 2 * this.keyWidth);
      this.numbers[0] = longer(this.numbers[0]!, rows * 2 * this.width);
    } else {
      this.#keys.push(new Float64Array(CHUNK * this.keyWidth));
      this.numbers.push(new Float64Array(CHUNK * this.width));
    }
    this.#room += rows;
    this.#count(rows * 8 * (this.keyWidth + this.width));
    const blocks = Math.ceil(this.#room / BLOCK);
    if (blocks > this.#changed.length) this.#changed = longer(this.#changed, 2 * blocks);
  }

  #growSlots(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    this.#count(4 * this.#slots.length);
    const mask = slots.length - 1;
    for (let row = 0; row < this.count; row++) {
      const keys = this.#keys[row >>> CHUNK_BITS]!;
      let slot = hashOf(keys, (row & (CHUNK - 1)) * this.keyWidth, this.keyWidth) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = row + 1;
    }
    this.#slots = slots;
  }

  get blocks(): number {
    return Math.ceil(this.count / BLOCK);
  }

  isChanged(block: number): boolean {
    return this.#changed[block] === 1;
  }

  /** Marks a row as changed. */
  change(row: number): void {
    this.#changed[row >>> 8] = 1;
  }

  /** Marks all blocks as unchanged, after they were written. */
  cleaned(): void {
    this.#changed.fill(0);
  }

  /** The rows [from, to) of a block. */
  rowsOf(block: number): [from: number, to: number] {
    return [block * BLOCK, Math.min(this.count, (block + 1) * BLOCK)];
  }

  /** Forgets all rows and keeps their room. */
  clear(): void {
    this.count = 0;
    this.#slots.fill(0);
    this.#changed.fill(0);
    for (const numbers of this.numbers) numbers.fill(0);
  }

  /** Gives the table's memory back. */
  release(): void {
    this.#memory.bytes -= this.#bytes;
  }
}

function hashOf(numbers: Float64Array, at: number, length: number): number {
  let hash = 0;
  for (let i = at; i < at + length; i++) {
    double[0] = numbers[i]! + 0;
    hash = Math.imul(hash ^ halves[0]!, 0x9e3779b1) ^ halves[1]!;
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  }
  return hash ^ (hash >>> 13);
}

function longer<T extends Float64Array | Uint8Array>(array: T, length: number): T {
  const next = new (array.constructor as new (length: number) => T)(length);
  next.set(array as never);
  return next;
}
