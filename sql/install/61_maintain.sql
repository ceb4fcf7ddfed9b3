-- Upkeep from cron: each step is a transaction of its own, so none holds its locks for long.

CREATE PROCEDURE iot_kpi.maintain()
    LANGUAGE plpgsql AS $$
DECLARE
    day timestamptz := pg_catalog.date_trunc('day', pg_catalog.now(), 'UTC');
    stale_days timestamptz[];
BEGIN
    PERFORM iot_kpi.require_store();
    PERFORM iot_kpi.make_partitions();
    COMMIT;
    PERFORM iot_kpi.drop_expired();
    COMMIT;
    -- Yesterday and today: what came to an end since the last run. What is missing further back: calculate_kpis(during).
    PERFORM iot_kpi.calculate_kpis(pg_catalog.tstzrange(day - interval '24 hours', day + interval '24 hours'));
    COMMIT;
    SELECT pg_catalog.array_agg(DISTINCT pg_catalog.date_trunc('day', pg_catalog.lower(k.period), 'UTC')) INTO stale_days
        FROM iot.kpi_calculations k WHERE k.stale;
    FOREACH day IN ARRAY coalesce(stale_days, '{}') LOOP
        PERFORM iot_kpi.calculate_kpis(pg_catalog.tstzrange(day, day + interval '24 hours'), (
            SELECT pg_catalog.array_agg(DISTINCT k.device_id) FROM iot.kpi_calculations k
            WHERE k.stale AND k.period <@ pg_catalog.tstzrange(day, day + interval '24 hours')));
        COMMIT;
    END LOOP;
END $$;
COMMENT ON PROCEDURE iot_kpi.maintain() IS
    'upkeep, for cron: makes partitions ahead, drops expired ones, calculates what has come to an end or is stale, a transaction each';
