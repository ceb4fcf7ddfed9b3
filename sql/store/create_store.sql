-- The managed store: made, or brought up to date, step by step, each of which can be run again.

CREATE FUNCTION iot_kpi.tell_records_apart() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM iot.device_status_history h WHERE starts_with(h.reason, 'iot_kpi: ')) THEN
        -- Not by UPDATE: no trigger has to look at what changes no KPI.
        ALTER TABLE iot.device_status_history ALTER COLUMN recorded_by TYPE text USING CASE
            WHEN starts_with(reason, 'iot_kpi: deadline missed') OR starts_with(reason, 'iot_kpi: reports again') THEN 'upkeep' END;
        -- Any other one with such a reason a device has sent, and it did not count.
        PERFORM iot_kpi.note_statuses_work(array_agg(o.device_id), array_agg(o.first))
        FROM (SELECT h.device_id, min(h."time") AS first FROM iot.device_status_history h
              WHERE starts_with(h.reason, 'iot_kpi: ') AND h.recorded_by IS NULL GROUP BY h.device_id) o;
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.tell_records_apart() IS
    'Step of create_store() for a store that knew upkeep''s records by the beginning of their reason: writes recorded_by';

CREATE FUNCTION iot_kpi.judge_anew() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    devices constant text[] := ARRAY(SELECT d.device_id FROM iot.devices d ORDER BY d.device_id);
    others text[];
BEGIN
    PERFORM iot_kpi.lock_liveness(devices);
    -- What was taken for the last beat may be no proof of life now.
    SELECT array_agg(l.device_id) INTO others
    FROM iot.device_liveness l JOIN iot.devices d USING (device_id)
    WHERE l.last_beat IS NOT NULL AND NOT EXISTS (
        SELECT FROM iot.metric_types t JOIN iot.device_metrics s ON s.device_id = l.device_id AND s.metric = t.metric AND s."time" = l.last_beat
        WHERE iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric));
    PERFORM iot_kpi.recount_liveness(others);
    PERFORM iot_kpi.mark_stale(devices, array_fill(timestamptz '-infinity', ARRAY[cardinality(devices)]),
                               array_fill(timestamptz 'infinity', ARRAY[cardinality(devices)]));
END
$$;
COMMENT ON FUNCTION iot_kpi.judge_anew() IS
    'Step of create_store() for a store whose KPIs were calculated by the rules of version 2: what was taken for a beat, and what is calculated, are no longer';

CREATE FUNCTION iot_kpi.create_store() RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    version constant text := (SELECT value FROM iot_kpi.default_settings() WHERE name = 'store_version');
    found_version text;
    partitions integer;
    -- Tables that DROP EXTENSION ... CASCADE has left without rules, so that anything may have been written to them since.
    unwatched constant boolean := to_regclass('iot.device_metrics') IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = to_regclass('iot.device_metrics') AND tgname = 'samples_inserted');
    records_unmarked constant boolean := to_regclass('iot.device_status_history') IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = to_regclass('iot.device_status_history') AND attname = 'recorded_by');
BEGIN
    -- Two sessions must not make the same tables at once.
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    IF to_regclass('iot.settings') IS NOT NULL THEN
        SELECT value INTO found_version FROM iot.settings WHERE name = 'store_version';
        IF found_version::integer > version::integer THEN
            RAISE EXCEPTION 'the store in schema iot has version %, newer than version % of this extension', found_version, version
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run ALTER EXTENSION pg_iot_kpi UPDATE first.';
        END IF;
    END IF;
    PERFORM iot_kpi.create_store_tables();
    IF records_unmarked THEN
        PERFORM iot_kpi.tell_records_apart();
    END IF;
    PERFORM iot_kpi.create_store_deputies();
    PERFORM iot_kpi.create_store_comments();
    PERFORM iot_kpi.create_store_triggers();
    PERFORM iot_kpi.create_store_seeds();
    UPDATE iot.settings SET value = version WHERE name = 'store_version' AND value IS DISTINCT FROM version;
    partitions := iot_kpi.create_store_partitions();
    IF unwatched THEN
        PERFORM iot_kpi.catch_up();
    END IF;
    IF found_version::integer < 3 THEN
        PERFORM iot_kpi.judge_anew();
    END IF;
    RETURN format('store version %s in schema iot is ready, %s partitions made', version, partitions);
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store() IS
    'Makes the device store in schema iot, or brings an older one up to date; run again it changes nothing. Returns what it did';
