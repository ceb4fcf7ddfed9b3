import { ComponentType } from 'react';
import { CommonQuery, Options, SchemaTable } from '../../types';

/** What the editor of a query type is given. */
export interface EditorProps<Fields> {
  query: CommonQuery & Fields;
  options: Options;
  datasource: { allowSql: boolean; schema: () => Promise<SchemaTable[]> };
  /** Changes the query and runs it. */
  change: (fields: Partial<Fields>) => void;
}

/** The dashboard's variables, put in their places. */
export interface Variables {
  text: (value: string) => string;
  /** Each text that is a variable of several values becomes several. */
  many: (values: string[]) => string[];
  /** Values in quotes; the backend's own macros are left alone. */
  sql: (value: string) => string;
}

/** A query type; `Fields` is what it asks beside the devices. */
export interface QueryType<Fields extends object> {
  label: string;
  description: string;
  /** What it asks unless told otherwise. The backend has the same. */
  defaults: Fields;
  /** None where the devices are all there is to choose. */
  Editor?: ComponentType<EditorProps<Fields>>;
  replaceVariables?: (fields: Fields, variables: Variables) => Partial<Fields>;
  /** Whether there is anything to ask yet; always, unless told otherwise. */
  isComplete?: (fields: Fields) => boolean;
  /** Whether its series can be named. */
  hasLegend?: boolean;
  /** Whether a stream can keep its answer up to date: one frame that says how things are now. */
  isLive?: boolean;
  /** Whether it is about something else than chosen devices. */
  choosesNoDevices?: boolean;
}
