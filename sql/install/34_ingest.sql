-- The forgiving door: a batch goes in as arrays, the good rows are stored, each bad one comes back with its position, field and reason.
-- The rules are those of 33_ingest_rules.sql, asked row by row beforehand; what is then inserted passes the strict door's triggers.

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

CREATE FUNCTION iot_kpi.make_partitions_of(times timestamptz[], earliest timestamptz, latest timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF date_trunc('day', earliest, 'UTC') = date_trunc('day', latest, 'UTC') THEN
        times := ARRAY[earliest];
    END IF;
    PERFORM iot_kpi.make_partition(day)
    FROM (SELECT DISTINCT date_trunc('day', t, 'UTC') AS day FROM unnest(times) t ORDER BY day) days
    WHERE NOT iot_kpi.has_partition(day);
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partitions_of(timestamptz[], timestamptz, timestamptz) IS
    'Makes the partitions that samples at these times need, the earliest and latest of which are given';

CREATE FUNCTION iot_kpi.ingest_metrics(
    device_ids text[], metrics text[], times timestamptz[], "values" float8[],
    OUT stored bigint, OUT duplicates bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    batch_size constant bigint := cardinality(device_ids);
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := now() + iot_kpi.setting('clock_skew')::interval;
    unlisted_kind constant text := CASE iot_kpi.setting('unknown_metrics') WHEN 'register' THEN 'gauge' END;
    unknown_devices constant text[] := iot_kpi.unknown_devices(device_ids);
    good_from timestamptz;
    good_to timestamptz;
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
    -- Most batches are clean and go in as they came.
    IF refused > 0 OR future_clamped > 0 THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'position', position, 'device_id', iot_kpi.abbreviated(device_id), 'field', fault[1],
                   'value', CASE fault[1] WHEN 'device_id' THEN iot_kpi.abbreviated(device_id) WHEN 'metric' THEN iot_kpi.abbreviated(metric)
                                          WHEN 'time' THEN "time"::text ELSE value::text END,
                   'reason', fault[2], 'remedy', fault[3]) ORDER BY position) FILTER (WHERE fault IS NOT NULL), '[]'),
               count(*) FILTER (WHERE fault IS NULL AND "time" > latest), min(good_time), max(good_time),
               array_agg(device_id ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(metric ORDER BY position) FILTER (WHERE fault IS NULL),
               array_agg(good_time ORDER BY position) FILTER (WHERE fault IS NULL), array_agg(value ORDER BY position) FILTER (WHERE fault IS NULL)
        INTO refusals, future_clamped, good_from, good_to, device_ids, metrics, times, "values"
        FROM (SELECT f.*, CASE WHEN fault IS NOT NULL THEN NULL WHEN "time" > latest THEN now() ELSE "time" END AS good_time
              FROM (SELECT u.*, coalesce(
                        iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL),
                        iot_kpi.value_fault(u.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, u.value)) AS fault
                    FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
                         LEFT JOIN iot.metric_types t ON t.metric = u.metric
                    OFFSET 0) f) checked;
    END IF;

    stored := 0;
    IF refused < batch_size THEN
        PERFORM iot_kpi.make_partitions_of(times, good_from, good_to);
        -- Writers that meet on the same keys meet in the same order; of equal keys in one batch the first counts.
        -- Most batches hold nothing that is already there, and without ON CONFLICT they go in a third quicker.
        BEGIN
            INSERT INTO iot.device_metrics (device_id, metric, "time", value)
            SELECT DISTINCT ON (u.device_id COLLATE "C", u.metric COLLATE "C", u."time") u.device_id, u.metric, u."time", u.value
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
            ORDER BY u.device_id COLLATE "C", u.metric COLLATE "C", u."time", u.position;
            GET DIAGNOSTICS stored = ROW_COUNT;
        EXCEPTION WHEN unique_violation THEN
            INSERT INTO iot.device_metrics (device_id, metric, "time", value)
            SELECT u.device_id, u.metric, u."time", u.value
            FROM unnest(device_ids, metrics, times, "values") WITH ORDINALITY u (device_id, metric, "time", value, position)
            ORDER BY u.device_id COLLATE "C", u.metric COLLATE "C", u."time", u.position
            ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS stored = ROW_COUNT;
        END;
    END IF;
    duplicates := batch_size - refused - stored;
