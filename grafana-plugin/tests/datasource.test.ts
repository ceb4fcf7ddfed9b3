import { CoreApp, DataFrame, DataQueryRequest, DataQueryResponse, DataSourceInstanceSettings, ScopedVars, dateTime } from '@grafana/data';
import { DataSourceWithBackend } from '@grafana/runtime';
import { lastValueFrom, of, toArray } from 'rxjs';
import { DataSource } from '../src/datasource';
import { migrate } from '../src/query';
import { IotKpiQuery } from '../src/queryTypes';
import { Options, Settings } from '../src/types';
import { VariableSupport, values } from '../src/variables';

const VARIABLES: Record<string, string | string[]> = { device: ['TEMP_001', 'CAM_001'], kpi: 'apdex', name: "it's" };

const getDataStream = jest.fn();
jest.mock('@grafana/runtime', () => ({
  ...jest.requireActual('@grafana/runtime'),
  getGrafanaLiveSrv: () => ({ getDataStream }),
  getTemplateSrv: () => ({
    replace: (text: string, scopedVars?: ScopedVars, format?: string | ((value: string | string[]) => string)) =>
      text.replace(/\$(\w+)/g, (whole, name) => {
        const value = scopedVars?.[name]?.value ?? VARIABLES[name];
        if (value === undefined) {
          return whole;
        }
        // Several values: parted by commas where that is asked for, in braces otherwise.
        const several = Array.isArray(value) && format !== 'csv' ? `{${value.join(',')}}` : String(value);
        return typeof format === 'function' ? format(value) : several;
      }),
  }),
}));

const settings = (jsonData: Settings) => ({ jsonData, uid: 'x', name: 'x' }) as DataSourceInstanceSettings<Settings>;
const datasource = new DataSource(settings({ allowSql: true }));
const shownFields = ({ data }: DataQueryResponse) =>
  Object.fromEntries((data[0] as DataFrame).fields.map(({ name, values }) => [name, values]));

test('a variable of several devices becomes several devices', () => {
  const query = migrate({ queryType: 'kpi_series', kpi: '$kpi', devices: ['$device', 'AIR_1'], legend: '{{device}}' });
  const applied = datasource.applyTemplateVariables(query, {});
  expect(applied).toMatchObject({ kpi: 'apdex', devices: ['TEMP_001', 'CAM_001', 'AIR_1'], legend: '{{device}}' });
});

test('ad-hoc filters reach the query', () => {
  const filters = [{ key: 'floor', operator: '=', value: '1', condition: '' }];
  const applied = datasource.applyTemplateVariables(migrate({ queryType: 'slo_report' }), {}, filters);
  expect(applied.adhocFilters).toEqual([{ key: 'floor', operator: '=', values: ['1'] }]);
  const several = [{ key: 'floor', operator: '=|', value: '1', values: ['1', '2'], condition: '' }];
  expect(datasource.applyTemplateVariables(applied, {}, several).adhocFilters).toEqual([
    { key: 'floor', operator: '=', values: ['1'] },
    { key: 'floor', operator: '=|', values: ['1', '2'] },
  ]);
});

test('variables in SQL are quoted', () => {
  const query = migrate({ queryType: 'sql', rawSql: 'SELECT $name IN ($device) AND $__timeFilter(t)' });
  expect(datasource.applyTemplateVariables(query, {})).toMatchObject({
    rawSql: "SELECT 'it''s' IN ('TEMP_001', 'CAM_001') AND $__timeFilter(t)",
  });
});

test("SQL's own macros are left to the backend", () => {
  const query = migrate({ queryType: 'sql', rawSql: "SELECT date_bin('$__interval', t, $from), $__interval_ms" });
  const scopedVars = { __interval: { value: '1m' }, __interval_ms: { value: 60000 } };
  expect(datasource.applyTemplateVariables(query, scopedVars)).toMatchObject({
    rawSql: "SELECT date_bin('$__interval', t, $from), $__interval_ms",
  });
});

describe('a live panel', () => {
  const frame = (refId: string, value: number, stream?: string) =>
    ({ refId, fields: [{ name: 'n', values: [value] }], length: 1, meta: { custom: stream && { stream } } }) as unknown as DataFrame;
  const query = { ...migrate({ queryType: 'device_kpis', devices: ['$device'], live: true }), refId: 'B' };
  const range = { from: dateTime(1_000_000), to: dateTime(1_000_000 + 3_600_001) };
  const request = { targets: [migrate({}), query], range, scopedVars: {} } as unknown as DataQueryRequest<IotKpiQuery>;
  const shown = (answers: DataQueryResponse[]) => answers.map(({ data }) => data.map((one: DataFrame) => one.fields[0].values[0]));

  test('follows the stream that the backend names', async () => {
    const data = [frame('A', 1), frame('B', 2, 'hash')];
    jest.spyOn(DataSourceWithBackend.prototype, 'query').mockReturnValue(of({ data }));
    getDataStream.mockReturnValue(of({ data: [frame('', 3)] }, { data: [frame('', 9)], error: { message: 'denied' } }, { data: [frame('', 4)] }));
    const answers = await lastValueFrom(datasource.query(request).pipe(toArray()));
    expect(shown(answers)).toEqual([[1, 2], [1, 3], [1, 4]]);
    const { addr } = getDataStream.mock.calls[0][0];
    expect(addr).toMatchObject({ scope: 'ds', namespace: 'x', stream: 'x', path: 'hash' });
    expect(addr.data).toMatchObject({ seconds: 3600, query: { queryType: 'device_kpis', devices: ['TEMP_001', 'CAM_001'] } });
  });

  test('is as any other where there is no stream', async () => {
    getDataStream.mockClear();
    jest.spyOn(DataSourceWithBackend.prototype, 'query').mockReturnValue(of({ data: [frame('B', 2)] }));
    expect(shown(await lastValueFrom(datasource.query(request).pipe(toArray())))).toEqual([[2]]);
    expect(getDataStream).not.toHaveBeenCalled();
  });
});

