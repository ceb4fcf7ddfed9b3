-- Buckets that follow the days of a time zone, so that a day is 23 or 25 hours long where clocks change.

CREATE FUNCTION iot_kpi.bucket_edges(during tstzrange, bucket interval, time_zone text, as_of timestamptz)
RETURNS timestamptz[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most constant bigint := 100000;
    effective constant tstzrange := iot_kpi.effective_window(during, as_of);
    window_start constant timestamptz := lower(effective);
    window_end constant timestamptz := upper(effective);
    months constant int := (extract(year FROM bucket) * 12 + extract(month FROM bucket))::int;
    days constant int := extract(day FROM bucket)::int;
    clock constant interval := bucket - make_interval(months => months, days => days);
    -- A Monday, so that weeks begin as ISO 8601 has them.
    origin constant timestamp := '2000-01-03';
    step interval := bucket;
    first timestamp;
    inner_edges timestamptz[];
BEGIN
    IF bucket IS NULL OR bucket <= interval '0' THEN
        RAISE EXCEPTION 'bucket must be a positive interval, not %', coalesce(bucket::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a bucket such as ''1 hour'' or ''1 day''.';
    ELSIF (months <> 0)::int + (days <> 0)::int + (clock <> interval '0')::int <> 1 THEN
        RAISE EXCEPTION 'bucket must be of months, of days or of hours and less, not of several: %', bucket
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a bucket such as ''36 hours'' or ''1 day''.';
    ELSIF time_zone IS NULL THEN
        RAISE EXCEPTION 'time_zone must not be NULL'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name a time zone, such as ''Europe/Berlin''.';
    END IF;
    IF effective IS NULL THEN
        RETURN NULL;
    END IF;
    IF extract(epoch FROM window_end - window_start) / extract(epoch FROM bucket) > most THEN
        RAISE EXCEPTION 'window has more than % buckets of %', most, bucket
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a longer bucket or a shorter window.';
    END IF;

    IF clock <> interval '0' AND (clock <= interval '1 hour' OR mod(86400, extract(epoch FROM clock)) <> 0) THEN
        -- Short buckets are of equal length over a change of clocks; those that divide no day know no days.
        SELECT array_agg(e ORDER BY e) INTO inner_edges
            FROM generate_series(date_bin(clock, window_start, origin AT TIME ZONE time_zone), window_end, clock) AS e
            WHERE e > window_start AND e < window_end;
    ELSE
        IF months <> 0 THEN
            first := date_trunc('month', window_start AT TIME ZONE time_zone);
            first := first - make_interval(
                months => mod((extract(year FROM first) * 12 + extract(month FROM first))::int - 1, months));
        ELSE
            first := date_bin(make_interval(secs => extract(epoch FROM bucket)::float8),
                              window_start AT TIME ZONE time_zone, origin);
        END IF;
        SELECT array_agg(DISTINCT e ORDER BY e) INTO inner_edges
            FROM generate_series(first, (window_end AT TIME ZONE time_zone) + interval '1 day', step) AS wall,
                 LATERAL (SELECT wall AT TIME ZONE time_zone) AS at (e)
            WHERE e > window_start AND e < window_end;
    END IF;
    RETURN window_start || coalesce(inner_edges, '{}') || window_end;
END $$;
COMMENT ON FUNCTION iot_kpi.bucket_edges(tstzrange, interval, text, timestamptz) IS
    'the bounds of a window''s buckets in a time zone, up to as_of: its start, each change of bucket, its end; NULL where none of it has happened';
