/** What a simulated line is made of: trips, views and the options of its commands; and what must come of it. */
import type { Trip } from '../../src/events/trip.ts';
import { checkViews } from '../../src/views/check.ts';
import * as l from '../../src/views/language.ts';
import type { Random } from '../random.ts';
import { evaluate, groupBy, windowsOf } from '../views/model.ts';

const START = Date.UTC(2016, 0, 1, 6);
const iso = (ms: number) => new Date(ms).toISOString();
const amount = l.field('total_amount');
const zone = l.field('pickup_zone');

const VIEWS = [
  l.view({ name: 'counted', by: {}, window: l.tumbling('2m'), aggregates: { n: l.count(), total: l.sum(amount) } }),
  // A row per trip, so one that is counted twice or left out shows.
  l.view({ name: 'each', by: { trip: l.field('trip_distance'), zone }, window: l.tumbling('1m'), aggregates: { n: l.count() } }),
  l.view({ name: 'zones', by: { zone }, window: l.sliding('6m', '2m'), aggregates: { n: l.count(), least: l.min(amount), most: l.max(amount) }, having: l.gte(l.aggregate('n'), 2) }),
  l.view({ name: 'grown', by: { zone }, window: l.cumulating('6m', '2m'), aggregates: { n: l.count(), typical: l.percentile(amount, 0.5) } }),
  l.view({ name: 'stays', where: l.gt(l.field('passenger_count'), 0), by: { riders: l.field('passenger_count') }, window: l.session('90s'), aggregates: { n: l.count(), total: l.sum(amount) } }),
  // A window that fills up later takes its results back.
  l.view({ name: 'few', by: { zone }, window: l.tumbling('2m'), aggregates: { n: l.count() }, having: l.lte(l.aggregate('n'), 2) }),
]; // biome-ignore format: a view a line
checkViews(VIEWS);

export interface Workload {
  readonly trips: readonly Trip[];
  readonly csv: string;
  readonly rejected: number;
  /** Where the file is. */
  readonly source: 'disk' | 's3' | 's3, packed';
  readonly views: readonly l.View[];
  /** The stream is an embedded one, and all runs on one machine. */
  readonly isEmbedded: boolean;
  readonly shards: number;
  readonly speedup: number;
  readonly aggregate: boolean;
  readonly watermarkInterval: number | undefined;
  readonly checkpointInterval: number;
  /** Ms. */
  readonly allowedLateness: number;
  readonly retain: number | undefined;
  /** A run ends where the stream does, and the next one follows. */
  readonly untilEnd: boolean;
  /** Another producer writes trips as it likes, and what is none. */
  readonly hasForeign: boolean;
  readonly consumer: 'polling' | 'efo';
  /** Where a new state begins to read; a number is ms after the world's beginning. */
  readonly from: 'trim-horizon' | 'latest' | number;
  /** When the processor begins, ms after the world. */
  readonly beginsAfter: number;
  /** The processor is away for about as long as records are kept. */
  readonly isAway: boolean;
  /** It may go on when records are lost to it. */
  readonly allowsGap: boolean;
  /** Where results go. */
  readonly output: boolean;
  readonly opensearch: boolean;
  /** Where each trip goes as Parquet, and ms after which a file is closed. */
  readonly archive: 'folder' | 's3' | undefined;
  readonly archiveInterval: number | undefined;
  /** Bytes that open windows may take (C9); as much as they like by default. */
  readonly memoryLimit: number | undefined;
  /** The state is in S3, and a standby waits for so many ms. */
  readonly isRemote: boolean;
  readonly takeover: number;
  readonly stateInterval: number;
}

function pick<T>(random: Random, of: readonly T[]): T {
  return of[Math.floor(random() * of.length)]!;
}

// A file lies on one machine, and a state in S3 may move to another.
const SINKS = [{ output: true, opensearch: false, isRemote: false }, { output: false, opensearch: true, isRemote: false }, { output: true, opensearch: true, isRemote: false }, { output: false, opensearch: true, isRemote: true }]; // biome-ignore format: one list

/** Fields of a trip that a row of the file has. */
export const ROW_FIELDS = ['pickup_datetime', 'dropoff_datetime', 'passenger_count', 'trip_distance', 'pickup_zone', 'dropoff_zone', 'total_amount'] as const; // biome-ignore format: one list
const HORIZONS = new Array<'trim-horizon'>(6).fill('trim-horizon');

const HEADER =
  'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,PULocationID,DOLocationID,total_amount';

