-- From 0.2.0 to 0.3.0. Above the line below stands what is written by hand, which runs first; `make upgrade-script`
-- writes what is below it, from the difference between sql/upgrade/pg_iot_kpi--0.2.0.sql and sql/install.
\echo Use "ALTER EXTENSION pg_iot_kpi UPDATE TO '0.3.0'" to load this file. \quit

---- generated ----

DROP FUNCTION iot_kpi.gather(timestamptz[], timestamptz, timestamptz, text[], boolean);

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
END
$$;

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
                      + tstzmultirange(CASE WHEN d.commissioned_at IS NOT NULL THEN tstzrange(NULL, d.commissioned_at) ELSE 'empty' END,
                                       CASE WHEN d.decommissioned_at IS NOT NULL THEN tstzrange(d.decommissioned_at, NULL) ELSE 'empty' END),
                      '{}') AS excluded
    ) AS exempt
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
               AND (d.commissioned_at IS NULL OR d.commissioned_at <= now())
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
    PERFORM set_config('iot_store.quiet', 'on', true);
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
    RETURN further;
END
$$;
