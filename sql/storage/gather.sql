-- Where a report's samples come from. Periods that were calculated come as mergeable parts from iot.kpi_calculations, all
-- other time from rows: one answer, bit for bit the same, whichever way. iot_kpi.evidence_of alone calls this.

CREATE FUNCTION iot_kpi.evidence_trans(
    state internal, at timestamptz, metric text, value double precision, heartbeat_metric text, bytes_is_counter boolean,
    edges timestamptz[]
) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_trans';
COMMENT ON FUNCTION iot_kpi.evidence_trans(internal, timestamptz, text, double precision, text, boolean, timestamptz[]) IS
    'adds a sample';
CREATE FUNCTION iot_kpi.evidence_absorb(state internal, part bytea, edges timestamptz[]) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_absorb';
COMMENT ON FUNCTION iot_kpi.evidence_absorb(internal, bytea, timestamptz[]) IS 'adds a part';
CREATE FUNCTION iot_kpi.evidence_final(state internal) RETURNS iot_kpi.evidence
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_final';
COMMENT ON FUNCTION iot_kpi.evidence_final(internal) IS 'the evidence so far';

CREATE AGGREGATE iot_kpi.evidence_agg(
    at timestamptz, metric text, value double precision, heartbeat_metric text, bytes_is_counter boolean, edges timestamptz[]
) (
    SFUNC = iot_kpi.evidence_trans, STYPE = internal, SSPACE = 8192, FINALFUNC = iot_kpi.evidence_final,
    FINALFUNC_MODIFY = READ_ONLY, COMBINEFUNC = iot_kpi.evidence_combine, SERIALFUNC = iot_kpi.evidence_serialize,
    DESERIALFUNC = iot_kpi.evidence_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.evidence_agg(timestamptz, text, double precision, text, boolean, timestamptz[]) IS
    'all metric samples of a device in one pass: its beats, and per slot between two edges its communication';

CREATE AGGREGATE iot_kpi.evidence_merge(part bytea, edges timestamptz[]) (
    SFUNC = iot_kpi.evidence_absorb, STYPE = internal, SSPACE = 8192, FINALFUNC = iot_kpi.evidence_final,
    FINALFUNC_MODIFY = READ_ONLY, COMBINEFUNC = iot_kpi.evidence_combine, SERIALFUNC = iot_kpi.evidence_serialize,
    DESERIALFUNC = iot_kpi.evidence_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.evidence_merge(bytea, timestamptz[]) IS
    'evidence put together from parts, each of which lies within one slot between two edges';

CREATE FUNCTION iot_kpi.evidence_parts(evidence iot_kpi.evidence)
RETURNS TABLE (slot integer, part iot_kpi.evidence)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 24 AS 'MODULE_PATHNAME', 'iot_kpi_evidence_parts';
COMMENT ON FUNCTION iot_kpi.evidence_parts(iot_kpi.evidence) IS 'each slot of evidence as evidence of its own; an error where its beats are in runs';

CREATE FUNCTION iot_kpi.evidence_summary(evidence iot_kpi.evidence, expected_interval interval, liveness interval)
RETURNS iot_kpi.evidence
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_summary';
COMMENT ON FUNCTION iot_kpi.evidence_summary(iot_kpi.evidence, interval, interval) IS
    'evidence of one slot with runs instead of its beats: it says the same of a device with these settings';

CREATE FUNCTION iot_kpi.fresh_periods(grain text, within tstzmultirange, slot_edges timestamptz[], device_ids text[])
RETURNS SETOF tstzrange
    LANGUAGE sql STABLE AS $$
-- A period serves when it lies within one slot and most devices have it: those that lack it are read from rows.
SELECT k.period
FROM unnest(within) AS w
JOIN iot.kpi_calculations k
    -- For the index: ranges sort by their start.
    ON k.grain = fresh_periods.grain AND NOT k.stale
    AND k.period >= tstzrange(lower(w), lower(w), '[]') AND k.period < tstzrange(upper(w), NULL) AND k.period <@ w
WHERE device_ids IS NULL OR k.device_id = ANY (device_ids)
GROUP BY k.period
HAVING count(*) * 2 > (SELECT count(*) FROM iot.devices d WHERE device_ids IS NULL OR d.device_id = ANY (device_ids))
   AND width_bucket(lower(k.period), slot_edges) = width_bucket(upper(k.period) - interval '1 microsecond', slot_edges)
$$;
COMMENT ON FUNCTION iot_kpi.fresh_periods(text, tstzmultirange, timestamptz[], text[]) IS
    'the calculated hours or days within some stretches of time that serve a report over these slots';

CREATE FUNCTION iot_kpi.calculated_periods(slot_edges timestamptz[], device_ids text[])
RETURNS TABLE (grain text, period tstzrange)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    whole constant tstzmultirange := tstzmultirange(tstzrange(slot_edges[1], slot_edges[cardinality(slot_edges)]));
    days tstzrange[];
BEGIN
    SELECT array_agg(d) INTO days FROM iot_kpi.fresh_periods('day', whole, slot_edges, device_ids) AS d;
    RETURN QUERY SELECT 'day', d FROM unnest(days) AS d;
    RETURN QUERY SELECT 'hour', h
        FROM iot_kpi.fresh_periods('hour', whole - coalesce((SELECT range_agg(d) FROM unnest(days) AS d), '{}'),
                                   slot_edges, device_ids) AS h;
END $$;
COMMENT ON FUNCTION iot_kpi.calculated_periods(timestamptz[], text[]) IS
    'the calculated days, and hours outside them, that serve a report over these slots';

CREATE FUNCTION iot_kpi.gather(
    slot_edges timestamptz[], scan_start timestamptz, scan_end timestamptz, device_ids text[], bytes_is_counter boolean,
    communication boolean
) RETURNS TABLE (device_id text, evidence iot_kpi.evidence)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    -- The bounds go through text, where a session's own style could misread what it wrote.
    SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    grains text[];
    periods tstzrange[];
    covered tstzmultirange;
    gaps tstzmultirange;
    lacking text[];
    rows_of text;
    heartbeat_metric text;
    differs boolean;
    beats_by text;
    of_device text;
    of_these text;
    -- Beats lie where they lie: without communication there is nothing that would be counted by slot.
    counted_in constant timestamptz[] := CASE WHEN communication THEN slot_edges
                                              ELSE ARRAY[slot_edges[1], slot_edges[cardinality(slot_edges)]] END;
BEGIN
    covered := '{}';
    -- Most windows of a few hours, and all of a store without calculations, have none: that is seen at one look.
    IF EXISTS (SELECT FROM iot.kpi_calculations k
               WHERE NOT k.stale AND k.grain IN ('hour', 'day')
                 AND k.period >= tstzrange(slot_edges[1], slot_edges[1], '[]')
                 AND k.period < tstzrange(slot_edges[cardinality(slot_edges)], NULL)) THEN
        SELECT array_agg(p.grain), array_agg(p.period), coalesce(range_agg(p.period), '{}')
            INTO grains, periods, covered
            FROM iot_kpi.calculated_periods(slot_edges, device_ids) AS p;
    END IF;
    gaps := tstzmultirange(tstzrange(scan_start, scan_end, '[]')) - covered;

    -- Where all devices beat by the same metric, or by any, no row has to be joined to its device.
    SELECT min(d.heartbeat_metric), count(DISTINCT d.heartbeat_metric) > 1 OR count(d.heartbeat_metric) NOT IN (0, count(*))
        INTO heartbeat_metric, differs
        FROM iot.devices d WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
    beats_by := CASE WHEN differs THEN 'd.heartbeat_metric' ELSE '$7' END;
    of_device := CASE WHEN differs THEN 'JOIN iot.devices d ON d.device_id = s.device_id' ELSE '' END;
    IF differs AND NOT communication THEN
        of_device := of_device || ' AND (d.heartbeat_metric IS NULL OR d.heartbeat_metric = s.metric)';
    END IF;

    -- The rows of one device make one group: nobody has to look up whose they are.
    of_these := CASE WHEN device_ids IS NULL THEN '' WHEN cardinality(device_ids) = 1 THEN ' AND m.device_id = $1[1]'
                     ELSE ' AND m.device_id = ANY ($1)' END;
    IF heartbeat_metric IS NOT NULL AND NOT (differs OR communication) THEN
        of_these := of_these || ' AND m.metric = $7';
    END IF;
    -- With the bounds written into the statement, each stretch is planned with its own partitions only.
    SELECT string_agg(
               format('SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m WHERE m.time >= %L AND m.time %s %L',
                      lower(g), CASE WHEN upper_inc(g) THEN '<=' ELSE '<' END, upper(g))
               || of_these, ' UNION ALL ')
        INTO rows_of FROM unnest(gaps) AS g;

    -- A counter's first increase counts from its last sample before, however long before that is.
    IF bytes_is_counter AND communication THEN
        rows_of := rows_of || format(
            ' UNION ALL SELECT l.* FROM iot.devices d, LATERAL (
                  SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m
                  WHERE m.device_id = d.device_id AND m.metric = ''bytes'' AND m.time < %L ORDER BY m.time DESC LIMIT 1) AS l
              WHERE $1 IS NULL OR d.device_id = ANY ($1)', scan_start);
    END IF;

    IF periods IS NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT s.device_id, iot_kpi.evidence_agg(s.time, s.metric, s.value, %s, $2, $3)
             FROM (%s) AS s %s GROUP BY s.device_id', beats_by, rows_of, of_device)
            USING device_ids, bytes_is_counter, counted_in, lacking, grains, periods, heartbeat_metric;
        RETURN;
    END IF;

    SELECT array_agg(d.device_id) INTO lacking
        FROM iot.devices d
        LEFT JOIN (SELECT k.device_id, count(*) AS n
                   FROM unnest(grains, periods) AS p (grain, period)
                   JOIN iot.kpi_calculations k ON k.grain = p.grain AND k.period = p.period
                   WHERE NOT k.stale GROUP BY k.device_id) AS k ON k.device_id = d.device_id
        WHERE (device_ids IS NULL OR d.device_id = ANY (device_ids))
          AND coalesce(k.n, 0) < cardinality(periods);
    IF lacking IS NOT NULL THEN
        rows_of := rows_of || (
            SELECT string_agg(
                format(' UNION ALL SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m WHERE m.time >= %L AND m.time < %L',
                       lower(c), upper(c)) || of_these || ' AND m.device_id = ANY ($4)', '')
            FROM unnest(covered) AS c);
    END IF;
    RETURN QUERY EXECUTE format(
        'WITH parts AS (
             SELECT s.device_id, iot_kpi.evidence_send(
                        iot_kpi.evidence_agg(s.time, s.metric, s.value, %s, $2, $3)) AS part,
                    NULL::timestamptz AS start
             FROM (%s) AS s %s GROUP BY s.device_id
             UNION ALL
             -- A summary serves as long as the device is judged as it was then. What is not chosen is not fetched either.
             SELECT k.device_id,
                    CASE WHEN k.summary IS NOT NULL AND k.expected_interval = d.expected_interval
                              AND k.liveness = coalesce(d.liveness, d.expected_interval * 3)
                         THEN k.summary ELSE k.parts END,
                    lower(p.period)
             FROM unnest($5, $6) AS p (grain, period)
             JOIN iot.kpi_calculations k ON k.grain = p.grain AND k.period = p.period
             JOIN iot.devices d ON d.device_id = k.device_id
             WHERE NOT k.stale AND ($1 IS NULL OR k.device_id = ANY ($1)) AND ($4 IS NULL OR k.device_id <> ALL ($4)))
         -- In the order of time a part is put behind the others as it is.
         SELECT p.device_id, iot_kpi.evidence_merge(p.part, $3 ORDER BY p.start) FROM parts AS p GROUP BY p.device_id',
        beats_by, rows_of, of_device)
        USING device_ids, bytes_is_counter, counted_in, lacking, grains, periods, heartbeat_metric;
END $$;
COMMENT ON FUNCTION iot_kpi.gather(timestamptz[], timestamptz, timestamptz, text[], boolean, boolean) IS
    'the evidence of devices over slots, from calculated periods where they serve and from rows elsewhere; without communication, their beats alone';
