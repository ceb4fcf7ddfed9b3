-- Anomalies of a metric: samples far from their device's median, in robust standard deviations.

CREATE FUNCTION iot_kpi.anomalies(
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
COMMENT ON FUNCTION iot_kpi.anomalies(text, tstzrange, double precision, boolean, interval, text, text[], timestamptz) IS
    'samples whose modified z-score exceeds cut_off, against the device''s median in the window or, seasonal, in the same hour of the week over window and baseline';
