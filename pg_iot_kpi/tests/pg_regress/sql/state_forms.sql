-- The text and binary forms of the states: what goes out comes in again, and nothing else does.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
CREATE SCHEMA state_forms_test;
SET search_path = state_forms_test, iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

CREATE TABLE states AS
    SELECT heartbeat_agg(at, '90 s') AS h, status_agg(at, (ARRAY['online', 'offline', 'degraded'])[1 + i % 3]) AS s, cadence_agg(at) AS c,
           response_agg(i * 1.5) AS r, throughput_agg(at, i * 0.1, 'counter') AS t,
           evidence_agg(at, (ARRAY['response_time', 'error', 'bytes', 'temperature'])[1 + i % 4], i % 2, NULL, false,
                        ARRAY['2024-01-01', '2024-01-02']::timestamptz[]) AS e
    FROM generate_series(1, 100) AS i, LATERAL (SELECT '2024-01-01 00:00+00'::timestamptz + i * i * interval '1 s' AS at) AS a;

-- Text.
SELECT h::text::heartbeats::text = h::text AS h, s::text::status_timeline::text = s::text AS s, c::text::cadence::text = c::text AS c,
       r::text::response_sketch::text = r::text AS r, t::text::throughput::text = t::text AS t, e::text::evidence::text = e::text AS e FROM states;
-- Binary, over the protocol.
CREATE TABLE received (LIKE states);
\copy states TO PROGRAM 'cat > "${TMPDIR:-/tmp}/pg_iot_kpi_states.$PPID"' (FORMAT binary)
\copy received FROM PROGRAM 'cat "${TMPDIR:-/tmp}/pg_iot_kpi_states.$PPID"' (FORMAT binary)
SELECT count(*), bool_and((r.*)::text = (s.*)::text) AS same FROM received AS r, states AS s;
-- With another type's letter. COPY says which column.
\copy received FROM PROGRAM 'tr H X < "${TMPDIR:-/tmp}/pg_iot_kpi_states.$PPID"; rm "${TMPDIR:-/tmp}/pg_iot_kpi_states.$PPID"' (FORMAT binary)
SELECT '\x' || encode(heartbeats_send(h), 'hex') = h::text AS h, '\x' || encode(status_timeline_send(s), 'hex') = s::text AS s,
       '\x' || encode(cadence_send(c), 'hex') = c::text AS c, '\x' || encode(response_sketch_send(r), 'hex') = r::text AS r,
       '\x' || encode(throughput_send(t), 'hex') = t::text AS t, '\x' || encode(evidence_send(e), 'hex') = e::text AS e FROM states;

-- Forms of version 1, written down: they must be read for ever.
SELECT heartbeat_agg('2024-01-01 00:00:00+00', '90 s'), heartbeat_agg(NULL, NULL);
SELECT status_agg('2024-01-01 00:00:00+00', 'degraded');
SELECT cadence_agg(at) FROM unnest(ARRAY['2024-01-01 00:00:00+00', '2024-01-01 00:01:00+00', '2024-01-01 00:02:00.000001+00']::timestamptz[]) AS at;
SELECT response_agg(ms) FROM unnest(ARRAY[0, 10, 20.5]::float8[]) AS ms;
SELECT throughput_agg('2024-01-01 00:00:00+00', 1.5), throughput_agg('2024-01-01 00:00:00+00', 1.5, 'counter');

-- Damage: none of it is read. Every byte of every state is cut off, and every one is altered.
CREATE FUNCTION refuses(form text, type regtype) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT %L::%s', form, type);
    RETURN false;
EXCEPTION WHEN invalid_text_representation OR invalid_binary_representation OR data_corrupted OR invalid_parameter_value THEN
    RETURN true;
END $$;
CREATE VIEW forms AS
    SELECT 'heartbeats'::regtype AS type, h::text AS form FROM states UNION ALL SELECT 'status_timeline', s::text FROM states
    UNION ALL SELECT 'cadence', c::text FROM states UNION ALL SELECT 'response_sketch', r::text FROM states
    UNION ALL SELECT 'throughput', t::text FROM states UNION ALL SELECT 'evidence', e::text FROM states;
SELECT type, bool_and(refuses(left(form, n), type)) AS truncated FROM forms, generate_series(0, length(form) - 1) AS n GROUP BY type ORDER BY type::text;
SELECT type, bool_and(refuses(overlay(form PLACING CASE substr(form, n, 1) WHEN '0' THEN '8' ELSE '0' END FROM n FOR 1), type)) AS altered
    FROM forms, generate_series(3, length(form)) AS n GROUP BY type ORDER BY type::text;
SELECT f.type, bool_and(refuses(other.form, f.type)) AS foreign_refused FROM forms AS f, forms AS other WHERE f.type <> other.type GROUP BY f.type ORDER BY f.type::text;
SELECT type, refuses(form || '00', type) AS longer FROM forms ORDER BY type::text;
-- Upper case digits and spaces around are as good as PostgreSQL's own bytea has them.
SELECT bool_and(NOT refuses('\x' || upper(substr(form, 3)), type)) AS upper_case FROM forms;
SELECT bool_and(NOT refuses(' ' || form || ' ', type)) AS spaces FROM forms;

-- What is said.
SELECT ''::heartbeats;
SELECT 'nonsense'::heartbeats;
SELECT '\x123'::heartbeats;
SELECT '\x12zz'::heartbeats;
SELECT '\x'::heartbeats;
SELECT '\x480100000000'::heartbeats;
SELECT '\x4802d202ef8d00'::heartbeats;
SELECT '\x5301d202ef8d00'::heartbeats;

DROP SCHEMA state_forms_test CASCADE;
