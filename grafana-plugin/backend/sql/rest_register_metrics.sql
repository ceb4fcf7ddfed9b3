-- A metric that a sample names together with its unit is made known by it.
INSERT INTO iot.metric_types (metric, unit)
SELECT DISTINCT ON (s.metric) s.metric, s.unit
FROM unnest($1::text[], $2::text[]) AS s (metric, unit)
WHERE s.unit <> '' AND length(s.metric) BETWEEN 1 AND 255
ORDER BY s.metric
ON CONFLICT (metric) DO NOTHING
