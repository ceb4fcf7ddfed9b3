-- The KPIs of groups of devices. Counts, times and sketches are pooled; no percentile is ever averaged.

CREATE FUNCTION iot_kpi.check_group(group_by text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM iot_kpi.require_store();
    IF group_by IS NULL OR group_by IN ('device_type', 'location')
       OR EXISTS (SELECT FROM iot.devices d WHERE d.metadata ? group_by)
       OR NOT EXISTS (SELECT FROM iot.devices) THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'devices cannot be grouped by "%"', left(group_by, 63)
        USING ERRCODE = 'invalid_parameter_value',
              HINT = 'Group by device_type, location or a key that some device has in its metadata.';
END $$;
COMMENT ON FUNCTION iot_kpi.check_group(text) IS 'fails with a hint where devices cannot be grouped so';

CREATE FUNCTION iot_kpi.group_of(group_by text, device_type text, location text, metadata jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC
SELECT CASE group_by WHEN 'device_type' THEN device_type WHEN 'location' THEN location ELSE metadata ->> group_by END;
END;
COMMENT ON FUNCTION iot_kpi.group_of(text, text, text, jsonb) IS 'the group that a device is in';

CREATE FUNCTION iot_kpi.pool_trans(internal, kpis text[], dossier iot_kpi.dossier, class text) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_pool_trans';
COMMENT ON FUNCTION iot_kpi.pool_trans(internal, text[], iot_kpi.dossier, text) IS 'transition of pool';

CREATE FUNCTION iot_kpi.pool_final(internal) RETURNS double precision[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_pool_final';
COMMENT ON FUNCTION iot_kpi.pool_final(internal) IS 'final function of pool';

CREATE AGGREGATE iot_kpi.pool(kpis text[], dossier iot_kpi.dossier, class text) (
    SFUNC = iot_kpi.pool_trans, STYPE = internal, FINALFUNC = iot_kpi.pool_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.pool(text[], iot_kpi.dossier, text) IS
    'KPIs of a group of devices in each slot of their dossiers, one slot after the other, times in seconds; class is that at the end, NULL: that at the end of each slot; nothing else is computed';

CREATE FUNCTION iot_kpi.fleet_kpis(
    during tstzrange, group_by text DEFAULT NULL, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE (
    group_value text, devices bigint, required bigint,
    -- catalogue: columns of groups
    live bigint, device_availability double precision, mean_uptime double precision, pooled_uptime double precision,
    availability double precision, consistency double precision, failures bigint, mtbf interval, mttr interval,
    longest_outage interval, response_count bigint, response_mean double precision, response_p50 double precision,
    response_p90 double precision, response_p95 double precision, response_p99 double precision, apdex double precision,
    attempts bigint, failed bigint, error_rate double precision, error_rate_low double precision,
    error_rate_high double precision, bytes_per_second double precision, messages_per_second double precision,
    unknown bigint, response_p75 double precision
    -- catalogue: end
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT g.value, g.devices, g.required,
       -- catalogue: values of groups
       g.kpis[1]::bigint, g.kpis[2], g.kpis[3], g.kpis[4], g.kpis[5], g.kpis[6], g.kpis[7]::bigint,
       make_interval(secs => g.kpis[8]), make_interval(secs => g.kpis[9]), make_interval(secs => g.kpis[10]),
       g.kpis[11]::bigint, g.kpis[12], g.kpis[13], g.kpis[14], g.kpis[15], g.kpis[16], g.kpis[17], g.kpis[18]::bigint,
       g.kpis[19]::bigint, g.kpis[20], g.kpis[21], g.kpis[22], g.kpis[23], g.kpis[24], g.kpis[25]::bigint, g.kpis[26]
       -- catalogue: end
-- A window as a whole is judged at as_of, a bucket of a series at its own end.
FROM (SELECT of.value, count(*) AS devices, count(*) FILTER (WHERE e.class <> 'excluded') AS required,
             iot_kpi.pool(ARRAY[
                 -- catalogue: names of groups
                 'live', 'device_availability', 'mean_uptime', 'pooled_uptime', 'availability', 'consistency', 'failures',
                 'mtbf', 'mttr', 'longest_outage', 'response_count', 'response_mean', 'response_p50', 'response_p90',
                 'response_p95', 'response_p99', 'apdex', 'attempts', 'failed', 'error_rate', 'error_rate_low',
                 'error_rate_high', 'bytes_per_second', 'messages_per_second', 'unknown', 'response_p75'
                 -- catalogue: end
             ], e.dossier, e.class) AS kpis
      FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e
      CROSS JOIN LATERAL iot_kpi.group_of(group_by, e.device_type, e.location, e.metadata) AS of (value)
      -- An observer is not one of the fleet that it observes, unless it is asked for by name.
      WHERE iot_kpi.check_group(group_by) AND (device_ids IS NOT NULL OR NOT e.observes)
      GROUP BY of.value) AS g
ORDER BY g.value;
END;
COMMENT ON FUNCTION iot_kpi.fleet_kpis(tstzrange, text, text[], timestamptz) IS
    'the KPIs of the fleet, or of each group of it by device_type, location or a metadata key; observers are left out unless named in device_ids';
