/** The taximeter: the amounts of a trip from its distance, duration and hour, in cents. */
import { hourOfWeek } from './calendar.ts';
import type { Random } from './random.ts';
import { PAYMENT, RATE, type Trip } from './trip.ts';

export interface Tariff {
  /** Charged for each fifth of a mile or minute of standing. */
  readonly unit: number;
  readonly jfkFlat: number;
  /** 0 if the layout's year has none. */
  readonly mtaTax: number;
  /** Improvement surcharge; 0 before 2015. */
  readonly surcharge: number;
  /** For a tunnel or bridge between boroughs. */
  readonly toll: number;
}

const START = 250;
const NEWARK_EXTRA = 1750;
const NEWARK_TOLL = 1175;

/** Writes all amounts of a trip; its times, distance, rate and payment must be set. */
export function chargeTrip(trip: Trip, tariff: Tariff, random: Random): void {
  trip.fare = meteredFare(trip, tariff);
  trip.extra = trip.rate === RATE.standard ? hourExtra(trip.pickup) : 0;
  trip.tax = trip.rate === RATE.newark ? 0 : tariff.mtaTax;
  trip.surcharge = tariff.surcharge;
  trip.tolls = tolls(trip, tariff, random.next());
  trip.tip = trip.payment === PAYMENT.card ? tip(trip, random.next()) : 0;
  trip.total = trip.fare + trip.extra + trip.tax + trip.surcharge + trip.tolls + trip.tip;
}

function meteredFare({ rate, distance, pickup, dropoff }: Trip, { unit, jfkFlat }: Tariff): number {
  if (rate === RATE.jfk) return jfkFlat;
  const miles = distance / 100;
  const standing = Math.max(0, (dropoff - pickup) / 60 - 2.6 * miles) * 0.75;
  const fare = START + unit * Math.floor(5 * miles + standing);
  return rate === RATE.newark ? fare + NEWARK_EXTRA : fare;
}

/** 50 cents at night, a dollar in the evening of a working day. */
function hourExtra(pickup: number): number {
  const week = hourOfWeek(pickup);
  const hour = week % 24;
  if (hour >= 20 || hour < 6) return 50;
  return hour >= 16 && week >= 24 && week < 144 ? 100 : 0;
}

function tolls({ from, to, rate }: Trip, { toll }: Tariff, draw: number): number {
  if (rate === RATE.newark) return NEWARK_TOLL;
  const airport = from.kind === 'jfk' || from.kind === 'lga' || to.kind === 'jfk' || to.kind === 'lga';
  const crossing = from.manhattan !== to.manhattan;
  return crossing && draw < (airport ? 0.45 : 0.08) ? toll : 0;
}

/** A percentage from the buttons of the payment screen, or whole dollars. */
function tip({ fare, extra, tax, tolls }: Trip, draw: number): number {
  const due = fare + extra + tax + tolls;
  if (draw < 0.05) return 0;
  if (draw < 0.5) return Math.round(due * 0.2);
  if (draw < 0.65) return Math.round(due * 0.25);
  if (draw < 0.72) return Math.round(due * 0.3);
  return 100 * Math.ceil((due * 0.15) / 100);
}
