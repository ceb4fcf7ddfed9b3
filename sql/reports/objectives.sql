-- Objectives: what was promised, what is left of it, how fast it is being used up (Google SRE Workbook, ch. 5).

CREATE FUNCTION iot_kpi.objective_time(
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

CREATE FUNCTION iot_kpi.objective_ratio(up_time interval, down_time interval) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE BEGIN ATOMIC
SELECT (extract(epoch FROM up_time) / nullif(extract(epoch FROM up_time + down_time), 0))::float8;
END;
COMMENT ON FUNCTION iot_kpi.objective_ratio(interval, interval) IS 'up / (up + down); NULL where both are zero';

CREATE FUNCTION iot_kpi.slo_report(during tstzrange DEFAULT NULL, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (
    slo_id bigint, scope_kind text, scope_value text, kpi text, objective double precision, devices bigint,
    value double precision, met boolean, eligible_time interval, error_budget interval, consumed interval,
    remaining interval, remaining_ratio double precision, burn_rate double precision, nines double precision
)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM iot_kpi.require_store();
    IF during IS NOT NULL THEN
        PERFORM iot_kpi.effective_window(during, as_of);
    END IF;
    RETURN QUERY
    SELECT s.id, s.scope_kind, s.scope_value, s.kpi, s.objective, t.devices, v.value, v.value >= s.objective,
           v.eligible, b.budget, t.down_time, b.budget - t.down_time,
           (1 - extract(epoch FROM t.down_time) / nullif(extract(epoch FROM b.budget), 0))::float8,
           iot_kpi.burn_rate(v.value, s.objective), iot_kpi.nines(v.value)
    FROM iot.slo_targets s,
         LATERAL (SELECT coalesce(during, tstzrange(
                      as_of - make_interval(secs => extract(epoch FROM s.period)::float8), as_of))) AS w (judged),
         LATERAL iot_kpi.objective_time(s.kpi, s.scope_kind, s.scope_value, w.judged, device_ids, as_of) AS t,
         LATERAL (SELECT iot_kpi.objective_ratio(t.up_time, t.down_time), t.up_time + t.down_time) AS v (value, eligible),
         LATERAL (SELECT iot_kpi.error_budget(s.objective, v.eligible)) AS b (budget)
    ORDER BY s.id;
END $$;
COMMENT ON FUNCTION iot_kpi.slo_report(tstzrange, text[], timestamptz) IS
    'each objective of iot.slo_targets over a window, or over its own period before as_of where during is NULL: the value, the error budget in down time, what is left of it (negative where overspent), and how fast it burns';

CREATE FUNCTION iot_kpi.burn_rate_policies()
RETURNS TABLE (severity text, threshold double precision, long_window interval, short_window interval)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3 BEGIN ATOMIC
VALUES ('page', 14.4::float8, interval '1 hour', interval '5 minutes'),
       ('page', 6::float8, interval '6 hours', interval '30 minutes'),
       ('ticket', 1::float8, interval '72 hours', interval '6 hours');
END;
COMMENT ON FUNCTION iot_kpi.burn_rate_policies() IS
    'the multi-window policies of burn_rate_alerts: both windows must burn faster than the threshold';

CREATE FUNCTION iot_kpi.burn_rate_alerts(device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (
    slo_id bigint, scope_kind text, scope_value text, kpi text, objective double precision, severity text,
    threshold double precision, long_window interval, short_window interval, long_burn_rate double precision,
    short_burn_rate double precision, firing boolean
)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM iot_kpi.require_store();
    RETURN QUERY
    SELECT s.id, s.scope_kind, s.scope_value, s.kpi, s.objective, p.severity, p.threshold, p.long_window, p.short_window,
           long.rate, short.rate,
           -- Too little was seen to change one's mind: NULL, the alert keeps its state.
           CASE WHEN long.seen AND short.seen THEN long.rate > p.threshold AND short.rate > p.threshold END
    FROM iot.slo_targets s
    CROSS JOIN iot_kpi.burn_rate_policies() AS p
    CROSS JOIN LATERAL iot_kpi.burn_over(s.kpi, s.scope_kind, s.scope_value, s.objective, p.long_window, device_ids, as_of) AS long
    CROSS JOIN LATERAL iot_kpi.burn_over(s.kpi, s.scope_kind, s.scope_value, s.objective, p.short_window, device_ids, as_of) AS short
    ORDER BY s.id, p.threshold DESC;
END $$;
COMMENT ON FUNCTION iot_kpi.burn_rate_alerts(text[], timestamptz) IS
    'whether an objective''s budget burns too fast, by policy; firing is NULL where more than half of a window was not observed: keep the alert''s state then';

CREATE FUNCTION iot_kpi.burn_over(
    kpi text, scope_kind text, scope_value text, objective double precision, look_back interval, device_ids text[],
    as_of timestamptz
) RETURNS TABLE (rate double precision, seen boolean)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT iot_kpi.burn_rate(iot_kpi.objective_ratio(t.up_time, t.down_time), objective),
       t.up_time + t.down_time > interval '0' AND t.unknown_time <= t.up_time + t.down_time
FROM iot_kpi.objective_time(kpi, scope_kind, scope_value, tstzrange(as_of - look_back, as_of), device_ids, as_of) AS t;
END;
COMMENT ON FUNCTION iot_kpi.burn_over(text, text, text, double precision, interval, text[], timestamptz) IS
    'the burn rate of an objective over the time before as_of, and whether at least half of it was observed';

CREATE FUNCTION iot_kpi.sla_calendar(
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
COMMENT ON FUNCTION iot_kpi.sla_calendar(tstzrange, double precision, interval, text, text, text[], timestamptz) IS
    'uptime against an objective for each day (or other bucket) of a time zone, by device or group, with the error budget and what is left of it';
