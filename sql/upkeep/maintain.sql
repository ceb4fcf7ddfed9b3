-- Upkeep: partitions ahead, missed deadlines, calculations, retention. One code for both ways to have it done: the background worker
-- and CALL iot_kpi.maintain() call upkeep() until it has nothing left to do, a transaction a call.
--
-- A transaction is small, and none waits: for a lock at most lock_timeout of upkeep(), so that no writer queues up behind it for
-- longer. What is in use is left for the next run. Each step finds its work by looking at the store, not at what a run before has
-- noted: wherever a run is cut off, the next one goes on.

CREATE FUNCTION iot_kpi.upkeep_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 7666211735220613477::bigint;
COMMENT ON FUNCTION iot_kpi.upkeep_lock() IS 'Key of the advisory lock that each transaction of upkeep holds, so that two runs never do the same thing at once';

CREATE FUNCTION iot_kpi.upkeep_partitions(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Moving rows to their year locks the years at last: so one a transaction.
    IF iot_kpi.make_years(1) > 0 THEN
        RETURN place;
    END IF;
    PERFORM iot_kpi.make_partitions();
    RETURN NULL;
EXCEPTION WHEN lock_not_available THEN
    -- The next run tries again. They are made days ahead, and without them samples have a place all the same.
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_partitions(jsonb) IS 'Step of upkeep: makes the partitions that are wanted ahead, and those of years that lack one';

-- Calculations -----------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.try_calculation(day timestamptz, device_ids text[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.calculate_kpis(tstzrange(day, day + interval '24 hours'), device_ids);
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    -- A writer that takes its time. Waiting for it would make all the others wait.
    RETURN false;
END
$$;
COMMENT ON FUNCTION iot_kpi.try_calculation(timestamptz, text[]) IS
    'Calculates what is missing or stale of devices on a UTC day, as far as it is over; returns false where one of them is being written';

CREATE FUNCTION iot_kpi.stale_devices(since text, until text, most integer) RETURNS TABLE (device_id text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- From one device of the index to the next: however many periods of a device are stale, it is one step.
    RETURN QUERY
    WITH RECURSIVE stale AS (
        (SELECT k.device_id FROM iot.kpi_calculations k WHERE k.stale AND k.device_id > since ORDER BY k.device_id LIMIT 1)
        UNION ALL
        SELECT (SELECT k.device_id FROM iot.kpi_calculations k WHERE k.stale AND k.device_id > s.device_id ORDER BY k.device_id LIMIT 1)
        FROM stale s WHERE s.device_id IS NOT NULL AND (until IS NULL OR s.device_id < until)
    )
    SELECT s.device_id FROM stale s WHERE s.device_id IS NOT NULL AND (until IS NULL OR s.device_id <= until) LIMIT most;
END
$$;
COMMENT ON FUNCTION iot_kpi.stale_devices(text, text, integer) IS
    'Part of upkeep_stale(): devices with stale calculations after one and up to another (NULL: any) by id, in order and no more than so many';

CREATE FUNCTION iot_kpi.upkeep_stale(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since constant text := coalesce(place ->> 'from', '');
    until text := place ->> 'to';
    earliest constant timestamptz := greatest(iot_kpi.kept_from(), (place ->> 'day')::timestamptz + interval '24 hours');
    devices constant text[] := ARRAY(SELECT s.device_id FROM iot_kpi.stale_devices(since, until, iot_kpi.setting('upkeep_batch')::integer) s);
    next_day timestamptz;
BEGIN
    IF cardinality(devices) = 0 AND until IS NULL THEN
        RETURN NULL;
    END IF;
    until := coalesce(until, devices[cardinality(devices)]);
    SELECT date_trunc('day', min(f.first), 'UTC') INTO next_day
    FROM unnest(devices) u (device_id), LATERAL (
        SELECT lower(k.period) AS first FROM iot.kpi_calculations k
        WHERE k.stale AND k.device_id = u.device_id AND k.period >= tstzrange(earliest, earliest, '[]') AND upper(k.period) <= now()
        ORDER BY k.period LIMIT 1) f;
    IF next_day IS NULL THEN
        RETURN place - 'to' - 'day' || jsonb_build_object('from', until);
    END IF;
    PERFORM iot_kpi.try_calculation(next_day, ARRAY(
        SELECT d.device_id FROM iot.devices d
        WHERE d.device_id = ANY (devices) AND EXISTS (
            SELECT FROM iot.kpi_calculations k
            WHERE k.stale AND k.device_id = d.device_id AND k.period >= tstzrange(next_day, next_day, '[]')
              AND k.period < tstzrange(next_day + interval '24 hours', NULL))));
    RETURN place || jsonb_build_object('to', until, 'day', next_day);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_stale(jsonb) IS 'Part of upkeep_calculations(): a day of some devices whose calculations are stale';

CREATE FUNCTION iot_kpi.upkeep_missing(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    until constant timestamptz := coalesce((place ->> 'until')::timestamptz, date_trunc('hour', now(), 'UTC'));
    -- Yesterday and today. What is missing further back: calculate_kpis(during).
    day constant timestamptz := coalesce((place ->> 'day')::timestamptz, date_trunc('day', until, 'UTC') - interval '24 hours');
    since constant text := coalesce(place ->> 'from', '');
    chosen text[];
    postponed boolean := place ? 'postponed';
BEGIN
    IF until <= (SELECT u.calculated_until FROM iot.upkeep u WHERE u.step = 'calculations') THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT d.device_id FROM iot.devices d WHERE d.device_id > since
          ORDER BY d.device_id LIMIT iot_kpi.setting('upkeep_batch')::integer) c;
    IF chosen IS NOT NULL THEN
        IF NOT iot_kpi.try_calculation(day, chosen) THEN
            place := place || '{"postponed": true}';
        END IF;
        RETURN place || jsonb_build_object('until', until, 'day', day, 'from', chosen[cardinality(chosen)]);
    ELSIF day + interval '24 hours' < until THEN
        RETURN place - 'from' || jsonb_build_object('until', until, 'day', day + interval '24 hours');
    END IF;
    IF NOT postponed THEN
        INSERT INTO iot.upkeep AS u (step, calculated_until) VALUES ('calculations', until)
        ON CONFLICT (step) DO UPDATE SET calculated_until = excluded.calculated_until;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_missing(jsonb) IS
    'Part of upkeep_calculations(): once an hour is over, that hour and what else is missing since yesterday, of some devices';

CREATE FUNCTION iot_kpi.upkeep_calculations(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    further jsonb;
BEGIN
    IF iot_kpi.setting('calculations') = 'off' THEN
        RETURN NULL;
    ELSIF place ->> 'part' IS DISTINCT FROM 'missing' THEN
        further := iot_kpi.upkeep_stale(place);
        RETURN coalesce(further, place - 'from' - 'to' - 'day' || '{"part": "missing"}');
    END IF;
    RETURN iot_kpi.upkeep_missing(place);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_calculations(jsonb) IS 'Step of upkeep: calculates what is stale, then what is missing';

-- Retention --------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.expired_metrics(OUT day timestamptz, OUT metrics text[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Days that may hold some: those with a partition. In the years it takes a look into the key for each device.
    days timestamptz[] := ARRAY(SELECT p.first FROM iot_kpi.partitions() p WHERE p.of_days);
BEGIN
    IF EXISTS (SELECT FROM iot.metric_types t WHERE t.retention IS NOT NULL)
       AND EXISTS (SELECT FROM iot_kpi.partitions() p WHERE NOT p.of_days AND pg_relation_size(p.partition) > 0) THEN
        days := days || ARRAY(
            SELECT date_trunc('day', min(s."time"), 'UTC')
            FROM iot.metric_types t, iot.devices d, LATERAL (
                SELECT m."time" FROM iot.device_metrics_years m
                WHERE m.device_id = d.device_id AND m.metric = t.metric AND m."time" >= coalesce(t.expired_until, '-infinity')
                  AND m."time" < date_trunc('day', now() - iot_kpi.exact(t.retention), 'UTC')
                ORDER BY m."time" LIMIT 1) AS s
            WHERE t.retention IS NOT NULL GROUP BY t.metric);
    END IF;
    SELECT p.first, array_agg(t.metric ORDER BY t.metric) INTO day, metrics
    FROM (SELECT DISTINCT unnest(days)) p (first)
    JOIN iot.metric_types t ON p.first + interval '24 hours' <= now() - iot_kpi.exact(t.retention) AND p.first >= coalesce(t.expired_until, '-infinity')
    GROUP BY p.first ORDER BY p.first LIMIT 1;
END
$$;
COMMENT ON FUNCTION iot_kpi.expired_metrics() IS
    'The earliest UTC day that holds samples beyond the retention of their metric, and those metrics; NULL where there is none';

CREATE FUNCTION iot_kpi.delete_expired_samples_work(day timestamptz, device_ids text[], metrics text[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    evidence boolean;
BEGIN
    -- Nobody looks whether the KPIs of that day have been calculated: upkeep did, before it came here.
    PERFORM iot_kpi.require_owner('samples past the retention of their metric are deleted by upkeep');
    WITH deleted AS (
        DELETE FROM iot.device_metrics m
        WHERE m.device_id = ANY (device_ids) AND m.metric = ANY (metrics)
          AND m."time" >= day AND m."time" < day + interval '24 hours'
        RETURNING m.device_id, m.metric)
    SELECT bool_or(g.metric IN ('response_time', 'error', 'bytes') OR coalesce(d.heartbeat_metric, g.metric) = g.metric)
    INTO evidence
    FROM (SELECT DISTINCT x.device_id, x.metric FROM deleted x) g JOIN iot.devices d ON d.device_id = g.device_id;
    RETURN coalesce(evidence, false);
END
$$;
COMMENT ON FUNCTION iot_kpi.delete_expired_samples_work(timestamptz, text[], text[]) IS 'What delete_expired_samples() does';

CREATE FUNCTION iot_kpi.delete_expired_samples(day timestamptz, device_ids text[], metrics text[]) RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quietly';
COMMENT ON FUNCTION iot_kpi.delete_expired_samples(timestamptz, text[], text[]) IS
    'Step of upkeep: deletes a UTC day''s samples of devices that are beyond the retention of their metrics; what was calculated of them stands. Returns whether KPIs were made of any';

CREATE FUNCTION iot_kpi.upkeep_metrics(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    expired record := iot_kpi.expired_metrics();
    begun constant timestamptz := (place ->> 'day')::timestamptz;
    -- A changed retention may have put another day in front meanwhile, which has to be calculated first.
    goes_on constant boolean := coalesce(begun <= coalesce(expired.day, 'infinity'), false);
    since constant text := CASE WHEN goes_on THEN coalesce(place ->> 'from', '') ELSE '' END;
    deleting constant boolean := goes_on AND place ? 'deleting';
    chosen text[];
BEGIN
    IF goes_on THEN
        -- The last of a day's samples may be gone before its end is noted. What a changed retention keeps after all stays.
        expired.day := begun;
        expired.metrics := ARRAY(SELECT t.metric FROM iot.metric_types t
                                 WHERE place -> 'metrics' ? t.metric AND begun + interval '24 hours' <= now() - iot_kpi.exact(t.retention));
    ELSIF expired.day IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT d.device_id FROM iot.devices d WHERE d.device_id > since
          ORDER BY d.device_id LIMIT iot_kpi.setting('upkeep_batch')::integer) c;
    IF chosen IS NULL AND NOT deleting THEN
        RETURN place - 'from' || jsonb_build_object('day', expired.day, 'metrics', expired.metrics, 'deleting', true);
    ELSIF chosen IS NULL THEN
        UPDATE iot.metric_types t SET expired_until = expired.day + interval '24 hours' WHERE t.metric = ANY (expired.metrics);
        RETURN place - 'from' - 'day' - 'metrics' - 'deleting';
    ELSIF NOT deleting THEN
        -- All devices first, then the samples: a device's calculation also reads its collector's. And the day after, into which the
        -- last beats of this one reach.
        IF iot_kpi.setting('calculations') = 'on'
           AND NOT (iot_kpi.try_calculation(expired.day, chosen) AND iot_kpi.try_calculation(expired.day + interval '24 hours', chosen)) THEN
            RETURN NULL;
        END IF;
    ELSE
        IF iot_kpi.delete_expired_samples(expired.day, chosen, expired.metrics) THEN
            UPDATE iot.settings s
            SET value = to_char(greatest(s.value::timestamptz, expired.day + interval '24 hours' + iot_kpi.look_back(NULL)) AT TIME ZONE 'UTC',
                                'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            WHERE s.name = 'evidence_from';
        END IF;
    END IF;
    RETURN place - CASE WHEN deleting THEN '' ELSE 'deleting' END
        || jsonb_build_object('day', expired.day, 'metrics', expired.metrics, 'from', chosen[cardinality(chosen)]);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_metrics(jsonb) IS
    'Part of upkeep_retention(): a day that is beyond the retention of some metrics. Calculated for all devices, then their samples are deleted';

CREATE FUNCTION iot_kpi.upkeep_rows(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from constant timestamptz := coalesce((place ->> 'before')::timestamptz, date_trunc('day', iot_kpi.retained_from(), 'UTC'));
    -- About eight megabytes. By block, since no index has rows by time alone.
    blocks constant bigint := 1000;
    block constant bigint := coalesce((place ->> 'block')::bigint, 0);
    chosen text;
    deleted bigint;
BEGIN
    IF kept_from IS NOT NULL AND kept_from > coalesce((SELECT u.deleted_until FROM iot.upkeep u WHERE u.step = 'retention'), '-infinity') THEN
        SELECT min(p::text COLLATE "C") INTO chosen FROM iot_kpi.partly_expired(kept_from) p
        WHERE CASE WHEN NOT place ? 'table' THEN true WHEN block > 0 THEN p::text COLLATE "C" >= place ->> 'table'
                   ELSE p::text COLLATE "C" > place ->> 'table' END;
        IF chosen IS NOT NULL THEN
            EXECUTE format('DELETE FROM %s WHERE ctid >= $1 AND ctid < $2 AND "time" < $3', chosen)
            USING format('(%s,0)', block)::tid, format('(%s,0)', block + blocks)::tid, kept_from;
            GET DIAGNOSTICS deleted = ROW_COUNT;
            IF deleted > 0 THEN
                PERFORM iot_kpi.samples_gone(kept_from);
            END IF;
            RETURN place || jsonb_build_object('before', kept_from, 'table', chosen, 'block',
                CASE WHEN (block + blocks) * current_setting('block_size')::bigint < pg_relation_size(chosen::regclass) THEN block + blocks ELSE 0 END);
        END IF;
        INSERT INTO iot.upkeep AS u (step, deleted_until) VALUES ('retention', kept_from)
        ON CONFLICT (step) DO UPDATE SET deleted_until = excluded.deleted_until;
    END IF;
    RETURN place - 'before' - 'table' - 'block' || '{"part": "metrics"}';
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_rows(jsonb) IS
    'Part of upkeep_retention(): a piece of a partition of more than a day, of which days have expired. Once a day all of it is looked at';

CREATE FUNCTION iot_kpi.upkeep_retention(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expired record;
BEGIN
    IF place ->> 'part' = 'metrics' THEN
        RETURN iot_kpi.upkeep_metrics(place);
    ELSIF place ->> 'part' = 'rows' THEN
        RETURN iot_kpi.upkeep_rows(place);
    END IF;
    SELECT * INTO expired FROM iot_kpi.expired_partitions() LIMIT 1;
    IF FOUND AND NOT place ? 'in_use' THEN
        BEGIN
            PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
            PERFORM iot_kpi.drop_partition(expired.partition, expired.of_days, expired.until);
            RETURN place;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- A long report reads the table. The next run tries again.
            RETURN place || '{"in_use": true}';
        END;
    ELSIF iot_kpi.delete_expired_statuses(iot_kpi.setting('upkeep_batch')::bigint * 100) > 0 THEN
        RETURN place;
    END IF;
    RETURN place || '{"part": "rows"}';
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_retention(jsonb) IS
    'Step of upkeep: drops an expired partition, then deletes expired status samples, then expired samples of years, then those of metrics with a retention of their own';

-- The run ----------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.upkeep(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- Whoever waits for a lock makes others wait behind it.
SET lock_timeout = '100ms'
AS $$
DECLARE
    steps constant text[] := ARRAY['partitions', 'deadlines', 'calculations', 'retention'];
    step constant text := place ->> 'step';
    run_by constant text := coalesce(place ->> 'by', 'session');
    further jsonb;
    fault text;
BEGIN
    IF step IS NULL OR step <> ALL (steps) THEN
        RAISE EXCEPTION 'upkeep cannot go on from %', place
            USING ERRCODE = 'invalid_parameter_value', HINT = 'CALL iot_kpi.maintain() does all of it.';
    ELSIF NOT iot_kpi.owns_store() THEN
        IF NOT coalesce(has_function_privilege(to_regprocedure('iot.upkeep_as_owner(jsonb)'), 'EXECUTE'), false) THEN
            RAISE EXCEPTION 'role % may not do the upkeep of this store', quote_ident(current_user)
                USING ERRCODE = 'insufficient_privilege',
                      HINT = format('As its owner: SELECT iot_kpi.grant_admin(%L);', current_user);
        END IF;
        RETURN iot.upkeep_as_owner(place);
    ELSIF to_regclass('iot.upkeep') IS NULL THEN
        RAISE EXCEPTION 'the store is of an older version'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Bring it up to date: SELECT iot_kpi.create_store();';
    ELSIF NOT pg_try_advisory_xact_lock(iot_kpi.upkeep_lock()) THEN
        RAISE NOTICE 'another session is at the upkeep of this store';
        RETURN NULL;
    END IF;

    IF NOT place ? 'since' THEN
        INSERT INTO iot.upkeep AS u (step, started_at, run_by) VALUES ('run', now(), run_by)
        ON CONFLICT ON CONSTRAINT upkeep_pkey DO UPDATE SET started_at = excluded.started_at, run_by = excluded.run_by;
    END IF;
    BEGIN
        further := CASE step
            WHEN 'partitions' THEN iot_kpi.upkeep_partitions(place)
            WHEN 'deadlines' THEN iot_kpi.upkeep_deadlines(place)
            WHEN 'calculations' THEN iot_kpi.upkeep_calculations(place)
            WHEN 'retention' THEN iot_kpi.upkeep_retention(place)
        END;
    EXCEPTION WHEN OTHERS THEN
        -- A step that fails hides none of the others.
        fault := format('%s (%s)', SQLERRM, SQLSTATE);
        RAISE WARNING 'upkeep: % failed: %', step, fault;
    END;
    IF further IS NOT NULL THEN
        further := further || jsonb_build_object('since', coalesce(place ->> 'since', now()::text));
        UPDATE iot.upkeep u SET place = further WHERE u.step = 'run';
        RETURN further;
    END IF;

    INSERT INTO iot.upkeep AS u (step, finished_at, run_by, error, error_at)
    VALUES (step, CASE WHEN fault IS NULL THEN clock_timestamp() END, run_by, fault, CASE WHEN fault IS NOT NULL THEN clock_timestamp() END)
    ON CONFLICT ON CONSTRAINT upkeep_pkey DO UPDATE
        SET finished_at = coalesce(excluded.finished_at, u.finished_at), run_by = excluded.run_by,
            error = coalesce(excluded.error, u.error), error_at = coalesce(excluded.error_at, u.error_at);
    IF step <> steps[cardinality(steps)] THEN
        further := jsonb_build_object('step', steps[array_position(steps, step) + 1], 'by', run_by, 'since', coalesce(place ->> 'since', now()::text));
    END IF;
    UPDATE iot.upkeep u
    SET place = further, finished_at = CASE WHEN further IS NULL THEN clock_timestamp() ELSE u.finished_at END
    WHERE u.step = 'run';
    RETURN further;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep(jsonb) IS
    'One small transaction of upkeep: does a piece of the step that the place names, and returns the place to go on from, NULL at the end. An error is noted in iot.upkeep, and the next step goes on';

CREATE FUNCTION iot_kpi.upkeep_fault() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT string_agg(format('%s: %s', u.step, u.error), '; ' ORDER BY u.error_at)
            FROM iot.upkeep u JOIN iot.upkeep r ON r.step = 'run' AND u.error_at >= r.started_at);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_fault() IS 'What went wrong in the last run of upkeep; NULL where nothing did';

CREATE PROCEDURE iot_kpi.maintain()
    -- A procedure that commits cannot fix its search_path: so nothing here is looked up by it.
    LANGUAGE plpgsql AS $$
DECLARE
    place pg_catalog.jsonb := '{"step": "partitions", "by": "session"}';
    fault pg_catalog.text;
BEGIN
    PERFORM iot_kpi.require_store();
    WHILE place IS NOT NULL LOOP
        place := iot_kpi.upkeep(place);
        COMMIT;
    END LOOP;
    fault := iot_kpi.upkeep_fault();
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'upkeep is not complete: %', fault
            USING HINT = 'All other steps are done. SELECT * FROM iot_kpi.health();';
    END IF;
END $$;
COMMENT ON PROCEDURE iot_kpi.maintain() IS
    'Upkeep, for cron: partitions ahead, missed deadlines, calculations, retention, in small transactions. What the background worker does';
