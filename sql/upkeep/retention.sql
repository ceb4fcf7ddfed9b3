-- What has expired goes: partitions as a whole; statuses; rows of the years, by block; and samples of metrics that are kept for a
-- shorter time than all, once all KPIs of their day are calculated.

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
