-- What is there of the store; the forgiving door is a function, so it is looked for by its signature.
SELECT to_regprocedure('iot_kpi.create_store()') IS NOT NULL AS extension,
       to_regclass('iot.devices') IS NOT NULL
         AND to_regprocedure('iot_kpi.ingest_metrics(text[], text[], timestamptz[], double precision[])') IS NOT NULL
         AND to_regprocedure('iot_kpi.ingest_status(text[], timestamptz[], text[], text[])') IS NOT NULL AS store
