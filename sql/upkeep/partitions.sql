-- Places ahead of the samples that will need them. Where the default partition took some meanwhile, they get a year of their own.

CREATE FUNCTION iot_kpi.upkeep_partitions(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Moving rows to their year locks the years at last: so one a transaction.
    IF iot_kpi.make_years(1) > 0 THEN
        RETURN place;
    END IF;
    PERFORM iot_kpi.make_partitions();
    RETURN NULL;
EXCEPTION WHEN lock_not_available THEN
    -- The next run tries again. They are made days ahead, and without them samples have a place all the same.
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_partitions(jsonb) IS 'Step of upkeep: makes the partitions that are wanted ahead, and those of years that lack one';
