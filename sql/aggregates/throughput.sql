-- throughput_agg: amounts added up exactly ('delta'), or the increases of a running total ('counter', where a decrease is
-- a reset to zero).

CREATE FUNCTION iot_kpi.throughput_trans(state internal, at timestamptz, value double precision, kind text) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_trans';
COMMENT ON FUNCTION iot_kpi.throughput_trans(internal, timestamptz, double precision, text) IS 'adds a sample';
CREATE FUNCTION iot_kpi.throughput_final(state internal) RETURNS iot_kpi.throughput
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_final';
COMMENT ON FUNCTION iot_kpi.throughput_final(internal) IS 'the samples so far';

CREATE FUNCTION iot_kpi.throughput_trans(state internal, at timestamptz, value double precision) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_delta_trans';
COMMENT ON FUNCTION iot_kpi.throughput_trans(internal, timestamptz, double precision) IS 'adds an amount';

CREATE AGGREGATE iot_kpi.throughput_agg(at timestamptz, value double precision) (
    SFUNC = iot_kpi.throughput_trans, STYPE = internal, SSPACE = 256, FINALFUNC = iot_kpi.throughput_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.throughput_combine, SERIALFUNC = iot_kpi.throughput_serialize, DESERIALFUNC = iot_kpi.throughput_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.throughput_agg(timestamptz, double precision) IS 'amounts added up; rows with a NULL are skipped';

CREATE AGGREGATE iot_kpi.throughput_agg(at timestamptz, value double precision, kind text) (
    SFUNC = iot_kpi.throughput_trans, STYPE = internal, SSPACE = 1024, FINALFUNC = iot_kpi.throughput_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.throughput_combine, SERIALFUNC = iot_kpi.throughput_serialize, DESERIALFUNC = iot_kpi.throughput_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.throughput_agg(timestamptz, double precision, text) IS 'amounts (kind delta) or the increases of a running total (kind counter); rows with a NULL are skipped';

CREATE AGGREGATE iot_kpi.rollup(iot_kpi.throughput) (
    SFUNC = iot_kpi.throughput_rollup_trans, STYPE = internal, SSPACE = 256, FINALFUNC = iot_kpi.throughput_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = iot_kpi.throughput_combine, SERIALFUNC = iot_kpi.throughput_serialize, DESERIALFUNC = iot_kpi.throughput_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE iot_kpi.rollup(iot_kpi.throughput) IS 'all samples of throughputs';

CREATE FUNCTION iot_kpi.rate(t iot_kpi.throughput, during tstzrange) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_rate';
COMMENT ON FUNCTION iot_kpi.rate(iot_kpi.throughput, tstzrange) IS 'amount a second of a window; NULL where it is beyond double precision';
CREATE FUNCTION iot_kpi.total(t iot_kpi.throughput) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_total';
COMMENT ON FUNCTION iot_kpi.total(iot_kpi.throughput) IS 'all amounts or increases, exact; NULL where they are beyond double precision';
CREATE FUNCTION iot_kpi.resets(t iot_kpi.throughput) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_resets';
COMMENT ON FUNCTION iot_kpi.resets(iot_kpi.throughput) IS 'how often the counter fell';
