-- What happened when: status periods, outages, measured values.

CREATE FUNCTION iot_kpi.device_periods(dossier iot_kpi.dossier)
RETURNS TABLE (started_at timestamptz, ended_at timestamptz, status text)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 20 AS 'MODULE_PATHNAME', 'iot_kpi_device_periods';
COMMENT ON FUNCTION iot_kpi.device_periods(iot_kpi.dossier) IS
    'a dossier''s window in periods of one status; by its beats where the device never sent a status';

CREATE FUNCTION iot_kpi.device_outages(dossier iot_kpi.dossier, min_outage interval) RETURNS TABLE (
    started_at timestamptz, ended_at timestamptz, duration interval, ongoing boolean, began_before boolean,
    last_beat timestamptz
)
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'iot_kpi_device_outages';
COMMENT ON FUNCTION iot_kpi.device_outages(iot_kpi.dossier, interval) IS 'the outages of a dossier''s window';

CREATE FUNCTION iot_kpi.status_periods(during tstzrange, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (device_id text, started_at timestamptz, ended_at timestamptz, status text)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, p.started_at, p.ended_at, p.status
FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e, LATERAL iot_kpi.device_periods(e.dossier) AS p
ORDER BY e.device_id, p.started_at;
END;
COMMENT ON FUNCTION iot_kpi.status_periods(tstzrange, text[], timestamptz) IS
    'each device''s window in periods of one status without gap or overlap, excluded and unknown time included; a device that never sent a status is shown by its beats';

CREATE FUNCTION iot_kpi.outages(
    during tstzrange, min_outage interval DEFAULT '0', device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE (
    device_id text, started_at timestamptz, ended_at timestamptz, duration interval, ongoing boolean, began_before boolean,
    last_beat timestamptz
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, o.started_at, o.ended_at, o.duration, o.ongoing, o.began_before,
       -- What was gathered reaches no further back than a beat proves anything.
       coalesce(o.last_beat, iot_kpi.beat_before(e.device_id, o.started_at))
FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e, LATERAL iot_kpi.device_outages(e.dossier, min_outage) AS o
ORDER BY e.device_id, o.started_at;
END;
COMMENT ON FUNCTION iot_kpi.outages(tstzrange, interval, text[], timestamptz) IS
    'the outages of each device by heartbeats; those shorter than min_outage are none';

CREATE FUNCTION iot_kpi.check_metric(metric text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM iot_kpi.require_store();
    IF EXISTS (SELECT FROM iot.metric_types t WHERE t.metric = check_metric.metric) THEN
        RETURN metric;
    END IF;
    RAISE EXCEPTION 'metric "%" is not known', coalesce(left(metric, 63), 'NULL')
        USING ERRCODE = 'invalid_parameter_value', HINT = 'See SELECT metric FROM iot.metric_types;';
END $$;
COMMENT ON FUNCTION iot_kpi.check_metric(text) IS 'fails with a hint where a metric is not known';

CREATE FUNCTION iot_kpi.metric_series(
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
COMMENT ON FUNCTION iot_kpi.metric_series(text, tstzrange, integer, text[], timestamptz) IS
    'a metric''s samples; where a device has more than max_points, the first, last, least and greatest of each bucket (M4), so that no spike is lost';

CREATE FUNCTION iot_kpi.metric_before(
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
COMMENT ON FUNCTION iot_kpi.metric_before(text, timestamptz, text[], interval) IS
    'each device''s last sample of a metric before an instant and not older than look_back: where a line that is drawn from there on begins';
