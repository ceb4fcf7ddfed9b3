-- The managed store. Its tables are made at run time, so they are ordinary tables that pg_dump dumps and that outlive the
-- extension: no default, CHECK or index of theirs may name anything of the extension. Only triggers do, and that is what makes
-- a plain DROP EXTENSION refuse while a store exists.
--
-- Ids sort by bytes (COLLATE "C"): quicker, and an index outlives a change of the operating system's locale.

CREATE FUNCTION iot_kpi.create_store_tables() RETURNS void
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
    ALTER TABLE iot.upkeep ADD COLUMN IF NOT EXISTS place jsonb, ADD COLUMN IF NOT EXISTS deleted_until timestamptz;
    -- A period that reaches back before all timestamps would fail the report of every objective.
    ALTER TABLE iot.slo_targets
        DROP CONSTRAINT IF EXISTS period_within_a_century,
        ADD CONSTRAINT period_within_a_century CHECK (period <= '36525 days');
    -- Of these, few if any: health() asks for devices with a figure that has no value.
    CREATE INDEX IF NOT EXISTS kpi_calculations_beyond_idx ON iot.kpi_calculations (device_id)
        WHERE response_count > 0 AND response_mean IS NULL OR messages_per_second IS NOT NULL AND bytes_per_second IS NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_tables() IS 'Step of create_store(): the tables, those that are missing';

CREATE FUNCTION iot_kpi.create_store_comments() RETURNS void
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

        ['device_metrics', '', 'Metric samples, one partition a UTC day, and one a year for days that have none'],
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
        ['upkeep', 'deleted_until', 'Of the step retention: of partitions of years, samples before this instant have been deleted'],
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
COMMENT ON FUNCTION iot_kpi.create_store_comments() IS 'Step of create_store(): what each table and column means';

CREATE FUNCTION iot_kpi.create_store_seeds() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO iot.settings (name, value, description)
    SELECT name, value, description FROM iot_kpi.default_settings()
    ON CONFLICT (name) DO UPDATE SET description = excluded.description
        WHERE settings.description IS DISTINCT FROM excluded.description;

    INSERT INTO iot.metric_types (metric, unit, kind, minimum, maximum, description) VALUES
        ('heartbeat', NULL, 'gauge', NULL, NULL, 'Sign of life; the value does not matter'),
        ('response_time', 'ms', 'gauge', 0, NULL, 'Time a communication with the device took'),
        ('error', NULL, 'gauge', 0, 1, 'Outcome of a communication: 0 it worked, 1 it failed'),
        ('bytes', 'B', 'delta', 0, NULL, 'Bytes transferred since the last sample'),
        ('temperature', '°C', 'gauge', -273.15, NULL, 'Temperature'),
        ('humidity', '%', 'gauge', 0, 100, 'Relative humidity'),
        ('pressure', 'hPa', 'gauge', 0, NULL, 'Air pressure'),
        ('motion', NULL, 'gauge', 0, NULL, 'Motion seen: 0 none, 1 (or a count) some'),
        ('air_quality', 'AQI', 'gauge', 0, NULL, 'Air quality index'),
        ('co2', 'ppm', 'gauge', 0, NULL, 'Carbon dioxide'),
        ('pm25', 'µg/m³', 'gauge', 0, NULL, 'Particulate matter under 2.5 µm'),
        ('light', 'lx', 'gauge', 0, NULL, 'Illuminance'),
        ('battery', '%', 'gauge', 0, 100, 'Battery charge'),
        ('frame_rate', 'fps', 'gauge', 0, NULL, 'Frames a second of a camera'),
        ('signal_strength', 'dBm', 'gauge', NULL, NULL, 'Received signal strength'),
        ('uptime', NULL, 'gauge', 0, 1, 'Uptime as the device itself reports it, a ratio')
    ON CONFLICT (metric) DO NOTHING;
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_seeds() IS
    'Step of create_store(): default settings and metric types; what is already there stays as it is';

CREATE FUNCTION iot_kpi.create_store_triggers() RETURNS void
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
COMMENT ON FUNCTION iot_kpi.create_store_triggers() IS
    'Step of create_store(): attaches the ingest rules; needed again after DROP EXTENSION ... CASCADE took them';

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
    RETURN format('store version %s in schema iot is ready, %s partitions made', version, partitions);
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store() IS
    'Makes the device store in schema iot, or brings an older one up to date; run again it changes nothing. Returns what it did';
