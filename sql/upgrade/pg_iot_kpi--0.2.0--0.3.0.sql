-- From 0.2.0 to 0.3.0. Above the line below stands what is written by hand, which runs first; `make upgrade-script`
-- writes what is below it, from the difference between that version's SQL and the files of sql/.
\echo Use "ALTER EXTENSION pg_iot_kpi UPDATE TO '0.3.0'" to load this file. \quit

ALTER TYPE iot_kpi.dossier ADD ATTRIBUTE beat_before timestamptz, ADD ATTRIBUTE seen_until timestamptz;

---- generated ----

DROP FUNCTION iot_kpi.calculate_period(text[], text, timestamptz[]);
DROP FUNCTION iot_kpi.outages(tstzrange, interval, text[], timestamptz);
DROP FUNCTION iot_kpi.status_periods(tstzrange, text[], timestamptz);
DROP FUNCTION iot_kpi.group_series(text, tstzrange, text, text[], timestamptz, timestamptz[]);
DROP FUNCTION iot_kpi.device_series(text, tstzrange, text[], timestamptz, timestamptz[]);
DROP FUNCTION iot_kpi.fleet_kpis(tstzrange, text, text[], timestamptz);
DROP FUNCTION iot_kpi.group_kpis(tstzrange, text, text[], timestamptz, timestamptz[]);
DROP FUNCTION iot_kpi.device_kpis(tstzrange, text[], timestamptz);
DROP FUNCTION iot_kpi.device_report(iot_kpi.dossier);
DROP FUNCTION iot_kpi.evidence_of(tstzrange, text[], timestamptz, timestamptz[]);
DROP FUNCTION iot_kpi.silent_ranges(iot_kpi.dossier);
DROP FUNCTION iot_kpi.gather(timestamptz[], timestamptz, timestamptz, text[], boolean);
DROP FUNCTION iot_kpi.ingest_status(text[], timestamptz[], text[], text[]);
DROP FUNCTION iot_kpi.ingest_metrics(text[], text[], timestamptz[], float8[]);
DROP FUNCTION iot_kpi.make_partitions_of(timestamptz[], timestamptz, timestamptz);
DROP FUNCTION iot_kpi.note_statuses(text[], timestamptz[]);
DROP FUNCTION iot_kpi.mark_rows_stale(text[], timestamptz[], timestamptz[]);
DROP FUNCTION iot_kpi.of_upkeep(text);
DROP FUNCTION iot_kpi.drop_partition(regclass, timestamptz);
DROP FUNCTION iot_kpi.expired_partitions();

CREATE OR REPLACE FUNCTION iot_kpi.uptime(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}') RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_uptime';

CREATE OR REPLACE FUNCTION iot_kpi.up_time(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}') RETURNS interval
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_up_time';

CREATE OR REPLACE FUNCTION iot_kpi.down_time(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}') RETURNS interval
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_down_time';

CREATE OR REPLACE FUNCTION iot_kpi.availability_report(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}') RETURNS TABLE (up_time interval, down_time interval, unknown_time interval, excluded_time interval, uptime double precision,
           failures bigint, mtbf interval, mttr interval, longest_outage interval)
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'iot_kpi_availability_report';

CREATE OR REPLACE FUNCTION iot_kpi.outages(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', min_outage interval DEFAULT '0') RETURNS TABLE (started_at timestamptz, ended_at timestamptz, duration interval, ongoing boolean, began_before boolean,
           last_beat timestamptz)
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeat_outages';
COMMENT ON FUNCTION iot_kpi.percentile(iot_kpi.response_sketch, double precision) IS 'the response time at rank q(n - 1), in milliseconds, 0 and 1 being minimum and maximum; NULL without response times';
COMMENT ON FUNCTION iot_kpi.mean(iot_kpi.response_sketch) IS 'arithmetic mean in milliseconds, exact; NULL where the sum is beyond double precision';
COMMENT ON FUNCTION iot_kpi.rate(iot_kpi.throughput, tstzrange) IS 'amount a second of a window; NULL where it is beyond double precision';
COMMENT ON FUNCTION iot_kpi.total(iot_kpi.throughput) IS 'all amounts or increases, exact; NULL where they are beyond double precision';
COMMENT ON FUNCTION iot_kpi.modified_z_score(double precision, double precision, double precision, double precision) IS
    '0.6745 (value - median)/mad; with a mad of zero (value - median)/(1.2533 mean_deviation); NULL where that is zero too; an error where it is beyond double precision';

CREATE OR REPLACE FUNCTION iot_kpi.unusual(times timestamptz[], "values" double precision[], since timestamptz, cut_off double precision)
RETURNS TABLE ("time" timestamptz, value double precision, expected double precision, score double precision)
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'iot_kpi_unusual';
COMMENT ON FUNCTION iot_kpi.unusual(timestamptz[], double precision[], timestamptz, double precision) IS
    'the values from an instant on whose modified z-score among all of them exceeds cut_off, with their median; a score beyond double precision is NULL';

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

CREATE OR REPLACE FUNCTION iot_kpi.exact(duration interval) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.make_interval(secs => extract(epoch FROM duration)::float8);
COMMENT ON FUNCTION iot_kpi.exact(interval) IS
    'A duration in hours and less, for timestamptz + and -: a day is 24 hours there, and not one of the session''s time zone; a month is 30 days, a year 365.25';

CREATE OR REPLACE FUNCTION iot_kpi.duration(name text) RETURNS interval
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN iot_kpi.exact(iot_kpi.setting(name)::interval);
END
$$;
COMMENT ON FUNCTION iot_kpi.duration(text) IS 'Value of a setting that is an interval, as an exact duration; NULL where it is not set';

CREATE OR REPLACE FUNCTION iot_kpi.check_setting() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp

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
        -- catalogue: stored columns
        ADD COLUMN IF NOT EXISTS up_time interval,
        ADD COLUMN IF NOT EXISTS down_time interval,
        ADD COLUMN IF NOT EXISTS unknown_time interval,
        ADD COLUMN IF NOT EXISTS excluded_time interval,
        ADD COLUMN IF NOT EXISTS uptime double precision,
        ADD COLUMN IF NOT EXISTS availability double precision,
        ADD COLUMN IF NOT EXISTS failures bigint,
        ADD COLUMN IF NOT EXISTS mtbf interval,
        ADD COLUMN IF NOT EXISTS mttr interval,
        ADD COLUMN IF NOT EXISTS longest_outage interval,
        ADD COLUMN IF NOT EXISTS completeness double precision,
        ADD COLUMN IF NOT EXISTS regularity double precision,
        ADD COLUMN IF NOT EXISTS stability double precision,
        ADD COLUMN IF NOT EXISTS consistency double precision,
        ADD COLUMN IF NOT EXISTS jitter double precision,
        ADD COLUMN IF NOT EXISTS missed_beats bigint,
        ADD COLUMN IF NOT EXISTS response_count bigint,
        ADD COLUMN IF NOT EXISTS response_mean double precision,
        ADD COLUMN IF NOT EXISTS response_p50 double precision,
        ADD COLUMN IF NOT EXISTS response_p90 double precision,
        ADD COLUMN IF NOT EXISTS response_p95 double precision,
        ADD COLUMN IF NOT EXISTS response_p99 double precision,
        ADD COLUMN IF NOT EXISTS apdex double precision,
        ADD COLUMN IF NOT EXISTS attempts bigint,
        ADD COLUMN IF NOT EXISTS failed bigint,
        ADD COLUMN IF NOT EXISTS error_rate double precision,
        ADD COLUMN IF NOT EXISTS error_rate_low double precision,
        ADD COLUMN IF NOT EXISTS error_rate_high double precision,
        ADD COLUMN IF NOT EXISTS bytes_per_second double precision,
        ADD COLUMN IF NOT EXISTS messages_per_second double precision,
        ADD COLUMN IF NOT EXISTS response_p75 double precision,
        -- catalogue: end
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
        ['devices', 'heartbeat_metric', 'The metric whose samples are beats; NULL: every sample is one. A failed communication and a heartbeat of 0 prove nothing'],
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
        ['upkeep', 'step', (SELECT string_agg(s.step, ', ' ORDER BY s.ordinality) FROM iot_kpi.upkeep_steps() WITH ORDINALITY s) || '; run: all of them'],
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
        -- catalogue: comments
        ['kpi_calculations', 'up_time', 'Time required, observed and working'],
        ['kpi_calculations', 'down_time', 'Time required, observed and not working'],
        ['kpi_calculations', 'unknown_time', 'Time in which nobody was looking'],
        ['kpi_calculations', 'excluded_time', 'Time in which it was not required to work'],
        ['kpi_calculations', 'uptime', 'Up / (up + down) by heartbeats'],
        ['kpi_calculations', 'availability', 'Up / (up + down) by status reports'],
        ['kpi_calculations', 'failures', 'Outages that began in the window'],
        ['kpi_calculations', 'mtbf', 'Up time / failures'],
        ['kpi_calculations', 'mttr', 'Down time / failures'],
        ['kpi_calculations', 'longest_outage', 'The longest outage of the window'],
        ['kpi_calculations', 'completeness', 'Share of the expected reports that came'],
        ['kpi_calculations', 'regularity', '1 is clockwork, 0 is random'],
        ['kpi_calculations', 'stability', '1 never changes between up and down, 0 at every report'],
        ['kpi_calculations', 'consistency', 'Geometric mean of completeness, regularity and stability'],
        ['kpi_calculations', 'jitter', 'Mean difference between consecutive gaps, s'],
        ['kpi_calculations', 'missed_beats', 'Reports that did not come'],
        ['kpi_calculations', 'response_count', 'Response times measured'],
        ['kpi_calculations', 'response_mean', 'Mean response time, ms'],
        ['kpi_calculations', 'response_p50', 'Half of the responses were quicker, ms'],
        ['kpi_calculations', 'response_p90', '90 % of the responses were quicker, ms'],
        ['kpi_calculations', 'response_p95', '95 % of the responses were quicker, ms'],
        ['kpi_calculations', 'response_p99', '99 % of the responses were quicker, ms'],
        ['kpi_calculations', 'apdex', '(satisfied + tolerating / 2) / total; 1 is best'],
        ['kpi_calculations', 'attempts', 'Communications attempted'],
        ['kpi_calculations', 'failed', 'Communications that failed'],
        ['kpi_calculations', 'error_rate', 'Failed / attempts'],
        ['kpi_calculations', 'error_rate_low', 'Lower end of the 95 % interval'],
        ['kpi_calculations', 'error_rate_high', 'Upper end of the 95 % interval'],
        ['kpi_calculations', 'bytes_per_second', 'Bytes / required seconds, bytes/s'],
        ['kpi_calculations', 'messages_per_second', 'Messages / required seconds, 1/s'],
        ['kpi_calculations', 'response_p75', '75 % of the responses were quicker, ms'],
        -- catalogue: end
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

CREATE OR REPLACE FUNCTION iot_kpi.judge_anew() RETURNS void
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
COMMENT ON FUNCTION iot_kpi.has_partition(timestamptz) IS 'Whether the UTC day of an instant has a partition of its own in iot.device_metrics';

CREATE OR REPLACE FUNCTION iot_kpi.partitions()
RETURNS TABLE (partition regclass, first timestamptz, until timestamptz, of_days boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp

SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY
    SELECT c.oid::regclass, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz, i.inhparent = to_regclass('iot.device_metrics')
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
         regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''([^'']+)''\)$') AS b (bounds)
    WHERE i.inhparent IN (to_regclass('iot.device_metrics'), to_regclass('iot.device_metrics_years')) AND b.bounds IS NOT NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.partitions() IS
    'The partitions of iot.device_metrics, of days and of years, with the stretch of time that each is for; not the default ones, which are for the rest';

CREATE OR REPLACE FUNCTION iot_kpi.make_table(name text, more text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE TABLE iot.%I (LIKE iot.device_metrics INCLUDING ALL) %s', name, more);
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = to_regclass('iot.device_metrics')) THEN
        PERFORM iot_kpi.close_partition(format('iot.%I', name)::regclass);
    END IF;
    -- A superuser's partition would be one that the owner could not drop.
    IF iot_kpi.store_owner() <> to_regrole(quote_ident(current_user)) THEN
        EXECUTE format('ALTER TABLE iot.%I OWNER TO %I', name, pg_get_userbyid(iot_kpi.store_owner()));
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_table(text, text) IS 'Makes a table like iot.device_metrics, to be attached to it: its owner''s, and closed where rows are guarded';

