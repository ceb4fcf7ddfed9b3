-- Buckets that follow the clocks of a time zone, so that a day is 23 or 25 hours long where clocks change. A bucket begins where the
-- local clock first shows its start; where clocks are put forward over that, at the instant of the change.

CREATE FUNCTION iot_kpi.check_time_zone(time_zone text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF time_zone IS NULL THEN
        RAISE EXCEPTION 'time_zone must not be NULL'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name a time zone, such as ''Europe/Berlin''.';
    END IF;
    -- An unknown one is told even where no time has to be converted.
    PERFORM timestamptz '2000-01-01 00:00+00' AT TIME ZONE time_zone;
END $$;
COMMENT ON FUNCTION iot_kpi.check_time_zone(text) IS 'fails where a time zone is NULL or not known';

CREATE FUNCTION iot_kpi.clock_shift(at timestamptz, time_zone text) RETURNS interval
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (at AT TIME ZONE time_zone) - (at AT TIME ZONE 'UTC');
COMMENT ON FUNCTION iot_kpi.clock_shift(timestamptz, text) IS 'how far the clocks of a time zone are ahead of UTC at an instant';

CREATE FUNCTION iot_kpi.clock_change(low timestamptz, high timestamptz, time_zone text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shift constant interval := iot_kpi.clock_shift(low, time_zone);
    middle timestamptz;
BEGIN
    WHILE high - low > interval '1 microsecond' LOOP
        middle := low + (high - low) / 2;
        IF iot_kpi.clock_shift(middle, time_zone) = shift THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN high;
END $$;
COMMENT ON FUNCTION iot_kpi.clock_change(timestamptz, timestamptz, text) IS
    'when the clocks of a time zone are changed between two instants, at which they differ';

CREATE FUNCTION iot_kpi.local_start(wall timestamp, time_zone text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment constant interval := '1 microsecond';
    -- No clock is put forward or back by more than a day.
    earlier constant timestamptz := wall AT TIME ZONE time_zone - interval '26 hours';
    later constant timestamptz := wall AT TIME ZONE time_zone + interval '26 hours';
    -- When a clock shows it that goes as clocks did before, and one that goes as they do afterwards.
    by_old constant timestamptz := (wall - iot_kpi.clock_shift(earlier, time_zone)) AT TIME ZONE 'UTC';
    by_new constant timestamptz := (wall - iot_kpi.clock_shift(later, time_zone)) AT TIME ZONE 'UTC';
BEGIN
    IF (by_old - moment) AT TIME ZONE time_zone = wall - moment AND by_old AT TIME ZONE time_zone >= wall THEN
        RETURN by_old;
    ELSIF (by_new - moment) AT TIME ZONE time_zone < wall AND by_new AT TIME ZONE time_zone = wall THEN
        RETURN by_new;
    END IF;
    RETURN iot_kpi.clock_change(earlier, later, time_zone);
END $$;
COMMENT ON FUNCTION iot_kpi.local_start(timestamp, text) IS
    'the first instant at which the clocks of a time zone show a local time, or, where they are put forward over it, a later one';

CREATE FUNCTION iot_kpi.wall_edges(step interval, window_start timestamptz, window_end timestamptz, time_zone text)
RETURNS timestamptz[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    months constant int := (extract(year FROM step) * 12 + extract(month FROM step))::int;
    local_start constant timestamp := window_start AT TIME ZONE time_zone;
    around constant interval := '26 hours';
    first timestamp;
BEGIN
    IF months <> 0 THEN
        first := date_trunc('month', local_start);
        first := first - make_interval(
            months => mod((extract(year FROM first) * 12 + extract(month FROM first))::int - 1, months));
    ELSE
        -- From a Monday, so that weeks begin as ISO 8601 has them.
        first := date_bin(make_interval(secs => extract(epoch FROM step)::float8), local_start, '2000-01-03');
    END IF;
    RETURN ARRAY(
        SELECT DISTINCT e
        -- OFFSET 0: each is reckoned once, and not wherever it is named.
        FROM (SELECT CASE WHEN (usual - around) AT TIME ZONE time_zone = wall - around
                           AND (usual + around) AT TIME ZONE time_zone = wall + around
                          -- Far from a change of clocks there is only one such instant.
                          THEN usual ELSE iot_kpi.local_start(wall, time_zone) END AS e
              FROM (SELECT wall, wall AT TIME ZONE time_zone AS usual
                    FROM generate_series(first, (window_end AT TIME ZONE time_zone) + interval '1 day', step) AS wall OFFSET 0) AS w
              OFFSET 0) AS s
        WHERE e > window_start AND e < window_end ORDER BY e);
END $$;
COMMENT ON FUNCTION iot_kpi.wall_edges(interval, timestamptz, timestamptz, text) IS
    'step of bucket_edges(): where days, months or parts of a day longer than an hour begin';

CREATE FUNCTION iot_kpi.clock_edges(step interval, window_start timestamptz, window_end timestamptz, time_zone text)
RETURNS timestamptz[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
-- An hour that comes twice is two buckets: so the window is cut where clocks change, and every stretch has its own.
WITH stretches AS (
    SELECT s.start, lead(s.start, 1, window_end) OVER (ORDER BY s.start) AS until, s.start AT TIME ZONE time_zone AS wall
    FROM (SELECT window_start AS start
          UNION
          SELECT iot_kpi.clock_change(t, t + interval '24 hours', time_zone)
          FROM generate_series(window_start, window_end, interval '24 hours') AS t
          WHERE iot_kpi.clock_shift(t, time_zone) <> iot_kpi.clock_shift(t + interval '24 hours', time_zone)) AS s
    WHERE s.start < window_end
), firsts AS (
    SELECT s.start, s.until, date_bin(step, s.wall, '2000-01-01') AS floor, s.wall,
           (s.start - interval '1 microsecond') AT TIME ZONE time_zone AS wall_before
    FROM stretches AS s
)
SELECT array_agg(DISTINCT e ORDER BY e)
FROM (SELECT generate_series(f.start + (f.floor - f.wall) + CASE WHEN f.floor < f.wall THEN step ELSE '0' END,
                             f.until - interval '1 microsecond', step) AS e
      FROM firsts AS f
      UNION ALL
      -- Put forward over the start of a bucket.
      SELECT f.start FROM firsts AS f WHERE f.floor > date_bin(step, f.wall_before, '2000-01-01')) AS edges
WHERE e > window_start AND e < window_end
$$;
COMMENT ON FUNCTION iot_kpi.clock_edges(interval, timestamptz, timestamptz, text) IS
    'step of bucket_edges(): where hours and shorter parts of a day begin';

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
    inner_edges timestamptz[];
BEGIN
    IF bucket IS NULL OR bucket <= interval '0' THEN
        RAISE EXCEPTION 'bucket must be a positive interval, not %', coalesce(bucket::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a bucket such as ''1 hour'' or ''1 day''.';
    ELSIF (months <> 0)::int + (days <> 0)::int + (clock <> interval '0')::int <> 1 THEN
        RAISE EXCEPTION 'bucket must be of months, of days or of hours and less, not of several: %', bucket
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a bucket such as ''36 hours'' or ''1 day''.';
    END IF;
    PERFORM iot_kpi.check_time_zone(time_zone);
    IF effective IS NULL THEN
        RETURN NULL;
    END IF;
    IF extract(epoch FROM window_end - window_start) / extract(epoch FROM bucket) > most THEN
        RAISE EXCEPTION 'window has more than % buckets of %', most, bucket
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a longer bucket or a shorter window.';
    END IF;

    IF clock <> interval '0' AND mod(86400, extract(epoch FROM clock)) <> 0 THEN
        -- What divides no day knows no days.
        inner_edges := ARRAY(
            SELECT e
            FROM generate_series(date_bin(clock, window_start, timestamp '2000-01-03' AT TIME ZONE time_zone), window_end, clock) AS e
            WHERE e > window_start AND e < window_end ORDER BY e);
    ELSIF clock <> interval '0' AND clock <= interval '1 hour' THEN
        inner_edges := iot_kpi.clock_edges(clock, window_start, window_end, time_zone);
    ELSE
        inner_edges := iot_kpi.wall_edges(bucket, window_start, window_end, time_zone);
    END IF;
    RETURN window_start || coalesce(inner_edges, '{}') || window_end;
END $$;
COMMENT ON FUNCTION iot_kpi.bucket_edges(tstzrange, interval, text, timestamptz) IS
    'the bounds of a window''s buckets in a time zone, up to as_of: its start, each change of bucket, its end; NULL where none of it has happened';
