-- A KPI over time, a series for each device or group.

CREATE FUNCTION iot_kpi.kpi_names() RETURNS text[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_kpi_names';
COMMENT ON FUNCTION iot_kpi.kpi_names() IS 'the KPIs that kpi_series knows';

CREATE FUNCTION iot_kpi.check_kpi(kpi text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF kpi = ANY (iot_kpi.kpi_names()) THEN
        RETURN kpi;
    END IF;
    RAISE EXCEPTION 'KPI "%" is not known', coalesce(left(kpi, 63), 'NULL')
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Use one of: ' || array_to_string(iot_kpi.kpi_names(), ', ') || '.';
END $$;
COMMENT ON FUNCTION iot_kpi.check_kpi(text) IS 'fails with a hint where a KPI is not known';

CREATE FUNCTION iot_kpi.seconds(duration interval) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE BEGIN ATOMIC
SELECT extract(epoch FROM duration)::float8;
END;
COMMENT ON FUNCTION iot_kpi.seconds(interval) IS 'an interval in seconds';

CREATE FUNCTION iot_kpi.device_values(dossier iot_kpi.dossier, kpi text)
RETURNS TABLE (slot_start timestamptz, value double precision)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 24 AS 'MODULE_PATHNAME', 'iot_kpi_device_values';
COMMENT ON FUNCTION iot_kpi.device_values(iot_kpi.dossier, text) IS
    'a KPI of a device, a row for each slot of its dossier; nothing else is computed. Times are in seconds, truths 0 and 1';

CREATE FUNCTION iot_kpi.device_series(
    kpi text, during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[]
) RETURNS TABLE ("time" timestamptz, series text, value double precision)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT v.slot_start, e.device_id, v.value
FROM iot_kpi.evidence_for(kpi, during, device_ids, as_of, edges) AS e,
     LATERAL iot_kpi.device_values(e.dossier, kpi) AS v;
END;
COMMENT ON FUNCTION iot_kpi.device_series(text, tstzrange, text[], timestamptz, timestamptz[]) IS
    'a KPI of each device for each slot between two edges';

CREATE FUNCTION iot_kpi.group_series(
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

CREATE FUNCTION iot_kpi.kpi_series(
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
COMMENT ON FUNCTION iot_kpi.kpi_series(text, tstzrange, interval, text, text, text[], timestamptz) IS
    'a KPI over time, a series for each device or group; intervals come in seconds; buckets follow the days of the time zone; time is where a bucket begins inside the window';
