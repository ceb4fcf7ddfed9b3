-- What every write to the store goes through, by whichever door. A write takes its locks in one order: the samples' keys, then new
-- metric types, devices, device_liveness, kpi_calculations, each in key order. So writers wait for one another but never in a circle.
--
-- Triggers act as the owner of the store, whoever writes; see rights/authority.sql.
--
-- The row of device_liveness is the lock between writers and calculate_kpis(). A calculation locks it before it reads; a writer locks
-- it after it wrote and before it looks for rows of kpi_calculations to mark stale. Whoever comes second sees what the first one did.

-- The rules of a sample ------------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.sample_fault(
    device_id text, device_known boolean, "time" timestamptz, earliest timestamptz, latest timestamptz)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE
    WHEN device_id IS NULL THEN ARRAY['device_id', 'device_id is null', 'Name the device.']
    WHEN device_id = '' THEN ARRAY['device_id', 'device_id is empty', 'Name the device.']
    WHEN pg_catalog.length(device_id) > 255 THEN ARRAY['device_id', 'device_id is longer than 255 characters', 'Use a shorter id.']
    WHEN "time" IS NULL THEN ARRAY['time', 'time is null', 'Send the time of the measurement.']
    WHEN NOT pg_catalog.isfinite("time") THEN ARRAY['time', 'time is infinite', 'Send the time of the measurement.']
    WHEN "time" < earliest THEN ARRAY['time', 'time is older than what is kept, ' || earliest::text,
                                      'See the settings retention and earliest_time in iot.settings.']
    WHEN "time" > latest THEN ARRAY['time', 'time is in the future, after ' || latest::text,
                                    'Set the device''s clock, or see the setting clock_skew in iot.settings.']
    WHEN NOT device_known THEN ARRAY['device_id', 'unknown device', 'INSERT INTO iot.devices first, or set unknown_devices in iot.settings to register.']
END;
END;
COMMENT ON FUNCTION iot_kpi.sample_fault(text, boolean, timestamptz, timestamptz, timestamptz) IS
    'What is wrong with the device and time of a sample: {field, reason, remedy}, or NULL. A NULL earliest or latest is no limit';

CREATE FUNCTION iot_kpi.clock_fault() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['time', 'time is in the future, and too long before the latest of its device', 'Set the device''s clock.'];
COMMENT ON FUNCTION iot_kpi.clock_fault() IS
    'What is wrong with a time that is ahead and, as far before the latest of its device as it is, lies before what is kept: {field, reason, remedy}';

CREATE FUNCTION iot_kpi.value_fault(metric text, kind text, minimum float8, maximum float8, value float8)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE
    WHEN metric IS NULL THEN ARRAY['metric', 'metric is null', 'Name the metric.']
    WHEN metric = '' THEN ARRAY['metric', 'metric is empty', 'Name the metric.']
    WHEN pg_catalog.length(metric) > 255 THEN ARRAY['metric', 'metric is longer than 255 characters', 'Use a shorter name.']
    WHEN kind IS NULL THEN ARRAY['metric', 'unknown metric', 'INSERT INTO iot.metric_types first, or set unknown_metrics in iot.settings to register.']
    WHEN value IS NULL THEN ARRAY['value', 'value is null', 'Leave the sample out when there is no value.']
    -- NaN sorts above infinity.
    WHEN NOT (value > '-infinity' AND value < 'infinity') THEN ARRAY['value', 'value is not a finite number', 'Leave the sample out when there is no value.']
    WHEN value < minimum THEN ARRAY['value', 'value is below the minimum ' || minimum::text, 'See iot.metric_types.']
    WHEN value > maximum THEN ARRAY['value', 'value is above the maximum ' || maximum::text, 'See iot.metric_types.']
END;
END;
COMMENT ON FUNCTION iot_kpi.value_fault(text, text, float8, float8, float8) IS
    'What is wrong with the metric and value of a sample: {field, reason, remedy}, or NULL. A NULL kind: the metric is not registered';

