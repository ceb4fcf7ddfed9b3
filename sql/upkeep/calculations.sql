-- What is stale is calculated again, and what is over for the first time. A piece is a day of some devices, and stands aside for who
-- writes to one of them.

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
    -- What a collector saw of the end of an hour is known by its next beat.
    until constant timestamptz := coalesce((place ->> 'until')::timestamptz, date_trunc('hour', now() - iot_kpi.look_back_of_collectors(), 'UTC'));
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
