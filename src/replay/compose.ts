/** Turns trips into records: adds the head of each trip, shifts its times if asked, and hashes its id for the shard. */
import type { TripBatch } from '../dataset/dataset.ts';
import { FIRST_TIME, LAST_TIME } from '../events/times.ts';
import type { OutgoingBatch } from '../streams/ports.ts';
import { spread } from '../streams/routing.ts';

const HEAD = Buffer.from('{"type":"trip","trip_id":');
const LONGEST_ID = 16;
const PICKUP = Buffer.from('"pickup_datetime":"');
const DROPOFF = Buffer.from('"dropoff_datetime":"');
const ISO_LENGTH = 24;
const ZERO = 0x30;
const NINE = 0x39;

export class RecordComposer {
  readonly #replayPart: Buffer;

  constructor(replay: string) {
    this.#replayPart = Buffer.from(`,"replay":${JSON.stringify(replay)}`);
  }

  #headOf(id: number): Buffer {
    return Buffer.concat([HEAD, Buffer.from(String(id)), this.#replayPart]);
  }

  /** Records of the trips [from, to) of a batch. `shiftOf` maps a trip's drop-off (epoch ms) to the shift of its times in ms. */
  compose(batch: TripBatch, from: number, to: number, shiftOf?: (dropoff: number) => number): OutgoingBatch {
    const count = to - from;
    let room = count * (HEAD.length + LONGEST_ID + this.#replayPart.length);
    for (let i = from; i < to; i++) room += batch.ends[i]! - batch.starts[i]!;
    const data = Buffer.allocUnsafe(room);
    const ends = new Uint32Array(count);
    const hashes = new Uint32Array(count);
    let at = 0;
    let head = this.#headOf(batch.firstId + from);
    for (let i = from; i < to; i++) {
      const id = batch.firstId + i;
      at += head.copy(data, at);
      const body = at;
      at += batch.data.copy(data, at, batch.starts[i]!, batch.ends[i]!);
      if (shiftOf) moveTimes(data, body, shiftOf(batch.dropoffs[i]!));
      ends[i - from] = at;
      hashes[i - from] = spread(id);
      // Counting up in the digits spares three small copies per trip.
      if (!countUp(head, HEAD.length, head.length - this.#replayPart.length)) head = this.#headOf(id + 1);
    }
    return { count, data: data.subarray(0, at), ends, hashes };
  }
}

/** `time` (epoch ms) shifted by `shift` ms, kept within the years 0000 to 9999, which ISO 8601 writes with four digits. */
export function moved(time: number, shift: number): number {
  return Math.min(LAST_TIME, Math.max(FIRST_TIME, time + shift));
}

/** Adds 1 to the number whose digits are [from, to); false if it needs one more digit. */
function countUp(data: Buffer, from: number, to: number): boolean {
  for (let at = to - 1; at >= from; at--) {
    if (data[at]! < NINE) {
      data[at]!++;
      return true;
    }
    data[at] = ZERO;
  }
  return false;
}

function moveTimes(data: Buffer, body: number, shift: number): void {
  for (const key of [PICKUP, DROPOFF]) {
    const at = data.indexOf(key, body) + key.length;
    const time = Date.parse(data.toString('latin1', at, at + ISO_LENGTH));
    data.write(new Date(moved(time, shift)).toISOString(), at, 'latin1');
  }
}
