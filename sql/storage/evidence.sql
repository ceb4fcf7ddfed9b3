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
    unknown tstzmultirange
);
COMMENT ON TYPE iot_kpi.dossier IS
    'all that a device''s report is made from; the window is cut into slots at the edges, NULL where it has not begun';

CREATE FUNCTION iot_kpi.silent_ranges(dossier iot_kpi.dossier) RETURNS tstzmultirange
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_silent_ranges';
COMMENT ON FUNCTION iot_kpi.silent_ranges(iot_kpi.dossier) IS
    'the time in which no beat proves a device alive: what is unknown of the devices it observes';

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
    SELECT max(extract(epoch FROM greatest(coalesce(d.liveness, d.expected_interval * 3), d.expected_interval * 1.5)))
        INTO seconds
        FROM iot.devices d
        WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
    -- Seconds, not days: a day of an interval is 23 or 25 hours long where clocks change.
    RETURN make_interval(secs => (coalesce(seconds, 0) + 0.000001)::float8);
END $$;
COMMENT ON FUNCTION iot_kpi.look_back(text[]) IS 'how far before a window a beat may lie and still matter in it';

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
            ORDER BY s.time DESC LIMIT 1) AS m
        WHERE wanted IS NULL OR t.metric = wanted);
END $$;
COMMENT ON FUNCTION iot_kpi.beat_before(text, timestamptz) IS
    'a device''s last beat before an instant, however long before; NULL where there is none';

