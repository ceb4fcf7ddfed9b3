import { Field, Input, RadioButtonGroup } from '@grafana/ui';
import React, { useId } from 'react';
import { EditorProps, QueryType } from './queryType';

interface Fields {
  minOutage: string;
  format: 'table' | 'annotations';
}

const FORMATS = [
  { value: 'table' as const, label: 'Table' },
  { value: 'annotations' as const, label: 'Annotations' },
];

function Editor({ query, change }: EditorProps<Fields>) {
  const id = useId();
  return (
    <>
      <Field noMargin label="At least" htmlFor={id} description="Shorter ones count as up">
        <Input
          id={id}
          width={20}
          defaultValue={query.minOutage}
          placeholder="every outage, or 5m"
          onBlur={(event) => change({ minOutage: event.currentTarget.value })}
        />
      </Field>
      <Field noMargin label="Show as">
        <RadioButtonGroup aria-label="Show as" options={FORMATS} value={query.format} onChange={(format) => change({ format })} />
      </Field>
    </>
  );
}

export const outages: QueryType<Fields> = {
  label: 'Outages',
  description: 'When devices were down, as a table or as annotations.',
  defaults: { minOutage: '', format: 'table' },
  Editor,
  replaceVariables: ({ minOutage }, { text }) => ({ minOutage: text(minOutage) }),
};
