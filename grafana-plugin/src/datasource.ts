import {
  AdHocVariableFilter,
  CoreApp,
  DataFrame,
  DataQueryRequest,
  DataQueryResponse,
  DataSourceInstanceSettings,
  LiveChannelScope,
  LoadingState,
  MetricFindValue,
  ScopedVars,
  StreamingFrameAction,
} from '@grafana/data';
import { DataSourceWithBackend, getGrafanaLiveSrv, getTemplateSrv } from '@grafana/runtime';
import { isEqual } from 'lodash';
import { EMPTY, Observable, filter, map, merge, scan, startWith, switchMap } from 'rxjs';
import { QueryEditor } from './components/QueryEditor';
import { isComplete, migrate } from './query';
import { IotKpiQuery, typeOf } from './queryTypes';
import { Options, SchemaTable, Settings } from './types';
import { VariableSupport } from './variables';

const BUILT_IN_KEYS = ['device_id', 'name', 'device_type', 'location'];

export class DataSource extends DataSourceWithBackend<IotKpiQuery, Settings> {
  readonly allowSql: boolean;
  private offered?: Promise<Options>;

  constructor(settings: DataSourceInstanceSettings<Settings>) {
    super(settings);
    this.allowSql = settings.jsonData.allowSql ?? false;
    this.variables = new VariableSupport(this);
    this.annotations = {
      QueryEditor,
      // Grafana's editor prepares what was prepared, until it gets the very same back.
      prepareAnnotation: (annotation) => {
        const target = migrate(annotation.target ?? OUTAGES);
        return isEqual(target, annotation.target) ? annotation : { ...annotation, target };
      },
      getDefaultQuery: () => OUTAGES,
    };
  }

  getDefaultQuery(app: CoreApp): Partial<IotKpiQuery> {
    const { refId, ...query } = migrate({ queryType: app === CoreApp.Explore ? 'device_kpis' : 'kpi_series' });
    return query;
  }

  filterQuery(query: IotKpiQuery): boolean {
    return !query.hide && isComplete(migrate(query));
  }

  query(request: DataQueryRequest<IotKpiQuery>): Observable<DataQueryResponse> {
    // The browser's zone is only known here.
    const zone = request.timezone === 'browser' ? Intl.DateTimeFormat().resolvedOptions().timeZone : request.timezone;
    const targets = request.targets.map((target) => ({ ...migrate(target), timeZone: target.timeZone || zone || '' }));
    const answers = super.query({ ...request, targets });
    const live = targets.filter((target) => target.live && !target.hide);
    return live.length === 0 ? answers : answers.pipe(switchMap((answer) => this.keptUpToDate(answer, live, request)));
  }

  /** An answer, and what streams make of it. Where the backend names none, or none can be had, the dashboard's refresh stays. */
  private keptUpToDate(answer: DataQueryResponse, live: IotKpiQuery[], request: DataQueryRequest<IotKpiQuery>) {
    const streams = answer.data.flatMap((frame: DataFrame) => {
      const target = live.find(({ refId }) => refId === frame.refId);
      const path = frame.meta?.custom?.stream;
      return target && path ? [this.stream(path, target, request)] : [];
    });
    const replaced = (current: DataQueryResponse, frame: DataFrame): DataQueryResponse => ({
      ...current,
      state: LoadingState.Streaming,
      data: current.data.map((old: DataFrame) => (old.refId === frame.refId ? frame : old)),
    });
    return merge(...streams).pipe(scan(replaced, answer), startWith(answer));
  }

  private stream(path: string, target: IotKpiQuery, request: DataQueryRequest<IotKpiQuery>): Observable<DataFrame> {
    const { from, to } = request.range;
    const { refId, ...query } = this.applyTemplateVariables(target, request.scopedVars, request.filters);
    const seconds = Math.round((to.valueOf() - from.valueOf()) / 1000);
    const packets = getGrafanaLiveSrv()?.getDataStream({
      // Grafana 12.3 calls it namespace, later ones stream.
      addr: { scope: LiveChannelScope.DataSource, namespace: this.uid, stream: this.uid, path, data: { query, seconds } },
      buffer: { action: StreamingFrameAction.Replace, maxLength: Infinity, maxDelta: Infinity },
    });
    const frames = packets?.pipe(
      filter(({ error, data }) => !error && data[0]?.fields.length > 0),
      map(({ data: [{ name, fields, length, meta }] }) => ({ refId, name, fields, length, meta }))
    );
    return frames ?? EMPTY;
  }

  applyTemplateVariables(query: IotKpiQuery, scopedVars: ScopedVars, filters?: AdHocVariableFilter[]): IotKpiQuery {
    const templates = getTemplateSrv();
    const text = (value: string) => templates.replace(value, scopedVars);
    const many = (values: string[]) => values.flatMap((value) => expand(value, scopedVars));
    const whole = migrate(query);
    const adhocFilters = (filters ?? []).map(({ key, operator, value, values }) => ({
      key,
      operator,
      values: values?.length ? values : [value],
    }));
    const common: IotKpiQuery = {
      ...whole,
      legend: text(whole.legend),
      devices: many(whole.devices),
      deviceTypes: many(whole.deviceTypes),
      locations: many(whole.locations),
      adhocFilters: [...whole.adhocFilters, ...adhocFilters],
    };
    // These two are the backend's macros, as they are in alert rules.
    const { __interval, __interval_ms, ...variables } = scopedVars;
    const sql = (value: string) => templates.replace(value, variables, quoted);
    return { ...common, ...typeOf(common).replaceVariables?.(common, { text, many, sql }) } as IotKpiQuery;
  }

  /** What the editors offer; asked once, and again after a failure. */
  options(): Promise<Options> {
    this.offered ??= this.getResource<Options>('options').catch((error) => {
      this.offered = undefined;
      throw error;
    });
    return this.offered;
  }

  /** The devices of given types and locations. */
  chosenOptions(deviceTypes: string[], locations: string[]): Promise<Options> {
    const params = new URLSearchParams();
    deviceTypes.forEach((type) => params.append('type', type));
    locations.forEach((location) => params.append('location', location));
    return this.getResource<Options>(`options?${params.toString()}`);
  }

  schema(): Promise<SchemaTable[]> {
    return this.allowSql ? this.getResource<SchemaTable[]>('options/schema') : Promise.resolve([]);
  }

  async getTagKeys(): Promise<MetricFindValue[]> {
    const { metadata_keys } = await this.options();
    return [...new Set([...BUILT_IN_KEYS, ...metadata_keys])].map((text) => ({ text }));
  }

  async getTagValues({ key }: { key: string }): Promise<MetricFindValue[]> {
    const values = await this.getResource<string[]>('options/values', { key });
    return values.map((text) => ({ text }));
  }
}

const { refId: _refId, ...outages } = migrate({ queryType: 'outages', format: 'annotations' });
const OUTAGES = { ...outages, refId: 'Anno' } as IotKpiQuery;

/** The values of a variable that may have several. */
function expand(value: string, scopedVars: ScopedVars): string[] {
  let several: string[] | undefined;
  const one = getTemplateSrv().replace(value, scopedVars, (values: string | string[]) => {
    several = Array.isArray(values) ? values : [values];
    return several.join(',');
  });
  return several && /^(\$\w+|\$\{[^}]*\}|\[\[[^\]]*\]\])$/.test(value.trim()) ? several : [one];
}

/** A variable in SQL: text in quotes, several values parted by commas. */
function quoted(value: unknown): string {
  const quote = (one: unknown) => `'${String(one).replace(/'/g, "''")}'`;
  return Array.isArray(value) ? value.map(quote).join(', ') : quote(value);
}
