import { Field, Switch } from '@grafana/ui';
import React, { useId } from 'react';
import { One } from '../Fields';
import { EditorProps, QueryType } from './queryType';

interface Fields {
  metric: string;
  valueBefore: boolean;
}

function Editor({ query, options, change }: EditorProps<Fields>) {
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

export const metricSeries: QueryType<Fields> = {
  label: 'Metric',
  description: 'Measured values, thinned out to what the panel can show without losing a spike. Works in alert rules.',
  defaults: { metric: 'response_time', valueBefore: true },
  Editor,
  replaceVariables: ({ metric }, { text }) => ({ metric: text(metric) }),
  isComplete: ({ metric }) => metric !== '',
  hasLegend: true,
};
