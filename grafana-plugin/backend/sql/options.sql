-- What the editors offer, in one answer.
SELECT json_build_object(
    'devices', (SELECT coalesce(json_agg(json_build_object('value', d.device_id, 'label', d.name, 'type', d.device_type,
                                                           'location', d.location) ORDER BY d.device_id), '[]')
                FROM iot.devices d
                WHERE ($1::text[] IS NULL OR d.device_type = ANY ($1)) AND ($2::text[] IS NULL OR d.location = ANY ($2))),
    'device_types', (SELECT coalesce(json_agg(DISTINCT d.device_type), '[]') FROM iot.devices d WHERE d.device_type IS NOT NULL),
    'locations', (SELECT coalesce(json_agg(DISTINCT d.location), '[]') FROM iot.devices d WHERE d.location IS NOT NULL),
    'metadata_keys', (SELECT coalesce(json_agg(DISTINCT k.key), '[]') FROM iot.devices d, jsonb_object_keys(d.metadata) AS k (key)
                      WHERE jsonb_typeof(d.metadata) = 'object'),
    'metrics', (SELECT coalesce(json_agg(json_build_object('value', m.metric, 'unit', m.unit, 'description', m.description)
                                         ORDER BY m.metric), '[]') FROM iot.metric_types m),
    'device_columns', (SELECT json_agg(a.name ORDER BY a.n)
                       FROM pg_catalog.pg_proc p, unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS a (name, mode, n)
                       WHERE p.oid = 'iot_kpi.device_kpis'::regproc AND a.mode = 't'),
    'fleet_columns', (SELECT json_agg(a.name ORDER BY a.n)
                      FROM pg_catalog.pg_proc p, unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS a (name, mode, n)
                      WHERE p.oid = 'iot_kpi.fleet_kpis'::regproc AND a.mode = 't' AND a.name <> 'group_value'),
    'kpis', (SELECT json_agg(k) FROM unnest(iot_kpi.kpi_names()) AS k))::text
