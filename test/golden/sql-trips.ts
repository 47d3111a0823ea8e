/** Trips that SQL views are tried on. */
import type { TestContext } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import type { StreamWriter } from '../../src/streams/ports.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** Trips around both clock changes of 2016, in disorder of ten minutes, some of them twice, and a watermark behind them; written to other streams too. */
export async function trips(
  t: TestContext,
  onPart: (dataDir: string, stream: LocalStream) => Promise<void> = async () => {},
  also: readonly StreamWriter[] = [],
  withLate = true,
  days = 6,
): Promise<{ dataDir: string; ndjson: string; late: number }> {
  const random = randomNumbers(16);
  const dataDir = temporaryFolder(t);
  const stream = LocalStream.open({ dataDir, name: 'taxi-trip-events', clock: systemClock, createShards: 3 });
  const kept: string[] = [];
  let late = 0;
  const maybe = <T>(share: number, value: T) => (random() < share ? value : undefined);
  const oneOf = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)]!;
  let id = 0;
  try {
    for (const from of [Date.UTC(2016, 2, 10), Date.UTC(2016, 10, 3)]) {
      let time = from;
      while (time < from + days * DAY) {
        const texts = Array.from({ length: 20 }, () => {
          time += Math.floor((random() * 4 * MINUTE) / 1000) * 1000;
          const dropoff = time - Math.floor(random() * 600) * 1000;
          const trip = {
            type: 'trip', trip_id: id++, replay: 'r', vendor_id: maybe(0.95, oneOf(['a', 'b', 'c'])),
            pickup_datetime: maybe(0.95, new Date(dropoff - Math.floor(random() * 5000) * 1000).toISOString()),
            dropoff_datetime: new Date(dropoff).toISOString(),
            passenger_count: maybe(0.9, Math.floor(random() * 5)),
            trip_distance: maybe(0.9, Math.floor(random() * 1200) / 100),
            pickup_lat: maybe(0.9, 40.6 + random() * 0.3), pickup_lon: maybe(0.9, -74.05 + random() * 0.3),
            pickup_zone: maybe(0.9, 1 + Math.floor(random() * 6)), dropoff_zone: maybe(0.9, 1 + Math.floor(random() * 6)),
            total_amount: maybe(0.9, Math.floor(random() * 6000) / 100),
          }; // biome-ignore format: a few lines
          return `${JSON.stringify(trip)}\n`;
        });
        for (const text of texts) kept.push(text);
        const copies = texts.filter(() => random() < 0.05);
        // Far behind every watermark: in no result of any view.
        if (withLate && id > 100 && random() < 0.1) {
          late++;
          copies.push(
            `{"type":"trip","trip_id":${1e6 + late},"replay":"r","vendor_id":"a","dropoff_datetime":"2016-01-01T00:00:00.000Z","pickup_datetime":"2015-12-31T23:00:00.000Z"}\n`,
          );
        }
        const all = [...texts, ...copies];
        let end = 0;
        const ends = Uint32Array.from(all, (text) => (end += text.length));
        const batch = { count: all.length, data: Buffer.from(all.join('')), ends, hashes: Uint32Array.from(all, () => Math.floor(random() * 2 ** 32)) }; // biome-ignore format: one line
        for (const writer of [stream, ...also]) await writer.put(batch);
        if (id % 400 === 0) await onPart(dataDir, stream);
        const watermark = new Date(time - 601_000).toISOString();
        for (const writer of [stream, ...also])
          await writer.broadcast(() => Buffer.from(`{"type":"watermark","watermark":"${watermark}"}\n`));
      }
    }
  } finally {
    await stream.close();
  }
  return { dataDir, ndjson: kept.join(''), late };
}
