-- What each table and column of the store means, in the catalog for who looks there.

CREATE FUNCTION iot_kpi.create_store_comments() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    line text[];
BEGIN
    COMMENT ON SCHEMA iot IS 'Device store of pg_iot_kpi: ordinary tables, dumped by pg_dump, kept by DROP EXTENSION';
    FOREACH line SLICE 1 IN ARRAY ARRAY[
        ['settings', '', 'Settings of the store'],
        ['settings', 'name', 'Name of the setting'],
        ['settings', 'value', 'Value as text; NULL stands for the default'],
        ['settings', 'description', 'Meaning and allowed values'],

        ['devices', '', 'Devices, one row each; a sample of an unknown device can register it'],
        ['devices', 'device_id', 'Id as the device names itself, 1 to 255 characters'],
        ['devices', 'name', 'Name for people; the device_id unless given'],
        ['devices', 'device_type', 'Kind of device, a group in fleet reports'],
        ['devices', 'location', 'Place, a group in fleet reports'],
        ['devices', 'expected_interval', 'Time between two reports of a healthy device; exact, no months'],
        ['devices', 'liveness', 'How long one beat proves the device alive; NULL: three expected intervals'],
        ['devices', 'status_ttl', 'How long a status sample holds before it turns unknown; NULL: until the next one'],
        ['devices', 'degraded_counts_up', 'Whether the status degraded counts as up'],
        ['devices', 'response_target', 'Apdex target in milliseconds'],
        ['devices', 'heartbeat_metric', 'The metric whose samples are beats; NULL: every sample is one. A failed communication and a heartbeat of 0 prove nothing'],
        ['devices', 'collector_id', 'The collector that observes the device; while it is down the device is unknown'],
        ['devices', 'commissioned_at', 'Before this instant the device is excluded'],
        ['devices', 'decommissioned_at', 'From this instant on the device is excluded'],
        ['devices', 'metadata', 'Anything else; its keys can group fleet reports'],
        ['devices', 'registered_by', 'operator, or first_sample: registered on first sight, commissioned at its earliest sample'],
        ['devices', 'created_at', 'When the row was made'],
        ['devices', 'updated_at', 'When the row was last changed'],

        ['metric_types', '', 'Metrics that devices may send'],
        ['metric_types', 'metric', 'Name of the metric'],
        ['metric_types', 'unit', 'Unit of its values'],
        ['metric_types', 'kind', 'gauge (a level), counter (a total that only grows until reset) or delta (an amount since the last sample)'],
        ['metric_types', 'minimum', 'Smallest value accepted; NULL: no limit'],
        ['metric_types', 'maximum', 'Largest value accepted; NULL: no limit'],
        ['metric_types', 'description', 'Meaning'],
        ['metric_types', 'retention', 'How long its samples are kept where that is shorter than the setting retention; NULL: as long as all'],
        ['metric_types', 'expired_until', 'Its samples before this instant have been deleted, written by upkeep'],

        ['device_metrics', '', 'Metric samples, one partition a UTC day, and one a year for days that have none'],
        ['device_metrics', 'device_id', 'Device that sent the sample'],
        ['device_metrics', 'metric', 'Metric, one of iot.metric_types'],
        ['device_metrics', 'time', 'When it was measured'],
        ['device_metrics', 'value', 'Measured value, a finite number'],
        ['device_metrics', 'received_at', 'When the store received it'],

        ['device_status_history', '', 'Status samples; each holds until the next one of its device'],
        ['device_status_history', 'device_id', 'Device that sent the sample'],
        ['device_status_history', 'time', 'From when the status holds'],
        ['device_status_history', 'status', 'online, degraded, offline, error, maintenance or unknown'],
        ['device_status_history', 'reason', 'Why, in the sender''s words, at most 1000 characters'],
        ['device_status_history', 'received_at', 'When the store received it'],
        ['device_status_history', 'recorded_by', 'upkeep: its record of a missed deadline or of the end of a silence, which no report counts; NULL: a sample of the device'],

        ['device_liveness', '', 'Latest samples of each device, kept by triggers: never write it by hand. Its row is the lock between writers and calculate_kpis()'],
        ['device_liveness', 'device_id', 'Device'],
        ['device_liveness', 'last_measured', 'Time of its latest metric sample'],
        ['device_liveness', 'last_received', 'When a metric sample of it last arrived'],
        ['device_liveness', 'last_beat', 'Time of its latest beat, see devices.heartbeat_metric'],
        ['device_liveness', 'last_status', 'Its latest status'],
        ['device_liveness', 'last_status_at', 'Time of its latest status sample'],
        ['device_liveness', 'silent_since', 'The deadline that it missed, where upkeep has recorded that; NULL once it reports again'],
        ['device_liveness', 'calculated_at', 'When KPIs that depend on it were last calculated'],
        ['device_liveness', 'calculated_until', 'No kpi_calculations row that depends on it reaches further; older samples must mark such rows stale'],

        ['maintenance_windows', '', 'Time in which devices are not required to work'],
        ['maintenance_windows', 'id', 'Number of the window'],
        ['maintenance_windows', 'device_id', 'Device; NULL: all devices'],
        ['maintenance_windows', 'period', 'The window; without an end it lasts until further notice'],
        ['maintenance_windows', 'reason', 'Why'],
        ['maintenance_windows', 'created_by', 'Who entered it'],
        ['maintenance_windows', 'created_at', 'When it was entered'],

        ['slo_targets', '', 'Objectives'],
        ['slo_targets', 'id', 'Number of the objective'],
        ['slo_targets', 'scope_kind', 'What it is for: device, device_type, location or all'],
        ['slo_targets', 'scope_value', 'Which device, type or location; NULL for all'],
        ['slo_targets', 'kpi', 'KPI the objective is about, a column of device_kpis()'],
        ['slo_targets', 'objective', 'Ratio to reach, between 0 and 1'],
        ['slo_targets', 'period', 'Length of the sliding period it is judged over; exact, no months'],

        ['upkeep', '', 'Upkeep, a row for each of its steps and one for the run as a whole'],
        ['upkeep', 'step', (SELECT string_agg(s.step, ', ' ORDER BY s.ordinality) FROM iot_kpi.upkeep_steps() WITH ORDINALITY s) || '; run: all of them'],
        ['upkeep', 'started_at', 'When the last run began'],
        ['upkeep', 'finished_at', 'When it was last finished without an error'],
        ['upkeep', 'run_by', 'worker, or session: somebody called maintain()'],
        ['upkeep', 'calculated_until', 'Of the step calculations: no hour before this one was missing then'],
        ['upkeep', 'deleted_until', 'Of the step retention: of partitions of years, samples before this instant have been deleted'],
        ['upkeep', 'error', 'What last went wrong'],
        ['upkeep', 'error_at', 'When that was'],
        ['upkeep', 'place', 'Of run: where it goes on; NULL between runs'],

        ['kpi_calculations', '', 'Calculated KPIs of whole hours and days, written by calculate_kpis()'],
        ['kpi_calculations', 'device_id', 'Device'],
        ['kpi_calculations', 'period', 'The hour or day (UTC)'],
        ['kpi_calculations', 'grain', 'hour or day'],
        ['kpi_calculations', 'stale', 'True from the moment something it was calculated from changes until it is calculated again'],
        ['kpi_calculations', 'calculated_at', 'When it was calculated'],
        -- catalogue: comments
        ['kpi_calculations', 'up_time', 'Time required, observed and working'],
        ['kpi_calculations', 'down_time', 'Time required, observed and not working'],
        ['kpi_calculations', 'unknown_time', 'Time in which nobody was looking'],
        ['kpi_calculations', 'excluded_time', 'Time in which it was not required to work'],
        ['kpi_calculations', 'uptime', 'Up / (up + down) by heartbeats'],
        ['kpi_calculations', 'availability', 'Up / (up + down) by status reports'],
        ['kpi_calculations', 'failures', 'Outages that began in the window'],
        ['kpi_calculations', 'mtbf', 'Up time / failures'],
        ['kpi_calculations', 'mttr', 'Down time / failures'],
        ['kpi_calculations', 'longest_outage', 'The longest outage of the window'],
        ['kpi_calculations', 'completeness', 'Share of the expected reports that came'],
        ['kpi_calculations', 'regularity', '1 is clockwork, 0 is random'],
        ['kpi_calculations', 'stability', '1 never changes between up and down, 0 at every report'],
        ['kpi_calculations', 'consistency', 'Geometric mean of completeness, regularity and stability'],
        ['kpi_calculations', 'jitter', 'Mean difference between consecutive gaps, s'],
        ['kpi_calculations', 'missed_beats', 'Reports that did not come'],
        ['kpi_calculations', 'response_count', 'Response times measured'],
        ['kpi_calculations', 'response_mean', 'Mean response time, ms'],
        ['kpi_calculations', 'response_p50', 'Half of the responses were quicker, ms'],
        ['kpi_calculations', 'response_p90', '90 % of the responses were quicker, ms'],
        ['kpi_calculations', 'response_p95', '95 % of the responses were quicker, ms'],
        ['kpi_calculations', 'response_p99', '99 % of the responses were quicker, ms'],
        ['kpi_calculations', 'apdex', '(satisfied + tolerating / 2) / total; 1 is best'],
        ['kpi_calculations', 'attempts', 'Communications attempted'],
        ['kpi_calculations', 'failed', 'Communications that failed'],
        ['kpi_calculations', 'error_rate', 'Failed / attempts'],
        ['kpi_calculations', 'error_rate_low', 'Lower end of the 95 % interval'],
        ['kpi_calculations', 'error_rate_high', 'Upper end of the 95 % interval'],
        ['kpi_calculations', 'bytes_per_second', 'Bytes / required seconds, bytes/s'],
        ['kpi_calculations', 'messages_per_second', 'Messages / required seconds, 1/s'],
        ['kpi_calculations', 'response_p75', '75 % of the responses were quicker, ms'],
        -- catalogue: end
        ['kpi_calculations', 'expected_interval', 'The setting that it was calculated with'],
        ['kpi_calculations', 'liveness', 'The same, or three expected intervals where the device has none'],
        ['kpi_calculations', 'parts', 'Mergeable parts, from which longer periods are put together'],
        ['kpi_calculations', 'summary', 'Of a day: the parts with runs instead of beats, which reports read while both settings are what they were']
    ] LOOP
        IF line[2] = '' THEN
            EXECUTE format('COMMENT ON TABLE iot.%I IS %L', line[1], line[3]);
        ELSE
            EXECUTE format('COMMENT ON COLUMN iot.%I.%I IS %L', line[1], line[2], line[3]);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_comments() IS 'Step of create_store(): what each table and column means';
