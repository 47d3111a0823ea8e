/** The layouts of TLC files by year: headers, line ends and number formats, byte for byte as published. */
import type { CsvBuffer } from './csv-buffer.ts';
import { unreadableTime } from './dirt.ts';
import { PAYMENT, type Trip } from './trip.ts';
import type { Service } from './trips.ts';

/**
 * `yellow-2010` is 2010–13, `yellow-2014` the same with spaces in its header, `yellow-2015` 2015–16 with
 * coordinates, `yellow-2017` and `green-2017` have zones, `green-2013` is 2013–14, `green-2015` 2015–16.
 */
export const LAYOUTS = [
  'yellow-2009',
  'yellow-2010',
  'yellow-2014',
  'yellow-2015',
  'yellow-2017',
  'green-2013',
  'green-2015',
  'green-2017',
] as const;
export type Layout = (typeof LAYOUTS)[number];

type Column = (out: CsvBuffer, trip: Trip) => void;

export interface LayoutPlan {
  readonly service: Service;
  /** The text before the first row: header, line end and blank lines. */
  readonly head: string;
  readonly columns: readonly Column[];
  /** What follows the last column of every row. */
  readonly tail: string;
  /** Size of the shelf for trips that are held back, and the share of trips on it: how unordered the file is. */
  readonly shelf: number;
  readonly shelved: number;
}

const LF = '\n';
const CRLF = '\r\n';
const COMMA = 44;

const words =
  (list: readonly string[], index: (trip: Trip) => number): Column =>
  (out, trip) =>
    out.text(list[index(trip)]!);
const empty: Column = () => {};

const pickup: Column = (out, trip) => {
  if (trip.dirt === 'unreadable-time' && trip.dirtDraw < 0.5) out.text(unreadableTime(trip));
  else out.time(trip.pickup);
};
const dropoff: Column = (out, trip) => {
  if (trip.dirt === 'unreadable-time' && trip.dirtDraw >= 0.5) out.text(unreadableTime(trip));
  else out.time(trip.dropoff);
};
const passengers: Column = (out, trip) => {
  if (trip.passengers > 0) out.integer(trip.passengers);
};
const rate: Column = (out, trip) => out.integer(trip.rate);
const stored: Column = (out, trip) => out.text(trip.stored ? 'Y' : 'N');
const payment: Column = (out, trip) => out.integer(trip.payment + 1);
const vendor: Column = (out, trip) => out.integer(trip.vendor + 1);
const zone = (out: CsvBuffer, number: number) => {
  if (number > 0) out.integer(number);
};

// Until 2014 numbers are doubles with 17 digits; from 2015 positions are float32 and amounts in shortest form.
type Amount = 'fare' | 'extra' | 'tax' | 'tip' | 'tolls' | 'surcharge' | 'total' | 'distance';
const long = (field: Amount): Column => {
  return (out, trip) => out.amount17(trip[field]);
};
const short = (field: Amount): Column => {
  return (out, trip) => out.amount(trip[field]);
};
const miles: Column = (out, trip) => out.hundredths(trip.distance);

const OLD_FROM: readonly Column[] = [
  (out, trip) => out.real(trip.from.lon),
  (out, trip) => out.real(trip.from.lat),
];
const OLD_TO: readonly Column[] = [
  (out, trip) => out.real(trip.to.lon),
  (out, trip) => out.real(trip.to.lat),
];
const NEW_FROM: readonly Column[] = [
  (out, trip) => out.float32(Math.fround(trip.from.lon)),
  (out, trip) => out.float32(Math.fround(trip.from.lat)),
];
const NEW_TO: readonly Column[] = [
  (out, trip) => out.float32(Math.fround(trip.to.lon)),
  (out, trip) => out.float32(Math.fround(trip.to.lat)),
];
const ZONES: readonly Column[] = [
  (out, trip) => zone(out, trip.fromZone),
  (out, trip) => zone(out, trip.toZone),
];

// In 2009 each vendor had its own spelling.
const PAYMENTS_2009 = ['Cash', 'CASH', 'CASH', 'Credit', 'Credit', 'CREDIT'];
const payment2009: Column = (out, { payment, vendor }) => {
  if (payment === PAYMENT.noCharge) out.text('No Charge');
  else if (payment === PAYMENT.dispute) out.text('Dispute');
  else out.text(PAYMENTS_2009[vendor + (payment === PAYMENT.card ? 3 : 0)]!);
};
const VENDORS = ['CMT', 'VTS', 'DDS'];
const vendorName = words(VENDORS, (trip) => trip.vendor);
const payment2010 = words(['CRD', 'CSH', 'NOC', 'DIS'], (trip) => trip.payment);
const stored2010: Column = (out, trip) => {
  if (trip.vendor === 0) out.text(trip.stored ? 'Y' : 'N');
};
const tripType: Column = (out, trip) => out.integer(trip.dispatched ? 2 : 1);

