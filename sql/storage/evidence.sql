-- The evidence seam. Every report starts from iot_kpi.evidence_for; nothing else reads the store's samples for a KPI.
-- The queries run as plpgsql statements planned with their actual values, so that only the partitions of the window are
-- planned and read, whatever the report is called with.

CREATE FUNCTION iot_kpi.effective_window(during tstzrange, as_of timestamptz) RETURNS tstzrange
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_effective_window';
COMMENT ON FUNCTION iot_kpi.effective_window(tstzrange, timestamptz) IS
    'the part of a window before as_of; NULL where none of it has happened; an empty or unbounded window is an error';

CREATE TYPE iot_kpi.dossier AS (
    edges timestamptz[],
    expected_interval interval,
    liveness interval,
    status_ttl interval,
    degraded_counts_up boolean,
    response_target double precision,
    evidence iot_kpi.evidence,
    statuses iot_kpi.status_timeline,
    excluded tstzmultirange,
    unknown tstzmultirange,
    beat_before timestamptz,
    seen_until timestamptz
);
COMMENT ON TYPE iot_kpi.dossier IS
    'all that a device''s report is made from; the window is cut into slots at the edges, NULL where it has not begun; beat_before is the last beat before the evidence, seen_until when its collector, if that is alive, looked last';

CREATE FUNCTION iot_kpi.require_store() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass('iot.devices') IS NULL THEN
        RAISE EXCEPTION 'there is no store in database "%"', current_database()
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Make it with: SELECT iot_kpi.create_store();';
    END IF;
END $$;
COMMENT ON FUNCTION iot_kpi.require_store() IS 'fails with a hint where the database has no store';

CREATE FUNCTION iot_kpi.look_back(device_ids text[]) RETURNS interval
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seconds numeric;
BEGIN
    SELECT max(extract(epoch FROM iot_kpi.look_back(d.liveness, d.expected_interval)))
        INTO seconds
        FROM iot.devices d
        WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
    -- Seconds, not days: a day of an interval is 23 or 25 hours long where clocks change.
    RETURN make_interval(secs => (coalesce(seconds, 0) + 0.000001)::float8);
END $$;
COMMENT ON FUNCTION iot_kpi.look_back(text[]) IS 'how far before a window a beat may lie and still matter in it';

CREATE FUNCTION iot_kpi.collectors_of(device_ids text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT array_agg(DISTINCT d.collector_id) FROM iot.devices d
            WHERE d.collector_id IS NOT NULL AND (device_ids IS NULL OR d.device_id = ANY (device_ids)));
END $$;
COMMENT ON FUNCTION iot_kpi.collectors_of(text[]) IS 'the collectors that observe some devices (NULL: any); NULL where there is none';

CREATE FUNCTION iot_kpi.look_back_of_collectors() RETURNS interval
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    collectors constant text[] := iot_kpi.collectors_of(NULL);
BEGIN
    RETURN CASE WHEN collectors IS NULL THEN interval '0' ELSE iot_kpi.look_back(collectors) END;
END $$;
COMMENT ON FUNCTION iot_kpi.look_back_of_collectors() IS 'how long a collector''s next beat may take that tells of the time before it; 0 without collectors';

