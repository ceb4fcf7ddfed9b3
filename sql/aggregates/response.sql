-- response_agg: response times in milliseconds as a DDSketch (Masson et al., VLDB 2019). Percentiles are within 1 % of
-- the true value; count, mean, minimum and maximum are exact; merging in any order gives the same sketch.

CREATE FUNCTION iot_kpi.response_trans(state internal, ms double precision) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_trans';
COMMENT ON FUNCTION iot_kpi.response_trans(internal, double precision) IS 'adds a response time';
CREATE FUNCTION iot_kpi.response_final(state internal) RETURNS iot_kpi.response_sketch
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_final';
COMMENT ON FUNCTION iot_kpi.response_final(internal) IS 'the response times so far';

CREATE AGGREGATE iot_kpi.response_agg(ms double precision) (
    SFUNC = iot_kpi.response_trans, STYPE = internal, SSPACE = 2048, FINALFUNC = iot_kpi.response_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.response_sketch_combine, SERIALFUNC = iot_kpi.response_sketch_serialize, DESERIALFUNC = iot_kpi.response_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.response_agg(double precision) IS 'response times in milliseconds; NULLs are skipped';

CREATE AGGREGATE iot_kpi.rollup(iot_kpi.response_sketch) (
    SFUNC = iot_kpi.response_sketch_rollup_trans, STYPE = internal, SSPACE = 2048, FINALFUNC = iot_kpi.response_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.response_sketch_combine, SERIALFUNC = iot_kpi.response_sketch_serialize, DESERIALFUNC = iot_kpi.response_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.rollup(iot_kpi.response_sketch) IS 'all response times of sketches';

CREATE FUNCTION iot_kpi.percentile(s iot_kpi.response_sketch, q double precision) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_percentile';
COMMENT ON FUNCTION iot_kpi.percentile(iot_kpi.response_sketch, double precision) IS 'the response time at rank q(n - 1), in milliseconds, 0 and 1 being minimum and maximum; NULL without response times';
CREATE FUNCTION iot_kpi.percentiles(s iot_kpi.response_sketch, q double precision[]) RETURNS double precision[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_percentiles';
COMMENT ON FUNCTION iot_kpi.percentiles(iot_kpi.response_sketch, double precision[]) IS 'the response times at several ranks';
CREATE FUNCTION iot_kpi.apdex(s iot_kpi.response_sketch, target double precision, failed bigint DEFAULT 0) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_apdex';
COMMENT ON FUNCTION iot_kpi.apdex(iot_kpi.response_sketch, double precision, bigint) IS '(satisfied + tolerating/2)/total with a target in milliseconds; failed communications are frustrated; NULL without communications';
CREATE FUNCTION iot_kpi.mean(s iot_kpi.response_sketch) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_mean';
COMMENT ON FUNCTION iot_kpi.mean(iot_kpi.response_sketch) IS 'arithmetic mean in milliseconds, exact; NULL where the sum is beyond double precision';
CREATE FUNCTION iot_kpi.min(s iot_kpi.response_sketch) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_min';
COMMENT ON FUNCTION iot_kpi.min(iot_kpi.response_sketch) IS 'the shortest response time, exact';
CREATE FUNCTION iot_kpi.max(s iot_kpi.response_sketch) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_max';
COMMENT ON FUNCTION iot_kpi.max(iot_kpi.response_sketch) IS 'the longest response time, exact';
CREATE FUNCTION iot_kpi.count(s iot_kpi.response_sketch) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_count';
COMMENT ON FUNCTION iot_kpi.count(iot_kpi.response_sketch) IS 'how many response times there are';
