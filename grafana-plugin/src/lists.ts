import { DataQuery } from '@grafana/schema';

/** What a variable can offer. */
export const LISTS = {
  devices: 'Devices',
  device_types: 'Device types',
  locations: 'Locations',
  metrics: 'Metrics',
  kpis: 'KPIs',
  metadata_keys: 'Metadata keys',
} as const;

export type ListName = keyof typeof LISTS;

export interface VariableQuery extends DataQuery {
  list: ListName;
  deviceTypes: string[];
  locations: string[];
}

export function migrateVariable(saved: Partial<VariableQuery> | undefined): VariableQuery {
  return { refId: 'Variable', list: 'devices', deviceTypes: [], locations: [], ...saved };
}
