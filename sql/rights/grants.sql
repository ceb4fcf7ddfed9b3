-- Rights. Functions run with the rights of their caller: what a role may do in the store is decided by ordinary grants, and the
-- functions here give them. What triggers keep, liveness and marks, nobody is granted to write for that: they act as the owner of the
-- store (rights/authority.sql). What else only the owner of a table can do, such as making a partition, is done for others by deputies:
-- functions in schema iot that run with the rights of the store's owner, and no more, whoever installed the extension. They take nobody's
-- word for what may be done.
--
-- Rights are given on the tables and not on their partitions: later partitions need none, and nobody gets round a row's policy.

CREATE FUNCTION iot_kpi.take_back_old_rights() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = error
AS $$
DECLARE
    old_deputy constant regprocedure := to_regprocedure('iot.mark_stale_as_owner(text[], timestamptz[], timestamptz[])');
    writer record;
    r record;
BEGIN
    IF old_deputy IS NULL THEN
        RETURN;
    END IF;
    -- Who may call it was made a writer by version 0.2.0; an admin may do the upkeep as well, and has none of this taken away.
    FOR writer IN
        SELECT pg_get_userbyid(a.grantee) AS role FROM pg_proc p, aclexplode(p.proacl) a
        WHERE p.oid = old_deputy AND a.grantee NOT IN (0, p.proowner)
          AND NOT EXISTS (SELECT FROM pg_proc u, aclexplode(u.proacl) b
                          WHERE u.oid = to_regprocedure('iot.upkeep_as_owner(jsonb)') AND b.grantee = a.grantee)
    LOOP
        EXECUTE format('REVOKE UPDATE ON TABLE iot.devices, iot.device_liveness FROM %I', writer.role);
        EXECUTE format('REVOKE INSERT ON TABLE iot.device_liveness FROM %I', writer.role);
        EXECUTE format('REVOKE UPDATE (stale) ON TABLE iot.kpi_calculations FROM %I', writer.role);
        FOR r IN SELECT * FROM iot_kpi.rights('writer') LOOP
            EXECUTE format('GRANT %s ON %s TO %I', r.privilege, r.object, writer.role);
        END LOOP;
    END LOOP;
    EXECUTE format('DROP FUNCTION %s', old_deputy);
END
$$;
COMMENT ON FUNCTION iot_kpi.take_back_old_rights() IS
    'Step of create_store() for a store of version 0.2.0: drops the deputy that marked anybody''s calculations, and leaves its writers what a writer has now';

CREATE FUNCTION iot_kpi.create_store_deputies() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner constant text := pg_get_userbyid(iot_kpi.store_owner());
    item record;
