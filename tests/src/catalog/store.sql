-- The store in schema iot. Columns are compared by name: one that was added later stands last.
WITH tables AS (
    SELECT c.oid, c.relname, c.relkind, c.reloptions, c.relacl, c.relrowsecurity, c.relforcerowsecurity, c.relreplident
    FROM pg_class c
    WHERE c.relnamespace = to_regnamespace('iot') AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition
)
SELECT format('table %s: %s', t.relname, jsonb_build_array(t.relkind, t.reloptions, t.relacl::text[], t.relrowsecurity, t.relforcerowsecurity,
                                                           t.relreplident, obj_description(t.oid, 'pg_class'))) AS line
FROM tables t
UNION ALL
SELECT format('column %s.%s: %s', t.relname, a.attname, jsonb_build_array(
           format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation, a.attstorage,
           pg_get_expr(d.adbin, d.adrelid), col_description(t.oid, a.attnum)))
FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE t.relkind <> 'S'
UNION ALL
SELECT format('constraint %s.%s: %s', t.relname, c.conname, pg_get_constraintdef(c.oid))
FROM tables t JOIN pg_constraint c ON c.conrelid = t.oid
UNION ALL
SELECT format('index %s: %s', t.relname, pg_get_indexdef(i.indexrelid))
FROM tables t JOIN pg_index i ON i.indrelid = t.oid
UNION ALL
SELECT format('trigger %s: %s %s', t.relname, pg_get_triggerdef(g.oid), g.tgenabled)
FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT format('policy %s: %s', t.relname, jsonb_build_array(p.polname, p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid),
                                                            pg_get_expr(p.polwithcheck, p.polrelid)))
FROM tables t JOIN pg_policy p ON p.polrelid = t.oid
UNION ALL
SELECT format('setting %s: %s -- %s', s.name, s.value, s.description) FROM iot.settings s
UNION ALL
SELECT format('metric type %s: %s', m.metric, to_jsonb(m)) FROM iot.metric_types m
UNION ALL
SELECT format('schema iot: %s', jsonb_build_array(n.nspacl::text[], obj_description(n.oid, 'pg_namespace')))
FROM pg_namespace n WHERE n.nspname = 'iot'
