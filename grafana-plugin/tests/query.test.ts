import { readFileSync, readdirSync } from 'fs';
import { join } from 'path';
import { KINDS, isComplete, migrate, ofKind } from '../src/query';
import { KindName } from '../src/types';

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

  test('there is one for each kind', () => {
    const kinds = files.map((file) => JSON.parse(readFileSync(join(FIXTURES, file), 'utf8')).saved.queryType);
    expect(new Set(kinds)).toEqual(new Set(Object.keys(KINDS)));
  });
});

test('a new query shows something at once', () => {
  expect(migrate({})).toMatchObject({ queryType: 'kpi_series', kpi: 'uptime', bucket: 'auto', devices: [] });
});

test('another kind keeps the devices and nothing else', () => {
  const query = migrate({ refId: 'B', queryType: 'kpi_series', kpi: 'apdex', devices: ['TEMP_001'], legend: 'x' });
  const changed = ofKind(query, 'outages');
  expect(changed).toEqual({ ...migrate({ queryType: 'outages' }), refId: 'B', devices: ['TEMP_001'] });
});

test.each(Object.keys(KINDS) as KindName[])('%s is complete by its defaults, save SQL', (kind) => {
  expect(isComplete(migrate({ queryType: kind } as Parameters<typeof migrate>[0]))).toBe(kind !== 'sql');
});
