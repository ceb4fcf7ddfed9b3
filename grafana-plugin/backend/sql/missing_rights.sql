-- What a reader of the store is granted and this role lacks, as GRANT has it.
SELECT ARRAY(
    SELECT format('%s ON %s %s', r.privilege, r.kind, o.name)
    FROM (SELECT privilege, split_part(object, ' ', 1) AS kind, substr(object, strpos(object, ' ') + 1) AS names
          FROM iot_kpi.rights('reader')) AS r
    CROSS JOIN LATERAL regexp_split_to_table(r.names, ', (?=iot\.)') AS o (name)
    WHERE NOT CASE r.kind WHEN 'TABLE' THEN has_table_privilege(to_regclass(o.name), r.privilege)
                          WHEN 'FUNCTION' THEN has_function_privilege(to_regprocedure(o.name), r.privilege) END
    ORDER BY 1),
    -- A partition that somebody granted is a way round the policies of its table, unless it is closed: older stores have open ones.
    EXISTS (SELECT FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhparent
            WHERE c.relnamespace = 'iot'::regnamespace AND row_security_active(c.oid) AND NOT row_security_active(i.inhrelid)
              AND has_table_privilege(i.inhrelid, 'SELECT'))
