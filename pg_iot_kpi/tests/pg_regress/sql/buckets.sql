-- Buckets begin where the local clock first shows their start, or, where it is put forward over that, at the change.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;

CREATE FUNCTION pg_temp.buckets(during tstzrange, bucket interval, zone text) RETURNS TABLE (starts timestamptz, local timestamp, length interval) LANGUAGE sql AS $$
    SELECT e, e AT TIME ZONE zone, lead(e) OVER (ORDER BY e) - e FROM unnest(iot_kpi.bucket_edges(during, bucket, zone, '2100-01-01')) AS e
$$;

-- Midnight comes twice: at 01:00 clocks are put back to 00:00.
SELECT * FROM pg_temp.buckets('[2025-10-25 00:00Z, 2025-10-28 01:00Z)', '1 day', 'Atlantic/Azores');
SELECT * FROM pg_temp.buckets('[2025-11-01 04:00Z, 2025-11-04 05:00Z)', '1 day', 'America/Havana');
SELECT * FROM pg_temp.buckets('[2025-10-25 00:00Z, 2025-10-27 01:00Z)', '6 hours', 'Atlantic/Azores');
-- A minute after midnight they are put back into the day before; at midnight, so that 24:00 is never shown but once.
SELECT * FROM pg_temp.buckets('[2008-11-01 02:30Z, 2008-11-04 03:30Z)', '1 day', 'America/St_Johns');
SELECT * FROM pg_temp.buckets('[2018-02-17 02:00Z, 2018-02-20 03:00Z)', '1 day', 'America/Sao_Paulo');
-- Midnight is skipped, half an hour of a day, and a day.
SELECT * FROM pg_temp.buckets('[2018-11-03 03:00Z, 2018-11-06 02:00Z)', '1 day', 'America/Sao_Paulo');
SELECT * FROM pg_temp.buckets('[2025-10-04 13:30Z, 2025-10-06 13:00Z)', '1 day', 'Australia/Lord_Howe');
SELECT * FROM pg_temp.buckets('[2011-12-28 10:00Z, 2012-01-01 10:00Z)', '1 day', 'Pacific/Apia');
-- Months and weeks as well.
SELECT * FROM pg_temp.buckets('[2020-10-01 06:00Z, 2020-12-01 05:00Z)', '1 month', 'America/Havana');
SELECT * FROM pg_temp.buckets('[2010-03-01Z, 2010-06-01Z)', '1 month', 'Asia/Gaza');
SELECT * FROM pg_temp.buckets('[2025-10-20 00:00Z, 2025-11-03 01:00Z)', '7 days', 'Atlantic/Azores');

-- Hours begin at local minute 0, also where the clock had another one in 2000; one that comes twice is two buckets.
SELECT * FROM pg_temp.buckets('[2026-03-01 00:00Z, 2026-03-01 02:00Z)', '1 hour', 'Asia/Colombo');
SELECT * FROM pg_temp.buckets('[2026-03-01 00:00Z, 2026-03-01 02:00Z)', '1 hour', 'Pacific/Norfolk');
SELECT * FROM pg_temp.buckets('[2015-10-03 13:30Z, 2015-10-03 17:00Z)', '1 hour', 'Pacific/Norfolk');
SELECT * FROM pg_temp.buckets('[2026-03-01 00:00Z, 2026-03-01 01:00Z)', '20 min', 'Asia/Kathmandu');
SELECT * FROM pg_temp.buckets('[2025-11-02 04:00Z, 2025-11-02 08:00Z)', '1 hour', 'America/New_York');
SELECT * FROM pg_temp.buckets('[2025-03-09 05:00Z, 2025-03-09 09:00Z)', '1 hour', 'America/New_York');
-- Half an hour that comes twice makes the hour longer, one that is skipped makes it shorter.
SELECT * FROM pg_temp.buckets('[2025-04-05 13:00Z, 2025-04-05 17:00Z)', '1 hour', 'Australia/Lord_Howe');
SELECT * FROM pg_temp.buckets('[2025-10-04 14:00Z, 2025-10-04 17:00Z)', '1 hour', 'Australia/Lord_Howe');
SELECT * FROM pg_temp.buckets('[2025-10-04 15:00Z, 2025-10-04 16:00Z)', '30 min', 'Australia/Lord_Howe');
-- What divides no day knows no days.
SELECT * FROM pg_temp.buckets('[2025-10-25 00:00Z, 2025-10-27 00:00Z)', '17 hours', 'Atlantic/Azores');

-- A window within one bucket, one at its very edges, one that ends before it begins to have happened.
SELECT * FROM pg_temp.buckets('[2025-10-26 00:10Z, 2025-10-26 00:20Z)', '1 day', 'Atlantic/Azores');
SELECT * FROM pg_temp.buckets('[2025-10-26 00:00Z, 2025-10-27 01:00Z)', '1 day', 'Atlantic/Azores');
SELECT iot_kpi.bucket_edges('[2025-10-26 00:00Z, 2025-10-27 01:00Z)', '1 day', 'Atlantic/Azores', '2025-10-26 00:00Z');
