-- What is kept, from when on, and how the rest goes: partitions as a whole, where all of it lies before retention; of the others, rows.

CREATE FUNCTION iot_kpi.retained_from() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN now() - iot_kpi.duration('retention');
END
$$;
COMMENT ON FUNCTION iot_kpi.retained_from() IS 'Samples before this instant may go; NULL where everything is kept';

CREATE FUNCTION iot_kpi.earliest_sample() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- greatest() skips the NULL of a store that keeps everything.
    RETURN greatest(iot_kpi.retained_from(), iot_kpi.setting('earliest_time')::timestamptz);
END
$$;
COMMENT ON FUNCTION iot_kpi.earliest_sample() IS 'Samples before this instant are refused, by the settings retention and earliest_time';

CREATE FUNCTION iot_kpi.kept_from() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Rows go by the day, and the first hours of a day want beats of the day before: so not from the day on, but from the instant.
    RETURN coalesce(greatest(iot_kpi.retained_from(), iot_kpi.setting('evidence_from')::timestamptz), '-infinity');
END
$$;
COMMENT ON FUNCTION iot_kpi.kept_from() IS
    'From when on all samples are kept that KPIs are made of: what was calculated before stands, so it is never marked stale';

CREATE FUNCTION iot_kpi.note_gone(before timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
UPDATE iot.settings s SET value = to_char(before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
WHERE s.name = 'evidence_from' AND (s.value IS NULL OR s.value::timestamptz < before)
$$;
COMMENT ON FUNCTION iot_kpi.note_gone(timestamptz) IS
    'Notes that samples before an instant are gone, for the time when retention is longer again';

CREATE FUNCTION iot_kpi.expired_partitions() RETURNS TABLE (partition regclass, first timestamptz, until timestamptz, of_days boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF iot_kpi.setting('retention') IS NOT NULL THEN
        -- A year is emptied, not dropped, so that it has a place again when retention is longer.
        RETURN QUERY
        SELECT p.* FROM iot_kpi.partitions() p
        WHERE p.until <= iot_kpi.retained_from() AND (p.of_days OR pg_relation_size(p.partition) > 0)
        ORDER BY p.first;
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.expired_partitions() IS
    'The partitions that hold samples, all of them older than the setting retention keeps, the earliest first';

CREATE FUNCTION iot_kpi.samples_gone(before timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM iot_kpi.note_gone(before);
    -- What is still stale there can never be calculated again. What it says is better than the rows that are gone.
    UPDATE iot.kpi_calculations SET stale = false WHERE stale AND upper(period) <= before;
END
$$;
COMMENT ON FUNCTION iot_kpi.samples_gone(timestamptz) IS 'What was calculated of samples before an instant stands from now on, since they are gone';

CREATE FUNCTION iot_kpi.drop_partition(partition regclass, of_days boolean, until timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(CASE WHEN of_days THEN 'DROP TABLE %s' ELSE 'TRUNCATE %s' END, partition);
    PERFORM iot_kpi.samples_gone(until);
END
$$;
COMMENT ON FUNCTION iot_kpi.drop_partition(regclass, boolean, timestamptz) IS
    'Drops the partition of a day, or empties that of a year; what was calculated of it stands from now on';

CREATE FUNCTION iot_kpi.partly_expired(before timestamptz) RETURNS SETOF regclass
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT c.oid::regclass
    FROM (SELECT p.partition FROM iot_kpi.partitions() p WHERE NOT p.of_days AND p.first < before
          UNION ALL SELECT to_regclass('iot.device_metrics_default')) x (oid)
         JOIN pg_class c ON c.oid = x.oid
    WHERE pg_relation_size(c.oid) > 0
    ORDER BY c.relname;
END
$$;
COMMENT ON FUNCTION iot_kpi.partly_expired(timestamptz) IS 'The partitions of more than a day that may hold samples from before an instant, by name';

CREATE FUNCTION iot_kpi.delete_expired_statuses_work(most bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from constant timestamptz := iot_kpi.retained_from();
    deleted bigint;
BEGIN
    IF kept_from IS NULL THEN
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
    -- Of a year, whole days too: a day goes as one, wherever it lies.
    kept_from constant timestamptz := date_trunc('day', iot_kpi.retained_from(), 'UTC');
    dropped integer := 0;
    expired record;
    deleted bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(iot_kpi.store_lock());
    FOR expired IN SELECT * FROM iot_kpi.expired_partitions() LOOP
        PERFORM iot_kpi.drop_partition(expired.partition, expired.of_days, expired.until);
        dropped := dropped + 1;
    END LOOP;
    FOR expired IN SELECT p AS partition FROM iot_kpi.partly_expired(kept_from) p LOOP
        EXECUTE format('DELETE FROM %s WHERE "time" < $1', expired.partition) USING kept_from;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        IF deleted > 0 THEN
            PERFORM iot_kpi.samples_gone(kept_from);
        END IF;
    END LOOP;
    PERFORM iot_kpi.delete_expired_statuses(NULL);
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION iot_kpi.drop_expired() IS
    'Drops the partitions, and deletes the samples in those of years and the status samples, that are older than the setting retention; returns the number of partitions';
