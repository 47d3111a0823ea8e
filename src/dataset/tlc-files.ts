/**
 * Where the TLC publishes its trips: one Parquet file per kind and month. Source: "TLC Trip Record Data" on nyc.gov, which
 * names the files and their first months. All of them can be replayed.
 */

export interface TlcFiles {
  readonly kind: 'yellow' | 'green' | 'fhv' | 'fhvhv';
  /** First month, and last one where the layout ends: `2009-01`. Months appear about two months later. */
  readonly from: string;
  readonly to?: string;
  /** How a file says where a trip began and ended. */
  readonly places: 'coordinates' | 'zones';
  /** What of a trip the files have beside its times and places. */
  readonly has: readonly ('vendor_id' | 'passenger_count' | 'trip_distance' | 'total_amount')[];
}

const METERED = ['vendor_id', 'passenger_count', 'trip_distance', 'total_amount'] as const;

export const TLC_FILES: readonly TlcFiles[] = [
  { kind: 'yellow', from: '2009-01', to: '2010-12', places: 'coordinates', has: METERED },
  { kind: 'yellow', from: '2011-01', places: 'zones', has: METERED },
  { kind: 'green', from: '2013-08', places: 'zones', has: METERED },
  { kind: 'fhv', from: '2015-01', places: 'zones', has: [] },
  { kind: 'fhvhv', from: '2019-02', places: 'zones', has: ['trip_distance'] },
];

/** Address of a month's file; `month` is `YYYY-MM`. */
export function tlcUrl(kind: TlcFiles['kind'], month: string): string {
  return `https://d37ci6vzurychx.cloudfront.net/trip-data/${kind}_tripdata_${month}.parquet`;
}
