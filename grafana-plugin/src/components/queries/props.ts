import type { DataSource } from '../../datasource';
import { KindName, Options, QueryOf } from '../../types';

/** What the editor of a kind is given. */
export interface KindProps<K extends KindName> {
  query: QueryOf<K>;
  options: Options;
  datasource: DataSource;
  /** Changes the query and runs it. */
  change: (fields: Partial<QueryOf<K>>) => void;
}
