-- Partitions of iot.device_metrics: one a UTC day, named device_metrics_pYYYYMMDD. They are made beside the table and then attached,
-- because CREATE TABLE ... PARTITION OF would lock out every reader and writer of the whole table.

CREATE FUNCTION iot_kpi.store_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT 7666211735220613476;
END;
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

CREATE FUNCTION iot_kpi.store_owner() RETURNS oid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.relowner FROM pg_class c WHERE c.oid = to_regclass('iot.device_metrics'));
END
$$;
COMMENT ON FUNCTION iot_kpi.store_owner() IS 'The role that owns the store; NULL where there is none';

CREATE FUNCTION iot_kpi.owns_store() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pg_has_role(iot_kpi.store_owner(), 'USAGE');
END
$$;
COMMENT ON FUNCTION iot_kpi.owns_store() IS 'Whether this role has the rights of the store''s owner; NULL where there is no store';

CREATE FUNCTION iot_kpi.make_partition(day timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- The bounds go through text, where a session's own style could misread what it wrote (IST is not only India's).
SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
AS $$
DECLARE
    first constant timestamptz := date_trunc('day', day, 'UTC');
    partition constant text := 'device_metrics_p' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
    owner constant oid := iot_kpi.store_owner();
    deputy constant regprocedure := to_regprocedure('iot.make_partition_as_owner(timestamptz)');
BEGIN
    IF NOT iot_kpi.owns_store() THEN
        IF deputy IS NULL OR NOT has_function_privilege(deputy, 'EXECUTE') THEN
            RAISE EXCEPTION 'there is no partition for %, and role % may not make one', to_char(first AT TIME ZONE 'UTC', 'YYYY-MM-DD'), quote_ident(current_user)
                USING ERRCODE = 'insufficient_privilege',
                      HINT = format('As the owner of the store: SELECT iot_kpi.grant_writer(%L); or make_partitions().', current_user);
        END IF;
        RETURN iot.make_partition_as_owner(first);
    END IF;
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    IF iot_kpi.has_partition(first) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE iot.%I (LIKE iot.device_metrics INCLUDING ALL)', partition);
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = to_regclass('iot.device_metrics')) THEN
        PERFORM iot_kpi.close_partition(format('iot.%I', partition)::regclass);
    END IF;
    -- A superuser's partition would be one that the owner could not drop.
    IF owner <> to_regrole(quote_ident(current_user)) THEN
        EXECUTE format('ALTER TABLE iot.%I OWNER TO %I', partition, pg_get_userbyid(owner));
    END IF;
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
    RETURN greatest(
        coalesce((SELECT to_timestamp(min(right(c.relname, 8)) || '+00', 'YYYYMMDDTZH')
                  FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                  WHERE i.inhparent = to_regclass('iot.device_metrics') AND c.relname ~ '^device_metrics_p\d{8}$'), 'infinity'),
        -- Statuses go by the instant, partitions by the day; and the first hours of a day want beats of the day before.
        iot_kpi.earliest_sample(),
        iot_kpi.setting('evidence_from')::timestamptz);
END
$$;
COMMENT ON FUNCTION iot_kpi.kept_from() IS
    'From when on all samples are kept that KPIs are made of: what was calculated before stands, so it is never marked stale';

CREATE FUNCTION iot_kpi.expired_partitions() RETURNS TABLE (partition regclass, day timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF iot_kpi.setting('retention') IS NOT NULL THEN
        RETURN QUERY
        SELECT p.oid::regclass, p.first
        FROM (SELECT c.oid, right(c.relname, 8)::date::timestamp AT TIME ZONE 'UTC' AS first
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
              WHERE i.inhparent = to_regclass('iot.device_metrics') AND c.relname ~ '^device_metrics_p[0-9]{8}$') p
        WHERE p.first + interval '24 hours' <= iot_kpi.earliest_sample()
        ORDER BY p.first;
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.expired_partitions() IS
    'The partitions that lie wholly before what the setting retention keeps, the earliest first';

CREATE FUNCTION iot_kpi.drop_partition(partition regclass, day timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('DROP TABLE %s', partition);
    -- What is still stale there can never be calculated again. What it says is better than the rows that are gone.
    UPDATE iot.kpi_calculations SET stale = false WHERE stale AND upper(period) <= day + interval '24 hours';
END
$$;
COMMENT ON FUNCTION iot_kpi.drop_partition(regclass, timestamptz) IS 'Drops the partition of a day; what was calculated of it stands from now on';

CREATE FUNCTION iot_kpi.delete_expired_statuses_work(most bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from constant timestamptz := iot_kpi.earliest_sample();
    deleted bigint;
BEGIN
    IF iot_kpi.setting('retention') IS NULL THEN
        RETURN 0;
    END IF;
    -- The last expired status of a device is what still held when the kept time began. Expiry changes no KPI of it, so triggers
    -- stand aside.
    DELETE FROM iot.device_status_history h
    USING (SELECT old.device_id, old."time" FROM iot.device_status_history old
           WHERE old."time" < kept_from
             AND (old.recorded_by IS NOT NULL
                  OR EXISTS (SELECT FROM iot.device_status_history later
                             WHERE later.device_id = old.device_id AND later."time" > old."time" AND later."time" <= kept_from
                               AND later.recorded_by IS NULL))
           LIMIT most) expired
    WHERE h.device_id = expired.device_id AND h."time" = expired."time";
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION iot_kpi.delete_expired_statuses_work(bigint) IS 'What delete_expired_statuses() does';

CREATE FUNCTION iot_kpi.delete_expired_statuses(most bigint) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quietly';
COMMENT ON FUNCTION iot_kpi.delete_expired_statuses(bigint) IS
    'Deletes status samples older than the setting retention that hold no longer, at most so many (NULL: all); returns how many';

CREATE FUNCTION iot_kpi.drop_expired() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped integer := 0;
    expired record;
BEGIN
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    FOR expired IN SELECT * FROM iot_kpi.expired_partitions() LOOP
        PERFORM iot_kpi.drop_partition(expired.partition, expired.day);
        dropped := dropped + 1;
    END LOOP;
    PERFORM iot_kpi.delete_expired_statuses(NULL);
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION iot_kpi.drop_expired() IS
    'Drops the partitions, and deletes the status samples, that are older than the setting retention; returns the number of partitions';
