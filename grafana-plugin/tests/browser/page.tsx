// A page that loads the built bundle as Grafana does, by AMD, and shows its editors with Grafana's own components.
import * as data from '@grafana/data';
import * as runtime from '@grafana/runtime';
import * as ui from '@grafana/ui';
import * as emotion from '@emotion/css';
import * as lodash from 'lodash';
import React, { ComponentType, useState } from 'react';
import * as ReactDOM from 'react-dom';
import { createRoot } from 'react-dom/client';
import * as rxjs from 'rxjs';

type Loose = Record<string, unknown>;
type Factory = (...modules: unknown[]) => { plugin: Loaded };
interface Loaded {
  components: { ConfigEditor: ComponentType<Loose>; QueryEditor: ComponentType<Loose> };
  DataSourceClass: new (settings: Loose) => { variables: { editor: ComponentType<Loose> }; getResource: unknown };
}

const PROVIDED: Record<string, unknown> = {
  react: React, 'react-dom': ReactDOM, rxjs, lodash, '@emotion/css': emotion, '@grafana/data': data, '@grafana/ui': ui, '@grafana/runtime': runtime,
};
const OPTIONS = {
  devices: ['AIR_001', 'CAM_001', 'TEMP_001'].map((value) => ({ value, label: value })),
  device_types: ['air', 'camera', 'temperature'],
  locations: ['hall', 'roof'],
  metadata_keys: ['floor'],
  metrics: [{ value: 'response_time', unit: 'ms' }, { value: 'temperature', unit: '°C' }],
  kpis: [{ value: 'uptime', label: 'Uptime', description: 'up / (up + down)' }, { value: 'apdex', label: 'Apdex' }],
  device_columns: [{ value: 'uptime', label: 'Uptime' }],
  fleet_columns: [{ value: 'device_availability', label: 'Devices live' }],
};
const SCHEMA = [{ name: 'iot.device_metrics', columns: ['device_id', 'metric', 'time', 'value'] }];

const asked = new URLSearchParams(location.search);
const shown = globalThis as unknown as { last?: unknown; problems: string[]; define: unknown };
shown.problems = [];
window.addEventListener('error', (event) => shown.problems.push(String(event.message)));

function Held({ Editor, name, first, more }: { Editor: ComponentType<Loose>; name: string; first: Loose; more: Loose }) {
  const [value, setValue] = useState(first);
  const change = (changed: Loose) => {
    shown.last = changed;
    setValue(changed);
  };
  return <Editor {...more} {...{ [name]: value }} onChange={change} onOptionsChange={change} onRunQuery={() => {}} />;
}

function show(plugin: Loaded) {
  const datasource = new plugin.DataSourceClass({ jsonData: { allowSql: true }, uid: 'x', name: 'IoT KPI' });
  datasource.getResource = async (path: string) => (path === 'options/schema' ? SCHEMA : OPTIONS);
  const theme = data.createTheme({ colors: { mode: asked.get('theme') === 'light' ? 'light' : 'dark' } });
  const { ConfigEditor, QueryEditor } = plugin.components;
  const editors: Record<string, React.ReactElement> = {
    config: <Held Editor={ConfigEditor} name="options" first={{ jsonData: { allowSql: true }, secureJsonFields: {} }} more={{}} />,
    query: <Held Editor={QueryEditor} name="query" first={{ refId: 'A', queryType: asked.get('type') }} more={{ datasource }} />,
    variable: <Held Editor={datasource.variables.editor} name="query" first={{ refId: 'V' }} more={{ datasource }} />,
  };
  document.body.style.cssText = `background: ${theme.colors.background.primary}; color: ${theme.colors.text.primary}; padding: 16px; margin: 0`;
  createRoot(document.getElementById('root')!).render(
    <data.ThemeContext.Provider value={theme}>
      <ui.GlobalStyles />
      <ui.PortalContainer />
      {editors[asked.get('editor') ?? 'query']}
    </data.ThemeContext.Provider>
  );
}

shown.define = Object.assign(
  (...given: unknown[]) => {
    const names = given.find(Array.isArray) as string[];
    const factory = given.at(-1) as Factory;
    const missing = names.filter((name) => !(name in PROVIDED));
    if (missing.length > 0) {
      throw new Error(`Grafana does not provide ${missing.join(', ')}`);
    }
    show(factory(...names.map((name) => PROVIDED[name])).plugin);
  },
  { amd: {} }
);
const script = document.createElement('script');
script.src = '../module.js';
document.body.append(script);
