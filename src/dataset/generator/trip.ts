/** A trip while it is made, and the codes TLC uses in it. */
import type { Place } from './city.ts';
import type { Dirt } from './dirt.ts';

export const PAYMENT = { card: 0, cash: 1, noCharge: 2, dispute: 3 } as const;
/** TLC's rate codes. */
export const RATE = { standard: 1, jfk: 2, newark: 3, nassau: 4, negotiated: 5 } as const;

/** One trip, written over for every row: times in seconds since 1970, amounts in cents. */
export interface Trip {
  pickup: number;
  dropoff: number;
  readonly from: Place;
  readonly to: Place;
  /** LocationIDs; 0 = none. Set only for layouts that have zones. */
  fromZone: number;
  toZone: number;
  /** Hundredths of a mile. */
  distance: number;
  /** 0 = not known. */
  passengers: number;
  /** Index into the layout's vendors. */
  vendor: number;
  payment: number;
  rate: number;
  /** Kept in the vehicle before it was sent: `store_and_fwd_flag`. */
  stored: boolean;
  /** Called by radio instead of hailed (green taxis). */
  dispatched: boolean;
  fare: number;
  extra: number;
  tax: number;
  tip: number;
  tolls: number;
  surcharge: number;
  total: number;
  dirt: Dirt | undefined;
  /** Uniform in [0, 1): where or how the dirt of a row shows. */
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
