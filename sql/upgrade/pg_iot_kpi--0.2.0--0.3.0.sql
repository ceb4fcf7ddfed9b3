-- From 0.2.0 to 0.3.0. Above the line below stands what is written by hand, which runs first; `make upgrade-script`
-- writes what is below it, from the difference between sql/upgrade/pg_iot_kpi--0.2.0.sql and sql/install.
\echo Use "ALTER EXTENSION pg_iot_kpi UPDATE TO '0.3.0'" to load this file. \quit

---- generated ----

DROP FUNCTION iot_kpi.gather(timestamptz[], timestamptz, timestamptz, text[], boolean);
DROP FUNCTION iot_kpi.note_statuses(text[], timestamptz[]);
DROP FUNCTION iot_kpi.mark_rows_stale(text[], timestamptz[], timestamptz[]);
DROP FUNCTION iot_kpi.of_upkeep(text);

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
    ('store_version', '3', 'internal',
     'Version of the tables in schema iot, written by create_store()');
END;

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

    -- Since store version 3.
    DROP INDEX IF EXISTS iot.kpi_calculations_stale_idx;
    CREATE INDEX IF NOT EXISTS kpi_calculations_stale_periods_idx ON iot.kpi_calculations (device_id, period) WHERE stale;
    ALTER TABLE iot.device_status_history
        ADD COLUMN IF NOT EXISTS recorded_by text CONSTRAINT recorded_by_upkeep CHECK (recorded_by = 'upkeep');
    ALTER TABLE iot.upkeep ADD COLUMN IF NOT EXISTS place jsonb;
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
        ['device_status_history', 'recorded_by', 'upkeep: its record of a missed deadline or of the end of a silence, which no report counts; NULL: a sample of the device'],

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
        ['upkeep', 'place', 'Of run: where it goes on; NULL between runs'],

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
    CREATE OR REPLACE TRIGGER settings_for_all BEFORE INSERT OR UPDATE OR DELETE ON iot.settings
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.refuse_tenant();

    CREATE OR REPLACE TRIGGER check_device BEFORE INSERT OR UPDATE ON iot.devices
        FOR EACH ROW EXECUTE FUNCTION iot_kpi.check_device();
    CREATE OR REPLACE TRIGGER devices_inserted AFTER INSERT ON iot.devices
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('devices_inserted');
    CREATE OR REPLACE TRIGGER devices_updated AFTER UPDATE ON iot.devices
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('devices_updated');
    CREATE OR REPLACE TRIGGER devices_deleted AFTER DELETE ON iot.devices
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('devices_deleted');

    CREATE OR REPLACE TRIGGER metric_types_updated AFTER UPDATE ON iot.metric_types
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metric_types_updated');
    CREATE OR REPLACE TRIGGER metric_types_deleted AFTER DELETE ON iot.metric_types
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metric_types_deleted');

    CREATE OR REPLACE TRIGGER samples_inserted AFTER INSERT ON iot.device_metrics
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metrics_changed');
    CREATE OR REPLACE TRIGGER samples_updated AFTER UPDATE ON iot.device_metrics
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metrics_changed');
    CREATE OR REPLACE TRIGGER samples_deleted AFTER DELETE ON iot.device_metrics
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metrics_changed');
    CREATE OR REPLACE TRIGGER samples_truncated AFTER TRUNCATE ON iot.device_metrics
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('everything_changed');

    CREATE OR REPLACE TRIGGER check_new_record BEFORE INSERT ON iot.device_status_history
        FOR EACH ROW WHEN (NEW.recorded_by IS NOT NULL) EXECUTE FUNCTION iot_kpi.check_record();
    CREATE OR REPLACE TRIGGER check_changed_record BEFORE UPDATE ON iot.device_status_history
        FOR EACH ROW WHEN (NEW.recorded_by IS NOT NULL AND NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION iot_kpi.check_record();
    CREATE OR REPLACE TRIGGER statuses_inserted AFTER INSERT ON iot.device_status_history
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('statuses_changed');
    CREATE OR REPLACE TRIGGER statuses_updated AFTER UPDATE ON iot.device_status_history
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('statuses_changed');
    CREATE OR REPLACE TRIGGER statuses_deleted AFTER DELETE ON iot.device_status_history
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('statuses_changed');
    CREATE OR REPLACE TRIGGER statuses_truncated AFTER TRUNCATE ON iot.device_status_history
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('everything_changed');

    CREATE OR REPLACE TRIGGER check_maintenance_window BEFORE INSERT OR UPDATE ON iot.maintenance_windows
        FOR EACH ROW EXECUTE FUNCTION iot_kpi.check_maintenance_window();
    CREATE OR REPLACE TRIGGER windows_inserted AFTER INSERT ON iot.maintenance_windows
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('maintenance_windows_changed');
    CREATE OR REPLACE TRIGGER windows_updated AFTER UPDATE ON iot.maintenance_windows
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('maintenance_windows_changed');
    CREATE OR REPLACE TRIGGER windows_deleted AFTER DELETE ON iot.maintenance_windows
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('maintenance_windows_changed');
    CREATE OR REPLACE TRIGGER windows_truncated AFTER TRUNCATE ON iot.maintenance_windows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('everything_changed');
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.tell_records_apart() RETURNS void
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
    partitions := iot_kpi.make_partitions();
    IF unwatched THEN
        PERFORM iot_kpi.catch_up();
    END IF;
    RETURN format('store version %s in schema iot is ready, %s partitions made', version, partitions);
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.as_owner() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_as_owner';
COMMENT ON FUNCTION iot_kpi.as_owner() IS
    'Trigger of the tables of the store: runs the trigger function that its argument names, as the owner of the store, but leaves alone what the store''s own functions write';

CREATE OR REPLACE FUNCTION iot_kpi.quiet() RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quiet';
COMMENT ON FUNCTION iot_kpi.quiet() IS
    'Whether the statement whose trigger asks is one of the store''s own functions, which does the work of triggers itself';

CREATE OR REPLACE FUNCTION iot_kpi.require_owner(what text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT iot_kpi.owns_store() THEN
        RAISE EXCEPTION '%, and not by role %', what, quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege', HINT = format('It takes the rights of the owner of the store, %I.', pg_get_userbyid(iot_kpi.store_owner()));
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.require_owner(text) IS 'Fails where this role has not the rights of the store''s owner';

CREATE OR REPLACE FUNCTION iot_kpi.sees_all_devices_work() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN NOT row_security_active('iot.devices');
END
$$;
COMMENT ON FUNCTION iot_kpi.sees_all_devices_work() IS 'What sees_all_devices() does';

CREATE OR REPLACE FUNCTION iot_kpi.sees_all_devices() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'iot_kpi_as_caller';
COMMENT ON FUNCTION iot_kpi.sees_all_devices() IS
    'Whether no row security hides devices from whom a trigger works for, or who else calls';

CREATE OR REPLACE FUNCTION iot_kpi.hidden_devices_work(device_ids text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT u.id FROM unnest(device_ids) u (id) WHERE NOT EXISTS (SELECT FROM iot.devices d WHERE d.device_id = u.id));
END
$$;
COMMENT ON FUNCTION iot_kpi.hidden_devices_work(text[]) IS 'What hidden_devices() does';

CREATE OR REPLACE FUNCTION iot_kpi.hidden_devices(device_ids text[]) RETURNS text[]
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'iot_kpi_as_caller';
COMMENT ON FUNCTION iot_kpi.hidden_devices(text[]) IS
    'Those of the devices that whom a trigger works for, or who else calls, does not see';

CREATE OR REPLACE FUNCTION iot_kpi.refuse_tenant() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT iot_kpi.sees_all_devices() THEN
        RAISE EXCEPTION 'the settings of the store are everybody''s, and row security hides devices from role %', quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege', HINT = 'They are changed by who sees all devices, such as the owner of the store.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_tenant() IS 'Statement trigger of iot.settings: refuses roles from which row security hides devices';

CREATE OR REPLACE FUNCTION iot_kpi.refuse_shared_devices(device_ids text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shared text;
BEGIN
    IF iot_kpi.sees_all_devices() THEN
        RETURN;
    END IF;
    SELECT o.collector_id INTO shared
    FROM iot.devices o
    WHERE o.collector_id = ANY (device_ids)
      AND o.device_id = ANY (iot_kpi.hidden_devices(ARRAY(SELECT d.device_id FROM iot.devices d WHERE d.collector_id = ANY (device_ids))))
    ORDER BY o.collector_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'device % also observes devices that row security hides', quote_literal(shared)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'What it was and what it sent is changed by who sees all devices, such as the owner of the store.';
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_shared_devices(text[]) IS
    'Fails where one of the devices is the collector of a device that is hidden from whom a trigger works for';

CREATE OR REPLACE FUNCTION iot_kpi.refuse_shared_metrics(metrics text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shared text;
BEGIN
    IF iot_kpi.sees_all_devices() THEN
        RETURN;
    END IF;
    SELECT m.metric INTO shared
    FROM unnest(metrics) m (metric), unnest(iot_kpi.hidden_devices(ARRAY(SELECT d.device_id FROM iot.devices d))) h (device_id)
    WHERE EXISTS (SELECT FROM iot.device_metrics s WHERE s.device_id = h.device_id AND s.metric = m.metric)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'devices that row security hides have samples of metric % too', quote_literal(shared)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'What they mean is changed by who sees all devices, such as the owner of the store.';
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_shared_metrics(text[]) IS
    'Fails where a device has samples of one of the metrics that is hidden from whom a trigger works for';

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
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = to_regclass('iot.device_metrics')) THEN
        PERFORM iot_kpi.close_partition(format('iot.%I', partition)::regclass);
    END IF;
    -- A superuser's partition would be one that the owner could not drop.
    IF owner <> to_regrole(quote_ident(current_user)) THEN
        EXECUTE format('ALTER TABLE iot.%I OWNER TO %I', partition, pg_get_userbyid(owner));
    END IF;
    EXECUTE format('ALTER TABLE iot.device_metrics ATTACH PARTITION iot.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, first, first + interval '24 hours');
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.delete_expired_statuses_work(most bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from constant timestamptz := iot_kpi.earliest_sample();
    deleted bigint;
BEGIN
    IF iot_kpi.setting('retention') IS NULL THEN
        RETURN 0;
    END IF;
    -- The last expired status of a device is what still held when the kept time began. Expiry changes no KPI of it, so triggers
    -- stand aside.
    DELETE FROM iot.device_status_history h
    USING (SELECT old.device_id, old."time" FROM iot.device_status_history old
           WHERE old."time" < kept_from
             AND (old.recorded_by IS NOT NULL
                  OR EXISTS (SELECT FROM iot.device_status_history later
                             WHERE later.device_id = old.device_id AND later."time" > old."time" AND later."time" <= kept_from
                               AND later.recorded_by IS NULL))
           LIMIT most) expired
    WHERE h.device_id = expired.device_id AND h."time" = expired."time";
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION iot_kpi.delete_expired_statuses_work(bigint) IS 'What delete_expired_statuses() does';

CREATE OR REPLACE FUNCTION iot_kpi.delete_expired_statuses(most bigint) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quietly';

CREATE OR REPLACE FUNCTION iot_kpi.lock_for_calculation(device_ids text[], until timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF row_security_active('iot.devices') THEN
        RAISE EXCEPTION 'row security hides devices from role %: it cannot calculate what their collectors decide', quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege', HINT = 'CALL iot_kpi.maintain() calculates for all, as the owner of the store.';
    END IF;
    -- Their collectors too: a calculation also reads the collectors' beats.
    INSERT INTO iot.device_liveness AS l (device_id, calculated_at, calculated_until)
    SELECT d.device_id, now(), until FROM iot.devices d
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids)
       OR d.device_id IN (SELECT o.collector_id FROM iot.devices o WHERE o.device_id = ANY (device_ids))
    ORDER BY d.device_id
    ON CONFLICT ON CONSTRAINT device_liveness_pkey DO UPDATE
        SET calculated_at = excluded.calculated_at, calculated_until = greatest(l.calculated_until, excluded.calculated_until);
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.mark_stale(device_ids text[], firsts timestamptz[], lasts timestamptz[]) RETURNS void
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

CREATE OR REPLACE FUNCTION iot_kpi.register_devices(device_ids text[], firsts timestamptz[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO iot.devices AS d (device_id, name, registered_by, commissioned_at)
SELECT s.device_id, s.device_id, 'first_sample', s.first
FROM unnest(device_ids, firsts) s (device_id, first)
ORDER BY s.device_id COLLATE "C"
ON CONFLICT (device_id) DO UPDATE SET commissioned_at = excluded.commissioned_at
    WHERE d.registered_by = 'first_sample' AND (d.commissioned_at > excluded.commissioned_at) IS NOT FALSE
$$;

CREATE OR REPLACE FUNCTION iot_kpi.lock_first_samples(device_ids text[], firsts timestamptz[]) RETURNS text[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
SELECT array_agg(l.device_id)
FROM (SELECT d.device_id FROM iot.devices d JOIN unnest(device_ids, firsts) s (device_id, first) ON d.device_id = s.device_id
      WHERE d.registered_by = 'first_sample' AND d.commissioned_at >= s.first
      ORDER BY d.device_id FOR NO KEY UPDATE OF d) l
$$;
COMMENT ON FUNCTION iot_kpi.lock_first_samples(text[], timestamptz[]) IS
    'Of devices that lost samples, the earliest at an instant each: those that were commissioned by such a one, locked in key order; NULL where there is none';

CREATE OR REPLACE FUNCTION iot_kpi.commission_anew(device_ids text[]) RETURNS text[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
WITH moved AS (
    -- One that had been taken out of service by then never was in it.
    UPDATE iot.devices d SET commissioned_at = CASE WHEN e.first IS NOT NULL THEN least(e.first, d.decommissioned_at) END
    FROM iot.devices o, LATERAL (SELECT least(
        -- Metric by metric, since the key has them so.
        (SELECT min(m."time") FROM iot.metric_types t, LATERAL (
             SELECT s."time" FROM iot.device_metrics s WHERE s.device_id = o.device_id AND s.metric = t.metric
             ORDER BY s."time" LIMIT 1) m),
        (SELECT min(h."time") FROM iot.device_status_history h WHERE h.device_id = o.device_id AND h.recorded_by IS NULL)) AS first) e
    WHERE d.device_id = o.device_id AND o.device_id = ANY (device_ids) AND o.registered_by = 'first_sample'
      AND d.commissioned_at IS DISTINCT FROM e.first
    RETURNING d.device_id)
SELECT array_agg(device_id) FROM moved
$$;
COMMENT ON FUNCTION iot_kpi.commission_anew(text[]) IS
    'Commissions devices that were registered on first sight at the earliest sample that stands; where none does, they wait for one. Returns whom that moved. Lock them first';

CREATE OR REPLACE FUNCTION iot_kpi.catch_up() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    device_ids text[];
    firsts timestamptz[];
BEGIN
    -- Anybody else would see, and mark, a part of it.
    PERFORM iot_kpi.require_owner('what was written without triggers is caught up on by create_store()');
    SELECT array_agg(s.device_id ORDER BY s.device_id), array_agg(s.first ORDER BY s.device_id) INTO device_ids, firsts
    FROM (SELECT m.device_id, min(m.first) AS first
          FROM (SELECT x.device_id, min(x.time) AS first FROM iot.device_metrics x GROUP BY x.device_id
                UNION ALL SELECT h.device_id, min(h.time) FROM iot.device_status_history h WHERE h.recorded_by IS NULL GROUP BY h.device_id) m
          WHERE NOT EXISTS (SELECT FROM iot.devices d WHERE d.device_id = m.device_id)
          GROUP BY m.device_id) s;
    IF device_ids IS NOT NULL THEN
        PERFORM iot_kpi.register_devices(device_ids, firsts);
    END IF;
    PERFORM iot_kpi.lock_liveness(NULL);
    PERFORM iot_kpi.recount_liveness((SELECT array_agg(d.device_id) FROM iot.devices d));
    UPDATE iot.kpi_calculations SET stale = true WHERE NOT stale AND lower(period) >= iot_kpi.kept_from();
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
    -- Devices registered on first sight whose first sample is another one now.
    moved text[];
    early timestamptz[];
BEGIN
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
                     bool_or(d.device_id IS NULL OR d.registered_by = 'first_sample' AND (n."time" < d.commissioned_at) IS NOT FALSE) AS is_first,
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
        -- Between the look at iot.devices and the lock heartbeat_metric may have changed, or the first sample have been deleted.
        SELECT array_agg(s.device_id) FILTER (WHERE d.heartbeat_metric IS DISTINCT FROM s.heartbeat_metric),
               array_agg(s.device_id) FILTER (WHERE f.is_first), array_agg(s.first) FILTER (WHERE f.is_first)
        INTO recount, moved, early
        FROM unnest(changed.device_ids, changed.heartbeat_metrics, changed.firsts) s (device_id, heartbeat_metric, first)
             JOIN iot.devices d USING (device_id),
             LATERAL (SELECT d.registered_by = 'first_sample' AND (s.first < d.commissioned_at) IS NOT FALSE) f (is_first);
        IF moved IS NOT NULL THEN
            PERFORM iot_kpi.register_devices(moved, early);
        END IF;
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
        PERFORM iot_kpi.refuse_shared_devices(old.device_ids);
        moved := iot_kpi.lock_first_samples(old.device_ids, old.firsts);
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
        IF moved IS NOT NULL THEN
            moved := iot_kpi.commission_anew(moved);
        END IF;
        SELECT max(calculated_until) INTO calculated FROM iot.device_liveness WHERE device_id = ANY (changed.device_ids);
    END IF;

    IF recount IS NOT NULL THEN
        PERFORM iot_kpi.recount_liveness(recount);
    END IF;
    IF moved IS NOT NULL THEN
        SELECT array_agg(CASE WHEN device_id = ANY (moved) THEN 'infinity' ELSE until END) INTO changed.untils
        FROM unnest(changed.device_ids, changed.untils) u (device_id, until);
    END IF;
    IF EXISTS (SELECT FROM unnest(changed.firsts) first WHERE first <= calculated) THEN
        PERFORM iot_kpi.mark_stale(changed.device_ids, changed.firsts, changed.untils);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.register_first_samples(device_ids text[], firsts timestamptz[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new record;
BEGIN
    SELECT array_agg(s.device_id) AS device_ids, array_agg(s.first) AS firsts INTO new
    FROM unnest(device_ids, firsts) s (device_id, first) LEFT JOIN iot.devices d ON d.device_id = s.device_id
    WHERE d.device_id IS NULL OR d.registered_by = 'first_sample' AND (s.first < d.commissioned_at) IS NOT FALSE;
    IF new.device_ids IS NOT NULL THEN
        PERFORM iot_kpi.register_devices(new.device_ids, new.firsts);
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.register_first_samples(text[], timestamptz[]) IS
    'Registers those of devices with samples, the earliest at an instant each, that were not known, or known since later';

CREATE OR REPLACE FUNCTION iot_kpi.note_statuses_work(
    device_ids text[], firsts timestamptz[], old_ids text[] DEFAULT NULL, old_firsts timestamptz[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    touched record;
    moved text[];
BEGIN
    PERFORM iot_kpi.register_first_samples(device_ids, firsts);
    moved := iot_kpi.lock_first_samples(old_ids, old_firsts);
    SELECT array_agg(t.device_id) AS device_ids, array_agg(t.first) AS firsts INTO touched
    FROM (SELECT u.device_id, min(u.first) AS first
          FROM (SELECT * FROM unnest(device_ids, firsts) UNION ALL SELECT * FROM unnest(old_ids, old_firsts)) u (device_id, first)
          GROUP BY u.device_id) t;
    PERFORM iot_kpi.lock_liveness(touched.device_ids);
    -- Before the lock was had, somebody may have deleted what was the first sample.
    PERFORM iot_kpi.register_first_samples(device_ids, firsts);
    IF moved IS NOT NULL THEN
        PERFORM iot_kpi.commission_anew(moved);
    END IF;
    UPDATE iot.device_liveness l SET last_status = s.status, last_status_at = s."time"
    FROM unnest(touched.device_ids) t (device_id)
         LEFT JOIN LATERAL (SELECT h.status, h."time" FROM iot.device_status_history h
                            WHERE h.device_id = t.device_id AND h.recorded_by IS NULL
                            ORDER BY h."time" DESC LIMIT 1) s ON true
    WHERE l.device_id = t.device_id AND (l.last_status, l.last_status_at) IS DISTINCT FROM (s.status, s."time");
    -- A status holds until the next one, however late that comes.
    PERFORM iot_kpi.mark_stale(touched.device_ids, touched.firsts,
                               array_fill(timestamptz 'infinity', ARRAY[cardinality(touched.device_ids)]));
END
$$;
COMMENT ON FUNCTION iot_kpi.note_statuses_work(text[], timestamptz[], text[], timestamptz[]) IS 'What note_statuses() does';

CREATE OR REPLACE FUNCTION iot_kpi.note_statuses(
    device_ids text[], firsts timestamptz[], old_ids text[] DEFAULT NULL, old_firsts timestamptz[] DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_for_our_own';
COMMENT ON FUNCTION iot_kpi.note_statuses(text[], timestamptz[], text[], timestamptz[]) IS
    'After status samples of devices were written, the earliest at an instant each, and others went: registers, locks, keeps device_liveness, marks calculations stale';

CREATE OR REPLACE FUNCTION iot_kpi.check_record() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT iot_kpi.owns_store() THEN
        RAISE EXCEPTION 'only upkeep writes its records: recorded_by of device % at % cannot be %',
            quote_nullable(iot_kpi.abbreviated(NEW.device_id)), coalesce(NEW."time"::text, 'NULL'), quote_literal(NEW.recorded_by)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Leave recorded_by NULL: the status is the device''s own then. To change statuses by the lot, add WHERE recorded_by IS NULL.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION iot_kpi.check_record() IS
    'Row trigger of iot.device_status_history, for rows that say upkeep wrote them: refuses such of anybody but the owner of the store, as whom upkeep runs';

CREATE OR REPLACE FUNCTION iot_kpi.statuses_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := clock_timestamp() + iot_kpi.setting('clock_skew')::interval;
    register_device constant boolean := iot_kpi.setting('unknown_devices') = 'register';
    device_ids text[];
    firsts timestamptz[];
    old_ids text[];
    old_firsts timestamptz[];
BEGIN
    -- Upkeep's records are no samples.
    IF TG_OP <> 'DELETE' THEN
        PERFORM iot_kpi.refuse_sample('iot.device_status_history', position, device_id, "time", format('status %s', status), fault)
        FROM (SELECT n.*, coalesce(
                  iot_kpi.sample_fault(n.device_id, register_device OR d.device_id IS NOT NULL, n."time", earliest, latest),
                  iot_kpi.status_fault(n.status, n.reason)) AS fault
              FROM (SELECT *, row_number() OVER () AS position FROM new_rows) n LEFT JOIN iot.devices d ON d.device_id = n.device_id
              WHERE n.recorded_by IS NULL) f
        WHERE fault IS NOT NULL ORDER BY position LIMIT 1;
        SELECT array_agg(n.device_id), array_agg(n.first) INTO device_ids, firsts
        FROM (SELECT device_id, min("time") AS first FROM new_rows WHERE recorded_by IS NULL GROUP BY device_id) n;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT array_agg(o.device_id), array_agg(o.first) INTO old_ids, old_firsts
        FROM (SELECT device_id, min("time") AS first FROM old_rows WHERE recorded_by IS NULL GROUP BY device_id) o;
    END IF;
    IF device_ids IS NOT NULL OR old_ids IS NOT NULL THEN
        PERFORM iot_kpi.note_statuses_work(device_ids, firsts, old_ids, old_firsts);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.ingest_status_work(
    device_ids text[], times timestamptz[], statuses text[], reasons text[],
    OUT stored bigint, OUT duplicates bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    batch_size constant bigint := cardinality(device_ids);
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := now() + iot_kpi.setting('clock_skew')::interval;
    unknown_devices constant text[] := iot_kpi.unknown_devices(device_ids);
    written record;
BEGIN
    PERFORM iot_kpi.check_same_length(ARRAY[cardinality(device_ids), cardinality(times), cardinality(statuses), cardinality(reasons)],
                                      'device_ids, times, statuses and reasons');
    SELECT count(*) FILTER (WHERE fault IS NOT NULL), count(*) FILTER (WHERE "time" > latest AND fault IS NULL),
           coalesce(jsonb_agg(jsonb_build_object(
               'position', position, 'device_id', iot_kpi.abbreviated(device_id), 'field', fault[1],
               'value', iot_kpi.abbreviated(CASE fault[1] WHEN 'device_id' THEN device_id WHEN 'time' THEN "time"::text
                                                          WHEN 'status' THEN status ELSE reason END),
               'reason', fault[2], 'remedy', fault[3]) ORDER BY position) FILTER (WHERE fault IS NOT NULL), '[]')
    INTO refused, future_clamped, refusals
    FROM (SELECT u.*, coalesce(iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL),
                               iot_kpi.status_fault(u.status, u.reason)) AS fault
          FROM unnest(device_ids, times, statuses, reasons) WITH ORDINALITY u (device_id, "time", status, reason, position)) checked;

    -- Inserted and replaced samples would be locked by two triggers one after the other; so triggers stand aside, and it happens
    -- once, in order.
    WITH good AS (
        -- Of equal keys in one batch the last one is the one stored last.
        SELECT DISTINCT ON (u.device_id COLLATE "C", CASE WHEN u."time" > latest THEN now() ELSE u."time" END)
               u.device_id, CASE WHEN u."time" > latest THEN now() ELSE u."time" END AS "time", u.status, u.reason
        FROM unnest(device_ids, times, statuses, reasons) WITH ORDINALITY u (device_id, "time", status, reason, position)
        WHERE iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL) IS NULL
          AND iot_kpi.status_fault(u.status, u.reason) IS NULL
        ORDER BY u.device_id COLLATE "C", CASE WHEN u."time" > latest THEN now() ELSE u."time" END, u.position DESC
    ), stored_rows AS (
        INSERT INTO iot.device_status_history AS h (device_id, "time", status, reason)
        SELECT * FROM good
        ON CONFLICT (device_id, "time") DO UPDATE
            SET status = excluded.status, reason = excluded.reason, received_at = excluded.received_at, recorded_by = excluded.recorded_by
            WHERE (h.status, h.reason, h.recorded_by) IS DISTINCT FROM (excluded.status, excluded.reason, excluded.recorded_by)
        RETURNING h.device_id, h."time"
    )
    SELECT array_agg(device_id) AS device_ids, array_agg(first) AS firsts, coalesce(sum(samples), 0) AS samples INTO written
    FROM (SELECT device_id, min("time") AS first, count(*) AS samples FROM stored_rows GROUP BY device_id) a;
    IF written.device_ids IS NOT NULL THEN
        PERFORM iot_kpi.note_statuses(written.device_ids, written.firsts);
    END IF;
    stored := written.samples;
    duplicates := batch_size - refused - stored;
END
$$;
COMMENT ON FUNCTION iot_kpi.ingest_status_work(text[], timestamptz[], text[], text[]) IS 'What ingest_status() does';

CREATE OR REPLACE FUNCTION iot_kpi.ingest_status(
    device_ids text[], times timestamptz[], statuses text[], reasons text[],
    OUT stored bigint, OUT duplicates bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quietly';

CREATE OR REPLACE FUNCTION iot_kpi.everything_changed() RETURNS trigger
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

CREATE OR REPLACE FUNCTION iot_kpi.refuse_used_metrics(metrics text[]) RETURNS void
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

CREATE OR REPLACE FUNCTION iot_kpi.metric_types_updated() RETURNS trigger
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

CREATE OR REPLACE FUNCTION iot_kpi.metric_types_deleted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.refuse_used_metrics(ARRAY(SELECT o.metric FROM old_rows o));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.refuse_hidden_collectors(device_ids text[]) RETURNS void
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

CREATE OR REPLACE FUNCTION iot_kpi.devices_inserted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.refuse_hidden_collectors(ARRAY(SELECT n.collector_id FROM new_rows n));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.devices_inserted() IS 'Statement trigger of iot.devices: refuses collectors that row security hides';

CREATE OR REPLACE FUNCTION iot_kpi.devices_updated() RETURNS trigger
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

CREATE OR REPLACE FUNCTION iot_kpi.devices_deleted() RETURNS trigger
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

CREATE OR REPLACE FUNCTION iot_kpi.gather(
    slot_edges timestamptz[], scan_start timestamptz, scan_end timestamptz, device_ids text[], bytes_is_counter boolean,
    communication boolean
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
    -- Beats lie where they lie: without communication there is nothing that would be counted by slot.
    counted_in constant timestamptz[] := CASE WHEN communication THEN slot_edges
                                              ELSE ARRAY[slot_edges[1], slot_edges[cardinality(slot_edges)]] END;
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
    IF differs AND NOT communication THEN
        of_device := of_device || ' AND (d.heartbeat_metric IS NULL OR d.heartbeat_metric = s.metric)';
    END IF;

    -- The rows of one device make one group: nobody has to look up whose they are.
    of_these := CASE WHEN device_ids IS NULL THEN '' WHEN cardinality(device_ids) = 1 THEN ' AND m.device_id = $1[1]'
                     ELSE ' AND m.device_id = ANY ($1)' END;
    IF heartbeat_metric IS NOT NULL AND NOT (differs OR communication) THEN
        of_these := of_these || ' AND m.metric = $7';
    END IF;
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
            USING device_ids, bytes_is_counter, counted_in, lacking, grains, periods, heartbeat_metric;
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
                format(' UNION ALL SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m WHERE m.time >= %L AND m.time < %L',
                       lower(c), upper(c)) || of_these || ' AND m.device_id = ANY ($4)', '')
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
        USING device_ids, bytes_is_counter, counted_in, lacking, grains, periods, heartbeat_metric;
END $$;
COMMENT ON FUNCTION iot_kpi.gather(timestamptz[], timestamptz, timestamptz, text[], boolean, boolean) IS
    'the evidence of devices over slots, from calculated periods where they serve and from rows elsewhere; without communication, their beats alone';

CREATE OR REPLACE FUNCTION iot_kpi.asks_communication(kpi text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_asks_communication';
COMMENT ON FUNCTION iot_kpi.asks_communication(text) IS
    'whether a KPI is made from response times, errors or bytes, and not from beats and status samples alone';

CREATE OR REPLACE FUNCTION iot_kpi.evidence_for(
    kpi text, during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[]
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
        FROM iot_kpi.gather(slot_edges, window_start - reach, window_end, sampled, bytes_is_counter,
                            coalesce(iot_kpi.asks_communication(kpi), true)) AS g
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
    -- By device, and one for all of them.
    maintained AS MATERIALIZED (
        SELECT w.device_id, range_agg(w.period) AS periods
        FROM iot.maintenance_windows w
        WHERE w.period && tstzrange(least(window_start, as_of), greatest(window_end, as_of), '[]')
          AND (device_ids IS NULL OR w.device_id IS NULL OR w.device_id = ANY (device_ids))
        GROUP BY w.device_id
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
    SELECT d.device_id, d.name, d.device_type, d.location, d.metadata, self.device_id IS NOT NULL,
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
    LEFT JOIN observers self ON self.device_id = d.device_id
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
    JOIN present ON present.device_id = d.device_id
    LEFT JOIN maintained m ON m.device_id = d.device_id
    LEFT JOIN maintained everywhere ON everywhere.device_id IS NULL
    CROSS JOIN LATERAL (
        -- None at all is NULL, which costs least to read.
        SELECT nullif(coalesce(m.periods, '{}') + coalesce(everywhere.periods, '{}')
                      + tstzmultirange(
                          -- One that was registered on first sight, and whose samples are all gone, waits for the next one.
                          CASE WHEN d.commissioned_at IS NOT NULL OR d.registered_by = 'first_sample' THEN tstzrange(NULL, d.commissioned_at)
                               ELSE 'empty' END,
                          CASE WHEN d.decommissioned_at IS NOT NULL THEN tstzrange(d.decommissioned_at, NULL) ELSE 'empty' END),
                      '{}') AS excluded
    ) AS exempt
    LEFT JOIN LATERAL (
        SELECT iot_kpi.status_agg(s.time, s.status) AS statuses
        FROM ((SELECT h.time, h.status FROM iot.device_status_history h
               WHERE h.device_id = d.device_id AND h.time < window_start AND h.recorded_by IS NULL
               ORDER BY h.time DESC LIMIT 1)
              UNION ALL
              SELECT h.time, h.status FROM iot.device_status_history h
              WHERE h.device_id = d.device_id AND h.time >= window_start AND h.time < window_end
                AND h.recorded_by IS NULL) AS s
    ) AS sampled_status ON true
    LEFT JOIN LATERAL (
        SELECT h.status FROM iot.device_status_history h
        WHERE h.device_id = d.device_id AND h.time <= as_of AND h.recorded_by IS NULL
          AND (d.status_ttl IS NULL OR h.time > as_of - d.status_ttl)
        ORDER BY h.time DESC LIMIT 1
    ) AS said ON true
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
END $$;
COMMENT ON FUNCTION iot_kpi.evidence_for(text, tstzrange, text[], timestamptz, timestamptz[]) IS
    'the evidence seam: each device with its state at as_of and the dossier that a KPI is made from; NULL: that every report is made from';

CREATE OR REPLACE FUNCTION iot_kpi.evidence_of(
    during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[] DEFAULT NULL
) RETURNS TABLE (
    device_id text, name text, device_type text, location text, metadata jsonb, observes boolean,
    last_measured timestamptz, last_received timestamptz, never_seen boolean, status text, live boolean, required boolean,
    dossier iot_kpi.dossier
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, e.name, e.device_type, e.location, e.metadata, e.observes, e.last_measured, e.last_received, e.never_seen,
       e.status, e.live, e.required, e.dossier
FROM iot_kpi.evidence_for(NULL, during, device_ids, as_of, edges) AS e;
END;
COMMENT ON FUNCTION iot_kpi.evidence_of(tstzrange, text[], timestamptz, timestamptz[]) IS
    'the evidence seam for all KPIs: each device with its state at as_of and the dossier that every report is made from';

CREATE OR REPLACE FUNCTION iot_kpi.kpi_names() RETURNS text[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_kpi_names';

CREATE OR REPLACE FUNCTION iot_kpi.device_values(dossier iot_kpi.dossier, kpi text)
RETURNS TABLE (slot_start timestamptz, value double precision)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 24 AS 'MODULE_PATHNAME', 'iot_kpi_device_values';
COMMENT ON FUNCTION iot_kpi.device_values(iot_kpi.dossier, text) IS
    'a KPI of a device, a row for each slot of its dossier; nothing else is computed. Times are in seconds, truths 0 and 1';

CREATE OR REPLACE FUNCTION iot_kpi.device_series(
    kpi text, during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[]
) RETURNS TABLE ("time" timestamptz, series text, value double precision)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT v.slot_start, e.device_id, v.value
FROM iot_kpi.evidence_for(kpi, during, device_ids, as_of, edges) AS e,
     LATERAL iot_kpi.device_values(e.dossier, kpi) AS v;
END;

CREATE OR REPLACE FUNCTION iot_kpi.kpi_series(
    kpi text, during tstzrange, bucket interval, group_by text DEFAULT NULL,
    time_zone text DEFAULT current_setting('TimeZone'), device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE ("time" timestamptz, series text, value double precision)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    known constant text := iot_kpi.check_kpi(kpi);
    edges constant timestamptz[] := iot_kpi.bucket_edges(during, bucket, time_zone, as_of);
BEGIN
    IF edges IS NULL THEN
        PERFORM iot_kpi.require_store();
    ELSIF group_by IS NULL THEN
        RETURN QUERY SELECT s.time, s.series, s.value
            FROM iot_kpi.device_series(known, during, device_ids, as_of, edges) AS s ORDER BY s.series, s.time;
    ELSE
        RETURN QUERY SELECT s.time, s.series, s.value
            FROM iot_kpi.group_series(known, during, group_by, device_ids, as_of, edges) AS s ORDER BY s.series, s.time;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION iot_kpi.metric_series(
    metric text, during tstzrange, max_points integer DEFAULT 1000, device_ids text[] DEFAULT NULL,
    as_of timestamptz DEFAULT now()
) RETURNS TABLE ("time" timestamptz, device_id text, value double precision)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    effective constant tstzrange := iot_kpi.effective_window(during, as_of);
    window_start constant timestamptz := lower(effective);
    window_end constant timestamptz := upper(effective);
    wanted constant text := iot_kpi.check_metric(metric);
    bucket interval;
BEGIN
    IF max_points IS NULL OR max_points < 4 THEN
        RAISE EXCEPTION 'max_points must be at least 4, not %', coalesce(max_points::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Four points show a bucket''s first, last, least and greatest value.';
    END IF;
    bucket := (window_end - window_start) / greatest(max_points / 4, 1);
    RETURN QUERY
    WITH samples AS MATERIALIZED (
        SELECT m.device_id, m.time, m.value, date_bin(greatest(bucket, interval '1 microsecond'), m.time, window_start) AS bin
        FROM iot.device_metrics m
        WHERE m.metric = wanted AND m.time >= window_start AND m.time < window_end
          AND (device_ids IS NULL OR m.device_id = ANY (device_ids))
    ),
    bins AS (
        SELECT s.device_id, s.bin, count(*) AS n, min(s.time) AS first, max(s.time) AS last,
               min(s.value) AS least, max(s.value) AS greatest
        FROM samples s GROUP BY s.device_id, s.bin
    ),
    crowded AS (
        SELECT b.device_id, sum(b.n) > max_points AS yes FROM bins b GROUP BY b.device_id
    ),
    extremes AS (
        -- The first sample of each extreme value stands for all of them.
        SELECT s.device_id, s.bin, min(s.time) FILTER (WHERE s.value = b.least) AS least_at,
               min(s.time) FILTER (WHERE s.value = b.greatest) AS greatest_at
        FROM bins b JOIN crowded c ON c.device_id = b.device_id AND c.yes
        JOIN samples s ON s.device_id = b.device_id AND s.bin = b.bin
        GROUP BY s.device_id, s.bin
    )
    SELECT s.time, s.device_id, s.value
    FROM samples s
    JOIN crowded c ON c.device_id = s.device_id
    JOIN bins b ON b.device_id = s.device_id AND b.bin = s.bin
    LEFT JOIN extremes x ON x.device_id = s.device_id AND x.bin = s.bin
    WHERE NOT c.yes OR s.time IN (b.first, b.last, x.least_at, x.greatest_at)
    ORDER BY s.device_id, s.time;
END $$;

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

CREATE OR REPLACE FUNCTION iot_kpi.objective_time(
    kpi text, scope_kind text, scope_value text, during tstzrange, device_ids text[], as_of timestamptz
) RETURNS TABLE (devices bigint, up_time interval, down_time interval, unknown_time interval)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
    chosen text[];
BEGIN
    IF kpi NOT IN ('uptime', 'availability') THEN
        RAISE EXCEPTION 'an objective for "%" is not supported', left(kpi, 63)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Set objectives for uptime or availability.';
    END IF;
    SELECT array_agg(d.device_id) INTO chosen
        FROM iot.devices d
        WHERE (device_ids IS NULL OR d.device_id = ANY (device_ids))
          AND CASE scope_kind WHEN 'device' THEN d.device_id = scope_value
                              WHEN 'device_type' THEN d.device_type = scope_value
                              WHEN 'location' THEN d.location = scope_value
                              ELSE true END
          -- As in every report of a group: an observer is not one of the fleet that it observes, unless it is asked for by name.
          AND (scope_kind = 'device' OR device_ids IS NOT NULL
               OR NOT EXISTS (SELECT FROM iot.devices o WHERE o.collector_id = d.device_id));
    RETURN QUERY
        SELECT count(*),
               coalesce(sum(CASE kpi WHEN 'uptime' THEN r.up_time ELSE r.status_up_time END), '0'),
               coalesce(sum(CASE kpi WHEN 'uptime' THEN r.down_time ELSE r.status_down_time END), '0'),
               coalesce(sum(CASE kpi WHEN 'uptime' THEN r.unknown_time ELSE r.status_unknown_time END), '0')
        FROM iot_kpi.evidence_of(during, coalesce(chosen, '{}'), as_of) AS e
        LEFT JOIN LATERAL iot_kpi.device_report(e.dossier) AS r ON true;
END $$;
COMMENT ON FUNCTION iot_kpi.objective_time(text, text, text, tstzrange, text[], timestamptz) IS
    'the pooled time of the devices that an objective is for; collectors that observe a device are none of a group, unless named in device_ids';

CREATE OR REPLACE FUNCTION iot_kpi.anomalies(
    metric text, during tstzrange, cut_off double precision DEFAULT 3.5, seasonal boolean DEFAULT false,
    baseline interval DEFAULT '28 days', time_zone text DEFAULT current_setting('TimeZone'),
    device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE (
    device_id text, "time" timestamptz, value double precision, expected double precision, score double precision
)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    effective constant tstzrange := iot_kpi.effective_window(during, as_of);
    window_start constant timestamptz := lower(effective);
    window_end constant timestamptz := upper(effective);
    wanted constant text := iot_kpi.check_metric(metric);
    baseline_start timestamptz := window_start;
BEGIN
    IF cut_off IS NULL OR NOT cut_off > 0 OR cut_off = 'infinity' OR cut_off = 'NaN' THEN
        RAISE EXCEPTION 'cut_off must be positive and finite, not %', coalesce(cut_off::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'The usual cut-off is 3.5.';
    ELSIF baseline IS NULL OR baseline < interval '0' THEN
        RAISE EXCEPTION 'baseline must not be negative, not %', coalesce(baseline::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the time to learn from before the window, such as ''28 days''.';
    END IF;
    IF seasonal THEN
        -- The same hour of the week is seen once a week: it takes weeks to learn it.
        baseline_start := window_start - baseline;
    END IF;
    RETURN QUERY
    WITH samples AS MATERIALIZED (
        SELECT m.device_id, m.time, m.value,
               CASE WHEN seasonal THEN extract(isodow FROM m.time AT TIME ZONE time_zone) * 24
                                       + extract(hour FROM m.time AT TIME ZONE time_zone) END AS season
        FROM iot.device_metrics m
        WHERE m.metric = wanted AND m.time >= baseline_start AND m.time < window_end
          AND (device_ids IS NULL OR m.device_id = ANY (device_ids))
    ),
    medians AS (
        SELECT s.device_id, s.season, percentile_cont(0.5) WITHIN GROUP (ORDER BY s.value) AS median
        FROM samples s GROUP BY s.device_id, s.season
    ),
    spreads AS (
        SELECT s.device_id, s.season, m.median,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(s.value - m.median)) AS mad,
               avg(abs(s.value - m.median) ORDER BY s.time) AS mean_deviation
        FROM samples s JOIN medians m ON m.device_id = s.device_id AND m.season IS NOT DISTINCT FROM s.season
        GROUP BY s.device_id, s.season, m.median
    )
    SELECT s.device_id, s.time, s.value, p.median, z.score
    FROM samples s
    JOIN spreads p ON p.device_id = s.device_id AND p.season IS NOT DISTINCT FROM s.season
    CROSS JOIN LATERAL (SELECT iot_kpi.modified_z_score(s.value, p.median, p.mad, p.mean_deviation)) AS z (score)
    WHERE s.time >= window_start AND abs(z.score) > cut_off
    ORDER BY s.device_id, s.time;
END $$;

CREATE OR REPLACE FUNCTION iot_kpi.wanted_calculations(during tstzrange, grain text, device_ids text[], as_of timestamptz)
RETURNS TABLE (device_id text, period tstzrange)
    LANGUAGE sql STABLE AS $$
SELECT d.device_id, p.period
FROM (SELECT over.period
      FROM (SELECT date_trunc(grain, lower(during), 'UTC') AS first, ('1 ' || grain)::interval AS step) AS f,
           LATERAL (SELECT make_interval(secs => extract(epoch FROM f.step)::float8)) AS exact (step),
           LATERAL generate_series(f.first, upper(during), exact.step) AS start,
           LATERAL (SELECT tstzrange(start, start + exact.step)) AS over (period)
      LEFT JOIN (SELECT DISTINCT k.period FROM iot.kpi_calculations k
                 WHERE k.grain = wanted_calculations.grain AND lower(during) < (SELECT iot_kpi.kept_from())
                   AND k.period >= tstzrange(lower(during), lower(during), '[]') AND k.period < tstzrange(upper(during), NULL)
          ) AS calculated ON calculated.period = over.period
      WHERE over.period <@ during AND upper(over.period) <= as_of
        -- Before that no row is kept: what was calculated then stands.
        AND (lower(over.period) >= (SELECT iot_kpi.kept_from()) OR calculated.period IS NULL)) AS p,
     iot.devices d
WHERE (device_ids IS NULL OR d.device_id = ANY (device_ids))
  AND NOT EXISTS (SELECT FROM iot.kpi_calculations k
                  WHERE k.device_id = d.device_id AND k.grain = wanted_calculations.grain AND k.period = p.period
                    AND NOT k.stale)
$$;

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
           r.messages_per_second, (e.dossier).expected_interval, by.liveness, iot_kpi.evidence_send(r.part),
           -- Of an hour, the beats are as few bytes as what they amount to.
           CASE WHEN wanted_grain = 'day' THEN
               iot_kpi.evidence_send(iot_kpi.evidence_summary(r.part, (e.dossier).expected_interval, by.liveness)) END
    -- A day that is calculated is missing or stale, so its beats come from hours and rows: only fresh days are read as runs.
    FROM iot_kpi.evidence_of(tstzrange(edges[1], edges[cardinality(edges)]), device_ids, edges[cardinality(edges)], edges) AS e
    CROSS JOIN LATERAL (SELECT coalesce((e.dossier).liveness, (e.dossier).expected_interval * 3)) AS by (liveness)
    -- Both have a row for each slot, in order: side by side, so that neither is called again for each row of the other.
    CROSS JOIN LATERAL ROWS FROM (
        iot_kpi.device_report(e.dossier), iot_kpi.evidence_parts(coalesce((e.dossier).evidence, iot_kpi.no_evidence(edges)))) AS r
    ORDER BY e.device_id, r.slot_start
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
COMMENT ON FUNCTION iot_kpi.check_devices(text[]) IS 'fails with a hint where one of some devices is not known: who has something written should hear of a slip; reports pass over it, since a dashboard remembers devices that are gone';

CREATE OR REPLACE FUNCTION iot_kpi.stale_devices(since text, until text, most integer) RETURNS TABLE (device_id text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- From one device of the index to the next: however many periods of a device are stale, it is one step.
    RETURN QUERY
    WITH RECURSIVE stale AS (
        (SELECT k.device_id FROM iot.kpi_calculations k WHERE k.stale AND k.device_id > since ORDER BY k.device_id LIMIT 1)
        UNION ALL
        SELECT (SELECT k.device_id FROM iot.kpi_calculations k WHERE k.stale AND k.device_id > s.device_id ORDER BY k.device_id LIMIT 1)
        FROM stale s WHERE s.device_id IS NOT NULL AND (until IS NULL OR s.device_id < until)
    )
    SELECT s.device_id FROM stale s WHERE s.device_id IS NOT NULL AND (until IS NULL OR s.device_id <= until) LIMIT most;
END
$$;
COMMENT ON FUNCTION iot_kpi.stale_devices(text, text, integer) IS
    'Part of upkeep_stale(): devices with stale calculations after one and up to another (NULL: any) by id, in order and no more than so many';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_stale(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since constant text := coalesce(place ->> 'from', '');
    until text := place ->> 'to';
    earliest constant timestamptz := greatest(iot_kpi.kept_from(), (place ->> 'day')::timestamptz + interval '24 hours');
    devices constant text[] := ARRAY(SELECT s.device_id FROM iot_kpi.stale_devices(since, until, iot_kpi.setting('upkeep_batch')::integer) s);
    next_day timestamptz;
BEGIN
    IF cardinality(devices) = 0 AND until IS NULL THEN
        RETURN NULL;
    END IF;
    until := coalesce(until, devices[cardinality(devices)]);
    SELECT date_trunc('day', min(f.first), 'UTC') INTO next_day
    FROM unnest(devices) u (device_id), LATERAL (
        SELECT lower(k.period) AS first FROM iot.kpi_calculations k
        WHERE k.stale AND k.device_id = u.device_id AND k.period >= tstzrange(earliest, earliest, '[]') AND upper(k.period) <= now()
        ORDER BY k.period LIMIT 1) f;
    IF next_day IS NULL THEN
        RETURN place - 'to' - 'day' || jsonb_build_object('from', until);
    END IF;
    PERFORM iot_kpi.try_calculation(next_day, ARRAY(
        SELECT d.device_id FROM iot.devices d
        WHERE d.device_id = ANY (devices) AND EXISTS (
            SELECT FROM iot.kpi_calculations k
            WHERE k.stale AND k.device_id = d.device_id AND k.period >= tstzrange(next_day, next_day, '[]')
              AND k.period < tstzrange(next_day + interval '24 hours', NULL))));
    RETURN place || jsonb_build_object('to', until, 'day', next_day);
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.delete_expired_samples_work(day timestamptz, device_ids text[], metrics text[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    evidence boolean;
BEGIN
    -- Nobody looks whether the KPIs of that day have been calculated: upkeep did, before it came here.
    PERFORM iot_kpi.require_owner('samples past the retention of their metric are deleted by upkeep');
    WITH deleted AS (
        DELETE FROM iot.device_metrics m
        WHERE m.device_id = ANY (device_ids) AND m.metric = ANY (metrics)
          AND m."time" >= day AND m."time" < day + interval '24 hours'
        RETURNING m.device_id, m.metric)
    SELECT bool_or(g.metric IN ('response_time', 'error', 'bytes') OR coalesce(d.heartbeat_metric, g.metric) = g.metric)
    INTO evidence
    FROM (SELECT DISTINCT x.device_id, x.metric FROM deleted x) g JOIN iot.devices d ON d.device_id = g.device_id;
    RETURN coalesce(evidence, false);
END
$$;
COMMENT ON FUNCTION iot_kpi.delete_expired_samples_work(timestamptz, text[], text[]) IS 'What delete_expired_samples() does';

CREATE OR REPLACE FUNCTION iot_kpi.delete_expired_samples(day timestamptz, device_ids text[], metrics text[]) RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quietly';
COMMENT ON FUNCTION iot_kpi.delete_expired_samples(timestamptz, text[], text[]) IS
    'Step of upkeep: deletes a UTC day''s samples of devices that are beyond the retention of their metrics; what was calculated of them stands. Returns whether KPIs were made of any';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_metrics(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    expired constant record := iot_kpi.expired_metrics();
    -- A changed retention may have put another day in front meanwhile, which has to be calculated first.
    goes_on constant boolean := coalesce((place ->> 'day')::timestamptz = expired.day, false);
    since constant text := CASE WHEN goes_on THEN coalesce(place ->> 'from', '') ELSE '' END;
    deleting constant boolean := goes_on AND place ? 'deleting';
    chosen text[];
BEGIN
    IF expired.day IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT d.device_id FROM iot.devices d WHERE d.device_id > since
          ORDER BY d.device_id LIMIT iot_kpi.setting('upkeep_batch')::integer) c;
    IF chosen IS NULL AND NOT deleting THEN
        RETURN place - 'from' || jsonb_build_object('day', expired.day, 'deleting', true);
    ELSIF chosen IS NULL THEN
        UPDATE iot.metric_types t SET expired_until = expired.day + interval '24 hours' WHERE t.metric = ANY (expired.metrics);
        RETURN place - 'from' - 'day' - 'deleting';
    ELSIF NOT deleting THEN
        -- All devices first, then the samples: a device's calculation also reads its collector's. And the day after, into which the
        -- last beats of this one reach.
        IF iot_kpi.setting('calculations') = 'on'
           AND NOT (iot_kpi.try_calculation(expired.day, chosen) AND iot_kpi.try_calculation(expired.day + interval '24 hours', chosen)) THEN
            RETURN NULL;
        END IF;
    ELSE
        IF iot_kpi.delete_expired_samples(expired.day, chosen, expired.metrics) THEN
            UPDATE iot.settings s
            SET value = to_char(greatest(s.value::timestamptz, expired.day + interval '24 hours' + iot_kpi.look_back(NULL)) AT TIME ZONE 'UTC',
                                'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            WHERE s.name = 'evidence_from';
        END IF;
    END IF;
    RETURN place - CASE WHEN deleting THEN '' ELSE 'deleting' END || jsonb_build_object('day', expired.day, 'from', chosen[cardinality(chosen)]);
END
$$;

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
        further := further || jsonb_build_object('since', coalesce(place ->> 'since', now()::text));
        UPDATE iot.upkeep u SET place = further WHERE u.step = 'run';
        RETURN further;
    END IF;

    INSERT INTO iot.upkeep AS u (step, finished_at, run_by, error, error_at)
    VALUES (step, CASE WHEN fault IS NULL THEN clock_timestamp() END, run_by, fault, CASE WHEN fault IS NOT NULL THEN clock_timestamp() END)
    ON CONFLICT ON CONSTRAINT upkeep_pkey DO UPDATE
        SET finished_at = coalesce(excluded.finished_at, u.finished_at), run_by = excluded.run_by,
            error = coalesce(excluded.error, u.error), error_at = coalesce(excluded.error_at, u.error_at);
    IF step <> steps[cardinality(steps)] THEN
        further := jsonb_build_object('step', steps[array_position(steps, step) + 1], 'by', run_by, 'since', coalesce(place ->> 'since', now()::text));
    END IF;
    UPDATE iot.upkeep u
    SET place = further, finished_at = CASE WHEN further IS NULL THEN clock_timestamp() ELSE u.finished_at END
    WHERE u.step = 'run';
    RETURN further;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.deadlines_of(device_ids text[]) RETURNS TABLE (
    device_id text, last_beat timestamptz, liveness interval, deadline timestamptz, silent_since timestamptz,
    missed boolean, returned boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    WITH maintained AS MATERIALIZED (
        SELECT DISTINCT w.device_id FROM iot.maintenance_windows w WHERE w.period @> now()
    )
    SELECT d.device_id, l.last_beat, alive.length, due.deadline, l.silent_since,
           due.deadline <= now() AND l.silent_since IS NULL
               AND coalesce(d.commissioned_at <= now(), d.registered_by <> 'first_sample')
               AND (d.decommissioned_at IS NULL OR d.decommissioned_at > now())
               -- While nobody looks, nobody knows.
               AND (d.collector_id IS NULL OR coalesce(c.last_beat + make_interval(secs => extract(
                       epoch FROM coalesce(o.liveness, o.expected_interval * 3))::float8) > now(), false))
               AND m.device_id IS NULL AND NOT EXISTS (SELECT FROM maintained everywhere WHERE everywhere.device_id IS NULL),
           coalesce(due.deadline > l.silent_since, false)
    FROM iot.devices d
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
    LEFT JOIN iot.devices o ON o.device_id = d.collector_id
    LEFT JOIN iot.device_liveness c ON c.device_id = d.collector_id
    LEFT JOIN maintained m ON m.device_id = d.device_id
    -- Seconds, not days: a day of an interval is 23 or 25 hours long where clocks change.
    CROSS JOIN LATERAL (SELECT make_interval(secs => extract(epoch FROM coalesce(d.liveness, d.expected_interval * 3))::float8)) AS alive (length)
    -- One that was never seen has its time from when it went into service.
    CROSS JOIN LATERAL (SELECT coalesce(greatest(l.last_beat, d.commissioned_at), d.created_at) + alive.length) AS due (deadline)
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
END
$$;
COMMENT ON FUNCTION iot_kpi.deadlines_of(text[]) IS 'What deadlines() says, of some devices; NULL: of all';

CREATE OR REPLACE FUNCTION iot_kpi.deadlines() RETURNS TABLE (
    device_id text, last_beat timestamptz, liveness interval, deadline timestamptz, silent_since timestamptz,
    missed boolean, returned boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT t.* FROM iot_kpi.deadlines_of(NULL) t;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_deadlines(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since constant text := coalesce(place ->> 'from', '');
    batch constant integer := iot_kpi.setting('upkeep_batch')::integer;
    -- Few of them are late: many can be looked at for one that has to be written.
    to_look_at constant integer := 20 * batch;
    looked_at text[];
    chosen text[];
    free text[];
    events jsonb;
    further jsonb;
BEGIN
    IF iot_kpi.setting('deadlines') = 'off' THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO looked_at
    FROM (SELECT d.device_id FROM iot.devices d WHERE d.device_id > since ORDER BY d.device_id LIMIT to_look_at) c;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT t.device_id COLLATE "C" AS device_id FROM iot_kpi.deadlines_of(looked_at) t
          WHERE looked_at IS NOT NULL AND (t.missed OR t.returned) ORDER BY 1 LIMIT batch) c;
    IF cardinality(chosen) = batch THEN
        further := place || jsonb_build_object('from', chosen[batch]);
    ELSIF cardinality(looked_at) = to_look_at THEN
        further := place || jsonb_build_object('from', looked_at[to_look_at]);
    END IF;
    IF chosen IS NULL THEN
        RETURN further;
    END IF;
    -- The row is the lock between writers and upkeep too. One whose row is taken is being written, and has its turn in the next run.
    INSERT INTO iot.device_liveness (device_id) SELECT u.id FROM unnest(chosen) u (id) WHERE NOT EXISTS (
        SELECT FROM iot.device_liveness l WHERE l.device_id = u.id) ON CONFLICT DO NOTHING;
    SELECT array_agg(l.device_id) INTO free
    FROM (SELECT x.device_id FROM iot.device_liveness x WHERE x.device_id = ANY (chosen) ORDER BY x.device_id
          FOR NO KEY UPDATE SKIP LOCKED) l;

    -- Looked at again, now that nobody can write them.
    WITH judged AS MATERIALIZED (
        SELECT t.*,
               -- A microsecond later: at the very instant there may be a sample of the device's own.
               CASE WHEN t.missed THEN t.deadline ELSE greatest(t.silent_since + interval '1 microsecond', (
                   SELECT min(m."time") FROM iot.device_metrics m JOIN iot.devices d ON d.device_id = t.device_id
                   WHERE m.device_id = t.device_id AND m."time" > t.silent_since - t.liveness
                     AND (d.heartbeat_metric IS NULL OR m.metric = d.heartbeat_metric))) END + interval '1 microsecond' AS "time"
        FROM iot_kpi.deadlines_of(free) t
        WHERE free IS NOT NULL AND (t.missed OR t.returned)
    ), noted AS (
        UPDATE iot.device_liveness l SET silent_since = CASE WHEN j.missed THEN j.deadline END
        FROM judged j WHERE l.device_id = j.device_id
    ), told AS (
        INSERT INTO iot.device_status_history (device_id, "time", status, recorded_by, reason)
        SELECT j.device_id, j."time", CASE WHEN j.missed THEN 'offline' ELSE 'online' END, 'upkeep',
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
    PERFORM iot_kpi.announce(events);
    RETURN further;
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.take_back_old_rights() RETURNS void
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

CREATE OR REPLACE FUNCTION iot_kpi.rights(level text) RETURNS TABLE (privilege text, object text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.privilege, r.object
    FROM (VALUES
        (1, 'SELECT', 'TABLE iot.settings, iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history, iot.device_liveness, '
            'iot.maintenance_windows, iot.slo_targets, iot.kpi_calculations, iot.upkeep'),
        (2, 'INSERT', 'TABLE iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history'),
        (2, 'UPDATE', 'TABLE iot.device_status_history'),
        
        (2, 'UPDATE (name, device_type, location, expected_interval, liveness, heartbeat_metric, collector_id, commissioned_at, registered_by)',
            'TABLE iot.devices'),
        (2, 'EXECUTE', 'FUNCTION iot.make_partition_as_owner(timestamptz)'),
        (3, 'INSERT, UPDATE, DELETE', 'TABLE iot.settings, iot.devices, iot.metric_types, iot.device_metrics, iot.device_status_history, '
            'iot.device_liveness, iot.maintenance_windows, iot.slo_targets, iot.kpi_calculations'),
        (3, 'EXECUTE', 'FUNCTION iot.upkeep_as_owner(jsonb)')) AS r (needed, privilege, object)
    WHERE r.needed <= CASE level WHEN 'reader' THEN 1 WHEN 'writer' THEN 2 WHEN 'admin' THEN 3 END;
END;

CREATE OR REPLACE FUNCTION iot_kpi.row_policies() RETURNS TABLE (relation text, name text, rule text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.relation, p.name, p.rule
    FROM (VALUES
        ('device_metrics', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        ('device_status_history', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        
        
        ('device_liveness', 'iot_kpi_devices', 'FOR SELECT USING (%1$s)'),
        ('kpi_calculations', 'iot_kpi_devices', 'FOR SELECT USING (%1$s)'),
        ('maintenance_windows', 'iot_kpi_devices', 'FOR ALL USING (%1$s) WITH CHECK (%1$s)'),
        ('maintenance_windows', 'iot_kpi_of_all', 'FOR SELECT USING (device_id IS NULL)'),
        ('slo_targets', 'iot_kpi_devices', 'FOR ALL USING (scope_kind = ''device'' AND scope_value IN (SELECT d.device_id FROM iot.devices d))'),
        ('slo_targets', 'iot_kpi_of_all', 'FOR SELECT USING (scope_kind <> ''device'')')) AS p (relation, name, rule);
END;

CREATE OR REPLACE FUNCTION iot_kpi.close_partition(partition regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Without a policy nobody but the owner reads it by its own name: GRANT ... ON ALL TABLES would else be a way round. What is read
    -- through iot.device_metrics is judged by the policy of that.
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
END
$$;
COMMENT ON FUNCTION iot_kpi.close_partition(regclass) IS 'Hides the rows of a partition from all who name it instead of iot.device_metrics';

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
    PERFORM iot_kpi.close_partition(i.inhrelid) FROM pg_inherits i WHERE i.inhparent = to_regclass('iot.device_metrics');
    ALTER TABLE iot.devices ENABLE ROW LEVEL SECURITY;
END
$$;

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
    FOR p IN SELECT i.inhrelid::regclass AS name FROM pg_inherits i WHERE i.inhparent = to_regclass('iot.device_metrics') LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', p.name);
    END LOOP;
END
$$;
