-- From 0.1.0 to 0.2.0. Above the line below stands what is written by hand and runs first; `make upgrade-script` writes
-- what is below it, from the difference between sql/upgrade/pg_iot_kpi--0.1.0.sql and sql/install.

---- generated ----

CREATE OR REPLACE FUNCTION iot_kpi.default_settings()
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
    ('partitions_ahead', '3 days', 'interval',
     'How far ahead of now partitions are made'),
    ('calculations', 'on', 'on|off',
     'Whether upkeep calculates the hours and days that are over'),
    ('deadlines', 'on', 'on|off',
     'Whether upkeep records and announces devices that fall silent, and their return'),
    ('upkeep_batch', '50', 'count',
     'How many devices upkeep handles in one transaction, 1 to 10000'),
    ('evidence_from', NULL, 'internal',
     'Before this instant the retention of a metric has deleted samples that KPIs were made of, written by upkeep'),
    ('store_version', '2', 'internal',
     'Version of the tables in schema iot, written by create_store()');
END;

CREATE OR REPLACE FUNCTION iot_kpi.check_setting() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE FUNCTION iot_kpi.create_store_tables() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
BEGIN
    CREATE SCHEMA IF NOT EXISTS iot;

    CREATE TABLE IF NOT EXISTS iot.settings (
        name text COLLATE "C" PRIMARY KEY,
        value text,
        description text
    );

    CREATE TABLE IF NOT EXISTS iot.devices (
        device_id text COLLATE "C" PRIMARY KEY
            CONSTRAINT device_id_length CHECK (length(device_id) BETWEEN 1 AND 255),
        name text NOT NULL,
        device_type text,
        location text,
        expected_interval interval NOT NULL DEFAULT '60 s',
        liveness interval,
        status_ttl interval,
        degraded_counts_up boolean NOT NULL DEFAULT true,
        response_target float8
            CONSTRAINT response_target_positive CHECK (response_target > 0 AND response_target < 'infinity'),
        heartbeat_metric text COLLATE "C",
        collector_id text COLLATE "C" REFERENCES iot.devices
            CONSTRAINT collector_is_another_device CHECK (collector_id <> device_id),
        commissioned_at timestamptz CONSTRAINT commissioned_at_finite CHECK (isfinite(commissioned_at)),
        decommissioned_at timestamptz CONSTRAINT decommissioned_at_finite CHECK (isfinite(decommissioned_at)),
        metadata jsonb NOT NULL DEFAULT '{}',
        registered_by text NOT NULL DEFAULT 'operator' CHECK (registered_by IN ('operator', 'first_sample')),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        -- An extract of NULL is NULL, so an infinite interval (PostgreSQL 17) would pass without isfinite().
        CONSTRAINT expected_interval_exact CHECK (isfinite(expected_interval) AND expected_interval > '0'
            AND date_part('year', expected_interval) = 0 AND date_part('month', expected_interval) = 0),
        CONSTRAINT liveness_exact CHECK (isfinite(liveness) AND liveness > '0'
            AND date_part('year', liveness) = 0 AND date_part('month', liveness) = 0),
        CONSTRAINT status_ttl_exact CHECK (isfinite(status_ttl) AND status_ttl > '0'
            AND date_part('year', status_ttl) = 0 AND date_part('month', status_ttl) = 0),
        CONSTRAINT decommissioned_after_commissioned CHECK (decommissioned_at >= commissioned_at)
    );
    CREATE INDEX IF NOT EXISTS devices_collector_id_idx ON iot.devices (collector_id) WHERE collector_id IS NOT NULL;

    CREATE TABLE IF NOT EXISTS iot.metric_types (
        metric text COLLATE "C" PRIMARY KEY CONSTRAINT metric_length CHECK (length(metric) BETWEEN 1 AND 255),
        unit text,
        kind text NOT NULL DEFAULT 'gauge' CHECK (kind IN ('gauge', 'counter', 'delta')),
        minimum float8,
        maximum float8,
        description text,
        CONSTRAINT minimum_below_maximum CHECK (minimum <= maximum)
    );

    CREATE TABLE IF NOT EXISTS iot.device_metrics (
        device_id text COLLATE "C" NOT NULL
            CONSTRAINT device_id_length CHECK (length(device_id) BETWEEN 1 AND 255),
        metric text COLLATE "C" NOT NULL,
        "time" timestamptz NOT NULL,
        value float8 NOT NULL CONSTRAINT value_is_a_finite_number CHECK (value > '-infinity' AND value < 'infinity'),
        received_at timestamptz NOT NULL DEFAULT now() CONSTRAINT received_at_finite CHECK (isfinite(received_at)),
        -- The value lies in the key's index too, so that the samples of one device are read from there alone.
        PRIMARY KEY (device_id, metric, "time") INCLUDE (value)
    ) PARTITION BY RANGE ("time");

    CREATE TABLE IF NOT EXISTS iot.device_status_history (
        device_id text COLLATE "C" NOT NULL
            CONSTRAINT device_id_length CHECK (length(device_id) BETWEEN 1 AND 255),
        "time" timestamptz NOT NULL CONSTRAINT time_finite CHECK (isfinite("time")),
        status text COLLATE "C" NOT NULL CONSTRAINT status_known
            CHECK (status IN ('online', 'degraded', 'offline', 'error', 'maintenance', 'unknown')),
        reason text CONSTRAINT reason_length CHECK (length(reason) <= 1000),
        received_at timestamptz NOT NULL DEFAULT now() CONSTRAINT received_at_finite CHECK (isfinite(received_at)),
        PRIMARY KEY (device_id, "time")
    );

    -- Room on each page, so that the update every batch makes stays on it and touches no index.
    CREATE TABLE IF NOT EXISTS iot.device_liveness (
        device_id text COLLATE "C" PRIMARY KEY REFERENCES iot.devices ON DELETE CASCADE,
        last_measured timestamptz,
        last_received timestamptz,
        last_beat timestamptz,
        last_status text COLLATE "C",
        last_status_at timestamptz,
        calculated_at timestamptz,
        calculated_until timestamptz
    ) WITH (fillfactor = 40);

    CREATE TABLE IF NOT EXISTS iot.maintenance_windows (
        id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        device_id text COLLATE "C" REFERENCES iot.devices ON DELETE CASCADE,
        period tstzrange NOT NULL CONSTRAINT period_has_a_start CHECK (NOT isempty(period) AND isfinite(lower(period))
            AND lower(period) IS NOT NULL),
        reason text,
        created_by text NOT NULL DEFAULT current_user,
        created_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX IF NOT EXISTS maintenance_windows_device_id_idx ON iot.maintenance_windows (device_id);

    CREATE TABLE IF NOT EXISTS iot.slo_targets (
        id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        scope_kind text NOT NULL CHECK (scope_kind IN ('device', 'device_type', 'location', 'all')),
        scope_value text,
        kpi text NOT NULL CHECK (kpi IN ('uptime', 'availability')),
        objective float8 NOT NULL CONSTRAINT objective_between_0_and_1 CHECK (objective > 0 AND objective < 1),
        period interval NOT NULL DEFAULT '30 days' CONSTRAINT period_exact CHECK (isfinite(period) AND period > '0'
            AND date_part('year', period) = 0 AND date_part('month', period) = 0),
        CONSTRAINT scope_value_unless_all CHECK ((scope_kind = 'all') = (scope_value IS NULL))
    );
    CREATE UNIQUE INDEX IF NOT EXISTS slo_targets_scope_idx ON iot.slo_targets (scope_kind, coalesce(scope_value, ''), kpi, period);

    CREATE TABLE IF NOT EXISTS iot.kpi_calculations (
        device_id text COLLATE "C" NOT NULL,
        period tstzrange NOT NULL CONSTRAINT period_finite CHECK (isfinite(lower(period)) AND isfinite(upper(period))
            AND lower(period) IS NOT NULL AND upper(period) IS NOT NULL),
        grain text NOT NULL CHECK (grain IN ('hour', 'day')),
        stale boolean NOT NULL DEFAULT false,
        calculated_at timestamptz NOT NULL DEFAULT now(),
        parts bytea NOT NULL,
        PRIMARY KEY (device_id, grain, period)
    );
    -- One by one, because this is the table that gets a column with every new KPI: a store made before has it added.
    ALTER TABLE iot.kpi_calculations
        ADD COLUMN IF NOT EXISTS up_time interval,
        ADD COLUMN IF NOT EXISTS down_time interval,
        ADD COLUMN IF NOT EXISTS unknown_time interval,
        ADD COLUMN IF NOT EXISTS excluded_time interval,
        ADD COLUMN IF NOT EXISTS uptime float8,
        ADD COLUMN IF NOT EXISTS availability float8,
        ADD COLUMN IF NOT EXISTS failures bigint,
        ADD COLUMN IF NOT EXISTS mtbf interval,
        ADD COLUMN IF NOT EXISTS mttr interval,
        ADD COLUMN IF NOT EXISTS longest_outage interval,
        ADD COLUMN IF NOT EXISTS completeness float8,
        ADD COLUMN IF NOT EXISTS regularity float8,
        ADD COLUMN IF NOT EXISTS stability float8,
        ADD COLUMN IF NOT EXISTS consistency float8,
        ADD COLUMN IF NOT EXISTS jitter float8,
        ADD COLUMN IF NOT EXISTS missed_beats bigint,
        ADD COLUMN IF NOT EXISTS response_count bigint,
        ADD COLUMN IF NOT EXISTS response_mean float8,
        ADD COLUMN IF NOT EXISTS response_p50 float8,
        ADD COLUMN IF NOT EXISTS response_p90 float8,
        ADD COLUMN IF NOT EXISTS response_p95 float8,
        ADD COLUMN IF NOT EXISTS response_p99 float8,
        ADD COLUMN IF NOT EXISTS apdex float8,
        ADD COLUMN IF NOT EXISTS attempts bigint,
        ADD COLUMN IF NOT EXISTS failed bigint,
        ADD COLUMN IF NOT EXISTS error_rate float8,
        ADD COLUMN IF NOT EXISTS error_rate_low float8,
        ADD COLUMN IF NOT EXISTS error_rate_high float8,
        ADD COLUMN IF NOT EXISTS bytes_per_second float8,
        ADD COLUMN IF NOT EXISTS messages_per_second float8,
        ADD COLUMN IF NOT EXISTS expected_interval interval,
        ADD COLUMN IF NOT EXISTS liveness interval,
        ADD COLUMN IF NOT EXISTS summary bytea;
    CREATE INDEX IF NOT EXISTS kpi_calculations_fresh_idx ON iot.kpi_calculations (grain, period, device_id) WHERE NOT stale;
    CREATE INDEX IF NOT EXISTS kpi_calculations_stale_idx ON iot.kpi_calculations (device_id) WHERE stale;

    -- Since store version 2.
    ALTER TABLE iot.device_liveness ADD COLUMN IF NOT EXISTS silent_since timestamptz;
    ALTER TABLE iot.metric_types
        ADD COLUMN IF NOT EXISTS retention interval
            CONSTRAINT retention_of_a_day CHECK (isfinite(retention) AND retention >= '1 day'),
        ADD COLUMN IF NOT EXISTS expired_until timestamptz;
    CREATE TABLE IF NOT EXISTS iot.upkeep (
        step text COLLATE "C" PRIMARY KEY,
        started_at timestamptz,
        finished_at timestamptz,
        run_by text,
        calculated_until timestamptz,
        error text,
        error_at timestamptz
    );
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.create_store_comments() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    line text[];
BEGIN
    COMMENT ON SCHEMA iot IS 'Device store of pg_iot_kpi: ordinary tables, dumped by pg_dump, kept by DROP EXTENSION';
    FOREACH line SLICE 1 IN ARRAY ARRAY[
        ['settings', '', 'Settings of the store'],
        ['settings', 'name', 'Name of the setting'],
        ['settings', 'value', 'Value as text; NULL stands for the default'],
        ['settings', 'description', 'Meaning and allowed values'],

        ['devices', '', 'Devices, one row each; a sample of an unknown device can register it'],
        ['devices', 'device_id', 'Id as the device names itself, 1 to 255 characters'],
        ['devices', 'name', 'Name for people; the device_id unless given'],
        ['devices', 'device_type', 'Kind of device, a group in fleet reports'],
        ['devices', 'location', 'Place, a group in fleet reports'],
        ['devices', 'expected_interval', 'Time between two reports of a healthy device; exact, no months'],
        ['devices', 'liveness', 'How long one beat proves the device alive; NULL: three expected intervals'],
        ['devices', 'status_ttl', 'How long a status sample holds before it turns unknown; NULL: until the next one'],
        ['devices', 'degraded_counts_up', 'Whether the status degraded counts as up'],
        ['devices', 'response_target', 'Apdex target in milliseconds'],
        ['devices', 'heartbeat_metric', 'The metric whose samples are beats; NULL: every sample is one'],
        ['devices', 'collector_id', 'The collector that observes the device; while it is down the device is unknown'],
        ['devices', 'commissioned_at', 'Before this instant the device is excluded'],
        ['devices', 'decommissioned_at', 'From this instant on the device is excluded'],
        ['devices', 'metadata', 'Anything else; its keys can group fleet reports'],
        ['devices', 'registered_by', 'operator, or first_sample: registered on first sight, commissioned at its earliest sample'],
        ['devices', 'created_at', 'When the row was made'],
        ['devices', 'updated_at', 'When the row was last changed'],

        ['metric_types', '', 'Metrics that devices may send'],
        ['metric_types', 'metric', 'Name of the metric'],
        ['metric_types', 'unit', 'Unit of its values'],
        ['metric_types', 'kind', 'gauge (a level), counter (a total that only grows until reset) or delta (an amount since the last sample)'],
        ['metric_types', 'minimum', 'Smallest value accepted; NULL: no limit'],
        ['metric_types', 'maximum', 'Largest value accepted; NULL: no limit'],
        ['metric_types', 'description', 'Meaning'],
        ['metric_types', 'retention', 'How long its samples are kept where that is shorter than the setting retention; NULL: as long as all'],
        ['metric_types', 'expired_until', 'Its samples before this instant have been deleted, written by upkeep'],

        ['device_metrics', '', 'Metric samples, one partition a UTC day'],
        ['device_metrics', 'device_id', 'Device that sent the sample'],
        ['device_metrics', 'metric', 'Metric, one of iot.metric_types'],
        ['device_metrics', 'time', 'When it was measured'],
        ['device_metrics', 'value', 'Measured value, a finite number'],
        ['device_metrics', 'received_at', 'When the store received it'],

        ['device_status_history', '', 'Status samples; each holds until the next one of its device'],
        ['device_status_history', 'device_id', 'Device that sent the sample'],
        ['device_status_history', 'time', 'From when the status holds'],
        ['device_status_history', 'status', 'online, degraded, offline, error, maintenance or unknown'],
        ['device_status_history', 'reason', 'Why, in the sender''s words, at most 1000 characters'],
        ['device_status_history', 'received_at', 'When the store received it'],

        ['device_liveness', '', 'Latest samples of each device, kept by triggers: never write it by hand. Its row is the lock between writers and calculate_kpis()'],
        ['device_liveness', 'device_id', 'Device'],
        ['device_liveness', 'last_measured', 'Time of its latest metric sample'],
        ['device_liveness', 'last_received', 'When a metric sample of it last arrived'],
        ['device_liveness', 'last_beat', 'Time of its latest beat, see devices.heartbeat_metric'],
        ['device_liveness', 'last_status', 'Its latest status'],
        ['device_liveness', 'last_status_at', 'Time of its latest status sample'],
        ['device_liveness', 'silent_since', 'The deadline that it missed, where upkeep has recorded that; NULL once it reports again'],
        ['device_liveness', 'calculated_at', 'When KPIs that depend on it were last calculated'],
        ['device_liveness', 'calculated_until', 'No kpi_calculations row that depends on it reaches further; older samples must mark such rows stale'],

        ['maintenance_windows', '', 'Time in which devices are not required to work'],
        ['maintenance_windows', 'id', 'Number of the window'],
        ['maintenance_windows', 'device_id', 'Device; NULL: all devices'],
        ['maintenance_windows', 'period', 'The window; without an end it lasts until further notice'],
        ['maintenance_windows', 'reason', 'Why'],
        ['maintenance_windows', 'created_by', 'Who entered it'],
        ['maintenance_windows', 'created_at', 'When it was entered'],

        ['slo_targets', '', 'Objectives'],
        ['slo_targets', 'id', 'Number of the objective'],
        ['slo_targets', 'scope_kind', 'What it is for: device, device_type, location or all'],
        ['slo_targets', 'scope_value', 'Which device, type or location; NULL for all'],
        ['slo_targets', 'kpi', 'KPI the objective is about, a column of device_kpis()'],
        ['slo_targets', 'objective', 'Ratio to reach, between 0 and 1'],
        ['slo_targets', 'period', 'Length of the sliding period it is judged over; exact, no months'],

        ['upkeep', '', 'Upkeep, a row for each of its steps and one for the run as a whole'],
        ['upkeep', 'step', 'partitions, deadlines, calculations, retention; run: all of them'],
        ['upkeep', 'started_at', 'When the last run began'],
        ['upkeep', 'finished_at', 'When it was last finished without an error'],
        ['upkeep', 'run_by', 'worker, or session: somebody called maintain()'],
        ['upkeep', 'calculated_until', 'Of the step calculations: no hour before this one was missing then'],
        ['upkeep', 'error', 'What last went wrong'],
        ['upkeep', 'error_at', 'When that was'],

        ['kpi_calculations', '', 'Calculated KPIs of whole hours and days, written by calculate_kpis()'],
        ['kpi_calculations', 'device_id', 'Device'],
        ['kpi_calculations', 'period', 'The hour or day (UTC)'],
        ['kpi_calculations', 'grain', 'hour or day'],
        ['kpi_calculations', 'stale', 'True from the moment something it was calculated from changes until it is calculated again'],
        ['kpi_calculations', 'calculated_at', 'When it was calculated'],
        ['kpi_calculations', 'up_time', 'Required, observed and working, by heartbeats'],
        ['kpi_calculations', 'down_time', 'Required, observed and not working'],
        ['kpi_calculations', 'unknown_time', 'Required, but nobody was looking'],
        ['kpi_calculations', 'excluded_time', 'Not required to work'],
        ['kpi_calculations', 'uptime', 'up / (up + down) from heartbeats'],
        ['kpi_calculations', 'availability', 'up / (up + down) from status'],
        ['kpi_calculations', 'failures', 'Outages that begin in the period'],
        ['kpi_calculations', 'mtbf', 'Mean time between failures: up time / failures'],
        ['kpi_calculations', 'mttr', 'Mean time to restore: down time / failures'],
        ['kpi_calculations', 'longest_outage', 'Longest outage'],
        ['kpi_calculations', 'completeness', 'Share of expected reports that came'],
        ['kpi_calculations', 'regularity', '1: clockwork, 0: Poisson or worse'],
        ['kpi_calculations', 'stability', '1: never changes state, 0: changes at every report'],
        ['kpi_calculations', 'consistency', 'Geometric mean of completeness, regularity and stability'],
        ['kpi_calculations', 'jitter', 'Mean absolute difference of consecutive on-time gaps, seconds'],
        ['kpi_calculations', 'missed_beats', 'Reports that did not come'],
        ['kpi_calculations', 'response_count', 'Response time samples'],
        ['kpi_calculations', 'response_mean', 'Mean response time, ms'],
        ['kpi_calculations', 'response_p50', 'Median response time, ms'],
        ['kpi_calculations', 'response_p90', '90th percentile of response time, ms'],
        ['kpi_calculations', 'response_p95', '95th percentile of response time, ms'],
        ['kpi_calculations', 'response_p99', '99th percentile of response time, ms'],
        ['kpi_calculations', 'apdex', 'Apdex score'],
        ['kpi_calculations', 'attempts', 'Communications tried'],
        ['kpi_calculations', 'failed', 'Communications failed'],
        ['kpi_calculations', 'error_rate', 'failed / attempts'],
        ['kpi_calculations', 'error_rate_low', 'Lower end of its 95 % Wilson interval'],
        ['kpi_calculations', 'error_rate_high', 'Upper end of its 95 % Wilson interval'],
        ['kpi_calculations', 'bytes_per_second', 'Bytes in a required second'],
        ['kpi_calculations', 'messages_per_second', 'Reports (distinct beat times) in a required second'],
        ['kpi_calculations', 'expected_interval', 'The setting that it was calculated with'],
        ['kpi_calculations', 'liveness', 'The same, or three expected intervals where the device has none'],
        ['kpi_calculations', 'parts', 'Mergeable parts, from which longer periods are put together'],
        ['kpi_calculations', 'summary', 'Of a day: the parts with runs instead of beats, which reports read while both settings are what they were']
    ] LOOP
        IF line[2] = '' THEN
            EXECUTE format('COMMENT ON TABLE iot.%I IS %L', line[1], line[3]);
        ELSE
            EXECUTE format('COMMENT ON COLUMN iot.%I.%I IS %L', line[1], line[2], line[3]);
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.create_store_triggers() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CREATE OR REPLACE TRIGGER check_setting BEFORE INSERT OR UPDATE ON iot.settings
        FOR EACH ROW EXECUTE FUNCTION iot_kpi.check_setting();

    CREATE OR REPLACE TRIGGER check_device BEFORE INSERT OR UPDATE ON iot.devices
        FOR EACH ROW EXECUTE FUNCTION iot_kpi.check_device();
    CREATE OR REPLACE TRIGGER devices_updated AFTER UPDATE ON iot.devices
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.devices_updated();
    CREATE OR REPLACE TRIGGER devices_deleted AFTER DELETE ON iot.devices
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.devices_deleted();

    CREATE OR REPLACE TRIGGER metric_types_updated AFTER UPDATE ON iot.metric_types
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.metric_types_updated();
    CREATE OR REPLACE TRIGGER metric_types_deleted AFTER DELETE ON iot.metric_types
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.metric_types_deleted();

    CREATE OR REPLACE TRIGGER samples_inserted AFTER INSERT ON iot.device_metrics
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.metrics_changed();
    CREATE OR REPLACE TRIGGER samples_updated AFTER UPDATE ON iot.device_metrics
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.metrics_changed();
    CREATE OR REPLACE TRIGGER samples_deleted AFTER DELETE ON iot.device_metrics
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.metrics_changed();
    CREATE OR REPLACE TRIGGER samples_truncated AFTER TRUNCATE ON iot.device_metrics
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.everything_changed();

    CREATE OR REPLACE TRIGGER statuses_inserted AFTER INSERT ON iot.device_status_history
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.statuses_changed();
    CREATE OR REPLACE TRIGGER statuses_updated AFTER UPDATE ON iot.device_status_history
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.statuses_changed();
    CREATE OR REPLACE TRIGGER statuses_deleted AFTER DELETE ON iot.device_status_history
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.statuses_changed();
    CREATE OR REPLACE TRIGGER statuses_truncated AFTER TRUNCATE ON iot.device_status_history
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.everything_changed();

    CREATE OR REPLACE TRIGGER check_maintenance_window BEFORE INSERT OR UPDATE ON iot.maintenance_windows
        FOR EACH ROW EXECUTE FUNCTION iot_kpi.check_maintenance_window();
    CREATE OR REPLACE TRIGGER windows_inserted AFTER INSERT ON iot.maintenance_windows
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.maintenance_windows_changed();
    CREATE OR REPLACE TRIGGER windows_updated AFTER UPDATE ON iot.maintenance_windows
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.maintenance_windows_changed();
    CREATE OR REPLACE TRIGGER windows_deleted AFTER DELETE ON iot.maintenance_windows
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.maintenance_windows_changed();
    CREATE OR REPLACE TRIGGER windows_truncated AFTER TRUNCATE ON iot.maintenance_windows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.everything_changed();
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.create_store() RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    version constant text := (SELECT value FROM iot_kpi.default_settings() WHERE name = 'store_version');
    found_version text;
    partitions integer;
    -- Tables that DROP EXTENSION ... CASCADE has left without rules, so that anything may have been written to them since.
    unwatched constant boolean := to_regclass('iot.device_metrics') IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = to_regclass('iot.device_metrics') AND tgname = 'samples_inserted');
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
    PERFORM iot_kpi.create_store_deputies();
    PERFORM iot_kpi.create_store_comments();
    PERFORM iot_kpi.create_store_triggers();
    PERFORM iot_kpi.create_store_seeds();
    UPDATE iot.settings SET value = version WHERE name = 'store_version' AND value IS DISTINCT FROM version;
    partitions := iot_kpi.make_partitions();
    IF unwatched THEN
        PERFORM iot_kpi.catch_up();
    END IF;
    RETURN format('store version %s in schema iot is ready, %s partitions made', version, partitions);
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.store_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT 7666211735220613476;
END;

