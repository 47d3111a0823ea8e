/** Randomly damaged records and aggregated records: each counts as what `JSON.parse` and a plain protobuf reader make of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { TripColumns } from '../../src/events/columns.ts';
import { decoderOf } from '../../src/events/decode.ts';
import { TRIP_FIELD_NAMES } from '../../src/events/trip.ts';
import { piecesOf } from '../../src/streams/kinesis/aggregation.ts';
import { toBatch } from '../../src/streams/kinesis/batch.ts';
import { batchOf, decodedBy, meaningsOf, textsIn } from '../events/model.ts';
import { type Random, randomNumbers } from '../random.ts';
import { budget, FUZZ_SEED } from './budget.ts';

type Choice = <T>(values: readonly T[]) => T;

const TOKENS = [
  '{', '}', '[', ']', '"', '\\', ',', ':', '\n', '\r\n', '\r', ' ', '\t', '\0', '\u2028', '🚕', '{}', '}{', '"}{"', '\\"',
  'null', 'true', '1e999', '-0', '01', '0.1', '9007199254740993', '1234567890123456789', '"type":"trip"', '"type":"watermark"',
  '"vendor_id":2', '"vendor_id":"2"', '"dropoff_datetime":"2016-13-01T00:00:00.000Z"', '2016-01-01T00:10:04.000Z', '__proto__',
]; // biome-ignore format: a list

class Inputs {
  readonly random: Random;

  constructor(seed: number) {
    this.random = randomNumbers(seed);
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  one: Choice = (values) => values[this.below(values.length)]!;

  trip(): string {
    const fields = [
      `"trip_id":${this.below(1e6)}`,
      `"replay":"ed64752f2f03"`,
      this.one(['"vendor_id":"2"', '"vendor_id":2', '"vendor_id":"é"', '"vendor_id":1.5']),
      `"pickup_datetime":"${this.#time()}"`,
      `"dropoff_datetime":"${this.#time()}"`,
      `"passenger_count":${this.below(7)}`,
      `"trip_distance":${this.random().toFixed(this.below(17))}`,
      `"pickup_lat":${40 + this.random()}`,
      `"total_amount":-${this.below(9999) / 100}`,
    ].filter(() => this.random() < 0.9);
    return `{"type":"trip",${fields.join(',')}}`;
  }

  watermark(): string {
    return `{"type":"watermark","watermark":"${this.#time()}","shard":"shardId-000000000003"}`;
  }

  #time(): string {
    return new Date(1.45e12 + this.below(1e9)).toISOString();
  }

  /** The data of one record of a stream: one object, several in some form, or one over several lines. */
  data(): string {
    const object = () => (this.random() < 0.8 ? this.trip() : this.watermark());
    const form = this.random();
    if (form < 0.4) return `${object()}\n`;
    if (form < 0.5) return JSON.stringify(JSON.parse(object()), null, this.one([1, '\t']));
    const objects = Array.from({ length: 1 + this.below(5) }, object);
    return objects.join(this.one(['\n', '\r\n', '\n\n', ' \n\t', '', ' '])) + this.one(['', '\n', '\r\n']);
  }

  damaged(data: string | Buffer): Buffer {
    let bytes: Buffer = Buffer.from(data as string);
    for (let times = 1 + this.below(3); times > 0; times--) bytes = this.#damaged(bytes);
    return bytes;
  }

  #damaged(bytes: Buffer): Buffer {
    const at = this.below(bytes.length + 1);
    const to = Math.min(bytes.length, at + this.below(this.one([2, 20, 200])));
    const between = (middle: Buffer | string) =>
      Buffer.concat([bytes.subarray(0, at), Buffer.from(middle as string), bytes.subarray(to)]);
    switch (this.below(5)) {
      case 0:
        return between(Buffer.from([this.below(256)]));
      case 1:
        return between('');
      case 2:
        return between(this.one(TOKENS));
      case 3:
        return Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
      default:
        return bytes.subarray(0, at);
    }
  }
}

