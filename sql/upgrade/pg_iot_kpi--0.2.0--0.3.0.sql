-- From 0.2.0 to 0.3.0. Above the line below stands what is written by hand, which runs first; `make upgrade-script`
-- writes what is below it, from the difference between sql/upgrade/pg_iot_kpi--0.2.0.sql and sql/install.
\echo Use "ALTER EXTENSION pg_iot_kpi UPDATE TO '0.3.0'" to load this file. \quit

---- generated ----

CREATE OR REPLACE FUNCTION iot_kpi.default_settings()
RETURNS TABLE (name text, value text, kind text, description text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
VALUES
    ('unknown_devices', 'register', 'register|refuse',
     'What a sample of an unknown device does: register the device on first sight, or be refused'),
    ('unknown_metrics', 'refuse', 'register|refuse',
     'What a sample of an unknown metric does: register the metric as a gauge, or be refused'),
    ('clock_skew', '5 min', 'interval',
     'How far ahead of this server''s clock a sample may be before the forgiving door clamps it and the strict one refuses it'),
    ('retention', NULL, 'interval',
     'How long samples are kept; older ones are refused and drop_expired() drops them. NULL keeps everything'),
    ('partitions_ahead', '3 days', 'interval',
     'How far ahead of now partitions are made'),
    ('calculations', 'on', 'on|off',
     'Whether upkeep calculates the hours and days that are over'),
    ('deadlines', 'on', 'on|off',
     'Whether upkeep records and announces devices that fall silent, and their return'),
    ('upkeep_batch', '50', 'count',
     'How many devices upkeep handles in one transaction, 1 to 10000'),
    ('evidence_from', NULL, 'internal',
     'Before this instant the retention of a metric has deleted samples that KPIs were made of, written by upkeep'),
    ('store_version', '3', 'internal',
     'Version of the tables in schema iot, written by create_store()');
END;
