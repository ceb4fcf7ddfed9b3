import { Field, Input, Switch } from '@grafana/ui';
import React, { useId } from 'react';
import { One } from '../Fields';
import { EditorProps, QueryType } from './queryType';

interface Fields {
  metric: string;
  cutOff: number;
  seasonal: boolean;
}

function Editor({ query, options, change }: EditorProps<Fields>) {
  const cutOff = useId();
  const seasonal = useId();
  return (
    <>
      <One label="Metric" value={query.metric} offered={options.metrics} onChange={(metric) => change({ metric })} />
      <Field noMargin label="Cut-off" htmlFor={cutOff} description="Robust standard deviations; 3.5 is usual">
        <Input
          id={cutOff}
          type="number"
          min={0.5}
          step={0.5}
          width={12}
          defaultValue={query.cutOff}
          onBlur={(event) => change({ cutOff: Number(event.currentTarget.value) || 3.5 })}
        />
      </Field>
      <Field noMargin label="Seasonal" htmlFor={seasonal} description="Compare with the same hour of the week">
        <Switch id={seasonal} value={query.seasonal} onChange={(event) => change({ seasonal: event.currentTarget.checked })} />
      </Field>
    </>
  );
}

export const anomalies: QueryType<Fields> = {
  label: 'Anomalies',
  description: "Values far from their device's usual ones.",
  defaults: { metric: 'response_time', cutOff: 3.5, seasonal: false },
  Editor,
  replaceVariables: ({ metric }, { text }) => ({ metric: text(metric) }),
  isComplete: ({ metric }) => metric !== '',
};
