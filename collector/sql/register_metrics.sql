-- Metrics the store does not know yet; what an operator has written about the others stays.
INSERT INTO iot.metric_types (metric, unit, kind, minimum, maximum, description)
SELECT f.metric, f.unit, f.kind, f.minimum, f.maximum, f.description
FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::text[])
     AS f (metric, unit, kind, minimum, maximum, description)
ON CONFLICT (metric) DO NOTHING
