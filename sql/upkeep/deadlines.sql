-- Deadlines. A device that is required to work and is silent for longer than its liveness has missed its deadline. Upkeep records
-- that once, as a row of iot.device_status_history, and once that it reports again, and tells whoever listens.
--
-- These rows are a journal and no evidence: a report by beats knows better, and one by status tells what the device itself said. By
-- recorded_by reports and triggers leave them out.

CREATE FUNCTION iot_kpi.deadlines_of(device_ids text[]) RETURNS TABLE (
    device_id text, last_beat timestamptz, liveness interval, deadline timestamptz, silent_since timestamptz,
    missed boolean, returned boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT d.device_id, l.last_beat, k.liveness, due.deadline, l.silent_since,
           -- As reports judge it: while nobody looks nobody knows, and whoever is back from maintenance or from an outage of its collector
           -- has its time.
           coalesce(due.deadline <= now(), false) AND l.silent_since IS NULL AND c.class = 'down'
               -- What came within the liveness tells that it is alive, though by a slow clock or a batch it came late.
               AND NOT EXISTS (
                   SELECT FROM iot.metric_types t JOIN iot.device_metrics s
                       ON s.device_id = d.device_id AND s.metric = t.metric AND s."time" = l.last_beat
                   WHERE s.received_at > now() - k.liveness AND iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric)),
           coalesce(due.deadline > l.silent_since, false)
    FROM iot.devices d
    JOIN iot_kpi.devices_before(device_ids, now(), now(), now()) k ON k.device_id = d.device_id
    JOIN iot_kpi.classes_at(device_ids, now()) c ON c.device_id = d.device_id
    LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
    -- One that was never seen has its time from when it went into service. Of what a collector did not look at yet nobody knows that it will not.
    CROSS JOIN LATERAL (SELECT iot_kpi.down_from(coalesce(greatest(l.last_beat, d.commissioned_at), d.created_at), k.liveness, k.excluded,
                                                 k.unknown * tstzmultirange(tstzrange(NULL, coalesce(k.seen_until, now()))))) AS due (deadline)
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids);
END
$$;
COMMENT ON FUNCTION iot_kpi.deadlines_of(text[]) IS 'What deadlines() says, of some devices; NULL: of all';

