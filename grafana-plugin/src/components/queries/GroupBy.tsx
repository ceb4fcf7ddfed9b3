import React from 'react';
import { Options } from '../../types';
import { One } from '../Fields';

interface Props {
  value: string;
  options: Options;
  whole: string;
  onChange: (value: string) => void;
}

/** What devices have in common that are counted together. */
export function GroupBy({ value, options, whole, onChange }: Props) {
  const properties = [
    { value: 'device_type', label: 'Type' },
    { value: 'location', label: 'Location' },
    ...options.metadata_keys.map((key) => ({ value: key, label: key, description: 'from the metadata' })),
  ];
  return <One label="Group by" value={value} offered={properties} placeholder={whole} optional onChange={onChange} />;
}
