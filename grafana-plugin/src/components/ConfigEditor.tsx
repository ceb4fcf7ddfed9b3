import { DataSourcePluginOptionsEditorProps } from '@grafana/data';
import { Alert, Combobox, Field, FieldSet, Input, SecretInput, SecretTextArea, Switch } from '@grafana/ui';
import React, { useId } from 'react';
import { Secrets, Settings, TlsMode } from '../types';

type Props = DataSourcePluginOptionsEditorProps<Settings, Secrets>;

const TLS_MODES: Array<{ value: TlsMode; label: string; description: string }> = [
  { value: 'disable', label: 'Disable', description: 'In the clear: only for the same machine or a trusted network' },
  { value: 'require', label: 'Require', description: "Encrypted; the server's certificate is not looked at" },
  { value: 'verify-ca', label: 'Verify CA', description: 'Its certificate must be signed by the CA' },
  { value: 'verify-full', label: 'Verify CA and host name', description: 'It must also name the host' },
];

type NumberName = 'poolSize' | 'connectTimeout' | 'statementTimeout' | 'rowLimit' | 'port';

const LIMITS: Array<{ name: NumberName; label: string; description: string; preset: number }> = [
  { name: 'poolSize', label: 'Connections', description: 'Most at once, 1 to 200', preset: 10 },
  { name: 'connectTimeout', label: 'Connect within', description: 'Seconds', preset: 10 },
  { name: 'statementTimeout', label: 'Answer within', description: 'Seconds; slower queries are cancelled', preset: 60 },
  { name: 'rowLimit', label: 'Rows', description: 'Most of an answer; a notice tells where it is cut', preset: 1_000_000 },
];

export function ConfigEditor({ options, onOptionsChange }: Props) {
  const { jsonData, secureJsonData, secureJsonFields } = options;
  const prefix = useId();
  const set = (changed: Partial<Settings>) => onOptionsChange({ ...options, jsonData: { ...jsonData, ...changed } });
  const setSecret = (name: keyof Secrets, value: string, kept: boolean) =>
    onOptionsChange({
      ...options,
      secureJsonData: { ...secureJsonData, [name]: value },
      secureJsonFields: { ...secureJsonFields, [name]: kept },
    });

  const word = (name: 'host' | 'database' | 'user', label: string, placeholder: string) => (
    <Field label={label} htmlFor={prefix + name} required>
      <Input
        id={prefix + name}
        width={40}
        value={jsonData[name] ?? ''}
        placeholder={placeholder}
        onChange={(event) => set({ [name]: event.currentTarget.value })}
      />
    </Field>
  );
  const number = (name: NumberName, label: string, description: string, preset: number) => (
    <Field key={name} label={label} description={description} htmlFor={prefix + name}>
      <Input
        id={prefix + name}
        type="number"
        min={1}
        width={20}
        value={jsonData[name] ?? ''}
        placeholder={String(preset)}
        onChange={(event) => set({ [name]: event.currentTarget.valueAsNumber || undefined })}
      />
    </Field>
  );
  const pem = (name: 'tlsCa' | 'tlsCertificate' | 'tlsKey', label: string, placeholder: string) => (
    <Field label={label} htmlFor={prefix + name}>
      <SecretTextArea
        id={prefix + name}
        cols={60}
        rows={4}
        isConfigured={secureJsonFields?.[name] ?? false}
        placeholder={placeholder}
        onReset={() => setSecret(name, '', false)}
        onChange={(event) => setSecret(name, event.currentTarget.value, false)}
      />
    </Field>
  );
  const permission = (name: 'allowSql' | 'allowWrites', label: string, description: string) => (
    <Field label={label} description={description} htmlFor={prefix + name}>
      <Switch id={prefix + name} value={jsonData[name] ?? false} onChange={(event) => set({ [name]: event.currentTarget.checked })} />
    </Field>
  );

  const tlsMode = jsonData.tlsMode ?? 'verify-full';
  return (
    <>
      <FieldSet label="Database">
        {word('host', 'Host', 'db.example.org')}
        {number('port', 'Port', '', 5432)}
        {word('database', 'Database', 'iot')}
        {word('user', 'User', 'grafana')}
        <Field label="Password" htmlFor={`${prefix}password`}>
          <SecretInput
            id={`${prefix}password`}
            width={40}
            isConfigured={secureJsonFields?.password ?? false}
            value={secureJsonData?.password ?? ''}
            onReset={() => setSecret('password', '', false)}
            onChange={(event) => setSecret('password', event.currentTarget.value, false)}
          />
        </Field>
      </FieldSet>
      <FieldSet label="TLS">
        <Field label="Mode" htmlFor={`${prefix}tls`}>
          <Combobox
            id={`${prefix}tls`}
            width={40}
            options={TLS_MODES}
            value={tlsMode}
            onChange={({ value }) => set({ tlsMode: value })}
          />
        </Field>
        {tlsMode !== 'disable' && (
          <>
            {pem('tlsCa', 'CA certificate', 'Empty: those that the machine trusts. -----BEGIN CERTIFICATE-----')}
            {pem('tlsCertificate', 'Client certificate', 'Only where the server asks for one. -----BEGIN CERTIFICATE-----')}
            {pem('tlsKey', 'Client key', '-----BEGIN PRIVATE KEY-----')}
          </>
        )}
      </FieldSet>
      <FieldSet label="Limits">
        {LIMITS.map(({ name, label, description, preset }) => number(name, label, description, preset))}
      </FieldSet>
      <FieldSet label="Permissions">
        {permission('allowSql', 'Allow SQL', 'Everybody who sees this data source may then read whatever its user may')}
        {jsonData.allowSql && (
          <Alert severity="info" title="Give the user rights to read only what people may see">
            SQL runs in a read-only transaction, but PostgreSQL&apos;s own rights decide what it reads.
          </Alert>
        )}
        {permission('allowWrites', 'Allow writes', 'Editors and Admins may register devices and store samples by the REST API')}
      </FieldSet>
    </>
  );
}