BEGIN
    CREATE OR REPLACE FUNCTION iot.make_partition_as_owner(day timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    AS $body$
    BEGIN
        -- Only where samples may lie, and no more than fit into the lock table of a server with default settings.
        IF day IS NULL OR NOT day BETWEEN date_trunc('day', iot_kpi.earliest_sample(), 'UTC') AND now() + greatest(
               iot_kpi.setting('clock_skew')::interval, iot_kpi.setting('partitions_ahead')::interval) THEN
            RAISE EXCEPTION 'a partition for % is out of bounds', day
                USING ERRCODE = 'datetime_field_overflow',
                      HINT = 'Others than the owner of the store make partitions from the retention up to partitions_ahead.';
        ELSIF (SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass('iot.device_metrics')) >= 1827 THEN
            RAISE EXCEPTION 'a partition for % would be one too many', day
                USING ERRCODE = 'program_limit_exceeded', HINT = 'The owner of the store can make more: SELECT iot_kpi.make_partitions(during).';
        END IF;
        RETURN iot_kpi.make_partition(day);
    END
    $body$;
    COMMENT ON FUNCTION iot.make_partition_as_owner(timestamptz) IS
        'Makes the partition of a UTC day for a writer, who does not own the table; called by iot_kpi.make_partition()';

    CREATE OR REPLACE FUNCTION iot.upkeep_as_owner(place jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $body$
    BEGIN
        -- Only a whole run, step by step: from anywhere else somebody could have samples deleted of which nothing is calculated yet.
        IF place - 'by' = '{"step": "partitions"}' THEN
            RETURN iot_kpi.upkeep('{"step": "partitions", "by": "session"}');
        ELSIF place IS DISTINCT FROM (SELECT u.place FROM iot.upkeep u WHERE u.step = 'run') THEN
            RAISE NOTICE 'another session is at the upkeep of this store';
            RETURN NULL;
        END IF;
        RETURN iot_kpi.upkeep(place);
    END
    $body$;
    COMMENT ON FUNCTION iot.upkeep_as_owner(jsonb) IS 'A piece of upkeep for an administrator of the store; called by iot_kpi.upkeep()';

    REVOKE ALL ON FUNCTION iot.make_partition_as_owner(timestamptz), iot.upkeep_as_owner(jsonb) FROM PUBLIC;

    -- All in one hand: when a superuser brings somebody's store up to date, what is new is that somebody's.
    FOR item IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                WHERE p.pronamespace = 'iot'::regnamespace AND p.prosecdef AND p.proowner <> iot_kpi.store_owner()
                  AND p.proname IN ('make_partition_as_owner', 'upkeep_as_owner')
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', item.name, owner);
    END LOOP;
    FOR item IN SELECT c.oid::regclass AS name FROM pg_class c
                WHERE c.relnamespace = 'iot'::regnamespace AND c.relname = 'upkeep' AND c.relowner <> iot_kpi.store_owner()
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', item.name, owner);
    END LOOP;
    PERFORM iot_kpi.take_back_old_rights();
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_deputies() IS
    'Step of create_store(): the functions that do for other roles what only the owner of the store can';

CREATE FUNCTION iot_kpi.check_grant(role text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.require_store();
    IF role IS NULL THEN
        RAISE EXCEPTION 'role must not be NULL' USING ERRCODE = 'null_value_not_allowed', HINT = 'Name a role.';
    ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role % does not exist', quote_ident(role)
            USING ERRCODE = 'undefined_object',
                  HINT = CASE WHEN length(role) > 63 THEN 'A role''s name has at most 63 bytes.' ELSE format('CREATE ROLE %I; or see SELECT rolname FROM pg_roles;', role) END;
    ELSIF NOT iot_kpi.owns_store() THEN
        RAISE EXCEPTION 'rights on the store are given by its owner, %', quote_ident(pg_get_userbyid(iot_kpi.store_owner()))
            USING ERRCODE = 'insufficient_privilege', HINT = format('SET ROLE %I; or ask that role.', pg_get_userbyid(iot_kpi.store_owner()));
    ELSIF to_regclass('iot.upkeep') IS NULL THEN
        RAISE EXCEPTION 'the store is of an older version'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Bring it up to date: SELECT iot_kpi.create_store();';
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.check_grant(text) IS 'Fails with a hint where a role cannot be given rights: it is unknown, or this session does not own the store';

CREATE FUNCTION iot_kpi.rights(level text) RETURNS TABLE (privilege text, object text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.privilege, r.object
    FROM (VALUES
        (1, 'SELECT', 'TABLE iot.settings, iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history, iot.device_liveness, '
            'iot.maintenance_windows, iot.slo_targets, iot.kpi_calculations, iot.upkeep'),
        (2, 'INSERT', 'TABLE iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history'),
        (2, 'UPDATE', 'TABLE iot.device_status_history'),
        -- What registration sets: a collector completes what a first sample has begun.
        (2, 'UPDATE (name, device_type, location, expected_interval, liveness, heartbeat_metric, collector_id, commissioned_at, registered_by)',
            'TABLE iot.devices'),
        (2, 'EXECUTE', 'FUNCTION iot.make_partition_as_owner(timestamptz)'),
        (3, 'INSERT, UPDATE, DELETE', 'TABLE iot.settings, iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history, '
            'iot.device_liveness, iot.maintenance_windows, iot.slo_targets, iot.kpi_calculations'),
        (3, 'EXECUTE', 'FUNCTION iot.upkeep_as_owner(jsonb)')) AS r (needed, privilege, object)
    WHERE r.needed <= CASE level WHEN 'reader' THEN 1 WHEN 'writer' THEN 2 WHEN 'admin' THEN 3 END;
END;
COMMENT ON FUNCTION iot_kpi.rights(text) IS 'What a reader, a writer or an admin of the store is granted; each has what the one before has';

CREATE FUNCTION iot_kpi.grant_rights(level text, role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = error
AS $$
DECLARE
    r record;
BEGIN
    PERFORM iot_kpi.check_grant(role);
    IF NOT has_schema_privilege(role, 'iot_kpi', 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA iot_kpi TO %I', role);
        IF NOT has_schema_privilege(role, 'iot_kpi', 'USAGE') THEN
            RAISE EXCEPTION 'role % may not use schema iot_kpi, and this session cannot grant it', quote_ident(role)
                USING ERRCODE = 'insufficient_privilege', HINT = format('As who installed the extension: GRANT USAGE ON SCHEMA iot_kpi TO %I;', role);
        END IF;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA iot TO %I', role);
    FOR r IN SELECT * FROM iot_kpi.rights(level) LOOP
        EXECUTE format('GRANT %s ON %s TO %I', r.privilege, r.object, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION iot_kpi.grant_rights(text, text) IS 'What grant_reader(), grant_writer() and grant_admin() do';

CREATE FUNCTION iot_kpi.revoke_rights(level text, role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = error
AS $$
DECLARE
    r record;
BEGIN
    PERFORM iot_kpi.check_grant(role);
    FOR r IN SELECT * FROM iot_kpi.rights(level) LOOP
        EXECUTE format('REVOKE %s ON %s FROM %I', r.privilege, r.object, role);
    END LOOP;
    EXECUTE format('REVOKE USAGE ON SCHEMA iot FROM %I', role);
    EXECUTE format('REVOKE USAGE ON SCHEMA iot_kpi FROM %I', role);
END
$$;
COMMENT ON FUNCTION iot_kpi.revoke_rights(text, text) IS 'What revoke_reader(), revoke_writer() and revoke_admin() do';

CREATE FUNCTION iot_kpi.grant_reader(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.grant_rights('reader', role); END $$;
COMMENT ON FUNCTION iot_kpi.grant_reader(text) IS 'Lets a role call every report and read every table of the store, and change nothing';

CREATE FUNCTION iot_kpi.grant_writer(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.grant_rights('writer', role); END $$;
COMMENT ON FUNCTION iot_kpi.grant_writer(text) IS
    'Lets a role write samples by both doors and register devices and metrics, partitions being made where they are missing; and what a reader may';

CREATE FUNCTION iot_kpi.grant_admin(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.grant_rights('admin', role); END $$;
COMMENT ON FUNCTION iot_kpi.grant_admin(text) IS
    'Lets a role change and delete rows of every table, calculate KPIs and do the upkeep; and what a writer may. The tables stay their owner''s';

CREATE FUNCTION iot_kpi.revoke_reader(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.revoke_rights('reader', role); END $$;
COMMENT ON FUNCTION iot_kpi.revoke_reader(text) IS 'Takes back all that grant_reader() gives';

CREATE FUNCTION iot_kpi.revoke_writer(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.revoke_rights('writer', role); END $$;
COMMENT ON FUNCTION iot_kpi.revoke_writer(text) IS 'Takes back all that grant_writer() gives, reading included';

CREATE FUNCTION iot_kpi.revoke_admin(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.revoke_rights('admin', role); END $$;
COMMENT ON FUNCTION iot_kpi.revoke_admin(text) IS 'Takes back all that grant_admin() gives, reading and writing included';
