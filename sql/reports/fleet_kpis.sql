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

CREATE FUNCTION iot_kpi.group_kpis(
    during tstzrange, group_by text, device_ids text[], as_of timestamptz, edges timestamptz[] DEFAULT NULL
) RETURNS TABLE (
    slot integer, slot_start timestamptz, group_value text, devices bigint, required bigint, live bigint,
    device_availability double precision, mean_uptime double precision, pooled_uptime double precision,
    availability double precision, completeness double precision, regularity double precision, stability double precision,
    consistency double precision, jitter double precision, missed_beats bigint,
    up_time interval, down_time interval, unknown_time interval, excluded_time interval,
    failures bigint, mtbf interval, mttr interval, longest_outage interval,
    responses iot_kpi.response_sketch, apdex double precision, attempts bigint, failed bigint,
    bytes_per_second double precision, messages_per_second double precision, unknown bigint
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT r.slot, min(r.slot_start), g.value, count(*),
       count(*) FILTER (WHERE at.class <> 'excluded'), count(*) FILTER (WHERE at.class = 'up'),
       count(*) FILTER (WHERE at.class = 'up')::float8 / nullif(count(*) FILTER (WHERE at.class IN ('up', 'down')), 0),
       -- In a fixed order: the sum of floats depends on it.
       avg(r.uptime ORDER BY e.device_id),
       (extract(epoch FROM sum(r.up_time)) / nullif(extract(epoch FROM sum(r.up_time + r.down_time)), 0))::float8,
       (extract(epoch FROM sum(r.status_up_time))
           / nullif(extract(epoch FROM sum(r.status_up_time + r.status_down_time)), 0))::float8,
       avg(r.completeness ORDER BY e.device_id), avg(r.regularity ORDER BY e.device_id),
       avg(r.stability ORDER BY e.device_id), avg(r.consistency ORDER BY e.device_id), avg(r.jitter ORDER BY e.device_id),
       coalesce(sum(r.missed_beats), 0)::bigint,
       coalesce(sum(r.up_time), '0'), coalesce(sum(r.down_time), '0'), coalesce(sum(r.unknown_time), '0'),
       coalesce(sum(r.excluded_time), '0'),
       coalesce(sum(r.failures), 0)::bigint, sum(r.up_time) / nullif(sum(r.failures), 0)::float8,
       sum(r.down_time) / nullif(sum(r.failures), 0)::float8, max(r.longest_outage),
       iot_kpi.rollup(r.responses),
       (sum(r.satisfied) + sum(r.tolerating) / 2.0)::float8 / nullif(sum(r.communications), 0)::float8,
       coalesce(sum(r.attempts), 0)::bigint, coalesce(sum(r.failed), 0)::bigint,
       -- Bytes that no double precision holds, of one device or of all together, are NULL; sum() would fail every group.
       CASE WHEN count(r.bytes_per_second) = count(r.messages_per_second) AND count(r.bytes_per_second) > 0
            THEN iot_kpi.total(iot_kpi.throughput_agg(r.slot_start, r.bytes_per_second)) END,
       sum(r.messages_per_second ORDER BY e.device_id),
       count(*) FILTER (WHERE at.class = 'unknown')
FROM iot_kpi.evidence_of(during, device_ids, as_of, edges) AS e
LEFT JOIN LATERAL iot_kpi.device_report(e.dossier) AS r ON true
-- A bucket is judged at its own end, a window as a whole at as_of.
CROSS JOIN LATERAL (SELECT CASE WHEN edges IS NULL THEN e.class ELSE r.class_at_end END) AS at (class)
CROSS JOIN LATERAL (SELECT CASE group_by WHEN 'device_type' THEN e.device_type WHEN 'location' THEN e.location
                                         ELSE e.metadata ->> group_by END) AS g (value)
-- An observer is not one of the fleet that it observes, unless it is asked for by name.
WHERE iot_kpi.check_group(group_by) AND (device_ids IS NOT NULL OR NOT e.observes)
GROUP BY g.value, r.slot;
END;
COMMENT ON FUNCTION iot_kpi.group_kpis(tstzrange, text, text[], timestamptz, timestamptz[]) IS
    'the KPIs of groups of devices, for a window as a whole or for each slot between two edges';

CREATE FUNCTION iot_kpi.fleet_kpis(
    during tstzrange, group_by text DEFAULT NULL, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now()
) RETURNS TABLE (
    group_value text, devices bigint, required bigint, live bigint, device_availability double precision,
    mean_uptime double precision, pooled_uptime double precision, availability double precision,
    consistency double precision, failures bigint, mtbf interval, mttr interval, longest_outage interval,
    response_count bigint, response_mean double precision, response_p50 double precision, response_p90 double precision,
    response_p95 double precision, response_p99 double precision, apdex double precision,
    attempts bigint, failed bigint, error_rate double precision, error_rate_low double precision,
    error_rate_high double precision, bytes_per_second double precision, messages_per_second double precision,
    unknown bigint
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT g.group_value, g.devices, g.required, g.live, g.device_availability, g.mean_uptime, g.pooled_uptime, g.availability,
       g.consistency, g.failures, g.mtbf, g.mttr, g.longest_outage,
       coalesce(iot_kpi.count(g.responses), 0), iot_kpi.mean(g.responses), iot_kpi.percentile(g.responses, 0.5),
       iot_kpi.percentile(g.responses, 0.9), iot_kpi.percentile(g.responses, 0.95), iot_kpi.percentile(g.responses, 0.99),
       g.apdex, g.attempts, g.failed, iot_kpi.error_rate(g.failed, g.attempts), i.low, i.high,
       g.bytes_per_second, g.messages_per_second, g.unknown
FROM iot_kpi.group_kpis(during, group_by, device_ids, as_of) AS g,
     LATERAL iot_kpi.wilson_interval(g.failed, g.attempts) AS i
ORDER BY g.group_value;
END;
COMMENT ON FUNCTION iot_kpi.fleet_kpis(tstzrange, text, text[], timestamptz) IS
    'the KPIs of the fleet, or of each group of it by device_type, location or a metadata key; observers are left out unless named in device_ids';
