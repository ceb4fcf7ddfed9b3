-- status_agg: a status holds until the next sample, at most status_ttl. Every sample is kept, compressed, so that parts
-- merge in any order; where two have the same time the worse one wins (maintenance, error, offline, degraded, online, unknown).

CREATE FUNCTION iot_kpi.status_trans(state internal, at timestamptz, status text) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_trans';
COMMENT ON FUNCTION iot_kpi.status_trans(internal, timestamptz, text) IS 'adds a sample';
CREATE FUNCTION iot_kpi.status_final(state internal) RETURNS iot_kpi.status_timeline
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_final';
COMMENT ON FUNCTION iot_kpi.status_final(internal) IS 'the samples so far';

CREATE AGGREGATE iot_kpi.status_agg(at timestamptz, status text) (
    SFUNC = iot_kpi.status_trans, STYPE = internal, SSPACE = 512, FINALFUNC = iot_kpi.status_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.status_timeline_combine, SERIALFUNC = iot_kpi.status_timeline_serialize, DESERIALFUNC = iot_kpi.status_timeline_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.status_agg(timestamptz, text) IS 'the status samples of a device; rows with a NULL are skipped';

CREATE AGGREGATE iot_kpi.rollup(iot_kpi.status_timeline) (
    SFUNC = iot_kpi.status_timeline_rollup_trans, STYPE = internal, SSPACE = 512, FINALFUNC = iot_kpi.status_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.status_timeline_combine, SERIALFUNC = iot_kpi.status_timeline_serialize, DESERIALFUNC = iot_kpi.status_timeline_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.rollup(iot_kpi.status_timeline) IS 'all samples of timelines';

CREATE FUNCTION iot_kpi.availability(s iot_kpi.status_timeline, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', status_ttl interval DEFAULT NULL, degraded_counts_up boolean DEFAULT true) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_availability';
COMMENT ON FUNCTION iot_kpi.availability(iot_kpi.status_timeline, tstzrange, tstzmultirange, tstzmultirange, interval, boolean) IS 'share of the required and observed time of a window in which the status is an up one, in [0, 1]; NULL where there is no such time';
CREATE FUNCTION iot_kpi.status_at(s iot_kpi.status_timeline, at timestamptz, status_ttl interval DEFAULT NULL) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_at';
COMMENT ON FUNCTION iot_kpi.status_at(iot_kpi.status_timeline, timestamptz, interval) IS 'the status at an instant';
CREATE FUNCTION iot_kpi.periods(s iot_kpi.status_timeline, during tstzrange, status_ttl interval DEFAULT NULL) RETURNS TABLE (started_at timestamptz, ended_at timestamptz, status text)
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_periods';
COMMENT ON FUNCTION iot_kpi.periods(iot_kpi.status_timeline, tstzrange, interval) IS 'a window in periods of one status, without gap or overlap';
CREATE FUNCTION iot_kpi.duration_in(s iot_kpi.status_timeline, status text, during tstzrange, status_ttl interval DEFAULT NULL) RETURNS interval
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_duration_in';
COMMENT ON FUNCTION iot_kpi.duration_in(iot_kpi.status_timeline, text, tstzrange, interval) IS 'time of a window spent in a status';
CREATE FUNCTION iot_kpi.transitions(s iot_kpi.status_timeline, during tstzrange, status_ttl interval DEFAULT NULL) RETURNS bigint
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_transitions';
COMMENT ON FUNCTION iot_kpi.transitions(iot_kpi.status_timeline, tstzrange, interval) IS 'how often the status changes inside a window';
CREATE FUNCTION iot_kpi.flapping(s iot_kpi.status_timeline) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_flapping';
COMMENT ON FUNCTION iot_kpi.flapping(iot_kpi.status_timeline) IS 'how much the last 21 samples changed, in per cent, newer changes weighing more (Nagios)';
CREATE FUNCTION iot_kpi.is_flapping(s iot_kpi.status_timeline, was_flapping boolean DEFAULT false) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_is_flapping';
COMMENT ON FUNCTION iot_kpi.is_flapping(iot_kpi.status_timeline, boolean) IS 'whether the device flaps: starts at 30 per cent, stops at 20, otherwise as it was';
