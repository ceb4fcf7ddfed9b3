-- Row-level security. Which devices a role sees is decided in one place, by the policies that the operator writes for iot.devices; the
-- policies here make every other table of the store follow it. Where they are not installed no plan knows of them.

CREATE FUNCTION iot_kpi.row_policies() RETURNS TABLE (relation text, name text, rule text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.relation, p.name, p.rule
    FROM (VALUES
        ('device_metrics', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        ('device_status_history', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        -- Written by the owner alone: by triggers, and by calculations, since who sees not all devices cannot calculate what their
        -- collectors decide.
        ('device_liveness', 'iot_kpi_devices', 'FOR SELECT USING (%1$s)'),
        ('kpi_calculations', 'iot_kpi_devices', 'FOR SELECT USING (%1$s)'),
        ('maintenance_windows', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        ('maintenance_windows', 'iot_kpi_of_all', 'FOR SELECT USING (device_id IS NULL)'),
        ('slo_targets', 'iot_kpi_devices', 'FOR ALL USING (scope_kind = ''device'' AND scope_value IN (SELECT d.device_id FROM iot.devices d))'),
        ('slo_targets', 'iot_kpi_of_all', 'FOR SELECT USING (scope_kind <> ''device'')')) AS p (relation, name, rule);
END;
COMMENT ON FUNCTION iot_kpi.row_policies() IS 'The policies by which the tables of the store follow iot.devices; %1$s stands for "a device that can be seen"';

CREATE FUNCTION iot_kpi.close_partition(partition regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Without a policy nobody but the owner reads it by its own name: GRANT ... ON ALL TABLES would else be a way round. What is read
    -- through iot.device_metrics is judged by the policy of that.
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
END
$$;
COMMENT ON FUNCTION iot_kpi.close_partition(regclass) IS 'Hides the rows of a partition from all who name it instead of iot.device_metrics';

CREATE FUNCTION iot_kpi.enable_row_security() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record;
BEGIN
    PERFORM iot_kpi.disable_row_security();
    FOR p IN SELECT * FROM iot_kpi.row_policies() LOOP
        EXECUTE format('CREATE POLICY %I ON iot.%I ', p.name, p.relation) || format(p.rule, 'device_id IN (SELECT d.device_id FROM iot.devices d)');
        EXECUTE format('ALTER TABLE iot.%I ENABLE ROW LEVEL SECURITY', p.relation);
    END LOOP;
    PERFORM iot_kpi.close_partition(t.relid) FROM pg_partition_tree(to_regclass('iot.device_metrics')) t WHERE t.level > 0;
    ALTER TABLE iot.devices ENABLE ROW LEVEL SECURITY;
END
$$;
COMMENT ON FUNCTION iot_kpi.enable_row_security() IS
    'Row-level security: a role sees and writes, in every table and report, the devices that policies on iot.devices show it; without such a policy none. The owner sees all';

CREATE FUNCTION iot_kpi.disable_row_security() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    p record;
BEGIN
    PERFORM iot_kpi.require_store();
    ALTER TABLE iot.devices DISABLE ROW LEVEL SECURITY;
    FOR p IN SELECT * FROM iot_kpi.row_policies() LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON iot.%I', p.name, p.relation);
        EXECUTE format('ALTER TABLE iot.%I DISABLE ROW LEVEL SECURITY', p.relation);
    END LOOP;
    FOR p IN SELECT t.relid AS name FROM pg_partition_tree(to_regclass('iot.device_metrics')) t WHERE t.level > 0 LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', p.name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION iot_kpi.disable_row_security() IS
    'Takes back what enable_row_security() did; the policies on iot.devices stay, without effect';
