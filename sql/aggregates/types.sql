-- The types of layer 1. Each is a varlena in the versioned, checksummed form that docs/sql.md describes; what comes in
-- from outside, as text or over the binary protocol, is validated.


CREATE TYPE iot_kpi.heartbeats;

CREATE FUNCTION iot_kpi.heartbeats_in(cstring) RETURNS iot_kpi.heartbeats
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeats_in';
COMMENT ON FUNCTION iot_kpi.heartbeats_in(cstring) IS 'input of heartbeats: \x and hexadecimal digits';
CREATE FUNCTION iot_kpi.heartbeats_out(iot_kpi.heartbeats) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeats_out';
COMMENT ON FUNCTION iot_kpi.heartbeats_out(iot_kpi.heartbeats) IS 'output of heartbeats';
CREATE FUNCTION iot_kpi.heartbeats_recv(internal) RETURNS iot_kpi.heartbeats
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeats_recv';
COMMENT ON FUNCTION iot_kpi.heartbeats_recv(internal) IS 'binary input of heartbeats, validated';
CREATE FUNCTION iot_kpi.heartbeats_send(iot_kpi.heartbeats) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeats_send';
COMMENT ON FUNCTION iot_kpi.heartbeats_send(iot_kpi.heartbeats) IS 'binary output of heartbeats';

CREATE TYPE iot_kpi.heartbeats (
    INPUT = iot_kpi.heartbeats_in, OUTPUT = iot_kpi.heartbeats_out, RECEIVE = iot_kpi.heartbeats_recv, SEND = iot_kpi.heartbeats_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended
);
COMMENT ON TYPE iot_kpi.heartbeats IS 'the live time that a stream of heartbeats proves';

