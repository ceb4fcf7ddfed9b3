import { Stack } from '@grafana/ui';
import React from 'react';
import { Options } from '../types';
import { Many } from './Fields';

interface Chosen {
  devices: string[];
  deviceTypes: string[];
  locations: string[];
}

interface Props {
  chosen: Chosen;
  options: Options;
  onChange: (chosen: Partial<Chosen>) => void;
}

/** Which devices; nothing chosen means all. */
export function DevicePicker({ chosen, options, onChange }: Props) {
  return (
    <Stack direction="row" gap={2} wrap="wrap">
      <Many
        label="Devices"
        values={chosen.devices}
        offered={options.devices}
        placeholder="All devices"
        onChange={(devices) => onChange({ devices })}
      />
      <Many
        label="Types"
        values={chosen.deviceTypes}
        offered={options.device_types}
        placeholder="All types"
        onChange={(deviceTypes) => onChange({ deviceTypes })}
      />
      <Many
        label="Locations"
        values={chosen.locations}
        offered={options.locations}
        placeholder="All locations"
        onChange={(locations) => onChange({ locations })}
      />
    </Stack>
  );
}
