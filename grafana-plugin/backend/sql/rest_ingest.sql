SELECT json_build_object('stored', i.stored, 'duplicates', i.duplicates, 'future_clamped', i.future_clamped, 'refused', i.refused,
                         'refusals', i.refusals)::text
FROM iot_kpi.ingest_metrics(array_fill($1::text, ARRAY[cardinality($2::text[])]), $2, $3, $4) AS i
