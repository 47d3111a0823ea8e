/** What a stack costs in a month, by a table of list prices. */
import { usageError } from '../errors.ts';
import type { StackShape } from './template/shape.ts';
import { templateOf } from './template/template.ts';

/** US dollars, without free tiers and taxes. */
export const PRICES = {
  asOf: '2025-06',
  region: 'us-east-1',
  source: "the price pages of AWS's services",
  shardHour: 0.015,
  /** Of 25 KB each. */
  millionPutUnits: 0.014,
  extendedShardHour: 0.02,
  onDemandStreamHour: 0.04,
  onDemandGbIn: 0.08,
  onDemandGbOut: 0.04,
  /** Kept for days 2 to 7, and for longer. */
  onDemandGbMonth: 0.1,
  longGbMonth: 0.023,
  armCoreHour: 0.03238,
  armGbHour: 0.00356,
  publicAddressHour: 0.005,
  /** Of gp3 at a search node. */
  searchGbMonth: 0.122,
  searchHour: {
    't3.small.search': 0.036,
    't3.medium.search': 0.073,
    'm6g.large.search': 0.128,
    'm6g.xlarge.search': 0.256,
    'c6g.large.search': 0.113,
    'r6g.large.search': 0.167,
    'r6g.xlarge.search': 0.335,
  } as Readonly<Record<string, number>>,
  /** Of a compute unit of a serverless collection. */
  searchUnitHour: 0.24,
  firehoseGb: 0.029,
  bucketGbMonth: 0.023,
  thousandPuts: 0.005,
  logGb: 0.5,
  metricMonth: 0.3,
  alarmMonth: 0.1,
  boardMonth: 3,
} as const;

export const SEARCH_INSTANCES = Object.keys(PRICES.searchHour);

/** What the estimate assumes besides the shape. */
export interface Load {
  /** 0 = on demand. */
  readonly shards: number;
  readonly retentionHours: number;
  /** Hours of the month that the stack is there. */
  readonly hours: number;
  /** Trips that are sent on such a day. */
  readonly tripsPerDay: number;
  readonly searchInstance: string;
  readonly searchNodes: number;
  /** GiB for each node. */
  readonly searchStorage: number;
}

export interface CostItem {
  readonly part: string;
  /** How much of what, as a text. */
  readonly what: string;
  /** US dollars a month. */
  readonly dollars: number;
}

/** Bytes of a trip on the wire, as a stream on demand and Firehose bill it, and in the archives, compressed. */
const TRIP = { wire: 350, onDemand: 1024, billed: 5 * 1024, gzip: 90, parquet: 20 };
const TASK = { cores: 1, gb: 4, small: { cores: 0.25, gb: 0.5 } };
const GB = 1e9;
const STATE_COMMITS_PER_HOUR = 3600 / 5;
/** Each commit writes what changed, and the head. */
const PUTS_PER_COMMIT = 2;
/** Of taxiflow itself: eleven of the processor, six of the replay. */
export const METRICS = 17;
const LOOKS_PER_HOUR = 12;
/** Fargate bills a minute at least. */
const LOOK_HOURS = 1 / 60;

export function costOf(shape: StackShape, load: Load): CostItem[] {
  const { hours, tripsPerDay } = load;
  const trips = (tripsPerDay * hours) / 24;
  return [
    ...streamCost(load, trips),
    taskCost(shape, 'process', hours, TASK.cores, TASK.gb),
    ...(shape.autoscale && load.shards > 0
      ? [taskCost(shape, 'autoscale', hours * LOOKS_PER_HOUR * LOOK_HOURS, TASK.small.cores, TASK.small.gb)]
      : []),
    ...searchCost(shape, load),
    {
      part: 'state',
      what: `a commit to S3 every 5 s for ${shown(hours)} h`,
      dollars: (hours * STATE_COMMITS_PER_HOUR * PUTS_PER_COMMIT * PRICES.thousandPuts) / 1000,
    },
    {
      part: 'archive',
      what: `${shown(trips)} records through Firehose, billed as 5 KB each`,
      dollars: ((trips * TRIP.billed) / GB) * PRICES.firehoseGb,
    },
    {
      part: 'archive',
      what: 'the trips of a month in S3, as JSON and as Parquet',
      dollars: ((trips * (TRIP.gzip + TRIP.parquet)) / GB) * PRICES.bucketGbMonth,
    },
    watchCost(shape, hours),
  ];
}

