/** Draws trips one by one, from the pick-up time to the total amount. */
import { City, drivingMinutes, type Fleet, streetMiles, zoneOf } from './city.ts';
import { chargeTrip, type Tariff } from './meter.ts';
import type { Random } from './random.ts';
import { PAYMENT, RATE, type Trip } from './trip.ts';

/** Properties of a fleet in a certain year. */
export interface Service {
  readonly fleet: Fleet;
  readonly zones: boolean;
  readonly tariff: Tariff;
  readonly cardShare: number;
  /** Cumulative shares of the vendors. */
  readonly vendorShares: readonly number[];
  /** Index of a vendor whose devices report whole minutes. */
  readonly minuteVendor: number | undefined;
}

const PASSENGER_SHARES = [0.72, 0.85, 0.89, 0.91, 0.965, 1];
/** Spread of the durations of trips with the same distance and hour. */
const DURATION_SIGMA = 0.22;
const LEAST_SECONDS = 90;

/** Draws trips of one service; every one is valid. */
export class TripProcess {
  private readonly service: Service;
  private readonly random: Random;
  private readonly city: City;
  private readonly earliest: number;

  /** No pick-up is before `earliest` (seconds since 1970), even if reported in whole minutes. */
  constructor(service: Service, earliest: number, random: Random) {
    this.service = service;
    this.earliest = earliest;
    this.random = random;
    this.city = new City(service.fleet, random);
  }

  /** Writes a new trip that begins at `pickup`. */
  draw(trip: Trip, pickup: number): void {
    trip.pickup = pickup;
    trip.dirt = undefined;
    this.city.drawEnds(pickup, trip.from, trip.to);
    this.drawDrive(trip);
    this.drawRide(trip);
    trip.rate = rateCode(trip);
    chargeTrip(trip, this.service.tariff, this.random);
    if (this.service.zones) {
      trip.fromZone = zoneOf(trip.from);
      trip.toZone = zoneOf(trip.to);
    }
    if (trip.vendor === this.service.minuteVendor) this.toWholeMinutes(trip);
  }

  private drawDrive(trip: Trip): void {
    const miles = streetMiles(trip.from, trip.to) * (1.02 + 0.16 * this.random.next());
    const minutes = drivingMinutes(miles, trip.pickup) * this.random.factor(DURATION_SIGMA);
    trip.distance = Math.max(10, Math.round(miles * 100));
    trip.dropoff = trip.pickup + Math.max(LEAST_SECONDS, Math.round(minutes * 60));
  }

  private drawRide(trip: Trip): void {
    trip.passengers = 1 + indexOfShare(PASSENGER_SHARES, this.random.next());
    trip.vendor = indexOfShare(this.service.vendorShares, this.random.next());
    trip.payment = this.drawPayment();
    const rare = this.random.next();
    trip.stored = rare < 0.006;
    trip.dispatched = rare > 0.985;
  }

  private drawPayment(): number {
    const draw = this.random.next();
    if (draw < 0.001) return PAYMENT.dispute;
    if (draw < 0.005) return PAYMENT.noCharge;
    return this.random.next() < this.service.cardShare ? PAYMENT.card : PAYMENT.cash;
  }

  private toWholeMinutes(trip: Trip): void {
    const pickup = trip.pickup - (trip.pickup % 60);
    if (pickup >= this.earliest) trip.pickup = pickup;
    trip.dropoff -= trip.dropoff % 60;
  }
}

function rateCode({ from, to }: Trip): number {
  if ((from.manhattan && to.kind === 'jfk') || (from.kind === 'jfk' && to.manhattan)) return RATE.jfk;
  if (to.kind === 'newark') return RATE.newark;
  if (to.kind === 'outside') return to.lon < -73.95 ? RATE.negotiated : RATE.nassau;
  return RATE.standard;
}

function indexOfShare(shares: readonly number[], draw: number): number {
  let index = 0;
  while (index < shares.length - 1 && draw >= shares[index]!) index++;
  return index;
}
