SELECT o.started_at AS "time", coalesce(o.ended_at, least(now(), $2)) AS "timeEnd", o.device_id AS title,
       o.device_id || ' was down for ' || date_trunc('second', o.duration)
           || CASE WHEN o.ongoing THEN ', and still is' ELSE '' END AS text,
       'outage,' || o.device_id AS tags
FROM iot_kpi.outages(tstzrange($1, $2), make_interval(secs => $3), $4) AS o