const HEAD_2009 =
  'vendor_name,Trip_Pickup_DateTime,Trip_Dropoff_DateTime,Passenger_Count,Trip_Distance,Start_Lon,Start_Lat,' +
  'Rate_Code,store_and_forward,End_Lon,End_Lat,Payment_Type,Fare_Amt,surcharge,mta_tax,Tip_Amt,Tolls_Amt,Total_Amt';
const HEAD_2010 =
  'vendor_id,pickup_datetime,dropoff_datetime,passenger_count,trip_distance,pickup_longitude,pickup_latitude,' +
  'rate_code,store_and_fwd_flag,dropoff_longitude,dropoff_latitude,payment_type,fare_amount,surcharge,mta_tax,' +
  'tip_amount,tolls_amount,total_amount';
const HEAD_2015 =
  'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,pickup_longitude,' +
  'pickup_latitude,RateCodeID,store_and_fwd_flag,dropoff_longitude,dropoff_latitude,payment_type,fare_amount,' +
  'extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount';
const HEAD_2017 =
  'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,' +
  'store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,' +
  'improvement_surcharge,total_amount';
const HEAD_GREEN =
  'VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Store_and_fwd_flag,RateCodeID,Pickup_longitude,' +
  'Pickup_latitude,Dropoff_longitude,Dropoff_latitude,Passenger_count,Trip_distance,Fare_amount,Extra,MTA_tax,' +
  'Tip_amount,Tolls_amount,Ehail_fee,';
const HEAD_GREEN_2013 = `${HEAD_GREEN}Total_amount,Payment_type,Trip_type `;
const HEAD_GREEN_2015 = `${HEAD_GREEN}improvement_surcharge,Total_amount,Payment_type,Trip_type `;
const HEAD_GREEN_2017 =
  'VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,PULocationID,DOLocationID,' +
  'passenger_count,trip_distance,fare_amount,extra,mta_tax,tip_amount,tolls_amount,ehail_fee,' +
  'improvement_surcharge,total_amount,payment_type,trip_type';

/** The TLC's export ended the header with LF, then wrote an empty line and the rows with CRLF. */
const published = (header: string) => header + LF + CRLF;

const SERVICE_2009: Service = {
  fleet: 'yellow',
  zones: false,
  tariff: { unit: 40, jfkFlat: 4500, mtaTax: 0, surcharge: 0, toll: 415 },
  cardShare: 0.25,
  vendorShares: [0.44, 0.91, 1],
  minuteVendor: 1,
};
const SERVICE_2010: Service = {
  ...SERVICE_2009,
  tariff: { unit: 50, jfkFlat: 5200, mtaTax: 50, surcharge: 0, toll: 533 },
  cardShare: 0.55,
  vendorShares: [0.49, 1],
};
const SERVICE_2015: Service = {
  ...SERVICE_2010,
  tariff: { unit: 50, jfkFlat: 5200, mtaTax: 50, surcharge: 30, toll: 554 },
  cardShare: 0.62,
  vendorShares: [0.48, 1],
  minuteVendor: undefined,
};
const SERVICE_2017: Service = {
  ...SERVICE_2015,
  zones: true,
  tariff: { ...SERVICE_2015.tariff, toll: 576 },
  cardShare: 0.68,
};
const GREEN = { fleet: 'green', cardShare: 0.47, vendorShares: [0.2, 1] } as const;

const UNORDERED = { shelf: 48, shelved: 0.5 };
const NEARLY_ORDERED = { shelf: 4, shelved: 0.036 };

const YELLOW_2010: LayoutPlan = {
  service: SERVICE_2010,
  head: published(HEAD_2010),
  columns: [
    ...[vendorName, pickup, dropoff, passengers, long('distance'), ...OLD_FROM, rate, stored2010],
    ...[
      ...OLD_TO,
      payment2010,
      long('fare'),
      long('extra'),
      long('tax'),
      long('tip'),
      long('tolls'),
      long('total'),
    ],
  ],
  tail: CRLF,
  ...UNORDERED,
};

