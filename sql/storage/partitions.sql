-- Where samples lie. iot.device_metrics has a partition a UTC day, device_metrics_pYYYYMMDD, for the days near now. All other time has
-- iot.device_metrics_years, its default partition: that has one a year, device_metrics_yYYYY, and a default of its own for years that have
-- none yet. So there is always a place, whoever writes, and samples of ten years lie in ten tables.
--
-- A day's partition is made ahead, by upkeep, and only for a day that has no samples yet: those that there are stay where they are. A store
-- that has gathered a hundred days with next to nothing in them does without, so that years of it are no thousands of tables. What lies in
-- device_metrics_default is moved when upkeep makes the partition of its year.
--
-- Partitions are made beside the table and then attached, because CREATE TABLE ... PARTITION OF would lock out every reader and writer of
-- the whole table for as long as that takes. Attaching still locks the years, where it looks for rows that would belong elsewhere, and, of
-- a day that has begun, the whole table for a moment: so it waits no longer than 100 ms, and neither door makes partitions, which would hold that lock while it waits for others. The order of locks is:
-- store_lock(), device_metrics, device_metrics_years, its partitions.

CREATE FUNCTION iot_kpi.store_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT 7666211735220613476;
END;
COMMENT ON FUNCTION iot_kpi.store_lock() IS 'Key of the advisory lock under which tables and partitions are made and dropped';

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
COMMENT ON FUNCTION iot_kpi.has_partition(timestamptz) IS 'Whether the UTC day of an instant has a partition of its own in iot.device_metrics';

CREATE FUNCTION iot_kpi.partitions()
RETURNS TABLE (partition regclass, first timestamptz, until timestamptz, of_days boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
-- The catalogs say bounds as text, in the session's style and time zone.
SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY
    SELECT c.oid::regclass, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz, i.inhparent = to_regclass('iot.device_metrics')
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
         regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''([^'']+)''\)$') AS b (bounds)
    WHERE i.inhparent IN (to_regclass('iot.device_metrics'), to_regclass('iot.device_metrics_years')) AND b.bounds IS NOT NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.partitions() IS
    'The partitions of iot.device_metrics, of days and of years, with the stretch of time that each is for; not the default ones, which are for the rest';

CREATE FUNCTION iot_kpi.make_table(name text, more text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE TABLE iot.%I (LIKE iot.device_metrics INCLUDING ALL) %s', name, more);
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = to_regclass('iot.device_metrics')) THEN
        PERFORM iot_kpi.close_partition(format('iot.%I', name)::regclass);
    END IF;
    -- A superuser's partition would be one that the owner could not drop.
    IF iot_kpi.store_owner() <> to_regrole(quote_ident(current_user)) THEN
        EXECUTE format('ALTER TABLE iot.%I OWNER TO %I', name, pg_get_userbyid(iot_kpi.store_owner()));
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_table(text, text) IS 'Makes a table like iot.device_metrics, to be attached to it: its owner''s, and closed where rows are guarded';

