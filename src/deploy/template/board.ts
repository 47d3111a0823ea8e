/** The dashboard in CloudWatch: the line of the pipeline from left to right, a column for each stage. */
import { type Part, ref, subJson, type Value } from './cloudformation.ts';
import type { StackShape } from './shape.ts';
import { type Metric, ofFirehose, ofProcess, ofReplay, ofSearch, ofStream } from './watch.ts';

interface Graph {
  readonly title: string;
  readonly stat: 'Sum' | 'Maximum';
  readonly metrics: readonly Metric[];
}

interface Stage {
  readonly title: string;
  readonly graphs: readonly Graph[];
}

const REPLAY: Stage = {
  title: 'Replay',
  graphs: [
    { title: 'Sent', stat: 'Sum', metrics: [ofReplay('trips'), ofReplay('records')] },
    { title: 'Sent again', stat: 'Sum', metrics: [ofReplay('retries')] },
    { title: 'Watermark behind, s', stat: 'Maximum', metrics: [ofReplay('watermark_lag_seconds')] },
  ],
};
const STREAM: Stage = {
  title: 'Stream',
  graphs: [
    {
      title: 'Records in and out',
      stat: 'Sum',
      metrics: [ofStream('IncomingRecords'), ofStream('GetRecords.Records')],
    },
    {
      title: 'Refused writes and reads',
      stat: 'Sum',
      metrics: [
        ofStream('WriteProvisionedThroughputExceeded'),
        ofStream('ReadProvisionedThroughputExceeded'),
      ],
    },
    {
      title: 'Oldest unread, ms',
      stat: 'Maximum',
      metrics: [ofStream('GetRecords.IteratorAgeMilliseconds')],
    },
  ],
};
const PROCESS: Stage = {
  title: 'Process',
  graphs: [
    { title: 'Records and results', stat: 'Sum', metrics: [ofProcess('records'), ofProcess('results')] },
    { title: 'Late and dead', stat: 'Sum', metrics: [ofProcess('late'), ofProcess('dead_letters')] },
    {
      title: 'Checkpoint and watermark, s',
      stat: 'Maximum',
      metrics: [
        ofProcess('checkpoint_age_seconds'),
        ofProcess('checkpoint_duration_seconds'),
        ofProcess('watermark_lag_seconds'),
      ],
    },
  ],
};
const ARCHIVE: Stage = {
  title: 'Archive',
  graphs: [
    { title: 'Delivered', stat: 'Sum', metrics: [ofFirehose('DeliveryToS3.Records')] },
    { title: 'Newest record, s', stat: 'Maximum', metrics: [ofFirehose('DeliveryToS3.DataFreshness')] },
  ],
};

function sinks({ search }: StackShape): Stage {
  const managed: readonly Graph[] = [
    {
      title: 'Domain: red, yellow',
      stat: 'Maximum',
      metrics: [ofSearch('ClusterStatus.red'), ofSearch('ClusterStatus.yellow')],
    },
  ];
  return {
    title: 'Sinks',
    graphs: [
      {
        title: 'Waiting, sent again',
        stat: 'Maximum',
        metrics: [ofProcess('sink_pending'), ofProcess('sink_retries')],
      },
      { title: 'Behind, s', stat: 'Maximum', metrics: [ofProcess('sink_behind_seconds')] },
      ...(search === 'domain' || search === 'public' ? managed : []),
    ],
  };
}

/** CloudWatch has so many columns. */
const GRID = 24;
const TITLE_HEIGHT = 2;
const GRAPH_HEIGHT = 6;

export function boardPart(shape: StackShape): Part {
  const stages = [REPLAY, STREAM, PROCESS, ...(shape.search === 'none' ? [] : [sinks(shape)]), ARCHIVE];
  const edges = stages.map((_, i) => Math.round((i * GRID) / stages.length));
  const widgets = stages.flatMap((stage, i) => {
    const x = edges[i]!;
    const arrow = i < stages.length - 1 ? ' →' : '';
    return column(stage, x, (edges[i + 1] ?? GRID) - x, arrow);
  });
  return {
    resources: {
      Dashboard: {
        Type: 'AWS::CloudWatch::Dashboard',
        Properties: { DashboardName: ref('Name'), DashboardBody: subJson({ widgets }) },
      },
    },
    outputs: {
      Board: { Description: 'Dashboard in CloudWatch, from replay to archive', Value: ref('Name') },
    },
  };
}

function column({ title, graphs }: Stage, x: number, width: number, arrow: string): Value[] {
  const heading = {
    type: 'text',
    x,
    y: 0,
    width,
    height: TITLE_HEIGHT,
    properties: { markdown: `## ${title}${arrow}` },
  };
  const below = graphs.map(({ title, stat, metrics }, i) => ({
    type: 'metric',
    x,
    y: TITLE_HEIGHT + i * GRAPH_HEIGHT,
    width,
    height: GRAPH_HEIGHT,
    properties: {
      title,
      region: ref('AWS::Region'),
      stat,
      period: 60,
      metrics: metrics.map(({ namespace, name, dimensions }) => [
        namespace,
        name,
        ...Object.entries(dimensions).flat(),
      ]),
    },
  }));
  return [heading, ...below];
}
