-- Settings of a store. They are listed here once: create_store() seeds iot.settings from this list, check_setting()
-- refuses what does not fit it, and setting() falls back to it when a row is missing.

CREATE FUNCTION iot_kpi.default_settings()
RETURNS TABLE (name text, value text, kind text, description text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
VALUES
    ('unknown_devices', 'register', 'register|refuse',
     'What a sample of an unknown device does: register the device on first sight, or be refused'),
    ('unknown_metrics', 'refuse', 'register|refuse',
     'What a sample of an unknown metric does: register the metric as a gauge, or be refused'),
    ('clock_skew', '5 min', 'interval',
     'How far ahead of this server''s clock a sample may be before the forgiving door clamps it and the strict one refuses it'),
    ('retention', NULL, 'interval',
     'How long samples are kept; older ones are refused and drop_expired() drops them. NULL keeps everything'),
    ('earliest_time', '2005-01-01 00:00:00+00', 'instant',
     'Samples before this instant come from clocks that never were set, and are refused'),
    ('partitions_ahead', '3 days', 'interval',
     'How far ahead of now partitions of a day are made'),
    ('calculations', 'on', 'on|off',
     'Whether upkeep calculates the hours and days that are over'),
    ('deadlines', 'on', 'on|off',
     'Whether upkeep records and announces devices that fall silent, and their return'),
    ('upkeep_batch', '50', 'count',
     'How many devices upkeep handles in one transaction, 1 to 10000'),
    ('evidence_from', NULL, 'internal',
     'Before this instant the retention of a metric has deleted samples that KPIs were made of, written by upkeep'),
    ('store_version', '3', 'internal',
     'Version of the tables in schema iot, written by create_store()');
END;
COMMENT ON FUNCTION iot_kpi.default_settings() IS
    'Every setting of a store with its default value, its kind (an interval, an instant, or the allowed words) and its meaning';

CREATE FUNCTION iot_kpi.setting(name text) RETURNS text
-- plpgsql keeps the plan, and every batch of samples asks for several settings.
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('iot.settings') IS NULL THEN
        RAISE EXCEPTION 'there is no store in database "%"', current_database()
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Make it with: SELECT iot_kpi.create_store();';
    END IF;
    RETURN coalesce((SELECT stored.value FROM iot.settings stored WHERE stored.name = $1),
                    (SELECT preset.value FROM iot_kpi.default_settings() preset WHERE preset.name = $1));
END
$$;
COMMENT ON FUNCTION iot_kpi.setting(text) IS
    'Value of a setting in iot.settings, or its default; NULL for a name that is not a setting';

CREATE FUNCTION iot_kpi.exact(duration interval) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.make_interval(secs => extract(epoch FROM duration)::float8);
COMMENT ON FUNCTION iot_kpi.exact(interval) IS
    'A duration in hours and less, for timestamptz + and -: a day is 24 hours there, and not one of the session''s time zone; a month is 30 days, a year 365.25';

CREATE FUNCTION iot_kpi.duration(name text) RETURNS interval
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN iot_kpi.exact(iot_kpi.setting(name)::interval);
END
$$;
COMMENT ON FUNCTION iot_kpi.duration(text) IS 'Value of a setting that is an interval, as an exact duration; NULL where it is not set';

CREATE FUNCTION iot_kpi.check_setting() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- An instant that names no time zone is in UTC, whatever the session.
SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    wanted text;
    length interval;
BEGIN
    SELECT kind INTO wanted FROM iot_kpi.default_settings() WHERE name = NEW.name;
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'unknown setting %', quote_literal(NEW.name)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Settings: ' || (SELECT string_agg(name, ', ') FROM iot_kpi.default_settings() WHERE kind <> 'internal') || '.';
    ELSIF wanted = 'interval' AND NEW.value IS NOT NULL THEN
        length := NEW.value::interval;
        IF (length < (CASE NEW.name WHEN 'retention' THEN '1 day' ELSE '0' END)::interval OR length > '1000 years'::interval) THEN
            RAISE EXCEPTION 'setting % cannot be %', quote_literal(NEW.name), quote_literal(NEW.value)
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a duration up to 1000 years; a retention of at least a day.';
        END IF;
    ELSIF wanted = 'instant' AND NEW.value IS NOT NULL THEN
        IF NEW.value::timestamptz NOT BETWEEN '1970-01-01' AND now() THEN
            RAISE EXCEPTION 'setting % cannot be %', quote_literal(NEW.name), quote_literal(NEW.value)
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an instant from 1970 on that is over, such as ''2005-01-01''.';
        END IF;
        NEW.value := NEW.value::timestamptz::text;
    ELSIF wanted = 'count' AND (NEW.value !~ '^[0-9]{1,5}$' OR NEW.value::integer NOT BETWEEN 1 AND 10000) THEN
        RAISE EXCEPTION 'setting % cannot be %', quote_literal(NEW.name), quote_literal(NEW.value)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a whole number from 1 to 10000.';
    ELSIF wanted LIKE '%|%' AND NEW.value <> ALL (string_to_array(wanted, '|')) THEN
        RAISE EXCEPTION 'setting % cannot be %', quote_literal(NEW.name), quote_literal(NEW.value)
            USING ERRCODE = 'invalid_parameter_value', HINT = format('Give one of: %s.', replace(wanted, '|', ', '));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION iot_kpi.check_setting() IS 'Trigger of iot.settings: refuses unknown names and malformed values';