CREATE FUNCTION iot_kpi.deadlines() RETURNS TABLE (
    device_id text, last_beat timestamptz, liveness interval, deadline timestamptz, silent_since timestamptz,
    missed boolean, returned boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT t.* FROM iot_kpi.deadlines_of(NULL) t;
END
$$;
COMMENT ON FUNCTION iot_kpi.deadlines() IS
    'By when each device has to report, whether it has missed that and upkeep has not recorded it yet, and whether one recorded as silent has reported since';

CREATE FUNCTION iot_kpi.announce(events jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Anybody may listen: where not everybody may see every device, only that something happened is told.
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = to_regclass('iot.devices')) THEN
        events := jsonb_build_array(jsonb_build_object('event', 'changed', 'devices', jsonb_array_length(events), 'at', clock_timestamp()));
    END IF;
    -- An id has at most 255 characters, of at most six bytes each in JSON: far below the 8000 bytes of a payload.
    PERFORM pg_notify('iot_kpi_deadlines', e::text) FROM jsonb_array_elements(events) e;
END
$$;
COMMENT ON FUNCTION iot_kpi.announce(jsonb) IS 'NOTIFY iot_kpi_deadlines, a payload for each event';

CREATE FUNCTION iot_kpi.upkeep_deadlines(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since constant text := coalesce(place ->> 'from', '');
    batch constant integer := iot_kpi.setting('upkeep_batch')::integer;
    -- Few of them are late: many can be looked at for one that has to be written.
    to_look_at constant integer := 20 * batch;
    looked_at text[];
    chosen text[];
    free text[];
    events jsonb;
    further jsonb;
BEGIN
    IF iot_kpi.setting('deadlines') = 'off' THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO looked_at
    FROM (SELECT d.device_id FROM iot.devices d WHERE d.device_id > since ORDER BY d.device_id LIMIT to_look_at) c;
    SELECT array_agg(c.device_id ORDER BY c.device_id) INTO chosen
    FROM (SELECT t.device_id COLLATE "C" AS device_id FROM iot_kpi.deadlines_of(looked_at) t
          WHERE looked_at IS NOT NULL AND (t.missed OR t.returned) ORDER BY 1 LIMIT batch) c;
    IF cardinality(chosen) = batch THEN
        further := place || jsonb_build_object('from', chosen[batch]);
    ELSIF cardinality(looked_at) = to_look_at THEN
        further := place || jsonb_build_object('from', looked_at[to_look_at]);
    END IF;
    IF chosen IS NULL THEN
        RETURN further;
    END IF;
    -- The row is the lock between writers and upkeep too. One whose row is taken is being written, and has its turn in the next run.
    INSERT INTO iot.device_liveness (device_id) SELECT u.id FROM unnest(chosen) u (id) WHERE NOT EXISTS (
        SELECT FROM iot.device_liveness l WHERE l.device_id = u.id) ON CONFLICT DO NOTHING;
    SELECT array_agg(l.device_id) INTO free
    FROM (SELECT x.device_id FROM iot.device_liveness x WHERE x.device_id = ANY (chosen) ORDER BY x.device_id
          FOR NO KEY UPDATE SKIP LOCKED) l;

    -- Looked at again, now that nobody can write them.
    WITH judged AS MATERIALIZED (
        SELECT t.*,
               -- A microsecond later: at the very instant there may be a sample of the device's own.
               CASE WHEN t.missed THEN t.deadline ELSE greatest(t.silent_since + interval '1 microsecond', (
                   SELECT min(m."time") FROM iot.device_metrics m JOIN iot.devices d ON d.device_id = t.device_id
                   WHERE m.device_id = t.device_id AND m."time" > t.silent_since - t.liveness
                     AND iot_kpi.is_beat(m.metric, m.value, d.heartbeat_metric))) END + interval '1 microsecond' AS "time"
        FROM iot_kpi.deadlines_of(free) t
        WHERE free IS NOT NULL AND (t.missed OR t.returned)
    ), noted AS (
        UPDATE iot.device_liveness l SET silent_since = CASE WHEN j.missed THEN j.deadline END
        FROM judged j WHERE l.device_id = j.device_id
    ), told AS (
        INSERT INTO iot.device_status_history (device_id, "time", status, recorded_by, reason)
        SELECT j.device_id, j."time", CASE WHEN j.missed THEN 'offline' ELSE 'online' END, 'upkeep',
               CASE WHEN NOT j.missed THEN 'iot_kpi: reports again'
                    WHEN j.last_beat IS NULL THEN format('iot_kpi: deadline missed, never seen within %s', j.liveness)
                    ELSE format('iot_kpi: deadline missed, no beat for %s since %s', j.liveness, j.last_beat) END
        FROM judged j
        -- In service anew, but no sign of it yet: neither the one nor the other.
        WHERE j.missed OR j.last_beat + j.liveness > j.silent_since
        ON CONFLICT DO NOTHING
    )
    SELECT jsonb_agg(jsonb_build_object('event', CASE WHEN j.missed THEN 'offline' ELSE 'online' END, 'device_id', j.device_id,
                                        'time', j."time", 'last_beat', j.last_beat, 'liveness', j.liveness::text) ORDER BY j.device_id)
    INTO events
    FROM judged j WHERE j.missed OR j.last_beat + j.liveness > j.silent_since;
    PERFORM iot_kpi.announce(events);
    RETURN further;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_deadlines(jsonb) IS
    'Step of upkeep: records missed deadlines, and returns from silence, of some devices in iot.device_status_history, and announces them';