test("the dashboard's time zone goes with the query, unless the query has one", () => {
  const asked = jest.spyOn(DataSourceWithBackend.prototype, 'query').mockReturnValue(of({ data: [] }));
  const targets = [migrate({ queryType: 'kpi_series' }), migrate({ queryType: 'kpi_series', timeZone: 'Asia/Tokyo' })];
  datasource.query({ targets, timezone: 'Europe/Berlin' } as DataQueryRequest<IotKpiQuery>);
  const sent = asked.mock.lastCall![0].targets as IotKpiQuery[];
  expect(sent.map((query) => query.timeZone)).toEqual(['Europe/Berlin', 'Asia/Tokyo']);
  datasource.query({ targets, timezone: 'browser' } as DataQueryRequest<IotKpiQuery>);
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  expect((asked.mock.lastCall![0].targets as IotKpiQuery[])[0].timeZone).toBe(timeZone);
});

test('what is hidden or empty is not asked', () => {
  expect(datasource.filterQuery(migrate({ queryType: 'sql' }))).toBe(false);
  expect(datasource.filterQuery({ ...migrate({}), hide: true })).toBe(false);
  expect(datasource.filterQuery(migrate({}))).toBe(true);
});

test('annotations are outages unless told otherwise', () => {
  const prepared = datasource.annotations!.prepareAnnotation!({ name: 'Outages', enable: true, iconColor: 'red' });
  expect(prepared.target).toMatchObject({ queryType: 'outages', format: 'annotations' });
  expect(datasource.annotations!.prepareAnnotation!(prepared)).toBe(prepared);
});

test('a new panel and Explore show something at once', () => {
  expect(datasource.getDefaultQuery(CoreApp.Dashboard).queryType).toBe('kpi_series');
  expect(datasource.getDefaultQuery(CoreApp.Explore).queryType).toBe('device_kpis');
});

test('filters offer the properties and values of devices', async () => {
  const answers: Record<string, unknown> = { options: { metadata_keys: ['floor', 'name'] }, 'options/values': ['1', '2'] };
  jest.spyOn(datasource, 'getResource').mockImplementation(async (path: string) => answers[path] as never);
  expect((await datasource.getTagKeys()).map(({ text }) => text)).toEqual(['device_id', 'name', 'device_type', 'location', 'floor']);
  expect(await datasource.getTagValues({ key: 'floor' })).toEqual([{ text: '1' }, { text: '2' }]);
});

test('what the editors offer is asked once, and again after a failure', async () => {
  const fresh = new DataSource(settings({}));
  const asked = jest.spyOn(fresh, 'getResource').mockRejectedValueOnce(new Error('away')).mockResolvedValue({ kpis: [] } as never);
  await expect(fresh.options()).rejects.toThrow('away');
  expect(await fresh.options()).toEqual({ kpis: [] });
  await fresh.options();
  expect(asked).toHaveBeenCalledTimes(2);
});

test('a variable of devices follows those of types and locations', async () => {
  const asked = jest.spyOn(datasource, 'getResource').mockResolvedValue({ devices: [{ value: 'TEMP_001', label: 'Hall' }] } as never);
  const query = { refId: 'V', list: 'devices', deviceTypes: ['$device', '$__all'], locations: ['roof'] };
  const answer = await lastValueFrom(new VariableSupport(datasource).query({ targets: [query] } as never));
  expect(asked).toHaveBeenLastCalledWith('options?type=TEMP_001&type=CAM_001&location=roof');
  expect(shownFields(answer)).toEqual({ text: ['Hall'], value: ['TEMP_001'] });
});

test('variables show names and stand for ids', () => {
  const options = { devices: [{ value: 'TEMP_001', label: 'Hall' }], locations: ['roof'] } as unknown as Options;
  expect(values(options, 'devices')).toEqual([{ text: 'Hall', value: 'TEMP_001' }]);
  expect(values(options, 'locations')).toEqual([{ text: 'roof', value: 'roof' }]);
});