export function workloadOf(random: Random): Workload {
  const count = 1 + Math.floor(random() ** 2 * 150);
  const trips: Trip[] = [];
  const rows: string[] = [];
  // Seconds between trips: bursts with ties, or far apart, and a gap now and then.
  const usual = pick(random, [0, 4, 10, 25]);
  let time = START;
  for (let i = 0; i < count; i++) {
    if (random() < 0.7) time += Math.floor(random() * 2 * usual) * 1_000;
    if (random() < 0.03) time += 600_000;
    if (i === 0 && random() < 0.05) time -= 7 * 365 * 86_400_000;
    else if (i === 1 && time < START) time = START;
    const trip: Trip = {
      dropoff_datetime: iso(time),
      pickup_datetime: iso(time - Math.floor(random() * 1_800) * 1_000),
      passenger_count: Math.floor(random() * 4),
      trip_distance: i % 97,
      ...(random() < 0.9 ? { pickup_zone: 1 + Math.floor(random() * 5) } : {}),
      dropoff_zone: 7,
      total_amount: Math.floor(random() * 10_000) / 100,
    };
    trips.push(trip);
    rows.push(rowOf(trip));
    // The same row again is another trip.
    if (random() < 0.03) {
      trips.push(trip);
      rows.push(rowOf(trip));
    }
  }
  let rejected = 0;
  // The dataset sorts what is out of order, and rejects what is no trip.
  for (let swaps = Math.floor(random() * 5); swaps > 0; swaps--) {
    const [a, b] = [Math.floor(random() * rows.length), Math.floor(random() * rows.length)];
    [rows[a], rows[b]] = [rows[b]!, rows[a]!];
  }
  if (random() < 0.2) {
    rejected++;
    rows.splice(Math.floor(random() * rows.length), 0, '1,soon,later,1,1,1,1,1');
  }
  const span = (time - START) / 1_000;
  const isEmbedded = random() < 0.2;
  const isAway = !isEmbedded && random() < 0.15;
  const [beginsAfter, beginsAt] = [isAway || isEmbedded ? 0 : random() ** 2 * 20_000, random()];
  const beginnings = isEmbedded
    ? HORIZONS
    : [...HORIZONS, 'latest' as const, Math.floor(beginsAfter * beginsAt)];
  const from = pick(random, beginnings);
  // Whether a trip is late may depend on watermarks that are lost, in ways that only the order of reads tells.
  const hasForeign = !isEmbedded && !isAway && random() < 0.4;
  const views = VIEWS.filter(() => random() < 0.4);
  const sinks = pick(
    random,
    SINKS.filter(({ isRemote }) => !isEmbedded || !isRemote),
  );
  return {
    trips,
    csv: `${[HEADER, ...rows].join('\n')}\n`,
    rejected,
    source: pick(random, ['disk', 'disk', 's3', 's3, packed']),
    views: views.length > 0 ? views : [pick(random, VIEWS)],
    isEmbedded,
    shards: pick(random, [1, 2, 2, 3, 4]),
    // So many seconds it takes, or none.
    speedup: pick(random, [Math.max(1, span / 30), Math.max(1, span / 15), Math.max(1, span / 5), Number.POSITIVE_INFINITY]), // biome-ignore format: one list
    aggregate: random() < 0.3,
    watermarkInterval: pick(random, [undefined, 200, 1_000]),
    checkpointInterval: pick(random, [1_000, 1_000, 100, 5_000]),
    hasForeign,
    isAway,
    consumer: !isEmbedded && random() < 0.25 ? 'efo' : 'polling',
    from,
    beginsAfter: from === 'trim-horizon' ? 0 : beginsAfter,
    allowsGap: random() < 0.5,
    untilEnd: random() < 0.3,
    allowedLateness: pick(random, [0, 0, 60_000, 600_000]),
    // What is gone can't be sent again, and a file on another machine would need it.
    retain: sinks.output && !sinks.opensearch && random() < 0.3 ? 60_000 : undefined,
    ...sinks,
    takeover: pick(random, [3_000, 10_000]),
    stateInterval: pick(random, [500, 1_000, 5_000]),
    // A folder lies on one machine.
    archive: pick(random, ['s3', sinks.isRemote ? 's3' : 'folder', undefined, undefined]),
    memoryLimit: pick(random, [undefined, undefined, 1_000, 10_000]),
    archiveInterval: pick(random, [500, 5_000, 20_000, undefined]),
  };
}

function rowOf(trip: Trip): string {
  const time = (text?: string) => text!.slice(0, 19).replace('T', ' ');
  return ['', time(trip.pickup_datetime), time(trip.dropoff_datetime), trip.passenger_count, trip.trip_distance, trip.pickup_zone ?? '', trip.dropoff_zone, trip.total_amount].join(','); // biome-ignore format: a row
}

