-- The devices that a query chooses by id, type, location or ad-hoc filter.
SELECT coalesce(array_agg(d.device_id ORDER BY d.device_id), '{}') AS device_ids
FROM iot.devices AS d
WHERE ($1::text[] IS NULL OR d.device_id = ANY ($1::text[]))
  AND ($2::text[] IS NULL OR d.device_type = ANY ($2::text[]))
  AND ($3::text[] IS NULL OR d.location = ANY ($3::text[]))
  AND NOT EXISTS (
      SELECT FROM jsonb_to_recordset($4::text::jsonb) AS f (key text, operator text, "values" text[])
      CROSS JOIN LATERAL (SELECT CASE f.key WHEN 'device_id' THEN d.device_id WHEN 'name' THEN d.name
                                            WHEN 'device_type' THEN d.device_type WHEN 'location' THEN d.location
                                            ELSE d.metadata ->> f.key END) AS p (value)
      WHERE NOT coalesce(CASE f.operator WHEN '=' THEN p.value = ANY (f."values")
                                         WHEN '!=' THEN coalesce(p.value <> ALL (f."values"), true)
                                         WHEN '=~' THEN p.value ~ f."values"[1]
                                         WHEN '!~' THEN coalesce(p.value !~ f."values"[1], true) END, false))
