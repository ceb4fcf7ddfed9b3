import { Alert, CodeEditor, CodeEditorSuggestionItem, CodeEditorSuggestionItemKind, Field, RadioButtonGroup } from '@grafana/ui';
import React, { useEffect, useState } from 'react';
import { SchemaTable } from '../../types';
import { EditorProps, QueryType } from './queryType';

interface Fields {
  rawSql: string;
  format: 'table' | 'time_series';
}

const FORMATS = [
  { value: 'table' as const, label: 'Table' },
  { value: 'time_series' as const, label: 'Time series', description: 'A timestamp column, numbers, and text columns as labels' },
];

export const MACROS: Array<[string, string]> = [
  ['$__timeFilter(time)', "Only rows of the panel's time range"],
  ['$__timeFrom()', "Start of the panel's time range"],
  ['$__timeTo()', "End of the panel's time range"],
  ['$__timeGroupAlias(time, $__interval)', 'Buckets of time, as column "time"'],
  ['$__timeGroup(time, 5m, NULL)', 'Buckets of time; gaps are NULL, previous or a number'],
  ['$__interval', 'Time between two points'],
  ['$__unixEpochFilter(epoch)', 'The same for seconds since 1970'],
];

/** What the editor completes. */
export function suggestions(tables: SchemaTable[]): CodeEditorSuggestionItem[] {
  const macros = MACROS.map(([label, detail]) => ({ label, detail, kind: CodeEditorSuggestionItemKind.Method }));
  const names = tables.map(({ name, columns }) => ({
    label: name,
    detail: columns.join(', '),
    kind: CodeEditorSuggestionItemKind.Field,
  }));
  const columns = [...new Set(tables.flatMap((table) => table.columns))].map((label) => ({
    label,
    kind: CodeEditorSuggestionItemKind.Property,
  }));
  return [...macros, ...names, ...columns];
}

function Editor({ query, datasource, change }: EditorProps<Fields>) {
  const [tables, setTables] = useState<SchemaTable[]>([]);
  useEffect(() => {
    // Without it there is no completion, but everything else works.
    datasource.schema().then(setTables, () => setTables([]));
  }, [datasource]);
  if (!datasource.allowSql) {
    return (
      <Alert severity="info" title="This data source does not allow SQL">
        Its administrator can switch that on in the data source&apos;s settings. The other query types need no SQL.
      </Alert>
    );
  }
  return (
    <div style={{ width: '100%' }}>
      <CodeEditor
        language="sql"
        height={160}
        value={query.rawSql}
        showMiniMap={false}
        showLineNumbers
        getSuggestions={() => suggestions(tables)}
        onBlur={(rawSql) => change({ rawSql })}
        onSave={(rawSql) => change({ rawSql })}
      />
      <Field noMargin label="Format">
        <RadioButtonGroup aria-label="Format" options={FORMATS} value={query.format} onChange={(format) => change({ format })} />
      </Field>
    </div>
  );
}

export const sql: QueryType<Fields> = {
  label: 'SQL',
  description: 'A query of your own, read-only, with macros such as $__timeFilter(time). Ctrl+M lets Tab leave the editor.',
  defaults: { rawSql: '', format: 'table' },
  Editor,
  replaceVariables: ({ rawSql }, { sql }) => ({ rawSql: sql(rawSql) }),
  isComplete: ({ rawSql }) => rawSql.trim() !== '',
  hasLegend: true,
  choosesNoDevices: true,
};
