/**
 * Generates TLC files: trips from a model of New York, in the layouts of the real files, as unordered as those and, on
 * request, as dirty.
 *
 * G1 The same options give the same bytes on every platform (random.ts says how).
 * G2 Memory is constant for any number of trips.
 * G3 Without dirt every row is a valid trip that begins in [from, from + hours).
 * G4 Dirt has its own random numbers: clean rows are the same at any `dirty`.
 */
import { usageError } from '../../errors.ts';
import { PickupTimes } from './calendar.ts';
import { CsvBuffer } from './csv-buffer.ts';
import { soil } from './dirt.ts';
import { LAYOUTS, type Layout, type LayoutPlan, layoutPlan, writeRow } from './layouts.ts';
import { Random } from './random.ts';
import { blankTrip, type Trip } from './trip.ts';
import { TripProcess } from './trips.ts';

export { DIRT, type Dirt } from './dirt.ts';
export { LAYOUTS, type Layout } from './layouts.ts';

export interface GenerateOptions {
  /** Rows after the header, dirty ones included. */
  readonly trips: number;
  /** ISO date, or date and time; without a zone it is UTC. Not before 1970. */
  readonly from: string;
  /** Length of the span of pick-up times; may be fractional. */
  readonly hours: number;
  /** Any whole number; the same one gives the same file. */
  readonly seed: number;
  readonly layout: Layout;
  /** Share of the rows that are dirty, 0…1. */
  readonly dirty: number;
}

const STREAM = { times: 1, trips: 2, dirt: 3, order: 4 } as const;
const LONGEST_HOURS = 24 * 366 * 100;

/**
 * Generates CSV text in chunks of some 64 KiB, the header first. Memory is constant, and the same options give the
 * same text on every platform.
 *
 * @throws TaxiflowError `usage` at the first chunk, if an option is out of range.
 */
export function* generateCsv(options: GenerateOptions): Generator<string> {
  checkOptions(options);
  const plan = layoutPlan(options.layout);
  const out = new CsvBuffer();
  out.text(plan.head);
  for (const trip of unordered(drawTrips(options, plan), plan, new Random(options.seed, STREAM.order))) {
    writeRow(out, plan, trip);
    if (out.full) yield out.take();
  }
  if (out.length > 0) yield out.take();
}

type DrawTrip = (trip: Trip) => boolean;

/** Returns a function that writes the next trip, by pick-up time, into its argument; false if there are no more. */
function drawTrips(options: GenerateOptions, { service }: LayoutPlan): DrawTrip {
  const { trips, hours, seed, dirty } = options;
  const from = startSeconds(options.from);
  const times = new PickupTimes({ from, hours, trips }, new Random(seed, STREAM.times));
  const taxis = new TripProcess(service, from, new Random(seed, STREAM.trips));
  const dirt = new Random(seed, STREAM.dirt);
  let left = trips;
  return (trip) => {
    if (left-- <= 0) return false;
    taxis.draw(trip, times.next());
    if (dirt.next() < dirty) soil(trip, dirt);
    return true;
  };
}

/** Holds some trips back on a small shelf while others pass, so that rows come out nearly in order. */
function* unordered(draw: DrawTrip, { shelf, shelved }: LayoutPlan, random: Random): Generator<Trip> {
  const waiting: Trip[] = [];
  let trip = blankTrip();
  while (draw(trip)) {
    if (random.next() >= shelved) {
      yield trip;
    } else if (waiting.length < shelf) {
      waiting.push(trip);
      trip = blankTrip();
    } else {
      const slot = random.below(shelf);
      const next = waiting[slot]!;
      waiting[slot] = trip;
      trip = next;
      yield trip;
    }
  }
  yield* waiting;
}

function startSeconds(from: string): number {
  const zoned = /T.*(Z|[+-]\d\d:?\d\d)$/i.test(from);
  const dateOnly = /^\d{4}-\d{2}-\d{2}$/.test(from);
  return Math.floor(Date.parse(zoned || dateOnly ? from : `${from.replace(' ', 'T')}Z`) / 1000);
}

function checkOptions({ trips, from, hours, seed, layout, dirty }: GenerateOptions): void {
  if (!Number.isSafeInteger(trips) || trips < 0)
    throw usageError(`trips must be a whole number, not ${trips}`);
  if (!(startSeconds(from) >= 0)) {
    throw usageError(
      `from can't be read as a time: ${from}`,
      'write it as 2015-06-02 or 2015-06-02T07:00:00',
    );
  }
  if (!(hours > 0 && hours <= LONGEST_HOURS)) {
    throw usageError(`hours must be above 0 and at most ${LONGEST_HOURS}, not ${hours}`);
  }
  if (!Number.isSafeInteger(seed)) throw usageError(`seed must be a whole number, not ${seed}`);
  if (!LAYOUTS.includes(layout)) {
    throw usageError(`there is no layout ${layout}`, `choose one of ${LAYOUTS.join(', ')}`);
  }
  if (!(dirty >= 0 && dirty <= 1)) throw usageError(`dirty must be a ratio from 0 to 1, not ${dirty}`);
}