CREATE FUNCTION iot_kpi.lock_samples(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- Whoever waits for this lock stops all who come after: so it is waited for a moment only, again and again.
SET lock_timeout = '100ms'
AS $$
DECLARE
    most constant int := 10;
BEGIN
    FOR attempt IN 1..most LOOP
        BEGIN
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', relation);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = most THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION iot_kpi.lock_samples(regclass) IS
    'Step of attach_partition(): keeps readers and writers out of a table; 55P03 where they are there for two seconds and more';

CREATE FUNCTION iot_kpi.attach_partition(relation text, name text, first timestamptz, until timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- The bounds go through text, where a session's own style could misread what it wrote (IST is not only India's).
SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
SET lock_timeout = '100ms'
AS $$
DECLARE
    in_default boolean;
BEGIN
    PERFORM iot_kpi.make_table(name, '');
    -- Nobody may have planned where to read or write without this partition and wait for the one that was there before: a writer would
    -- be told that its row does not belong there, and a reader not find the rows that are moved.
    IF relation = 'device_metrics_years' THEN
        -- No row that lies here could belong to a day outside: so a partition of such a day is attached without a look at this one.
        EXECUTE format('ALTER TABLE iot.%I ADD CONSTRAINT time_of_the_partition CHECK ("time" >= %L AND "time" < %L)', name, first, until);
        -- Most of it while everybody goes on, and what came meanwhile at last.
        in_default := iot_kpi.move_from_default(name, first, until) > 0;
        PERFORM iot_kpi.lock_samples('iot.device_metrics_years');
        IF in_default THEN
            PERFORM iot_kpi.move_from_default(name, first, until);
        END IF;
    ELSE
        IF first <= now() + iot_kpi.duration('clock_skew') THEN
            PERFORM iot_kpi.lock_samples('iot.device_metrics');
        END IF;
        -- It is looked at for rows of the day. A store that create_store() has not brought up to date yet has none.
        IF to_regclass('iot.device_metrics_years') IS NOT NULL THEN
            PERFORM iot_kpi.lock_samples('iot.device_metrics_years');
        END IF;
    END IF;
    EXECUTE format('ALTER TABLE iot.%I ATTACH PARTITION iot.%I FOR VALUES FROM (%L) TO (%L)', relation, name, first, until);
EXCEPTION WHEN lock_not_available OR check_violation THEN
    -- Of a day there may be samples; of a year one may have come this very moment.
    IF relation = 'device_metrics' AND SQLSTATE = '23514' THEN
        RAISE;
    END IF;
    RAISE EXCEPTION 'partition % cannot be made while others use the samples of other years', name
        USING ERRCODE = 'lock_not_available', HINT = 'Try again. Meanwhile samples have a place all the same, in iot.device_metrics_years.';
END
$$;
COMMENT ON FUNCTION iot_kpi.attach_partition(text, text, timestamptz, timestamptz) IS
    'Makes a partition of iot.device_metrics or iot.device_metrics_years for a stretch of time; 55P03 where it would have to wait, 23514 where the years hold rows of it';

CREATE FUNCTION iot_kpi.move_from_default(name text, first timestamptz, until timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved bigint;
BEGIN
    EXECUTE format('WITH moved AS (DELETE FROM iot.device_metrics_default d WHERE d."time" >= $1 AND d."time" < $2 RETURNING d.*)
                    INSERT INTO iot.%I SELECT * FROM moved', name) USING first, until;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION iot_kpi.move_from_default(text, timestamptz, timestamptz) IS
    'Step of attach_partition(): moves rows out of iot.device_metrics_default, into a table that is not attached yet; returns how many';

-- Days -----------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.make_partition(day timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first constant timestamptz := date_trunc('day', day, 'UTC');
    name constant text := 'device_metrics_p' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
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
    BEGIN
        PERFORM iot_kpi.attach_partition('device_metrics', name, first, first + interval '24 hours');
    EXCEPTION WHEN check_violation THEN
        RAISE NOTICE 'there are samples of % already, and they stay where they are', to_char(first AT TIME ZONE 'UTC', 'YYYY-MM-DD');
        RETURN false;
    END;
    RETURN true;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partition(timestamptz) IS
    'Makes the partition of an instant''s UTC day, unless it is there or the day has samples already; returns whether it did';

CREATE FUNCTION iot_kpi.wants_days() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    megabyte constant bigint := 1024 * 1024;
    days bigint;
    latest bigint;
BEGIN
    SELECT count(*), sum(pg_relation_size(p.partition)) FILTER (WHERE p.place <= 30) INTO days, latest
    FROM (SELECT d.partition, row_number() OVER (ORDER BY d.first DESC) AS place FROM iot_kpi.partitions() d
          WHERE d.of_days AND d.until <= now()) p;
    -- Four thousand samples a day, or a year of so many: more than that, and days are worth their tables.
    RETURN days < 100 OR latest > 8 * megabyte OR EXISTS (
        SELECT FROM iot_kpi.partitions() y
        WHERE NOT y.of_days AND y.first <= now() AND y.until > now() AND pg_relation_size(y.partition) > 100 * megabyte);
END
$$;
COMMENT ON FUNCTION iot_kpi.wants_days() IS
    'Whether upkeep makes partitions of days: not where a hundred are there, and the latest thirty hold next to nothing';

CREATE FUNCTION iot_kpi.quick_to_attach(day timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Nothing is there yet of a day to come. One that has begun has samples, where it has no partition, and reading all of its year to
    -- find that out each time would be no small thing.
    RETURN day > now() OR NOT EXISTS (
        SELECT FROM iot_kpi.partitions() p
        WHERE NOT p.of_days AND p.first <= day AND p.until > day AND pg_relation_size(p.partition) > 16 * 1024 * 1024);
END
$$;
COMMENT ON FUNCTION iot_kpi.quick_to_attach(timestamptz) IS 'Whether upkeep may try to make the partition of a day';

CREATE FUNCTION iot_kpi.make_partitions(during tstzrange DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Further back a partition name could not hold the year; and no device's clock is right before 1970.
    earliest constant timestamptz := '1970-01-01 00:00+00';
    latest constant timestamptz := '10000-01-01 00:00+00';
    -- Five years of partitions just fit into the lock table of a server with default settings.
    most constant interval := '1827 days';
    wanted constant tstzrange := coalesce(during, tstzrange(now() - interval '24 hours', now() + iot_kpi.duration('partitions_ahead'), '[]'));
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
    IF during IS NULL AND iot_kpi.owns_store() THEN
        made := iot_kpi.make_years();
    END IF;
    FOR day IN
        SELECT d FROM generate_series(date_trunc('day', lower(wanted), 'UTC'), upper(wanted), interval '24 hours') AS d
        -- Asked before the lock is taken: mostly there is nothing to do.
        WHERE (d < upper(wanted) OR upper_inc(wanted)) AND NOT iot_kpi.has_partition(d)
          AND (during IS NOT NULL OR iot_kpi.wants_days() AND iot_kpi.quick_to_attach(d))
    LOOP
        IF iot_kpi.make_partition(day) THEN
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_partitions(tstzrange) IS
    'Makes the partitions of iot.device_metrics for every UTC day in a range that has neither one nor samples; by default, those of yesterday to now + setting partitions_ahead, unless days hold next to nothing, and of years that lack one. Returns how many it made';

-- Years ----------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.make_years(most integer DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- A year of an interval begins where that of the time zone does.
SET timezone = 'UTC'
AS $$
DECLARE
    year timestamptz;
    made integer := 0;
BEGIN
    IF to_regclass('iot.device_metrics_default') IS NULL THEN
        RETURN 0;
    END IF;
    FOR year IN
        SELECT y FROM (SELECT generate_series(date_trunc('year', iot_kpi.earliest_sample()), now() + interval '1 year', '1 year')
                       -- Mostly empty: what nobody has made a year for yet.
                       UNION SELECT date_trunc('year', d."time") FROM iot.device_metrics_default d WHERE isfinite(d."time")) AS wanted (y)
        WHERE NOT EXISTS (SELECT FROM iot_kpi.partitions() p WHERE NOT p.of_days AND p.first <= y AND p.until > y) ORDER BY y LIMIT most
    LOOP
        PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
        PERFORM iot_kpi.attach_partition('device_metrics_years', 'device_metrics_y' || to_char(year, 'YYYY'), year, year + interval '1 year');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION iot_kpi.make_years(integer) IS
    'Makes the partitions of iot.device_metrics_years that are missing, at most so many (NULL: all): from the earliest sample that is taken up to next year, and what lies in iot.device_metrics_default; returns how many';

CREATE FUNCTION iot_kpi.has_default(relation regclass, partition regclass) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_partitioned_table t WHERE t.partrelid = relation AND t.partdefid = partition);
END
$$;
COMMENT ON FUNCTION iot_kpi.has_default(regclass, regclass) IS 'Whether a table has another one as its default partition';

CREATE FUNCTION iot_kpi.default_holds_samples() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rest constant regclass := to_regclass('iot.device_metrics_default');
BEGIN
    IF NOT iot_kpi.has_default(to_regclass('iot.device_metrics'), to_regclass('iot.device_metrics_years'))
       OR NOT iot_kpi.has_default(to_regclass('iot.device_metrics_years'), rest) THEN
        RETURN NULL;
    ELSIF has_table_privilege(rest, 'SELECT') THEN
        RETURN EXISTS (SELECT FROM iot.device_metrics_default);
    END IF;
    -- Nobody else may read a partition by itself. The statistics of it lag a little behind.
    RETURN pg_stat_get_live_tuples(rest) > 0;
END
$$;
COMMENT ON FUNCTION iot_kpi.default_holds_samples() IS 'Whether there are samples of years that have no partition yet; NULL where a default partition is missing';

CREATE FUNCTION iot_kpi.create_store_partitions() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    is_new constant boolean := to_regclass('iot.device_metrics_years') IS NULL;
    -- The partitions of days begin here. The year is cut there, so that samples of before are not looked at whenever a day gets its own.
    start_of_days constant timestamptz := date_trunc('day', now()) - interval '24 hours';
    kept_from timestamptz;
BEGIN
    IF is_new THEN
        -- Up to version 2, what retention had dropped was to be known by the earliest partition.
        SELECT min(p.first) INTO kept_from FROM iot_kpi.partitions() p;
        IF EXISTS (SELECT FROM iot.kpi_calculations k WHERE lower(k.period) < kept_from) THEN
            PERFORM iot_kpi.note_gone(kept_from);
        END IF;

        PERFORM iot_kpi.make_table('device_metrics_years', 'PARTITION BY RANGE ("time")');
        COMMENT ON TABLE iot.device_metrics_years IS 'Metric samples of days that have no partition of their own, one partition a year';
    END IF;
    IF to_regclass('iot.device_metrics_default') IS NULL THEN
        PERFORM iot_kpi.make_table('device_metrics_default', '');
        COMMENT ON TABLE iot.device_metrics_default IS 'Metric samples of years that have no partition yet';
    END IF;
    -- Also where somebody has detached one.
    IF NOT iot_kpi.has_default('iot.device_metrics_years', 'iot.device_metrics_default') THEN
        ALTER TABLE iot.device_metrics_years ATTACH PARTITION iot.device_metrics_default DEFAULT;
    END IF;
    IF is_new AND start_of_days > date_trunc('year', start_of_days) THEN
        PERFORM iot_kpi.attach_partition('device_metrics_years', 'device_metrics_y' || to_char(start_of_days, 'YYYY'),
                                         date_trunc('year', start_of_days), start_of_days);
        PERFORM iot_kpi.attach_partition('device_metrics_years', 'device_metrics_y' || to_char(start_of_days, 'YYYY_MMDD'),
                                         start_of_days, date_trunc('year', start_of_days) + interval '1 year');
    END IF;
    PERFORM iot_kpi.make_years();
    IF NOT iot_kpi.has_default('iot.device_metrics', 'iot.device_metrics_years') THEN
        ALTER TABLE iot.device_metrics ATTACH PARTITION iot.device_metrics_years DEFAULT;
    END IF;
    BEGIN
        RETURN iot_kpi.make_partitions();
    EXCEPTION WHEN lock_not_available THEN
        -- Upkeep will; meanwhile days have a place.
        RETURN 0;
    END;
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_partitions() IS 'Step of create_store(): the default partition, with one for each year, and those of the days near now; returns how many of the latter it made';