CREATE FUNCTION iot_kpi.beat_before(device_id text, before timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
    wanted text;
    last_beat timestamptz;
BEGIN
    SELECT d.heartbeat_metric, l.last_beat INTO wanted, last_beat
        FROM iot.devices d LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
        WHERE d.device_id = beat_before.device_id;
    -- The last beat is kept; only a look into the past has to search, metric by metric, since the key has them so.
    IF last_beat < before OR last_beat IS NULL THEN
        RETURN last_beat;
    END IF;
    RETURN (
        SELECT max(m.time)
        FROM iot.metric_types t, LATERAL (
            SELECT s.time FROM iot.device_metrics s
            WHERE s.device_id = beat_before.device_id AND s.metric = t.metric AND s.time < before
              AND iot_kpi.is_beat(s.metric, s.value, wanted)
            ORDER BY s.time DESC LIMIT 1) AS m
        WHERE wanted IS NULL OR t.metric = wanted);
END $$;
COMMENT ON FUNCTION iot_kpi.beat_before(text, timestamptz) IS
    'a device''s last beat before an instant, however long before; NULL where there is none';

CREATE FUNCTION iot_kpi.asks_communication(kpi text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_asks_communication';
COMMENT ON FUNCTION iot_kpi.asks_communication(text) IS
    'whether a KPI is made from response times, errors or bytes, and not from beats and status samples alone';

CREATE FUNCTION iot_kpi.devices_before(device_ids text[], window_start timestamptz, window_end timestamptz, as_of timestamptz)
RETURNS TABLE (
    device_id text, liveness interval, excluded tstzmultirange, unknown tstzmultirange, seen_until timestamptz, beat_before timestamptz
)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    collectors constant text[] := iot_kpi.collectors_of(device_ids);
    -- A collector that is alive has looked within its own liveness: so that this far back there is a whole one of each device.
    gathered_from constant timestamptz := window_start - iot_kpi.look_back(device_ids);
    since constant timestamptz := gathered_from - CASE WHEN collectors IS NULL THEN interval '0' ELSE iot_kpi.look_back(collectors) END;
BEGIN
    RETURN QUERY
    WITH near AS MATERIALIZED (
        SELECT d.device_id, alive.length AS liveness, x.excluded, u.unknown, u.seen_until,
               CASE WHEN l.last_beat < window_start THEN l.last_beat END AS beat_before,
               -- Whether so little of the time before was heard that it has to be looked at how long the device was silent.
               (d.commissioned_at < gathered_from) IS NOT FALSE
                   AND (l.last_beat >= since AND l.last_beat < window_start) IS NOT TRUE
                   AND (x.excluded && just_before.time OR u.unknown && just_before.time)
                   -- There may be a beat just before what is gathered.
                   AND NOT iot_kpi.heard_out(gathered_from, alive.length, window_start, x.excluded, u.unknown) AS is_undecided
        FROM iot.devices d
        LEFT JOIN iot_kpi.excluded_ranges(device_ids, since, window_end) AS x ON x.device_id = d.device_id
        LEFT JOIN iot_kpi.unobserved(collectors, since, window_end, as_of) AS u ON u.device_id = d.collector_id
        LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
        CROSS JOIN LATERAL (SELECT iot_kpi.liveness_of(d.liveness, d.expected_interval)) AS alive (length)
        CROSS JOIN LATERAL (SELECT tstzrange(window_start - alive.length, window_start)) AS just_before (time)
        WHERE device_ids IS NULL OR d.device_id = ANY (device_ids)
    ),
    far AS MATERIALIZED (
        SELECT s.* FROM iot_kpi.silences(ARRAY(SELECT n.device_id FROM near n WHERE n.is_undecided), window_start, as_of) AS s
    )
    SELECT n.device_id, n.liveness,
           CASE WHEN f.excluded IS NULL THEN n.excluded ELSE coalesce(n.excluded, '{}') + f.excluded END,
           CASE WHEN f.unknown IS NULL THEN n.unknown ELSE coalesce(n.unknown, '{}') + f.unknown END,
           n.seen_until, coalesce(f.beat_before, n.beat_before)
    FROM near n LEFT JOIN far f ON f.device_id = n.device_id;
END $$;
COMMENT ON FUNCTION iot_kpi.devices_before(text[], timestamptz, timestamptz, timestamptz) IS
    'what is known of devices before and beside the samples of a window: the time that does not count, and, where so much of it lies just before the window that it matters, the last beat before';

CREATE FUNCTION iot_kpi.classes_at(device_ids text[], as_of timestamptz) RETURNS TABLE (device_id text, class text, live boolean)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment constant interval := '1 microsecond';
    reach constant interval := iot_kpi.look_back(device_ids);
BEGIN
    RETURN QUERY
    WITH near AS MATERIALIZED (
        SELECT k.device_id, k.liveness, k.excluded, k.unknown, k.seen_until, d.heartbeat_metric,
               -- The last beat is kept; only a look into the past has to search for the one before as_of.
               coalesce(CASE WHEN l.last_beat IS NULL OR l.last_beat <= as_of THEN l.last_beat
                             ELSE (SELECT max(m.time)
                                   FROM iot.metric_types t, LATERAL (
                                       SELECT s.time FROM iot.device_metrics s
                                       WHERE s.device_id = d.device_id AND s.metric = t.metric
                                         AND s.time >= as_of - reach AND s.time <= as_of
                                         AND iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric)
                                       ORDER BY s.time DESC LIMIT 1) AS m
                                   WHERE d.heartbeat_metric IS NULL OR t.metric = d.heartbeat_metric) END,
                        k.beat_before) AS last_beat
        FROM iot_kpi.devices_before(device_ids, as_of, as_of, as_of) AS k
        JOIN iot.devices d ON d.device_id = k.device_id
        LEFT JOIN iot.device_liveness l ON l.device_id = k.device_id
    )
    SELECT n.device_id, judged.class,
           judged.class = 'up' OR judged.class = 'excluded' AND coalesce(n.last_beat + n.liveness > as_of, false)
    FROM near n
    CROSS JOIN LATERAL (SELECT iot_kpi.class_at(as_of, n.last_beat, n.liveness, n.excluded, n.unknown)) AS now (class)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN n.seen_until IS NULL OR now.class <> 'unknown' THEN now.class
                -- Nobody has looked yet since the collector did.
                ELSE (SELECT CASE WHEN c.class IN ('up', 'down') THEN c.class ELSE 'unknown' END
                      FROM iot_kpi.class_at(
                          n.seen_until - moment,
                          CASE WHEN n.last_beat < n.seen_until THEN n.last_beat
                               ELSE (SELECT max(m.time)
                                     FROM iot.metric_types t, LATERAL (
                                         SELECT s.time FROM iot.device_metrics s
                                         WHERE s.device_id = n.device_id AND s.metric = t.metric
                                           AND s.time >= as_of - 2 * reach AND s.time < as_of AND s.time < n.seen_until
                                           AND iot_kpi.is_beat(s.metric, s.value, n.heartbeat_metric)
                                         ORDER BY s.time DESC LIMIT 1) AS m
                                     WHERE n.heartbeat_metric IS NULL OR t.metric = n.heartbeat_metric) END,
                          n.liveness, n.excluded, n.unknown) AS c (class)) END) AS judged (class);
