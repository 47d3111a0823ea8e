/** Single trip ids in a hash table of typed arrays: 24 to 48 bytes per id. */

const FIRST_SLOTS = 64;
const NONE: ReadonlySet<number> = new Set();

const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

export class SeenIds {
  size = 0;
  #ids = new Float64Array(FIRST_SLOTS);
  /** Owner + 1 of the id in a slot; 0 if the slot is empty. */
  #owners = new Int32Array(FIRST_SLOTS);
  /** Chunk in which the id was added; chunk numbers only grow. */
  #chunks = new Int32Array(FIRST_SLOTS);

  has(id: number, owner: number): boolean {
    return this.#owners[this.#slotOf(id, owner)] !== 0;
  }

  /** False if the owner already has the id. */
  add(id: number, owner: number, chunk: number): boolean {
    const slot = this.#slotOf(id, owner);
    if (this.#owners[slot] !== 0) return false;
    this.#put(slot, id, owner, chunk);
    if (this.size * 3 > this.#ids.length * 2) this.#rebuild(this.#ids.length * 2, NONE);
    return true;
  }

  /** Removes the ids of these chunks. */
  forget(gone: ReadonlySet<number>): void {
    let left = 0;
    for (let slot = 0; slot < this.#ids.length; slot++)
      if (this.#owners[slot] !== 0 && !gone.has(this.#chunks[slot]!)) left++;
    let slots = FIRST_SLOTS;
    while (left * 3 > slots * 2) slots *= 2;
    this.#rebuild(slots, gone);
  }

  #put(slot: number, id: number, owner: number, chunk: number): void {
    this.#ids[slot] = id;
    this.#owners[slot] = owner + 1;
    this.#chunks[slot] = chunk;
    this.size++;
  }

  #slotOf(id: number, owner: number): number {
    const mask = this.#ids.length - 1;
    let slot = hashOf(id, owner) & mask;
    while (this.#owners[slot] !== 0 && !(this.#ids[slot] === id && this.#owners[slot] === owner + 1))
      slot = (slot + 1) & mask;
    return slot;
  }

  #rebuild(slots: number, gone: ReadonlySet<number>): void {
    const [ids, owners, chunks] = [this.#ids, this.#owners, this.#chunks];
    this.#ids = new Float64Array(slots);
    this.#owners = new Int32Array(slots);
    this.#chunks = new Int32Array(slots);
    this.size = 0;
    for (let slot = 0; slot < ids.length; slot++) {
      const owner = owners[slot]! - 1;
      if (owner < 0 || gone.has(chunks[slot]!)) continue;
      this.#put(this.#slotOf(ids[slot]!, owner), ids[slot]!, owner, chunks[slot]!);
    }
  }
}

function hashOf(id: number, owner: number): number {
  double[0] = id + 0;
  let hash = Math.imul(halves[0]! ^ Math.imul(owner + 1, 0x27d4eb2f), 0x9e3779b1) ^ halves[1]!;
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
