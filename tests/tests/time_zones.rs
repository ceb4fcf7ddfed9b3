//! Time zones: where buckets begin in every zone that the server knows, and that no report depends on the session's.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use iot_kpi_tests::postgres::shared;
use postgres::Client;

/// Every change of clocks from 1990 to 2040, found by looking at the clocks each fortnight. Zones that are the same in all of
/// that have one name, and so have changes at the same instant that are the same.
const CHANGES: &str = "
    CREATE FUNCTION pg_temp.change(zone text, low timestamptz, high timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
    DECLARE
        shift constant interval := (low AT TIME ZONE zone) - (low AT TIME ZONE 'UTC');
        middle timestamptz;
    BEGIN
        WHILE high - low > '1 s' LOOP
            middle := low + make_interval(secs => ceil(extract(epoch FROM high - low) / 2)::float8);
            IF (middle AT TIME ZONE zone) - (middle AT TIME ZONE 'UTC') = shift THEN low := middle; ELSE high := middle; END IF;
        END LOOP;
        RETURN high;
    END $$;
    CREATE TEMP TABLE looks AS
    SELECT z.name, t, (t AT TIME ZONE z.name) - (t AT TIME ZONE 'UTC') AS shift
    FROM pg_timezone_names z, generate_series(timestamptz '1990-01-01 00:00+00', '2040-01-01 00:00+00', '336 hours') t
    WHERE z.name !~ '^(posix|right)';
    CREATE TEMP TABLE zones AS
    SELECT min(name) AS name FROM (SELECT name, md5(string_agg(shift::text, ',' ORDER BY t)) AS all_shifts FROM looks GROUP BY name) x GROUP BY all_shifts;
    CREATE TEMP TABLE changes AS
    SELECT DISTINCT ON (at, before, behind) name, at, before, behind
    FROM (SELECT name, pg_temp.change(name, t, lead(t) OVER w) AS at, shift AS before, lead(shift) OVER w AS behind
          FROM looks JOIN zones USING (name) WINDOW w AS (PARTITION BY name ORDER BY t)) x
    WHERE before <> behind;";

/// Where the edges of buckets around a change are not where the local clock first shows the start of one, by looking at it
/// every quarter of an hour and at the change: of a day, or a part longer than an hour, the latest start shown so far counts;
/// of an hour or less every start that is shown, and the change where it is put forward over one.
const WRONG: &str = "
    CREATE FUNCTION pg_temp.wrong(zone text, at timestamptz, step interval) RETURNS TABLE (what text, instant timestamptz) LANGUAGE sql AS $$
    WITH around AS (SELECT date_trunc('hour', at) - interval '26 hours' AS first, date_trunc('hour', at) + interval '26 hours' AS last),
    edges AS (SELECT e FROM around, unnest(iot_kpi.bucket_edges(tstzrange(first, last), step, zone, '2100-01-01')) e WHERE e NOT IN (first, last)),
    looks AS MATERIALIZED (
        SELECT t, wall, date_bin(step, wall, '2000-01-03') AS start, max(date_bin(step, wall, '2000-01-03')) OVER (ORDER BY t) AS latest
        FROM (SELECT t, t AT TIME ZONE zone AS wall FROM (SELECT generate_series(first, last, '15 min') FROM around UNION SELECT at) s (t)) l),
    starts AS (
        SELECT t FROM (SELECT t, wall, start, latest, lag(start) OVER w AS start_before, lag(latest) OVER w AS latest_before FROM looks WINDOW w AS (ORDER BY t)) l
        WHERE CASE WHEN step > '1 hour' THEN latest > latest_before ELSE start > start_before OR wall = start END)
    SELECT 'none at', t FROM starts, around WHERE t NOT IN (first, last) AND t NOT IN (SELECT e FROM edges)
    UNION ALL SELECT 'one at', e FROM edges WHERE e NOT IN (SELECT t FROM starts)
    $$;";

#[test]
fn buckets_begin_where_the_local_clock_shows_it() {
    let database = shared().extension("time_zones_edges");
    let mut client = database.client();
    client
        .batch_execute(&format!("SET timezone = 'UTC'; {CHANGES} {WRONG}"))
        .unwrap();
    let changes: i64 = client.query_one("SELECT count(*) FROM changes", &[]).unwrap().get(0);
    assert!(changes > 2000, "only {changes} changes of clocks");
    // Days at every change; parts of a day at every kind of change: from where to where, and at which time of day.
    let kinds = "SELECT DISTINCT ON (before, behind, (at AT TIME ZONE 'UTC' + before)::time) * FROM changes";
    for (steps, from) in [
        ("('1 day')", "changes"),
        ("('7 days'), ('6 hours'), ('1 hour'), ('30 min'), ('15 min')", kinds),
    ] {
        let from = if from == "changes" { "TABLE changes" } else { from };
        let wrong: Vec<String> = client
            .query(
                &format!(
                    "SELECT format('%s, %s at %s: %s %s', c.name, s.step, c.at, w.what, w.instant)
                     FROM ({from}) c, (VALUES {steps}) v (text), LATERAL (SELECT v.text::interval) s (step), LATERAL pg_temp.wrong(c.name, c.at, s.step) w LIMIT 20"
                ),
                &[],
            )
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Durations of days, and a week around the change of clocks in New York on 8 March 2026.
const STORE: &str = "
    INSERT INTO iot.devices (device_id, device_type, expected_interval, liveness, status_ttl, collector_id, commissioned_at) VALUES
        ('hub', 'hub', '1 hour', '1 day', NULL, NULL, '2026-03-01 00:00+00'),
        ('daily', 'meter', '1 day', NULL, '1 day', 'hub', '2026-03-01 00:00+00'),
        ('hourly', 'meter', '1 hour', '1 day 2 hours', '2 days', 'hub', '2026-03-02 00:00+00');
    INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at)
    SELECT d.device_id, m.metric, t, CASE m.metric WHEN 'error' THEN (extract(epoch FROM t)::bigint / 3600 % 5 = 0)::int ELSE extract(epoch FROM t)::bigint / 3600 % 23 END, t
    FROM iot.devices d, unnest(ARRAY['temperature', 'error', 'response_time', 'bytes']) m (metric),
         generate_series(timestamptz '2026-03-01 06:30+00', '2026-03-12 06:30+00', '1 hour') t
    WHERE d.device_id = 'hub' OR NOT t BETWEEN '2026-03-07 09:00+00' AND '2026-03-08 20:00+00' AND (d.device_id = 'hourly' OR extract(hour FROM t AT TIME ZONE 'UTC') = 6);
    INSERT INTO iot.device_status_history (device_id, time, status, received_at) VALUES
        ('daily', '2026-03-07 12:30+00', 'error', '2026-03-08 00:00+00'), ('hourly', '2026-03-06 20:10+00', 'degraded', '2026-03-08 00:00+00'),
        ('hourly', '2026-03-08 10:00+00', 'online', '2026-03-08 10:00+00');
    INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('hourly', '[2026-03-05 03:00+00, 2026-03-05 05:00+00)');
    INSERT INTO iot.slo_targets (scope_kind, kpi, objective, period) VALUES ('all', 'uptime', 0.9, '2 days'), ('all', 'availability', 0.9, '5 days');
    UPDATE iot.metric_types SET retention = '50 days' WHERE metric = 'frame_rate';";

/// What is asked, each by its own sets of rows. `{w}` is a window across the change, `{t}` an instant at which a day before counts.
const ASKED: &[&str] = &[
    "iot_kpi.device_kpis({w}, as_of => {t})",
    "iot_kpi.device_kpis({w}, '{daily}', as_of => '2026-03-08 12:00+00')",
    "iot_kpi.fleet_kpis({w}, 'device_type', as_of => {t})",
    "iot_kpi.kpi_series('uptime', {w}, '1 day', time_zone => 'Pacific/Apia', as_of => {t})",
    "iot_kpi.kpi_series('error_rate', {w}, '6 hours', 'device_type', 'America/New_York', as_of => {t})",
    "iot_kpi.sla_calendar({w}, 0.9, time_zone => 'Europe/Berlin', as_of => {t})",
    "iot_kpi.outages({w}, '1 hour', as_of => {t})",
    "iot_kpi.status_periods({w}, as_of => {t})",
    "iot_kpi.slo_report(as_of => {t})",
    "iot_kpi.slo_report({w}, as_of => {t})",
    "iot_kpi.burn_rate_alerts(as_of => {t})",
    "iot_kpi.metric_series('temperature', {w}, 16, as_of => {t})",
    "iot_kpi.metric_before('temperature', {t}, look_back => '1 day')",
    "iot_kpi.metric_before('temperature', '2026-03-08 19:45+00', '{hourly}', look_back => '1 day 11:30')",
    "iot_kpi.anomalies('temperature', '[2026-03-09 06:00+00, 2026-03-10 06:00+00)', 0.1, true, '7 days', 'Asia/Tokyo', as_of => {t})",
    // What is calculated, and a report made of it.
    "{calculate} (SELECT to_jsonb(k) - 'calculated_at' - 'period', lower(k.period) FROM iot.kpi_calculations k)",
    "{calculate} iot_kpi.device_kpis({w}, as_of => {t})",
    // On anybody's table.
    "(SELECT iot_kpi.uptime(h, {w}), iot_kpi.live_ranges(h), iot_kpi.down_time(h, {w}), iot_kpi.availability(s, {w}, status_ttl => '1 day'), iot_kpi.completeness(c, '1 day', {w}), iot_kpi.jitter(c, '1 day', {w})
      FROM (SELECT iot_kpi.heartbeat_agg(time, '1 day') AS h, iot_kpi.cadence_agg(time) AS c FROM iot.device_metrics WHERE device_id = 'daily') m,
           (SELECT iot_kpi.status_agg(time, status) AS s FROM iot.device_status_history WHERE device_id = 'daily') h)",
    // Settings that are days, from now: of four months and of eight, at least one reaches across a change of clocks.
    "(SELECT now() - iot_kpi.retained_from() AS kept, iot_kpi.earliest_sample() = iot_kpi.retained_from() AS taken, iot_kpi.kept_from() = iot_kpi.retained_from() AS stands)",
    "(SELECT f.day FROM (SELECT iot_kpi.expired_metrics() AS f) x, LATERAL (SELECT (f).day) f (day))",
    "(SELECT * FROM iot_kpi.partitions())",
    "(SELECT iot_kpi.make_partitions(), count(*) FROM iot_kpi.partitions())",
];

/// Everything that is asked, with times as UTC: what the session's zone may change is how they are shown.
fn ask(client: &mut Client, zone: &str, question: &str) -> Vec<String> {
    let calculate =
        "SELECT iot_kpi.calculate_kpis('[2026-03-07 00:00+00, 2026-03-09 00:00+00)', as_of => '2026-03-10 06:00+00')";
    let (before, question) = question
        .strip_prefix("{calculate} ")
        .map_or(("", question), |rest| (calculate, rest));
    let question = question
        .replace("{w}", "'[2026-03-05 05:00+00, 2026-03-11 04:00+00)'::tstzrange")
        .replace("{t}", "'2026-03-10 06:00+00'::timestamptz");
    let mut transaction = client.transaction().unwrap();
    transaction
        .batch_execute(&format!(
            "SET LOCAL timezone = '{zone}'; {before}; CREATE TEMP TABLE answer ON COMMIT DROP AS SELECT * FROM {question} AS q; SET LOCAL timezone = 'UTC'"
        ))
        .unwrap_or_else(|error| panic!("{question}: {error:?}"));
    let rows = transaction
        .query("SELECT a::text FROM answer a ORDER BY 1", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    // What is calculated, or made, in one session is not there for the next.
    transaction.rollback().unwrap();
    rows
}

#[test]
fn no_report_depends_on_the_sessions_time_zone() {
    let database = shared().store("time_zones_sessions");
    let mut client = database.client();
    client.batch_execute(&format!("SET timezone = 'UTC'; {STORE}")).unwrap();
    for retention in ["NULL", "'120 days'", "'240 days'"] {
        client
            .batch_execute(&format!(
                "UPDATE iot.settings SET value = {retention} WHERE name = 'retention'"
            ))
            .unwrap();
        for question in ASKED {
            let expected = ask(&mut client, "UTC", question);
            assert!(!expected.is_empty(), "{question} has nothing to say");
            for zone in ["America/New_York", "Pacific/Apia"] {
                let is = ask(&mut client, zone, question);
                assert_eq!(is, expected, "{question} in {zone}, retention {retention}");
            }
        }
    }
}

#[test]
fn doors_take_the_same_whatever_the_sessions_time_zone() {
    let database = shared().store("time_zones_doors");
    let mut client = database.client();
    // Where a day is said without an hour, it is the sender's; so times are sent with theirs. What is refused, by a limit that is
    // days from now, and what is moved, by a lead of days, is the same everywhere.
    let mut answers = Vec::new();
    for zone in ["UTC", "America/New_York", "Pacific/Apia"] {
        for (setting, value) in [("retention", "240 days"), ("clock_skew", "150 days")] {
            let mut transaction = client.transaction().unwrap();
            transaction
                .batch_execute(&format!(
                    "SET LOCAL timezone = '{zone}'; UPDATE iot.settings SET value = '{value}' WHERE name = '{setting}'"
                ))
                .unwrap();
            let answer: String = transaction
                .query_one(
                    "SELECT concat_ws(' ', stored, duplicates, conflicts, future_clamped, refused) FROM iot_kpi.ingest_metrics(array_fill('d'::text, '{4}'), array_fill('light'::text, '{4}'),
                         ARRAY[now() - interval '5759 hours 50 min', now() - interval '5760 hours 10 min', now() + interval '3599 hours 50 min', now() + interval '3600 hours 10 min'], '{1,2,3,4}')",
                    &[],
                )
                .unwrap()
                .get(0);
            let stored: String = transaction
                .query_one(
                    "SELECT string_agg(extract(epoch FROM time - now())::text, ', ' ORDER BY time) FROM iot.device_metrics",
                    &[],
                )
                .unwrap()
                .get(0);
            answers.push((setting, zone, format!("{answer}: {stored}")));
            transaction.rollback().unwrap();
        }
    }
    for (setting, zone, answer) in &answers {
        let first = answers.iter().find(|(other, ..)| other == setting).unwrap();
        assert_eq!(*answer, first.2, "{setting} in {zone}");
    }
}
