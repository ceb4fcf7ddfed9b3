-- Plain functions of counts and ratios.

CREATE FUNCTION iot_kpi.error_rate(failed bigint, attempts bigint) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_error_rate';
COMMENT ON FUNCTION iot_kpi.error_rate(bigint, bigint) IS 'failed / attempts; NULL without attempts';
CREATE FUNCTION iot_kpi.wilson_interval(failed bigint, attempts bigint) RETURNS TABLE (low double precision, high double precision)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'iot_kpi_wilson_interval';
COMMENT ON FUNCTION iot_kpi.wilson_interval(bigint, bigint) IS '95 % Wilson score interval of failed / attempts; NULLs without attempts';
CREATE FUNCTION iot_kpi.burn_rate(uptime double precision, objective double precision) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_burn_rate';
COMMENT ON FUNCTION iot_kpi.burn_rate(double precision, double precision) IS '(1 - uptime)/(1 - objective): 1 uses up the error budget exactly by the end of the period';
CREATE FUNCTION iot_kpi.error_budget(objective double precision, eligible interval) RETURNS interval
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_error_budget';
COMMENT ON FUNCTION iot_kpi.error_budget(double precision, interval) IS 'down time that an objective allows in so much required and observed time';
CREATE FUNCTION iot_kpi.nines(availability double precision) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_nines';
COMMENT ON FUNCTION iot_kpi.nines(double precision) IS '-log10(1 - availability); NULL at 1';
