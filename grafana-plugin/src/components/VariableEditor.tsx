import { QueryEditorProps } from '@grafana/data';
import { Combobox, Field, Stack } from '@grafana/ui';
import React, { useId } from 'react';
import type { DataSource } from '../datasource';
import { IotKpiQuery } from '../queryTypes';
import { Settings } from '../types';
import { LISTS, ListName, VariableQuery, migrateVariable } from '../lists';
import { Many } from './Fields';
import { useOptions } from './useOptions';

type Props = QueryEditorProps<DataSource, IotKpiQuery, Settings, VariableQuery>;

const CHOICES = (Object.keys(LISTS) as ListName[]).map((value) => ({ value, label: LISTS[value] }));

/** What a dashboard's variable offers. */
export function VariableEditor({ query: saved, datasource, onChange }: Props) {
  const query = migrateVariable(saved);
  const { options } = useOptions(datasource);
  const id = useId();
  return (
    <Stack direction="row" gap={2} wrap="wrap">
      <Field noMargin label="Offer" htmlFor={id}>
        <Combobox id={id} width={24} options={CHOICES} value={query.list} onChange={({ value }) => onChange({ ...query, list: value })} />
      </Field>
      {query.list === 'devices' && (
        <>
          <Many
            label="Of types"
            values={query.deviceTypes}
            offered={options.device_types}
            placeholder="All types, or $type"
            onChange={(deviceTypes) => onChange({ ...query, deviceTypes })}
          />
          <Many
            label="At locations"
            values={query.locations}
            offered={options.locations}
            placeholder="All locations"
            onChange={(locations) => onChange({ ...query, locations })}
          />
        </>
      )}
    </Stack>
  );
}
