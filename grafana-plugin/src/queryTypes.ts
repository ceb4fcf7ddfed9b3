import { anomalies } from './components/queries/Anomalies';
import { deviceKpis } from './components/queries/DeviceKpis';
import { fleetKpis } from './components/queries/FleetKpis';
import { kpiSeries } from './components/queries/KpiSeries';
import { metricSeries } from './components/queries/MetricSeries';
import { outages } from './components/queries/Outages';
import { sloReport } from './components/queries/SloReport';
import { sql } from './components/queries/Sql';
import { statusTimeline } from './components/queries/StatusTimeline';
import { QueryType } from './components/queries/queryType';
import { CommonQuery } from './types';

/** Every query type by its `queryType`, in the order in which they are offered. The backend lists them in `src/query/types/mod.rs`. */
export const QUERY_TYPES = {
  kpi_series: kpiSeries,
  fleet_kpis: fleetKpis,
  device_kpis: deviceKpis,
  status_timeline: statusTimeline,
  outages,
  metric_series: metricSeries,
  slo_report: sloReport,
  anomalies,
  sql,
};

/** What a query is that names no type, as one does that *New alert rule* has just made. */
export const DEFAULT_TYPE = 'kpi_series';

export type QueryTypeName = keyof typeof QUERY_TYPES;
export type FieldsOf<Name extends QueryTypeName> = (typeof QUERY_TYPES)[Name]['defaults'];
export type QueryOf<Name extends QueryTypeName> = CommonQuery & { queryType: Name } & FieldsOf<Name>;
export type IotKpiQuery = { [Name in QueryTypeName]: QueryOf<Name> }[QueryTypeName];

export function isQueryType(name: unknown): name is QueryTypeName {
  return typeof name === 'string' && Object.hasOwn(QUERY_TYPES, name);
}

/** The type of a query, for what is done to any query's fields: TypeScript cannot tell that the two belong together. */
export function typeOf(query: IotKpiQuery): QueryType<IotKpiQuery> {
  return QUERY_TYPES[query.queryType] as unknown as QueryType<IotKpiQuery>;
}
