import React from 'react';
import { Many } from '../Fields';
import { KindProps } from './props';

export function DeviceKpis({ query, options, change }: KindProps<'device_kpis'>) {
  return (
    <Many
      label="Columns"
      description="In this order"
      values={query.columns}
      offered={options.device_columns}
      placeholder="The usual ones"
      onChange={(columns) => change({ columns })}
    />
  );
}
