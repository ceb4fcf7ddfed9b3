-- Partitions of iot.device_metrics: one a UTC day, named device_metrics_pYYYYMMDD. They are made beside the table and then attached,
-- because CREATE TABLE ... PARTITION OF would lock out every reader and writer of the whole table.

CREATE FUNCTION iot_kpi.store_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 7666211735220613476 $$;
COMMENT ON FUNCTION iot_kpi.store_lock() IS 'Key of the advisory lock under which tables and partitions are made and dropped';

CREATE FUNCTION iot_kpi.has_partition(day timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- By the catalogs and not by to_regclass(), whose cache may not have heard yet of a table another session made. And a table
    -- of that name may be detached.
    RETURN EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                   WHERE c.relname = 'device_metrics_p' || to_char(day AT TIME ZONE 'UTC', 'YYYYMMDD')
                     AND c.relnamespace = to_regnamespace('iot') AND i.inhparent = to_regclass('iot.device_metrics'));
END
$$;
COMMENT ON FUNCTION iot_kpi.has_partition(timestamptz) IS 'Whether the UTC day of an instant has a partition in iot.device_metrics';

CREATE FUNCTION iot_kpi.make_partition(day timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- The bounds go through text, where a session's own style could misread what it wrote (IST is not only India's).
SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
AS $$
DECLARE
    first constant timestamptz := date_trunc('day', day, 'UTC');
    partition constant text := 'device_metrics_p' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    IF iot_kpi.has_partition(first) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE iot.%I (LIKE iot.device_metrics INCLUDING ALL)', partition);
    EXECUTE format('ALTER TABLE iot.device_metrics ATTACH PARTITION iot.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, first, first + interval '24 hours');
    RETURN true;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partition(timestamptz) IS
    'Makes the partition of an instant''s UTC day, unless it is there; returns whether it did';

CREATE FUNCTION iot_kpi.make_partitions(during tstzrange DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Further back a partition name could not hold the year; and no device's clock is right before 1970.
    earliest constant timestamptz := '1970-01-01 00:00+00';
    latest constant timestamptz := '10000-01-01 00:00+00';
    -- Five years of partitions just fit into the lock table of a server with default settings.
    most constant interval := '1827 days';
    wanted constant tstzrange := coalesce(during, tstzrange(now() - interval '1 day',
                                          now() + iot_kpi.setting('partitions_ahead')::interval, '[]'));
    day timestamptz;
    made integer := 0;
BEGIN
    IF isempty(wanted) OR lower_inf(wanted) OR upper_inf(wanted)
       OR NOT isfinite(lower(wanted)) OR NOT isfinite(upper(wanted)) THEN
        RAISE EXCEPTION 'cannot make partitions for the range %', wanted
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a range with a start and a later end.';
    ELSIF lower(wanted) < earliest OR upper(wanted) > latest OR upper(wanted) - lower(wanted) > most THEN
        RAISE EXCEPTION 'cannot make partitions for the range %', wanted
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'One call makes the partitions of at most five years, within 1970 to 9999; call it for each part of a longer range.';
    END IF;
    day := date_trunc('day', lower(wanted), 'UTC');
    WHILE day < upper(wanted) OR (day = upper(wanted) AND upper_inc(wanted)) LOOP
        -- Asked before the lock is taken: mostly there is nothing to do.
        IF NOT iot_kpi.has_partition(day) AND iot_kpi.make_partition(day) THEN
            made := made + 1;
        END IF;
        day := day + interval '24 hours';
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partitions(tstzrange) IS
    'Makes the partitions of iot.device_metrics for every UTC day in a range (default: yesterday to now + setting partitions_ahead); returns how many were missing';

CREATE FUNCTION iot_kpi.earliest_sample() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- greatest() skips the NULL of a store that keeps everything.
    RETURN greatest(now() - iot_kpi.setting('retention')::interval, timestamptz '1970-01-01 00:00+00');
END
$$;
COMMENT ON FUNCTION iot_kpi.earliest_sample() IS 'Samples before this instant are refused: the setting retention, and never before 1970';

CREATE FUNCTION iot_kpi.kept_from() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((SELECT to_timestamp(min(right(c.relname, 8)) || '+00', 'YYYYMMDDTZH')
                     FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                     WHERE i.inhparent = to_regclass('iot.device_metrics') AND c.relname ~ '^device_metrics_p\d{8}$'), 'infinity');
END
$$;
COMMENT ON FUNCTION iot_kpi.kept_from() IS
    'Start of the earliest partition: what was calculated before it can never be calculated again, so it is never marked stale';

CREATE FUNCTION iot_kpi.drop_expired() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from constant timestamptz := iot_kpi.earliest_sample();
    partition record;
    dropped integer := 0;
BEGIN
    IF iot_kpi.setting('retention') IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    FOR partition IN
        SELECT inhrelid::regclass AS name
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'iot.device_metrics'::regclass AND relname ~ '^device_metrics_p[0-9]{8}$'
          AND (right(relname, 8)::date + 1)::timestamp AT TIME ZONE 'UTC' <= kept_from
        ORDER BY relname
    LOOP
        EXECUTE format('DROP TABLE %s', partition.name);
        dropped := dropped + 1;
    END LOOP;
    -- The last expired status of a device is what still held when the kept time began. Expiry changes no KPI of it, so no mark.
    PERFORM set_config('iot_store.quiet', 'on', true);
    DELETE FROM iot.device_status_history old
    WHERE old."time" < kept_from
      AND EXISTS (SELECT FROM iot.device_status_history later
                  WHERE later.device_id = old.device_id AND later."time" > old."time" AND later."time" <= kept_from);
    PERFORM set_config('iot_store.quiet', '', true);
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION iot_kpi.drop_expired() IS
    'Drops the partitions, and deletes the status samples, that are older than the setting retention; returns the number of partitions';
