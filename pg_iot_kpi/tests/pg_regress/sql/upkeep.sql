-- A run of upkeep: its steps, each a line and a function, in pieces, and what of it is noted.
\set VERBOSITY terse
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
SELECT iot_kpi.create_store() LIKE 'store version %' AS made;

-- The first is where a run begins: the worker of every released library says so.
SELECT step, to_regprocedure(format('iot_kpi.upkeep_%s(jsonb)', step)) IS NOT NULL AS is_done FROM iot_kpi.upkeep_steps();
SELECT col_description('iot.upkeep'::regclass, 1);

CALL iot_kpi.maintain();
SELECT step, finished_at IS NOT NULL AS finished, error, place FROM iot.upkeep ORDER BY finished_at, step = 'run';

-- Other steps: one takes three pieces, one fails, and one comes after that.
CREATE TABLE journal (line int GENERATED ALWAYS AS IDENTITY, step text, piece int, transaction xid8 DEFAULT pg_current_xact_id());
CREATE OR REPLACE FUNCTION iot_kpi.upkeep_steps() RETURNS TABLE (step text, description text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
VALUES ('partitions', ''), ('new', 'in pieces'), ('faulty', 'fails'), ('last', 'is done all the same');
END;
CREATE FUNCTION iot_kpi.upkeep_new(place jsonb) RETURNS jsonb LANGUAGE sql AS $$
    INSERT INTO public.journal (step, piece) VALUES ('new', coalesce((place ->> 'piece')::int, 1));
    SELECT CASE WHEN (place ->> 'piece')::int = 3 THEN NULL ELSE place || jsonb_build_object('piece', coalesce((place ->> 'piece')::int, 1) + 1) END
$$;
CREATE FUNCTION iot_kpi.upkeep_faulty(place jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.journal (step) VALUES ('faulty');
    RAISE 'no luck';
END $$;
CREATE FUNCTION iot_kpi.upkeep_last(place jsonb) RETURNS jsonb LANGUAGE sql AS $$
    INSERT INTO public.journal (step) VALUES ('last') RETURNING NULL::jsonb
$$;
DELETE FROM iot.upkeep;
CALL iot_kpi.maintain();
SELECT step, piece, row_number() OVER (PARTITION BY transaction) = 1 AS own_transaction FROM journal ORDER BY line;
SELECT step, finished_at IS NOT NULL AS finished, error, place FROM iot.upkeep ORDER BY finished_at, step = 'run';

-- Cut off after a piece, it stands where it goes on; the next run begins anew.
DELETE FROM iot.upkeep;
SELECT iot_kpi.upkeep('{"step": "new", "by": "session"}') - 'since' AS place;
SELECT place - 'since' AS place FROM iot.upkeep WHERE step = 'run';

-- What is no step is not called, whatever there is of that name.
SELECT iot_kpi.upkeep('{"step": "stale"}');
SELECT iot_kpi.upkeep('{"step": "fault()); DROP TABLE journal; --"}');
SELECT iot_kpi.upkeep('{}');
