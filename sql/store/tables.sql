-- The tables of the managed store. They are made at run time, so they are ordinary tables that pg_dump dumps and that outlive the
-- extension: no default, CHECK or index of theirs may name anything of the extension. Only triggers do (triggers.sql).
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
COMMENT ON FUNCTION iot_kpi.create_store_tables() IS 'Step of create_store(): the tables, those that are missing';
