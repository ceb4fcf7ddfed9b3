-- Calculations: the KPIs of whole hours and days (UTC), for people to read, and as mergeable parts for reports.
--
-- A calculation locks its devices' rows of iot.device_liveness, as every writer does, and reads the evidence in a later
-- statement: so it sees all that was written before it, and whoever writes later sees it and marks it stale.

CREATE FUNCTION iot_kpi.wanted_calculations(during tstzrange, grain text, device_ids text[], as_of timestamptz)
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
COMMENT ON FUNCTION iot_kpi.wanted_calculations(tstzrange, text, text[], timestamptz) IS
    'the whole hours or days of a window, over by as_of, whose calculation is missing or stale';

CREATE FUNCTION iot_kpi.calculate_period(device_ids text[], grain text, edges timestamptz[], as_of timestamptz) RETURNS bigint
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

CREATE FUNCTION iot_kpi.no_evidence(edges timestamptz[]) RETURNS iot_kpi.evidence
    LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC
SELECT iot_kpi.evidence_agg(NULL, NULL, NULL, NULL, false, edges) FROM (VALUES (1)) AS one;
END;
COMMENT ON FUNCTION iot_kpi.no_evidence(timestamptz[]) IS 'the evidence of a device without samples';

CREATE FUNCTION iot_kpi.check_devices(device_ids text[]) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unknown text;
BEGIN
    SELECT ids.id INTO unknown
        FROM unnest(device_ids) AS ids (id)
        WHERE NOT EXISTS (SELECT FROM iot.devices d WHERE d.device_id = ids.id)
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'device "%" is not known', coalesce(left(unknown, 63), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'See SELECT device_id FROM iot.devices; for all devices pass NULL.';
    END IF;
END $$;
COMMENT ON FUNCTION iot_kpi.check_devices(text[]) IS 'fails with a hint where one of some devices is not known: who has something written should hear of a slip; reports pass over it, since a dashboard remembers devices that are gone';

CREATE FUNCTION iot_kpi.calculate_kpis(
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
COMMENT ON FUNCTION iot_kpi.calculate_kpis(tstzrange, text[], timestamptz) IS
    'calculates the whole hours and days (UTC) of a window that are over by as_of and missing or stale in iot.kpi_calculations; returns how many it wrote';