END
$$;
COMMENT ON FUNCTION iot_kpi.ingest_metrics(text[], text[], timestamptz[], float8[]) IS
    'Stores a batch of metric samples: the good ones are kept, those already there are counted as duplicates, times in the future become the receive time, and each refused one comes back in refusals with position, field, value and reason. Safe to send again';

CREATE FUNCTION iot_kpi.ingest_status_work(
    device_ids text[], times timestamptz[], statuses text[], reasons text[],
    OUT stored bigint, OUT duplicates bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    batch_size constant bigint := cardinality(device_ids);
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := now() + iot_kpi.setting('clock_skew')::interval;
    unknown_devices constant text[] := iot_kpi.unknown_devices(device_ids);
    written record;
BEGIN
    PERFORM iot_kpi.check_same_length(ARRAY[cardinality(device_ids), cardinality(times), cardinality(statuses), cardinality(reasons)],
                                      'device_ids, times, statuses and reasons');
    SELECT count(*) FILTER (WHERE fault IS NOT NULL), count(*) FILTER (WHERE "time" > latest AND fault IS NULL),
           coalesce(jsonb_agg(jsonb_build_object(
               'position', position, 'device_id', iot_kpi.abbreviated(device_id), 'field', fault[1],
               'value', iot_kpi.abbreviated(CASE fault[1] WHEN 'device_id' THEN device_id WHEN 'time' THEN "time"::text
                                                          WHEN 'status' THEN status ELSE reason END),
               'reason', fault[2], 'remedy', fault[3]) ORDER BY position) FILTER (WHERE fault IS NOT NULL), '[]')
    INTO refused, future_clamped, refusals
    FROM (SELECT u.*, coalesce(iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL),
                               iot_kpi.status_fault(u.status, u.reason)) AS fault
          FROM unnest(device_ids, times, statuses, reasons) WITH ORDINALITY u (device_id, "time", status, reason, position)) checked;

    -- Inserted and replaced samples would be locked by two triggers one after the other; so triggers stand aside, and it happens
    -- once, in order.
    WITH good AS (
        -- Of equal keys in one batch the last one is the one stored last.
        SELECT DISTINCT ON (u.device_id COLLATE "C", CASE WHEN u."time" > latest THEN now() ELSE u."time" END)
               u.device_id, CASE WHEN u."time" > latest THEN now() ELSE u."time" END AS "time", u.status, u.reason
        FROM unnest(device_ids, times, statuses, reasons) WITH ORDINALITY u (device_id, "time", status, reason, position)
        WHERE iot_kpi.sample_fault(u.device_id, u.device_id <> ALL (unknown_devices), u."time", earliest, NULL) IS NULL
          AND iot_kpi.status_fault(u.status, u.reason) IS NULL
        ORDER BY u.device_id COLLATE "C", CASE WHEN u."time" > latest THEN now() ELSE u."time" END, u.position DESC
    ), stored_rows AS (
        INSERT INTO iot.device_status_history AS h (device_id, "time", status, reason)
        SELECT * FROM good
        ON CONFLICT (device_id, "time") DO UPDATE
            SET status = excluded.status, reason = excluded.reason, received_at = excluded.received_at, recorded_by = excluded.recorded_by
            WHERE (h.status, h.reason, h.recorded_by) IS DISTINCT FROM (excluded.status, excluded.reason, excluded.recorded_by)
        RETURNING h.device_id, h."time"
    )
    SELECT array_agg(device_id) AS device_ids, array_agg(first) AS firsts, coalesce(sum(samples), 0) AS samples INTO written
    FROM (SELECT device_id, min("time") AS first, count(*) AS samples FROM stored_rows GROUP BY device_id) a;
    IF written.device_ids IS NOT NULL THEN
        PERFORM iot_kpi.note_statuses(written.device_ids, written.firsts);
    END IF;
    stored := written.samples;
    duplicates := batch_size - refused - stored;
END
$$;
COMMENT ON FUNCTION iot_kpi.ingest_status_work(text[], timestamptz[], text[], text[]) IS 'What ingest_status() does';

CREATE FUNCTION iot_kpi.ingest_status(
    device_ids text[], times timestamptz[], statuses text[], reasons text[],
    OUT stored bigint, OUT duplicates bigint, OUT future_clamped bigint, OUT refused bigint, OUT refusals jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quietly';
COMMENT ON FUNCTION iot_kpi.ingest_status(text[], timestamptz[], text[], text[]) IS
    'Stores a batch of status samples: like ingest_metrics(), but a different sample of the same device and time replaces the one there (the one stored last wins), an identical one is a duplicate';
