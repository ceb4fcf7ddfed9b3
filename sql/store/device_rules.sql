-- What devices, their maintenance and their metrics are checked for, and what a change of them means for calculations. The order
-- of locks is that of ingest/rules.sql.
--
-- Triggers for statements act as the owner of the store (rights/authority.sql): what a role does not see is no less true. Under row
-- security they also refuse what would change somebody else's figures: by a common collector, or what a common metric means.

CREATE FUNCTION iot_kpi.everything_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    registered text[];
BEGIN
    IF TG_TABLE_NAME IN ('device_metrics', 'device_status_history') THEN
        SELECT iot_kpi.lock_first_samples(array_agg(d.device_id), array_agg(timestamptz '-infinity')) INTO registered FROM iot.devices d;
    END IF;
    PERFORM iot_kpi.lock_liveness(NULL);
    IF TG_TABLE_NAME = 'device_metrics' THEN
        UPDATE iot.device_liveness SET last_measured = NULL, last_received = NULL, last_beat = NULL;
    ELSIF TG_TABLE_NAME = 'device_status_history' THEN
        UPDATE iot.device_liveness SET last_status = NULL, last_status_at = NULL;
    END IF;
    IF registered IS NOT NULL THEN
        PERFORM iot_kpi.commission_anew(registered);
    END IF;
    UPDATE iot.kpi_calculations SET stale = true WHERE NOT stale AND lower(period) >= iot_kpi.kept_from();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.everything_changed() IS
    'Statement trigger for TRUNCATE: marks every calculation stale';