CREATE FUNCTION iot_kpi.status_fault(status text, reason text)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE
    WHEN status IS NULL THEN ARRAY['status', 'status is null', 'Use online, degraded, offline, error, maintenance or unknown.']
    WHEN status NOT IN ('online', 'degraded', 'offline', 'error', 'maintenance', 'unknown')
        THEN ARRAY['status', 'unknown status', 'Use online, degraded, offline, error, maintenance or unknown.']
    WHEN pg_catalog.length(reason) > 1000 THEN ARRAY['reason', 'reason is longer than 1000 characters', 'Shorten it.']
END;
END;
COMMENT ON FUNCTION iot_kpi.status_fault(text, text) IS
    'What is wrong with the status of a sample: {field, reason, remedy}, or NULL';

CREATE FUNCTION iot_kpi.abbreviated(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE WHEN pg_catalog.length(value) > 100 THEN pg_catalog.left(value, 100) || '…' ELSE value END;
END;
COMMENT ON FUNCTION iot_kpi.abbreviated(text) IS 'A value as messages show it, at most 100 characters';

CREATE FUNCTION iot_kpi.refuse_sample(relation text, "row" bigint, device_id text, "time" timestamptz, what text, fault text[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of device % at % in %: %', what, quote_nullable(iot_kpi.abbreviated(device_id)), coalesce("time"::text, 'NULL'), relation, fault[2]
        USING ERRCODE = CASE WHEN fault[2] LIKE 'unknown %' THEN 'foreign_key_violation'
                             WHEN fault[1] = 'time' THEN 'datetime_field_overflow'
                             ELSE 'check_violation' END,
              DETAIL = format('It is row %s of the statement. No row of it was stored.', "row"),
              HINT = fault[3] || ' Or use iot_kpi.ingest_metrics() or ingest_status(), which keep the good rows.';
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_sample(text, bigint, text, timestamptz, text, text[]) IS 'Raises the error of the strict door for a bad row';

-- Locks, marks and liveness --------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.lock_liveness(device_ids text[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
-- DO UPDATE locks every row, also those that its WHERE leaves as they are.
INSERT INTO iot.device_liveness AS l (device_id)
SELECT d.device_id FROM iot.devices d
WHERE device_ids IS NULL OR d.device_id = ANY (device_ids)
ORDER BY d.device_id
ON CONFLICT (device_id) DO UPDATE SET last_measured = l.last_measured WHERE false
$$;
COMMENT ON FUNCTION iot_kpi.lock_liveness(text[]) IS
    'Locks the device_liveness rows of devices (NULL: all) in key order until the transaction ends, making those that are missing';

CREATE FUNCTION iot_kpi.lock_for_calculation(device_ids text[], until timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF row_security_active('iot.devices') THEN
        RAISE EXCEPTION 'row security hides devices from role %: it cannot calculate what their collectors decide', quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege', HINT = 'CALL iot_kpi.maintain() calculates for all, as the owner of the store.';
    END IF;
    -- Their collectors too: a calculation also reads the collectors' beats.
    INSERT INTO iot.device_liveness AS l (device_id, calculated_at, calculated_until)
    -- A beat of a collector says something of the time before it.
    SELECT d.device_id, now(), until + iot_kpi.look_back(d.liveness, d.expected_interval) FROM iot.devices d
    WHERE device_ids IS NULL OR d.device_id = ANY (device_ids)
       OR d.device_id IN (SELECT o.collector_id FROM iot.devices o WHERE o.device_id = ANY (device_ids))
    ORDER BY d.device_id
    ON CONFLICT ON CONSTRAINT device_liveness_pkey DO UPDATE
        SET calculated_at = excluded.calculated_at, calculated_until = greatest(l.calculated_until, excluded.calculated_until);
END
$$;
COMMENT ON FUNCTION iot_kpi.lock_for_calculation(text[], timestamptz) IS
    'First step of a calculation: locks devices (NULL: all) and their collectors against writers, and notes that periods up to an instant depend on them. Read the evidence in a later statement';

CREATE FUNCTION iot_kpi.is_beat(metric text, value double precision, heartbeat_metric text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (heartbeat_metric IS NULL OR metric = heartbeat_metric)
           AND CASE metric WHEN 'error' THEN value = 0 WHEN 'heartbeat' THEN value <> 0 ELSE true END;
COMMENT ON FUNCTION iot_kpi.is_beat(text, double precision, text) IS
    'whether a sample proves a device alive: one of its heartbeat metric (NULL: of any), but no failed communication and no heartbeat of 0';

CREATE FUNCTION iot_kpi.look_back(liveness interval, expected_interval interval) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- Seconds, not days: a day of an interval is 23 or 25 hours long where clocks change.
    RETURN make_interval(secs => extract(epoch FROM greatest(coalesce(liveness, expected_interval * 3), expected_interval * 1.5))::float8);
COMMENT ON FUNCTION iot_kpi.look_back(interval, interval) IS 'how far from a beat it matters by itself, by a device''s settings';

CREATE FUNCTION iot_kpi.bears_upon_until(device_id text, heartbeat_metric text, collector_id text, last timestamptz, reach interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_variable
BEGIN
    -- Where all time after it was required and observed a silence is heard out by then.
    IF NOT isfinite(last) OR collector_id IS NULL AND NOT EXISTS (
           SELECT FROM iot.maintenance_windows w
           WHERE w.period && tstzrange(last, last + reach, '[]') AND (w.device_id IS NULL OR w.device_id = bears_upon_until.device_id)) THEN
        RETURN last + reach;
    END IF;
    RETURN greatest(last + reach, coalesce((
        SELECT min(m."time")
        FROM iot.metric_types t, LATERAL (
            SELECT s."time" FROM iot.device_metrics s
            WHERE s.device_id = bears_upon_until.device_id AND s.metric = t.metric AND s."time" > last
              AND iot_kpi.is_beat(s.metric, s.value, heartbeat_metric)
            ORDER BY s."time" LIMIT 1) m
        WHERE heartbeat_metric IS NULL OR t.metric = heartbeat_metric), 'infinity'));
END
$$;
COMMENT ON FUNCTION iot_kpi.bears_upon_until(text, text, text, timestamptz, interval) IS
    'Up to when a change until an instant bears upon a device''s KPIs: as far as a beat proves anything, and where time after it may not count, until the next beat';

CREATE FUNCTION iot_kpi.mark_stale(device_ids text[], firsts timestamptz[], lasts timestamptz[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
-- A beat reaches past itself: as far as it proves anything, and up to the next one what it says of the silence after it. What a
-- collector sends decides what is known of its devices, also of the time since its beat before.
WITH changed AS (
    SELECT s.device_id, s.first, s.last, d.collector_id, r.reach, iot_kpi.bears_upon_until(d.device_id, d.heartbeat_metric, d.collector_id, s.last, r.reach) AS until
    FROM unnest(device_ids, firsts, lasts) s (device_id, first, last) JOIN iot.devices d USING (device_id),
         LATERAL (SELECT iot_kpi.look_back(d.liveness, d.expected_interval)) r (reach)
), affected AS (
    SELECT c.device_id, c.first, c.until FROM changed c
    UNION ALL
    SELECT o.device_id, c.first - c.reach,
           iot_kpi.bears_upon_until(o.device_id, o.heartbeat_metric, o.collector_id, c.last + c.reach,
                                    iot_kpi.look_back(o.liveness, o.expected_interval))
    FROM changed c JOIN iot.devices o ON o.collector_id = c.device_id
), marked AS (
    -- In key order: an observer's writer and one of a device it observes meet on the same rows.
    SELECT k.device_id, k.grain, k.period
    FROM iot.kpi_calculations k JOIN affected a ON k.device_id = a.device_id
    WHERE NOT k.stale AND k.grain IN ('hour', 'day')
      -- For the index: no period is longer than 25 hours, and ranges sort by their start.
      AND k.period > tstzrange(a.first - interval '26 hours', a.first - interval '26 hours', '[]') AND k.period < tstzrange(a.until, NULL)
      -- What lies exactly at its end bears upon a period too.
      AND upper(k.period) >= a.first
      AND lower(k.period) >= (SELECT iot_kpi.kept_from())
    ORDER BY k.device_id, k.grain, k.period
    FOR NO KEY UPDATE OF k
)
UPDATE iot.kpi_calculations k SET stale = true
FROM marked m
WHERE k.device_id = m.device_id AND k.grain = m.grain AND k.period = m.period AND NOT k.stale
$$;
COMMENT ON FUNCTION iot_kpi.mark_stale(text[], timestamptz[], timestamptz[]) IS
    'Marks the calculations stale that samples of devices between two instants bear upon; -infinity and infinity are allowed. Lock the devices first';

CREATE FUNCTION iot_kpi.recount_liveness(device_ids text[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
UPDATE iot.device_liveness l
SET last_measured = m.last_measured, last_received = m.last_received, last_beat = m.last_beat
FROM iot.devices d, LATERAL (
    SELECT max(s."time") AS last_measured, max(s.received_at) AS last_received,
           max(s."time") FILTER (WHERE iot_kpi.is_beat(s.metric, s.value, d.heartbeat_metric)) AS last_beat
    FROM iot.device_metrics s WHERE s.device_id = d.device_id) m
WHERE l.device_id = d.device_id AND d.device_id = ANY (device_ids)
$$;
COMMENT ON FUNCTION iot_kpi.recount_liveness(text[]) IS
    'Finds the latest metric samples of devices anew, by reading all of them. Lock the devices first';

CREATE FUNCTION iot_kpi.register_devices(device_ids text[], firsts timestamptz[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO iot.devices AS d (device_id, name, registered_by, commissioned_at)
SELECT s.device_id, s.device_id, 'first_sample', s.first
FROM unnest(device_ids, firsts) s (device_id, first)
ORDER BY s.device_id COLLATE "C"
ON CONFLICT (device_id) DO UPDATE SET commissioned_at = excluded.commissioned_at
    WHERE d.registered_by = 'first_sample' AND (d.commissioned_at > excluded.commissioned_at) IS NOT FALSE
$$;
COMMENT ON FUNCTION iot_kpi.register_devices(text[], timestamptz[]) IS
    'Registers devices on first sight, commissioned at their earliest sample; an older sample of such a device moves that back';

CREATE FUNCTION iot_kpi.lock_first_samples(device_ids text[], firsts timestamptz[]) RETURNS text[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
SELECT array_agg(l.device_id)
FROM (SELECT d.device_id FROM iot.devices d JOIN unnest(device_ids, firsts) s (device_id, first) ON d.device_id = s.device_id
      WHERE d.registered_by = 'first_sample' AND d.commissioned_at >= s.first
      ORDER BY d.device_id FOR NO KEY UPDATE OF d) l
$$;
COMMENT ON FUNCTION iot_kpi.lock_first_samples(text[], timestamptz[]) IS
    'Of devices that lost samples, the earliest at an instant each: those that were commissioned by such a one, locked in key order; NULL where there is none';

CREATE FUNCTION iot_kpi.commission_anew(device_ids text[]) RETURNS text[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
WITH moved AS (
    -- One that had been taken out of service by then never was in it.
    UPDATE iot.devices d SET commissioned_at = CASE WHEN e.first IS NOT NULL THEN least(e.first, d.decommissioned_at) END
    FROM iot.devices o, LATERAL (SELECT least(
        -- Metric by metric, since the key has them so.
        (SELECT min(m."time") FROM iot.metric_types t, LATERAL (
             SELECT s."time" FROM iot.device_metrics s WHERE s.device_id = o.device_id AND s.metric = t.metric
             ORDER BY s."time" LIMIT 1) m),
        (SELECT min(h."time") FROM iot.device_status_history h WHERE h.device_id = o.device_id AND h.recorded_by IS NULL)) AS first) e
    WHERE d.device_id = o.device_id AND o.device_id = ANY (device_ids) AND o.registered_by = 'first_sample'
      AND d.commissioned_at IS DISTINCT FROM e.first
    RETURNING d.device_id)
SELECT array_agg(device_id) FROM moved
$$;
COMMENT ON FUNCTION iot_kpi.commission_anew(text[]) IS
    'Commissions devices that were registered on first sight at the earliest sample that stands; where none does, they wait for one. Returns whom that moved. Lock them first';

CREATE FUNCTION iot_kpi.catch_up() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    device_ids text[];
    firsts timestamptz[];
BEGIN
    -- Anybody else would see, and mark, a part of it.
    PERFORM iot_kpi.require_owner('what was written without triggers is caught up on by create_store()');
    SELECT array_agg(s.device_id ORDER BY s.device_id), array_agg(s.first ORDER BY s.device_id) INTO device_ids, firsts
    FROM (SELECT m.device_id, min(m.first) AS first
          FROM (SELECT x.device_id, min(x.time) AS first FROM iot.device_metrics x GROUP BY x.device_id
                UNION ALL SELECT h.device_id, min(h.time) FROM iot.device_status_history h WHERE h.recorded_by IS NULL GROUP BY h.device_id) m
          WHERE NOT EXISTS (SELECT FROM iot.devices d WHERE d.device_id = m.device_id)
          GROUP BY m.device_id) s;
    IF device_ids IS NOT NULL THEN
        PERFORM iot_kpi.register_devices(device_ids, firsts);
    END IF;
    PERFORM iot_kpi.lock_liveness(NULL);
    PERFORM iot_kpi.recount_liveness((SELECT array_agg(d.device_id) FROM iot.devices d));
    UPDATE iot.kpi_calculations SET stale = true WHERE NOT stale AND lower(period) >= iot_kpi.kept_from();
END
$$;
COMMENT ON FUNCTION iot_kpi.catch_up() IS
    'Does what the triggers would have done, for all that was written while the store had none';

-- Triggers of device_metrics -------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.metrics_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- A plan fit for one row must not serve a batch of thousands, nor the other way round.
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    earliest constant timestamptz := iot_kpi.earliest_sample();
    -- A COPY may run for hours, so not now().
    latest constant timestamptz := clock_timestamp() + iot_kpi.duration('clock_skew');
    register_device constant boolean := iot_kpi.setting('unknown_devices') = 'register';
    unlisted_kind constant text := CASE iot_kpi.setting('unknown_metrics') WHEN 'register' THEN 'gauge' END;
    changed record;
    old record;
    calculated timestamptz;
    recount text[];
    -- Devices registered on first sight whose first sample is another one now.
    moved text[];
    early timestamptz[];
BEGIN
    IF TG_OP <> 'DELETE' THEN
        SELECT array_agg(device_id) AS device_ids, array_agg(first) AS firsts, array_agg(last) AS lasts, array_agg(beat) AS beats,
               array_agg(received) AS received, array_agg(heartbeat_metric) AS heartbeat_metrics,
               -- An older first sample moves commissioned_at, and an increase of a counter may show in any later period.
               array_agg(CASE WHEN has_counter OR is_first THEN 'infinity' ELSE last END) AS untils,
               bool_or(bad) AS bad, bool_or(unlisted) AS unlisted,
               array_agg(device_id) FILTER (WHERE is_first) AS new_ids, array_agg(first) FILTER (WHERE is_first) AS new_firsts
        INTO changed
        FROM (SELECT n.device_id, min(n."time") AS first, max(n."time") AS last, max(n.received_at) AS received,
                     max(n."time") FILTER (WHERE iot_kpi.is_beat(n.metric, n.value, d.heartbeat_metric)) AS beat,
                     max(d.heartbeat_metric) AS heartbeat_metric,
                     bool_or(t.kind = 'counter') IS TRUE AS has_counter, bool_or(t.metric IS NULL) AS unlisted,
                     bool_or(d.device_id IS NULL OR d.registered_by = 'first_sample' AND (n."time" < d.commissioned_at) IS NOT FALSE) AS is_first,
                     bool_or(iot_kpi.sample_fault(n.device_id, register_device OR d.device_id IS NOT NULL, n."time", earliest, latest) IS NOT NULL
                             OR iot_kpi.value_fault(n.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, n.value) IS NOT NULL) AS bad
              FROM new_rows n LEFT JOIN iot.metric_types t ON t.metric = n.metric LEFT JOIN iot.devices d ON d.device_id = n.device_id
              GROUP BY n.device_id ORDER BY n.device_id) a;
        IF changed.bad THEN
            PERFORM iot_kpi.refuse_sample('iot.device_metrics', position, device_id, "time", format('sample %s = %s', metric, value), fault)
            FROM (SELECT n.*, coalesce(
                      iot_kpi.sample_fault(n.device_id, register_device OR d.device_id IS NOT NULL, n."time", earliest, latest),
                      iot_kpi.value_fault(n.metric, coalesce(t.kind, unlisted_kind), t.minimum, t.maximum, n.value)) AS fault
                  FROM (SELECT *, row_number() OVER () AS position FROM new_rows) n
                       LEFT JOIN iot.metric_types t ON t.metric = n.metric LEFT JOIN iot.devices d ON d.device_id = n.device_id) f
            WHERE fault IS NOT NULL ORDER BY position LIMIT 1;
        END IF;
        IF changed.unlisted THEN
            INSERT INTO iot.metric_types (metric) SELECT DISTINCT metric FROM new_rows ORDER BY metric ON CONFLICT DO NOTHING;
        END IF;
        IF changed.new_ids IS NOT NULL THEN
            PERFORM iot_kpi.register_devices(changed.new_ids, changed.new_firsts);
        END IF;
    END IF;

    IF TG_OP = 'INSERT' THEN
        WITH locked AS (
            INSERT INTO iot.device_liveness AS l (device_id, last_measured, last_received, last_beat)
            SELECT * FROM unnest(changed.device_ids, changed.lasts, changed.received, changed.beats)
            ON CONFLICT (device_id) DO UPDATE
                SET last_measured = greatest(l.last_measured, excluded.last_measured),
                    last_received = greatest(l.last_received, excluded.last_received),
                    last_beat = greatest(l.last_beat, excluded.last_beat)
            RETURNING calculated_until)
        SELECT max(calculated_until) INTO calculated FROM locked;
        -- Between the look at iot.devices and the lock heartbeat_metric may have changed, or the first sample have been deleted.
        SELECT array_agg(s.device_id) FILTER (WHERE d.heartbeat_metric IS DISTINCT FROM s.heartbeat_metric),
               array_agg(s.device_id) FILTER (WHERE f.is_first), array_agg(s.first) FILTER (WHERE f.is_first)
        INTO recount, moved, early
        FROM unnest(changed.device_ids, changed.heartbeat_metrics, changed.firsts) s (device_id, heartbeat_metric, first)
             JOIN iot.devices d USING (device_id),
             LATERAL (SELECT d.registered_by = 'first_sample' AND (s.first < d.commissioned_at) IS NOT FALSE) f (is_first);
        IF moved IS NOT NULL THEN
            PERFORM iot_kpi.register_devices(moved, early);
        END IF;
    ELSE
        SELECT array_agg(device_id) AS device_ids, array_agg(first) AS firsts, array_agg(CASE WHEN has_counter THEN 'infinity' ELSE last END) AS untils,
               array_agg(last) AS lasts, array_agg(received) AS received
        INTO old
        FROM (SELECT o.device_id, min(o."time") AS first, max(o."time") AS last, max(o.received_at) AS received,
                     bool_or(t.kind = 'counter') IS TRUE AS has_counter
              FROM old_rows o LEFT JOIN iot.metric_types t ON t.metric = o.metric
              GROUP BY o.device_id) a;
        IF old.device_ids IS NULL THEN
            RETURN NULL;
        END IF;
        PERFORM iot_kpi.refuse_shared_devices(old.device_ids);
        moved := iot_kpi.lock_first_samples(old.device_ids, old.firsts);
        IF TG_OP = 'DELETE' THEN
            changed := old;
            PERFORM iot_kpi.lock_liveness(changed.device_ids);
            -- Deleting what is older than the latest sample leaves the latest as it is.
            SELECT array_agg(device_id) INTO recount
            FROM unnest(old.device_ids, old.lasts, old.received) s (device_id, last, received) JOIN iot.device_liveness l USING (device_id)
            WHERE s.last >= l.last_measured OR s.received >= l.last_received OR s.last >= l.last_beat;
        ELSE
            SELECT array_agg(device_id) AS device_ids, array_agg(first) AS firsts, array_agg(until) AS untils INTO changed
            FROM (SELECT * FROM unnest(changed.device_ids, changed.firsts, changed.untils)
                  UNION ALL SELECT * FROM unnest(old.device_ids, old.firsts, old.untils)) u (device_id, first, until);
            PERFORM iot_kpi.lock_liveness(changed.device_ids);
            recount := changed.device_ids;
        END IF;
        IF moved IS NOT NULL THEN
            moved := iot_kpi.commission_anew(moved);
        END IF;
        SELECT max(calculated_until) INTO calculated FROM iot.device_liveness WHERE device_id = ANY (changed.device_ids);
    END IF;

    IF recount IS NOT NULL THEN
        PERFORM iot_kpi.recount_liveness(recount);
    END IF;
    IF moved IS NOT NULL THEN
        SELECT array_agg(CASE WHEN device_id = ANY (moved) THEN 'infinity' ELSE until END) INTO changed.untils
        FROM unnest(changed.device_ids, changed.untils) u (device_id, until);
    END IF;
    IF EXISTS (SELECT FROM unnest(changed.firsts) first WHERE first <= calculated) THEN
        PERFORM iot_kpi.mark_stale(changed.device_ids, changed.firsts, changed.untils);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.metrics_changed() IS
    'Statement trigger of iot.device_metrics: applies the ingest rules to new rows, keeps device_liveness, marks calculations stale';

-- Triggers of device_status_history ------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.register_first_samples(device_ids text[], firsts timestamptz[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new record;
BEGIN
    SELECT array_agg(s.device_id) AS device_ids, array_agg(s.first) AS firsts INTO new
    FROM unnest(device_ids, firsts) s (device_id, first) LEFT JOIN iot.devices d ON d.device_id = s.device_id
    WHERE d.device_id IS NULL OR d.registered_by = 'first_sample' AND (s.first < d.commissioned_at) IS NOT FALSE;
    IF new.device_ids IS NOT NULL THEN
        PERFORM iot_kpi.register_devices(new.device_ids, new.firsts);
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.register_first_samples(text[], timestamptz[]) IS
    'Registers those of devices with samples, the earliest at an instant each, that were not known, or known since later';

CREATE FUNCTION iot_kpi.note_statuses_work(
    device_ids text[], firsts timestamptz[], old_ids text[] DEFAULT NULL, old_firsts timestamptz[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    touched record;
    moved text[];
BEGIN
    PERFORM iot_kpi.register_first_samples(device_ids, firsts);
    moved := iot_kpi.lock_first_samples(old_ids, old_firsts);
    SELECT array_agg(t.device_id) AS device_ids, array_agg(t.first) AS firsts INTO touched
    FROM (SELECT u.device_id, min(u.first) AS first
          FROM (SELECT * FROM unnest(device_ids, firsts) UNION ALL SELECT * FROM unnest(old_ids, old_firsts)) u (device_id, first)
          GROUP BY u.device_id) t;
    PERFORM iot_kpi.lock_liveness(touched.device_ids);
    -- Before the lock was had, somebody may have deleted what was the first sample.
    PERFORM iot_kpi.register_first_samples(device_ids, firsts);
    IF moved IS NOT NULL THEN
        PERFORM iot_kpi.commission_anew(moved);
    END IF;
    UPDATE iot.device_liveness l SET last_status = s.status, last_status_at = s."time"
    FROM unnest(touched.device_ids) t (device_id)
         LEFT JOIN LATERAL (SELECT h.status, h."time" FROM iot.device_status_history h
                            WHERE h.device_id = t.device_id AND h.recorded_by IS NULL
                            ORDER BY h."time" DESC LIMIT 1) s ON true
    WHERE l.device_id = t.device_id AND (l.last_status, l.last_status_at) IS DISTINCT FROM (s.status, s."time");
    -- A status holds until the next one, however late that comes.
    PERFORM iot_kpi.mark_stale(touched.device_ids, touched.firsts,
                               array_fill(timestamptz 'infinity', ARRAY[cardinality(touched.device_ids)]));
END
$$;
COMMENT ON FUNCTION iot_kpi.note_statuses_work(text[], timestamptz[], text[], timestamptz[]) IS 'What note_statuses() does';

CREATE FUNCTION iot_kpi.note_statuses(
    device_ids text[], firsts timestamptz[], old_ids text[] DEFAULT NULL, old_firsts timestamptz[] DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_for_our_own';
COMMENT ON FUNCTION iot_kpi.note_statuses(text[], timestamptz[], text[], timestamptz[]) IS
    'After status samples of devices were written, the earliest at an instant each, and others went: registers, locks, keeps device_liveness, marks calculations stale';

CREATE FUNCTION iot_kpi.check_record() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT iot_kpi.owns_store() THEN
        RAISE EXCEPTION 'only upkeep writes its records: recorded_by of device % at % cannot be %',
            quote_nullable(iot_kpi.abbreviated(NEW.device_id)), coalesce(NEW."time"::text, 'NULL'), quote_literal(NEW.recorded_by)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Leave recorded_by NULL: the status is the device''s own then. To change statuses by the lot, add WHERE recorded_by IS NULL.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION iot_kpi.check_record() IS
    'Row trigger of iot.device_status_history, for rows that say upkeep wrote them: refuses such of anybody but the owner of the store, as whom upkeep runs';

CREATE FUNCTION iot_kpi.statuses_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    earliest constant timestamptz := iot_kpi.earliest_sample();
    latest constant timestamptz := clock_timestamp() + iot_kpi.duration('clock_skew');
    register_device constant boolean := iot_kpi.setting('unknown_devices') = 'register';
    device_ids text[];
    firsts timestamptz[];
    old_ids text[];
    old_firsts timestamptz[];
BEGIN
    -- Upkeep's records are no samples.
    IF TG_OP <> 'DELETE' THEN
        PERFORM iot_kpi.refuse_sample('iot.device_status_history', position, device_id, "time", format('status %s', status), fault)
        FROM (SELECT n.*, coalesce(
                  iot_kpi.sample_fault(n.device_id, register_device OR d.device_id IS NOT NULL, n."time", earliest, latest),
                  iot_kpi.status_fault(n.status, n.reason)) AS fault
              FROM (SELECT *, row_number() OVER () AS position FROM new_rows) n LEFT JOIN iot.devices d ON d.device_id = n.device_id
              WHERE n.recorded_by IS NULL) f
        WHERE fault IS NOT NULL ORDER BY position LIMIT 1;
        SELECT array_agg(n.device_id), array_agg(n.first) INTO device_ids, firsts
        FROM (SELECT device_id, min("time") AS first FROM new_rows WHERE recorded_by IS NULL GROUP BY device_id) n;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT array_agg(o.device_id), array_agg(o.first) INTO old_ids, old_firsts
        FROM (SELECT device_id, min("time") AS first FROM old_rows WHERE recorded_by IS NULL GROUP BY device_id) o;
    END IF;
    IF device_ids IS NOT NULL OR old_ids IS NOT NULL THEN
        PERFORM iot_kpi.note_statuses_work(device_ids, firsts, old_ids, old_firsts);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.statuses_changed() IS
    'Statement trigger of iot.device_status_history: applies the ingest rules to new rows, keeps device_liveness, marks calculations stale';
