-- Is the store well? Every line says what was found and, unless it is ok, what to do. Plain PostgreSQL catalogs first, so that it
-- answers also when there is no store yet.

CREATE FUNCTION iot_kpi.health()
RETURNS TABLE ("check" text, status text, detail text, remedy text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted constant text := (SELECT d.value FROM iot_kpi.default_settings() d WHERE d.name = 'store_version');
    tables constant text[] := ARRAY['devices', 'device_liveness', 'device_metrics', 'device_status_history', 'kpi_calculations',
                                    'maintenance_windows', 'metric_types', 'settings', 'slo_targets', 'upkeep'];
    installed text;
    available text;
    missing text;
    -- A check has its own: what another one found is never told as its own.
    triggers integer;
    partitions integer;
    without_partition text;
    devices bigint;
    last_measured timestamptz;
    last_received timestamptz;
    stale bigint;
    beyond bigint;
    beyond_first text;
    expired integer;
    expired_from timestamptz;
    metrics_expired_from timestamptz;
    missed bigint;
    returned bigint;
    last_run record;
    last_error record;
    fresh boolean;
    unplaced boolean;
    fault text;
BEGIN
    SELECT e.extversion, a.default_version INTO installed, available
    FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname WHERE e.extname = 'pg_iot_kpi';
    RETURN QUERY SELECT 'extension', CASE WHEN installed = available THEN 'ok' ELSE 'warn' END,
        format('version %s, installed files are %s', coalesce(installed, 'unknown'), coalesce(available, 'not to be found')),
        CASE WHEN installed = available THEN NULL ELSE 'ALTER EXTENSION pg_iot_kpi UPDATE; SELECT iot_kpi.create_store();' END;

    SELECT string_agg(t, ', ') INTO missing FROM unnest(tables) t WHERE to_regclass('iot.' || t) IS NULL;
    IF missing IS NOT NULL THEN
        RETURN QUERY SELECT 'store', 'fail', CASE WHEN to_regclass('iot.settings') IS NULL THEN 'there is no store' ELSE 'tables missing in schema iot: ' || missing END,
            'SELECT iot_kpi.create_store();';
        RETURN;
    END IF;

    RETURN QUERY SELECT 'store', CASE WHEN iot_kpi.setting('store_version') = wanted THEN 'ok' ELSE 'fail' END,
        format('version %s, this extension wants %s', iot_kpi.setting('store_version'), wanted),
        CASE WHEN iot_kpi.setting('store_version') = wanted THEN NULL ELSE 'SELECT iot_kpi.create_store();' END;

    -- DROP EXTENSION ... CASCADE takes the triggers and leaves the tables.
    SELECT count(*) INTO triggers FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
    WHERE g.tgrelid = to_regclass('iot.device_metrics') AND NOT g.tgisinternal AND p.pronamespace = 'iot_kpi'::regnamespace AND g.tgenabled <> 'D';
    RETURN QUERY SELECT 'ingest rules', CASE WHEN triggers >= 4 THEN 'ok' ELSE 'fail' END,
        format('%s of 4 triggers on iot.device_metrics', triggers), CASE WHEN triggers >= 4 THEN NULL ELSE 'SELECT iot_kpi.create_store();' END;

    SELECT count(*) INTO partitions FROM iot_kpi.partitions();
    SELECT string_agg(to_char(d.day AT TIME ZONE 'UTC', 'YYYY-MM-DD'), ', ' ORDER BY d.day) INTO without_partition
    FROM generate_series(date_trunc('day', now(), 'UTC'), now() + iot_kpi.duration('partitions_ahead'), interval '24 hours') d (day)
    WHERE NOT iot_kpi.has_partition(d.day) AND iot_kpi.wants_days();
    unplaced := iot_kpi.default_holds_samples();
    RETURN QUERY SELECT 'partitions',
        CASE WHEN unplaced IS NULL THEN 'fail' WHEN unplaced OR without_partition IS NOT NULL THEN 'warn' ELSE 'ok' END,
        format('%s partitions', partitions) || coalesce(', missing: ' || without_partition, ', all made that are wanted')
            || CASE WHEN unplaced THEN '; iot.device_metrics_default holds samples of years that have none' WHEN unplaced IS NULL THEN '; the default partition is missing' ELSE '' END,
        CASE WHEN unplaced IS NULL THEN 'SELECT iot_kpi.create_store();'
             WHEN unplaced OR without_partition IS NOT NULL THEN 'SELECT iot_kpi.make_partitions(); and have it done regularly' END;

    SELECT max(l.last_measured), max(l.last_received), count(*) INTO last_measured, last_received, devices FROM iot.device_liveness l;
    RETURN QUERY SELECT 'samples', CASE WHEN last_received > now() - interval '15 min' THEN 'ok' ELSE 'warn' END,
        CASE WHEN last_measured IS NULL THEN 'no sample yet'
             ELSE format('%s devices, last measured %s, last received %s ago', devices, last_measured, date_trunc('second', now() - last_received)) END,
        CASE WHEN last_received > now() - interval '15 min' THEN NULL ELSE 'Look whether the collector runs and can reach the database.' END;

    SELECT u.finished_at, u.run_by INTO last_run FROM iot.upkeep u WHERE u.step = 'run' AND u.finished_at IS NOT NULL;
    fresh := coalesce(last_run.finished_at > now() - interval '15 min', false);
    SELECT u.step, u.error, u.error_at INTO last_error FROM iot.upkeep u WHERE u.error_at IS NOT NULL ORDER BY u.error_at DESC LIMIT 1;
    fault := iot_kpi.upkeep_fault();

    SELECT count(*) INTO stale FROM iot.kpi_calculations k WHERE k.stale;
    RETURN QUERY SELECT 'calculations', CASE WHEN stale = 0 OR fresh THEN 'ok' ELSE 'warn' END,
        format('%s stale', stale) || coalesce((SELECT ', last calculated ' || max(l.calculated_at) FROM iot.device_liveness l), ', none calculated yet'),
        CASE WHEN stale = 0 OR fresh THEN NULL ELSE 'SELECT iot_kpi.calculate_kpis(during) over the stale periods, or let upkeep do it' END;

    SELECT count(*), string_agg(b.device_id, ', ' ORDER BY b.device_id) FILTER (WHERE b.place <= 5) INTO beyond, beyond_first
    FROM (SELECT k.device_id, row_number() OVER (ORDER BY k.device_id) AS place FROM iot.kpi_calculations k
          WHERE k.response_count > 0 AND k.response_mean IS NULL OR k.messages_per_second IS NOT NULL AND k.bytes_per_second IS NULL
          GROUP BY k.device_id) b;
    RETURN QUERY SELECT 'figures', CASE WHEN beyond = 0 THEN 'ok' ELSE 'warn' END,
        format('%s devices with a KPI that could not be summed', beyond) || coalesce(': ' || beyond_first, '') || CASE WHEN beyond > 5 THEN ', ...' ELSE '' END,
        CASE WHEN beyond > 0 THEN 'Look for negative values and values near 1.8e308 among their response_time and bytes; delete them, or set minimum and maximum in iot.metric_types' END;

    SELECT count(*), min(e.first) INTO expired, expired_from FROM iot_kpi.expired_partitions() e;
    SELECT min(e.day) INTO metrics_expired_from FROM iot_kpi.expired_metrics() e;
    RETURN QUERY SELECT 'retention', CASE WHEN expired <= 1 AND metrics_expired_from IS NULL THEN 'ok' ELSE 'warn' END,
        format('%s expired partitions', expired) || coalesce(', the earliest of ' || to_char(expired_from AT TIME ZONE 'UTC', 'YYYY-MM-DD'), '')
            || coalesce(', metrics expired from ' || to_char(metrics_expired_from AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' on', ''),
        CASE WHEN expired <= 1 AND metrics_expired_from IS NULL THEN NULL
             ELSE 'See that upkeep runs; a report or a session that stays in a transaction keeps partitions from being dropped' END;

    SELECT count(*) FILTER (WHERE t.missed), count(*) FILTER (WHERE t.returned) INTO missed, returned FROM iot_kpi.deadlines() t;
    RETURN QUERY SELECT 'deadlines', CASE WHEN iot_kpi.setting('deadlines') = 'off' OR missed + returned = 0 OR fresh THEN 'ok' ELSE 'warn' END,
        format('%s missed and %s returns not recorded yet', missed, returned)
            || CASE iot_kpi.setting('deadlines') WHEN 'off' THEN ': the setting deadlines is off' ELSE '' END,
        CASE WHEN iot_kpi.setting('deadlines') = 'off' OR missed + returned = 0 OR fresh THEN NULL ELSE 'See that upkeep runs' END;

    RETURN QUERY SELECT 'upkeep', CASE WHEN fresh AND fault IS NULL THEN 'ok' ELSE 'warn' END,
        CASE WHEN last_run.finished_at IS NULL THEN 'has never run'
             ELSE format('last run by %s finished %s ago', CASE last_run.run_by WHEN 'worker' THEN 'the background worker' ELSE 'maintain()' END,
                         date_trunc('second', now() - last_run.finished_at)) END
            || CASE WHEN last_error.step IS NULL THEN ', no error'
                    ELSE format(', last error %s ago in %s: %s', date_trunc('second', now() - last_error.error_at), last_error.step, last_error.error) END,
        CASE WHEN fault IS NOT NULL THEN 'Mend what the error says; the step is tried again in every run'
             WHEN NOT fresh THEN 'Preload pg_iot_kpi with iot_kpi.worker = on, or have cron run: CALL iot_kpi.maintain()' END;
END
$$;
COMMENT ON FUNCTION iot_kpi.health() IS
    'State of extension and store, a line a check: status ok, warn or fail, and the remedy unless it is ok';
