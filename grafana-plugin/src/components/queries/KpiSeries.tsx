import React from 'react';
import { One } from '../Fields';
import { GroupBy } from './GroupBy';
import { EditorProps, QueryType } from './queryType';

interface Fields {
  kpi: string;
  groupBy: string;
  bucket: string;
}

const BUCKETS = [
  { value: 'auto', label: 'Automatic', description: "The panel's $__interval, rounded up" },
  ...['5m', '15m', '1h', '6h', '1d', '1w'].map((value) => ({ value, label: value })),
];

function Editor({ query, options, change }: EditorProps<Fields>) {
  return (
    <>
      <One label="KPI" value={query.kpi} offered={options.kpis} onChange={(kpi) => change({ kpi })} />
      <GroupBy value={query.groupBy} options={options} whole="Each device" onChange={(groupBy) => change({ groupBy })} />
      <One label="Bucket" value={query.bucket} offered={BUCKETS} onChange={(bucket) => change({ bucket })} />
    </>
  );
}

export const kpiSeries: QueryType<Fields> = {
  label: 'KPI over time',
  description: 'A line for each device or group. Works in alert rules.',
  defaults: { kpi: 'uptime', groupBy: '', bucket: 'auto' },
  Editor,
  replaceVariables: ({ kpi, groupBy, bucket }, { text }) => ({ kpi: text(kpi), groupBy: text(groupBy), bucket: text(bucket) }),
  hasLegend: true,
};
