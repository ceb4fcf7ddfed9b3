import { DataSourcePlugin } from '@grafana/data';
import { ConfigEditor } from './components/ConfigEditor';
import { QueryEditor } from './components/QueryEditor';
import { DataSource } from './datasource';
import { IotKpiQuery } from './queryTypes';
import { Secrets, Settings } from './types';

export const plugin = new DataSourcePlugin<DataSource, IotKpiQuery, Settings, Secrets>(DataSource)
  .setConfigEditor(ConfigEditor)
  .setQueryEditor(QueryEditor);
