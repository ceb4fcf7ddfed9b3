import { Field, RadioButtonGroup } from '@grafana/ui';
import React from 'react';
import { Many } from '../Fields';
import { GroupBy } from './GroupBy';
import { EditorProps, QueryType } from './queryType';

interface Fields {
  kpis: string[];
  groupBy: string;
  format: 'numbers' | 'table';
}

const FORMATS = [
  { value: 'numbers' as const, label: 'Numbers', description: 'For stat, gauge and alert rules' },
  { value: 'table' as const, label: 'Table', description: 'A row for each group' },
];

function Editor({ query, options, change }: EditorProps<Fields>) {
  return (
    <>
      <Many
        label="KPIs"
        values={query.kpis}
        offered={options.fleet_columns}
        placeholder="Devices live"
        onChange={(kpis) => change({ kpis })}
      />
      <GroupBy value={query.groupBy} options={options} whole="The whole fleet" onChange={(groupBy) => change({ groupBy })} />
      <Field noMargin label="Show as">
        <RadioButtonGroup aria-label="Show as" options={FORMATS} value={query.format} onChange={(format) => change({ format })} />
      </Field>
    </>
  );
}

export const fleetKpis: QueryType<Fields> = {
  label: 'Fleet KPIs',
  description: 'Numbers of the fleet or its groups, for stat and gauge panels. Works in alert rules.',
  defaults: { kpis: ['device_availability'], groupBy: '', format: 'numbers' },
  Editor,
  replaceVariables: ({ kpis, groupBy }, { many, text }) => ({ kpis: many(kpis), groupBy: text(groupBy) }),
  hasLegend: true,
  isLive: true,
};
