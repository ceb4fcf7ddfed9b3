-- What can be asked without any right in the store: versions, and rights without which no more can be asked.
SELECT current_setting('server_version'),
       (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'pg_iot_kpi'),
       EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'iot' AND c.relname = 'devices'),
       ARRAY(SELECT 'USAGE ON SCHEMA ' || n.nspname FROM pg_catalog.pg_namespace n
             WHERE n.nspname IN ('iot', 'iot_kpi') AND NOT has_schema_privilege(n.oid, 'USAGE') ORDER BY 1),
       -- Reports call many functions with the rights of whoever asked: all that only read.
       ARRAY(SELECT 'EXECUTE ON FUNCTION ' || p.oid::regprocedure
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname = 'iot_kpi' AND p.prokind <> 'p' AND p.provolatile <> 'v' AND NOT has_function_privilege(p.oid, 'EXECUTE')
             ORDER BY 1)