CREATE FUNCTION iot_kpi.asks_communication(kpi text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_asks_communication';
COMMENT ON FUNCTION iot_kpi.asks_communication(text) IS
    'whether a KPI is made from response times, errors or bytes, and not from beats and status samples alone';

CREATE FUNCTION iot_kpi.evidence_for(
    kpi text, during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[]
) RETURNS TABLE (
    device_id text, name text, device_type text, location text, metadata jsonb, observes boolean,
    last_measured timestamptz, last_received timestamptz, never_seen boolean, status text, live boolean, required boolean,
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
    sampled text[];
    reach interval;
    bytes_is_counter boolean;
    metrics text[];
BEGIN
    PERFORM iot_kpi.require_store();
    IF effective IS NULL THEN
        slot_edges := NULL;
    END IF;
    IF device_ids IS NOT NULL THEN
        -- An observer's beats are evidence too: where it was silent, its devices are unknown.
        SELECT array_agg(DISTINCT ids.id) INTO sampled
            FROM iot.devices d, LATERAL (VALUES (d.device_id), (d.collector_id)) AS ids (id)
            WHERE d.device_id = ANY (device_ids) AND ids.id IS NOT NULL;
        sampled := coalesce(sampled, '{}');
    END IF;
    reach := iot_kpi.look_back(sampled);
    SELECT coalesce(bool_or(t.kind = 'counter') FILTER (WHERE t.metric = 'bytes'), false), array_agg(t.metric)
        INTO bytes_is_counter, metrics FROM iot.metric_types t;

    RETURN QUERY
    WITH gathered AS MATERIALIZED (
        SELECT g.device_id, g.evidence
        FROM iot_kpi.gather(slot_edges, window_start - reach, window_end, sampled, bytes_is_counter,
                            coalesce(iot_kpi.asks_communication(kpi), true)) AS g
        WHERE slot_edges IS NOT NULL
    ),
    -- The last beat is kept; only a look into the past has to search for the one before as_of. A few probes of the key each,
    -- metric by metric: which partitions may hold it is known when this is planned.
    present AS MATERIALIZED (
        SELECT d.device_id,
               CASE
                   WHEN l.last_beat IS NULL OR l.last_beat <= as_of THEN coalesce(l.last_beat > alive.since, false)
                   ELSE EXISTS (
                       SELECT FROM iot.device_metrics m
                       WHERE m.device_id = d.device_id
                         AND m.metric = ANY (CASE WHEN d.heartbeat_metric IS NULL THEN metrics ELSE ARRAY[d.heartbeat_metric] END)
                         AND m.time > alive.since AND m.time > as_of - reach AND m.time <= as_of)
               END AS live
        FROM iot.devices d
        LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
        CROSS JOIN LATERAL (
            SELECT as_of - make_interval(secs =>
                extract(epoch FROM coalesce(d.liveness, d.expected_interval * 3))::float8)) AS alive (since)
        WHERE sampled IS NULL OR d.device_id = ANY (sampled)
    ),
    -- By device, and one for all of them.
    maintained AS MATERIALIZED (
        SELECT w.device_id, range_agg(w.period) AS periods
        FROM iot.maintenance_windows w
        WHERE w.period && tstzrange(least(window_start, as_of), greatest(window_end, as_of), '[]')
          AND (device_ids IS NULL OR w.device_id IS NULL OR w.device_id = ANY (device_ids))
        GROUP BY w.device_id
    ),
    observers AS MATERIALIZED (
        SELECT c.device_id,
               iot_kpi.silent_ranges(ROW (slot_edges, c.expected_interval, c.liveness, NULL, NULL, NULL, g.evidence,
                                          NULL, NULL, NULL)::iot_kpi.dossier) AS silent,
               present.live
        FROM iot.devices c
        LEFT JOIN gathered g ON g.device_id = c.device_id
        LEFT JOIN present ON present.device_id = c.device_id
        WHERE c.device_id IN (SELECT d.collector_id FROM iot.devices d)
    )
    SELECT d.device_id, d.name, d.device_type, d.location, d.metadata, self.device_id IS NOT NULL,
           l.last_measured, l.last_received, l.last_beat IS NULL,
           CASE
               WHEN exempt.excluded @> as_of THEN 'excluded'
               WHEN NOT o.live THEN 'unknown'
               WHEN NOT present.live THEN
                   CASE WHEN said.status IN ('offline', 'error', 'maintenance') THEN said.status ELSE 'offline' END
               ELSE coalesce(said.status, 'online')
           END,
           present.live, NOT coalesce(exempt.excluded @> as_of, false),
           ROW (slot_edges, d.expected_interval, d.liveness, d.status_ttl, d.degraded_counts_up, d.response_target,
                g.evidence, sampled_status.statuses, exempt.excluded, o.silent)::iot_kpi.dossier
    FROM iot.devices d
    LEFT JOIN gathered g ON g.device_id = d.device_id
    LEFT JOIN observers o ON o.device_id = d.collector_id
    LEFT JOIN observers self ON self.device_id = d.device_id
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
    JOIN present ON present.device_id = d.device_id
    LEFT JOIN maintained m ON m.device_id = d.device_id
    LEFT JOIN maintained everywhere ON everywhere.device_id IS NULL
    CROSS JOIN LATERAL (
        -- None at all is NULL, which costs least to read.
        SELECT nullif(coalesce(m.periods, '{}') + coalesce(everywhere.periods, '{}')
                      + tstzmultirange(
                          -- One that was registered on first sight, and whose samples are all gone, waits for the next one.
                          CASE WHEN d.commissioned_at IS NOT NULL OR d.registered_by = 'first_sample' THEN tstzrange(NULL, d.commissioned_at)
                               ELSE 'empty' END,
                          CASE WHEN d.decommissioned_at IS NOT NULL THEN tstzrange(d.decommissioned_at, NULL) ELSE 'empty' END),
                      '{}') AS excluded
    ) AS exempt
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
    'the evidence seam: each device with its state at as_of and the dossier that a KPI is made from; NULL: that every report is made from';

CREATE FUNCTION iot_kpi.evidence_of(
    during tstzrange, device_ids text[], as_of timestamptz, edges timestamptz[] DEFAULT NULL
) RETURNS TABLE (
    device_id text, name text, device_type text, location text, metadata jsonb, observes boolean,
    last_measured timestamptz, last_received timestamptz, never_seen boolean, status text, live boolean, required boolean,
    dossier iot_kpi.dossier
)
    LANGUAGE sql STABLE BEGIN ATOMIC
SELECT e.device_id, e.name, e.device_type, e.location, e.metadata, e.observes, e.last_measured, e.last_received, e.never_seen,
       e.status, e.live, e.required, e.dossier
FROM iot_kpi.evidence_for(NULL, during, device_ids, as_of, edges) AS e;
END;
COMMENT ON FUNCTION iot_kpi.evidence_of(tstzrange, text[], timestamptz, timestamptz[]) IS
    'the evidence seam for all KPIs: each device with its state at as_of and the dossier that every report is made from';
