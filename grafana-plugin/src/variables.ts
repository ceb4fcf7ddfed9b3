import { CustomVariableSupport, DataQueryRequest, DataQueryResponse, MetricFindValue, toDataFrame } from '@grafana/data';
import { getTemplateSrv } from '@grafana/runtime';
import { Observable, from, map } from 'rxjs';
import { VariableEditor } from './components/VariableEditor';
import type { DataSource } from './datasource';
import { ListName, VariableQuery, migrateVariable } from './lists';
import { Options } from './types';

/** What a variable offers, out of what the backend does. */
export function values(options: Options, list: ListName): MetricFindValue[] {
  return options[list].map((choice) =>
    typeof choice === 'string' ? { text: choice, value: choice } : { text: choice.label || choice.value, value: choice.value }
  );
}

export class VariableSupport extends CustomVariableSupport<DataSource, VariableQuery> {
  editor = VariableEditor;

  constructor(private readonly datasource: DataSource) {
    super();
  }

  query(request: DataQueryRequest<VariableQuery>): Observable<DataQueryResponse> {
    const query = migrateVariable(request.targets[0]);
    const chosen = (texts: string[]) =>
      texts
        .flatMap((text) => getTemplateSrv().replace(text, request.scopedVars, 'csv').split(','))
        .filter((text) => text !== '' && text !== '$__all');
    const options = this.datasource.chosenOptions(chosen(query.deviceTypes), chosen(query.locations));
    return from(options).pipe(
      map((offered) => {
        const found = values(offered, query.list);
        const fields = [
          { name: 'text', values: found.map(({ text }) => text) },
          { name: 'value', values: found.map(({ value }) => value) },
        ];
        return { data: [toDataFrame({ fields })] };
      })
    );
  }
}
