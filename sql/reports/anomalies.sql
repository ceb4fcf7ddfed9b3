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
