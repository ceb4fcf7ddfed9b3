SELECT current_setting('server_version'),
       (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'pg_iot_kpi'),
       EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = 'devices' AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = 'iot')),
       (SELECT bool_and(has_table_privilege(c.oid, 'SELECT'))
               AND bool_and(has_schema_privilege(c.relnamespace, 'USAGE'))
               AND (SELECT bool_and(has_schema_privilege(n.oid, 'USAGE')) FROM pg_catalog.pg_namespace n WHERE n.nspname = 'iot_kpi')
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
        WHERE s.nspname = 'iot' AND c.relname IN ('devices', 'metric_types', 'device_metrics', 'device_status_history',
                                                 'device_liveness', 'maintenance_windows', 'slo_targets'))
