import { DEFAULT_TYPE, IotKpiQuery, QUERY_TYPES, QueryTypeName, isQueryType, typeOf } from './queryTypes';
import { CommonQuery, SCHEMA_VERSION } from './types';

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
  const queryType = isQueryType(saved.queryType) ? saved.queryType : DEFAULT_TYPE;
  return {
    refId: 'A',
    ...COMMON,
    ...QUERY_TYPES[queryType].defaults,
    ...saved,
    queryType,
    schemaVersion: SCHEMA_VERSION,
  } as IotKpiQuery;
}

/** The same devices, asked something else. */
export function ofType(query: IotKpiQuery, queryType: QueryTypeName): IotKpiQuery {
  const { refId, datasource, hide, key, devices, deviceTypes, locations } = query;
  return migrate({ refId, datasource, hide, key, devices, deviceTypes, locations, queryType } as Partial<IotKpiQuery>);
}

/** Whether there is anything to ask yet. */
export function isComplete(query: IotKpiQuery): boolean {
  return typeOf(query).isComplete?.(query) ?? true;
}
