/** Average minutes to the airports in Dashboards, a line for each airport. */

const LABEL = 'Average minutes';

/** The colours of the live page. Without them Dashboards gives a line its colour by the order in which lines come. */
export const AIRPORT_COLORS = { JFK: '#1f62c4', LGA: '#b0520a' } as const;

/** Parameters of a chart of the type `line`. */
export function airportLineParams() {
  return {
    type: 'line',
    grid: { categoryLines: false },
    categoryAxes: [
      {
        ...{ id: 'CategoryAxis-1', type: 'category', position: 'bottom', show: true, style: {} },
        ...{ scale: { type: 'linear' }, labels: { show: true, filter: true, truncate: 100 }, title: {} },
      },
    ],
    valueAxes: [
      {
        ...{ id: 'ValueAxis-1', name: 'LeftAxis-1', type: 'value', position: 'left', show: true, style: {} },
        scale: { type: 'linear', mode: 'normal' },
        labels: { show: true, rotate: 0, filter: false, truncate: 100 },
        title: { text: LABEL },
      },
    ],
    seriesParams: [
      {
        ...{ show: true, type: 'line', mode: 'normal', data: { label: LABEL, id: '1' } },
        ...{ valueAxis: 'ValueAxis-1', drawLinesBetweenPoints: true, lineWidth: 2 },
        ...{ interpolate: 'linear', showCircles: true },
      },
    ],
    addTooltip: true,
    addLegend: true,
    legendPosition: 'right',
    times: [],
    addTimeMarker: false,
    labels: {},
    thresholdLine: { show: false, value: 10, width: 1, style: 'full', color: '#E7664C' },
  };
}

/** What the chart shows: the average over time, by airport. */
export function airportLineAggregations() {
  return [
    agg('1', 'avg', 'metric', { field: 'avg_trip_duration', customLabel: LABEL }),
    agg('2', 'date_histogram', 'segment', {
      ...{ field: 'timestamp', interval: 'auto', drop_partials: false, min_doc_count: 1 },
      extended_bounds: {},
    }),
    agg('3', 'terms', 'group', {
      ...{ field: 'airport_code', orderBy: '_key', order: 'asc', size: 5 },
      ...{ otherBucket: false, otherBucketLabel: 'Other' },
      ...{ missingBucket: false, missingBucketLabel: 'Missing' },
    }),
  ];
}

function agg(id: string, type: string, schema: string, params: Readonly<Record<string, unknown>>) {
  return { id, enabled: true, type, schema, params };
}
