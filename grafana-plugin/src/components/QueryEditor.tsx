import { QueryEditorProps } from '@grafana/data';
import { Alert, Combobox, Field, Input, Stack, Switch, Text } from '@grafana/ui';
import React, { useId } from 'react';
import type { DataSource } from '../datasource';
import { KINDS, OF_NOW, migrate, ofKind } from '../query';
import { IotKpiQuery, KindName, Options, Settings } from '../types';
import { DevicePicker } from './DevicePicker';
import { Anomalies } from './queries/Anomalies';
import { DeviceKpis } from './queries/DeviceKpis';
import { FleetKpis } from './queries/FleetKpis';
import { KpiSeries } from './queries/KpiSeries';
import { MetricSeries } from './queries/MetricSeries';
import { Outages } from './queries/Outages';
import { Sql } from './queries/Sql';
import { useOptions } from './useOptions';

type Props = QueryEditorProps<DataSource, IotKpiQuery, Settings>;

const KIND_CHOICES = (Object.keys(KINDS) as KindName[]).map((value) => ({ value, ...KINDS[value] }));

/** Those whose series can be named. */
const NAMED: KindName[] = ['kpi_series', 'fleet_kpis', 'metric_series', 'status_timeline', 'sql'];

export function QueryEditor({ query: saved, datasource, onChange, onRunQuery }: Props) {
  const query = migrate(saved);
  const { options, problem } = useOptions(datasource);
  const ids = { kind: useId(), legend: useId(), live: useId() };
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
        <Field noMargin label="Show" htmlFor={ids.kind}>
          <Combobox
            id={ids.kind}
            width={24}
            options={KIND_CHOICES}
            value={query.queryType}
            onChange={({ value }) => set(ofKind(query, value))}
          />
        </Field>
        <KindEditor query={query} options={options} datasource={datasource} change={change} />
        {OF_NOW.includes(query.queryType) && (
          <Field noMargin label="Live" htmlFor={ids.live} description="New values as they come">
            <Switch id={ids.live} value={query.live} onChange={(event) => change({ live: event.currentTarget.checked })} />
          </Field>
        )}
      </Stack>
      {query.queryType !== 'sql' && <DevicePicker chosen={query} options={options} onChange={change} />}
      <Stack direction="row" gap={2} wrap="wrap" alignItems="center">
        {NAMED.includes(query.queryType) && (
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
        <Text color="secondary">{KINDS[query.queryType].description}</Text>
      </Stack>
    </Stack>
  );
}

interface KindEditorProps {
  query: IotKpiQuery;
  options: Options;
  datasource: DataSource;
  change: (fields: object) => void;
}

function KindEditor({ query, ...props }: KindEditorProps) {
  switch (query.queryType) {
    case 'device_kpis':
      return <DeviceKpis query={query} {...props} />;
    case 'fleet_kpis':
      return <FleetKpis query={query} {...props} />;
    case 'kpi_series':
      return <KpiSeries query={query} {...props} />;
    case 'outages':
      return <Outages query={query} {...props} />;
    case 'metric_series':
      return <MetricSeries query={query} {...props} />;
    case 'anomalies':
      return <Anomalies query={query} {...props} />;
    case 'sql':
      return <Sql query={query} {...props} />;
    // The devices are all there is to choose.
    case 'status_timeline':
    case 'slo_report':
      return null;
  }
}