describe('fuzzing of records', () => {
  it('each record counts as what JSON.parse makes of it, and its neighbours survive (D1–D4)', () => {
    const inputs = new Inputs(FUZZ_SEED);
    const decode = decoderOf(TRIP_FIELD_NAMES);
    const columns = new TripColumns();
    for (let tried = 0; tried < budget(25_000); ) {
      const records = Array.from({ length: 1 + inputs.below(12) }, () => {
        const data = inputs.data();
        return inputs.random() < 0.6 ? inputs.damaged(data) : Buffer.from(data);
      });
      tried += records.length;
      const expected = records.flatMap((data, row) => {
        const meanings = meaningsOf(data.toString());
        return meanings.map((meaning, n) => ({
          meaning,
          position: meanings.length > 1 ? `${row}/${n + 1}` : `${row}`,
        }));
      });
      const found = decodedBy(decode, batchOf(records), TRIP_FIELD_NAMES, columns);
      assert.deepEqual(found, expected, `seed ${FUZZ_SEED}: ${JSON.stringify(records.map(String))}`);
    }
  });

  it('aggregated records are unpacked as a plain protobuf reader does it, or taken as they are', () => {
    const inputs = new Inputs(FUZZ_SEED + 1);
    const decode = decoderOf(['vendor_id']);
    const columns = new TripColumns();
    let unpackedOnes = 0;
    for (let tried = 0; tried < budget(25_000); ) {
      const records = Array.from({ length: 1 + inputs.below(4) }, () => aggregated(inputs));
      tried += records.length;
      const pieces = records.map((record) => naivePieces(record));
      unpackedOnes += pieces.filter((found) => found !== undefined).length;
      const told = `seed ${FUZZ_SEED}: ${records.map((record) => record.toString('hex')).join(' ')}`;
      for (const [i, record] of records.entries()) {
        const found = piecesOf(record, 0, record.length);
        const contents = found?.flatMap((edge, k) =>
          k % 2 === 0 ? [record.subarray(edge, found[k + 1])] : [],
        );
        assert.deepEqual(contents, pieces[i], told);
      }
      const batch = toBatch(
        records.map((data, i) => ({
          data: inputs.random() < 0.5 ? data.toString('base64') : data,
          sequence: `s${i}`,
          arrival: i,
        })),
        { at: 'trim-horizon' },
      );
      const expected = records.flatMap((record, i) => {
        const own = pieces[i] ?? [record];
        return own.map((data, n) => ({
          text: data.toString('hex'),
          arrival: i,
          position: own.length > 1 ? `s${i}/${n + 1}` : `s${i}`,
        }));
      });
      const found = Array.from({ length: batch.count }, (_, row) => ({
        text: batch.data.toString('hex', batch.ends[row - 1] ?? 0, batch.ends[row]),
        arrival: batch.arrivals[row],
        position: batch.sequenceOf(row),
      }));
      assert.deepEqual(found, expected, told);
      const lines = expected.flatMap(({ text }) => textsIn(Buffer.from(text, 'hex').toString()));
      const decoded = decodedBy(decode, batch, ['trip_id', 'vendor_id', 'dropoff_datetime'], columns);
      assert.equal(decoded.length, lines.length, told);
    }
    assert.ok(
      unpackedOnes > budget(25_000) / 5,
      `${unpackedOnes} could be unpacked: the fuzzer tries too little`,
    );
  });
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

function field(number: number, contents: Buffer | string | number): Buffer {
  if (typeof contents === 'number') return Buffer.concat([varint(number * 8), varint(contents)]);
  const bytes = Buffer.from(contents as string);
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

/** An aggregated record with fields of later versions, in any order; often damaged under a correct digest. */
function aggregated(inputs: Inputs): Buffer {
  const extra = () =>
    inputs.one([
      field(9, 'later'),
      field(4, 2 ** 40),
      Buffer.from([0x29, 1, 2, 3, 4, 5, 6, 7, 8]),
      Buffer.from([0x2d, 1, 2, 3, 4]),
      ...Array.from({ length: 6 }, () => Buffer.alloc(0)),
    ]);
  const records = Array.from({ length: inputs.below(6) }, () =>
    field(3, Buffer.concat([field(1, 0), extra(), field(3, inputs.data()), extra()])),
  );
  let message: Buffer = Buffer.concat([field(1, 'key'), field(2, '17'), extra(), ...records, extra()]);
  if (inputs.random() < 0.5) message = inputs.damaged(message);
  const digest = createHash('md5').update(message).digest();
  const whole = Buffer.concat([Buffer.from('f3899ac2', 'hex'), message, digest]);
  return inputs.random() < 0.1 ? inputs.damaged(whole) : whole;
}

/** The records in an aggregated one, by a reader that first lists all fields; undefined if it isn't aggregated. */
function naivePieces(record: Buffer): Buffer[] | undefined {
  if (record.length < 20 || record.toString('hex', 0, 4) !== 'f3899ac2') return undefined;
  const message = record.subarray(4, -16);
  if (!createHash('md5').update(message).digest().equals(record.subarray(-16))) return undefined;
  try {
    const own = fieldsOf(message).filter(({ number, type }) => number === 3n && type === 2n);
    const data = own.map(({ contents }) => {
      const last = fieldsOf(contents).findLast(({ number, type }) => number === 3n && type === 2n);
      if (!last) throw new Error('no data');
      return last.contents;
    });
    return data.length > 0 ? data : undefined;
  } catch {
    return undefined;
  }
}

function fieldsOf(message: Buffer): { number: bigint; type: bigint; contents: Buffer }[] {
  let rest = message;
  const take = (length: number) => {
    if (rest.length < length) throw new Error('torn');
    const taken = rest.subarray(0, length);
    rest = rest.subarray(length);
    return taken;
  };
  const number = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const [byte] = take(1);
      value |= BigInt(byte! & 127) << shift;
      if (byte! < 128) return value;
    }
    throw new Error('too long');
  };
  const fields: { number: bigint; type: bigint; contents: Buffer }[] = [];
  while (rest.length > 0) {
    const tag = number();
    const type = tag & 7n;
    if (tag < 8n || tag >= 1n << 32n) throw new Error('no field');
    const lengths: Record<string, () => number> = {
      0: () => 0,
      1: () => 8,
      2: () => Number(number()),
      5: () => 4,
    };
    if (type === 0n) number();
    const length = lengths[String(type)];
    if (!length) throw new Error('no type');
    fields.push({ number: tag >> 3n, type, contents: take(length()) });
  }
  return fields;
}
