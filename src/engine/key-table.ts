/**
 * Rows of numbers, found by a key of numbers. Everything lies in typed arrays, outside of the JavaScript heap, so that
 * a row costs little and the bytes of a table are known exactly.
 */

/** Rows a block: what a checkpoint writes when one of them changed. */
export const BLOCK = 256;

const FIRST_ROWS = 4;

/** Bytes of memory, added up by everything that takes some. */
export interface MemoryCount {
  bytes: number;
}

const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

export class KeyTable {
  /** Numbers of a key, and of a row beside its key. */
  readonly keyWidth: number;
  readonly width: number;
  count = 0;
  keys: Float64Array;
  numbers: Float64Array;
  readonly #memory: MemoryCount;
  /** Row + 1 by hash, 0 where none is: twice as long as there is room for rows. */
  #slots: Int32Array;
  /** 1 for each block that changed since `cleaned`. */
  #changed = new Uint8Array(1);

  constructor(keyWidth: number, width: number, memory: MemoryCount) {
    this.keyWidth = keyWidth;
    this.width = width;
    this.#memory = memory;
    this.keys = new Float64Array(FIRST_ROWS * keyWidth);
    this.numbers = new Float64Array(FIRST_ROWS * width);
    this.#slots = new Int32Array(FIRST_ROWS * 2);
    memory.bytes += this.bytes;
  }

  get bytes(): number {
    return this.keys.byteLength + this.numbers.byteLength + this.#slots.byteLength + this.#changed.byteLength;
  }

  /** The row of a key, which counts as changed; ~row when it is new, with all its numbers 0. */
  rowOf(key: Float64Array): number {
    const { keyWidth, keys } = this;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashOf(key, 0, keyWidth) & mask;
    for (let found = slots[slot]!; found !== 0; found = slots[slot]!) {
      const at = (found - 1) * keyWidth;
      let i = 0;
      while (i < keyWidth && keys[at + i] === key[i]) i++;
      if (i === keyWidth) {
        this.#changed[(found - 1) >>> 8] = 1;
        return found - 1;
      }
      slot = (slot + 1) & mask;
    }
    return ~this.#append(key, slot);
  }

  #append(key: Float64Array, slot: number): number {
    const { keyWidth } = this;
    const row = this.count;
    const full = row * 2 === this.#slots.length;
    if (full) this.#grow();
    this.count++;
    // −0 is the same key as 0.
    for (let i = 0; i < keyWidth; i++) this.keys[row * keyWidth + i] = key[i]! + 0;
    this.#slots[full ? this.#freeSlot(row) : slot] = row + 1;
    this.#changed[row >>> 8] = 1;
    return row;
  }

  #grow(): void {
    const before = this.bytes;
    const rows = this.#slots.length;
    this.keys = longer(this.keys, rows * this.keyWidth);
    this.numbers = longer(this.numbers, rows * this.width);
    this.#changed = longer(this.#changed, Math.ceil(rows / BLOCK));
    this.#slots = new Int32Array(rows * 2);
    for (let row = 0; row < this.count; row++) this.#slots[this.#freeSlot(row)] = row + 1;
    this.#memory.bytes += this.bytes - before;
  }

  #freeSlot(row: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashOf(this.keys, row * this.keyWidth, this.keyWidth) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    return slot;
  }

  get blocks(): number {
    return Math.ceil(this.count / BLOCK);
  }

  isChanged(block: number): boolean {
    return this.#changed[block] === 1;
  }

  /** All blocks are as they were written. */
  cleaned(): void {
    this.#changed.fill(0);
  }

  /** The rows of a block: from the first up to, but not including, the second. */
  rowsOf(block: number): [from: number, to: number] {
    return [block * BLOCK, Math.min(this.count, (block + 1) * BLOCK)];
  }

  /** Nobody uses it any more. */
  release(): void {
    this.#memory.bytes -= this.bytes;
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
