-- Every KPI of every device, for a window as a whole or for each slot of it.

CREATE FUNCTION iot_kpi.device_report(dossier iot_kpi.dossier) RETURNS TABLE (
    slot_start timestamptz, slot_end timestamptz,
    -- catalogue: columns of devices
    up_time interval, down_time interval, unknown_time interval, excluded_time interval, uptime double precision,
    availability double precision, failures bigint, mtbf interval, mttr interval, longest_outage interval,
    completeness double precision, regularity double precision, stability double precision, consistency double precision,
    jitter double precision, missed_beats bigint, response_count bigint, response_mean double precision,
    response_p50 double precision, response_p90 double precision, response_p95 double precision,
    response_p99 double precision, apdex double precision, attempts bigint, failed bigint, error_rate double precision,
    error_rate_low double precision, error_rate_high double precision, bytes_per_second double precision,
    messages_per_second double precision, response_p75 double precision
    -- catalogue: end
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'iot_kpi_device_report';
COMMENT ON FUNCTION iot_kpi.device_report(iot_kpi.dossier) IS 'every KPI of a device, a row for each slot of its dossier';

-- The same function, declared with other columns: it computes those that it is declared with.
CREATE FUNCTION iot_kpi.device_times(dossier iot_kpi.dossier) RETURNS TABLE (
    slot_start timestamptz, up_time interval, down_time interval, unknown_time interval, excluded_time interval
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 24 AS 'MODULE_PATHNAME', 'iot_kpi_device_report';
COMMENT ON FUNCTION iot_kpi.device_times(iot_kpi.dossier) IS 'the four classes by heartbeats, a row for each slot of a dossier';

CREATE FUNCTION iot_kpi.status_times(dossier iot_kpi.dossier) RETURNS TABLE (
    slot_start timestamptz, status_up_time interval, status_down_time interval, status_unknown_time interval
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 24 AS 'MODULE_PATHNAME', 'iot_kpi_device_report';
COMMENT ON FUNCTION iot_kpi.status_times(iot_kpi.dossier) IS 'the classes by status, a row for each slot of a dossier';

CREATE FUNCTION iot_kpi.device_kpis(during tstzrange, device_ids text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (
    device_id text, name text, device_type text, location text, status text, live boolean, never_seen boolean,
    last_measured timestamptz, last_received timestamptz,
    -- catalogue: columns of devices
    up_time interval, down_time interval, unknown_time interval, excluded_time interval, uptime double precision,
    availability double precision, failures bigint, mtbf interval, mttr interval, longest_outage interval,
    completeness double precision, regularity double precision, stability double precision, consistency double precision,
    jitter double precision, missed_beats bigint, response_count bigint, response_mean double precision,
    response_p50 double precision, response_p90 double precision, response_p95 double precision,
    response_p99 double precision, apdex double precision, attempts bigint, failed bigint, error_rate double precision,
    error_rate_low double precision, error_rate_high double precision, bytes_per_second double precision,
    messages_per_second double precision, response_p75 double precision
    -- catalogue: end
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, e.name, e.device_type, e.location, e.status, e.live, e.never_seen, e.last_measured, e.last_received,
       -- A window of which nothing has happened has no time in any class.
       -- catalogue: values of devices
       coalesce(r.up_time, '0'), coalesce(r.down_time, '0'), coalesce(r.unknown_time, '0'), coalesce(r.excluded_time, '0'),
       r.uptime, r.availability, coalesce(r.failures, 0), r.mtbf, r.mttr, r.longest_outage, r.completeness, r.regularity,
       r.stability, r.consistency, r.jitter, coalesce(r.missed_beats, 0), coalesce(r.response_count, 0), r.response_mean,
       r.response_p50, r.response_p90, r.response_p95, r.response_p99, r.apdex, coalesce(r.attempts, 0),
       coalesce(r.failed, 0), r.error_rate, r.error_rate_low, r.error_rate_high, r.bytes_per_second, r.messages_per_second,
       r.response_p75
       -- catalogue: end
FROM iot_kpi.evidence_of(during, device_ids, as_of) AS e
LEFT JOIN LATERAL iot_kpi.device_report(e.dossier) AS r ON true
ORDER BY e.device_id;
END;
COMMENT ON FUNCTION iot_kpi.device_kpis(tstzrange, text[], timestamptz) IS
    'every KPI of each device over the part of a window before as_of; device_ids NULL is all; status and live are those at as_of';
