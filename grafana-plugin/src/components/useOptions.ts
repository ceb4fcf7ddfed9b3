import { ComboboxOption } from '@grafana/ui';
import { useEffect, useState } from 'react';
import type { DataSource } from '../datasource';
import { Choice, Options } from '../types';

const NOTHING: Options = {
  devices: [],
  device_types: [],
  locations: [],
  metadata_keys: [],
  metrics: [],
  kpis: [],
  device_columns: [],
  fleet_columns: [],
};

/** What the backend offers, and why it does not where it fails. */
export function useOptions(datasource: DataSource): { options: Options; problem?: string } {
  const [state, setState] = useState<{ options: Options; problem?: string }>({ options: NOTHING });
  useEffect(() => {
    let current = true;
    datasource.options().then(
      (options) => current && setState({ options }),
      (error) => current && setState({ options: NOTHING, problem: error?.data?.detail ?? error?.message ?? String(error) })
    );
    return () => {
      current = false;
    };
  }, [datasource]);
  return state;
}

export function choices(offered: Array<Choice | string>): Array<ComboboxOption<string>> {
  return offered.map((choice) => {
    if (typeof choice === 'string') {
      return { value: choice, label: choice };
    }
    const { value, label, description } = choice;
    return { value, label: label || value, description: description || undefined };
  });
}
