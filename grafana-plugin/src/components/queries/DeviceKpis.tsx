import React from 'react';
import { Many } from '../Fields';
import { EditorProps, QueryType } from './queryType';

interface Fields {
  columns: string[];
}

function Editor({ query, options, change }: EditorProps<Fields>) {
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

export const deviceKpis: QueryType<Fields> = {
  label: 'Device KPIs',
  description: 'A table with a row for each device.',
  defaults: { columns: [] },
  Editor,
  replaceVariables: ({ columns }, { many }) => ({ columns: many(columns) }),
  isLive: true,
};