function streamCost({ shards, retentionHours, hours }: Load, trips: number): CostItem[] {
  const [gb, gbIn] = [(trips * TRIP.wire) / GB, (trips * TRIP.onDemand) / GB];
  // Days 2 to 7 are paid for by shards or bytes, later ones by bytes: those of an average moment.
  const keptDays = Math.min(retentionHours, hours) / 24;
  const gbADay = (gb * 24) / Math.max(hours, 24);
  const weekGb = gbADay * Math.max(0, Math.min(keptDays, 7) - 1) * monthsOf(hours);
  const laterGb = gbADay * Math.max(0, keptDays - 7) * monthsOf(hours);
  const kept = (dollars: number) =>
    retentionHours > 24
      ? [
          {
            part: 'stream',
            what: `records kept ${shown(retentionHours)} h`,
            dollars: dollars + laterGb * PRICES.longGbMonth,
          },
        ]
      : [];
  if (shards === 0)
    return [
      {
        part: 'stream',
        what: `on demand for ${shown(hours)} h, ${gbIn.toFixed(1)} GB in, ${gb.toFixed(1)} GB out twice`,
        dollars:
          hours * PRICES.onDemandStreamHour + gbIn * PRICES.onDemandGbIn + 2 * gb * PRICES.onDemandGbOut,
      },
      ...kept(weekGb * PRICES.onDemandGbMonth),
    ];
  const longer = kept(shards * hours * PRICES.extendedShardHour);
  return [
    {
      part: 'stream',
      what: `${shown(shards)} shards for ${shown(hours)} h, ${shown(trips)} records`,
      dollars: shards * hours * PRICES.shardHour + (trips / 1e6) * PRICES.millionPutUnits,
    },
    ...longer,
  ];
}

function taskCost({ network }: StackShape, part: string, hours: number, cores: number, gb: number): CostItem {
  const address = network === 'own' ? PRICES.publicAddressHour : 0;
  return {
    part,
    what: `${cores} ARM core${cores === 1 ? '' : 's'}, ${gb} GB${address > 0 ? ' and an address' : ''} for ${shown(hours)} h on Fargate`,
    dollars: hours * (cores * PRICES.armCoreHour + gb * PRICES.armGbHour + address),
  };
}

function searchCost({ search }: StackShape, load: Load): CostItem[] {
  const { hours, searchInstance, searchNodes, searchStorage } = load;
  if (search === 'none' || search === 'existing') return [];
  if (search === 'serverless')
    return [
      {
        part: 'search',
        what: `1 compute unit for ${shown(hours)} h, the least without standby copies`,
        dollars: hours * PRICES.searchUnitHour,
      },
    ];
  const price = PRICES.searchHour[searchInstance];
  if (price === undefined)
    throw usageError(
      `no list price of ${searchInstance} is known`,
      `known are ${SEARCH_INSTANCES.join(', ')}`,
    );
  return [
    {
      part: 'search',
      what: `${shown(searchNodes)} × ${searchInstance} for ${shown(hours)} h`,
      dollars: searchNodes * hours * price,
    },
    {
      part: 'search',
      what: `${shown(searchNodes)} × ${shown(searchStorage)} GiB of gp3`,
      dollars: searchNodes * searchStorage * PRICES.searchGbMonth * monthsOf(hours),
    },
  ];
}

/** An alarm, a metric and a dashboard cost for as long as they are there. */
function watchCost(shape: StackShape, hours: number): CostItem {
  const alarms = Object.values(templateOf(shape).Resources).filter(
    ({ Type }) => Type === 'AWS::CloudWatch::Alarm',
  ).length;
  return {
    part: 'watch',
    what: `${METRICS} metrics, ${alarms} alarms, a dashboard, 1 GB of logs`,
    dollars:
      monthsOf(hours) *
      (METRICS * PRICES.metricMonth + alarms * PRICES.alarmMonth + PRICES.boardMonth + PRICES.logGb),
  };
}

/** An average month has so many hours. */
export const MONTH_HOURS = 730;
const monthsOf = (hours: number) => hours / MONTH_HOURS;
const shown = (value: number) => Math.round(value).toLocaleString('en-US');
