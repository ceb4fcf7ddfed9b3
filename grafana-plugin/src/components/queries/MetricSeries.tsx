import { Field, Switch } from '@grafana/ui';
import React, { useId } from 'react';
import { One } from '../Fields';
import { KindProps } from './props';

export function MetricSeries({ query, options, change }: KindProps<'metric_series'>) {
  const id = useId();
  return (
    <>
      <One label="Metric" value={query.metric} offered={options.metrics} onChange={(metric) => change({ metric })} />
      <Field noMargin label="Value before" htmlFor={id} description="So that a line begins at the panel's edge">
        <Switch id={id} value={query.valueBefore} onChange={(event) => change({ valueBefore: event.currentTarget.checked })} />
      </Field>
    </>
  );
}
