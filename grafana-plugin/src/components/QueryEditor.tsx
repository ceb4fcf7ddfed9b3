import { QueryEditorProps } from '@grafana/data';
import { Alert, Combobox, Field, Input, Stack, Switch, Text } from '@grafana/ui';
import React, { useId } from 'react';
import type { DataSource } from '../datasource';
import { migrate, ofType } from '../query';
import { IotKpiQuery, QUERY_TYPES, QueryTypeName, typeOf } from '../queryTypes';
import { Settings } from '../types';
import { DevicePicker } from './DevicePicker';
import { useOptions } from './useOptions';

type Props = QueryEditorProps<DataSource, IotKpiQuery, Settings>;

const CHOICES = (Object.keys(QUERY_TYPES) as QueryTypeName[]).map((value) => {
  const { label, description } = QUERY_TYPES[value];
  return { value, label, description };
});

export function QueryEditor({ query: saved, datasource, onChange, onRunQuery }: Props) {
  const query = migrate(saved);
  const { options, problem } = useOptions(datasource);
  const { Editor, ...type } = typeOf(query);
  const ids = { type: useId(), legend: useId(), live: useId() };
  const set = (changed: IotKpiQuery) => {
    onChange(changed);
    onRunQuery();
  };
  const change = (fields: object) => set({ ...query, ...fields } as IotKpiQuery);
  return (
    <Stack direction="column" gap={2}>
      {problem && (
        <Alert severity="warning" title="The database does not tell what there is to choose">
          {problem}
        </Alert>
      )}
      <Stack direction="row" gap={2} wrap="wrap" alignItems="flex-end">
        <Field noMargin label="Show" htmlFor={ids.type}>
          <Combobox
            id={ids.type}
            width={24}
            options={CHOICES}
            value={query.queryType}
            onChange={({ value }) => set(ofType(query, value))}
          />
        </Field>
        {Editor && <Editor query={query} options={options} datasource={datasource} change={change} />}
        {type.isLive && (
          <Field noMargin label="Live" htmlFor={ids.live} description="New values as they come">
            <Switch id={ids.live} value={query.live} onChange={(event) => change({ live: event.currentTarget.checked })} />
          </Field>
        )}
      </Stack>
      {!type.choosesNoDevices && <DevicePicker chosen={query} options={options} onChange={change} />}
      <Stack direction="row" gap={2} wrap="wrap" alignItems="center">
        {type.hasLegend && (
          <Field noMargin label="Legend" htmlFor={ids.legend}>
            <Input
              id={ids.legend}
              width={40}
              key={query.queryType}
              defaultValue={query.legend}
              placeholder="automatic, or {{device}} {{kpi}}"
              onBlur={(event) => change({ legend: event.currentTarget.value })}
            />
          </Field>
        )}
        <Text color="secondary">{type.description}</Text>
      </Stack>
    </Stack>
  );
}
