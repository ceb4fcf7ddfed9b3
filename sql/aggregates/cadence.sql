-- cadence_agg: does a device report as regularly as it should? Beat times are kept, compressed; what they are measured
-- against (expected interval, exempt time, liveness: NULL is three expected intervals) is said when they are read.

CREATE FUNCTION iot_kpi.cadence_trans(state internal, at timestamptz) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_trans';
COMMENT ON FUNCTION iot_kpi.cadence_trans(internal, timestamptz) IS 'adds a beat';
CREATE FUNCTION iot_kpi.cadence_final(state internal) RETURNS iot_kpi.cadence
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_final';
COMMENT ON FUNCTION iot_kpi.cadence_final(internal) IS 'the beats so far';

CREATE AGGREGATE iot_kpi.cadence_agg(at timestamptz) (
    SFUNC = iot_kpi.cadence_trans, STYPE = internal, SSPACE = 4096, FINALFUNC = iot_kpi.cadence_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.cadence_combine, SERIALFUNC = iot_kpi.cadence_serialize, DESERIALFUNC = iot_kpi.cadence_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.cadence_agg(timestamptz) IS 'the distinct beat times of a device; NULLs are skipped';

CREATE AGGREGATE iot_kpi.rollup(iot_kpi.cadence) (
    SFUNC = iot_kpi.cadence_rollup_trans, STYPE = internal, SSPACE = 4096, FINALFUNC = iot_kpi.cadence_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.cadence_combine, SERIALFUNC = iot_kpi.cadence_serialize, DESERIALFUNC = iot_kpi.cadence_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.rollup(iot_kpi.cadence) IS 'all beats of cadences';

CREATE FUNCTION iot_kpi.completeness(c iot_kpi.cadence, expected_interval interval, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', liveness interval DEFAULT NULL) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_completeness';
COMMENT ON FUNCTION iot_kpi.completeness(iot_kpi.cadence, interval, tstzrange, tstzmultirange, tstzmultirange, interval) IS 'share of the expected reports that came, in [0, 1]';
CREATE FUNCTION iot_kpi.regularity(c iot_kpi.cadence, expected_interval interval, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', liveness interval DEFAULT NULL) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_regularity';
COMMENT ON FUNCTION iot_kpi.regularity(iot_kpi.cadence, interval, tstzrange, tstzmultirange, tstzmultirange, interval) IS 'how even the distances between on-time reports are: 1 clockwork, 0 Poisson or worse; NULL under three of them';
CREATE FUNCTION iot_kpi.stability(c iot_kpi.cadence, expected_interval interval, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', liveness interval DEFAULT NULL) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_stability';
COMMENT ON FUNCTION iot_kpi.stability(iot_kpi.cadence, interval, tstzrange, tstzmultirange, tstzmultirange, interval) IS '1 where the device never changed between up and down, 0 where it did at every report';
CREATE FUNCTION iot_kpi.consistency(c iot_kpi.cadence, expected_interval interval, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', liveness interval DEFAULT NULL) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_consistency';
COMMENT ON FUNCTION iot_kpi.consistency(iot_kpi.cadence, interval, tstzrange, tstzmultirange, tstzmultirange, interval) IS 'geometric mean of completeness, regularity and stability, NULLs left out';
CREATE FUNCTION iot_kpi.jitter(c iot_kpi.cadence, expected_interval interval, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', liveness interval DEFAULT NULL) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_jitter';
COMMENT ON FUNCTION iot_kpi.jitter(iot_kpi.cadence, interval, tstzrange, tstzmultirange, tstzmultirange, interval) IS 'mean absolute difference of neighbouring on-time distances, in seconds';
CREATE FUNCTION iot_kpi.missed_beats(c iot_kpi.cadence, expected_interval interval, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', liveness interval DEFAULT NULL) RETURNS bigint
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_missed_beats';
COMMENT ON FUNCTION iot_kpi.missed_beats(iot_kpi.cadence, interval, tstzrange, tstzmultirange, tstzmultirange, interval) IS 'reports that did not come between two that did';
CREATE FUNCTION iot_kpi.extra_beats(c iot_kpi.cadence, expected_interval interval, during tstzrange, excluded tstzmultirange DEFAULT '{}', unknown tstzmultirange DEFAULT '{}', liveness interval DEFAULT NULL) RETURNS bigint
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_extra_beats';
COMMENT ON FUNCTION iot_kpi.extra_beats(iot_kpi.cadence, interval, tstzrange, tstzmultirange, tstzmultirange, interval) IS 'reports less than a quarter of the expected interval after the one before';
