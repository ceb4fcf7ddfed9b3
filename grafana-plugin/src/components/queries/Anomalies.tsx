import { Field, Input, Switch } from '@grafana/ui';
import React, { useId } from 'react';
import { One } from '../Fields';
import { KindProps } from './props';

export function Anomalies({ query, options, change }: KindProps<'anomalies'>) {
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