/** A trip of another producer, at some time around those of the line. */
export function foreignTrip(random: Random, { trips }: Workload): Trip {
  const times = trips.map(({ dropoff_datetime }) => Date.parse(dropoff_datetime));
  const base = times[Math.floor(random() * times.length)]!;
  return {
    dropoff_datetime: iso(base + Math.floor((random() - 0.5) * 600_000)),
    passenger_count: Math.floor(random() * 4),
    trip_distance: 100 + Math.floor(random() * 50),
    pickup_zone: 1 + Math.floor(random() * 5),
    total_amount: Math.floor(random() * 10_000) / 100,
    ...(random() < 0.7 ? { replay: 'foreign', trip_id: Math.floor(random() * 1e12) } : {}),
  };
}

/** No events. */
export const GARBAGE = ['', '\n', '{}', 'x\n', '{"type":"trip"}\n', '{"type":"trip","trip_id":', '[]\n', '{"type":"watermark","watermark":"soon"}\n']; // biome-ignore format: one list

/** What is left of results that later ones correct or take back, by what they are about. */
export function lastOf(views: readonly l.View[], documents: readonly Document[]): Document[] {
  const last = new Map<string, Document>();
  for (const document of documents) {
    const { by } = views.find(({ name }) => name === document['view'])!;
    const about = ['view', 'window_start', 'window_end', ...Object.keys(by)].map((name) => document[name]);
    if (document[l.RETRACTED]) last.delete(JSON.stringify(about));
    else last.set(JSON.stringify(about), document);
  }
  return [...last.values()];
}

export type Document = Readonly<Record<string, unknown>>;

/** The results of views over trips, each a text; sorted. */
export function resultsOf(
  views: readonly l.View[],
  judged: readonly JudgedTrip[],
  lateness: number,
): string[] {
  const documents = views.flatMap((view) => {
    const { window } = view;
    if (window.kind === 'session') {
      // Times are cut into spans as long as the gap, and a trip counts unless its span was over.
      const gap = window.gap_ms;
      const endOf = ({ dropoff_datetime }: Trip) =>
        (Math.floor(Date.parse(dropoff_datetime) / gap) + 1) * gap;
      const inTime = judged.filter(({ trip, watermark }) => watermark < endOf(trip) - 1 + lateness);
      return sessionsOf(
        view,
        inTime.map(({ trip }) => trip),
      );
    }
    // A trip counts in those of its windows that were not over.
    const byEnd = new Map<number, Trip[]>();
    for (const { trip, watermark } of judged)
      for (const [, end] of windowsOf(window, Date.parse(trip.dropoff_datetime)))
        if (watermark < end - 1 + lateness) byEnd.set(end, [...(byEnd.get(end) ?? []), trip]);
    return [...byEnd].flatMap(([end, trips]) =>
      groupBy(view, trips).filter((document) => Date.parse(String(document['window_end'])) === end),
    );
  });
  return textsOf(documents);
}

/** A trip, and the watermark of its shard when it came; of several copies, the least. */
export interface JudgedTrip {
  readonly trip: Trip;
  readonly watermark: number;
}

export function textsOf(documents: readonly Document[]): string[] {
  return documents.map((document) => JSON.stringify(document, Object.keys(document).sort())).sort();
}

/** Trips of a key that are no farther apart than the gap are one session. */
function sessionsOf(view: l.View, trips: readonly Trip[]): Document[] {
  const { gap_ms: gap } = view.window as { gap_ms: number };
  const timeOf = ({ dropoff_datetime }: Trip) => Date.parse(dropoff_datetime);
  const byKey = new Map<string, Trip[]>();
  for (const trip of trips) {
    const of = (name: string) => trip[name as keyof Trip];
    if (view.where && !evaluate(view.where, of)) continue;
    const key = JSON.stringify(Object.values(view.by).map((e) => evaluate(e, of) ?? null));
    byKey.set(key, [...(byKey.get(key) ?? []), trip]);
  }
  return [...byKey.values()].flatMap((all) => {
    all.sort((a, b) => timeOf(a) - timeOf(b));
    const found: Document[] = [];
    for (let from = 0; from < all.length; ) {
      let to = from + 1;
      while (to < all.length && timeOf(all[to]!) - timeOf(all[to - 1]!) <= gap) to++;
      const [first, end] = [timeOf(all[from]!), timeOf(all[to - 1]!) + gap];
      // What a session holds is what one long window of its trips holds.
      const [document] = groupBy({ ...view, window: l.tumbling('36500d') }, all.slice(from, to));
      if (document)
        found.push({ ...document, window_start: iso(first), window_end: iso(end), timestamp: iso(end - 1) });
      from = to;
    }
    return found;
  });
}
