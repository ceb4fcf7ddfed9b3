-- What is unusual: robust scores (Iglewicz and Hoaglin 1993), EWMA and CUSUM charts. The charts depend on the order of
-- their values: call them with ORDER BY, or as window functions.

CREATE FUNCTION iot_kpi.modified_z_score(
    value double precision, median double precision, mad double precision, mean_deviation double precision DEFAULT 0
) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_modified_z_score';
COMMENT ON FUNCTION iot_kpi.modified_z_score(double precision, double precision, double precision, double precision) IS
    '0.6745 (value - median)/mad; with a mad of zero (value - median)/(1.2533 mean_deviation); NULL where that is zero too; an error where it is beyond double precision';

CREATE FUNCTION iot_kpi.unusual(times timestamptz[], "values" double precision[], since timestamptz, cut_off double precision)
RETURNS TABLE ("time" timestamptz, value double precision, expected double precision, score double precision)
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'iot_kpi_unusual';
COMMENT ON FUNCTION iot_kpi.unusual(timestamptz[], double precision[], timestamptz, double precision) IS
    'the values from an instant on whose modified z-score among all of them exceeds cut_off, with their median; a score beyond double precision is NULL';

CREATE FUNCTION iot_kpi.ewma_limits(
    mean double precision, deviation double precision, lambda double precision, width double precision, n bigint
) RETURNS TABLE (low double precision, high double precision)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'iot_kpi_ewma_limits';
COMMENT ON FUNCTION iot_kpi.ewma_limits(double precision, double precision, double precision, double precision, bigint) IS
    'the control limits of an EWMA chart after n values, width deviations wide';

CREATE FUNCTION iot_kpi.ewma_step(state double precision, value double precision, lambda double precision)
RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_ewma_step';
COMMENT ON FUNCTION iot_kpi.ewma_step(double precision, double precision, double precision) IS 'the next point of an EWMA chart';
CREATE AGGREGATE iot_kpi.ewma(value double precision, lambda double precision) (
    SFUNC = iot_kpi.ewma_step, STYPE = double precision
);
COMMENT ON AGGREGATE iot_kpi.ewma(double precision, double precision) IS
    'exponentially weighted moving average, lambda being the weight of the newest value; NULLs are skipped';

CREATE FUNCTION iot_kpi.cusum_step(
    state double precision, value double precision, mean double precision, slack double precision
) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cusum_step';
COMMENT ON FUNCTION iot_kpi.cusum_step(double precision, double precision, double precision, double precision) IS
    'the next point of a CUSUM chart';
CREATE AGGREGATE iot_kpi.cusum(value double precision, mean double precision, slack double precision) (
    SFUNC = iot_kpi.cusum_step, STYPE = double precision
);
COMMENT ON AGGREGATE iot_kpi.cusum(double precision, double precision, double precision) IS
    'upper cumulative sum max(0, S + value - mean - slack), from zero; NULLs are skipped';
