-- heartbeat_agg: a beat at b proves a device alive on [b, b + liveness). Live time is the union of these intervals, so
-- duplicates and disorder change nothing and memory grows with the outages, not with the beats.

CREATE FUNCTION iot_kpi.heartbeat_trans(state internal, at timestamptz, liveness interval) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeat_trans';
COMMENT ON FUNCTION iot_kpi.heartbeat_trans(internal, timestamptz, interval) IS 'adds a beat';
CREATE FUNCTION iot_kpi.heartbeat_final(state internal) RETURNS iot_kpi.heartbeats
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeat_final';
COMMENT ON FUNCTION iot_kpi.heartbeat_final(internal) IS 'the beats so far; none of them where the group is empty';

CREATE AGGREGATE iot_kpi.heartbeat_agg(at timestamptz, liveness interval) (
    SFUNC = iot_kpi.heartbeat_trans, STYPE = internal, SSPACE = 256, FINALFUNC = iot_kpi.heartbeat_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.heartbeats_combine, SERIALFUNC = iot_kpi.heartbeats_serialize, DESERIALFUNC = iot_kpi.heartbeats_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.heartbeat_agg(timestamptz, interval) IS 'the live time that beats prove; rows with a NULL are skipped';

CREATE AGGREGATE iot_kpi.rollup(iot_kpi.heartbeats) (
    SFUNC = iot_kpi.heartbeats_rollup_trans, STYPE = internal, SSPACE = 256, FINALFUNC = iot_kpi.heartbeat_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.heartbeats_combine, SERIALFUNC = iot_kpi.heartbeats_serialize, DESERIALFUNC = iot_kpi.heartbeats_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.rollup(iot_kpi.heartbeats) IS 'the union of heartbeats';

CREATE FUNCTION iot_kpi.uptime(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}') RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_uptime';
COMMENT ON FUNCTION iot_kpi.uptime(iot_kpi.heartbeats, tstzrange, tstzmultirange, tstzmultirange) IS 'share of the required and observed time of a window in which beats prove the device alive, in [0, 1]; NULL where there is no such time';
CREATE FUNCTION iot_kpi.up_time(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}') RETURNS interval
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_up_time';
COMMENT ON FUNCTION iot_kpi.up_time(iot_kpi.heartbeats, tstzrange, tstzmultirange, tstzmultirange) IS 'time of a window in which beats prove the device alive, exempt time left out';
CREATE FUNCTION iot_kpi.down_time(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}') RETURNS interval
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_down_time';
COMMENT ON FUNCTION iot_kpi.down_time(iot_kpi.heartbeats, tstzrange, tstzmultirange, tstzmultirange) IS 'time of a window in which no beat proves the device alive, exempt time left out';
CREATE FUNCTION iot_kpi.availability_report(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}') RETURNS TABLE (up_time interval, down_time interval, unknown_time interval, excluded_time interval, uptime double precision,
           failures bigint, mtbf interval, mttr interval, longest_outage interval)
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'iot_kpi_availability_report';
COMMENT ON FUNCTION iot_kpi.availability_report(iot_kpi.heartbeats, tstzrange, tstzmultirange, tstzmultirange) IS 'what a window amounts to: the four classes of time, failures, MTBF, MTTR, the longest outage';
CREATE FUNCTION iot_kpi.outages(h iot_kpi.heartbeats, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', min_outage interval DEFAULT '0') RETURNS TABLE (started_at timestamptz, ended_at timestamptz, duration interval, ongoing boolean, began_before boolean,
           last_beat timestamptz)
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeat_outages';
COMMENT ON FUNCTION iot_kpi.outages(iot_kpi.heartbeats, tstzrange, tstzmultirange, tstzmultirange, interval) IS 'the outages of a window, in order; those shorter than min_outage are none';
CREATE FUNCTION iot_kpi.live_ranges(h iot_kpi.heartbeats) RETURNS tstzmultirange
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_live_ranges';
COMMENT ON FUNCTION iot_kpi.live_ranges(iot_kpi.heartbeats) IS 'the live time';
CREATE FUNCTION iot_kpi.live_at(h iot_kpi.heartbeats, at timestamptz) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_live_at';
COMMENT ON FUNCTION iot_kpi.live_at(iot_kpi.heartbeats, timestamptz) IS 'whether a beat proves the device alive at an instant';
CREATE FUNCTION iot_kpi.last_beat(h iot_kpi.heartbeats) RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_last_beat';
COMMENT ON FUNCTION iot_kpi.last_beat(iot_kpi.heartbeats) IS 'the last beat; NULL where there is none';
CREATE FUNCTION iot_kpi.beat_count(h iot_kpi.heartbeats) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_beat_count';
COMMENT ON FUNCTION iot_kpi.beat_count(iot_kpi.heartbeats) IS 'how many beats were added, duplicates counted';