CREATE OR REPLACE FUNCTION iot_kpi.store_owner() RETURNS oid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.relowner FROM pg_class c WHERE c.oid = to_regclass('iot.device_metrics'));
END
$$;
COMMENT ON FUNCTION iot_kpi.store_owner() IS 'The role that owns the store; NULL where there is none';

CREATE OR REPLACE FUNCTION iot_kpi.owns_store() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pg_has_role(iot_kpi.store_owner(), 'USAGE');
END
$$;
COMMENT ON FUNCTION iot_kpi.owns_store() IS 'Whether this role has the rights of the store''s owner; NULL where there is no store';

CREATE OR REPLACE FUNCTION iot_kpi.make_partition(day timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp

SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
AS $$
DECLARE
    first constant timestamptz := date_trunc('day', day, 'UTC');
    partition constant text := 'device_metrics_p' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
    owner constant oid := iot_kpi.store_owner();
    deputy constant regprocedure := to_regprocedure('iot.make_partition_as_owner(timestamptz)');
BEGIN
    IF NOT iot_kpi.owns_store() THEN
        IF deputy IS NULL OR NOT has_function_privilege(deputy, 'EXECUTE') THEN
            RAISE EXCEPTION 'there is no partition for %, and role % may not make one', to_char(first AT TIME ZONE 'UTC', 'YYYY-MM-DD'), quote_ident(current_user)
                USING ERRCODE = 'insufficient_privilege',
                      HINT = format('As the owner of the store: SELECT iot_kpi.grant_writer(%L); or make_partitions().', current_user);
        END IF;
        RETURN iot.make_partition_as_owner(first);
    END IF;
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    IF iot_kpi.has_partition(first) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE iot.%I (LIKE iot.device_metrics INCLUDING ALL)', partition);
    -- A superuser's partition would be one that the owner could not drop.
    IF owner <> to_regrole(quote_ident(current_user)) THEN
        EXECUTE format('ALTER TABLE iot.%I OWNER TO %I', partition, pg_get_userbyid(owner));
    END IF;
    EXECUTE format('ALTER TABLE iot.device_metrics ATTACH PARTITION iot.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, first, first + interval '24 hours');
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.kept_from() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN greatest(
        coalesce((SELECT to_timestamp(min(right(c.relname, 8)) || '+00', 'YYYYMMDDTZH')
                  FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                  WHERE i.inhparent = to_regclass('iot.device_metrics') AND c.relname ~ '^device_metrics_p\d{8}$'), 'infinity'),
        -- Statuses go by the instant, partitions by the day; and the first hours of a day want beats of the day before.
        iot_kpi.earliest_sample(),
        iot_kpi.setting('evidence_from')::timestamptz);
END
$$;
COMMENT ON FUNCTION iot_kpi.kept_from() IS
    'From when on all samples are kept that KPIs are made of: what was calculated before stands, so it is never marked stale';

CREATE OR REPLACE FUNCTION iot_kpi.expired_partitions() RETURNS TABLE (partition regclass, day timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF iot_kpi.setting('retention') IS NOT NULL THEN
        RETURN QUERY
        SELECT p.oid::regclass, p.first
        FROM (SELECT c.oid, right(c.relname, 8)::date::timestamp AT TIME ZONE 'UTC' AS first
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
              WHERE i.inhparent = to_regclass('iot.device_metrics') AND c.relname ~ '^device_metrics_p[0-9]{8}$') p
        WHERE p.first + interval '24 hours' <= iot_kpi.earliest_sample()
        ORDER BY p.first;
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.expired_partitions() IS
    'The partitions that lie wholly before what the setting retention keeps, the earliest first';

CREATE OR REPLACE FUNCTION iot_kpi.drop_partition(partition regclass, day timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('DROP TABLE %s', partition);
    -- What is still stale there can never be calculated again. What it says is better than the rows that are gone.
    UPDATE iot.kpi_calculations SET stale = false WHERE stale AND upper(period) <= day + interval '24 hours';
END
$$;
COMMENT ON FUNCTION iot_kpi.drop_partition(regclass, timestamptz) IS 'Drops the partition of a day; what was calculated of it stands from now on';

CREATE OR REPLACE FUNCTION iot_kpi.delete_expired_statuses(most bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from constant timestamptz := iot_kpi.earliest_sample();
    deleted bigint;
BEGIN
    IF iot_kpi.setting('retention') IS NULL THEN
        RETURN 0;
    END IF;
    -- The last expired status of a device is what still held when the kept time began. Expiry changes no KPI of it, so no mark.
    PERFORM set_config('iot_store.quiet', 'on', true);
    DELETE FROM iot.device_status_history h
    USING (SELECT old.device_id, old."time" FROM iot.device_status_history old
           WHERE old."time" < kept_from
             AND (iot_kpi.of_upkeep(old.reason)
                  OR EXISTS (SELECT FROM iot.device_status_history later
                             WHERE later.device_id = old.device_id AND later."time" > old."time" AND later."time" <= kept_from
                               AND NOT iot_kpi.of_upkeep(later.reason)))
           LIMIT most) expired
    WHERE h.device_id = expired.device_id AND h."time" = expired."time";
    GET DIAGNOSTICS deleted = ROW_COUNT;
    PERFORM set_config('iot_store.quiet', '', true);
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION iot_kpi.delete_expired_statuses(bigint) IS
    'Deletes status samples older than the setting retention that hold no longer, at most so many (NULL: all); returns how many';

CREATE OR REPLACE FUNCTION iot_kpi.drop_expired() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped integer := 0;
    expired record;
BEGIN
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    FOR expired IN SELECT * FROM iot_kpi.expired_partitions() LOOP
        PERFORM iot_kpi.drop_partition(expired.partition, expired.day);
        dropped := dropped + 1;
    END LOOP;
    PERFORM iot_kpi.delete_expired_statuses(NULL);
    RETURN dropped;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.sample_fault(
    device_id text, device_known boolean, "time" timestamptz, earliest timestamptz, latest timestamptz)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE
    WHEN device_id IS NULL THEN ARRAY['device_id', 'device_id is null', 'Name the device.']
    WHEN device_id = '' THEN ARRAY['device_id', 'device_id is empty', 'Name the device.']
    WHEN pg_catalog.length(device_id) > 255 THEN ARRAY['device_id', 'device_id is longer than 255 characters', 'Use a shorter id.']
    WHEN "time" IS NULL THEN ARRAY['time', 'time is null', 'Send the time of the measurement.']
    WHEN NOT pg_catalog.isfinite("time") THEN ARRAY['time', 'time is infinite', 'Send the time of the measurement.']
    WHEN "time" < earliest THEN ARRAY['time', 'time is older than what is kept, ' || earliest::text,
                                      'See the setting retention in iot.settings.']
    WHEN "time" > latest THEN ARRAY['time', 'time is in the future, after ' || latest::text,
                                    'Set the device''s clock, or see the setting clock_skew in iot.settings.']
    WHEN NOT device_known THEN ARRAY['device_id', 'unknown device', 'INSERT INTO iot.devices first, or set unknown_devices in iot.settings to register.']
END;
END;

CREATE OR REPLACE FUNCTION iot_kpi.value_fault(metric text, kind text, minimum float8, maximum float8, value float8)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE
    WHEN metric IS NULL THEN ARRAY['metric', 'metric is null', 'Name the metric.']
    WHEN metric = '' THEN ARRAY['metric', 'metric is empty', 'Name the metric.']
    WHEN pg_catalog.length(metric) > 255 THEN ARRAY['metric', 'metric is longer than 255 characters', 'Use a shorter name.']
    WHEN kind IS NULL THEN ARRAY['metric', 'unknown metric', 'INSERT INTO iot.metric_types first, or set unknown_metrics in iot.settings to register.']
    WHEN value IS NULL THEN ARRAY['value', 'value is null', 'Leave the sample out when there is no value.']
    
    WHEN NOT (value > '-infinity' AND value < 'infinity') THEN ARRAY['value', 'value is not a finite number', 'Leave the sample out when there is no value.']
    WHEN value < minimum THEN ARRAY['value', 'value is below the minimum ' || minimum::text, 'See iot.metric_types.']
    WHEN value > maximum THEN ARRAY['value', 'value is above the maximum ' || maximum::text, 'See iot.metric_types.']
END;
END;

CREATE OR REPLACE FUNCTION iot_kpi.status_fault(status text, reason text)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE
    WHEN status IS NULL THEN ARRAY['status', 'status is null', 'Use online, degraded, offline, error, maintenance or unknown.']
    WHEN status NOT IN ('online', 'degraded', 'offline', 'error', 'maintenance', 'unknown')
        THEN ARRAY['status', 'unknown status', 'Use online, degraded, offline, error, maintenance or unknown.']
    WHEN pg_catalog.length(reason) > 1000 THEN ARRAY['reason', 'reason is longer than 1000 characters', 'Shorten it.']
END;
END;

CREATE OR REPLACE FUNCTION iot_kpi.of_upkeep(reason text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(pg_catalog.starts_with(reason, 'iot_kpi: '), false);
COMMENT ON FUNCTION iot_kpi.of_upkeep(text) IS
    'Whether a row of iot.device_status_history is upkeep''s record of a missed deadline and no sample of the device: no report counts it';

CREATE OR REPLACE FUNCTION iot_kpi.abbreviated(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE WHEN pg_catalog.length(value) > 100 THEN pg_catalog.left(value, 100) || '…' ELSE value END;
END;

CREATE OR REPLACE FUNCTION iot_kpi.quiet() RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
SELECT pg_catalog.current_setting('iot_store.quiet', true) = 'on';
END;

CREATE OR REPLACE FUNCTION iot_kpi.mark_rows_stale(device_ids text[], firsts timestamptz[], lasts timestamptz[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
-- A beat reaches past itself; what a collector sends decides what is known of its devices. Seconds, not days: a day of an interval
-- is 23 or 25 hours long where clocks change.
WITH changed AS (
    SELECT s.device_id, s.first, s.last + make_interval(secs => extract(epoch FROM
               greatest(coalesce(d.liveness, 3 * d.expected_interval), 1.5 * d.expected_interval))::float8) AS last
    FROM unnest(device_ids, firsts, lasts) s (device_id, first, last) JOIN iot.devices d USING (device_id)
), affected AS (
    SELECT * FROM changed
    UNION ALL
    SELECT o.device_id, c.first, c.last FROM changed c JOIN iot.devices o ON o.collector_id = c.device_id
), marked AS (
    -- In key order: an observer's writer and one of a device it observes meet on the same rows.
    SELECT k.device_id, k.grain, k.period
    FROM iot.kpi_calculations k JOIN affected a ON k.device_id = a.device_id
    WHERE NOT k.stale AND k.grain IN ('hour', 'day')
      -- For the index: no period is longer than 25 hours, and ranges sort by their start.
      AND k.period > tstzrange(a.first - interval '26 hours', a.first - interval '26 hours', '[]') AND k.period < tstzrange(a.last, NULL)
      -- What lies exactly at its end bears upon a period too.
      AND upper(k.period) >= a.first
      AND lower(k.period) >= (SELECT iot_kpi.kept_from())
    ORDER BY k.device_id, k.grain, k.period
    FOR NO KEY UPDATE OF k
)
UPDATE iot.kpi_calculations k SET stale = true
FROM marked m
WHERE k.device_id = m.device_id AND k.grain = m.grain AND k.period = m.period AND NOT k.stale
$$;
COMMENT ON FUNCTION iot_kpi.mark_rows_stale(text[], timestamptz[], timestamptz[]) IS
    'Step of mark_stale()';

CREATE OR REPLACE FUNCTION iot_kpi.mark_stale(device_ids text[], firsts timestamptz[], lasts timestamptz[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF row_security_active('iot.devices') THEN
        -- Whom a collector observes, its writer may not see.
        PERFORM iot.mark_stale_as_owner(device_ids, firsts, lasts);
    ELSE
        PERFORM iot_kpi.mark_rows_stale(device_ids, firsts, lasts);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.metrics_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp

SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    earliest constant timestamptz := iot_kpi.earliest_sample();
    -- A COPY may run for hours, so not now().
    latest constant timestamptz := clock_timestamp() + iot_kpi.setting('clock_skew')::interval;
    register_device constant boolean := iot_kpi.setting('unknown_devices') = 'register';
    unlisted_kind constant text := CASE iot_kpi.setting('unknown_metrics') WHEN 'register' THEN 'gauge' END;
    changed record;
    old record;
    calculated timestamptz;
    recount text[];
BEGIN
    IF TG_OP = 'DELETE' AND iot_kpi.quiet() THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        SELECT array_agg(device_id) AS device_ids, array_agg(first) AS firsts, array_agg(last) AS lasts, array_agg(beat) AS beats,
               array_agg(received) AS received, array_agg(heartbeat_metric) AS heartbeat_metrics,
               -- An older first sample moves commissioned_at, and an increase of a counter may show in any later period.
               array_agg(CASE WHEN has_counter OR is_first THEN 'infinity' ELSE last END) AS untils,
               bool_or(bad) AS bad, bool_or(unlisted) AS unlisted,
               array_agg(device_id) FILTER (WHERE is_first) AS new_ids, array_agg(first) FILTER (WHERE is_first) AS new_firsts
        INTO changed
        FROM (SELECT n.device_id, min(n."time") AS first, max(n."time") AS last, max(n.received_at) AS received,
                     max(n."time") FILTER (WHERE d.heartbeat_metric IS NULL OR n.metric = d.heartbeat_metric) AS beat,
                     max(d.heartbeat_metric) AS heartbeat_metric,
                     bool_or(t.kind = 'counter') IS TRUE AS has_counter, bool_or(t.metric IS NULL) AS unlisted,
                     bool_or(d.device_id IS NULL OR d.registered_by = 'first_sample' AND n."time" < d.commissioned_at) AS is_first,
                     bool_or(iot_kpi.sample_fault(n.device_id, register_device OR d.device_id IS NOT NULL, n."time", earliest, latest) IS NOT NULL
                             OR iot_kpi.value_fault(n.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, n.value) IS NOT NULL) AS bad
              FROM new_rows n LEFT JOIN iot.metric_types t ON t.metric = n.metric LEFT JOIN iot.devices d ON d.device_id = n.device_id
              GROUP BY n.device_id ORDER BY n.device_id) a;
        IF changed.bad THEN
            PERFORM iot_kpi.refuse_sample('iot.device_metrics', position, device_id, "time", format('sample %s = %s', metric, value), fault)
            FROM (SELECT n.*, coalesce(
                      iot_kpi.sample_fault(n.device_id, register_device OR d.device_id IS NOT NULL, n."time", earliest, latest),
                      iot_kpi.value_fault(n.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, n.value)) AS fault
                  FROM (SELECT *, row_number() OVER () AS position FROM new_rows) n
                       LEFT JOIN iot.metric_types t ON t.metric = n.metric LEFT JOIN iot.devices d ON d.device_id = n.device_id) f
            WHERE fault IS NOT NULL ORDER BY position LIMIT 1;
        END IF;
        IF changed.unlisted THEN
            INSERT INTO iot.metric_types (metric) SELECT DISTINCT metric FROM new_rows ORDER BY metric ON CONFLICT DO NOTHING;
        END IF;
        IF changed.new_ids IS NOT NULL THEN
            PERFORM iot_kpi.register_devices(changed.new_ids, changed.new_firsts);
        END IF;
    END IF;

    IF TG_OP = 'INSERT' THEN
        WITH locked AS (
            INSERT INTO iot.device_liveness AS l (device_id, last_measured, last_received, last_beat)
            SELECT * FROM unnest(changed.device_ids, changed.lasts, changed.received, changed.beats)
            ON CONFLICT (device_id) DO UPDATE
                SET last_measured = greatest(l.last_measured, excluded.last_measured),
                    last_received = greatest(l.last_received, excluded.last_received),
                    last_beat = greatest(l.last_beat, excluded.last_beat)
            RETURNING calculated_until)
        SELECT max(calculated_until) INTO calculated FROM locked;
        -- heartbeat_metric may have changed between the look at iot.devices and the lock.
        SELECT array_agg(device_id) INTO recount
        FROM unnest(changed.device_ids, changed.heartbeat_metrics) s (device_id, heartbeat_metric) JOIN iot.devices d USING (device_id)
        WHERE d.heartbeat_metric IS DISTINCT FROM s.heartbeat_metric;
    ELSE
        SELECT array_agg(device_id) AS device_ids, array_agg(first) AS firsts, array_agg(CASE WHEN has_counter THEN 'infinity' ELSE last END) AS untils,
               array_agg(last) AS lasts, array_agg(received) AS received
        INTO old
        FROM (SELECT o.device_id, min(o."time") AS first, max(o."time") AS last, max(o.received_at) AS received,
                     bool_or(t.kind = 'counter') IS TRUE AS has_counter
              FROM old_rows o LEFT JOIN iot.metric_types t ON t.metric = o.metric
              GROUP BY o.device_id) a;
        IF old.device_ids IS NULL THEN
            RETURN NULL;
        END IF;
        IF TG_OP = 'DELETE' THEN
            changed := old;
            PERFORM iot_kpi.lock_liveness(changed.device_ids);
            -- Deleting what is older than the latest sample leaves the latest as it is.
            SELECT array_agg(device_id) INTO recount
            FROM unnest(old.device_ids, old.lasts, old.received) s (device_id, last, received) JOIN iot.device_liveness l USING (device_id)
            WHERE s.last >= l.last_measured OR s.received >= l.last_received OR s.last >= l.last_beat;
        ELSE
            SELECT array_agg(device_id) AS device_ids, array_agg(first) AS firsts, array_agg(until) AS untils INTO changed
            FROM (SELECT * FROM unnest(changed.device_ids, changed.firsts, changed.untils)
                  UNION ALL SELECT * FROM unnest(old.device_ids, old.firsts, old.untils)) u (device_id, first, until);
            PERFORM iot_kpi.lock_liveness(changed.device_ids);
            recount := changed.device_ids;
        END IF;
        SELECT max(calculated_until) INTO calculated FROM iot.device_liveness WHERE device_id = ANY (changed.device_ids);
    END IF;

    IF recount IS NOT NULL THEN
        PERFORM iot_kpi.recount_liveness(recount);
    END IF;
    IF EXISTS (SELECT FROM unnest(changed.firsts) first WHERE first <= calculated) THEN
        PERFORM iot_kpi.mark_stale(changed.device_ids, changed.firsts, changed.untils);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.note_statuses(device_ids text[], firsts timestamptz[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new record;
    untils timestamptz[];
BEGIN
    SELECT array_agg(s.device_id) AS device_ids, array_agg(s.first) AS firsts INTO new
    FROM unnest(device_ids, firsts) s (device_id, first) LEFT JOIN iot.devices d ON d.device_id = s.device_id
    WHERE d.device_id IS NULL OR d.registered_by = 'first_sample' AND s.first < d.commissioned_at;
    IF new.device_ids IS NOT NULL THEN
        PERFORM iot_kpi.register_devices(new.device_ids, new.firsts);
    END IF;
    PERFORM iot_kpi.lock_liveness(device_ids);
    UPDATE iot.device_liveness l SET last_status = s.status, last_status_at = s."time"
    FROM unnest(device_ids) touched (device_id)
         LEFT JOIN LATERAL (SELECT h.status, h."time" FROM iot.device_status_history h
                            WHERE h.device_id = touched.device_id AND NOT iot_kpi.of_upkeep(h.reason)
                            ORDER BY h."time" DESC LIMIT 1) s ON true
    WHERE l.device_id = touched.device_id AND (l.last_status, l.last_status_at) IS DISTINCT FROM (s.status, s."time");
    -- A status holds until the next one, however late that comes.
    PERFORM iot_kpi.mark_stale(device_ids, firsts, array_fill(timestamptz 'infinity', ARRAY[cardinality(device_ids)]));
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.unknown_devices(device_ids text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A tenant registers its devices itself: a sample cannot say whose it would be.
    IF iot_kpi.setting('unknown_devices') = 'register' AND NOT row_security_active('iot.devices') THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT DISTINCT u.device_id FROM unnest(device_ids) u (device_id)
                 WHERE NOT EXISTS (SELECT FROM iot.devices d WHERE d.device_id = u.device_id) AND u.device_id IS NOT NULL);
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.ingest_metrics(
    device_ids text[], metrics text[], times timestamptz[], "values" float8[],
    OUT stored bigint, OUT duplicates bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    batch_size constant bigint := cardinality(device_ids);
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := now() + iot_kpi.setting('clock_skew')::interval;
    unlisted_kind constant text := CASE iot_kpi.setting('unknown_metrics') WHEN 'register' THEN 'gauge' END;
    unknown_devices constant text[] := iot_kpi.unknown_devices(device_ids);
    good_from timestamptz;
    good_to timestamptz;
BEGIN
    PERFORM iot_kpi.check_same_length(ARRAY[cardinality(device_ids), cardinality(metrics), cardinality(times), cardinality("values")],
                                      'device_ids, metrics, times and values');
    SELECT count(*) FILTER (WHERE iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL) IS NOT NULL
                               OR iot_kpi.value_fault(u.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, u.value) IS NOT NULL),
           count(*) FILTER (WHERE u."time" > latest), min(u."time"), max(u."time")
    INTO refused, future_clamped, good_from, good_to
    FROM unnest(device_ids, metrics, times, "values") u (device_id, metric, "time", value)
         LEFT JOIN iot.metric_types t ON t.metric = u.metric;

    refusals := '[]';
    -- Most batches are clean and go in as they came.
    IF refused > 0 OR future_clamped > 0 THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'position', position, 'device_id', iot_kpi.abbreviated(device_id), 'field', fault[1],
                   'value', CASE fault[1] WHEN 'device_id' THEN iot_kpi.abbreviated(device_id) WHEN 'metric' THEN iot_kpi.abbreviated(metric)
                                          WHEN 'time' THEN "time"::text ELSE value::text END,
                   'reason', fault[2], 'remedy', fault[3]) ORDER BY position) FILTER (WHERE fault IS NOT NULL), '[]'),
               count(*) FILTER (WHERE fault IS NULL AND "time" > latest), min(good_time), max(good_time),
               array_agg(device_id ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(metric ORDER BY position) FILTER (WHERE fault IS NULL),
               array_agg(good_time ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(value ORDER BY position) FILTER (WHERE fault IS NULL)
        INTO refusals, future_clamped, good_from, good_to, device_ids, metrics, times, "values"
        FROM (SELECT f.*, CASE WHEN fault IS NOT NULL THEN NULL WHEN "time" > latest THEN now() ELSE "time" END AS good_time
              FROM (SELECT u.*, coalesce(
                        iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL),
                        iot_kpi.value_fault(u.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, u.value)) AS fault
                    FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
                         LEFT JOIN iot.metric_types t ON t.metric = u.metric
                    OFFSET 0) f) checked;
    END IF;

    stored := 0;
    IF refused < batch_size THEN
        PERFORM iot_kpi.make_partitions_of(times, good_from, good_to);
        -- Writers that meet on the same keys meet in the same order; of equal keys in one batch the first counts.
        -- Most batches hold nothing that is already there, and without ON CONFLICT they go in a third quicker.
        BEGIN
            INSERT INTO iot.device_metrics (device_id, metric, "time", value)
            SELECT DISTINCT ON (u.device_id COLLATE "C", u.metric COLLATE "C", u."time") u.device_id, u.metric, u."time", u.value
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
            ORDER BY u.device_id COLLATE "C", u.metric COLLATE "C", u."time", u.position;
            GET DIAGNOSTICS stored = ROW_COUNT;
        EXCEPTION WHEN unique_violation THEN
            INSERT INTO iot.device_metrics (device_id, metric, "time", value)
            SELECT u.device_id, u.metric, u."time", u.value
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
            ORDER BY u.device_id COLLATE "C", u.metric COLLATE "C", u."time", u.position
            ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS stored = ROW_COUNT;
        END;
    END IF;
    duplicates := batch_size - refused - stored;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.metric_types_deleted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used text;
BEGIN
    -- A look into the key for each device: samples of a metric alone are in no index.
    SELECT o.metric INTO used FROM old_rows o, iot.devices d
    WHERE EXISTS (SELECT FROM iot.device_metrics s WHERE s.device_id = d.device_id AND s.metric = o.metric)
    LIMIT 1;
    IF used IS NOT NULL THEN
        RAISE EXCEPTION 'metric % still has samples', quote_literal(used)
            USING ERRCODE = 'foreign_key_violation', HINT = 'Delete its rows of iot.device_metrics first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.metric_types_deleted() IS 'Statement trigger of iot.metric_types: refuses to delete a metric that has samples';
COMMENT ON FUNCTION iot_kpi.evidence_parts(iot_kpi.evidence) IS 'each slot of evidence as evidence of its own; an error where its beats are in runs';

CREATE OR REPLACE FUNCTION iot_kpi.evidence_summary(evidence iot_kpi.evidence, expected_interval interval, liveness interval)
RETURNS iot_kpi.evidence
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_summary';
COMMENT ON FUNCTION iot_kpi.evidence_summary(iot_kpi.evidence, interval, interval) IS
    'evidence of one slot with runs instead of its beats: it says the same of a device with these settings';

CREATE OR REPLACE FUNCTION iot_kpi.gather(
    slot_edges timestamptz[], scan_start timestamptz, scan_end timestamptz, device_ids text[], bytes_is_counter boolean
) RETURNS TABLE (device_id text, evidence iot_kpi.evidence)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    
    SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    grains text[];
    periods tstzrange[];
    covered tstzmultirange;
    gaps tstzmultirange;
    lacking text[];
    rows_of text;
    heartbeat_metric text;
    differs boolean;
    beats_by text;
    of_device text;
    of_these text;
BEGIN
    covered := '{}';
    -- Most windows of a few hours, and all of a store without calculations, have none: that is seen at one look.
    IF EXISTS (SELECT FROM iot.kpi_calculations k
               WHERE NOT k.stale AND k.grain IN ('hour', 'day')
                 AND k.period >= tstzrange(slot_edges[1], slot_edges[1], '[]')
                 AND k.period < tstzrange(slot_edges[cardinality(slot_edges)], NULL)) THEN
        SELECT array_agg(p.grain), array_agg(p.period), coalesce(range_agg(p.period), '{}')
            INTO grains, periods, covered
            FROM iot_kpi.calculated_periods(slot_edges, device_ids) AS p;
    END IF;
    gaps := tstzmultirange(tstzrange(scan_start, scan_end, '[]')) - covered;

    -- Where all devices beat by the same metric, or by any, no row has to be joined to its device.
    SELECT min(d.heartbeat_metric), count(DISTINCT d.heartbeat_metric) > 1 OR count(d.heartbeat_metric) NOT IN (0, count(*))
        INTO heartbeat_metric, differs
        FROM iot.devices d WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
    beats_by := CASE WHEN differs THEN 'd.heartbeat_metric' ELSE '$7' END;
    of_device := CASE WHEN differs THEN 'JOIN iot.devices d ON d.device_id = s.device_id' ELSE '' END;

    -- The rows of one device make one group: nobody has to look up whose they are.
    of_these := CASE WHEN device_ids IS NULL THEN '' WHEN cardinality(device_ids) = 1 THEN ' AND m.device_id = $1[1]'
                     ELSE ' AND m.device_id = ANY ($1)' END;
    -- With the bounds written into the statement, each stretch is planned with its own partitions only.
    SELECT string_agg(
               format('SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m WHERE m.time >= %L AND m.time %s %L',
                      lower(g), CASE WHEN upper_inc(g) THEN '<=' ELSE '<' END, upper(g))
               || of_these, ' UNION ALL ')
        INTO rows_of FROM unnest(gaps) AS g;

    IF periods IS NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT s.device_id, iot_kpi.evidence_agg(s.time, s.metric, s.value, %s, $2, $3)
             FROM (%s) AS s %s GROUP BY s.device_id', beats_by, rows_of, of_device)
            USING device_ids, bytes_is_counter, slot_edges, lacking, grains, periods, heartbeat_metric;
        RETURN;
    END IF;

    SELECT array_agg(d.device_id) INTO lacking
        FROM iot.devices d
        LEFT JOIN (SELECT k.device_id, count(*) AS n
                   FROM unnest(grains, periods) AS p (grain, period)
                   JOIN iot.kpi_calculations k ON k.grain = p.grain AND k.period = p.period
                   WHERE NOT k.stale GROUP BY k.device_id) AS k ON k.device_id = d.device_id
        WHERE (device_ids IS NULL OR d.device_id = ANY (device_ids))
          AND coalesce(k.n, 0) < cardinality(periods);
    IF lacking IS NOT NULL THEN
        rows_of := rows_of || (
            SELECT string_agg(
                format(' UNION ALL SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m WHERE m.time >= %L AND m.time < %L AND m.device_id = ANY ($4)',
                       lower(c), upper(c)), '')
            FROM unnest(covered) AS c);
    END IF;
    RETURN QUERY EXECUTE format(
        'WITH parts AS (
             SELECT s.device_id, iot_kpi.evidence_send(
                        iot_kpi.evidence_agg(s.time, s.metric, s.value, %s, $2, $3)) AS part,
                    NULL::timestamptz AS start
             FROM (%s) AS s %s GROUP BY s.device_id
             UNION ALL
             -- A summary serves as long as the device is judged as it was then. What is not chosen is not fetched either.
             SELECT k.device_id,
                    CASE WHEN k.summary IS NOT NULL AND k.expected_interval = d.expected_interval
                              AND k.liveness = coalesce(d.liveness, d.expected_interval * 3)
                         THEN k.summary ELSE k.parts END,
                    lower(p.period)
             FROM unnest($5, $6) AS p (grain, period)
             JOIN iot.kpi_calculations k ON k.grain = p.grain AND k.period = p.period
             JOIN iot.devices d ON d.device_id = k.device_id
             WHERE NOT k.stale AND ($1 IS NULL OR k.device_id = ANY ($1)) AND ($4 IS NULL OR k.device_id <> ALL ($4)))
         -- In the order of time a part is put behind the others as it is.
         SELECT p.device_id, iot_kpi.evidence_merge(p.part, $3 ORDER BY p.start) FROM parts AS p GROUP BY p.device_id',
        beats_by, rows_of, of_device)
        USING device_ids, bytes_is_counter, slot_edges, lacking, grains, periods, heartbeat_metric;
END $$;
COMMENT ON FUNCTION iot_kpi.gather(timestamptz[], timestamptz, timestamptz, text[], boolean) IS
    'the evidence of devices over slots, from calculated periods where they serve and from rows elsewhere';

CREATE OR REPLACE FUNCTION iot_kpi.evidence_of(
    during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[] DEFAULT NULL
) RETURNS TABLE (
    device_id text, name text, device_type text, location text, metadata jsonb, observes boolean,
    last_measured timestamptz, last_received timestamptz, never_seen boolean, status text, live boolean, required boolean,
    dossier iot_kpi.dossier
)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    effective tstzrange := iot_kpi.effective_window(during, as_of);
    window_start timestamptz := lower(effective);
    window_end timestamptz := upper(effective);
    slot_edges timestamptz[] := coalesce(edges, ARRAY[window_start, window_end]);
    sampled text[];
    reach interval;
    bytes_is_counter boolean;
    metrics text[];
BEGIN
    PERFORM iot_kpi.require_store();
    PERFORM iot_kpi.check_devices(device_ids);
    IF effective IS NULL THEN
        slot_edges := NULL;
    END IF;
    IF device_ids IS NOT NULL THEN
        -- An observer's beats are evidence too: where it was silent, its devices are unknown.
        SELECT array_agg(DISTINCT ids.id) INTO sampled
            FROM iot.devices d, LATERAL (VALUES (d.device_id), (d.collector_id)) AS ids (id)
            WHERE d.device_id = ANY (device_ids) AND ids.id IS NOT NULL;
        sampled := coalesce(sampled, '{}');
    END IF;
    reach := iot_kpi.look_back(sampled);
    SELECT coalesce(bool_or(t.kind = 'counter') FILTER (WHERE t.metric = 'bytes'), false), array_agg(t.metric)
        INTO bytes_is_counter, metrics FROM iot.metric_types t;

    RETURN QUERY
    WITH gathered AS MATERIALIZED (
        SELECT g.device_id, g.evidence
        FROM iot_kpi.gather(slot_edges, window_start - reach, window_end, sampled, bytes_is_counter) AS g
        WHERE slot_edges IS NOT NULL
    ),
    -- The last beat is kept; only a look into the past has to search for the one before as_of. A few probes of the key each,
    -- metric by metric: which partitions may hold it is known when this is planned.
    present AS MATERIALIZED (
        SELECT d.device_id,
               CASE
                   WHEN l.last_beat IS NULL OR l.last_beat <= as_of THEN coalesce(l.last_beat > alive.since, false)
                   ELSE EXISTS (
                       SELECT FROM iot.device_metrics m
                       WHERE m.device_id = d.device_id
                         AND m.metric = ANY (CASE WHEN d.heartbeat_metric IS NULL THEN metrics ELSE ARRAY[d.heartbeat_metric] END)
                         AND m.time > alive.since AND m.time > as_of - reach AND m.time <= as_of)
               END AS live
        FROM iot.devices d
        LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
        CROSS JOIN LATERAL (
            SELECT as_of - make_interval(secs =>
                extract(epoch FROM coalesce(d.liveness, d.expected_interval * 3))::float8)) AS alive (since)
        WHERE sampled IS NULL OR d.device_id = ANY (sampled)
    ),
    observers AS MATERIALIZED (
        SELECT c.device_id,
               iot_kpi.silent_ranges(ROW (slot_edges, c.expected_interval, c.liveness, NULL, NULL, NULL, g.evidence,
                                          NULL, NULL, NULL)::iot_kpi.dossier) AS silent,
               present.live
        FROM iot.devices c
        LEFT JOIN gathered g ON g.device_id = c.device_id
        LEFT JOIN present ON present.device_id = c.device_id
        WHERE c.device_id IN (SELECT d.collector_id FROM iot.devices d)
    )
    SELECT d.device_id, d.name, d.device_type, d.location, d.metadata, observing.found,
           l.last_measured, l.last_received, l.last_beat IS NULL,
           CASE
               WHEN exempt.excluded @> as_of THEN 'excluded'
               WHEN NOT o.live THEN 'unknown'
               WHEN NOT present.live THEN
                   CASE WHEN said.status IN ('offline', 'error', 'maintenance') THEN said.status ELSE 'offline' END
               ELSE coalesce(said.status, 'online')
           END,
           present.live, NOT coalesce(exempt.excluded @> as_of, false),
           ROW (slot_edges, d.expected_interval, d.liveness, d.status_ttl, d.degraded_counts_up, d.response_target,
                g.evidence, sampled_status.statuses, exempt.excluded, o.silent)::iot_kpi.dossier
    FROM iot.devices d
    LEFT JOIN gathered g ON g.device_id = d.device_id
    LEFT JOIN observers o ON o.device_id = d.collector_id
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
    JOIN present ON present.device_id = d.device_id
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM observers c WHERE c.device_id = d.device_id)) AS observing (found)
    LEFT JOIN LATERAL (
        SELECT range_agg(p.period) AS excluded
        FROM (SELECT w.period FROM iot.maintenance_windows w
              WHERE (w.device_id = d.device_id OR w.device_id IS NULL)
                AND w.period && tstzrange(least(window_start, as_of), greatest(window_end, as_of), '[]')
              UNION ALL SELECT tstzrange(NULL, d.commissioned_at) WHERE d.commissioned_at IS NOT NULL
              UNION ALL SELECT tstzrange(d.decommissioned_at, NULL) WHERE d.decommissioned_at IS NOT NULL) AS p
    ) AS exempt ON true
    LEFT JOIN LATERAL (
        SELECT iot_kpi.status_agg(s.time, s.status) AS statuses
        FROM ((SELECT h.time, h.status FROM iot.device_status_history h
               WHERE h.device_id = d.device_id AND h.time < window_start AND NOT iot_kpi.of_upkeep(h.reason)
               ORDER BY h.time DESC LIMIT 1)
              UNION ALL
              SELECT h.time, h.status FROM iot.device_status_history h
              WHERE h.device_id = d.device_id AND h.time >= window_start AND h.time < window_end
                AND NOT iot_kpi.of_upkeep(h.reason)) AS s
    ) AS sampled_status ON true
    LEFT JOIN LATERAL (
        SELECT h.status FROM iot.device_status_history h
        WHERE h.device_id = d.device_id AND h.time <= as_of AND NOT iot_kpi.of_upkeep(h.reason)
          AND (d.status_ttl IS NULL OR h.time > as_of - d.status_ttl)
        ORDER BY h.time DESC LIMIT 1
    ) AS said ON true
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
END $$;

CREATE OR REPLACE FUNCTION iot_kpi.device_kpis(during tstzrange, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (
    device_id text, name text, device_type text, location text, status text, live boolean, never_seen boolean,
    last_measured timestamptz, last_received timestamptz,
    up_time interval, down_time interval, unknown_time interval, excluded_time interval,
    uptime double precision, availability double precision,
    failures bigint, mtbf interval, mttr interval, longest_outage interval,
    completeness double precision, regularity double precision, stability double precision, consistency double precision,
    jitter double precision, missed_beats bigint,
    response_count bigint, response_mean double precision, response_p50 double precision, response_p90 double precision,
    response_p95 double precision, response_p99 double precision, apdex double precision,
    attempts bigint, failed bigint, error_rate double precision, error_rate_low double precision,
    error_rate_high double precision, bytes_per_second double precision, messages_per_second double precision
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, e.name, e.device_type, e.location, e.status, e.live, e.never_seen, e.last_measured, e.last_received,
       
       coalesce(r.up_time, '0'), coalesce(r.down_time, '0'), coalesce(r.unknown_time, '0'), coalesce(r.excluded_time, '0'),
       r.uptime, r.availability, coalesce(r.failures, 0), r.mtbf, r.mttr, r.longest_outage,
       r.completeness, r.regularity, r.stability, r.consistency, r.jitter, coalesce(r.missed_beats, 0),
       coalesce(r.response_count, 0), r.response_mean, r.response_p50, r.response_p90, r.response_p95, r.response_p99,
       r.apdex, coalesce(r.attempts, 0), coalesce(r.failed, 0), r.error_rate, r.error_rate_low, r.error_rate_high,
       r.bytes_per_second, r.messages_per_second
FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e
LEFT JOIN LATERAL iot_kpi.device_report(e.dossier) AS r ON true
ORDER BY e.device_id;
END;

CREATE OR REPLACE FUNCTION iot_kpi.group_kpis(
    during tstzrange, group_by text, device_ids text[], as_of timestamptz, edges timestamptz[] DEFAULT NULL
) RETURNS TABLE (
    slot integer, slot_start timestamptz, group_value text, devices bigint, required bigint, live bigint,
    device_availability double precision, mean_uptime double precision, pooled_uptime double precision,
    availability double precision, completeness double precision, regularity double precision, stability double precision,
    consistency double precision, jitter double precision, missed_beats bigint,
    up_time interval, down_time interval, unknown_time interval, excluded_time interval,
    failures bigint, mtbf interval, mttr interval, longest_outage interval,
    responses iot_kpi.response_sketch, apdex double precision, attempts bigint, failed bigint,
    bytes_per_second double precision, messages_per_second double precision
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT r.slot, min(r.slot_start), g.value, count(*),
       count(*) FILTER (WHERE at.required), count(*) FILTER (WHERE at.live AND at.required),
       count(*) FILTER (WHERE at.live AND at.required)::float8 / nullif(count(*) FILTER (WHERE at.required), 0),
       
       avg(r.uptime ORDER BY e.device_id),
       (extract(epoch FROM sum(r.up_time)) / nullif(extract(epoch FROM sum(r.up_time + r.down_time)), 0))::float8,
       (extract(epoch FROM sum(r.status_up_time))
           / nullif(extract(epoch FROM sum(r.status_up_time + r.status_down_time)), 0))::float8,
       avg(r.completeness ORDER BY e.device_id), avg(r.regularity ORDER BY e.device_id),
       avg(r.stability ORDER BY e.device_id), avg(r.consistency ORDER BY e.device_id), avg(r.jitter ORDER BY e.device_id),
       coalesce(sum(r.missed_beats), 0)::bigint,
       coalesce(sum(r.up_time), '0'), coalesce(sum(r.down_time), '0'), coalesce(sum(r.unknown_time), '0'),
       coalesce(sum(r.excluded_time), '0'),
       coalesce(sum(r.failures), 0)::bigint, sum(r.up_time) / nullif(sum(r.failures), 0)::float8,
       sum(r.down_time) / nullif(sum(r.failures), 0)::float8, max(r.longest_outage),
       iot_kpi.rollup(r.responses),
       (sum(r.satisfied) + sum(r.tolerating) / 2.0)::float8 / nullif(sum(r.communications), 0)::float8,
       coalesce(sum(r.attempts), 0)::bigint, coalesce(sum(r.failed), 0)::bigint,
       sum(r.bytes_per_second ORDER BY e.device_id), sum(r.messages_per_second ORDER BY e.device_id)
FROM iot_kpi.evidence_of(during, device_ids, as_of, edges) AS e
LEFT JOIN LATERAL iot_kpi.device_report(e.dossier) AS r ON true

CROSS JOIN LATERAL (SELECT CASE WHEN edges IS NULL THEN e.live ELSE r.live END,
                           CASE WHEN edges IS NULL THEN e.required ELSE r.required END) AS at (live, required)
CROSS JOIN LATERAL (SELECT CASE group_by WHEN 'device_type' THEN e.device_type WHEN 'location' THEN e.location
                                         ELSE e.metadata ->> group_by END) AS g (value)

WHERE iot_kpi.check_group(group_by) AND (device_ids IS NOT NULL OR NOT e.observes)
GROUP BY g.value, r.slot;
END;

CREATE OR REPLACE FUNCTION iot_kpi.fleet_kpis(
    during tstzrange, group_by text DEFAULT NULL, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE (
    group_value text, devices bigint, required bigint, live bigint, device_availability double precision,
    mean_uptime double precision, pooled_uptime double precision, availability double precision,
    consistency double precision, failures bigint, mtbf interval, mttr interval, longest_outage interval,
    response_count bigint, response_mean double precision, response_p50 double precision, response_p90 double precision,
    response_p95 double precision, response_p99 double precision, apdex double precision,
    attempts bigint, failed bigint, error_rate double precision, error_rate_low double precision,
    error_rate_high double precision, bytes_per_second double precision, messages_per_second double precision
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT g.group_value, g.devices, g.required, g.live, g.device_availability, g.mean_uptime, g.pooled_uptime, g.availability,
       g.consistency, g.failures, g.mtbf, g.mttr, g.longest_outage,
       coalesce(iot_kpi.count(g.responses), 0), iot_kpi.mean(g.responses), iot_kpi.percentile(g.responses, 0.5),
       iot_kpi.percentile(g.responses, 0.9), iot_kpi.percentile(g.responses, 0.95), iot_kpi.percentile(g.responses, 0.99),
       g.apdex, g.attempts, g.failed, iot_kpi.error_rate(g.failed, g.attempts), i.low, i.high,
       g.bytes_per_second, g.messages_per_second
FROM iot_kpi.group_kpis(during, group_by, device_ids, as_of) AS g,
     LATERAL iot_kpi.wilson_interval(g.failed, g.attempts) AS i
ORDER BY g.group_value;
END;

CREATE OR REPLACE FUNCTION iot_kpi.kpi_names() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC
SELECT ARRAY['uptime', 'availability', 'device_availability', 'mean_uptime', 'pooled_uptime', 'live', 'up_time', 'down_time',
             'unknown_time', 'excluded_time', 'failures', 'mtbf', 'mttr', 'longest_outage', 'completeness', 'regularity',
             'stability', 'consistency', 'jitter', 'missed_beats', 'response_count', 'response_mean', 'response_p50',
             'response_p90', 'response_p95', 'response_p99', 'apdex', 'attempts', 'failed', 'error_rate', 'error_rate_low',
             'error_rate_high', 'bytes_per_second', 'messages_per_second'];
END;

CREATE OR REPLACE FUNCTION iot_kpi.seconds(duration interval) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE BEGIN ATOMIC
SELECT extract(epoch FROM duration)::float8;
END;

CREATE OR REPLACE FUNCTION iot_kpi.device_series(
    kpi text, during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[]
) RETURNS TABLE ("time" timestamptz, series text, value double precision)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT r.slot_start, e.device_id,
       CASE kpi
           WHEN 'uptime' THEN r.uptime
           WHEN 'mean_uptime' THEN r.uptime
           WHEN 'pooled_uptime' THEN r.uptime
           WHEN 'availability' THEN r.availability
           WHEN 'device_availability' THEN CASE WHEN r.required THEN r.live::int END
           WHEN 'live' THEN r.live::int
           WHEN 'up_time' THEN iot_kpi.seconds(r.up_time)
           WHEN 'down_time' THEN iot_kpi.seconds(r.down_time)
           WHEN 'unknown_time' THEN iot_kpi.seconds(r.unknown_time)
           WHEN 'excluded_time' THEN iot_kpi.seconds(r.excluded_time)
           WHEN 'failures' THEN r.failures
           WHEN 'mtbf' THEN iot_kpi.seconds(r.mtbf)
           WHEN 'mttr' THEN iot_kpi.seconds(r.mttr)
           WHEN 'longest_outage' THEN iot_kpi.seconds(r.longest_outage)
           WHEN 'completeness' THEN r.completeness
           WHEN 'regularity' THEN r.regularity
           WHEN 'stability' THEN r.stability
           WHEN 'consistency' THEN r.consistency
           WHEN 'jitter' THEN r.jitter
           WHEN 'missed_beats' THEN r.missed_beats
           WHEN 'response_count' THEN r.response_count
           WHEN 'response_mean' THEN r.response_mean
           WHEN 'response_p50' THEN r.response_p50
           WHEN 'response_p90' THEN r.response_p90
           WHEN 'response_p95' THEN r.response_p95
           WHEN 'response_p99' THEN r.response_p99
           WHEN 'apdex' THEN r.apdex
           WHEN 'attempts' THEN r.attempts
           WHEN 'failed' THEN r.failed
           WHEN 'error_rate' THEN r.error_rate
           WHEN 'error_rate_low' THEN r.error_rate_low
           WHEN 'error_rate_high' THEN r.error_rate_high
           WHEN 'bytes_per_second' THEN r.bytes_per_second
           WHEN 'messages_per_second' THEN r.messages_per_second
       END::float8
FROM iot_kpi.evidence_of(during, device_ids, as_of, edges) AS e,
     LATERAL iot_kpi.device_report(e.dossier) AS r;
END;

CREATE OR REPLACE FUNCTION iot_kpi.group_series(
    kpi text, during tstzrange, group_by text, device_ids text[], as_of timestamptz, edges timestamptz[]
) RETURNS TABLE ("time" timestamptz, series text, value double precision)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT g.slot_start, g.group_value,
       CASE kpi
           WHEN 'uptime' THEN g.pooled_uptime
           WHEN 'mean_uptime' THEN g.mean_uptime
           WHEN 'pooled_uptime' THEN g.pooled_uptime
           WHEN 'availability' THEN g.availability
           WHEN 'device_availability' THEN g.device_availability
           WHEN 'live' THEN g.live
           WHEN 'up_time' THEN iot_kpi.seconds(g.up_time)
           WHEN 'down_time' THEN iot_kpi.seconds(g.down_time)
           WHEN 'unknown_time' THEN iot_kpi.seconds(g.unknown_time)
           WHEN 'excluded_time' THEN iot_kpi.seconds(g.excluded_time)
           WHEN 'failures' THEN g.failures
           WHEN 'mtbf' THEN iot_kpi.seconds(g.mtbf)
           WHEN 'mttr' THEN iot_kpi.seconds(g.mttr)
           WHEN 'longest_outage' THEN iot_kpi.seconds(g.longest_outage)
           WHEN 'completeness' THEN g.completeness
           WHEN 'regularity' THEN g.regularity
           WHEN 'stability' THEN g.stability
           WHEN 'consistency' THEN g.consistency
           WHEN 'jitter' THEN g.jitter
           WHEN 'missed_beats' THEN g.missed_beats
           WHEN 'response_count' THEN iot_kpi.count(g.responses)
           WHEN 'response_mean' THEN iot_kpi.mean(g.responses)
           WHEN 'response_p50' THEN iot_kpi.percentile(g.responses, 0.5)
           WHEN 'response_p90' THEN iot_kpi.percentile(g.responses, 0.9)
           WHEN 'response_p95' THEN iot_kpi.percentile(g.responses, 0.95)
           WHEN 'response_p99' THEN iot_kpi.percentile(g.responses, 0.99)
           WHEN 'apdex' THEN g.apdex
           WHEN 'attempts' THEN g.attempts
           WHEN 'failed' THEN g.failed
           WHEN 'error_rate' THEN iot_kpi.error_rate(g.failed, g.attempts)
           WHEN 'error_rate_low' THEN (SELECT i.low FROM iot_kpi.wilson_interval(g.failed, g.attempts) AS i)
           WHEN 'error_rate_high' THEN (SELECT i.high FROM iot_kpi.wilson_interval(g.failed, g.attempts) AS i)
           WHEN 'bytes_per_second' THEN g.bytes_per_second
           WHEN 'messages_per_second' THEN g.messages_per_second
       END::float8
FROM iot_kpi.group_kpis(during, group_by, device_ids, as_of, edges) AS g
WHERE g.slot IS NOT NULL;
END;

CREATE OR REPLACE FUNCTION iot_kpi.status_periods(during tstzrange, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (device_id text, started_at timestamptz, ended_at timestamptz, status text)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, p.started_at, p.ended_at, p.status
FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e, LATERAL iot_kpi.device_periods(e.dossier) AS p
ORDER BY e.device_id, p.started_at;
END;

CREATE OR REPLACE FUNCTION iot_kpi.outages(
    during tstzrange, min_outage interval DEFAULT '0', device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE (
    device_id text, started_at timestamptz, ended_at timestamptz, duration interval, ongoing boolean, began_before boolean,
    last_beat timestamptz
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, o.started_at, o.ended_at, o.duration, o.ongoing, o.began_before,
       
       coalesce(o.last_beat, iot_kpi.beat_before(e.device_id, o.started_at))
FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e, LATERAL iot_kpi.device_outages(e.dossier, min_outage) AS o
ORDER BY e.device_id, o.started_at;
END;

CREATE OR REPLACE FUNCTION iot_kpi.metric_before(
    metric text, before timestamptz, device_ids text[] DEFAULT NULL, look_back interval DEFAULT '1 day'
) RETURNS TABLE ("time" timestamptz, device_id text, value double precision)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    wanted constant text := iot_kpi.check_metric(metric);
    earliest timestamptz;
BEGIN
    IF before IS NULL OR NOT isfinite(before) THEN
        RAISE EXCEPTION 'before must be an instant, not %', coalesce(before::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the start of the window whose line is drawn.';
    END IF;
    IF look_back IS NULL OR look_back <= '0' OR look_back > '3660 days'
       OR date_part('year', look_back) <> 0 OR date_part('month', look_back) <> 0 THEN
        RAISE EXCEPTION 'look_back must be above zero, at most 3660 days and without months, not %', coalesce(look_back::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write it as interval ''1 day''.';
    END IF;
    PERFORM iot_kpi.check_devices(device_ids);
    earliest := before - look_back;
    -- A probe of the key for each device, in the partitions of that time alone.
    RETURN QUERY
    SELECT s.time, d.device_id, s.value
    FROM iot.devices d
    CROSS JOIN LATERAL (
        SELECT m.time, m.value FROM iot.device_metrics m
        WHERE m.device_id = d.device_id AND m.metric = wanted AND m.time >= earliest AND m.time < before
        ORDER BY m.time DESC LIMIT 1) AS s
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids)
    ORDER BY d.device_id;
END $$;
COMMENT ON FUNCTION iot_kpi.metric_before(text, timestamptz, text[], interval) IS
    'each device''s last sample of a metric before an instant and not older than look_back: where a line that is drawn from there on begins';

CREATE OR REPLACE FUNCTION iot_kpi.objective_ratio(up_time interval, down_time interval) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE BEGIN ATOMIC
SELECT (extract(epoch FROM up_time) / nullif(extract(epoch FROM up_time + down_time), 0))::float8;
END;

CREATE OR REPLACE FUNCTION iot_kpi.burn_rate_policies()
RETURNS TABLE (severity text, threshold double precision, long_window interval, short_window interval)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3 BEGIN ATOMIC
VALUES ('page', 14.4::float8, interval '1 hour', interval '5 minutes'),
       ('page', 6::float8, interval '6 hours', interval '30 minutes'),
       ('ticket', 1::float8, interval '72 hours', interval '6 hours');
END;

CREATE OR REPLACE FUNCTION iot_kpi.burn_over(
    kpi text, scope_kind text, scope_value text, objective double precision, look_back interval, device_ids text[],
    as_of timestamptz
) RETURNS TABLE (rate double precision, seen boolean)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT iot_kpi.burn_rate(iot_kpi.objective_ratio(t.up_time, t.down_time), objective),
       t.up_time + t.down_time > interval '0' AND t.unknown_time <= t.up_time + t.down_time
FROM iot_kpi.objective_time(kpi, scope_kind, scope_value, tstzrange(as_of - look_back, as_of), device_ids, as_of) AS t;
END;

CREATE OR REPLACE FUNCTION iot_kpi.calculate_period(device_ids text[], grain text, edges timestamptz[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wanted_grain constant text := grain;
    written bigint;
BEGIN
    INSERT INTO iot.kpi_calculations AS k (
        device_id, period, grain, stale, calculated_at, up_time, down_time, unknown_time, excluded_time, uptime, availability,
        failures, mtbf, mttr, longest_outage, completeness, regularity, stability, consistency, jitter, missed_beats,
        response_count, response_mean, response_p50, response_p90, response_p95, response_p99, apdex, attempts, failed,
        error_rate, error_rate_low, error_rate_high, bytes_per_second, messages_per_second, expected_interval, liveness,
        parts, summary)
    SELECT e.device_id, tstzrange(r.slot_start, r.slot_end), wanted_grain, false, clock_timestamp(),
           r.up_time, r.down_time, r.unknown_time, r.excluded_time, r.uptime, r.availability,
           r.failures, r.mtbf, r.mttr, r.longest_outage, r.completeness, r.regularity, r.stability, r.consistency, r.jitter,
           r.missed_beats, r.response_count, r.response_mean, r.response_p50, r.response_p90, r.response_p95, r.response_p99,
           r.apdex, r.attempts, r.failed, r.error_rate, r.error_rate_low, r.error_rate_high, r.bytes_per_second,
           r.messages_per_second, (e.dossier).expected_interval, by.liveness, iot_kpi.evidence_send(p.part),
           -- Of an hour, the beats are as few bytes as what they amount to.
           CASE WHEN wanted_grain = 'day' THEN
               iot_kpi.evidence_send(iot_kpi.evidence_summary(p.part, (e.dossier).expected_interval, by.liveness)) END
    -- A day that is calculated is missing or stale, so its beats come from hours and rows: only fresh days are read as runs.
    FROM iot_kpi.evidence_of(tstzrange(edges[1], edges[cardinality(edges)]), device_ids, edges[cardinality(edges)], edges) AS e
    CROSS JOIN LATERAL (SELECT coalesce((e.dossier).liveness, (e.dossier).expected_interval * 3)) AS by (liveness)
    CROSS JOIN LATERAL iot_kpi.device_report(e.dossier) AS r
    CROSS JOIN LATERAL iot_kpi.evidence_parts(coalesce((e.dossier).evidence, iot_kpi.no_evidence(edges))) AS p
    WHERE p.slot = r.slot
    ORDER BY e.device_id, r.slot
    ON CONFLICT (device_id, grain, period) DO UPDATE SET
        stale = false, calculated_at = excluded.calculated_at, up_time = excluded.up_time, down_time = excluded.down_time,
        unknown_time = excluded.unknown_time, excluded_time = excluded.excluded_time, uptime = excluded.uptime,
        availability = excluded.availability, failures = excluded.failures, mtbf = excluded.mtbf, mttr = excluded.mttr,
        longest_outage = excluded.longest_outage, completeness = excluded.completeness, regularity = excluded.regularity,
        stability = excluded.stability, consistency = excluded.consistency, jitter = excluded.jitter,
        missed_beats = excluded.missed_beats, response_count = excluded.response_count,
        response_mean = excluded.response_mean, response_p50 = excluded.response_p50, response_p90 = excluded.response_p90,
        response_p95 = excluded.response_p95, response_p99 = excluded.response_p99, apdex = excluded.apdex,
        attempts = excluded.attempts, failed = excluded.failed, error_rate = excluded.error_rate,
        error_rate_low = excluded.error_rate_low, error_rate_high = excluded.error_rate_high,
        bytes_per_second = excluded.bytes_per_second, messages_per_second = excluded.messages_per_second,
        expected_interval = excluded.expected_interval, liveness = excluded.liveness,
        parts = excluded.parts, summary = excluded.summary
    WHERE k.stale;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END $$;

CREATE OR REPLACE FUNCTION iot_kpi.no_evidence(edges timestamptz[]) RETURNS iot_kpi.evidence
    LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC
SELECT iot_kpi.evidence_agg(NULL, NULL, NULL, NULL, false, edges) FROM (VALUES (1)) AS one;
END;

CREATE OR REPLACE FUNCTION iot_kpi.health()
RETURNS TABLE ("check" text, status text, detail text, remedy text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted constant text := (SELECT d.value FROM iot_kpi.default_settings() d WHERE d.name = 'store_version');
    tables constant text[] := ARRAY['devices', 'device_liveness', 'device_metrics', 'device_status_history', 'kpi_calculations',
                                    'maintenance_windows', 'metric_types', 'settings', 'slo_targets', 'upkeep'];
    installed text;
    available text;
    missing text;
    found integer;
    newest timestamptz;
    newest_received timestamptz;
    stale bigint;
    last_run record;
    last_error record;
    fresh boolean;
    fault text;
BEGIN
    SELECT e.extversion, a.default_version INTO installed, available
    FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname WHERE e.extname = 'pg_iot_kpi';
    RETURN QUERY SELECT 'extension', CASE WHEN installed = available THEN 'ok' ELSE 'warn' END,
        format('version %s, installed files are %s', coalesce(installed, 'unknown'), coalesce(available, 'not to be found')),
        CASE WHEN installed = available THEN NULL ELSE 'ALTER EXTENSION pg_iot_kpi UPDATE; SELECT iot_kpi.create_store();' END;

    SELECT string_agg(t, ', ') INTO missing FROM unnest(tables) t WHERE to_regclass('iot.' || t) IS NULL;
    IF missing IS NOT NULL THEN
        RETURN QUERY SELECT 'store', 'fail', CASE WHEN to_regclass('iot.settings') IS NULL THEN 'there is no store' ELSE 'tables missing in schema iot: ' || missing END,
            'SELECT iot_kpi.create_store();';
        RETURN;
    END IF;

    RETURN QUERY SELECT 'store', CASE WHEN iot_kpi.setting('store_version') = wanted THEN 'ok' ELSE 'fail' END,
        format('version %s, this extension wants %s', iot_kpi.setting('store_version'), wanted),
        CASE WHEN iot_kpi.setting('store_version') = wanted THEN NULL ELSE 'SELECT iot_kpi.create_store();' END;

    -- DROP EXTENSION ... CASCADE takes the triggers and leaves the tables.
    SELECT count(*) INTO found FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
    WHERE g.tgrelid = to_regclass('iot.device_metrics') AND NOT g.tgisinternal AND p.pronamespace = 'iot_kpi'::regnamespace AND g.tgenabled <> 'D';
    RETURN QUERY SELECT 'ingest rules', CASE WHEN found >= 4 THEN 'ok' ELSE 'fail' END,
        format('%s of 4 triggers on iot.device_metrics', found), CASE WHEN found >= 4 THEN NULL ELSE 'SELECT iot_kpi.create_store();' END;

    SELECT count(*) INTO found FROM pg_inherits WHERE inhparent = to_regclass('iot.device_metrics');
    SELECT string_agg(to_char(d.day AT TIME ZONE 'UTC', 'YYYY-MM-DD'), ', ' ORDER BY d.day) INTO missing
    FROM generate_series(date_trunc('day', now(), 'UTC'), now() + iot_kpi.setting('partitions_ahead')::interval, interval '24 hours') d (day)
    WHERE NOT iot_kpi.has_partition(d.day);
    RETURN QUERY SELECT 'partitions',
        CASE WHEN NOT iot_kpi.has_partition(now()) OR NOT iot_kpi.has_partition(now() + interval '1 hour') THEN 'fail' WHEN missing IS NOT NULL THEN 'warn' ELSE 'ok' END,
        format('%s partitions', found) || coalesce(', missing: ' || missing, ', all made that are wanted ahead'),
        CASE WHEN missing IS NULL THEN NULL ELSE 'SELECT iot_kpi.make_partitions(); and have it done regularly' END;

    SELECT max(l.last_measured), max(l.last_received), count(*) INTO newest, newest_received, found FROM iot.device_liveness l;
    RETURN QUERY SELECT 'samples', CASE WHEN newest_received > now() - interval '15 min' THEN 'ok' ELSE 'warn' END,
        CASE WHEN newest IS NULL THEN 'no sample yet'
             ELSE format('%s devices, last measured %s, last received %s ago', found, newest, date_trunc('second', now() - newest_received)) END,
        CASE WHEN newest_received > now() - interval '15 min' THEN NULL ELSE 'Look whether the collector runs and can reach the database.' END;

    SELECT u.finished_at, u.run_by INTO last_run FROM iot.upkeep u WHERE u.step = 'run' AND u.finished_at IS NOT NULL;
    fresh := coalesce(last_run.finished_at > now() - interval '15 min', false);
    SELECT u.step, u.error, u.error_at INTO last_error FROM iot.upkeep u WHERE u.error_at IS NOT NULL ORDER BY u.error_at DESC LIMIT 1;
    fault := iot_kpi.upkeep_fault();

    SELECT count(*) INTO stale FROM iot.kpi_calculations k WHERE k.stale;
    RETURN QUERY SELECT 'calculations', CASE WHEN stale = 0 OR fresh THEN 'ok' ELSE 'warn' END,
        format('%s stale', stale) || coalesce((SELECT ', last calculated ' || max(l.calculated_at) FROM iot.device_liveness l), ', none calculated yet'),
        CASE WHEN stale = 0 OR fresh THEN NULL ELSE 'SELECT iot_kpi.calculate_kpis(during) over the stale periods, or let upkeep do it' END;

    SELECT count(*), min(e.day) INTO found, newest FROM iot_kpi.expired_partitions() e;
    SELECT min(e.day) INTO newest_received FROM iot_kpi.expired_metrics() e;
    RETURN QUERY SELECT 'retention', CASE WHEN found <= 1 AND newest_received IS NULL THEN 'ok' ELSE 'warn' END,
        format('%s expired partitions', found) || coalesce(', the earliest of ' || to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD'), '')
            || coalesce(', metrics expired from ' || to_char(newest_received AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' on', ''),
        CASE WHEN found <= 1 AND newest_received IS NULL THEN NULL
             ELSE 'See that upkeep runs; a report or a session that stays in a transaction keeps partitions from being dropped' END;

    SELECT count(*) FILTER (WHERE t.missed), count(*) FILTER (WHERE t.returned) INTO found, stale FROM iot_kpi.deadlines() t;
    RETURN QUERY SELECT 'deadlines', CASE WHEN iot_kpi.setting('deadlines') = 'off' OR found + stale = 0 OR fresh THEN 'ok' ELSE 'warn' END,
        format('%s missed and %s returns not recorded yet', found, stale)
            || CASE iot_kpi.setting('deadlines') WHEN 'off' THEN ': the setting deadlines is off' ELSE '' END,
        CASE WHEN iot_kpi.setting('deadlines') = 'off' OR found + stale = 0 OR fresh THEN NULL ELSE 'See that upkeep runs' END;

    RETURN QUERY SELECT 'upkeep', CASE WHEN fresh AND fault IS NULL THEN 'ok' ELSE 'warn' END,
        CASE WHEN last_run.finished_at IS NULL THEN 'has never run'
             ELSE format('last run by %s finished %s ago', CASE last_run.run_by WHEN 'worker' THEN 'the background worker' ELSE 'maintain()' END,
                         date_trunc('second', now() - last_run.finished_at)) END
            || CASE WHEN last_error.step IS NULL THEN ', no error'
                    ELSE format(', last error %s ago in %s: %s', date_trunc('second', now() - last_error.error_at), last_error.step, last_error.error) END,
        CASE WHEN fault IS NOT NULL THEN 'Mend what the error says; the step is tried again in every run'
             WHEN NOT fresh THEN 'Preload pg_iot_kpi with iot_kpi.worker = on, or have cron run: CALL iot_kpi.maintain()' END;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 7666211735220613477::bigint;
COMMENT ON FUNCTION iot_kpi.upkeep_lock() IS 'Key of the advisory lock that each transaction of upkeep holds, so that two runs never do the same thing at once';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_partitions(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.make_partitions();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_partitions(jsonb) IS 'Step of upkeep: makes the partitions that are wanted ahead';

CREATE OR REPLACE FUNCTION iot_kpi.try_calculation(day timestamptz, device_ids text[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.calculate_kpis(tstzrange(day, day + interval '24 hours'), device_ids);
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    -- A writer that takes its time. Waiting for it would make all the others wait.
    RETURN false;
END
$$;
COMMENT ON FUNCTION iot_kpi.try_calculation(timestamptz, text[]) IS
    'Calculates what is missing or stale of devices on a UTC day, as far as it is over; returns false where one of them is being written';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_stale(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since constant text := coalesce(place ->> 'from', '');
    until text := place ->> 'to';
    done constant timestamptz := coalesce((place ->> 'day')::timestamptz, '-infinity');
    kept_from constant timestamptz := iot_kpi.kept_from();
    next_day timestamptz;
BEGIN
    IF until IS NULL THEN
        SELECT max(c.device_id) INTO until
        FROM (SELECT DISTINCT k.device_id FROM iot.kpi_calculations k WHERE k.stale AND k.device_id > since
              ORDER BY k.device_id LIMIT iot_kpi.setting('upkeep_batch')::integer) c;
        IF until IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT min(date_trunc('day', lower(k.period), 'UTC')) INTO next_day
    FROM iot.kpi_calculations k
    WHERE k.stale AND k.device_id > since AND k.device_id <= until
      AND lower(k.period) >= greatest(kept_from, done + interval '24 hours') AND upper(k.period) <= now();
    IF next_day IS NULL THEN
        RETURN place - 'to' - 'day' || jsonb_build_object('from', until);
    END IF;
    PERFORM iot_kpi.try_calculation(next_day, (
        SELECT array_agg(DISTINCT k.device_id) FROM iot.kpi_calculations k JOIN iot.devices d ON d.device_id = k.device_id
        WHERE k.stale AND k.device_id > since AND k.device_id <= until
          AND k.period && tstzrange(next_day, next_day + interval '24 hours')));
    RETURN place || jsonb_build_object('to', until, 'day', next_day);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_stale(jsonb) IS 'Part of upkeep_calculations(): a day of some devices whose calculations are stale';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_missing(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    until constant timestamptz := coalesce((place ->> 'until')::timestamptz, date_trunc('hour', now(), 'UTC'));
    -- Yesterday and today. What is missing further back: calculate_kpis(during).
    day constant timestamptz := coalesce((place ->> 'day')::timestamptz, date_trunc('day', until, 'UTC') - interval '24 hours');
    since constant text := coalesce(place ->> 'from', '');
    chosen text[];
    postponed boolean := place ? 'postponed';
BEGIN
    IF until <= (SELECT u.calculated_until FROM iot.upkeep u WHERE u.step = 'calculations') THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT d.device_id FROM iot.devices d WHERE d.device_id > since
          ORDER BY d.device_id LIMIT iot_kpi.setting('upkeep_batch')::integer) c;
    IF chosen IS NOT NULL THEN
        IF NOT iot_kpi.try_calculation(day, chosen) THEN
            place := place || '{"postponed": true}';
        END IF;
        RETURN place || jsonb_build_object('until', until, 'day', day, 'from', chosen[cardinality(chosen)]);
    ELSIF day + interval '24 hours' < until THEN
        RETURN place - 'from' || jsonb_build_object('until', until, 'day', day + interval '24 hours');
    END IF;
    IF NOT postponed THEN
        INSERT INTO iot.upkeep AS u (step, calculated_until) VALUES ('calculations', until)
        ON CONFLICT (step) DO UPDATE SET calculated_until = excluded.calculated_until;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_missing(jsonb) IS
    'Part of upkeep_calculations(): once an hour is over, that hour and what else is missing since yesterday, of some devices';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_calculations(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    further jsonb;
BEGIN
    IF iot_kpi.setting('calculations') = 'off' THEN
        RETURN NULL;
    ELSIF place ->> 'part' IS DISTINCT FROM 'missing' THEN
        further := iot_kpi.upkeep_stale(place);
        RETURN coalesce(further, place - 'from' - 'to' - 'day' || '{"part": "missing"}');
    END IF;
    RETURN iot_kpi.upkeep_missing(place);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_calculations(jsonb) IS 'Step of upkeep: calculates what is stale, then what is missing';

CREATE OR REPLACE FUNCTION iot_kpi.expired_metrics(OUT day timestamptz, OUT metrics text[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT p.first, array_agg(t.metric ORDER BY t.metric) INTO day, metrics
    FROM (SELECT right(c.relname, 8)::date::timestamp AT TIME ZONE 'UTC' AS first
          FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
          WHERE i.inhparent = to_regclass('iot.device_metrics') AND c.relname ~ '^device_metrics_p\d{8}$') p
    JOIN iot.metric_types t ON p.first + interval '24 hours' <= now() - t.retention AND p.first >= coalesce(t.expired_until, '-infinity')
    GROUP BY p.first ORDER BY p.first LIMIT 1;
END
$$;
COMMENT ON FUNCTION iot_kpi.expired_metrics() IS
    'The earliest UTC day that holds samples beyond the retention of their metric, and those metrics; NULL where there is none';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_metrics(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    expired constant record := iot_kpi.expired_metrics();
    since constant text := coalesce(place ->> 'from', '');
    deleting constant boolean := place ? 'deleting';
    chosen text[];
    evidence boolean;
BEGIN
    IF expired.day IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT d.device_id FROM iot.devices d WHERE d.device_id > since
          ORDER BY d.device_id LIMIT iot_kpi.setting('upkeep_batch')::integer) c;
    IF chosen IS NULL AND NOT deleting THEN
        RETURN place - 'from' || '{"deleting": true}';
    ELSIF chosen IS NULL THEN
        UPDATE iot.metric_types t SET expired_until = expired.day + interval '24 hours' WHERE t.metric = ANY (expired.metrics);
        RETURN place - 'from' - 'deleting';
    ELSIF NOT deleting THEN
        -- All devices first, then the samples: a device's calculation also reads its collector's. And the day after, into which the
        -- last beats of this one reach.
        IF iot_kpi.setting('calculations') = 'on'
           AND NOT (iot_kpi.try_calculation(expired.day, chosen) AND iot_kpi.try_calculation(expired.day + interval '24 hours', chosen)) THEN
            RETURN NULL;
        END IF;
    ELSE
        PERFORM set_config('iot_store.quiet', 'on', true);
        WITH deleted AS (
            DELETE FROM iot.device_metrics m
            WHERE m.device_id = ANY (chosen) AND m.metric = ANY (expired.metrics)
              AND m."time" >= expired.day AND m."time" < expired.day + interval '24 hours'
            RETURNING m.device_id, m.metric)
        SELECT bool_or(g.metric IN ('response_time', 'error', 'bytes') OR coalesce(d.heartbeat_metric, g.metric) = g.metric)
        INTO evidence
        FROM (SELECT DISTINCT x.device_id, x.metric FROM deleted x) g JOIN iot.devices d ON d.device_id = g.device_id;
        PERFORM set_config('iot_store.quiet', '', true);
        IF evidence THEN
            UPDATE iot.settings s
            SET value = to_char(greatest(s.value::timestamptz, expired.day + interval '24 hours' + iot_kpi.look_back(NULL)) AT TIME ZONE 'UTC',
                                'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            WHERE s.name = 'evidence_from';
        END IF;
    END IF;
    RETURN place || jsonb_build_object('from', chosen[cardinality(chosen)]);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_metrics(jsonb) IS
    'Part of upkeep_retention(): a day that is beyond the retention of some metrics. Calculated for all devices, then their samples are deleted';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_retention(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expired record;
BEGIN
    IF place ->> 'part' = 'metrics' THEN
        RETURN iot_kpi.upkeep_metrics(place);
    END IF;
    SELECT * INTO expired FROM iot_kpi.expired_partitions() LIMIT 1;
    IF FOUND AND NOT place ? 'in_use' THEN
        BEGIN
            PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
            PERFORM iot_kpi.drop_partition(expired.partition, expired.day);
            RETURN place;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- A long report reads the table. The next run tries again.
            RETURN place || '{"in_use": true}';
        END;
    ELSIF iot_kpi.delete_expired_statuses(iot_kpi.setting('upkeep_batch')::bigint * 100) > 0 THEN
        RETURN place;
    END IF;
    RETURN place || '{"part": "metrics"}';
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_retention(jsonb) IS
    'Step of upkeep: drops an expired partition, then deletes expired status samples, then those of metrics with a retention of their own';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp

SET lock_timeout = '100ms'
AS $$
DECLARE
    steps constant text[] := ARRAY['partitions', 'deadlines', 'calculations', 'retention'];
    step constant text := place ->> 'step';
    run_by constant text := coalesce(place ->> 'by', 'session');
    further jsonb;
    fault text;
BEGIN
    IF step IS NULL OR step <> ALL (steps) THEN
        RAISE EXCEPTION 'upkeep cannot go on from %', place
            USING ERRCODE = 'invalid_parameter_value', HINT = 'CALL iot_kpi.maintain() does all of it.';
    ELSIF NOT iot_kpi.owns_store() THEN
        IF NOT coalesce(has_function_privilege(to_regprocedure('iot.upkeep_as_owner(jsonb)'), 'EXECUTE'), false) THEN
            RAISE EXCEPTION 'role % may not do the upkeep of this store', quote_ident(current_user)
                USING ERRCODE = 'insufficient_privilege',
                      HINT = format('As its owner: SELECT iot_kpi.grant_admin(%L);', current_user);
        END IF;
        RETURN iot.upkeep_as_owner(place);
    ELSIF to_regclass('iot.upkeep') IS NULL THEN
        RAISE EXCEPTION 'the store is of an older version'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Bring it up to date: SELECT iot_kpi.create_store();';
    ELSIF NOT pg_try_advisory_xact_lock(iot_kpi.upkeep_lock()) THEN
        RAISE NOTICE 'another session is at the upkeep of this store';
        RETURN NULL;
    END IF;

    IF NOT place ? 'since' THEN
        INSERT INTO iot.upkeep AS u (step, started_at, run_by) VALUES ('run', now(), run_by)
        ON CONFLICT ON CONSTRAINT upkeep_pkey DO UPDATE SET started_at = excluded.started_at, run_by = excluded.run_by;
    END IF;
    BEGIN
        further := CASE step
            WHEN 'partitions' THEN iot_kpi.upkeep_partitions(place)
            WHEN 'deadlines' THEN iot_kpi.upkeep_deadlines(place)
            WHEN 'calculations' THEN iot_kpi.upkeep_calculations(place)
            WHEN 'retention' THEN iot_kpi.upkeep_retention(place)
        END;
    EXCEPTION WHEN OTHERS THEN
        -- A step that fails hides none of the others.
        fault := format('%s (%s)', SQLERRM, SQLSTATE);
        RAISE WARNING 'upkeep: % failed: %', step, fault;
    END;
    IF further IS NOT NULL THEN
        RETURN further || jsonb_build_object('since', coalesce(place ->> 'since', now()::text));
    END IF;

    INSERT INTO iot.upkeep AS u (step, finished_at, run_by, error, error_at)
    VALUES (step, CASE WHEN fault IS NULL THEN clock_timestamp() END, run_by, fault, CASE WHEN fault IS NOT NULL THEN clock_timestamp() END)
    ON CONFLICT ON CONSTRAINT upkeep_pkey DO UPDATE
        SET finished_at = coalesce(excluded.finished_at, u.finished_at), run_by = excluded.run_by,
            error = coalesce(excluded.error, u.error), error_at = coalesce(excluded.error_at, u.error_at);
    IF step <> steps[cardinality(steps)] THEN
        RETURN jsonb_build_object('step', steps[array_position(steps, step) + 1], 'by', run_by, 'since', coalesce(place ->> 'since', now()::text));
    END IF;
    UPDATE iot.upkeep u SET finished_at = clock_timestamp() WHERE u.step = 'run';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep(jsonb) IS
    'One small transaction of upkeep: does a piece of the step that the place names, and returns the place to go on from, NULL at the end. An error is noted in iot.upkeep, and the next step goes on';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_fault() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT string_agg(format('%s: %s', u.step, u.error), '; ' ORDER BY u.error_at)
            FROM iot.upkeep u JOIN iot.upkeep r ON r.step = 'run' AND u.error_at >= r.started_at);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_fault() IS 'What went wrong in the last run of upkeep; NULL where nothing did';

CREATE OR REPLACE PROCEDURE iot_kpi.maintain()
    
    LANGUAGE plpgsql AS $$
DECLARE
    place pg_catalog.jsonb := '{"step": "partitions", "by": "session"}';
    fault pg_catalog.text;
BEGIN
    PERFORM iot_kpi.require_store();
    WHILE place IS NOT NULL LOOP
        place := iot_kpi.upkeep(place);
        COMMIT;
    END LOOP;
    fault := iot_kpi.upkeep_fault();
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'upkeep is not complete: %', fault
            USING HINT = 'All other steps are done. SELECT * FROM iot_kpi.health();';
    END IF;
END $$;
COMMENT ON PROCEDURE iot_kpi.maintain() IS
    'Upkeep, for cron: partitions ahead, missed deadlines, calculations, retention, in small transactions. What the background worker does';

CREATE OR REPLACE FUNCTION iot_kpi.deadlines() RETURNS TABLE (
    device_id text, last_beat timestamptz, liveness interval, deadline timestamptz, silent_since timestamptz,
    missed boolean, returned boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT d.device_id, l.last_beat, alive.length, due.deadline, l.silent_since,
           due.deadline <= now() AND l.silent_since IS NULL
               AND (d.commissioned_at IS NULL OR d.commissioned_at <= now())
               AND (d.decommissioned_at IS NULL OR d.decommissioned_at > now())
               -- While nobody looks, nobody knows.
               AND (d.collector_id IS NULL OR coalesce(c.last_beat + make_interval(secs => extract(
                       epoch FROM coalesce(o.liveness, o.expected_interval * 3))::float8) > now(), false))
               AND NOT EXISTS (SELECT FROM iot.maintenance_windows w
                               WHERE (w.device_id = d.device_id OR w.device_id IS NULL) AND w.period @> now()),
           coalesce(due.deadline > l.silent_since, false)
    FROM iot.devices d
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
    LEFT JOIN iot.devices o ON o.device_id = d.collector_id
    LEFT JOIN iot.device_liveness c ON c.device_id = d.collector_id
    -- Seconds, not days: a day of an interval is 23 or 25 hours long where clocks change.
    CROSS JOIN LATERAL (SELECT make_interval(secs => extract(epoch FROM coalesce(d.liveness, d.expected_interval * 3))::float8)) AS alive (length)
    -- One that was never seen has its time from when it went into service.
    CROSS JOIN LATERAL (SELECT coalesce(greatest(l.last_beat, d.commissioned_at), d.created_at) + alive.length) AS due (deadline);
END
$$;
COMMENT ON FUNCTION iot_kpi.deadlines() IS
    'By when each device has to report, whether it has missed that and upkeep has not recorded it yet, and whether one recorded as silent has reported since';

CREATE OR REPLACE FUNCTION iot_kpi.announce(events jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Anybody may listen: where not everybody may see every device, only that something happened is told.
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = to_regclass('iot.devices')) THEN
        events := jsonb_build_array(jsonb_build_object('event', 'changed', 'devices', jsonb_array_length(events), 'at', clock_timestamp()));
    END IF;
    -- An id has at most 255 characters, of at most six bytes each in JSON: far below the 8000 bytes of a payload.
    PERFORM pg_notify('iot_kpi_deadlines', e::text) FROM jsonb_array_elements(events) e;
END
$$;
COMMENT ON FUNCTION iot_kpi.announce(jsonb) IS 'NOTIFY iot_kpi_deadlines, a payload for each event';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_deadlines(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since constant text := coalesce(place ->> 'from', '');
    chosen text[];
    free text[];
    events jsonb;
BEGIN
    IF iot_kpi.setting('deadlines') = 'off' THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT t.device_id FROM iot_kpi.deadlines() t WHERE (t.missed OR t.returned) AND t.device_id > since COLLATE "C"
          ORDER BY t.device_id COLLATE "C" LIMIT iot_kpi.setting('upkeep_batch')::integer) c;
    IF chosen IS NULL THEN
        RETURN NULL;
    END IF;
    -- The row is the lock between writers and upkeep too. One whose row is taken is being written, and has its turn in the next run.
    INSERT INTO iot.device_liveness (device_id) SELECT u.id FROM unnest(chosen) u (id) WHERE NOT EXISTS (
        SELECT FROM iot.device_liveness l WHERE l.device_id = u.id) ON CONFLICT DO NOTHING;
    SELECT array_agg(l.device_id) INTO free
    FROM (SELECT x.device_id FROM iot.device_liveness x WHERE x.device_id = ANY (chosen) ORDER BY x.device_id
          FOR NO KEY UPDATE SKIP LOCKED) l;

    -- Looked at again, now that nobody can write them.
    PERFORM set_config('iot_store.quiet', 'on', true);
    WITH judged AS MATERIALIZED (
        SELECT t.*,
               -- A microsecond later: at the very instant there may be a sample of the device's own.
               CASE WHEN t.missed THEN t.deadline ELSE greatest(t.silent_since + interval '1 microsecond', (
                   SELECT min(m."time") FROM iot.device_metrics m JOIN iot.devices d ON d.device_id = t.device_id
                   WHERE m.device_id = t.device_id AND m."time" > t.silent_since - t.liveness
                     AND (d.heartbeat_metric IS NULL OR m.metric = d.heartbeat_metric))) END + interval '1 microsecond' AS "time"
        FROM iot_kpi.deadlines() t
        WHERE t.device_id = ANY (free) AND (t.missed OR t.returned)
    ), noted AS (
        UPDATE iot.device_liveness l SET silent_since = CASE WHEN j.missed THEN j.deadline END
        FROM judged j WHERE l.device_id = j.device_id
    ), told AS (
        INSERT INTO iot.device_status_history (device_id, "time", status, reason)
        SELECT j.device_id, j."time", CASE WHEN j.missed THEN 'offline' ELSE 'online' END,
               CASE WHEN NOT j.missed THEN 'iot_kpi: reports again'
                    WHEN j.last_beat IS NULL THEN format('iot_kpi: deadline missed, never seen within %s', j.liveness)
                    ELSE format('iot_kpi: deadline missed, no beat for %s since %s', j.liveness, j.last_beat) END
        FROM judged j
        -- In service anew, but no sign of it yet: neither the one nor the other.
        WHERE j.missed OR j.last_beat + j.liveness > j.silent_since
        ON CONFLICT DO NOTHING
    )
    SELECT jsonb_agg(jsonb_build_object('event', CASE WHEN j.missed THEN 'offline' ELSE 'online' END, 'device_id', j.device_id,
                                        'time', j."time", 'last_beat', j.last_beat, 'liveness', j.liveness::text) ORDER BY j.device_id)
    INTO events
    FROM judged j WHERE j.missed OR j.last_beat + j.liveness > j.silent_since;
    PERFORM set_config('iot_store.quiet', '', true);
    PERFORM iot_kpi.announce(events);
    RETURN place || jsonb_build_object('from', chosen[cardinality(chosen)]);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_deadlines(jsonb) IS
    'Step of upkeep: records missed deadlines, and returns from silence, of some devices in iot.device_status_history, and announces them';

CREATE OR REPLACE FUNCTION iot_kpi.create_store_deputies() RETURNS void
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

    CREATE OR REPLACE FUNCTION iot.mark_stale_as_owner(device_ids text[], firsts timestamptz[], lasts timestamptz[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $body$
    BEGIN
        PERFORM iot_kpi.mark_rows_stale(device_ids, firsts, lasts);
    END
    $body$;
    COMMENT ON FUNCTION iot.mark_stale_as_owner(text[], timestamptz[], timestamptz[]) IS
        'Marks calculations stale for a writer who may not see all devices; called by iot_kpi.mark_stale()';

    CREATE OR REPLACE FUNCTION iot.upkeep_as_owner(place jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $body$
    BEGIN
        RETURN iot_kpi.upkeep(place);
    END
    $body$;
    COMMENT ON FUNCTION iot.upkeep_as_owner(jsonb) IS 'A piece of upkeep for an administrator of the store; called by iot_kpi.upkeep()';

    REVOKE ALL ON FUNCTION iot.make_partition_as_owner(timestamptz), iot.mark_stale_as_owner(text[], timestamptz[], timestamptz[]),
        iot.upkeep_as_owner(jsonb) FROM PUBLIC;

    -- All in one hand: when a superuser brings somebody's store up to date, what is new is that somebody's.
    FOR item IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                WHERE p.pronamespace = 'iot'::regnamespace AND p.prosecdef AND p.proowner <> iot_kpi.store_owner()
                  AND p.proname IN ('make_partition_as_owner', 'mark_stale_as_owner', 'upkeep_as_owner')
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', item.name, owner);
    END LOOP;
    FOR item IN SELECT c.oid::regclass AS name FROM pg_class c
                WHERE c.relnamespace = 'iot'::regnamespace AND c.relname = 'upkeep' AND c.relowner <> iot_kpi.store_owner()
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', item.name, owner);
    END LOOP;
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_deputies() IS
    'Step of create_store(): the functions that do for other roles what only the owner of the store can';

CREATE OR REPLACE FUNCTION iot_kpi.check_grant(role text) RETURNS void
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

CREATE OR REPLACE FUNCTION iot_kpi.rights(level text) RETURNS TABLE (privilege text, object text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.privilege, r.object
    FROM (VALUES
        (1, 'SELECT', 'TABLE iot.settings, iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history, iot.device_liveness, '
            'iot.maintenance_windows, iot.slo_targets, iot.kpi_calculations, iot.upkeep'),
        (2, 'INSERT', 'TABLE iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history, iot.device_liveness'),
        (2, 'UPDATE', 'TABLE iot.devices, iot.device_status_history, iot.device_liveness'),
        (2, 'UPDATE (stale)', 'TABLE iot.kpi_calculations'),
        (2, 'EXECUTE', 'FUNCTION iot.make_partition_as_owner(timestamptz), iot.mark_stale_as_owner(text[], timestamptz[], timestamptz[])'),
        (3, 'INSERT, UPDATE, DELETE', 'TABLE iot.settings, iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history, '
            'iot.device_liveness, iot.maintenance_windows, iot.slo_targets, iot.kpi_calculations'),
        (3, 'EXECUTE', 'FUNCTION iot.upkeep_as_owner(jsonb)')) AS r (needed, privilege, object)
    WHERE r.needed <= CASE level WHEN 'reader' THEN 1 WHEN 'writer' THEN 2 WHEN 'admin' THEN 3 END;
END;
COMMENT ON FUNCTION iot_kpi.rights(text) IS 'What a reader, a writer or an admin of the store is granted; each has what the one before has';

CREATE OR REPLACE FUNCTION iot_kpi.grant_rights(level text, role text) RETURNS void
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

CREATE OR REPLACE FUNCTION iot_kpi.revoke_rights(level text, role text) RETURNS void
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

CREATE OR REPLACE FUNCTION iot_kpi.grant_reader(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.grant_rights('reader', role); END $$;
COMMENT ON FUNCTION iot_kpi.grant_reader(text) IS 'Lets a role call every report and read every table of the store, and change nothing';

CREATE OR REPLACE FUNCTION iot_kpi.grant_writer(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.grant_rights('writer', role); END $$;
COMMENT ON FUNCTION iot_kpi.grant_writer(text) IS
    'Lets a role write samples by both doors and register devices and metrics, partitions being made where they are missing; and what a reader may';

CREATE OR REPLACE FUNCTION iot_kpi.grant_admin(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.grant_rights('admin', role); END $$;
COMMENT ON FUNCTION iot_kpi.grant_admin(text) IS
    'Lets a role change and delete rows of every table, calculate KPIs and do the upkeep; and what a writer may. The tables stay their owner''s';

CREATE OR REPLACE FUNCTION iot_kpi.revoke_reader(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.revoke_rights('reader', role); END $$;
COMMENT ON FUNCTION iot_kpi.revoke_reader(text) IS 'Takes back all that grant_reader() gives';

CREATE OR REPLACE FUNCTION iot_kpi.revoke_writer(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.revoke_rights('writer', role); END $$;
COMMENT ON FUNCTION iot_kpi.revoke_writer(text) IS 'Takes back all that grant_writer() gives, reading included';

CREATE OR REPLACE FUNCTION iot_kpi.revoke_admin(role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM iot_kpi.revoke_rights('admin', role); END $$;
COMMENT ON FUNCTION iot_kpi.revoke_admin(text) IS 'Takes back all that grant_admin() gives, reading and writing included';

CREATE OR REPLACE FUNCTION iot_kpi.row_policies() RETURNS TABLE (relation text, name text, rule text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.relation, p.name, p.rule
    FROM (VALUES
        ('device_metrics', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        ('device_status_history', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        ('device_liveness', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        
        ('kpi_calculations', 'iot_kpi_devices', 'FOR SELECT USING (%1$s)'),
        ('maintenance_windows', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        ('maintenance_windows', 'iot_kpi_of_all', 'FOR SELECT USING (device_id IS NULL)'),
        ('slo_targets', 'iot_kpi_devices', 'FOR ALL USING (scope_kind = ''device'' AND scope_value IN (SELECT d.device_id FROM iot.devices d))'),
        ('slo_targets', 'iot_kpi_of_all', 'FOR SELECT USING (scope_kind <> ''device'')')) AS p (relation, name, rule);
END;
COMMENT ON FUNCTION iot_kpi.row_policies() IS 'The policies by which the tables of the store follow iot.devices; %1$s stands for "a device that can be seen"';

CREATE OR REPLACE FUNCTION iot_kpi.enable_row_security() RETURNS void
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
    ALTER TABLE iot.devices ENABLE ROW LEVEL SECURITY;
END
$$;
COMMENT ON FUNCTION iot_kpi.enable_row_security() IS
    'Row-level security: a role sees and writes, in every table and report, the devices that policies on iot.devices show it; without such a policy none. The owner sees all';

CREATE OR REPLACE FUNCTION iot_kpi.disable_row_security() RETURNS void
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
END
$$;
COMMENT ON FUNCTION iot_kpi.disable_row_security() IS
    'Takes back what enable_row_security() did; the policies on iot.devices stay, without effect';
