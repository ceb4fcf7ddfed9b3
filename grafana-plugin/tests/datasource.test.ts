import { CoreApp, DataQueryRequest, DataSourceInstanceSettings } from '@grafana/data';
import { DataSourceWithBackend } from '@grafana/runtime';
import { of } from 'rxjs';
import { DataSource } from '../src/datasource';
import { migrate } from '../src/query';
import { IotKpiQuery, Options, Settings } from '../src/types';
import { values } from '../src/variables';

const VARIABLES: Record<string, string | string[]> = { device: ['TEMP_001', 'CAM_001'], kpi: 'apdex', name: "it's" };

jest.mock('@grafana/runtime', () => ({
  ...jest.requireActual('@grafana/runtime'),
  getTemplateSrv: () => ({
    replace: (text: string, _vars: unknown, format?: string | ((value: string | string[]) => string)) =>
      text.replace(/\$(\w+)/g, (whole, name) => {
        const value = VARIABLES[name];
        if (value === undefined) {
          return whole;
        }
        return typeof format === 'function' ? format(value) : String(value);
      }),
  }),
}));

const settings = (jsonData: Settings) => ({ jsonData, uid: 'x', name: 'x' }) as DataSourceInstanceSettings<Settings>;
const datasource = new DataSource(settings({ allowSql: true }));

test('a variable of several devices becomes several devices', () => {
  const query = migrate({ queryType: 'kpi_series', kpi: '$kpi', devices: ['$device', 'AIR_1'], legend: '{{device}}' });
  const applied = datasource.applyTemplateVariables(query, {});
  expect(applied).toMatchObject({ kpi: 'apdex', devices: ['TEMP_001', 'CAM_001', 'AIR_1'], legend: '{{device}}' });
});

test('ad-hoc filters reach the query', () => {
  const filters = [{ key: 'floor', operator: '=', value: '1', condition: '' }];
  const applied = datasource.applyTemplateVariables(migrate({ queryType: 'slo_report' }), {}, filters);
  expect(applied.adhocFilters).toEqual([{ key: 'floor', operator: '=', value: '1' }]);
});

test('variables in SQL are quoted', () => {
  const query = migrate({ queryType: 'sql', rawSql: 'SELECT $name IN ($device) AND $__timeFilter(t)' });
  expect(datasource.applyTemplateVariables(query, {})).toMatchObject({
    rawSql: "SELECT 'it''s' IN ('TEMP_001', 'CAM_001') AND $__timeFilter(t)",
  });
});

test("the dashboard's time zone goes with the query, unless the query has one", () => {
  const asked = jest.spyOn(DataSourceWithBackend.prototype, 'query').mockReturnValue(of({ data: [] }));
  const targets = [migrate({ queryType: 'kpi_series' }), migrate({ queryType: 'kpi_series', timeZone: 'Asia/Tokyo' })];
  datasource.query({ targets, timezone: 'Europe/Berlin' } as DataQueryRequest<IotKpiQuery>);
  const sent = asked.mock.calls[0][0].targets as IotKpiQuery[];
  expect(sent.map((query) => query.timeZone)).toEqual(['Europe/Berlin', 'Asia/Tokyo']);
});

test('what is hidden or empty is not asked', () => {
  expect(datasource.filterQuery(migrate({ queryType: 'sql' }))).toBe(false);
  expect(datasource.filterQuery({ ...migrate({}), hide: true })).toBe(false);
  expect(datasource.filterQuery(migrate({}))).toBe(true);
});

test('annotations are outages unless told otherwise', () => {
  const prepared = datasource.annotations!.prepareAnnotation!({ name: 'Outages', enable: true, iconColor: 'red' });
  expect(prepared.target).toMatchObject({ queryType: 'outages', format: 'annotations' });
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

test('variables show names and stand for ids', () => {
  const options = { devices: [{ value: 'TEMP_001', label: 'Hall' }], locations: ['roof'] } as unknown as Options;
  expect(values(options, 'devices')).toEqual([{ text: 'Hall', value: 'TEMP_001' }]);
  expect(values(options, 'locations')).toEqual([{ text: 'roof', value: 'roof' }]);
});
