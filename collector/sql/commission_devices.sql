-- Data are about to be written from $2 on: the devices were there by then.
UPDATE iot.devices SET commissioned_at = $2::timestamptz
WHERE device_id = ANY ($1::text[]) AND commissioned_at > $2::timestamptz
