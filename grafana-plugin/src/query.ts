import { CommonQuery, IotKpiQuery, KindName, Kinds, SCHEMA_VERSION } from './types';

/** Each kind's name for people, what it is for, and what it asks unless told otherwise. The backend has the same defaults. */
export const KINDS: { [K in KindName]: { label: string; description: string; defaults: Kinds[K] } } = {
  kpi_series: {
    label: 'KPI over time',
    description: 'A line for each device or group. Works in alert rules.',
    defaults: { kpi: 'uptime', groupBy: '', bucket: 'auto' },
  },
  fleet_kpis: {
    label: 'Fleet KPIs',
    description: 'Numbers of the fleet or its groups, for stat and gauge panels. Works in alert rules.',
    defaults: { kpis: ['device_availability'], groupBy: '', format: 'numbers' },
  },
  device_kpis: {
    label: 'Device KPIs',
    description: 'A table with a row for each device.',
    defaults: { columns: [] },
  },
  status_timeline: {
    label: 'Status timeline',
    description: "Each device's states, for the state timeline panel.",
    defaults: {},
  },
  outages: {
    label: 'Outages',
    description: 'When devices were down, as a table or as annotations.',
    defaults: { minOutage: '', format: 'table' },
  },
  metric_series: {
    label: 'Metric',
    description: 'Measured values, thinned out to what the panel can show without losing a spike. Works in alert rules.',
    defaults: { metric: 'response_time', valueBefore: true },
  },
  slo_report: {
    label: 'Objectives',
    description: 'What was promised, and what is left of the error budget.',
    defaults: {},
  },
  anomalies: {
    label: 'Anomalies',
    description: "Values far from their device's usual ones.",
    defaults: { metric: 'response_time', cutOff: 3.5, seasonal: false },
  },
  sql: {
    label: 'SQL',
    description: 'A query of your own, read-only, with macros such as $__timeFilter(time). Ctrl+M lets Tab leave the editor.',
    defaults: { rawSql: '', format: 'table' },
  },
};

const COMMON: Omit<CommonQuery, 'refId'> = {
  schemaVersion: SCHEMA_VERSION,
  live: false,
  legend: '',
  timeZone: '',
  devices: [],
  deviceTypes: [],
  locations: [],
  adhocFilters: [],
};

export function isKind(name: unknown): name is KindName {
  return typeof name === 'string' && Object.hasOwn(KINDS, name);
}

/** Kinds whose answer a stream can keep up to date: one frame that says how things are now. */
export const OF_NOW: KindName[] = ['device_kpis', 'fleet_kpis'];

type Saved = Record<string, unknown>;

/** From each version to the next, the first from 1 to 2. The backend does the same to what alert rules have saved. */
const STEPS: Array<(saved: Saved) => Saved> = [filtersHaveValues];

/** Version 2: a filter has `values`, of which there may be several; before, it had a `value`, and sometimes both. */
function filtersHaveValues(saved: Saved): Saved {
  if (!Array.isArray(saved.adhocFilters)) {
    return saved;
  }
  const adhocFilters = saved.adhocFilters.map(({ value = '', values, ...filter }) => ({
    ...filter,
    values: values?.length ? values : [value],
  }));
  return { ...saved, adhocFilters };
}

/** A query as this version writes it, from one that any version, or a person, has saved; without a version it is of the first. */
export function migrate(query: Partial<IotKpiQuery> & { refId?: string }): IotKpiQuery {
  const version = Math.max(1, query.schemaVersion ?? 1);
  const saved = STEPS.slice(version - 1).reduce((older, step) => step(older), query as Saved) as typeof query;
  const queryType = isKind(saved.queryType) ? saved.queryType : 'kpi_series';
  return {
    refId: 'A',
    ...COMMON,
    ...KINDS[queryType].defaults,
    ...saved,
    queryType,
    schemaVersion: SCHEMA_VERSION,
  } as IotKpiQuery;
}

/** The same devices, asked something else. */
export function ofKind(query: IotKpiQuery, queryType: KindName): IotKpiQuery {
  const { refId, datasource, hide, key, devices, deviceTypes, locations } = query;
  return migrate({ refId, datasource, hide, key, devices, deviceTypes, locations, queryType } as Partial<IotKpiQuery>);
}

/** Whether there is anything to ask yet. */
export function isComplete(query: IotKpiQuery): boolean {
  switch (query.queryType) {
    case 'sql':
      return query.rawSql.trim() !== '';
    case 'metric_series':
    case 'anomalies':
      return query.metric !== '';
    default:
      return true;
  }
}
