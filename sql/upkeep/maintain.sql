-- Upkeep: a run through the steps of upkeep_steps(). One code for both ways to have it done: the background worker and
-- CALL iot_kpi.maintain() call upkeep() until it has nothing left to do, a transaction a call.
--
-- A transaction is small, and none waits: for a lock at most lock_timeout of upkeep(), so that no writer queues up behind it for
-- longer. What is in use is left for the next run. Each step finds its work by looking at the store, not at what a run before has
-- noted: wherever a run is cut off, the next one goes on.

CREATE FUNCTION iot_kpi.upkeep_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 7666211735220613477::bigint;
COMMENT ON FUNCTION iot_kpi.upkeep_lock() IS 'Key of the advisory lock that each transaction of upkeep holds, so that two runs never do the same thing at once';

CREATE FUNCTION iot_kpi.upkeep_steps() RETURNS TABLE (step text, description text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
VALUES
    -- A run begins here, and libraries that were released say so by name.
    ('partitions', 'makes partitions ahead, and those of years that lack one'),
    -- Before what takes long: somebody waits to be told.
    ('deadlines', 'records and announces devices that fall silent, and their return'),
    ('calculations', 'calculates what is stale, and hours and days that are over'),
    -- At last: what goes has been calculated by then.
    ('retention', 'drops and deletes what has expired');
END;
COMMENT ON FUNCTION iot_kpi.upkeep_steps() IS
    'The steps of upkeep in their order. A step is done by the function iot_kpi.upkeep_STEP(place jsonb): it does a piece and returns the place to go on from, NULL when all is done';

CREATE FUNCTION iot_kpi.upkeep(place jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- Whoever waits for a lock makes others wait behind it.
SET lock_timeout = '100ms'
AS $$
DECLARE
    steps constant text[] := ARRAY(SELECT s.step FROM iot_kpi.upkeep_steps() WITH ORDINALITY s ORDER BY s.ordinality);
    step constant text := place ->> 'step';
    run_by constant text := coalesce(place ->> 'by', 'session');
    further jsonb;
    fault text;
BEGIN
    IF step IS NULL OR step <> ALL (steps) THEN
        RAISE EXCEPTION 'upkeep cannot go on from %', place
            USING ERRCODE = 'invalid_parameter_value', HINT = 'CALL iot_kpi.maintain() does all of it.';
    ELSIF NOT iot_kpi.owns_store() THEN
        IF NOT coalesce(has_function_privilege(to_regprocedure('iot.upkeep_as_owner(jsonb)'), 'EXECUTE'), false) THEN
            RAISE EXCEPTION 'role % may not do the upkeep of this store', quote_ident(current_user)
                USING ERRCODE = 'insufficient_privilege',
                      HINT = format('As its owner: SELECT iot_kpi.grant_admin(%L);', current_user);
        END IF;
        RETURN iot.upkeep_as_owner(place);
    ELSIF to_regclass('iot.upkeep') IS NULL THEN
        RAISE EXCEPTION 'the store is of an older version'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Bring it up to date: SELECT iot_kpi.create_store();';
    ELSIF NOT pg_try_advisory_xact_lock(iot_kpi.upkeep_lock()) THEN
        RAISE NOTICE 'another session is at the upkeep of this store';
        RETURN NULL;
    END IF;

    IF NOT place ? 'since' THEN
        INSERT INTO iot.upkeep AS u (step, started_at, run_by) VALUES ('run', now(), run_by)
        ON CONFLICT ON CONSTRAINT upkeep_pkey DO UPDATE SET started_at = excluded.started_at, run_by = excluded.run_by;
    END IF;
    BEGIN
        EXECUTE format('SELECT iot_kpi.%I($1)', 'upkeep_' || step) INTO further USING place;
    EXCEPTION WHEN OTHERS THEN
        -- A step that fails hides none of the others.
        fault := format('%s (%s)', SQLERRM, SQLSTATE);
        RAISE WARNING 'upkeep: % failed: %', step, fault;
    END;
    IF further IS NOT NULL THEN
        further := further || jsonb_build_object('since', coalesce(place ->> 'since', now()::text));
        UPDATE iot.upkeep u SET place = further WHERE u.step = 'run';
        RETURN further;
    END IF;

    INSERT INTO iot.upkeep AS u (step, finished_at, run_by, error, error_at)
    VALUES (step, CASE WHEN fault IS NULL THEN clock_timestamp() END, run_by, fault, CASE WHEN fault IS NOT NULL THEN clock_timestamp() END)
    ON CONFLICT ON CONSTRAINT upkeep_pkey DO UPDATE
        SET finished_at = coalesce(excluded.finished_at, u.finished_at), run_by = excluded.run_by,
            error = coalesce(excluded.error, u.error), error_at = coalesce(excluded.error_at, u.error_at);
    IF step <> steps[cardinality(steps)] THEN
        further := jsonb_build_object('step', steps[array_position(steps, step) + 1], 'by', run_by, 'since', coalesce(place ->> 'since', now()::text));
    END IF;
    UPDATE iot.upkeep u
    SET place = further, finished_at = CASE WHEN further IS NULL THEN clock_timestamp() ELSE u.finished_at END
    WHERE u.step = 'run';
    RETURN further;
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep(jsonb) IS
    'One small transaction of upkeep: does a piece of the step that the place names, and returns the place to go on from, NULL at the end. An error is noted in iot.upkeep, and the next step goes on';

CREATE FUNCTION iot_kpi.upkeep_fault() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT string_agg(format('%s: %s', u.step, u.error), '; ' ORDER BY u.error_at)
            FROM iot.upkeep u JOIN iot.upkeep r ON r.step = 'run' AND u.error_at >= r.started_at);
END
$$;
COMMENT ON FUNCTION iot_kpi.upkeep_fault() IS 'What went wrong in the last run of upkeep; NULL where nothing did';

CREATE PROCEDURE iot_kpi.maintain()
    -- A procedure that commits cannot fix its search_path: so nothing here is looked up by it.
    LANGUAGE plpgsql AS $$
DECLARE
    place pg_catalog.jsonb := '{"step": "partitions", "by": "session"}';
    fault pg_catalog.text;
BEGIN
    PERFORM iot_kpi.require_store();
    WHILE place IS NOT NULL LOOP
        place := iot_kpi.upkeep(place);
        COMMIT;
    END LOOP;
    fault := iot_kpi.upkeep_fault();
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'upkeep is not complete: %', fault
            USING HINT = 'All other steps are done. SELECT * FROM iot_kpi.health();';
    END IF;
END $$;
COMMENT ON PROCEDURE iot_kpi.maintain() IS
    'Upkeep, for cron: every step of upkeep_steps(), in small transactions. What the background worker does';