END $$;
COMMENT ON FUNCTION iot_kpi.classes_at(text[], timestamptz) IS
    'the class of each device at as_of: excluded, up, down or unknown, and whether it is alive, required or not; one with a collector that is alive is judged at the last instant at which that looked';

CREATE FUNCTION iot_kpi.evidence_for(
    kpi text, during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[]
) RETURNS TABLE (
    device_id text, name text, device_type text, location text, metadata jsonb, observes boolean,
    last_measured timestamptz, last_received timestamptz, never_seen boolean, status text, class text, live boolean,
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
    bytes_is_counter boolean;
BEGIN
    PERFORM iot_kpi.require_store();
    IF effective IS NULL THEN
        slot_edges := NULL;
    END IF;
    SELECT coalesce(bool_or(t.kind = 'counter'), false) INTO bytes_is_counter FROM iot.metric_types t WHERE t.metric = 'bytes';

    RETURN QUERY
    WITH gathered AS MATERIALIZED (
        SELECT g.device_id, g.evidence
        FROM iot_kpi.gather(slot_edges, window_start - iot_kpi.look_back(device_ids), window_end, device_ids, bytes_is_counter,
                            coalesce(iot_kpi.asks_communication(kpi), true)) AS g
        WHERE slot_edges IS NOT NULL
    ),
    known AS MATERIALIZED (
        SELECT k.* FROM iot_kpi.devices_before(device_ids, window_start, window_end, as_of) AS k WHERE slot_edges IS NOT NULL
    )
    SELECT d.device_id, d.name, d.device_type, d.location, d.metadata,
           d.device_id IN (SELECT o.collector_id FROM iot.devices o WHERE o.collector_id IS NOT NULL),
           l.last_measured, l.last_received, l.last_beat IS NULL,
           CASE present.class
               WHEN 'down' THEN CASE WHEN said.status IN ('offline', 'error', 'maintenance') THEN said.status ELSE 'offline' END
               WHEN 'up' THEN coalesce(said.status, 'online')
               ELSE present.class
           END,
           present.class, present.live,
           ROW (slot_edges, d.expected_interval, d.liveness, d.status_ttl, d.degraded_counts_up, d.response_target,
                g.evidence, sampled_status.statuses, k.excluded, k.unknown, k.beat_before, k.seen_until)::iot_kpi.dossier
    FROM iot.devices d
    -- A series tells nothing of as_of.
    LEFT JOIN (SELECT c.* FROM iot_kpi.classes_at(device_ids, as_of) AS c WHERE kpi IS NULL) AS present ON present.device_id = d.device_id
    LEFT JOIN gathered g ON g.device_id = d.device_id
    LEFT JOIN known k ON k.device_id = d.device_id
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
    LEFT JOIN LATERAL (
        SELECT iot_kpi.status_agg(s.time, s.status) AS statuses
        FROM ((SELECT h.time, h.status FROM iot.device_status_history h
               WHERE h.device_id = d.device_id AND h.time < window_start AND h.recorded_by IS NULL
               ORDER BY h.time DESC LIMIT 1)
              UNION ALL
              SELECT h.time, h.status FROM iot.device_status_history h
              WHERE h.device_id = d.device_id AND h.time >= window_start AND h.time < window_end
                AND h.recorded_by IS NULL) AS s
    ) AS sampled_status ON true
    LEFT JOIN LATERAL (
        SELECT h.status FROM iot.device_status_history h
        WHERE h.device_id = d.device_id AND h.time <= as_of AND h.recorded_by IS NULL
          AND (d.status_ttl IS NULL OR h.time > as_of - iot_kpi.exact(d.status_ttl))
        ORDER BY h.time DESC LIMIT 1
    ) AS said ON true
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
END $$;
COMMENT ON FUNCTION iot_kpi.evidence_for(text, tstzrange, text[], timestamptz, timestamptz[]) IS
    'the evidence seam: each device with the dossier that a KPI is made from; NULL: that every report is made from, and with its class and status at as_of';

CREATE FUNCTION iot_kpi.evidence_of(
    during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[] DEFAULT NULL
) RETURNS TABLE (
    device_id text, name text, device_type text, location text, metadata jsonb, observes boolean,
    last_measured timestamptz, last_received timestamptz, never_seen boolean, status text, class text, live boolean,
    dossier iot_kpi.dossier
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, e.name, e.device_type, e.location, e.metadata, e.observes, e.last_measured, e.last_received, e.never_seen,
       e.status, e.class, e.live, e.dossier
FROM iot_kpi.evidence_for(NULL, during, device_ids, as_of, edges) AS e;
END;
COMMENT ON FUNCTION iot_kpi.evidence_of(tstzrange, text[], timestamptz, timestamptz[]) IS
    'the evidence seam for all KPIs: each device with its state at as_of and the dossier that every report is made from';