CREATE FUNCTION iot_kpi.refuse_used_metrics(metrics text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used text;
BEGIN
    -- A look into the key for each device: samples of a metric alone are in no index.
    SELECT m.metric INTO used FROM unnest(metrics) m (metric), iot.devices d
    WHERE EXISTS (SELECT FROM iot.device_metrics s WHERE s.device_id = d.device_id AND s.metric = m.metric)
    LIMIT 1;
    IF used IS NOT NULL THEN
        RAISE EXCEPTION 'metric % still has samples', quote_literal(used)
            USING ERRCODE = 'foreign_key_violation', HINT = 'Delete its rows of iot.device_metrics first.';
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_used_metrics(text[]) IS 'Fails where there are samples of one of the metrics, which are to go';

CREATE FUNCTION iot_kpi.metric_types_updated() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.refuse_shared_metrics(ARRAY(SELECT c.metric FROM (SELECT * FROM old_rows EXCEPT SELECT * FROM new_rows) c));
    PERFORM iot_kpi.refuse_used_metrics(ARRAY(SELECT o.metric FROM old_rows o EXCEPT SELECT n.metric FROM new_rows n));
    IF EXISTS (SELECT metric, kind FROM old_rows EXCEPT SELECT metric, kind FROM new_rows) THEN
        PERFORM iot_kpi.lock_liveness(NULL);
        UPDATE iot.kpi_calculations SET stale = true WHERE NOT stale AND lower(period) >= iot_kpi.kept_from();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.metric_types_updated() IS
    'Statement trigger of iot.metric_types: a changed kind makes every calculation stale; a metric that has samples keeps its name';

CREATE FUNCTION iot_kpi.metric_types_deleted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.refuse_used_metrics(ARRAY(SELECT o.metric FROM old_rows o));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.metric_types_deleted() IS 'Statement trigger of iot.metric_types: refuses to delete a metric that has samples';

CREATE FUNCTION iot_kpi.check_duration(field text, value interval) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT isfinite(value) OR value <= '0'::interval OR value > interval '3660 days' THEN
        RAISE EXCEPTION '% cannot be %', field, quote_literal(value)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a duration above zero and of at most ten years, such as ''90 s''.';
    ELSIF date_part('year', value) <> 0 OR date_part('month', value) <> 0 THEN
        RAISE EXCEPTION '% cannot be %: a month is no exact duration', field, quote_literal(value)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give days, hours, minutes or seconds, such as ''30 days''.';
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.check_duration(text, interval) IS 'Refuses a duration that is not positive and exact; NULL passes';

CREATE FUNCTION iot_kpi.check_device() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.name := coalesce(NEW.name, NEW.device_id);
    IF NEW.device_id IS NULL OR length(NEW.device_id) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'device_id cannot be %', quote_nullable(iot_kpi.abbreviated(NEW.device_id))
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use an id of 1 to 255 characters.';
    END IF;
    PERFORM iot_kpi.check_duration('expected_interval', NEW.expected_interval);
    PERFORM iot_kpi.check_duration('liveness', NEW.liveness);
    PERFORM iot_kpi.check_duration('status_ttl', NEW.status_ttl);
    IF NOT (NEW.response_target > 0 AND NEW.response_target < 'infinity') THEN
        RAISE EXCEPTION 'response_target cannot be %', NEW.response_target
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give milliseconds, above zero.';
    END IF;
    IF NOT isfinite(NEW.commissioned_at) OR NOT isfinite(NEW.decommissioned_at) OR NEW.decommissioned_at < NEW.commissioned_at THEN
        RAISE EXCEPTION 'a device cannot be in service from % to %', NEW.commissioned_at, NEW.decommissioned_at
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave either of them NULL when it is open, and let it end after it began.';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.device_id <> OLD.device_id THEN
            RAISE EXCEPTION 'device % cannot be renamed to %', quote_literal(OLD.device_id), quote_literal(NEW.device_id)
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Its samples carry the id. Change devices.name instead.';
        END IF;
        NEW.updated_at := now();
        -- Once an operator has said when the device began, older samples no longer move it.
        IF NEW.commissioned_at IS DISTINCT FROM OLD.commissioned_at AND NOT iot_kpi.quiet() THEN
            NEW.registered_by := 'operator';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION iot_kpi.check_device() IS 'Row trigger of iot.devices: fills in the name, refuses what cannot be meant';

CREATE FUNCTION iot_kpi.refuse_hidden_collectors(device_ids text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hidden constant text[] := iot_kpi.hidden_devices(array_remove(device_ids, NULL));
BEGIN
    -- As a device that does not exist: nobody learns here whether it does. And whose device it is would else be kept from changing it.
    IF cardinality(hidden) > 0 THEN
        RAISE EXCEPTION 'collector % is not known', quote_literal(iot_kpi.abbreviated(hidden[1]))
            USING ERRCODE = 'foreign_key_violation', HINT = 'See SELECT device_id FROM iot.devices.';
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_hidden_collectors(text[]) IS
    'Fails where a device is named as a collector that is hidden from whom a trigger works for';

CREATE FUNCTION iot_kpi.devices_inserted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.refuse_hidden_collectors(ARRAY(SELECT n.collector_id FROM new_rows n));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.devices_inserted() IS 'Statement trigger of iot.devices: refuses collectors that row security hides';

CREATE FUNCTION iot_kpi.devices_updated() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed record;
BEGIN
    PERFORM iot_kpi.refuse_shared_devices(ARRAY(
        SELECT o.device_id FROM old_rows o LEFT JOIN new_rows n USING (device_id)
        WHERE to_jsonb(o) - 'updated_at' IS DISTINCT FROM to_jsonb(n) - 'updated_at'));
    PERFORM iot_kpi.refuse_hidden_collectors(ARRAY(SELECT n.collector_id FROM new_rows n));
    SELECT array_agg(n.device_id) AS device_ids,
           array_agg(n.device_id) FILTER (WHERE o.heartbeat_metric IS DISTINCT FROM n.heartbeat_metric) AS other_beats
    INTO changed
    FROM old_rows o JOIN new_rows n USING (device_id)
    WHERE (o.expected_interval, o.liveness, o.status_ttl, o.degraded_counts_up, o.response_target, o.heartbeat_metric, o.collector_id,
           o.commissioned_at, o.decommissioned_at)
       IS DISTINCT FROM
          (n.expected_interval, n.liveness, n.status_ttl, n.degraded_counts_up, n.response_target, n.heartbeat_metric, n.collector_id,
           n.commissioned_at, n.decommissioned_at);
    IF changed.device_ids IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM iot_kpi.lock_liveness(changed.device_ids);
    IF changed.other_beats IS NOT NULL THEN
        PERFORM iot_kpi.recount_liveness(changed.other_beats);
    END IF;
    PERFORM iot_kpi.mark_stale(changed.device_ids,
                               array_fill(timestamptz '-infinity', ARRAY[cardinality(changed.device_ids)]),
                               array_fill(timestamptz 'infinity', ARRAY[cardinality(changed.device_ids)]));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.devices_updated() IS
    'Statement trigger of iot.devices: a setting that KPIs depend on makes the device''s calculations stale, and those of devices it observes';

CREATE FUNCTION iot_kpi.devices_deleted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used text;
BEGIN
    SELECT o.device_id INTO used FROM old_rows o
    WHERE EXISTS (SELECT FROM iot.device_metrics s WHERE s.device_id = o.device_id)
       OR EXISTS (SELECT FROM iot.device_status_history s WHERE s.device_id = o.device_id AND s.recorded_by IS NULL)
    ORDER BY o.device_id LIMIT 1;
    IF used IS NOT NULL THEN
        RAISE EXCEPTION 'device % still has samples', quote_literal(used)
            USING ERRCODE = 'foreign_key_violation',
                  HINT = 'Set decommissioned_at to retire it, or delete its rows of iot.device_metrics and iot.device_status_history first.';
    END IF;
    -- Upkeep's records are about a device that is gone.
    DELETE FROM iot.device_status_history s USING old_rows o WHERE s.device_id = o.device_id;
    DELETE FROM iot.kpi_calculations k USING old_rows o WHERE k.device_id = o.device_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.devices_deleted() IS
    'Statement trigger of iot.devices: refuses to delete a device that has samples, otherwise deletes its calculations and what upkeep recorded of it';

CREATE FUNCTION iot_kpi.check_maintenance_window() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF isempty(NEW.period) OR lower_inf(NEW.period) OR NOT isfinite(lower(NEW.period)) THEN
        RAISE EXCEPTION 'a maintenance window cannot be %', quote_literal(NEW.period)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give it a start and a later end; without an end it lasts until further notice.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION iot_kpi.check_maintenance_window() IS 'Row trigger of iot.maintenance_windows: refuses empty windows and those without a start';

CREATE FUNCTION iot_kpi.maintenance_windows_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    windows record;
    changed record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(device_id) AS ids, array_agg(period) AS periods INTO windows FROM new_rows;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(device_id) AS ids, array_agg(period) AS periods INTO windows FROM old_rows;
    ELSE
        SELECT array_agg(device_id) AS ids, array_agg(period) AS periods INTO windows
        FROM (SELECT device_id, period FROM old_rows UNION ALL SELECT device_id, period FROM new_rows) u;
    END IF;
    SELECT array_agg(d.device_id) AS device_ids, array_agg(lower(w.period)) AS firsts,
           array_agg(coalesce(upper(w.period), 'infinity')) AS lasts
    INTO changed
    FROM unnest(windows.ids, windows.periods) w (device_id, period)
         JOIN iot.devices d ON w.device_id IS NULL OR d.device_id = w.device_id;
    IF changed.device_ids IS NOT NULL THEN
        PERFORM iot_kpi.lock_liveness(changed.device_ids);
        PERFORM iot_kpi.mark_stale(changed.device_ids, changed.firsts, changed.lasts);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.maintenance_windows_changed() IS
    'Statement trigger of iot.maintenance_windows: the calculations that a window touches become stale';
