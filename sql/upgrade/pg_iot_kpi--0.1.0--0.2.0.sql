-- From 0.1.0 to 0.2.0. Above the line below stands what is written by hand and runs first; `make upgrade-script` writes
-- what is below it, from the difference between sql/upgrade/pg_iot_kpi--0.1.0.sql and sql/install.

---- generated ----

CREATE OR REPLACE FUNCTION iot_kpi.gather(
    slot_edges timestamptz[], scan_start timestamptz, scan_end timestamptz, device_ids text[], bytes_is_counter boolean
) RETURNS TABLE (device_id text, evidence iot_kpi.evidence)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    
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

    -- With the bounds written into the statement, each stretch is planned with its own partitions only.
    SELECT string_agg(
               format('SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m WHERE m.time >= %L AND m.time %s %L',
                      lower(g), CASE WHEN upper_inc(g) THEN '<=' ELSE '<' END, upper(g))
               || CASE WHEN device_ids IS NULL THEN '' ELSE ' AND m.device_id = ANY ($1)' END, ' UNION ALL ')
        INTO rows_of FROM unnest(gaps) AS g;

    IF periods IS NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT s.device_id, iot_kpi.evidence_agg(s.time, s.metric, s.value, %s, $2, $3)
             FROM (%s) AS s %s GROUP BY s.device_id', beats_by, rows_of, of_device)
            USING device_ids, bytes_is_counter, slot_edges, lacking, grains, periods, heartbeat_metric;
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
                format(' UNION ALL SELECT m.device_id, m.metric, m.time, m.value FROM iot.device_metrics m WHERE m.time >= %L AND m.time < %L AND m.device_id = ANY ($4)',
                       lower(c), upper(c)), '')
            FROM unnest(covered) AS c);
    END IF;
    RETURN QUERY EXECUTE format(
        'WITH parts AS (
             SELECT s.device_id, iot_kpi.evidence_send(
                        iot_kpi.evidence_agg(s.time, s.metric, s.value, %s, $2, $3)) AS part,
                    NULL::timestamptz AS start
             FROM (%s) AS s %s GROUP BY s.device_id
             UNION ALL
             SELECT k.device_id, k.parts, lower(p.period)
             FROM unnest($5, $6) AS p (grain, period)
             JOIN iot.kpi_calculations k ON k.grain = p.grain AND k.period = p.period
             WHERE ($1 IS NULL OR k.device_id = ANY ($1)) AND ($4 IS NULL OR k.device_id <> ALL ($4)))
         -- In the order of time a part is put behind the others as it is.
         SELECT p.device_id, iot_kpi.evidence_merge(p.part, $3 ORDER BY p.start) FROM parts AS p GROUP BY p.device_id',
        beats_by, rows_of, of_device)
        USING device_ids, bytes_is_counter, slot_edges, lacking, grains, periods, heartbeat_metric;
END $$;
