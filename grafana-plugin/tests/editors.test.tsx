import { DataSourceSettings } from '@grafana/data';
import { render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import React, { useState } from 'react';
import { ConfigEditor } from '../src/components/ConfigEditor';
import { QueryEditor } from '../src/components/QueryEditor';
import { VariableEditor } from '../src/components/VariableEditor';
import { suggestions } from '../src/components/queries/Sql';
import type { DataSource } from '../src/datasource';
import { migrate } from '../src/query';
import { IotKpiQuery, QUERY_TYPES, QueryTypeName } from '../src/queryTypes';
import { Options, Secrets, Settings } from '../src/types';
import { VariableQuery, migrateVariable } from '../src/lists';

const OPTIONS: Options = {
  devices: [{ value: 'TEMP_001', label: 'Hall' }],
  device_types: ['temperature'],
  locations: ['roof'],
  metadata_keys: ['floor'],
  metrics: [{ value: 'temperature' }],
  kpis: [{ value: 'uptime', label: 'Uptime' }, { value: 'apdex', label: 'Apdex' }],
  device_columns: [{ value: 'uptime', label: 'Uptime' }],
  fleet_columns: [{ value: 'mean_uptime', label: 'Mean uptime' }],
};

function fake(allowSql: boolean, options: () => Promise<Options> = async () => OPTIONS): DataSource {
  return { allowSql, options, schema: async () => [] } as unknown as DataSource;
}

function Query({ first, datasource, seen }: { first: Partial<IotKpiQuery>; datasource: DataSource; seen?: jest.Mock }) {
  const [query, setQuery] = useState(migrate(first));
  const onChange = (changed: IotKpiQuery) => {
    seen?.(changed);
    setQuery(changed);
  };
  return <QueryEditor query={query} datasource={datasource} onChange={onChange} onRunQuery={() => {}} />;
}

/** Each field has a name that a screen reader says. */
function expectNamed() {
  for (const role of ['combobox', 'textbox', 'spinbutton', 'switch', 'radiogroup', 'radio']) {
    for (const field of screen.queryAllByRole(role)) {
      expect(field).toHaveAccessibleName();
    }
  }
}

describe('query editor', () => {
  test.each((Object.keys(QUERY_TYPES) as QueryTypeName[]).filter((name) => name !== 'sql'))('%s explains itself', async (queryType) => {
    render(<Query first={{ queryType } as Partial<IotKpiQuery>} datasource={fake(true)} />);
    expect(await screen.findByText(QUERY_TYPES[queryType].description)).toBeInTheDocument();
    expect(screen.getByLabelText('Show')).toHaveValue(QUERY_TYPES[queryType].label);
    expectNamed();
  });

  test('another KPI is chosen with the keyboard', async () => {
    const seen = jest.fn();
    render(<Query first={{}} datasource={fake(true)} seen={seen} />);
    const kpi = await screen.findByLabelText('KPI');
    await waitFor(() => expect(kpi).toHaveValue('Uptime'));
    await userEvent.click(kpi);
    await userEvent.keyboard('Apd{ArrowDown}{Enter}');
    await waitFor(() => expect(seen).toHaveBeenCalledWith(expect.objectContaining({ kpi: 'apdex', schemaVersion: 2 })));
  });

  test('the legend is taken when the field is left', async () => {
    const seen = jest.fn();
    render(<Query first={{}} datasource={fake(true)} seen={seen} />);
    await userEvent.type(screen.getByLabelText('Legend'), '{{{{device}}');
    await userEvent.tab();
    expect(seen).toHaveBeenLastCalledWith(expect.objectContaining({ legend: '{{device}}' }));
  });

  test('says why there is nothing to choose', async () => {
    const failing = fake(true, () => Promise.reject({ data: { detail: 'store missing' } }));
    render(<Query first={{}} datasource={failing} />);
    expect(await screen.findByText('store missing')).toBeInTheDocument();
  });

  test('SQL is not offered where it is not allowed', async () => {
    render(<Query first={{ queryType: 'sql' }} datasource={fake(false)} />);
    expect(await screen.findByText('This data source does not allow SQL')).toBeInTheDocument();
  });

  test('SQL is completed with macros, tables and columns', () => {
    const labels = suggestions([{ name: 'iot.devices', columns: ['device_id'] }]).map(({ label }) => label);
    expect(labels).toEqual(expect.arrayContaining(['$__timeFilter(time)', 'iot.devices', 'device_id']));
  });
});

test('the variable editor offers lists', async () => {
  const onChange = jest.fn();
  const query: VariableQuery = migrateVariable(undefined);
  render(<VariableEditor query={query} datasource={fake(true)} onChange={onChange} onRunQuery={() => {}} />);
  expect(await screen.findByLabelText('Offer')).toHaveValue('Devices');
  expectNamed();
});

describe('config editor', () => {
  type Whole = DataSourceSettings<Settings, Secrets>;
  function Config({ seen }: { seen: jest.Mock }) {
    const [options, setOptions] = useState({ jsonData: {}, secureJsonFields: {} } as Whole);
    const onOptionsChange = (changed: Whole) => {
      seen(changed);
      setOptions(changed);
    };
    return <ConfigEditor options={options} onOptionsChange={onOptionsChange} />;
  }

  test('keeps words in the open, and the password as a secret', async () => {
    const seen = jest.fn();
    render(<Config seen={seen} />);
    await userEvent.type(screen.getByLabelText(/^Host/), 'db');
    await userEvent.type(screen.getByLabelText(/^Port/), '5433');
    await userEvent.type(screen.getByLabelText('Password'), 'pw');
    await userEvent.click(screen.getByLabelText(/^Allow SQL/));
    const last: Whole = seen.mock.lastCall[0];
    expect(last.jsonData).toEqual({ host: 'db', port: 5433, allowSql: true });
    expect(last.secureJsonData).toEqual({ password: 'pw' });
    expect(screen.getByLabelText(/^Mode/)).toHaveValue('Verify CA and host name');
    expectNamed();
  });
});
