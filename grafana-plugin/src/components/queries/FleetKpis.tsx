import { Field, RadioButtonGroup } from '@grafana/ui';
import React from 'react';
import { Many } from '../Fields';
import { GroupBy } from './GroupBy';
import { KindProps } from './props';

const FORMATS = [
  { value: 'numbers' as const, label: 'Numbers', description: 'For stat, gauge and alert rules' },
  { value: 'table' as const, label: 'Table', description: 'A row for each group' },
];

export function FleetKpis({ query, options, change }: KindProps<'fleet_kpis'>) {
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
