-- Silence counts only while it could have been heard. A device is down once it has been silent for a whole liveness of time in which
-- it was required and observed; so where a window begins within a silence, it may matter what was before, however long before.

CREATE FUNCTION iot_kpi.unobserved_ranges(dossier iot_kpi.dossier) RETURNS tstzmultirange
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_unobserved_ranges';
COMMENT ON FUNCTION iot_kpi.unobserved_ranges(iot_kpi.dossier) IS
    'the time that does not lie between two beats of a collector, no further apart than its liveness: what is unknown of the devices it observes';

CREATE FUNCTION iot_kpi.liveness_of(liveness interval, expected_interval interval) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- Seconds, not days: a day of an interval is 23 or 25 hours long where clocks change.
    RETURN make_interval(secs => extract(epoch FROM coalesce(liveness, expected_interval * 3))::float8);
COMMENT ON FUNCTION iot_kpi.liveness_of(interval, interval) IS 'how long a beat proves a device alive, by its settings, in hours and less';

CREATE FUNCTION iot_kpi.heard_out(
    since timestamptz, liveness interval, at timestamptz, excluded tstzmultirange, unknown tstzmultirange
) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heard_out';
COMMENT ON FUNCTION iot_kpi.heard_out(timestamptz, interval, timestamptz, tstzmultirange, tstzmultirange) IS
    'whether a device that is silent since an instant, or since ever, could have been heard for a whole liveness up to another instant';

CREATE FUNCTION iot_kpi.down_from(since timestamptz, liveness interval, excluded tstzmultirange, unknown tstzmultirange)
RETURNS timestamptz
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_down_from';
COMMENT ON FUNCTION iot_kpi.down_from(timestamptz, interval, tstzmultirange, tstzmultirange) IS
    'from when on a device that is silent since an instant, or since ever, is down if it stays so; NULL where nobody will hear it for so long';

CREATE FUNCTION iot_kpi.class_at(
    at timestamptz, last_beat timestamptz, liveness interval, excluded tstzmultirange, unknown tstzmultirange
) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_class_at';
COMMENT ON FUNCTION iot_kpi.class_at(timestamptz, timestamptz, interval, tstzmultirange, tstzmultirange) IS
    'the class of an instant: excluded, up, down or unknown';