CREATE OR REPLACE FUNCTION iot_kpi.lock_samples(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp

SET lock_timeout = '100ms'
AS $$
DECLARE
    most constant int := 10;
BEGIN
    FOR attempt IN 1..most LOOP
        BEGIN
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', relation);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = most THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION iot_kpi.lock_samples(regclass) IS
    'Step of attach_partition(): keeps readers and writers out of a table; 55P03 where they are there for two seconds and more';

CREATE OR REPLACE FUNCTION iot_kpi.attach_partition(relation text, name text, first timestamptz, until timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp

SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
SET lock_timeout = '100ms'
AS $$
DECLARE
    in_default boolean;
BEGIN
    PERFORM iot_kpi.make_table(name, '');
    -- Nobody may have planned where to read or write without this partition and wait for the one that was there before: a writer would
    -- be told that its row does not belong there, and a reader not find the rows that are moved.
    IF relation = 'device_metrics_years' THEN
        -- No row that lies here could belong to a day outside: so a partition of such a day is attached without a look at this one.
        EXECUTE format('ALTER TABLE iot.%I ADD CONSTRAINT time_of_the_partition CHECK ("time" >= %L AND "time" < %L)', name, first, until);
        -- Most of it while everybody goes on, and what came meanwhile at last.
        in_default := iot_kpi.move_from_default(name, first, until) > 0;
        PERFORM iot_kpi.lock_samples('iot.device_metrics_years');
        IF in_default THEN
            PERFORM iot_kpi.move_from_default(name, first, until);
        END IF;
    ELSE
        IF first <= now() + iot_kpi.duration('clock_skew') THEN
            PERFORM iot_kpi.lock_samples('iot.device_metrics');
        END IF;
        -- It is looked at for rows of the day. A store that create_store() has not brought up to date yet has none.
        IF to_regclass('iot.device_metrics_years') IS NOT NULL THEN
            PERFORM iot_kpi.lock_samples('iot.device_metrics_years');
        END IF;
    END IF;
    EXECUTE format('ALTER TABLE iot.%I ATTACH PARTITION iot.%I FOR VALUES FROM (%L) TO (%L)', relation, name, first, until);
EXCEPTION WHEN lock_not_available OR check_violation THEN
    -- Of a day there may be samples; of a year one may have come this very moment.
    IF relation = 'device_metrics' AND SQLSTATE = '23514' THEN
        RAISE;
    END IF;
    RAISE EXCEPTION 'partition % cannot be made while others use the samples of other years', name
        USING ERRCODE = 'lock_not_available', HINT = 'Try again. Meanwhile samples have a place all the same, in iot.device_metrics_years.';
END
$$;
COMMENT ON FUNCTION iot_kpi.attach_partition(text, text, timestamptz, timestamptz) IS
    'Makes a partition of iot.device_metrics or iot.device_metrics_years for a stretch of time; 55P03 where it would have to wait, 23514 where the years hold rows of it';

CREATE OR REPLACE FUNCTION iot_kpi.move_from_default(name text, first timestamptz, until timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved bigint;
BEGIN
    EXECUTE format('WITH moved AS (DELETE FROM iot.device_metrics_default d WHERE d."time" >= $1 AND d."time" < $2 RETURNING d.*)
                    INSERT INTO iot.%I SELECT * FROM moved', name) USING first, until;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION iot_kpi.move_from_default(text, timestamptz, timestamptz) IS
    'Step of attach_partition(): moves rows out of iot.device_metrics_default, into a table that is not attached yet; returns how many';

CREATE OR REPLACE FUNCTION iot_kpi.make_partition(day timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first constant timestamptz := date_trunc('day', day, 'UTC');
    name constant text := 'device_metrics_p' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
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
    BEGIN
        PERFORM iot_kpi.attach_partition('device_metrics', name, first, first + interval '24 hours');
    EXCEPTION WHEN check_violation THEN
        RAISE NOTICE 'there are samples of % already, and they stay where they are', to_char(first AT TIME ZONE 'UTC', 'YYYY-MM-DD');
        RETURN false;
    END;
    RETURN true;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partition(timestamptz) IS
    'Makes the partition of an instant''s UTC day, unless it is there or the day has samples already; returns whether it did';

CREATE OR REPLACE FUNCTION iot_kpi.wants_days() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    megabyte constant bigint := 1024 * 1024;
    days bigint;
    latest bigint;
BEGIN
    SELECT count(*), sum(pg_relation_size(p.partition)) FILTER (WHERE p.place <= 30) INTO days, latest
    FROM (SELECT d.partition, row_number() OVER (ORDER BY d.first DESC) AS place FROM iot_kpi.partitions() d
          WHERE d.of_days AND d.until <= now()) p;
    -- Four thousand samples a day, or a year of so many: more than that, and days are worth their tables.
    RETURN days < 100 OR latest > 8 * megabyte OR EXISTS (
        SELECT FROM iot_kpi.partitions() y
        WHERE NOT y.of_days AND y.first <= now() AND y.until > now() AND pg_relation_size(y.partition) > 100 * megabyte);
END
$$;
COMMENT ON FUNCTION iot_kpi.wants_days() IS
    'Whether upkeep makes partitions of days: not where a hundred are there, and the latest thirty hold next to nothing';

CREATE OR REPLACE FUNCTION iot_kpi.quick_to_attach(day timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Nothing is there yet of a day to come. One that has begun has samples, where it has no partition, and reading all of its year to
    -- find that out each time would be no small thing.
    RETURN day > now() OR NOT EXISTS (
        SELECT FROM iot_kpi.partitions() p
        WHERE NOT p.of_days AND p.first <= day AND p.until > day AND pg_relation_size(p.partition) > 16 * 1024 * 1024);
END
$$;
COMMENT ON FUNCTION iot_kpi.quick_to_attach(timestamptz) IS 'Whether upkeep may try to make the partition of a day';

CREATE OR REPLACE FUNCTION iot_kpi.make_partitions(during tstzrange DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Further back a partition name could not hold the year; and no device's clock is right before 1970.
    earliest constant timestamptz := '1970-01-01 00:00+00';
    latest constant timestamptz := '10000-01-01 00:00+00';
    -- Five years of partitions just fit into the lock table of a server with default settings.
    most constant interval := '1827 days';
    wanted constant tstzrange := coalesce(during, tstzrange(now() - interval '24 hours', now() + iot_kpi.duration('partitions_ahead'), '[]'));
    day timestamptz;
    made integer := 0;
BEGIN
    IF isempty(wanted) OR lower_inf(wanted) OR upper_inf(wanted)
       OR NOT isfinite(lower(wanted)) OR NOT isfinite(upper(wanted)) THEN
        RAISE EXCEPTION 'cannot make partitions for the range %', wanted
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a range with a start and a later end.';
    ELSIF lower(wanted) < earliest OR upper(wanted) > latest OR upper(wanted) - lower(wanted) > most THEN
        RAISE EXCEPTION 'cannot make partitions for the range %', wanted
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'One call makes the partitions of at most five years, within 1970 to 9999; call it for each part of a longer range.';
    END IF;
    IF during IS NULL AND iot_kpi.owns_store() THEN
        made := iot_kpi.make_years();
    END IF;
    FOR day IN
        SELECT d FROM generate_series(date_trunc('day', lower(wanted), 'UTC'), upper(wanted), interval '24 hours') AS d
        -- Asked before the lock is taken: mostly there is nothing to do.
        WHERE (d < upper(wanted) OR upper_inc(wanted)) AND NOT iot_kpi.has_partition(d)
          AND (during IS NOT NULL OR iot_kpi.wants_days() AND iot_kpi.quick_to_attach(d))
    LOOP
        IF iot_kpi.make_partition(day) THEN
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partitions(tstzrange) IS
    'Makes the partitions of iot.device_metrics for every UTC day in a range that has neither one nor samples; by default, those of yesterday to now + setting partitions_ahead, unless days hold next to nothing, and of years that lack one. Returns how many it made';

CREATE OR REPLACE FUNCTION iot_kpi.make_years(most integer DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp

SET timezone = 'UTC'
AS $$
DECLARE
    year timestamptz;
    made integer := 0;
BEGIN
    IF to_regclass('iot.device_metrics_default') IS NULL THEN
        RETURN 0;
    END IF;
    FOR year IN
        SELECT y FROM (SELECT generate_series(date_trunc('year', iot_kpi.earliest_sample()), now() + interval '1 year', '1 year')
                       -- Mostly empty: what nobody has made a year for yet.
                       UNION SELECT date_trunc('year', d."time") FROM iot.device_metrics_default d WHERE isfinite(d."time")) AS wanted (y)
        WHERE NOT EXISTS (SELECT FROM iot_kpi.partitions() p WHERE NOT p.of_days AND p.first <= y AND p.until > y) ORDER BY y LIMIT most
    LOOP
        PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
        PERFORM iot_kpi.attach_partition('device_metrics_years', 'device_metrics_y' || to_char(year, 'YYYY'), year, year + interval '1 year');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_years(integer) IS
    'Makes the partitions of iot.device_metrics_years that are missing, at most so many (NULL: all): from the earliest sample that is taken up to next year, and what lies in iot.device_metrics_default; returns how many';

CREATE OR REPLACE FUNCTION iot_kpi.has_default(relation regclass, partition regclass) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_partitioned_table t WHERE t.partrelid = relation AND t.partdefid = partition);
END
$$;
COMMENT ON FUNCTION iot_kpi.has_default(regclass, regclass) IS 'Whether a table has another one as its default partition';

CREATE OR REPLACE FUNCTION iot_kpi.default_holds_samples() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rest constant regclass := to_regclass('iot.device_metrics_default');
BEGIN
    IF NOT iot_kpi.has_default(to_regclass('iot.device_metrics'), to_regclass('iot.device_metrics_years'))
       OR NOT iot_kpi.has_default(to_regclass('iot.device_metrics_years'), rest) THEN
        RETURN NULL;
    ELSIF has_table_privilege(rest, 'SELECT') THEN
        RETURN EXISTS (SELECT FROM iot.device_metrics_default);
    END IF;
    -- Nobody else may read a partition by itself. The statistics of it lag a little behind.
    RETURN pg_stat_get_live_tuples(rest) > 0;
END
$$;
COMMENT ON FUNCTION iot_kpi.default_holds_samples() IS 'Whether there are samples of years that have no partition yet; NULL where a default partition is missing';

CREATE OR REPLACE FUNCTION iot_kpi.create_store_partitions() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    is_new constant boolean := to_regclass('iot.device_metrics_years') IS NULL;
    -- The partitions of days begin here. The year is cut there, so that samples of before are not looked at whenever a day gets its own.
    start_of_days constant timestamptz := date_trunc('day', now()) - interval '24 hours';
    kept_from timestamptz;
BEGIN
    IF is_new THEN
        -- Up to version 2, what retention had dropped was to be known by the earliest partition.
        SELECT min(p.first) INTO kept_from FROM iot_kpi.partitions() p;
        IF EXISTS (SELECT FROM iot.kpi_calculations k WHERE lower(k.period) < kept_from) THEN
            PERFORM iot_kpi.note_gone(kept_from);
        END IF;

        PERFORM iot_kpi.make_table('device_metrics_years', 'PARTITION BY RANGE ("time")');
        COMMENT ON TABLE iot.device_metrics_years IS 'Metric samples of days that have no partition of their own, one partition a year';
    END IF;
    IF to_regclass('iot.device_metrics_default') IS NULL THEN
        PERFORM iot_kpi.make_table('device_metrics_default', '');
        COMMENT ON TABLE iot.device_metrics_default IS 'Metric samples of years that have no partition yet';
    END IF;
    -- Also where somebody has detached one.
    IF NOT iot_kpi.has_default('iot.device_metrics_years', 'iot.device_metrics_default') THEN
        ALTER TABLE iot.device_metrics_years ATTACH PARTITION iot.device_metrics_default DEFAULT;
    END IF;
    IF is_new AND start_of_days > date_trunc('year', start_of_days) THEN
        PERFORM iot_kpi.attach_partition('device_metrics_years', 'device_metrics_y' || to_char(start_of_days, 'YYYY'),
                                         date_trunc('year', start_of_days), start_of_days);
        PERFORM iot_kpi.attach_partition('device_metrics_years', 'device_metrics_y' || to_char(start_of_days, 'YYYY_MMDD'),
                                         start_of_days, date_trunc('year', start_of_days) + interval '1 year');
    END IF;
    PERFORM iot_kpi.make_years();
    IF NOT iot_kpi.has_default('iot.device_metrics', 'iot.device_metrics_years') THEN
        ALTER TABLE iot.device_metrics ATTACH PARTITION iot.device_metrics_years DEFAULT;
    END IF;
    BEGIN
        RETURN iot_kpi.make_partitions();
    EXCEPTION WHEN lock_not_available THEN
        -- Upkeep will; meanwhile days have a place.
        RETURN 0;
    END;
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_partitions() IS 'Step of create_store(): the default partition, with one for each year, and those of the days near now; returns how many of the latter it made';

CREATE OR REPLACE FUNCTION iot_kpi.retained_from() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN now() - iot_kpi.duration('retention');
END
$$;
COMMENT ON FUNCTION iot_kpi.retained_from() IS 'Samples before this instant may go; NULL where everything is kept';

CREATE OR REPLACE FUNCTION iot_kpi.earliest_sample() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- greatest() skips the NULL of a store that keeps everything.
    RETURN greatest(iot_kpi.retained_from(), iot_kpi.setting('earliest_time')::timestamptz);
END
$$;
COMMENT ON FUNCTION iot_kpi.earliest_sample() IS 'Samples before this instant are refused, by the settings retention and earliest_time';

CREATE OR REPLACE FUNCTION iot_kpi.kept_from() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Rows go by the day, and the first hours of a day want beats of the day before: so not from the day on, but from the instant.
    RETURN coalesce(greatest(iot_kpi.retained_from(), iot_kpi.setting('evidence_from')::timestamptz), '-infinity');
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.note_gone(before timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
UPDATE iot.settings s SET value = to_char(before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
WHERE s.name = 'evidence_from' AND (s.value IS NULL OR s.value::timestamptz < before)
$$;
COMMENT ON FUNCTION iot_kpi.note_gone(timestamptz) IS
    'Notes that samples before an instant are gone, for the time when retention is longer again';

CREATE OR REPLACE FUNCTION iot_kpi.expired_partitions() RETURNS TABLE (partition regclass, first timestamptz, until timestamptz, of_days boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF iot_kpi.setting('retention') IS NOT NULL THEN
        -- A year is emptied, not dropped, so that it has a place again when retention is longer.
        RETURN QUERY
        SELECT p.* FROM iot_kpi.partitions() p
        WHERE p.until <= iot_kpi.retained_from() AND (p.of_days OR pg_relation_size(p.partition) > 0)
        ORDER BY p.first;
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.expired_partitions() IS
    'The partitions that hold samples, all of them older than the setting retention keeps, the earliest first';

CREATE OR REPLACE FUNCTION iot_kpi.samples_gone(before timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.note_gone(before);
    -- What is still stale there can never be calculated again. What it says is better than the rows that are gone.
    UPDATE iot.kpi_calculations SET stale = false WHERE stale AND upper(period) <= before;
END
$$;
COMMENT ON FUNCTION iot_kpi.samples_gone(timestamptz) IS 'What was calculated of samples before an instant stands from now on, since they are gone';

CREATE OR REPLACE FUNCTION iot_kpi.drop_partition(partition regclass, of_days boolean, until timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(CASE WHEN of_days THEN 'DROP TABLE %s' ELSE 'TRUNCATE %s' END, partition);
    PERFORM iot_kpi.samples_gone(until);
END
$$;
COMMENT ON FUNCTION iot_kpi.drop_partition(regclass, boolean, timestamptz) IS
    'Drops the partition of a day, or empties that of a year; what was calculated of it stands from now on';

CREATE OR REPLACE FUNCTION iot_kpi.partly_expired(before timestamptz) RETURNS SETOF regclass
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT c.oid::regclass
    FROM (SELECT p.partition FROM iot_kpi.partitions() p WHERE NOT p.of_days AND p.first < before
          UNION ALL SELECT to_regclass('iot.device_metrics_default')) x (oid)
         JOIN pg_class c ON c.oid = x.oid
    WHERE pg_relation_size(c.oid) > 0
    ORDER BY c.relname;
END
$$;
COMMENT ON FUNCTION iot_kpi.partly_expired(timestamptz) IS 'The partitions of more than a day that may hold samples from before an instant, by name';

CREATE OR REPLACE FUNCTION iot_kpi.delete_expired_statuses_work(most bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from constant timestamptz := iot_kpi.retained_from();
    deleted bigint;
BEGIN
    IF kept_from IS NULL THEN
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

CREATE OR REPLACE FUNCTION iot_kpi.drop_expired() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Of a year, whole days too: a day goes as one, wherever it lies.
    kept_from constant timestamptz := date_trunc('day', iot_kpi.retained_from(), 'UTC');
    dropped integer := 0;
    expired record;
    deleted bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    FOR expired IN SELECT * FROM iot_kpi.expired_partitions() LOOP
        PERFORM iot_kpi.drop_partition(expired.partition, expired.of_days, expired.until);
        dropped := dropped + 1;
    END LOOP;
    FOR expired IN SELECT p AS partition FROM iot_kpi.partly_expired(kept_from) p LOOP
        EXECUTE format('DELETE FROM %s WHERE "time" < $1', expired.partition) USING kept_from;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        IF deleted > 0 THEN
            PERFORM iot_kpi.samples_gone(kept_from);
        END IF;
    END LOOP;
    PERFORM iot_kpi.delete_expired_statuses(NULL);
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION iot_kpi.drop_expired() IS
    'Drops the partitions, and deletes the samples in those of years and the status samples, that are older than the setting retention; returns the number of partitions';

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
                                      'See the settings retention and earliest_time in iot.settings.']
    WHEN "time" > latest THEN ARRAY['time', 'time is in the future, after ' || latest::text,
                                    'Set the device''s clock, or see the setting clock_skew in iot.settings.']
    WHEN NOT device_known THEN ARRAY['device_id', 'unknown device', 'INSERT INTO iot.devices first, or set unknown_devices in iot.settings to register.']
END;
END;

CREATE OR REPLACE FUNCTION iot_kpi.clock_fault() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['time', 'time is in the future, and too long before the latest of its device', 'Set the device''s clock.'];
COMMENT ON FUNCTION iot_kpi.clock_fault() IS
    'What is wrong with a time that is ahead and, as far before the latest of its device as it is, lies before what is kept: {field, reason, remedy}';

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
    -- A beat of a collector says something of the time before it.
    SELECT d.device_id, now(), until + iot_kpi.look_back(d.liveness, d.expected_interval) FROM iot.devices d
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids)
       OR d.device_id IN (SELECT o.collector_id FROM iot.devices o WHERE o.device_id = ANY (device_ids))
    ORDER BY d.device_id
    ON CONFLICT ON CONSTRAINT device_liveness_pkey DO UPDATE
        SET calculated_at = excluded.calculated_at, calculated_until = greatest(l.calculated_until, excluded.calculated_until);
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.is_beat(metric text, value double precision, heartbeat_metric text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (heartbeat_metric IS NULL OR metric = heartbeat_metric)
           AND CASE metric WHEN 'error' THEN value = 0 WHEN 'heartbeat' THEN value <> 0 ELSE true END;
COMMENT ON FUNCTION iot_kpi.is_beat(text, double precision, text) IS
    'whether a sample proves a device alive: one of its heartbeat metric (NULL: of any), but no failed communication and no heartbeat of 0';

CREATE OR REPLACE FUNCTION iot_kpi.look_back(liveness interval, expected_interval interval) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    
    RETURN make_interval(secs => extract(epoch FROM greatest(coalesce(liveness, expected_interval * 3), expected_interval * 1.5))::float8);
COMMENT ON FUNCTION iot_kpi.look_back(interval, interval) IS 'how far from a beat it matters by itself, by a device''s settings';

CREATE OR REPLACE FUNCTION iot_kpi.bears_upon_until(device_id text, heartbeat_metric text, collector_id text, last timestamptz, reach interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_variable
BEGIN
    -- Where all time after it was required and observed a silence is heard out by then.
    IF NOT isfinite(last) OR collector_id IS NULL AND NOT EXISTS (
           SELECT FROM iot.maintenance_windows w
           WHERE w.period && tstzrange(last, last + reach, '[]') AND (w.device_id IS NULL OR w.device_id = bears_upon_until.device_id)) THEN
        RETURN last + reach;
    END IF;
    RETURN greatest(last + reach, coalesce((
        SELECT min(m."time")
        FROM iot.metric_types t, LATERAL (
            SELECT s."time" FROM iot.device_metrics s
            WHERE s.device_id = bears_upon_until.device_id AND s.metric = t.metric AND s."time" > last
              AND iot_kpi.is_beat(s.metric, s.value, heartbeat_metric)
            ORDER BY s."time" LIMIT 1) m
        WHERE heartbeat_metric IS NULL OR t.metric = heartbeat_metric), 'infinity'));
END
$$;
COMMENT ON FUNCTION iot_kpi.bears_upon_until(text, text, text, timestamptz, interval) IS
    'Up to when a change until an instant bears upon a device''s KPIs: as far as a beat proves anything, and where time after it may not count, until the next beat';

CREATE OR REPLACE FUNCTION iot_kpi.mark_stale(device_ids text[], firsts timestamptz[], lasts timestamptz[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
-- A beat reaches past itself: as far as it proves anything, and up to the next one what it says of the silence after it. What a
-- collector sends decides what is known of its devices, also of the time since its beat before.
WITH changed AS (
    SELECT s.device_id, s.first, s.last, d.collector_id, r.reach, iot_kpi.bears_upon_until(d.device_id, d.heartbeat_metric, d.collector_id, s.last, r.reach) AS until
    FROM unnest(device_ids, firsts, lasts) s (device_id, first, last) JOIN iot.devices d USING (device_id),
         LATERAL (SELECT iot_kpi.look_back(d.liveness, d.expected_interval)) r (reach)
), affected AS (
    SELECT c.device_id, c.first, c.until FROM changed c
    UNION ALL
    SELECT o.device_id, c.first - c.reach,
           iot_kpi.bears_upon_until(o.device_id, o.heartbeat_metric, o.collector_id, c.last + c.reach,
                                    iot_kpi.look_back(o.liveness, o.expected_interval))
    FROM changed c JOIN iot.devices o ON o.collector_id = c.device_id
), marked AS (
    -- In key order: an observer's writer and one of a device it observes meet on the same rows.
    SELECT k.device_id, k.grain, k.period
    FROM iot.kpi_calculations k JOIN affected a ON k.device_id = a.device_id
    WHERE NOT k.stale AND k.grain IN ('hour', 'day')
      -- For the index: no period is longer than 25 hours, and ranges sort by their start.
      AND k.period > tstzrange(a.first - interval '26 hours', a.first - interval '26 hours', '[]') AND k.period < tstzrange(a.until, NULL)
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

CREATE OR REPLACE FUNCTION iot_kpi.recount_liveness(device_ids text[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
UPDATE iot.device_liveness l
SET last_measured = m.last_measured, last_received = m.last_received, last_beat = m.last_beat
FROM iot.devices d, LATERAL (
    SELECT max(s."time") AS last_measured, max(s.received_at) AS last_received,
           max(s."time") FILTER (WHERE iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric)) AS last_beat
    FROM iot.device_metrics s WHERE s.device_id = d.device_id) m
WHERE l.device_id = d.device_id AND d.device_id = ANY (device_ids)
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
    latest constant timestamptz := clock_timestamp() + iot_kpi.duration('clock_skew');
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
                     max(n."time") FILTER (WHERE iot_kpi.is_beat(n.metric, n.value, d.heartbeat_metric)) AS beat,
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
    latest constant timestamptz := clock_timestamp() + iot_kpi.duration('clock_skew');
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

CREATE OR REPLACE FUNCTION iot_kpi.make_partitions_of(times timestamptz[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.make_partition(day)
    FROM (SELECT DISTINCT date_trunc('day', t, 'UTC') AS day FROM unnest(times) t ORDER BY day) days
    WHERE NOT iot_kpi.has_partition(day);
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partitions_of(timestamptz[]) IS
    'Makes the partitions that samples at these times need in a store of version 2, which has no default partition';

CREATE OR REPLACE FUNCTION iot_kpi.moves_together(
    first timestamptz, last timestamptz, first_ahead timestamptz, last_ahead timestamptz, earliest timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.now() - last <= last_ahead - first_ahead AND first - earliest >= last_ahead - pg_catalog.now();
COMMENT ON FUNCTION iot_kpi.moves_together(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) IS
    'Whether samples of a device that are not ahead, the first and last of which are given, move with those that are; never to before the earliest that is kept';

CREATE OR REPLACE FUNCTION iot_kpi.moved_time("time" timestamptz, ahead timestamptz, together boolean, earliest timestamptz, latest timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN ahead IS NULL THEN "time"
    WHEN "time" > latest THEN
        CASE WHEN ahead - "time" <= pg_catalog.now() - earliest THEN pg_catalog.now() - iot_kpi.exact(ahead - "time") END
    WHEN together THEN "time" - iot_kpi.exact(ahead - pg_catalog.now())
    ELSE "time"
END;
COMMENT ON FUNCTION iot_kpi.moved_time(timestamptz, timestamptz, boolean, timestamptz, timestamptz) IS
    'The time at which a sample is stored; ahead is that of the latest of its device, where it is ahead. NULL: it would lie before the earliest that is kept';

CREATE OR REPLACE FUNCTION iot_kpi.ingest_metrics(
    device_ids text[], metrics text[], times timestamptz[], "values" float8[],
    OUT stored bigint, OUT duplicates bigint, OUT conflicts bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb,
    OUT conflict_details jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    batch_size constant bigint := cardinality(device_ids);
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := now() + iot_kpi.duration('clock_skew');
    unlisted_kind constant text := CASE iot_kpi.setting('unknown_metrics') WHEN 'register' THEN 'gauge' END;
    unknown_devices constant text[] := iot_kpi.unknown_devices(device_ids);
    -- Where those that are left stood in the batch; NULL while all are left.
    positions bigint[];
    good_from timestamptz;
    good_to timestamptz;
    -- Whether some of the batch's keys were in before.
    met boolean := false;
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
    conflicts := 0;
    conflict_details := '[]';
    -- Most batches are clean and go in as they came.
    IF refused > 0 OR future_clamped > 0 THEN
        WITH checked AS (
            SELECT u.*, coalesce(
                       iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL),
                       iot_kpi.value_fault(u.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, u.value)) AS fault
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
                 LEFT JOIN iot.metric_types t ON t.metric = u.metric
            OFFSET 0
        ), clocks AS (
            SELECT c.device_id, max(c."time") AS ahead, iot_kpi.moves_together(
                       min(c."time") FILTER (WHERE c."time" <= latest), max(c."time") FILTER (WHERE c."time" <= latest),
                       min(c."time") FILTER (WHERE c."time" > latest), max(c."time"), earliest) AS together
            FROM checked c WHERE c.fault IS NULL GROUP BY c.device_id HAVING max(c."time") > latest
        ), moved AS (
            SELECT c.device_id, c.metric, c."time", c.value, c.position, m.stored_time,
                   CASE WHEN c.fault IS NULL AND m.stored_time IS NULL THEN iot_kpi.clock_fault() ELSE c.fault END AS fault
            FROM checked c LEFT JOIN clocks k ON k.device_id = c.device_id,
                 LATERAL (SELECT CASE WHEN c.fault IS NULL THEN iot_kpi.moved_time(c."time", k.ahead, k.together, earliest, latest) END) m (stored_time)
            OFFSET 0
        )
        SELECT count(*) FILTER (WHERE fault IS NOT NULL),
               coalesce(jsonb_agg(jsonb_build_object(
                   'position', position, 'device_id', iot_kpi.abbreviated(device_id), 'field', fault[1],
                   'value', CASE fault[1] WHEN 'device_id' THEN iot_kpi.abbreviated(device_id) WHEN 'metric' THEN iot_kpi.abbreviated(metric)
                                          WHEN 'time' THEN "time"::text ELSE value::text END,
                   'reason', fault[2], 'remedy', fault[3]) ORDER BY position) FILTER (WHERE fault IS NOT NULL), '[]'),
               count(*) FILTER (WHERE stored_time <> "time"), min(stored_time), max(stored_time),
               array_agg(device_id ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(metric ORDER BY position) FILTER (WHERE fault IS NULL),
               array_agg(stored_time ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(value ORDER BY position) FILTER (WHERE fault IS NULL),
               array_agg(position ORDER BY position) FILTER (WHERE fault IS NULL)
        INTO refused, refusals, future_clamped, good_from, good_to, device_ids, metrics, times, "values", positions
        FROM moved;
    END IF;

    stored := 0;
    IF refused < batch_size THEN
        IF to_regclass('iot.device_metrics_years') IS NULL THEN
            PERFORM iot_kpi.make_partitions_of(times);
        END IF;
        -- Writers that meet on the same keys meet in the same order; of equal keys in one batch the first counts.
        -- Most batches hold nothing that is already there, and without ON CONFLICT they go in a third quicker.
        BEGIN
            INSERT INTO iot.device_metrics (device_id, metric, "time", value)
            SELECT DISTINCT ON (u.device_id COLLATE "C", u.metric COLLATE "C", u."time") u.device_id, u.metric, u."time", u.value
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
            ORDER BY u.device_id COLLATE "C", u.metric COLLATE "C", u."time", u.position;
            GET DIAGNOSTICS stored = ROW_COUNT;
        EXCEPTION WHEN unique_violation THEN
            met := true;
            INSERT INTO iot.device_metrics (device_id, metric, "time", value)
            SELECT u.device_id, u.metric, u."time", u.value
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
            ORDER BY u.device_id COLLATE "C", u.metric COLLATE "C", u."time", u.position
            ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS stored = ROW_COUNT;
        END;
    END IF;
    duplicates := batch_size - refused - stored;
    IF duplicates > 0 AND NOT met THEN
        -- Of equal keys in the batch the first is in: the table need not be asked.
        SELECT count(*), coalesce(jsonb_agg(jsonb_build_object(
                   'position', coalesce(positions[u.position], u.position), 'device_id', u.device_id, 'metric', u.metric, 'time', u."time",
                   'kept', "values"[k.first], 'lost', u.value) ORDER BY u.position), '[]')
        INTO conflicts, conflict_details
        FROM (SELECT e.device_id, e.metric, e."time", min(e.position) AS first
              FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY e (device_id, metric, "time", value, position)
              GROUP BY e.device_id, e.metric, e."time" HAVING min(e.value) <> max(e.value)) k
             JOIN unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
             ON u.device_id = k.device_id AND u.metric = k.metric AND u."time" = k."time"
        WHERE u.value <> "values"[k.first];
    ELSIF duplicates > 0 THEN
        -- Those that are not in, because another value of the same key is.
        SELECT count(*), coalesce(jsonb_agg(jsonb_build_object(
                   'position', coalesce(positions[u.position], u.position), 'device_id', u.device_id, 'metric', u.metric, 'time', u."time",
                   'kept', m.value, 'lost', u.value) ORDER BY u.position), '[]')
        INTO conflicts, conflict_details
        FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
             CROSS JOIN LATERAL (SELECT s.value FROM iot.device_metrics s
                                 WHERE s.device_id = u.device_id AND s.metric = u.metric AND s."time" = u."time"
                                   AND s."time" >= good_from AND s."time" <= good_to OFFSET 0) m
        WHERE m.value <> u.value;
    END IF;
    duplicates := duplicates - conflicts;
END
$$;
COMMENT ON FUNCTION iot_kpi.ingest_metrics(text[], text[], timestamptz[], float8[]) IS
    'Stores a batch of metric samples: the good ones are kept, those already there are counted as duplicates, and those that another value of the same key is there of as conflicts, each told in conflict_details; times of a clock that is ahead are moved to the receive time; each refused one comes back in refusals with position, field, value and reason. Safe to send again';

CREATE OR REPLACE FUNCTION iot_kpi.ingest_status_work(
    device_ids text[], times timestamptz[], statuses text[], reasons text[],
    OUT stored bigint, OUT duplicates bigint, OUT conflicts bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb,
    OUT conflict_details jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    batch_size constant bigint := cardinality(device_ids);
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := now() + iot_kpi.duration('clock_skew');
    unknown_devices constant text[] := iot_kpi.unknown_devices(device_ids);
    positions bigint[];
    outdone record;
    written record;
BEGIN
    PERFORM iot_kpi.check_same_length(ARRAY[cardinality(device_ids), cardinality(times), cardinality(statuses), cardinality(reasons)],
                                      'device_ids, times, statuses and reasons');
    WITH checked AS (
        SELECT u.*, coalesce(iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL),
                             iot_kpi.status_fault(u.status, u.reason)) AS fault
        FROM unnest(device_ids, times, statuses, reasons) WITH ORDINALITY u (device_id, "time", status, reason, position)
        OFFSET 0
    ), clocks AS (
        SELECT c.device_id, max(c."time") AS ahead, iot_kpi.moves_together(
                   min(c."time") FILTER (WHERE c."time" <= latest), max(c."time") FILTER (WHERE c."time" <= latest),
                   min(c."time") FILTER (WHERE c."time" > latest), max(c."time"), earliest) AS together
        FROM checked c WHERE c.fault IS NULL GROUP BY c.device_id HAVING max(c."time") > latest
    ), moved AS (
        SELECT c.device_id, c."time", c.status, c.reason, c.position, m.stored_time,
               CASE WHEN c.fault IS NULL AND m.stored_time IS NULL THEN iot_kpi.clock_fault() ELSE c.fault END AS fault
        FROM checked c LEFT JOIN clocks k ON k.device_id = c.device_id,
             LATERAL (SELECT CASE WHEN c.fault IS NULL THEN iot_kpi.moved_time(c."time", k.ahead, k.together, earliest, latest) END) m (stored_time)
        OFFSET 0
    )
    SELECT count(*) FILTER (WHERE fault IS NOT NULL), count(*) FILTER (WHERE stored_time <> "time"),
           coalesce(jsonb_agg(jsonb_build_object(
               'position', position, 'device_id', iot_kpi.abbreviated(device_id), 'field', fault[1],
               'value', iot_kpi.abbreviated(CASE fault[1] WHEN 'device_id' THEN device_id WHEN 'time' THEN "time"::text
                                                          WHEN 'status' THEN status ELSE reason END),
               'reason', fault[2], 'remedy', fault[3]) ORDER BY position) FILTER (WHERE fault IS NOT NULL), '[]'),
           array_agg(device_id ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(stored_time ORDER BY position) FILTER (WHERE fault IS NULL),
           array_agg(status ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(reason ORDER BY position) FILTER (WHERE fault IS NULL),
           array_agg(position ORDER BY position) FILTER (WHERE fault IS NULL)
    INTO refused, future_clamped, refusals, device_ids, times, statuses, reasons, positions
    FROM moved;

    -- Of equal keys in one batch the last one is the one stored last; others that differ from it are lost.
    SELECT count(*) AS samples, count(*) FILTER (WHERE differs) AS conflicts, coalesce(jsonb_agg(jsonb_build_object(
               'position', position, 'device_id', device_id, 'time', "time", 'kept', jsonb_build_object('status', kept_status, 'reason', kept_reason),
               'lost', jsonb_build_object('status', status, 'reason', reason)) ORDER BY position) FILTER (WHERE differs), '[]') AS details
    INTO outdone
    FROM (SELECT u.*, (u.status, u.reason) IS DISTINCT FROM (last_value(u.status) OVER w, last_value(u.reason) OVER w) AS differs,
                 last_value(u.status) OVER w AS kept_status, last_value(u.reason) OVER w AS kept_reason,
                 u.place < count(*) OVER w AS is_outdone
          FROM (SELECT g.device_id, g."time", g.status, g.reason, g.position,
                       row_number() OVER (PARTITION BY g.device_id, g."time" ORDER BY g.position) AS place
                FROM unnest(device_ids, times, statuses, reasons, positions) g (device_id, "time", status, reason, position)) u
          WINDOW w AS (PARTITION BY u.device_id, u."time" ORDER BY u.position ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) x
    WHERE x.is_outdone;

    -- Inserted and replaced samples would be locked by two triggers one after the other; so triggers stand aside, and it happens
    -- once, in order.
    WITH good AS (
        SELECT DISTINCT ON (u.device_id COLLATE "C", u."time") u.device_id, u."time", u.status, u.reason, u.position
        FROM unnest(device_ids, times, statuses, reasons, positions) u (device_id, "time", status, reason, position)
        ORDER BY u.device_id COLLATE "C", u."time", u.position DESC
    ), there AS MATERIALIZED (
        -- What is replaced, as it is when this begins.
        SELECT h.device_id, h."time", h.status, h.reason, h.recorded_by
        FROM good g JOIN iot.device_status_history h ON h.device_id = g.device_id AND h."time" = g."time"
    ), stored_rows AS (
        INSERT INTO iot.device_status_history AS h (device_id, "time", status, reason)
        SELECT g.device_id, g."time", g.status, g.reason FROM good g
        ON CONFLICT (device_id, "time") DO UPDATE
            SET status = excluded.status, reason = excluded.reason, received_at = excluded.received_at, recorded_by = excluded.recorded_by
            WHERE (h.status, h.reason, h.recorded_by) IS DISTINCT FROM (excluded.status, excluded.reason, excluded.recorded_by)
        -- A row that is new has no xmax.
        RETURNING h.device_id, h."time", h.status, h.reason, h.xmax <> '0'::xid AS is_old
    ), compared AS (
        -- A record of upkeep's own is no sample.
        SELECT s.*, t.status AS lost_status, t.reason AS lost_reason, s.is_old AND t.recorded_by IS NULL AS replaced
        FROM stored_rows s LEFT JOIN there t ON t.device_id = s.device_id AND t."time" = s."time"
    )
    SELECT array_agg(a.device_id) AS device_ids, array_agg(a.first) AS firsts, coalesce(sum(a.samples), 0) AS samples,
           coalesce(sum(a.replaced), 0) AS conflicts,
           (SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'position', g.position, 'device_id', s.device_id, 'time', s."time", 'kept', jsonb_build_object('status', s.status, 'reason', s.reason),
                       'lost', CASE WHEN s.lost_status IS NOT NULL THEN jsonb_build_object('status', s.lost_status, 'reason', s.lost_reason) END) ORDER BY g.position), '[]')
            FROM compared s JOIN good g ON g.device_id = s.device_id AND g."time" = s."time"
            WHERE s.replaced) AS details
    INTO written
    FROM (SELECT device_id, min("time") AS first, count(*) AS samples, count(*) FILTER (WHERE replaced) AS replaced
          FROM compared GROUP BY device_id) a;
    IF written.device_ids IS NOT NULL THEN
        PERFORM iot_kpi.note_statuses(written.device_ids, written.firsts);
    END IF;
    stored := written.samples;
    duplicates := batch_size - refused - stored - outdone.conflicts;
    conflicts := outdone.conflicts + written.conflicts;
    conflict_details := outdone.details || written.details;
END
$$;
COMMENT ON FUNCTION iot_kpi.ingest_status_work(text[], timestamptz[], text[], text[]) IS 'What ingest_status() does';

CREATE OR REPLACE FUNCTION iot_kpi.ingest_status(
    device_ids text[], times timestamptz[], statuses text[], reasons text[],
    OUT stored bigint, OUT duplicates bigint, OUT conflicts bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb,
    OUT conflict_details jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quietly';
COMMENT ON FUNCTION iot_kpi.ingest_status(text[], timestamptz[], text[], text[]) IS
    'Stores a batch of status samples: like ingest_metrics(), but a different sample of the same device and time replaces the one there (the one stored last wins), which is counted as a conflict; an identical one is a duplicate';

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

    -- A counter's first increase counts from its last sample before, however long before that is.
    IF bytes_is_counter AND communication THEN
        rows_of := rows_of || format(
            ' UNION ALL SELECT l.* FROM iot.devices d, LATERAL (
                  SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m
                  WHERE m.device_id = d.device_id AND m.metric = ''bytes'' AND m.time < %L ORDER BY m.time DESC LIMIT 1) AS l
              WHERE $1 IS NULL OR d.device_id = ANY ($1)', scan_start);
    END IF;

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
COMMENT ON TYPE iot_kpi.dossier IS
    'all that a device''s report is made from; the window is cut into slots at the edges, NULL where it has not begun; beat_before is the last beat before the evidence, seen_until when its collector, if that is alive, looked last';

CREATE OR REPLACE FUNCTION iot_kpi.look_back(device_ids text[]) RETURNS interval
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seconds numeric;
BEGIN
    SELECT max(extract(epoch FROM iot_kpi.look_back(d.liveness, d.expected_interval)))
        INTO seconds
        FROM iot.devices d
        WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
    -- Seconds, not days: a day of an interval is 23 or 25 hours long where clocks change.
    RETURN make_interval(secs => (coalesce(seconds, 0) + 0.000001)::float8);
END $$;

CREATE OR REPLACE FUNCTION iot_kpi.collectors_of(device_ids text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT array_agg(DISTINCT d.collector_id) FROM iot.devices d
            WHERE d.collector_id IS NOT NULL AND (device_ids IS NULL OR d.device_id = ANY (device_ids)));
END $$;
COMMENT ON FUNCTION iot_kpi.collectors_of(text[]) IS 'the collectors that observe some devices (NULL: any); NULL where there is none';

CREATE OR REPLACE FUNCTION iot_kpi.look_back_of_collectors() RETURNS interval
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    collectors constant text[] := iot_kpi.collectors_of(NULL);
BEGIN
    RETURN CASE WHEN collectors IS NULL THEN interval '0' ELSE iot_kpi.look_back(collectors) END;
END $$;
COMMENT ON FUNCTION iot_kpi.look_back_of_collectors() IS 'how long a collector''s next beat may take that tells of the time before it; 0 without collectors';

CREATE OR REPLACE FUNCTION iot_kpi.beat_before(device_id text, before timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
    wanted text;
    last_beat timestamptz;
BEGIN
    SELECT d.heartbeat_metric, l.last_beat INTO wanted, last_beat
        FROM iot.devices d LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
        WHERE d.device_id = beat_before.device_id;
    -- The last beat is kept; only a look into the past has to search, metric by metric, since the key has them so.
    IF last_beat < before OR last_beat IS NULL THEN
        RETURN last_beat;
    END IF;
    RETURN (
        SELECT max(m.time)
        FROM iot.metric_types t, LATERAL (
            SELECT s.time FROM iot.device_metrics s
            WHERE s.device_id = beat_before.device_id AND s.metric = t.metric AND s.time < before
              AND iot_kpi.is_beat(s.metric, s.value, wanted)
            ORDER BY s.time DESC LIMIT 1) AS m
        WHERE wanted IS NULL OR t.metric = wanted);
END $$;

CREATE OR REPLACE FUNCTION iot_kpi.asks_communication(kpi text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_asks_communication';
COMMENT ON FUNCTION iot_kpi.asks_communication(text) IS
    'whether a KPI is made from response times, errors or bytes, and not from beats and status samples alone';

CREATE OR REPLACE FUNCTION iot_kpi.devices_before(device_ids text[], window_start timestamptz, window_end timestamptz, as_of timestamptz)
RETURNS TABLE (
    device_id text, liveness interval, excluded tstzmultirange, unknown tstzmultirange, seen_until timestamptz, beat_before timestamptz
)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    collectors constant text[] := iot_kpi.collectors_of(device_ids);
    -- A collector that is alive has looked within its own liveness: so that this far back there is a whole one of each device.
    gathered_from constant timestamptz := window_start - iot_kpi.look_back(device_ids);
    since constant timestamptz := gathered_from - CASE WHEN collectors IS NULL THEN interval '0' ELSE iot_kpi.look_back(collectors) END;
BEGIN
    RETURN QUERY
    WITH near AS MATERIALIZED (
        SELECT d.device_id, alive.length AS liveness, x.excluded, u.unknown, u.seen_until,
               CASE WHEN l.last_beat < window_start THEN l.last_beat END AS beat_before,
               -- Whether so little of the time before was heard that it has to be looked at how long the device was silent.
               (d.commissioned_at < gathered_from) IS NOT FALSE
                   AND (l.last_beat >= since AND l.last_beat < window_start) IS NOT TRUE
                   AND (x.excluded && just_before.time OR u.unknown && just_before.time)
                   -- There may be a beat just before what is gathered.
                   AND NOT iot_kpi.heard_out(gathered_from, alive.length, window_start, x.excluded, u.unknown) AS is_undecided
        FROM iot.devices d
        LEFT JOIN iot_kpi.excluded_ranges(device_ids, since, window_end) AS x ON x.device_id = d.device_id
        LEFT JOIN iot_kpi.unobserved(collectors, since, window_end, as_of) AS u ON u.device_id = d.collector_id
        LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
        CROSS JOIN LATERAL (SELECT iot_kpi.liveness_of(d.liveness, d.expected_interval)) AS alive (length)
        CROSS JOIN LATERAL (SELECT tstzrange(window_start - alive.length, window_start)) AS just_before (time)
        WHERE device_ids IS NULL OR d.device_id = ANY (device_ids)
    ),
    far AS MATERIALIZED (
        SELECT s.* FROM iot_kpi.silences(ARRAY(SELECT n.device_id FROM near n WHERE n.is_undecided), window_start, as_of) AS s
    )
    SELECT n.device_id, n.liveness,
           CASE WHEN f.excluded IS NULL THEN n.excluded ELSE coalesce(n.excluded, '{}') + f.excluded END,
           CASE WHEN f.unknown IS NULL THEN n.unknown ELSE coalesce(n.unknown, '{}') + f.unknown END,
           n.seen_until, coalesce(f.beat_before, n.beat_before)
    FROM near n LEFT JOIN far f ON f.device_id = n.device_id;
END $$;
COMMENT ON FUNCTION iot_kpi.devices_before(text[], timestamptz, timestamptz, timestamptz) IS
    'what is known of devices before and beside the samples of a window: the time that does not count, and, where so much of it lies just before the window that it matters, the last beat before';

CREATE OR REPLACE FUNCTION iot_kpi.classes_at(device_ids text[], as_of timestamptz) RETURNS TABLE (device_id text, class text, live boolean)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment constant interval := '1 microsecond';
    reach constant interval := iot_kpi.look_back(device_ids);
BEGIN
    RETURN QUERY
    WITH near AS MATERIALIZED (
        SELECT k.device_id, k.liveness, k.excluded, k.unknown, k.seen_until, d.heartbeat_metric,
               -- The last beat is kept; only a look into the past has to search for the one before as_of.
               coalesce(CASE WHEN l.last_beat IS NULL OR l.last_beat <= as_of THEN l.last_beat
                             ELSE (SELECT max(m.time)
                                   FROM iot.metric_types t, LATERAL (
                                       SELECT s.time FROM iot.device_metrics s
                                       WHERE s.device_id = d.device_id AND s.metric = t.metric
                                         AND s.time >= as_of - reach AND s.time <= as_of
                                         AND iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric)
                                       ORDER BY s.time DESC LIMIT 1) AS m
                                   WHERE d.heartbeat_metric IS NULL OR t.metric = d.heartbeat_metric) END,
                        k.beat_before) AS last_beat
        FROM iot_kpi.devices_before(device_ids, as_of, as_of, as_of) AS k
        JOIN iot.devices d ON d.device_id = k.device_id
        LEFT JOIN iot.device_liveness l ON l.device_id = k.device_id
    )
    SELECT n.device_id, judged.class,
           judged.class = 'up' OR judged.class = 'excluded' AND coalesce(n.last_beat + n.liveness > as_of, false)
    FROM near n
    CROSS JOIN LATERAL (SELECT iot_kpi.class_at(as_of, n.last_beat, n.liveness, n.excluded, n.unknown)) AS now (class)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN n.seen_until IS NULL OR now.class <> 'unknown' THEN now.class
                -- Nobody has looked yet since the collector did.
                ELSE (SELECT CASE WHEN c.class IN ('up', 'down') THEN c.class ELSE 'unknown' END
                      FROM iot_kpi.class_at(
                          n.seen_until - moment,
                          CASE WHEN n.last_beat < n.seen_until THEN n.last_beat
                               ELSE (SELECT max(m.time)
                                     FROM iot.metric_types t, LATERAL (
                                         SELECT s.time FROM iot.device_metrics s
                                         WHERE s.device_id = n.device_id AND s.metric = t.metric
                                           AND s.time >= as_of - 2 * reach AND s.time < as_of AND s.time < n.seen_until
                                           AND iot_kpi.is_beat(s.metric, s.value, n.heartbeat_metric)
                                         ORDER BY s.time DESC LIMIT 1) AS m
                                     WHERE n.heartbeat_metric IS NULL OR t.metric = n.heartbeat_metric) END,
                          n.liveness, n.excluded, n.unknown) AS c (class)) END) AS judged (class);
END $$;
COMMENT ON FUNCTION iot_kpi.classes_at(text[], timestamptz) IS
    'the class of each device at as_of: excluded, up, down or unknown, and whether it is alive, required or not; one with a collector that is alive is judged at the last instant at which that looked';

CREATE OR REPLACE FUNCTION iot_kpi.evidence_for(
    kpi text, during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[]
) RETURNS TABLE (
    device_id text, name text, device_type text, location text, metadata jsonb, observes boolean,
    last_measured timestamptz, last_received timestamptz, never_seen boolean, status text, class text, live boolean,
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
    bytes_is_counter boolean;
BEGIN
    PERFORM iot_kpi.require_store();
    IF effective IS NULL THEN
        slot_edges := NULL;
    END IF;
    SELECT coalesce(bool_or(t.kind = 'counter'), false) INTO bytes_is_counter FROM iot.metric_types t WHERE t.metric = 'bytes';

    RETURN QUERY
    WITH gathered AS MATERIALIZED (
        SELECT g.device_id, g.evidence
        FROM iot_kpi.gather(slot_edges, window_start - iot_kpi.look_back(device_ids), window_end, device_ids, bytes_is_counter,
                            coalesce(iot_kpi.asks_communication(kpi), true)) AS g
        WHERE slot_edges IS NOT NULL
    ),
    known AS MATERIALIZED (
        SELECT k.* FROM iot_kpi.devices_before(device_ids, window_start, window_end, as_of) AS k WHERE slot_edges IS NOT NULL
    )
    SELECT d.device_id, d.name, d.device_type, d.location, d.metadata,
           d.device_id IN (SELECT o.collector_id FROM iot.devices o WHERE o.collector_id IS NOT NULL),
           l.last_measured, l.last_received, l.last_beat IS NULL,
           CASE present.class
               WHEN 'down' THEN CASE WHEN said.status IN ('offline', 'error', 'maintenance') THEN said.status ELSE 'offline' END
               WHEN 'up' THEN coalesce(said.status, 'online')
               ELSE present.class
           END,
           present.class, present.live,
           ROW (slot_edges, d.expected_interval, d.liveness, d.status_ttl, d.degraded_counts_up, d.response_target,
                g.evidence, sampled_status.statuses, k.excluded, k.unknown, k.beat_before, k.seen_until)::iot_kpi.dossier
    FROM iot.devices d
    -- A series tells nothing of as_of.
    LEFT JOIN (SELECT c.* FROM iot_kpi.classes_at(device_ids, as_of) AS c WHERE kpi IS NULL) AS present ON present.device_id = d.device_id
    LEFT JOIN gathered g ON g.device_id = d.device_id
    LEFT JOIN known k ON k.device_id = d.device_id
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
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
          AND (d.status_ttl IS NULL OR h.time > as_of - iot_kpi.exact(d.status_ttl))
        ORDER BY h.time DESC LIMIT 1
    ) AS said ON true
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
END $$;
COMMENT ON FUNCTION iot_kpi.evidence_for(text, tstzrange, text[], timestamptz, timestamptz[]) IS
    'the evidence seam: each device with the dossier that a KPI is made from; NULL: that every report is made from, and with its class and status at as_of';

CREATE OR REPLACE FUNCTION iot_kpi.evidence_of(
    during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[] DEFAULT NULL
) RETURNS TABLE (
    device_id text, name text, device_type text, location text, metadata jsonb, observes boolean,
    last_measured timestamptz, last_received timestamptz, never_seen boolean, status text, class text, live boolean,
    dossier iot_kpi.dossier
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, e.name, e.device_type, e.location, e.metadata, e.observes, e.last_measured, e.last_received, e.never_seen,
       e.status, e.class, e.live, e.dossier
FROM iot_kpi.evidence_for(NULL, during, device_ids, as_of, edges) AS e;
END;
COMMENT ON FUNCTION iot_kpi.evidence_of(tstzrange, text[], timestamptz, timestamptz[]) IS
    'the evidence seam for all KPIs: each device with its state at as_of and the dossier that every report is made from';

CREATE OR REPLACE FUNCTION iot_kpi.unobserved_ranges(dossier iot_kpi.dossier) RETURNS tstzmultirange
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_unobserved_ranges';
COMMENT ON FUNCTION iot_kpi.unobserved_ranges(iot_kpi.dossier) IS
    'the time that does not lie between two beats of a collector, no further apart than its liveness: what is unknown of the devices it observes';

CREATE OR REPLACE FUNCTION iot_kpi.liveness_of(liveness interval, expected_interval interval) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    
    RETURN make_interval(secs => extract(epoch FROM coalesce(liveness, expected_interval * 3))::float8);
COMMENT ON FUNCTION iot_kpi.liveness_of(interval, interval) IS 'how long a beat proves a device alive, by its settings, in hours and less';

CREATE OR REPLACE FUNCTION iot_kpi.heard_out(
    since timestamptz, liveness interval, at timestamptz, excluded tstzmultirange, unknown tstzmultirange
) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heard_out';
COMMENT ON FUNCTION iot_kpi.heard_out(timestamptz, interval, timestamptz, tstzmultirange, tstzmultirange) IS
    'whether a device that is silent since an instant, or since ever, could have been heard for a whole liveness up to another instant';

CREATE OR REPLACE FUNCTION iot_kpi.down_from(since timestamptz, liveness interval, excluded tstzmultirange, unknown tstzmultirange)
RETURNS timestamptz
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_down_from';
COMMENT ON FUNCTION iot_kpi.down_from(timestamptz, interval, tstzmultirange, tstzmultirange) IS
    'from when on a device that is silent since an instant, or since ever, is down if it stays so; NULL where nobody will hear it for so long';

CREATE OR REPLACE FUNCTION iot_kpi.class_at(
    at timestamptz, last_beat timestamptz, liveness interval, excluded tstzmultirange, unknown tstzmultirange
) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_class_at';
COMMENT ON FUNCTION iot_kpi.class_at(timestamptz, timestamptz, interval, tstzmultirange, tstzmultirange) IS
    'the class of an instant: excluded, up, down or unknown';

CREATE OR REPLACE FUNCTION iot_kpi.unobserved_since(device_id text, heartbeat_metric text, liveness interval, at timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
    -- One that beats more slowly than it should never looked; after so many of its beats that is what it is taken for.
    most constant int := 100;
BEGIN
    RETURN (
        SELECT max(b.time)
        FROM (SELECT m.time, m.time - lead(m.time) OVER (ORDER BY m.time DESC) AS gap
              FROM iot.metric_types t, LATERAL (
                  SELECT s.time FROM iot.device_metrics s
                  WHERE s.device_id = unobserved_since.device_id AND s.metric = t.metric AND s.time < at
                    AND iot_kpi.is_beat(s.metric, s.value, heartbeat_metric)
                  ORDER BY s.time DESC LIMIT most) AS m
              WHERE heartbeat_metric IS NULL OR t.metric = heartbeat_metric
              GROUP BY m.time) AS b
        WHERE b.gap <= liveness);
END $$;
COMMENT ON FUNCTION iot_kpi.unobserved_since(text, text, interval, timestamptz) IS
    'since when a collector that did not look just before an instant, at which it does not beat, has not looked; NULL: since ever';

CREATE OR REPLACE FUNCTION iot_kpi.unobserved(collectors text[], since timestamptz, until timestamptz, as_of timestamptz)
RETURNS TABLE (device_id text, unknown tstzmultirange, seen_until timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    reach interval;
    moment constant interval := '1 microsecond';
BEGIN
    IF collectors IS NULL OR since IS NULL THEN
        RETURN;
    END IF;
    reach := iot_kpi.look_back(collectors);
    RETURN QUERY
    WITH gathered AS MATERIALIZED (
        -- The beat after the end tells whether somebody looked up to then; one at as_of has not happened yet.
        SELECT g.device_id, g.evidence
        FROM iot_kpi.gather(ARRAY[since, until + moment], since - reach, least(until + reach, as_of - moment), collectors, false, false) AS g
    )
    SELECT c.device_id,
           u.ranges
           -- In that time nobody has looked since a beat before the start, however long before.
           + CASE WHEN u.ranges @> since AND NOT EXISTS (
                      SELECT FROM iot.device_metrics s
                      WHERE s.device_id = c.device_id AND s.time = since AND iot_kpi.is_beat(s.metric, s.value, c.heartbeat_metric))
                  THEN tstzmultirange(tstzrange(iot_kpi.unobserved_since(c.device_id, c.heartbeat_metric, alive.length, since), since))
                  ELSE '{}' END
           -- And nobody has looked yet since the last one.
           + CASE WHEN until >= as_of THEN tstzmultirange(tstzrange(until, NULL)) ELSE '{}' END,
           CASE WHEN last.beat + alive.length > as_of THEN last.beat END
    FROM iot.devices c
    LEFT JOIN gathered g ON g.device_id = c.device_id
    LEFT JOIN iot.device_liveness l ON l.device_id = c.device_id
    CROSS JOIN LATERAL (SELECT iot_kpi.unobserved_ranges(
        ROW (ARRAY[since, until + moment], c.expected_interval, c.liveness, NULL, NULL, NULL, g.evidence, NULL, NULL, NULL, NULL, NULL)::iot_kpi.dossier
    )) AS u (ranges)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN l.last_beat IS NULL OR l.last_beat < as_of THEN l.last_beat
                    ELSE (SELECT max(m.time)
                          FROM iot.metric_types t, LATERAL (
                              SELECT s.time FROM iot.device_metrics s
                              WHERE s.device_id = c.device_id AND s.metric = t.metric AND s.time > as_of - reach AND s.time < as_of
                                AND iot_kpi.is_beat(s.metric, s.value, c.heartbeat_metric)
                              ORDER BY s.time DESC LIMIT 1) AS m
                          WHERE c.heartbeat_metric IS NULL OR t.metric = c.heartbeat_metric) END) AS last (beat)
    CROSS JOIN LATERAL (SELECT iot_kpi.liveness_of(c.liveness, c.expected_interval)) AS alive (length)
    WHERE c.device_id = ANY (collectors);
END $$;
COMMENT ON FUNCTION iot_kpi.unobserved(text[], timestamptz, timestamptz, timestamptz) IS
    'when collectors did not look, between two instants and in what of it began before, as known at as_of; and until when one that is alive has looked';

CREATE OR REPLACE FUNCTION iot_kpi.excluded_ranges(device_ids text[], since timestamptz, until timestamptz)
RETURNS TABLE (device_id text, excluded tstzmultirange)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    -- By device, and one for all of them.
    WITH maintained AS MATERIALIZED (
        SELECT w.device_id, range_agg(w.period) AS periods
        FROM iot.maintenance_windows w
        WHERE w.period && tstzrange(since, until, '[]') AND (device_ids IS NULL OR w.device_id IS NULL OR w.device_id = ANY (device_ids))
        GROUP BY w.device_id
    )
    SELECT d.device_id,
           -- None at all is NULL, which costs least to read.
           nullif(coalesce(m.periods, '{}') + coalesce(everywhere.periods, '{}')
                  + tstzmultirange(
                      -- One that was registered on first sight, and whose samples are all gone, waits for the next one.
                      CASE WHEN d.commissioned_at IS NOT NULL OR d.registered_by = 'first_sample' THEN tstzrange(NULL, d.commissioned_at)
                           ELSE 'empty' END,
                      CASE WHEN d.decommissioned_at IS NOT NULL THEN tstzrange(d.decommissioned_at, NULL) ELSE 'empty' END),
                  '{}')
    FROM iot.devices d
    LEFT JOIN maintained m ON m.device_id = d.device_id
    LEFT JOIN maintained everywhere ON everywhere.device_id IS NULL
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
END $$;
COMMENT ON FUNCTION iot_kpi.excluded_ranges(text[], timestamptz, timestamptz) IS
    'when devices (NULL: all) are not required to work: windows of maintenance between two instants, and all time that they are not in service';

CREATE OR REPLACE FUNCTION iot_kpi.silences(device_ids text[], before timestamptz, as_of timestamptz)
RETURNS TABLE (device_id text, beat_before timestamptz, excluded tstzmultirange, unknown tstzmultirange)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    -- No sample is older, and a window may be.
    earliest constant timestamptz := least(iot_kpi.earliest_sample(), before);
    depth interval := iot_kpi.look_back(device_ids);
    pending text[] := device_ids;
    further text[];
    since timestamptz;
    seen record;
BEGIN
    -- Four times as far each time, until the last beat is found, or more than a liveness was heard since.
    WHILE cardinality(pending) > 0 LOOP
        depth := least(depth * 4, interval '3660000 days');
        since := greatest(before - depth, earliest);
        further := '{}';
        FOR seen IN
            SELECT d.device_id, b.beat, x.excluded, u.unknown,
                   since <= earliest OR b.beat >= since OR d.commissioned_at >= since
                       -- A little more: at as_of what counts is a moment before.
                       OR iot_kpi.heard_out(since, iot_kpi.liveness_of(d.liveness, d.expected_interval) + interval '1 s', before,
                                            x.excluded, u.unknown) AS is_decided
            FROM iot.devices d
            LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
            LEFT JOIN iot_kpi.excluded_ranges(pending, since, before) AS x ON x.device_id = d.device_id
            LEFT JOIN iot_kpi.unobserved(iot_kpi.collectors_of(pending), since, before, as_of) AS u ON u.device_id = d.collector_id
            CROSS JOIN LATERAL (SELECT CASE WHEN l.last_beat IS NULL OR l.last_beat < before THEN l.last_beat
                                            ELSE (SELECT max(m.time)
                                                  FROM iot.metric_types t, LATERAL (
                                                      SELECT s.time FROM iot.device_metrics s
                                                      WHERE s.device_id = d.device_id AND s.metric = t.metric
                                                        AND s.time >= since AND s.time < before
                                                        AND iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric)
                                                      ORDER BY s.time DESC LIMIT 1) AS m
                                                  WHERE d.heartbeat_metric IS NULL OR t.metric = d.heartbeat_metric) END) AS b (beat)
            WHERE d.device_id = ANY (pending)
        LOOP
            IF seen.is_decided THEN
                RETURN QUERY SELECT seen.device_id, seen.beat, seen.excluded, seen.unknown;
            ELSE
                further := further || seen.device_id;
            END IF;
        END LOOP;
        pending := further;
    END LOOP;
END $$;
COMMENT ON FUNCTION iot_kpi.silences(text[], timestamptz, timestamptz) IS
    'what there is to know of devices that are silent at an instant, as far before it as it takes to tell whether they are down: the last beat, and the time that does not count';

CREATE OR REPLACE FUNCTION iot_kpi.check_time_zone(time_zone text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF time_zone IS NULL THEN
        RAISE EXCEPTION 'time_zone must not be NULL'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name a time zone, such as ''Europe/Berlin''.';
    END IF;
    -- An unknown one is told even where no time has to be converted.
    PERFORM timestamptz '2000-01-01 00:00+00' AT TIME ZONE time_zone;
END $$;
COMMENT ON FUNCTION iot_kpi.check_time_zone(text) IS 'fails where a time zone is NULL or not known';

CREATE OR REPLACE FUNCTION iot_kpi.clock_shift(at timestamptz, time_zone text) RETURNS interval
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (at AT TIME ZONE time_zone) - (at AT TIME ZONE 'UTC');
COMMENT ON FUNCTION iot_kpi.clock_shift(timestamptz, text) IS 'how far the clocks of a time zone are ahead of UTC at an instant';

CREATE OR REPLACE FUNCTION iot_kpi.clock_change(low timestamptz, high timestamptz, time_zone text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shift constant interval := iot_kpi.clock_shift(low, time_zone);
    middle timestamptz;
BEGIN
    WHILE high - low > interval '1 microsecond' LOOP
        middle := low + (high - low) / 2;
        IF iot_kpi.clock_shift(middle, time_zone) = shift THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN high;
END $$;
COMMENT ON FUNCTION iot_kpi.clock_change(timestamptz, timestamptz, text) IS
    'when the clocks of a time zone are changed between two instants, at which they differ';

CREATE OR REPLACE FUNCTION iot_kpi.local_start(wall timestamp, time_zone text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment constant interval := '1 microsecond';
    -- No clock is put forward or back by more than a day.
    earlier constant timestamptz := wall AT TIME ZONE time_zone - interval '26 hours';
    later constant timestamptz := wall AT TIME ZONE time_zone + interval '26 hours';
    -- When a clock shows it that goes as clocks did before, and one that goes as they do afterwards.
    by_old constant timestamptz := (wall - iot_kpi.clock_shift(earlier, time_zone)) AT TIME ZONE 'UTC';
    by_new constant timestamptz := (wall - iot_kpi.clock_shift(later, time_zone)) AT TIME ZONE 'UTC';
BEGIN
    IF (by_old - moment) AT TIME ZONE time_zone = wall - moment AND by_old AT TIME ZONE time_zone >= wall THEN
        RETURN by_old;
    ELSIF (by_new - moment) AT TIME ZONE time_zone < wall AND by_new AT TIME ZONE time_zone = wall THEN
        RETURN by_new;
    END IF;
    RETURN iot_kpi.clock_change(earlier, later, time_zone);
END $$;
COMMENT ON FUNCTION iot_kpi.local_start(timestamp, text) IS
    'the first instant at which the clocks of a time zone show a local time, or, where they are put forward over it, a later one';

CREATE OR REPLACE FUNCTION iot_kpi.wall_edges(step interval, window_start timestamptz, window_end timestamptz, time_zone text)
RETURNS timestamptz[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    months constant int := (extract(year FROM step) * 12 + extract(month FROM step))::int;
    local_start constant timestamp := window_start AT TIME ZONE time_zone;
    around constant interval := '26 hours';
    first timestamp;
BEGIN
    IF months <> 0 THEN
        first := date_trunc('month', local_start);
        first := first - make_interval(
            months => mod((extract(year FROM first) * 12 + extract(month FROM first))::int - 1, months));
    ELSE
        -- From a Monday, so that weeks begin as ISO 8601 has them.
        first := date_bin(make_interval(secs => extract(epoch FROM step)::float8), local_start, '2000-01-03');
    END IF;
    RETURN ARRAY(
        SELECT DISTINCT e
        -- OFFSET 0: each is reckoned once, and not wherever it is named.
        FROM (SELECT CASE WHEN (usual - around) AT TIME ZONE time_zone = wall - around
                           AND (usual + around) AT TIME ZONE time_zone = wall + around
                          -- Far from a change of clocks there is only one such instant.
                          THEN usual ELSE iot_kpi.local_start(wall, time_zone) END AS e
              FROM (SELECT wall, wall AT TIME ZONE time_zone AS usual
                    FROM generate_series(first, (window_end AT TIME ZONE time_zone) + interval '1 day', step) AS wall OFFSET 0) AS w
              OFFSET 0) AS s
        WHERE e > window_start AND e < window_end ORDER BY e);
END $$;
COMMENT ON FUNCTION iot_kpi.wall_edges(interval, timestamptz, timestamptz, text) IS
    'step of bucket_edges(): where days, months or parts of a day longer than an hour begin';

CREATE OR REPLACE FUNCTION iot_kpi.clock_edges(step interval, window_start timestamptz, window_end timestamptz, time_zone text)
RETURNS timestamptz[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
-- An hour that comes twice is two buckets: so the window is cut where clocks change, and every stretch has its own.
WITH stretches AS (
    SELECT s.start, lead(s.start, 1, window_end) OVER (ORDER BY s.start) AS until, s.start AT TIME ZONE time_zone AS wall
    FROM (SELECT window_start AS start
          UNION
          SELECT iot_kpi.clock_change(t, t + interval '24 hours', time_zone)
          FROM generate_series(window_start, window_end, interval '24 hours') AS t
          WHERE iot_kpi.clock_shift(t, time_zone) <> iot_kpi.clock_shift(t + interval '24 hours', time_zone)) AS s
    WHERE s.start < window_end
), firsts AS (
    SELECT s.start, s.until, date_bin(step, s.wall, '2000-01-01') AS floor, s.wall,
           (s.start - interval '1 microsecond') AT TIME ZONE time_zone AS wall_before
    FROM stretches AS s
)
SELECT array_agg(DISTINCT e ORDER BY e)
FROM (SELECT generate_series(f.start + (f.floor - f.wall) + CASE WHEN f.floor < f.wall THEN step ELSE '0' END,
                             f.until - interval '1 microsecond', step) AS e
      FROM firsts AS f
      UNION ALL
      -- Put forward over the start of a bucket.
      SELECT f.start FROM firsts AS f WHERE f.floor > date_bin(step, f.wall_before, '2000-01-01')) AS edges
WHERE e > window_start AND e < window_end
$$;
COMMENT ON FUNCTION iot_kpi.clock_edges(interval, timestamptz, timestamptz, text) IS
    'step of bucket_edges(): where hours and shorter parts of a day begin';

CREATE OR REPLACE FUNCTION iot_kpi.bucket_edges(during tstzrange, bucket interval, time_zone text, as_of timestamptz)
RETURNS timestamptz[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most constant bigint := 100000;
    effective constant tstzrange := iot_kpi.effective_window(during, as_of);
    window_start constant timestamptz := lower(effective);
    window_end constant timestamptz := upper(effective);
    months constant int := (extract(year FROM bucket) * 12 + extract(month FROM bucket))::int;
    days constant int := extract(day FROM bucket)::int;
    clock constant interval := bucket - make_interval(months => months, days => days);
    inner_edges timestamptz[];
BEGIN
    IF bucket IS NULL OR bucket <= interval '0' THEN
        RAISE EXCEPTION 'bucket must be a positive interval, not %', coalesce(bucket::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a bucket such as ''1 hour'' or ''1 day''.';
    ELSIF (months <> 0)::int + (days <> 0)::int + (clock <> interval '0')::int <> 1 THEN
        RAISE EXCEPTION 'bucket must be of months, of days or of hours and less, not of several: %', bucket
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a bucket such as ''36 hours'' or ''1 day''.';
    END IF;
    PERFORM iot_kpi.check_time_zone(time_zone);
    IF effective IS NULL THEN
        RETURN NULL;
    END IF;
    IF extract(epoch FROM window_end - window_start) / extract(epoch FROM bucket) > most THEN
        RAISE EXCEPTION 'window has more than % buckets of %', most, bucket
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a longer bucket or a shorter window.';
    END IF;

    IF clock <> interval '0' AND mod(86400, extract(epoch FROM clock)) <> 0 THEN
        -- What divides no day knows no days.
        inner_edges := ARRAY(
            SELECT e
            FROM generate_series(date_bin(clock, window_start, timestamp '2000-01-03' AT TIME ZONE time_zone), window_end, clock) AS e
            WHERE e > window_start AND e < window_end ORDER BY e);
    ELSIF clock <> interval '0' AND clock <= interval '1 hour' THEN
        inner_edges := iot_kpi.clock_edges(clock, window_start, window_end, time_zone);
    ELSE
        inner_edges := iot_kpi.wall_edges(bucket, window_start, window_end, time_zone);
    END IF;
    RETURN window_start || coalesce(inner_edges, '{}') || window_end;
END $$;

CREATE OR REPLACE FUNCTION iot_kpi.device_report(dossier iot_kpi.dossier) RETURNS TABLE (
    slot_start timestamptz, slot_end timestamptz,
    
    up_time interval, down_time interval, unknown_time interval, excluded_time interval, uptime double precision,
    availability double precision, failures bigint, mtbf interval, mttr interval, longest_outage interval,
    completeness double precision, regularity double precision, stability double precision, consistency double precision,
    jitter double precision, missed_beats bigint, response_count bigint, response_mean double precision,
    response_p50 double precision, response_p90 double precision, response_p95 double precision,
    response_p99 double precision, apdex double precision, attempts bigint, failed bigint, error_rate double precision,
    error_rate_low double precision, error_rate_high double precision, bytes_per_second double precision,
    messages_per_second double precision, response_p75 double precision
    
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'iot_kpi_device_report';
COMMENT ON FUNCTION iot_kpi.device_report(iot_kpi.dossier) IS 'every KPI of a device, a row for each slot of its dossier';

CREATE OR REPLACE FUNCTION iot_kpi.device_times(dossier iot_kpi.dossier) RETURNS TABLE (
    slot_start timestamptz, up_time interval, down_time interval, unknown_time interval, excluded_time interval
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 24 AS 'MODULE_PATHNAME', 'iot_kpi_device_report';
COMMENT ON FUNCTION iot_kpi.device_times(iot_kpi.dossier) IS 'the four classes by heartbeats, a row for each slot of a dossier';

CREATE OR REPLACE FUNCTION iot_kpi.status_times(dossier iot_kpi.dossier) RETURNS TABLE (
    slot_start timestamptz, status_up_time interval, status_down_time interval, status_unknown_time interval
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 24 AS 'MODULE_PATHNAME', 'iot_kpi_device_report';
COMMENT ON FUNCTION iot_kpi.status_times(iot_kpi.dossier) IS 'the classes by status, a row for each slot of a dossier';

CREATE OR REPLACE FUNCTION iot_kpi.device_kpis(during tstzrange, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (
    device_id text, name text, device_type text, location text, status text, live boolean, never_seen boolean,
    last_measured timestamptz, last_received timestamptz,
    
    up_time interval, down_time interval, unknown_time interval, excluded_time interval, uptime double precision,
    availability double precision, failures bigint, mtbf interval, mttr interval, longest_outage interval,
    completeness double precision, regularity double precision, stability double precision, consistency double precision,
    jitter double precision, missed_beats bigint, response_count bigint, response_mean double precision,
    response_p50 double precision, response_p90 double precision, response_p95 double precision,
    response_p99 double precision, apdex double precision, attempts bigint, failed bigint, error_rate double precision,
    error_rate_low double precision, error_rate_high double precision, bytes_per_second double precision,
    messages_per_second double precision, response_p75 double precision
    
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, e.name, e.device_type, e.location, e.status, e.live, e.never_seen, e.last_measured, e.last_received,
       
       
       coalesce(r.up_time, '0'), coalesce(r.down_time, '0'), coalesce(r.unknown_time, '0'), coalesce(r.excluded_time, '0'),
       r.uptime, r.availability, coalesce(r.failures, 0), r.mtbf, r.mttr, r.longest_outage, r.completeness, r.regularity,
       r.stability, r.consistency, r.jitter, coalesce(r.missed_beats, 0), coalesce(r.response_count, 0), r.response_mean,
       r.response_p50, r.response_p90, r.response_p95, r.response_p99, r.apdex, coalesce(r.attempts, 0),
       coalesce(r.failed, 0), r.error_rate, r.error_rate_low, r.error_rate_high, r.bytes_per_second, r.messages_per_second,
       r.response_p75
       
FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e
LEFT JOIN LATERAL iot_kpi.device_report(e.dossier) AS r ON true
ORDER BY e.device_id;
END;
COMMENT ON FUNCTION iot_kpi.device_kpis(tstzrange, text[], timestamptz) IS
    'every KPI of each device over the part of a window before as_of; device_ids NULL is all; status and live are those at as_of';

CREATE OR REPLACE FUNCTION iot_kpi.group_of(group_by text, device_type text, location text, metadata jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC
SELECT CASE group_by WHEN 'device_type' THEN device_type WHEN 'location' THEN location ELSE metadata ->> group_by END;
END;
COMMENT ON FUNCTION iot_kpi.group_of(text, text, text, jsonb) IS 'the group that a device is in';

CREATE OR REPLACE FUNCTION iot_kpi.pool_trans(internal, kpis text[], dossier iot_kpi.dossier, class text) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_pool_trans';
COMMENT ON FUNCTION iot_kpi.pool_trans(internal, text[], iot_kpi.dossier, text) IS 'transition of pool';

CREATE OR REPLACE FUNCTION iot_kpi.pool_final(internal) RETURNS double precision[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_pool_final';
COMMENT ON FUNCTION iot_kpi.pool_final(internal) IS 'final function of pool';

CREATE OR REPLACE AGGREGATE iot_kpi.pool(kpis text[], dossier iot_kpi.dossier, class text) (
    SFUNC = iot_kpi.pool_trans, STYPE = internal, FINALFUNC = iot_kpi.pool_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.pool(text[], iot_kpi.dossier, text) IS
    'KPIs of a group of devices in each slot of their dossiers, one slot after the other, times in seconds; class is that at the end, NULL: that at the end of each slot; nothing else is computed';

CREATE OR REPLACE FUNCTION iot_kpi.fleet_kpis(
    during tstzrange, group_by text DEFAULT NULL, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE (
    group_value text, devices bigint, required bigint,
    
    live bigint, device_availability double precision, mean_uptime double precision, pooled_uptime double precision,
    availability double precision, consistency double precision, failures bigint, mtbf interval, mttr interval,
    longest_outage interval, response_count bigint, response_mean double precision, response_p50 double precision,
    response_p90 double precision, response_p95 double precision, response_p99 double precision, apdex double precision,
    attempts bigint, failed bigint, error_rate double precision, error_rate_low double precision,
    error_rate_high double precision, bytes_per_second double precision, messages_per_second double precision,
    unknown bigint, response_p75 double precision
    
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT g.value, g.devices, g.required,
       
       g.kpis[1]::bigint, g.kpis[2], g.kpis[3], g.kpis[4], g.kpis[5], g.kpis[6], g.kpis[7]::bigint,
       make_interval(secs => g.kpis[8]), make_interval(secs => g.kpis[9]), make_interval(secs => g.kpis[10]),
       g.kpis[11]::bigint, g.kpis[12], g.kpis[13], g.kpis[14], g.kpis[15], g.kpis[16], g.kpis[17], g.kpis[18]::bigint,
       g.kpis[19]::bigint, g.kpis[20], g.kpis[21], g.kpis[22], g.kpis[23], g.kpis[24], g.kpis[25]::bigint, g.kpis[26]
       

FROM (SELECT of.value, count(*) AS devices, count(*) FILTER (WHERE e.class <> 'excluded') AS required,
             iot_kpi.pool(ARRAY[
                 
                 'live', 'device_availability', 'mean_uptime', 'pooled_uptime', 'availability', 'consistency', 'failures',
                 'mtbf', 'mttr', 'longest_outage', 'response_count', 'response_mean', 'response_p50', 'response_p90',
                 'response_p95', 'response_p99', 'apdex', 'attempts', 'failed', 'error_rate', 'error_rate_low',
                 'error_rate_high', 'bytes_per_second', 'messages_per_second', 'unknown', 'response_p75'
                 
             ], e.dossier, e.class) AS kpis
      FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e
      CROSS JOIN LATERAL iot_kpi.group_of(group_by, e.device_type, e.location, e.metadata) AS of (value)
      
      WHERE iot_kpi.check_group(group_by) AND (device_ids IS NOT NULL OR NOT e.observes)
      GROUP BY of.value) AS g
ORDER BY g.value;
END;
COMMENT ON FUNCTION iot_kpi.fleet_kpis(tstzrange, text, text[], timestamptz) IS
    'the KPIs of the fleet, or of each group of it by device_type, location or a metadata key; observers are left out unless named in device_ids';

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
COMMENT ON FUNCTION iot_kpi.device_series(text, tstzrange, text[], timestamptz, timestamptz[]) IS
    'a KPI of each device for each slot between two edges';

CREATE OR REPLACE FUNCTION iot_kpi.group_series(
    kpi text, during tstzrange, group_by text, device_ids text[], as_of timestamptz, edges timestamptz[]
) RETURNS TABLE ("time" timestamptz, series text, value double precision)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT v.slot_start, p.group_value, v.value
FROM (SELECT g.value, iot_kpi.pool(ARRAY[kpi], e.dossier, NULL)
      FROM iot_kpi.evidence_for(kpi, during, device_ids, as_of, edges) AS e
      CROSS JOIN LATERAL iot_kpi.group_of(group_by, e.device_type, e.location, e.metadata) AS g (value)
      WHERE iot_kpi.check_group(group_by) AND (device_ids IS NOT NULL OR NOT e.observes)
      GROUP BY g.value) AS p (group_value, "values"),
     LATERAL ROWS FROM (unnest(edges[:cardinality(edges) - 1]), unnest(p."values")) AS v (slot_start, value);
END;
COMMENT ON FUNCTION iot_kpi.group_series(text, tstzrange, text, text[], timestamptz, timestamptz[]) IS
    'a KPI of each group for each slot between two edges; uptime is the pooled one';

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

CREATE OR REPLACE FUNCTION iot_kpi.status_periods(during tstzrange, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (device_id text, started_at timestamptz, ended_at timestamptz, status text)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, p.started_at, p.ended_at, p.status
FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e, LATERAL iot_kpi.device_periods(e.dossier) AS p
ORDER BY e.device_id, p.started_at;
END;
COMMENT ON FUNCTION iot_kpi.status_periods(tstzrange, text[], timestamptz) IS
    'each device''s window in periods of one status without gap or overlap, excluded and unknown time included; a device that never sent a status is shown by its beats';

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
COMMENT ON FUNCTION iot_kpi.outages(tstzrange, interval, text[], timestamptz) IS
    'the outages of each device by heartbeats; those shorter than min_outage are none';

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
    earliest := before - iot_kpi.exact(look_back);
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
        SELECT count(*), coalesce(sum(r.up_time), '0'), coalesce(sum(r.down_time), '0'), coalesce(sum(r.unknown_time), '0')
        FROM iot_kpi.evidence_for(kpi, during, coalesce(chosen, '{}'), as_of, NULL) AS e
        LEFT JOIN LATERAL (
            SELECT t.up_time, t.down_time, t.unknown_time FROM iot_kpi.device_times(e.dossier) AS t WHERE kpi = 'uptime'
            UNION ALL
            SELECT t.status_up_time, t.status_down_time, t.status_unknown_time
            FROM iot_kpi.status_times(e.dossier) AS t WHERE kpi = 'availability') AS r ON true;
END $$;
COMMENT ON FUNCTION iot_kpi.objective_time(text, text, text, tstzrange, text[], timestamptz) IS
    'the pooled time of the devices that an objective is for; collectors that observe a device are none of a group, unless named in device_ids';

CREATE OR REPLACE FUNCTION iot_kpi.sla_calendar(
    during tstzrange, objective double precision, bucket interval DEFAULT '1 day', group_by text DEFAULT NULL,
    time_zone text DEFAULT current_setting('TimeZone'), device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE (
    series text, started_at timestamptz, uptime double precision, met boolean, up_time interval, down_time interval,
    unknown_time interval, excluded_time interval, error_budget interval, remaining interval
)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    edges constant timestamptz[] := iot_kpi.bucket_edges(during, bucket, time_zone, as_of);
BEGIN
    PERFORM iot_kpi.require_store();
    -- Also where there is nothing to report, a wrong objective is told.
    PERFORM iot_kpi.error_budget(objective, '0');
    IF edges IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT t.series, t.started_at, v.ratio, v.ratio >= objective, t.up_time, t.down_time, t.unknown_time, t.excluded_time,
           b.budget, b.budget - t.down_time
    FROM (SELECT CASE WHEN group_by IS NULL THEN e.device_id ELSE g.value END AS series, r.slot_start AS started_at,
                 sum(r.up_time) AS up_time, sum(r.down_time) AS down_time, sum(r.unknown_time) AS unknown_time,
                 sum(r.excluded_time) AS excluded_time
          FROM iot_kpi.evidence_for('uptime', during, device_ids, as_of, edges) AS e
          CROSS JOIN LATERAL iot_kpi.group_of(group_by, e.device_type, e.location, e.metadata) AS g (value)
          CROSS JOIN LATERAL iot_kpi.device_times(e.dossier) AS r
          WHERE group_by IS NULL OR iot_kpi.check_group(group_by) AND (device_ids IS NOT NULL OR NOT e.observes)
          GROUP BY 1, 2) AS t,
         LATERAL (SELECT iot_kpi.objective_ratio(t.up_time, t.down_time)) AS v (ratio),
         LATERAL (SELECT iot_kpi.error_budget(objective, t.up_time + t.down_time)) AS b (budget)
    ORDER BY t.series, t.started_at;
END $$;

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
    PERFORM iot_kpi.check_time_zone(time_zone);
    IF seasonal THEN
        -- The same hour of the week is seen once a week: it takes weeks to learn it.
        baseline_start := window_start - iot_kpi.exact(baseline);
    END IF;
    RETURN QUERY
    SELECT s.device_id, u.time, u.value, u.expected, u.score
    FROM (SELECT m.device_id, array_agg(m.time) AS times, array_agg(m.value) AS "values"
          FROM iot.device_metrics m
          WHERE m.metric = wanted AND m.time >= baseline_start AND m.time < window_end
            AND (device_ids IS NULL OR m.device_id = ANY (device_ids))
          GROUP BY m.device_id,
                   CASE WHEN seasonal THEN extract(isodow FROM m.time AT TIME ZONE time_zone) * 24
                                           + extract(hour FROM m.time AT TIME ZONE time_zone) END) AS s
    CROSS JOIN LATERAL iot_kpi.unusual(s.times, s."values", window_start, cut_off) AS u
    ORDER BY s.device_id, u.time;
END $$;
COMMENT ON FUNCTION iot_kpi.anomalies(text, tstzrange, double precision, boolean, interval, text, text[], timestamptz) IS
    'samples whose modified z-score exceeds cut_off, against the device''s median in the window or, seasonal, in the same hour of the week over window and baseline; a score beyond double precision is NULL';

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

CREATE OR REPLACE FUNCTION iot_kpi.calculate_period(device_ids text[], grain text, edges timestamptz[], as_of timestamptz) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wanted_grain constant text := grain;
    written bigint;
BEGIN
    INSERT INTO iot.kpi_calculations AS k (
        device_id, period, grain, stale, calculated_at,
        -- catalogue: calculated columns
        up_time, down_time, unknown_time, excluded_time, uptime, availability, failures, mtbf, mttr, longest_outage,
        completeness, regularity, stability, consistency, jitter, missed_beats, response_count, response_mean, response_p50,
        response_p90, response_p95, response_p99, apdex, attempts, failed, error_rate, error_rate_low, error_rate_high,
        bytes_per_second, messages_per_second, response_p75,
        -- catalogue: end
        expected_interval, liveness, parts, summary)
    SELECT e.device_id, tstzrange(r.slot_start, r.slot_end), wanted_grain, false, clock_timestamp(),
           -- catalogue: calculated values
           r.up_time, r.down_time, r.unknown_time, r.excluded_time, r.uptime, r.availability, r.failures, r.mtbf, r.mttr,
           r.longest_outage, r.completeness, r.regularity, r.stability, r.consistency, r.jitter, r.missed_beats,
           r.response_count, r.response_mean, r.response_p50, r.response_p90, r.response_p95, r.response_p99, r.apdex,
           r.attempts, r.failed, r.error_rate, r.error_rate_low, r.error_rate_high, r.bytes_per_second,
           r.messages_per_second, r.response_p75,
           -- catalogue: end
           (e.dossier).expected_interval, by.liveness, iot_kpi.evidence_send(r.part),
           -- Of an hour, the beats are as few bytes as what they amount to.
           CASE WHEN wanted_grain = 'day' THEN
               iot_kpi.evidence_send(iot_kpi.evidence_summary(r.part, (e.dossier).expected_interval, by.liveness)) END
    -- A day that is calculated is missing or stale, so its beats come from hours and rows: only fresh days are read as runs.
    FROM iot_kpi.evidence_of(tstzrange(edges[1], edges[cardinality(edges)]), device_ids, as_of, edges) AS e
    CROSS JOIN LATERAL (SELECT coalesce((e.dossier).liveness, (e.dossier).expected_interval * 3)) AS by (liveness)
    -- Both have a row for each slot, in order: side by side, so that neither is called again for each row of the other.
    CROSS JOIN LATERAL ROWS FROM (
        iot_kpi.device_report(e.dossier), iot_kpi.evidence_parts(coalesce((e.dossier).evidence, iot_kpi.no_evidence(edges)))) AS r
    ORDER BY e.device_id, r.slot_start
    ON CONFLICT (device_id, grain, period) DO UPDATE SET
        stale = false, calculated_at = excluded.calculated_at,
        -- catalogue: calculated anew
        up_time = excluded.up_time, down_time = excluded.down_time, unknown_time = excluded.unknown_time,
        excluded_time = excluded.excluded_time, uptime = excluded.uptime, availability = excluded.availability,
        failures = excluded.failures, mtbf = excluded.mtbf, mttr = excluded.mttr, longest_outage = excluded.longest_outage,
        completeness = excluded.completeness, regularity = excluded.regularity, stability = excluded.stability,
        consistency = excluded.consistency, jitter = excluded.jitter, missed_beats = excluded.missed_beats,
        response_count = excluded.response_count, response_mean = excluded.response_mean,
        response_p50 = excluded.response_p50, response_p90 = excluded.response_p90, response_p95 = excluded.response_p95,
        response_p99 = excluded.response_p99, apdex = excluded.apdex, attempts = excluded.attempts, failed = excluded.failed,
        error_rate = excluded.error_rate, error_rate_low = excluded.error_rate_low,
        error_rate_high = excluded.error_rate_high, bytes_per_second = excluded.bytes_per_second,
        messages_per_second = excluded.messages_per_second, response_p75 = excluded.response_p75,
        -- catalogue: end
        expected_interval = excluded.expected_interval, liveness = excluded.liveness,
        parts = excluded.parts, summary = excluded.summary
    WHERE k.stale;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END $$;
COMMENT ON FUNCTION iot_kpi.calculate_period(text[], text, timestamptz[], timestamptz) IS
    'writes the calculations of devices for the periods between edges that are missing or stale; the devices must be locked';
COMMENT ON FUNCTION iot_kpi.check_devices(text[]) IS 'fails with a hint where one of some devices is not known: who has something written should hear of a slip; reports pass over it, since a dashboard remembers devices that are gone';

CREATE OR REPLACE FUNCTION iot_kpi.calculate_kpis(
    during tstzrange, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    effective constant tstzrange := iot_kpi.effective_window(during, as_of);
    day timestamptz;
    day_end timestamptz;
    locked text[];
    wanted text[];
    within tstzrange;
    written bigint := 0;
BEGIN
    PERFORM iot_kpi.require_store();
    PERFORM iot_kpi.check_devices(device_ids);
    IF effective IS NULL THEN
        RETURN 0;
    END IF;
    -- All locks at once, in key order: taken day by day, they could wait for a writer that waits for them.
    SELECT array_agg(DISTINCT w.device_id) INTO locked
        FROM unnest(ARRAY['hour', 'day']) AS g (grain),
             LATERAL iot_kpi.wanted_calculations(effective, g.grain, device_ids, as_of) AS w;
    IF locked IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM iot_kpi.lock_for_calculation(locked, upper(effective));
    FOR day IN SELECT generate_series(date_trunc('day', lower(effective), 'UTC'), upper(effective), interval '24 hours') LOOP
        day_end := day + interval '24 hours';
        within := tstzrange(day, day_end) * effective;
        -- Hours first: the day is then put together from them.
        SELECT array_agg(DISTINCT w.device_id), tstzrange(min(lower(w.period)), max(upper(w.period)))
            INTO wanted, within
            FROM iot_kpi.wanted_calculations(within, 'hour', locked, as_of) AS w;
        IF wanted IS NOT NULL THEN
            written := written + iot_kpi.calculate_period(wanted, 'hour', (
                SELECT array_agg(e ORDER BY e) FROM generate_series(lower(within), upper(within), interval '1 hour') AS e), as_of);
        END IF;
        SELECT array_agg(w.device_id) INTO wanted
            FROM iot_kpi.wanted_calculations(tstzrange(day, day_end) * effective, 'day', locked, as_of) AS w;
        IF wanted IS NOT NULL THEN
            written := written + iot_kpi.calculate_period(wanted, 'day', ARRAY[day, day_end], as_of);
        END IF;
    END LOOP;
    RETURN written;
END $$;

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_steps() RETURNS TABLE (step text, description text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
VALUES
    
    ('partitions', 'makes partitions ahead, and those of years that lack one'),
    
    ('deadlines', 'records and announces devices that fall silent, and their return'),
    ('calculations', 'calculates what is stale, and hours and days that are over'),
    
    ('retention', 'drops and deletes what has expired');
END;
COMMENT ON FUNCTION iot_kpi.upkeep_steps() IS
    'The steps of upkeep in their order. A step is done by the function iot_kpi.upkeep_STEP(place jsonb): it does a piece and returns the place to go on from, NULL when all is done';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp

SET lock_timeout = '100ms'
AS $$
DECLARE
    steps constant text[] := ARRAY(SELECT s.step FROM iot_kpi.upkeep_steps() WITH ORDINALITY s ORDER BY s.ordinality);
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
        EXECUTE format('SELECT iot_kpi.%I($1)', 'upkeep_' || step) INTO further USING place;
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
COMMENT ON PROCEDURE iot_kpi.maintain() IS
    'Upkeep, for cron: every step of upkeep_steps(), in small transactions. What the background worker does';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_partitions(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Moving rows to their year locks the years at last: so one a transaction.
    IF iot_kpi.make_years(1) > 0 THEN
        RETURN place;
    END IF;
    PERFORM iot_kpi.make_partitions();
    RETURN NULL;
EXCEPTION WHEN lock_not_available THEN
    -- The next run tries again. They are made days ahead, and without them samples have a place all the same.
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_partitions(jsonb) IS 'Step of upkeep: makes the partitions that are wanted ahead, and those of years that lack one';

CREATE OR REPLACE FUNCTION iot_kpi.deadlines_of(device_ids text[]) RETURNS TABLE (
    device_id text, last_beat timestamptz, liveness interval, deadline timestamptz, silent_since timestamptz,
    missed boolean, returned boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT d.device_id, l.last_beat, k.liveness, due.deadline, l.silent_since,
           -- As reports judge it: while nobody looks nobody knows, and whoever is back from maintenance or from an outage of its collector
           -- has its time.
           coalesce(due.deadline <= now(), false) AND l.silent_since IS NULL AND c.class = 'down'
               -- What came within the liveness tells that it is alive, though by a slow clock or a batch it came late.
               AND NOT EXISTS (
                   SELECT FROM iot.metric_types t JOIN iot.device_metrics s
                       ON s.device_id = d.device_id AND s.metric = t.metric AND s."time" = l.last_beat
                   WHERE s.received_at > now() - k.liveness AND iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric)),
           coalesce(due.deadline > l.silent_since, false)
    FROM iot.devices d
    JOIN iot_kpi.devices_before(device_ids, now(), now(), now()) k ON k.device_id = d.device_id
    JOIN iot_kpi.classes_at(device_ids, now()) c ON c.device_id = d.device_id
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
    -- One that was never seen has its time from when it went into service. Of what a collector did not look at yet nobody knows that it will not.
    CROSS JOIN LATERAL (SELECT iot_kpi.down_from(coalesce(greatest(l.last_beat, d.commissioned_at), d.created_at), k.liveness, k.excluded,
                                                 k.unknown * tstzmultirange(tstzrange(NULL, coalesce(k.seen_until, now()))))) AS due (deadline)
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
                     AND iot_kpi.is_beat(m.metric, m.value, d.heartbeat_metric))) END + interval '1 microsecond' AS "time"
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

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_missing(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    -- What a collector saw of the end of an hour is known by its next beat.
    until constant timestamptz := coalesce((place ->> 'until')::timestamptz, date_trunc('hour', now() - iot_kpi.look_back_of_collectors(), 'UTC'));
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

CREATE OR REPLACE FUNCTION iot_kpi.expired_metrics(OUT day timestamptz, OUT metrics text[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Days that may hold some: those with a partition. In the years it takes a look into the key for each device.
    days timestamptz[] := ARRAY(SELECT p.first FROM iot_kpi.partitions() p WHERE p.of_days);
BEGIN
    IF EXISTS (SELECT FROM iot.metric_types t WHERE t.retention IS NOT NULL)
       AND EXISTS (SELECT FROM iot_kpi.partitions() p WHERE NOT p.of_days AND pg_relation_size(p.partition) > 0) THEN
        days := days || ARRAY(
            SELECT date_trunc('day', min(s."time"), 'UTC')
            FROM iot.metric_types t, iot.devices d, LATERAL (
                SELECT m."time" FROM iot.device_metrics_years m
                WHERE m.device_id = d.device_id AND m.metric = t.metric AND m."time" >= coalesce(t.expired_until, '-infinity')
                  AND m."time" < date_trunc('day', now() - iot_kpi.exact(t.retention), 'UTC')
                ORDER BY m."time" LIMIT 1) AS s
            WHERE t.retention IS NOT NULL GROUP BY t.metric);
    END IF;
    SELECT p.first, array_agg(t.metric ORDER BY t.metric) INTO day, metrics
    FROM (SELECT DISTINCT unnest(days)) p (first)
    JOIN iot.metric_types t ON p.first + interval '24 hours' <= now() - iot_kpi.exact(t.retention) AND p.first >= coalesce(t.expired_until, '-infinity')
    GROUP BY p.first ORDER BY p.first LIMIT 1;
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
    expired record := iot_kpi.expired_metrics();
    begun constant timestamptz := (place ->> 'day')::timestamptz;
    -- A changed retention may have put another day in front meanwhile, which has to be calculated first.
    goes_on constant boolean := coalesce(begun <= coalesce(expired.day, 'infinity'), false);
    since constant text := CASE WHEN goes_on THEN coalesce(place ->> 'from', '') ELSE '' END;
    deleting constant boolean := goes_on AND place ? 'deleting';
    chosen text[];
BEGIN
    IF goes_on THEN
        -- The last of a day's samples may be gone before its end is noted. What a changed retention keeps after all stays.
        expired.day := begun;
        expired.metrics := ARRAY(SELECT t.metric FROM iot.metric_types t
                                 WHERE place -> 'metrics' ? t.metric AND begun + interval '24 hours' <= now() - iot_kpi.exact(t.retention));
    ELSIF expired.day IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT d.device_id FROM iot.devices d WHERE d.device_id > since
          ORDER BY d.device_id LIMIT iot_kpi.setting('upkeep_batch')::integer) c;
    IF chosen IS NULL AND NOT deleting THEN
        RETURN place - 'from' || jsonb_build_object('day', expired.day, 'metrics', expired.metrics, 'deleting', true);
    ELSIF chosen IS NULL THEN
        UPDATE iot.metric_types t SET expired_until = expired.day + interval '24 hours' WHERE t.metric = ANY (expired.metrics);
        RETURN place - 'from' - 'day' - 'metrics' - 'deleting';
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
    RETURN place - CASE WHEN deleting THEN '' ELSE 'deleting' END
        || jsonb_build_object('day', expired.day, 'metrics', expired.metrics, 'from', chosen[cardinality(chosen)]);
END
$$;

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_rows(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from constant timestamptz := coalesce((place ->> 'before')::timestamptz, date_trunc('day', iot_kpi.retained_from(), 'UTC'));
    -- About eight megabytes. By block, since no index has rows by time alone.
    blocks constant bigint := 1000;
    block constant bigint := coalesce((place ->> 'block')::bigint, 0);
    chosen text;
    deleted bigint;
BEGIN
    IF kept_from IS NOT NULL AND kept_from > coalesce((SELECT u.deleted_until FROM iot.upkeep u WHERE u.step = 'retention'), '-infinity') THEN
        SELECT min(p::text COLLATE "C") INTO chosen FROM iot_kpi.partly_expired(kept_from) p
        WHERE CASE WHEN NOT place ? 'table' THEN true WHEN block > 0 THEN p::text COLLATE "C" >= place ->> 'table'
                   ELSE p::text COLLATE "C" > place ->> 'table' END;
        IF chosen IS NOT NULL THEN
            EXECUTE format('DELETE FROM %s WHERE ctid >= $1 AND ctid < $2 AND "time" < $3', chosen)
            USING format('(%s,0)', block)::tid, format('(%s,0)', block + blocks)::tid, kept_from;
            GET DIAGNOSTICS deleted = ROW_COUNT;
            IF deleted > 0 THEN
                PERFORM iot_kpi.samples_gone(kept_from);
            END IF;
            RETURN place || jsonb_build_object('before', kept_from, 'table', chosen, 'block',
                CASE WHEN (block + blocks) * current_setting('block_size')::bigint < pg_relation_size(chosen::regclass) THEN block + blocks ELSE 0 END);
        END IF;
        INSERT INTO iot.upkeep AS u (step, deleted_until) VALUES ('retention', kept_from)
        ON CONFLICT (step) DO UPDATE SET deleted_until = excluded.deleted_until;
    END IF;
    RETURN place - 'before' - 'table' - 'block' || '{"part": "metrics"}';
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_rows(jsonb) IS
    'Part of upkeep_retention(): a piece of a partition of more than a day, of which days have expired. Once a day all of it is looked at';

CREATE OR REPLACE FUNCTION iot_kpi.upkeep_retention(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expired record;
BEGIN
    IF place ->> 'part' = 'metrics' THEN
        RETURN iot_kpi.upkeep_metrics(place);
    ELSIF place ->> 'part' = 'rows' THEN
        RETURN iot_kpi.upkeep_rows(place);
    END IF;
    SELECT * INTO expired FROM iot_kpi.expired_partitions() LIMIT 1;
    IF FOUND AND NOT place ? 'in_use' THEN
        BEGIN
            PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
            PERFORM iot_kpi.drop_partition(expired.partition, expired.of_days, expired.until);
            RETURN place;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- A long report reads the table. The next run tries again.
            RETURN place || '{"in_use": true}';
        END;
    ELSIF iot_kpi.delete_expired_statuses(iot_kpi.setting('upkeep_batch')::bigint * 100) > 0 THEN
        RETURN place;
    END IF;
    RETURN place || '{"part": "rows"}';
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_retention(jsonb) IS
    'Step of upkeep: drops an expired partition, then deletes expired status samples, then expired samples of years, then those of metrics with a retention of their own';

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
    -- A check has its own: what another one found is never told as its own.
    triggers integer;
    partitions integer;
    without_partition text;
    devices bigint;
    last_measured timestamptz;
    last_received timestamptz;
    stale bigint;
    beyond bigint;
    beyond_first text;
    expired integer;
    expired_from timestamptz;
    metrics_expired_from timestamptz;
    missed bigint;
    returned bigint;
    last_run record;
    last_error record;
    fresh boolean;
    unplaced boolean;
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
    SELECT count(*) INTO triggers FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
    WHERE g.tgrelid = to_regclass('iot.device_metrics') AND NOT g.tgisinternal AND p.pronamespace = 'iot_kpi'::regnamespace AND g.tgenabled <> 'D';
    RETURN QUERY SELECT 'ingest rules', CASE WHEN triggers >= 4 THEN 'ok' ELSE 'fail' END,
        format('%s of 4 triggers on iot.device_metrics', triggers), CASE WHEN triggers >= 4 THEN NULL ELSE 'SELECT iot_kpi.create_store();' END;

    SELECT count(*) INTO partitions FROM iot_kpi.partitions();
    SELECT string_agg(to_char(d.day AT TIME ZONE 'UTC', 'YYYY-MM-DD'), ', ' ORDER BY d.day) INTO without_partition
    FROM generate_series(date_trunc('day', now(), 'UTC'), now() + iot_kpi.duration('partitions_ahead'), interval '24 hours') d (day)
    WHERE NOT iot_kpi.has_partition(d.day) AND iot_kpi.wants_days();
    unplaced := iot_kpi.default_holds_samples();
    RETURN QUERY SELECT 'partitions',
        CASE WHEN unplaced IS NULL THEN 'fail' WHEN unplaced OR without_partition IS NOT NULL THEN 'warn' ELSE 'ok' END,
        format('%s partitions', partitions) || coalesce(', missing: ' || without_partition, ', all made that are wanted')
            || CASE WHEN unplaced THEN '; iot.device_metrics_default holds samples of years that have none' WHEN unplaced IS NULL THEN '; the default partition is missing' ELSE '' END,
        CASE WHEN unplaced IS NULL THEN 'SELECT iot_kpi.create_store();'
             WHEN unplaced OR without_partition IS NOT NULL THEN 'SELECT iot_kpi.make_partitions(); and have it done regularly' END;

    SELECT max(l.last_measured), max(l.last_received), count(*) INTO last_measured, last_received, devices FROM iot.device_liveness l;
    RETURN QUERY SELECT 'samples', CASE WHEN last_received > now() - interval '15 min' THEN 'ok' ELSE 'warn' END,
        CASE WHEN last_measured IS NULL THEN 'no sample yet'
             ELSE format('%s devices, last measured %s, last received %s ago', devices, last_measured, date_trunc('second', now() - last_received)) END,
        CASE WHEN last_received > now() - interval '15 min' THEN NULL ELSE 'Look whether the collector runs and can reach the database.' END;

    SELECT u.finished_at, u.run_by INTO last_run FROM iot.upkeep u WHERE u.step = 'run' AND u.finished_at IS NOT NULL;
    fresh := coalesce(last_run.finished_at > now() - interval '15 min', false);
    SELECT u.step, u.error, u.error_at INTO last_error FROM iot.upkeep u WHERE u.error_at IS NOT NULL ORDER BY u.error_at DESC LIMIT 1;
    fault := iot_kpi.upkeep_fault();

    SELECT count(*) INTO stale FROM iot.kpi_calculations k WHERE k.stale;
    RETURN QUERY SELECT 'calculations', CASE WHEN stale = 0 OR fresh THEN 'ok' ELSE 'warn' END,
        format('%s stale', stale) || coalesce((SELECT ', last calculated ' || max(l.calculated_at) FROM iot.device_liveness l), ', none calculated yet'),
        CASE WHEN stale = 0 OR fresh THEN NULL ELSE 'SELECT iot_kpi.calculate_kpis(during) over the stale periods, or let upkeep do it' END;

    SELECT count(*), string_agg(b.device_id, ', ' ORDER BY b.device_id) FILTER (WHERE b.place <= 5) INTO beyond, beyond_first
    FROM (SELECT k.device_id, row_number() OVER (ORDER BY k.device_id) AS place FROM iot.kpi_calculations k
          WHERE k.response_count > 0 AND k.response_mean IS NULL OR k.messages_per_second IS NOT NULL AND k.bytes_per_second IS NULL
          GROUP BY k.device_id) b;
    RETURN QUERY SELECT 'figures', CASE WHEN beyond = 0 THEN 'ok' ELSE 'warn' END,
        format('%s devices with a KPI that could not be summed', beyond) || coalesce(': ' || beyond_first, '') || CASE WHEN beyond > 5 THEN ', ...' ELSE '' END,
        CASE WHEN beyond > 0 THEN 'Look for negative values and values near 1.8e308 among their response_time and bytes; delete them, or set minimum and maximum in iot.metric_types' END;

    SELECT count(*), min(e.first) INTO expired, expired_from FROM iot_kpi.expired_partitions() e;
    SELECT min(e.day) INTO metrics_expired_from FROM iot_kpi.expired_metrics() e;
    RETURN QUERY SELECT 'retention', CASE WHEN expired <= 1 AND metrics_expired_from IS NULL THEN 'ok' ELSE 'warn' END,
        format('%s expired partitions', expired) || coalesce(', the earliest of ' || to_char(expired_from AT TIME ZONE 'UTC', 'YYYY-MM-DD'), '')
            || coalesce(', metrics expired from ' || to_char(metrics_expired_from AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' on', ''),
        CASE WHEN expired <= 1 AND metrics_expired_from IS NULL THEN NULL
             ELSE 'See that upkeep runs; a report or a session that stays in a transaction keeps partitions from being dropped' END;

    SELECT count(*) FILTER (WHERE t.missed), count(*) FILTER (WHERE t.returned) INTO missed, returned FROM iot_kpi.deadlines() t;
    RETURN QUERY SELECT 'deadlines', CASE WHEN iot_kpi.setting('deadlines') = 'off' OR missed + returned = 0 OR fresh THEN 'ok' ELSE 'warn' END,
        format('%s missed and %s returns not recorded yet', missed, returned)
            || CASE iot_kpi.setting('deadlines') WHEN 'off' THEN ': the setting deadlines is off' ELSE '' END,
        CASE WHEN iot_kpi.setting('deadlines') = 'off' OR missed + returned = 0 OR fresh THEN NULL ELSE 'See that upkeep runs' END;

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
    PERFORM iot_kpi.close_partition(t.relid) FROM pg_partition_tree(to_regclass('iot.device_metrics')) t WHERE t.level > 0;
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
    FOR p IN SELECT t.relid AS name FROM pg_partition_tree(to_regclass('iot.device_metrics')) t WHERE t.level > 0 LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', p.name);
    END LOOP;
END
$$;