const PLANS: Readonly<Record<Layout, LayoutPlan>> = {
  'yellow-2009': {
    service: SERVICE_2009,
    head: published(HEAD_2009),
    columns: [
      ...[vendorName, pickup, dropoff, passengers, long('distance'), ...OLD_FROM, empty, empty, ...OLD_TO],
      ...[payment2009, long('fare'), long('extra'), empty, long('tip'), long('tolls'), long('total')],
    ],
    tail: CRLF,
    ...UNORDERED,
  },
  'yellow-2010': YELLOW_2010,
  'yellow-2014': { ...YELLOW_2010, head: published(HEAD_2010.replaceAll(',', ', ')) },
  'yellow-2015': {
    service: SERVICE_2015,
    head: HEAD_2015 + CRLF,
    columns: [
      ...[vendor, pickup, dropoff, passengers, miles, ...NEW_FROM, rate, stored, ...NEW_TO, payment],
      ...[
        short('fare'),
        short('extra'),
        short('tax'),
        short('tip'),
        short('tolls'),
        short('surcharge'),
        short('total'),
      ],
    ],
    tail: CRLF,
    ...NEARLY_ORDERED,
  },
  'yellow-2017': {
    service: SERVICE_2017,
    head: published(HEAD_2017),
    columns: [
      ...[vendor, pickup, dropoff, passengers, miles, rate, stored, ...ZONES, payment],
      ...[
        short('fare'),
        short('extra'),
        short('tax'),
        short('tip'),
        short('tolls'),
        short('surcharge'),
        short('total'),
      ],
    ],
    tail: CRLF,
    ...NEARLY_ORDERED,
  },
  'green-2013': {
    service: { ...SERVICE_2010, ...GREEN, minuteVendor: undefined },
    head: published(HEAD_GREEN_2013),
    columns: [
      ...[vendor, pickup, dropoff, stored, rate, ...NEW_FROM, ...NEW_TO, passengers, miles],
      ...[short('fare'), short('extra'), short('tax'), short('tip'), short('tolls'), empty, short('total')],
      ...[payment, empty],
    ],
    // Rows have two fields more than the header.
    tail: `,,${CRLF}`,
    ...NEARLY_ORDERED,
  },
  'green-2015': {
    service: { ...SERVICE_2015, ...GREEN },
    head: HEAD_GREEN_2015 + CRLF,
    columns: [
      ...[vendor, pickup, dropoff, stored, rate, ...NEW_FROM, ...NEW_TO, passengers, miles],
      ...[
        short('fare'),
        short('extra'),
        short('tax'),
        short('tip'),
        short('tolls'),
        empty,
        short('surcharge'),
      ],
      ...[short('total'), payment, tripType],
    ],
    tail: CRLF,
    ...NEARLY_ORDERED,
  },
  'green-2017': {
    service: { ...SERVICE_2017, ...GREEN },
    head: published(HEAD_GREEN_2017),
    columns: [
      ...[vendor, pickup, dropoff, stored, rate, ...ZONES, passengers, miles],
      ...[
        short('fare'),
        short('extra'),
        short('tax'),
        short('tip'),
        short('tolls'),
        empty,
        short('surcharge'),
      ],
      ...[short('total'), payment, tripType],
    ],
    tail: CRLF,
    ...NEARLY_ORDERED,
  },
};

export function layoutPlan(layout: Layout): LayoutPlan {
  return PLANS[layout];
}

/** Writes one row, with the faults of its text. */
export function writeRow(out: CsvBuffer, plan: LayoutPlan, trip: Trip): void {
  if (trip.dirt === 'blank-line') {
    out.text(CRLF);
    return;
  }
  const start = out.length;
  writeColumns(out, plan.columns, trip);
  if (trip.dirt === 'cut-short') {
    out.length = start + cutAt(out.length - start, trip.dirtDraw);
    out.text(CRLF);
    return;
  }
  if (trip.dirt === 'extra-fields') out.text(',,,');
  out.text(plan.tail);
}

function writeColumns(out: CsvBuffer, columns: readonly Column[], trip: Trip): void {
  columns[0]!(out, trip);
  for (let i = 1; i < columns.length; i++) {
    out.byte(COMMA);
    columns[i]!(out, trip);
  }
}

/** Cuts a row after 10 to 80 % of its text, so that columns are missing. */
function cutAt(length: number, draw: number): number {
  return Math.floor(length * (0.1 + 0.7 * draw));
}