CREATE FUNCTION iot_kpi.unobserved_since(device_id text, heartbeat_metric text, liveness interval, at timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
    -- One that beats more slowly than it should never looked; after so many of its beats that is what it is taken for.
    most constant int := 100;
BEGIN
    RETURN (
        SELECT max(b.time)
        FROM (SELECT m.time, m.time - lead(m.time) OVER (ORDER BY m.time DESC) AS gap
              FROM iot.metric_types t, LATERAL (
                  SELECT s.time FROM iot.device_metrics s
                  WHERE s.device_id = unobserved_since.device_id AND s.metric = t.metric AND s.time < at
                    AND iot_kpi.is_beat(s.metric, s.value, heartbeat_metric)
                  ORDER BY s.time DESC LIMIT most) AS m
              WHERE heartbeat_metric IS NULL OR t.metric = heartbeat_metric
              GROUP BY m.time) AS b
        WHERE b.gap <= liveness);
END $$;
COMMENT ON FUNCTION iot_kpi.unobserved_since(text, text, interval, timestamptz) IS
    'since when a collector that did not look just before an instant, at which it does not beat, has not looked; NULL: since ever';

CREATE FUNCTION iot_kpi.unobserved(collectors text[], since timestamptz, until timestamptz, as_of timestamptz)
RETURNS TABLE (device_id text, unknown tstzmultirange, seen_until timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    reach interval;
    moment constant interval := '1 microsecond';
BEGIN
    IF collectors IS NULL OR since IS NULL THEN
        RETURN;
    END IF;
    reach := iot_kpi.look_back(collectors);
    RETURN QUERY
    WITH gathered AS MATERIALIZED (
        -- The beat after the end tells whether somebody looked up to then; one at as_of has not happened yet.
        SELECT g.device_id, g.evidence
        FROM iot_kpi.gather(ARRAY[since, until + moment], since - reach, least(until + reach, as_of - moment), collectors, false, false) AS g
    )
    SELECT c.device_id,
           u.ranges
           -- In that time nobody has looked since a beat before the start, however long before.
           + CASE WHEN u.ranges @> since AND NOT EXISTS (
                      SELECT FROM iot.device_metrics s
                      WHERE s.device_id = c.device_id AND s.time = since AND iot_kpi.is_beat(s.metric, s.value, c.heartbeat_metric))
                  THEN tstzmultirange(tstzrange(iot_kpi.unobserved_since(c.device_id, c.heartbeat_metric, alive.length, since), since))
                  ELSE '{}' END
           -- And nobody has looked yet since the last one.
           + CASE WHEN until >= as_of THEN tstzmultirange(tstzrange(until, NULL)) ELSE '{}' END,
           CASE WHEN last.beat + alive.length > as_of THEN last.beat END
    FROM iot.devices c
    LEFT JOIN gathered g ON g.device_id = c.device_id
    LEFT JOIN iot.device_liveness l ON l.device_id = c.device_id
    CROSS JOIN LATERAL (SELECT iot_kpi.unobserved_ranges(
        ROW (ARRAY[since, until + moment], c.expected_interval, c.liveness, NULL, NULL, NULL, g.evidence, NULL, NULL, NULL, NULL, NULL)::iot_kpi.dossier
    )) AS u (ranges)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN l.last_beat IS NULL OR l.last_beat < as_of THEN l.last_beat
                    ELSE (SELECT max(m.time)
                          FROM iot.metric_types t, LATERAL (
                              SELECT s.time FROM iot.device_metrics s
                              WHERE s.device_id = c.device_id AND s.metric = t.metric AND s.time > as_of - reach AND s.time < as_of
                                AND iot_kpi.is_beat(s.metric, s.value, c.heartbeat_metric)
                              ORDER BY s.time DESC LIMIT 1) AS m
                          WHERE c.heartbeat_metric IS NULL OR t.metric = c.heartbeat_metric) END) AS last (beat)
    CROSS JOIN LATERAL (SELECT iot_kpi.liveness_of(c.liveness, c.expected_interval)) AS alive (length)
    WHERE c.device_id = ANY (collectors);
END $$;
COMMENT ON FUNCTION iot_kpi.unobserved(text[], timestamptz, timestamptz, timestamptz) IS
    'when collectors did not look, between two instants and in what of it began before, as known at as_of; and until when one that is alive has looked';

CREATE FUNCTION iot_kpi.excluded_ranges(device_ids text[], since timestamptz, until timestamptz)
RETURNS TABLE (device_id text, excluded tstzmultirange)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    -- By device, and one for all of them.
    WITH maintained AS MATERIALIZED (
        SELECT w.device_id, range_agg(w.period) AS periods
        FROM iot.maintenance_windows w
        WHERE w.period && tstzrange(since, until, '[]') AND (device_ids IS NULL OR w.device_id IS NULL OR w.device_id = ANY (device_ids))
        GROUP BY w.device_id
    )
    SELECT d.device_id,
           -- None at all is NULL, which costs least to read.
           nullif(coalesce(m.periods, '{}') + coalesce(everywhere.periods, '{}')
                  + tstzmultirange(
                      -- One that was registered on first sight, and whose samples are all gone, waits for the next one.
                      CASE WHEN d.commissioned_at IS NOT NULL OR d.registered_by = 'first_sample' THEN tstzrange(NULL, d.commissioned_at)
                           ELSE 'empty' END,
                      CASE WHEN d.decommissioned_at IS NOT NULL THEN tstzrange(d.decommissioned_at, NULL) ELSE 'empty' END),
                  '{}')
    FROM iot.devices d
    LEFT JOIN maintained m ON m.device_id = d.device_id
    LEFT JOIN maintained everywhere ON everywhere.device_id IS NULL
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
END $$;
COMMENT ON FUNCTION iot_kpi.excluded_ranges(text[], timestamptz, timestamptz) IS
    'when devices (NULL: all) are not required to work: windows of maintenance between two instants, and all time that they are not in service';

CREATE FUNCTION iot_kpi.silences(device_ids text[], before timestamptz, as_of timestamptz)
RETURNS TABLE (device_id text, beat_before timestamptz, excluded tstzmultirange, unknown tstzmultirange)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    -- No sample is older, and a window may be.
    earliest constant timestamptz := least(iot_kpi.earliest_sample(), before);
    depth interval := iot_kpi.look_back(device_ids);
    pending text[] := device_ids;
    further text[];
    since timestamptz;
    seen record;
BEGIN
    -- Four times as far each time, until the last beat is found, or more than a liveness was heard since.
    WHILE cardinality(pending) > 0 LOOP
        depth := least(depth * 4, interval '3660000 days');
        since := greatest(before - depth, earliest);
        further := '{}';
        FOR seen IN
            SELECT d.device_id, b.beat, x.excluded, u.unknown,
                   since <= earliest OR b.beat >= since OR d.commissioned_at >= since
                       -- A little more: at as_of what counts is a moment before.
                       OR iot_kpi.heard_out(since, iot_kpi.liveness_of(d.liveness, d.expected_interval) + interval '1 s', before,
                                            x.excluded, u.unknown) AS is_decided
            FROM iot.devices d
            LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
            LEFT JOIN iot_kpi.excluded_ranges(pending, since, before) AS x ON x.device_id = d.device_id
            LEFT JOIN iot_kpi.unobserved(iot_kpi.collectors_of(pending), since, before, as_of) AS u ON u.device_id = d.collector_id
            CROSS JOIN LATERAL (SELECT CASE WHEN l.last_beat IS NULL OR l.last_beat < before THEN l.last_beat
                                            ELSE (SELECT max(m.time)
                                                  FROM iot.metric_types t, LATERAL (
                                                      SELECT s.time FROM iot.device_metrics s
                                                      WHERE s.device_id = d.device_id AND s.metric = t.metric
                                                        AND s.time >= since AND s.time < before
                                                        AND iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric)
                                                      ORDER BY s.time DESC LIMIT 1) AS m
                                                  WHERE d.heartbeat_metric IS NULL OR t.metric = d.heartbeat_metric) END) AS b (beat)
            WHERE d.device_id = ANY (pending)
        LOOP
            IF seen.is_decided THEN
                RETURN QUERY SELECT seen.device_id, seen.beat, seen.excluded, seen.unknown;
            ELSE
                further := further || seen.device_id;
            END IF;
        END LOOP;
        pending := further;
    END LOOP;
END $$;
COMMENT ON FUNCTION iot_kpi.silences(text[], timestamptz, timestamptz) IS
    'what there is to know of devices that are silent at an instant, as far before it as it takes to tell whether they are down: the last beat, and the time that does not count';
