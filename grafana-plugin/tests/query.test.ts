import { readFileSync, readdirSync } from 'fs';
import { join } from 'path';
import { isComplete, migrate, ofType } from '../src/query';
import { QUERY_TYPES, QueryTypeName } from '../src/queryTypes';

const FIXTURES = join(__dirname, '../fixtures');

describe('saved queries', () => {
  const files = readdirSync(FIXTURES);

  test.each(files)('%s is read as the backend reads it', (file) => {
    const { saved, normal } = JSON.parse(readFileSync(join(FIXTURES, file), 'utf8'));
    // What Grafana itself adds to a query is not for the backend's model.
    const { refId: _refId, intervalMs: _intervalMs, ...query } = migrate(saved) as unknown as Record<string, unknown>;
    expect(query).toEqual(normal);
    expect(migrate(migrate(saved))).toEqual(migrate(saved));
  });

  test('there is one for each type', () => {
    const types = files.map((file) => JSON.parse(readFileSync(join(FIXTURES, file), 'utf8')).normal.queryType);
    expect(new Set(types)).toEqual(new Set(Object.keys(QUERY_TYPES)));
  });
});

test('a new query shows something at once', () => {
  expect(migrate({})).toMatchObject({ queryType: 'kpi_series', kpi: 'uptime', bucket: 'auto', devices: [] });
});

test('another type keeps the devices and nothing else', () => {
  const query = migrate({ refId: 'B', queryType: 'kpi_series', kpi: 'apdex', devices: ['TEMP_001'], legend: 'x' });
  const changed = ofType(query, 'outages');
  expect(changed).toEqual({ ...migrate({ queryType: 'outages' }), refId: 'B', devices: ['TEMP_001'] });
});

test.each(Object.keys(QUERY_TYPES) as QueryTypeName[])('%s is complete by its defaults, save SQL', (queryType) => {
  expect(isComplete(migrate({ queryType } as Parameters<typeof migrate>[0]))).toBe(queryType !== 'sql');
});