CREATE FUNCTION iot_kpi.heartbeats_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeats_combine';
COMMENT ON FUNCTION iot_kpi.heartbeats_combine(internal, internal) IS 'merges two states of heartbeats';
CREATE FUNCTION iot_kpi.heartbeats_serialize(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeats_serialize';
COMMENT ON FUNCTION iot_kpi.heartbeats_serialize(internal) IS 'sends a state of heartbeats from a parallel worker';
CREATE FUNCTION iot_kpi.heartbeats_deserialize(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeats_deserialize';
COMMENT ON FUNCTION iot_kpi.heartbeats_deserialize(bytea, internal) IS 'receives a state of heartbeats from a parallel worker';
CREATE FUNCTION iot_kpi.heartbeats_rollup_trans(internal, iot_kpi.heartbeats) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_heartbeats_rollup_trans';
COMMENT ON FUNCTION iot_kpi.heartbeats_rollup_trans(internal, iot_kpi.heartbeats) IS 'adds a heartbeats to a rollup';

CREATE TYPE iot_kpi.status_timeline;

CREATE FUNCTION iot_kpi.status_timeline_in(cstring) RETURNS iot_kpi.status_timeline
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_timeline_in';
COMMENT ON FUNCTION iot_kpi.status_timeline_in(cstring) IS 'input of status_timeline: \x and hexadecimal digits';
CREATE FUNCTION iot_kpi.status_timeline_out(iot_kpi.status_timeline) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_timeline_out';
COMMENT ON FUNCTION iot_kpi.status_timeline_out(iot_kpi.status_timeline) IS 'output of status_timeline';
CREATE FUNCTION iot_kpi.status_timeline_recv(internal) RETURNS iot_kpi.status_timeline
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_timeline_recv';
COMMENT ON FUNCTION iot_kpi.status_timeline_recv(internal) IS 'binary input of status_timeline, validated';
CREATE FUNCTION iot_kpi.status_timeline_send(iot_kpi.status_timeline) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_timeline_send';
COMMENT ON FUNCTION iot_kpi.status_timeline_send(iot_kpi.status_timeline) IS 'binary output of status_timeline';

CREATE TYPE iot_kpi.status_timeline (
    INPUT = iot_kpi.status_timeline_in, OUTPUT = iot_kpi.status_timeline_out, RECEIVE = iot_kpi.status_timeline_recv, SEND = iot_kpi.status_timeline_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended
);
COMMENT ON TYPE iot_kpi.status_timeline IS 'the status samples of a device';

CREATE FUNCTION iot_kpi.status_timeline_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_timeline_combine';
COMMENT ON FUNCTION iot_kpi.status_timeline_combine(internal, internal) IS 'merges two states of status_timeline';
CREATE FUNCTION iot_kpi.status_timeline_serialize(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_timeline_serialize';
COMMENT ON FUNCTION iot_kpi.status_timeline_serialize(internal) IS 'sends a state of status_timeline from a parallel worker';
CREATE FUNCTION iot_kpi.status_timeline_deserialize(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_timeline_deserialize';
COMMENT ON FUNCTION iot_kpi.status_timeline_deserialize(bytea, internal) IS 'receives a state of status_timeline from a parallel worker';
CREATE FUNCTION iot_kpi.status_timeline_rollup_trans(internal, iot_kpi.status_timeline) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_status_timeline_rollup_trans';
COMMENT ON FUNCTION iot_kpi.status_timeline_rollup_trans(internal, iot_kpi.status_timeline) IS 'adds a status_timeline to a rollup';

CREATE TYPE iot_kpi.cadence;

CREATE FUNCTION iot_kpi.cadence_in(cstring) RETURNS iot_kpi.cadence
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_in';
COMMENT ON FUNCTION iot_kpi.cadence_in(cstring) IS 'input of cadence: \x and hexadecimal digits';
CREATE FUNCTION iot_kpi.cadence_out(iot_kpi.cadence) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_out';
COMMENT ON FUNCTION iot_kpi.cadence_out(iot_kpi.cadence) IS 'output of cadence';
CREATE FUNCTION iot_kpi.cadence_recv(internal) RETURNS iot_kpi.cadence
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_recv';
COMMENT ON FUNCTION iot_kpi.cadence_recv(internal) IS 'binary input of cadence, validated';
CREATE FUNCTION iot_kpi.cadence_send(iot_kpi.cadence) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_send';
COMMENT ON FUNCTION iot_kpi.cadence_send(iot_kpi.cadence) IS 'binary output of cadence';

CREATE TYPE iot_kpi.cadence (
    INPUT = iot_kpi.cadence_in, OUTPUT = iot_kpi.cadence_out, RECEIVE = iot_kpi.cadence_recv, SEND = iot_kpi.cadence_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended
);
COMMENT ON TYPE iot_kpi.cadence IS 'the distinct beat times of a device';

CREATE FUNCTION iot_kpi.cadence_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_combine';
COMMENT ON FUNCTION iot_kpi.cadence_combine(internal, internal) IS 'merges two states of cadence';
CREATE FUNCTION iot_kpi.cadence_serialize(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_serialize';
COMMENT ON FUNCTION iot_kpi.cadence_serialize(internal) IS 'sends a state of cadence from a parallel worker';
CREATE FUNCTION iot_kpi.cadence_deserialize(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_deserialize';
COMMENT ON FUNCTION iot_kpi.cadence_deserialize(bytea, internal) IS 'receives a state of cadence from a parallel worker';
CREATE FUNCTION iot_kpi.cadence_rollup_trans(internal, iot_kpi.cadence) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_cadence_rollup_trans';
COMMENT ON FUNCTION iot_kpi.cadence_rollup_trans(internal, iot_kpi.cadence) IS 'adds a cadence to a rollup';

CREATE TYPE iot_kpi.response_sketch;

CREATE FUNCTION iot_kpi.response_sketch_in(cstring) RETURNS iot_kpi.response_sketch
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_sketch_in';
COMMENT ON FUNCTION iot_kpi.response_sketch_in(cstring) IS 'input of response_sketch: \x and hexadecimal digits';
CREATE FUNCTION iot_kpi.response_sketch_out(iot_kpi.response_sketch) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_sketch_out';
COMMENT ON FUNCTION iot_kpi.response_sketch_out(iot_kpi.response_sketch) IS 'output of response_sketch';
CREATE FUNCTION iot_kpi.response_sketch_recv(internal) RETURNS iot_kpi.response_sketch
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_sketch_recv';
COMMENT ON FUNCTION iot_kpi.response_sketch_recv(internal) IS 'binary input of response_sketch, validated';
CREATE FUNCTION iot_kpi.response_sketch_send(iot_kpi.response_sketch) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_sketch_send';
COMMENT ON FUNCTION iot_kpi.response_sketch_send(iot_kpi.response_sketch) IS 'binary output of response_sketch';

CREATE TYPE iot_kpi.response_sketch (
    INPUT = iot_kpi.response_sketch_in, OUTPUT = iot_kpi.response_sketch_out, RECEIVE = iot_kpi.response_sketch_recv, SEND = iot_kpi.response_sketch_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended
);
COMMENT ON TYPE iot_kpi.response_sketch IS 'response times as a mergeable sketch (DDSketch, 1 % relative error)';

CREATE FUNCTION iot_kpi.response_sketch_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_sketch_combine';
COMMENT ON FUNCTION iot_kpi.response_sketch_combine(internal, internal) IS 'merges two states of response_sketch';
CREATE FUNCTION iot_kpi.response_sketch_serialize(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_sketch_serialize';
COMMENT ON FUNCTION iot_kpi.response_sketch_serialize(internal) IS 'sends a state of response_sketch from a parallel worker';
CREATE FUNCTION iot_kpi.response_sketch_deserialize(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_sketch_deserialize';
COMMENT ON FUNCTION iot_kpi.response_sketch_deserialize(bytea, internal) IS 'receives a state of response_sketch from a parallel worker';
CREATE FUNCTION iot_kpi.response_sketch_rollup_trans(internal, iot_kpi.response_sketch) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_response_sketch_rollup_trans';
COMMENT ON FUNCTION iot_kpi.response_sketch_rollup_trans(internal, iot_kpi.response_sketch) IS 'adds a response_sketch to a rollup';

CREATE TYPE iot_kpi.throughput;

CREATE FUNCTION iot_kpi.throughput_in(cstring) RETURNS iot_kpi.throughput
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_in';
COMMENT ON FUNCTION iot_kpi.throughput_in(cstring) IS 'input of throughput: \x and hexadecimal digits';
CREATE FUNCTION iot_kpi.throughput_out(iot_kpi.throughput) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_out';
COMMENT ON FUNCTION iot_kpi.throughput_out(iot_kpi.throughput) IS 'output of throughput';
CREATE FUNCTION iot_kpi.throughput_recv(internal) RETURNS iot_kpi.throughput
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_recv';
COMMENT ON FUNCTION iot_kpi.throughput_recv(internal) IS 'binary input of throughput, validated';
CREATE FUNCTION iot_kpi.throughput_send(iot_kpi.throughput) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_send';
COMMENT ON FUNCTION iot_kpi.throughput_send(iot_kpi.throughput) IS 'binary output of throughput';

CREATE TYPE iot_kpi.throughput (
    INPUT = iot_kpi.throughput_in, OUTPUT = iot_kpi.throughput_out, RECEIVE = iot_kpi.throughput_recv, SEND = iot_kpi.throughput_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended
);
COMMENT ON TYPE iot_kpi.throughput IS 'amounts added up, or a counter''s samples';

CREATE FUNCTION iot_kpi.throughput_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_combine';
COMMENT ON FUNCTION iot_kpi.throughput_combine(internal, internal) IS 'merges two states of throughput';
CREATE FUNCTION iot_kpi.throughput_serialize(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_serialize';
COMMENT ON FUNCTION iot_kpi.throughput_serialize(internal) IS 'sends a state of throughput from a parallel worker';
CREATE FUNCTION iot_kpi.throughput_deserialize(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_deserialize';
COMMENT ON FUNCTION iot_kpi.throughput_deserialize(bytea, internal) IS 'receives a state of throughput from a parallel worker';
CREATE FUNCTION iot_kpi.throughput_rollup_trans(internal, iot_kpi.throughput) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_throughput_rollup_trans';
COMMENT ON FUNCTION iot_kpi.throughput_rollup_trans(internal, iot_kpi.throughput) IS 'adds a throughput to a rollup';

CREATE TYPE iot_kpi.evidence;

CREATE FUNCTION iot_kpi.evidence_in(cstring) RETURNS iot_kpi.evidence
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_in';
COMMENT ON FUNCTION iot_kpi.evidence_in(cstring) IS 'input of evidence: \x and hexadecimal digits';
CREATE FUNCTION iot_kpi.evidence_out(iot_kpi.evidence) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_out';
COMMENT ON FUNCTION iot_kpi.evidence_out(iot_kpi.evidence) IS 'output of evidence';
CREATE FUNCTION iot_kpi.evidence_recv(internal) RETURNS iot_kpi.evidence
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_recv';
COMMENT ON FUNCTION iot_kpi.evidence_recv(internal) IS 'binary input of evidence, validated';
CREATE FUNCTION iot_kpi.evidence_send(iot_kpi.evidence) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_send';
COMMENT ON FUNCTION iot_kpi.evidence_send(iot_kpi.evidence) IS 'binary output of evidence';

CREATE TYPE iot_kpi.evidence (
    INPUT = iot_kpi.evidence_in, OUTPUT = iot_kpi.evidence_out, RECEIVE = iot_kpi.evidence_recv, SEND = iot_kpi.evidence_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended
);
COMMENT ON TYPE iot_kpi.evidence IS 'all that the metric samples of a device say over a window';

CREATE FUNCTION iot_kpi.evidence_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_combine';
COMMENT ON FUNCTION iot_kpi.evidence_combine(internal, internal) IS 'merges two states of evidence';
CREATE FUNCTION iot_kpi.evidence_serialize(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_serialize';
COMMENT ON FUNCTION iot_kpi.evidence_serialize(internal) IS 'sends a state of evidence from a parallel worker';
CREATE FUNCTION iot_kpi.evidence_deserialize(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'iot_kpi_evidence_deserialize';
COMMENT ON FUNCTION iot_kpi.evidence_deserialize(bytea, internal) IS 'receives a state of evidence from a parallel worker';
