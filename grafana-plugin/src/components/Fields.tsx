import { Combobox, Field, MultiCombobox } from '@grafana/ui';
import React, { useId } from 'react';
import { Choice } from '../types';
import { choices } from './useOptions';

interface Labelled {
  label: string;
  description?: string;
}

interface OneProps extends Labelled {
  value: string;
  offered: Array<Choice | string>;
  placeholder?: string;
  /** Whether nothing is a choice too. */
  optional?: boolean;
  onChange: (value: string) => void;
}

/** One of many; a variable or another word may be typed in. */
export function One({ label, description, value, offered, placeholder, optional, onChange }: OneProps) {
  const id = useId();
  const common = { id, options: choices(offered), value: value || null, placeholder, createCustomValue: true, width: 30 };
  return (
    <Field noMargin label={label} description={description} htmlFor={id}>
      {optional ? (
        <Combobox {...common} isClearable onChange={(option) => onChange(option?.value ?? '')} />
      ) : (
        <Combobox {...common} onChange={(option) => onChange(option.value)} />
      )}
    </Field>
  );
}

interface ManyProps extends Labelled {
  values: string[];
  offered: Array<Choice | string>;
  placeholder?: string;
  onChange: (values: string[]) => void;
}

/** Some of many; variables may be typed in. */
export function Many({ label, description, values, offered, placeholder, onChange }: ManyProps) {
  const id = useId();
  return (
    <Field noMargin label={label} description={description} htmlFor={id}>
      <MultiCombobox
        id={id}
        options={choices(offered)}
        value={values}
        placeholder={placeholder}
        createCustomValue
        width="auto"
        minWidth={30}
        maxWidth={80}
        onChange={(options) => onChange(options.map((option) => option.value))}
      />
    </Field>
  );
}
