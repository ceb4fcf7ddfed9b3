import React from 'react';
import { One } from '../Fields';
import { GroupBy } from './GroupBy';
import { KindProps } from './props';

const BUCKETS = [
  { value: 'auto', label: 'Automatic', description: "The panel's $__interval, rounded up" },
  ...['5m', '15m', '1h', '6h', '1d', '1w'].map((value) => ({ value, label: value })),
];

export function KpiSeries({ query, options, change }: KindProps<'kpi_series'>) {
  return (
    <>
      <One label="KPI" value={query.kpi} offered={options.kpis} onChange={(kpi) => change({ kpi })} />
      <GroupBy value={query.groupBy} options={options} whole="Each device" onChange={(groupBy) => change({ groupBy })} />
      <One label="Bucket" value={query.bucket} offered={BUCKETS} onChange={(bucket) => change({ bucket })} />
    </>
  );
}
