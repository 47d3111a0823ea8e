/** A generated trip, and the TLC's codes in it. */
import type { Place } from './city.ts';
import type { Dirt } from './dirt.ts';

export const PAYMENT = { card: 0, cash: 1, noCharge: 2, dispute: 3 } as const;
/** TLC's rate codes. */
export const RATE = { standard: 1, jfk: 2, newark: 3, nassau: 4, negotiated: 5 } as const;

/** One trip, reused for every row. Times are seconds since 1970, amounts are cents. */
export interface Trip {
  pickup: number;
  dropoff: number;
  readonly from: Place;
  readonly to: Place;
  /** LocationIDs; 0 if none. Set only for layouts with zones. */
  fromZone: number;
  toZone: number;
  /** Hundredths of a mile. */
  distance: number;
  /** 0 if unknown. */
  passengers: number;
  /** Index into the layout's vendors. */
  vendor: number;
  payment: number;
  rate: number;
  /** Stored in the vehicle before it was sent: `store_and_fwd_flag`. */
  stored: boolean;
  /** Dispatched by radio instead of hailed (green taxis). */
  dispatched: boolean;
  fare: number;
  extra: number;
  tax: number;
  tip: number;
  tolls: number;
  surcharge: number;
  total: number;
  dirt: Dirt | undefined;
  /** Uniform in [0, 1): decides where or how the dirt appears in the row. */
  dirtDraw: number;
}

export function blankTrip(): Trip {
  return {
    pickup: 0,
    dropoff: 0,
    from: { kind: 'street', manhattan: false, lat: 0, lon: 0 },
    to: { kind: 'street', manhattan: false, lat: 0, lon: 0 },
    fromZone: 0,
    toZone: 0,
    distance: 0,
    passengers: 0,
    vendor: 0,
    payment: 0,
    rate: 0,
    stored: false,
    dispatched: false,
    fare: 0,
    extra: 0,
    tax: 0,
    tip: 0,
    tolls: 0,
    surcharge: 0,
    total: 0,
    dirt: undefined,
    dirtDraw: 0,
  };
}
