-- The forgiving door: a batch goes in as arrays, the good rows are stored, each bad one comes back with its position, field and reason.
-- The rules are those of ingest/rules.sql, asked row by row beforehand; what is then inserted passes the strict door's triggers.

CREATE FUNCTION iot_kpi.check_same_length(lengths integer[], names text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM unnest(lengths) l WHERE l IS NULL OR l <> lengths[1]) THEN
        RAISE EXCEPTION 'the arrays of a batch have different lengths: %', array_to_string(lengths, ', ', 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = format('%s hold one element a sample each.', names);
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.check_same_length(integer[], text) IS 'Refuses the arrays of a batch unless they have one length';

CREATE FUNCTION iot_kpi.unknown_devices(device_ids text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A tenant registers its devices itself: a sample cannot say whose it would be.
    IF iot_kpi.setting('unknown_devices') = 'register' AND NOT row_security_active('iot.devices') THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT DISTINCT u.device_id FROM unnest(device_ids) u (device_id)
                 WHERE NOT EXISTS (SELECT FROM iot.devices d WHERE d.device_id = u.device_id) AND u.device_id IS NOT NULL);
END
$$;
COMMENT ON FUNCTION iot_kpi.unknown_devices(text[]) IS 'Those of the given devices whose samples the setting unknown_devices refuses';

CREATE FUNCTION iot_kpi.make_partitions_of(times timestamptz[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.make_partition(day)
    FROM (SELECT DISTINCT date_trunc('day', t, 'UTC') AS day FROM unnest(times) t ORDER BY day) days
    WHERE NOT iot_kpi.has_partition(day);
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partitions_of(timestamptz[]) IS
    'Makes the partitions that samples at these times need in a store of version 2, which has no default partition';

-- A device whose clock is ahead has sent samples of the future. The latest of them becomes the receive time, and the others stay as far
-- before it as they were, so that no two of them meet. Samples of the same device that are not of the future stay where they are, since one
-- wrong time among them says nothing of the rest; unless those that move would come to lie among them. Then all were of the same clock.

CREATE FUNCTION iot_kpi.moves_together(
    first timestamptz, last timestamptz, first_ahead timestamptz, last_ahead timestamptz, earliest timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.now() - last <= last_ahead - first_ahead AND first - earliest >= last_ahead - pg_catalog.now();
COMMENT ON FUNCTION iot_kpi.moves_together(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) IS
    'Whether samples of a device that are not ahead, the first and last of which are given, move with those that are; never to before the earliest that is kept';

CREATE FUNCTION iot_kpi.moved_time("time" timestamptz, ahead timestamptz, together boolean, earliest timestamptz, latest timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN ahead IS NULL THEN "time"
    WHEN "time" > latest THEN
        CASE WHEN ahead - "time" <= pg_catalog.now() - earliest THEN pg_catalog.now() - iot_kpi.exact(ahead - "time") END
    WHEN together THEN "time" - iot_kpi.exact(ahead - pg_catalog.now())
    ELSE "time"
END;
COMMENT ON FUNCTION iot_kpi.moved_time(timestamptz, timestamptz, boolean, timestamptz, timestamptz) IS
    'The time at which a sample is stored; ahead is that of the latest of its device, where it is ahead. NULL: it would lie before the earliest that is kept';

CREATE FUNCTION iot_kpi.ingest_metrics(
    device_ids text[], metrics text[], times timestamptz[], "values" float8[],
    OUT stored bigint, OUT duplicates bigint, OUT conflicts bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb,
    OUT conflict_details jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    batch_size constant bigint := cardinality(device_ids);
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := now() + iot_kpi.duration('clock_skew');
    unlisted_kind constant text := CASE iot_kpi.setting('unknown_metrics') WHEN 'register' THEN 'gauge' END;
    unknown_devices constant text[] := iot_kpi.unknown_devices(device_ids);
    -- Where those that are left stood in the batch; NULL while all are left.
    positions bigint[];
    good_from timestamptz;
    good_to timestamptz;
    -- Whether some of the batch's keys were in before.
    met boolean := false;
BEGIN
    PERFORM iot_kpi.check_same_length(ARRAY[cardinality(device_ids), cardinality(metrics), cardinality(times), cardinality("values")],
                                      'device_ids, metrics, times and values');
    SELECT count(*) FILTER (WHERE iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL) IS NOT NULL
                               OR iot_kpi.value_fault(u.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, u.value) IS NOT NULL),
           count(*) FILTER (WHERE u."time" > latest), min(u."time"), max(u."time")
    INTO refused, future_clamped, good_from, good_to
    FROM unnest(device_ids, metrics, times, "values") u (device_id, metric, "time", value)
         LEFT JOIN iot.metric_types t ON t.metric = u.metric;

    refusals := '[]';
    conflicts := 0;
    conflict_details := '[]';
    -- Most batches are clean and go in as they came.
    IF refused > 0 OR future_clamped > 0 THEN
        WITH checked AS (
            SELECT u.*, coalesce(
                       iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL),
                       iot_kpi.value_fault(u.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, u.value)) AS fault
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
                 LEFT JOIN iot.metric_types t ON t.metric = u.metric
            OFFSET 0
        ), clocks AS (
            SELECT c.device_id, max(c."time") AS ahead, iot_kpi.moves_together(
                       min(c."time") FILTER (WHERE c."time" <= latest), max(c."time") FILTER (WHERE c."time" <= latest),
                       min(c."time") FILTER (WHERE c."time" > latest), max(c."time"), earliest) AS together
            FROM checked c WHERE c.fault IS NULL GROUP BY c.device_id HAVING max(c."time") > latest
        ), moved AS (
            SELECT c.device_id, c.metric, c."time", c.value, c.position, m.stored_time,
                   CASE WHEN c.fault IS NULL AND m.stored_time IS NULL THEN iot_kpi.clock_fault() ELSE c.fault END AS fault
            FROM checked c LEFT JOIN clocks k ON k.device_id = c.device_id,
                 LATERAL (SELECT CASE WHEN c.fault IS NULL THEN iot_kpi.moved_time(c."time", k.ahead, k.together, earliest, latest) END) m (stored_time)
            OFFSET 0
        )
        SELECT count(*) FILTER (WHERE fault IS NOT NULL),
               coalesce(jsonb_agg(jsonb_build_object(
                   'position', position, 'device_id', iot_kpi.abbreviated(device_id), 'field', fault[1],
                   'value', CASE fault[1] WHEN 'device_id' THEN iot_kpi.abbreviated(device_id) WHEN 'metric' THEN iot_kpi.abbreviated(metric)
                                          WHEN 'time' THEN "time"::text ELSE value::text END,
                   'reason', fault[2], 'remedy', fault[3]) ORDER BY position) FILTER (WHERE fault IS NOT NULL), '[]'),
               count(*) FILTER (WHERE stored_time <> "time"), min(stored_time), max(stored_time),
               array_agg(device_id ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(metric ORDER BY position) FILTER (WHERE fault IS NULL),
               array_agg(stored_time ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(value ORDER BY position) FILTER (WHERE fault IS NULL),
               array_agg(position ORDER BY position) FILTER (WHERE fault IS NULL)
        INTO refused, refusals, future_clamped, good_from, good_to, device_ids, metrics, times, "values", positions
        FROM moved;
    END IF;

    stored := 0;
    IF refused < batch_size THEN
        IF to_regclass('iot.device_metrics_years') IS NULL THEN
            PERFORM iot_kpi.make_partitions_of(times);
        END IF;
        -- Writers that meet on the same keys meet in the same order; of equal keys in one batch the first counts.
        -- Most batches hold nothing that is already there, and without ON CONFLICT they go in a third quicker.
        BEGIN
            INSERT INTO iot.device_metrics (device_id, metric, "time", value)
            SELECT DISTINCT ON (u.device_id COLLATE "C", u.metric COLLATE "C", u."time") u.device_id, u.metric, u."time", u.value
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
            ORDER BY u.device_id COLLATE "C", u.metric COLLATE "C", u."time", u.position;
            GET DIAGNOSTICS stored = ROW_COUNT;
        EXCEPTION WHEN unique_violation THEN
            met := true;
            INSERT INTO iot.device_metrics (device_id, metric, "time", value)
            SELECT u.device_id, u.metric, u."time", u.value
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
            ORDER BY u.device_id COLLATE "C", u.metric COLLATE "C", u."time", u.position
            ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS stored = ROW_COUNT;
        END;
    END IF;
    duplicates := batch_size - refused - stored;
    IF duplicates > 0 AND NOT met THEN
        -- Of equal keys in the batch the first is in: the table need not be asked.
        SELECT count(*), coalesce(jsonb_agg(jsonb_build_object(
                   'position', coalesce(positions[u.position], u.position), 'device_id', u.device_id, 'metric', u.metric, 'time', u."time",
                   'kept', "values"[k.first], 'lost', u.value) ORDER BY u.position), '[]')
        INTO conflicts, conflict_details
        FROM (SELECT e.device_id, e.metric, e."time", min(e.position) AS first
              FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY e (device_id, metric, "time", value, position)
              GROUP BY e.device_id, e.metric, e."time" HAVING min(e.value) <> max(e.value)) k
             JOIN unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
             ON u.device_id = k.device_id AND u.metric = k.metric AND u."time" = k."time"
        WHERE u.value <> "values"[k.first];
    ELSIF duplicates > 0 THEN
        -- Those that are not in, because another value of the same key is.
        SELECT count(*), coalesce(jsonb_agg(jsonb_build_object(
                   'position', coalesce(positions[u.position], u.position), 'device_id', u.device_id, 'metric', u.metric, 'time', u."time",
                   'kept', m.value, 'lost', u.value) ORDER BY u.position), '[]')
        INTO conflicts, conflict_details
        FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
             CROSS JOIN LATERAL (SELECT s.value FROM iot.device_metrics s
                                 WHERE s.device_id = u.device_id AND s.metric = u.metric AND s."time" = u."time"
                                   AND s."time" >= good_from AND s."time" <= good_to OFFSET 0) m
        WHERE m.value <> u.value;
    END IF;
    duplicates := duplicates - conflicts;
END
$$;
COMMENT ON FUNCTION iot_kpi.ingest_metrics(text[], text[], timestamptz[], float8[]) IS
    'Stores a batch of metric samples: the good ones are kept, those already there are counted as duplicates, and those that another value of the same key is there of as conflicts, each told in conflict_details; times of a clock that is ahead are moved to the receive time; each refused one comes back in refusals with position, field, value and reason. Safe to send again';

CREATE FUNCTION iot_kpi.ingest_status_work(
    device_ids text[], times timestamptz[], statuses text[], reasons text[],
    OUT stored bigint, OUT duplicates bigint, OUT conflicts bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb,
    OUT conflict_details jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    batch_size constant bigint := cardinality(device_ids);
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := now() + iot_kpi.duration('clock_skew');
    unknown_devices constant text[] := iot_kpi.unknown_devices(device_ids);
    positions bigint[];
    outdone record;
    written record;
BEGIN
    PERFORM iot_kpi.check_same_length(ARRAY[cardinality(device_ids), cardinality(times), cardinality(statuses), cardinality(reasons)],
                                      'device_ids, times, statuses and reasons');
    WITH checked AS (
        SELECT u.*, coalesce(iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL),
                             iot_kpi.status_fault(u.status, u.reason)) AS fault
        FROM unnest(device_ids, times, statuses, reasons) WITH ORDINALITY u (device_id, "time", status, reason, position)
        OFFSET 0
    ), clocks AS (
        SELECT c.device_id, max(c."time") AS ahead, iot_kpi.moves_together(
                   min(c."time") FILTER (WHERE c."time" <= latest), max(c."time") FILTER (WHERE c."time" <= latest),
                   min(c."time") FILTER (WHERE c."time" > latest), max(c."time"), earliest) AS together
        FROM checked c WHERE c.fault IS NULL GROUP BY c.device_id HAVING max(c."time") > latest
    ), moved AS (
        SELECT c.device_id, c."time", c.status, c.reason, c.position, m.stored_time,
               CASE WHEN c.fault IS NULL AND m.stored_time IS NULL THEN iot_kpi.clock_fault() ELSE c.fault END AS fault
        FROM checked c LEFT JOIN clocks k ON k.device_id = c.device_id,
             LATERAL (SELECT CASE WHEN c.fault IS NULL THEN iot_kpi.moved_time(c."time", k.ahead, k.together, earliest, latest) END) m (stored_time)
        OFFSET 0
    )
    SELECT count(*) FILTER (WHERE fault IS NOT NULL), count(*) FILTER (WHERE stored_time <> "time"),
           coalesce(jsonb_agg(jsonb_build_object(
               'position', position, 'device_id', iot_kpi.abbreviated(device_id), 'field', fault[1],
               'value', iot_kpi.abbreviated(CASE fault[1] WHEN 'device_id' THEN device_id WHEN 'time' THEN "time"::text
                                                          WHEN 'status' THEN status ELSE reason END),
               'reason', fault[2], 'remedy', fault[3]) ORDER BY position) FILTER (WHERE fault IS NOT NULL), '[]'),
           array_agg(device_id ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(stored_time ORDER BY position) FILTER (WHERE fault IS NULL),
           array_agg(status ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(reason ORDER BY position) FILTER (WHERE fault IS NULL),
           array_agg(position ORDER BY position) FILTER (WHERE fault IS NULL)
    INTO refused, future_clamped, refusals, device_ids, times, statuses, reasons, positions
    FROM moved;

    -- Of equal keys in one batch the last one is the one stored last; others that differ from it are lost.
    SELECT count(*) AS samples, count(*) FILTER (WHERE differs) AS conflicts, coalesce(jsonb_agg(jsonb_build_object(
               'position', position, 'device_id', device_id, 'time', "time", 'kept', jsonb_build_object('status', kept_status, 'reason', kept_reason),
               'lost', jsonb_build_object('status', status, 'reason', reason)) ORDER BY position) FILTER (WHERE differs), '[]') AS details
    INTO outdone
    FROM (SELECT u.*, (u.status, u.reason) IS DISTINCT FROM (last_value(u.status) OVER w, last_value(u.reason) OVER w) AS differs,
                 last_value(u.status) OVER w AS kept_status, last_value(u.reason) OVER w AS kept_reason,
                 u.place < count(*) OVER w AS is_outdone
          FROM (SELECT g.device_id, g."time", g.status, g.reason, g.position,
                       row_number() OVER (PARTITION BY g.device_id, g."time" ORDER BY g.position) AS place
                FROM unnest(device_ids, times, statuses, reasons, positions) g (device_id, "time", status, reason, position)) u
          WINDOW w AS (PARTITION BY u.device_id, u."time" ORDER BY u.position ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) x
    WHERE x.is_outdone;

    -- Inserted and replaced samples would be locked by two triggers one after the other; so triggers stand aside, and it happens
    -- once, in order.
    WITH good AS (
        SELECT DISTINCT ON (u.device_id COLLATE "C", u."time") u.device_id, u."time", u.status, u.reason, u.position
        FROM unnest(device_ids, times, statuses, reasons, positions) u (device_id, "time", status, reason, position)
        ORDER BY u.device_id COLLATE "C", u."time", u.position DESC
    ), there AS MATERIALIZED (
        -- What is replaced, as it is when this begins.
        SELECT h.device_id, h."time", h.status, h.reason, h.recorded_by
        FROM good g JOIN iot.device_status_history h ON h.device_id = g.device_id AND h."time" = g."time"
    ), stored_rows AS (
        INSERT INTO iot.device_status_history AS h (device_id, "time", status, reason)
        SELECT g.device_id, g."time", g.status, g.reason FROM good g
        ON CONFLICT (device_id, "time") DO UPDATE
            SET status = excluded.status, reason = excluded.reason, received_at = excluded.received_at, recorded_by = excluded.recorded_by
            WHERE (h.status, h.reason, h.recorded_by) IS DISTINCT FROM (excluded.status, excluded.reason, excluded.recorded_by)
        -- A row that is new has no xmax.
        RETURNING h.device_id, h."time", h.status, h.reason, h.xmax <> '0'::xid AS is_old
    ), compared AS (
        -- A record of upkeep's own is no sample.
        SELECT s.*, t.status AS lost_status, t.reason AS lost_reason, s.is_old AND t.recorded_by IS NULL AS replaced
        FROM stored_rows s LEFT JOIN there t ON t.device_id = s.device_id AND t."time" = s."time"
    )
    SELECT array_agg(a.device_id) AS device_ids, array_agg(a.first) AS firsts, coalesce(sum(a.samples), 0) AS samples,
           coalesce(sum(a.replaced), 0) AS conflicts,
           (SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'position', g.position, 'device_id', s.device_id, 'time', s."time", 'kept', jsonb_build_object('status', s.status, 'reason', s.reason),
                       'lost', CASE WHEN s.lost_status IS NOT NULL THEN jsonb_build_object('status', s.lost_status, 'reason', s.lost_reason) END) ORDER BY g.position), '[]')
            FROM compared s JOIN good g ON g.device_id = s.device_id AND g."time" = s."time"
            WHERE s.replaced) AS details
    INTO written
    FROM (SELECT device_id, min("time") AS first, count(*) AS samples, count(*) FILTER (WHERE replaced) AS replaced
          FROM compared GROUP BY device_id) a;
    IF written.device_ids IS NOT NULL THEN
        PERFORM iot_kpi.note_statuses(written.device_ids, written.firsts);
    END IF;
    stored := written.samples;
    duplicates := batch_size - refused - stored - outdone.conflicts;
    conflicts := outdone.conflicts + written.conflicts;
    conflict_details := outdone.details || written.details;
END
$$;
COMMENT ON FUNCTION iot_kpi.ingest_status_work(text[], timestamptz[], text[], text[]) IS 'What ingest_status() does';

CREATE FUNCTION iot_kpi.ingest_status(
    device_ids text[], times timestamptz[], statuses text[], reasons text[],
    OUT stored bigint, OUT duplicates bigint, OUT conflicts bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb,
    OUT conflict_details jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quietly';
COMMENT ON FUNCTION iot_kpi.ingest_status(text[], timestamptz[], text[], text[]) IS
    'Stores a batch of status samples: like ingest_metrics(), but a different sample of the same device and time replaces the one there (the one stored last wins), which is counted as a conflict; an identical one is a duplicate';
