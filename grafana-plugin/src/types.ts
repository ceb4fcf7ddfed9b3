import { DataSourceJsonData } from '@grafana/data';
import { DataQuery } from '@grafana/schema';

/** The version of the queries that this plugin writes. */
export const SCHEMA_VERSION = 2;

export interface AdhocFilter {
  key: string;
  operator: string;
  values: string[];
}

/** What every query has, of whatever type. */
export interface CommonQuery extends DataQuery {
  schemaVersion: number;
  /** Whether the answer is kept up to date by a stream. */
  live: boolean;
  legend: string;
  timeZone: string;
  devices: string[];
  deviceTypes: string[];
  locations: string[];
  adhocFilters: AdhocFilter[];
}

export type TlsMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

/** The data source's settings that Grafana keeps in the open. */
export interface Settings extends DataSourceJsonData {
  host?: string;
  port?: number;
  database?: string;
  user?: string;
  tlsMode?: TlsMode;
  poolSize?: number;
  connectTimeout?: number;
  statementTimeout?: number;
  rowLimit?: number;
  allowSql?: boolean;
  allowWrites?: boolean;
}

/** Those that only the backend sees. */
export interface Secrets {
  password?: string;
  tlsCa?: string;
  tlsCertificate?: string;
  tlsKey?: string;
}

/** Something to choose. */
export interface Choice {
  value: string;
  label?: string | null;
  description?: string | null;
}

/** What the backend offers the editors. */
export interface Options {
  devices: Array<Choice & { type?: string | null; location?: string | null }>;
  device_types: string[];
  locations: string[];
  metadata_keys: string[];
  metrics: Array<Choice & { unit?: string | null }>;
  kpis: Choice[];
  device_columns: Choice[];
  fleet_columns: Choice[];
}

export interface SchemaTable {
  name: string;
  columns: string[];
}
