-- What a new store begins with. The operator may change all of it: what is there is left alone.

CREATE FUNCTION iot_kpi.create_store_seeds() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO iot.settings (name, value, description)
    SELECT name, value, description FROM iot_kpi.default_settings()
    ON CONFLICT (name) DO UPDATE SET description = excluded.description
        WHERE settings.description IS DISTINCT FROM excluded.description;

    INSERT INTO iot.metric_types (metric, unit, kind, minimum, maximum, description) VALUES
        ('heartbeat', NULL, 'gauge', NULL, NULL, 'Sign of life; the value does not matter'),
        ('response_time', 'ms', 'gauge', 0, NULL, 'Time a communication with the device took'),
        ('error', NULL, 'gauge', 0, 1, 'Outcome of a communication: 0 it worked, 1 it failed'),
        ('bytes', 'B', 'delta', 0, NULL, 'Bytes transferred since the last sample'),
        ('temperature', '°C', 'gauge', -273.15, NULL, 'Temperature'),
        ('humidity', '%', 'gauge', 0, 100, 'Relative humidity'),
        ('pressure', 'hPa', 'gauge', 0, NULL, 'Air pressure'),
        ('motion', NULL, 'gauge', 0, NULL, 'Motion seen: 0 none, 1 (or a count) some'),
        ('air_quality', 'AQI', 'gauge', 0, NULL, 'Air quality index'),
        ('co2', 'ppm', 'gauge', 0, NULL, 'Carbon dioxide'),
        ('pm25', 'µg/m³', 'gauge', 0, NULL, 'Particulate matter under 2.5 µm'),
        ('light', 'lx', 'gauge', 0, NULL, 'Illuminance'),
        ('battery', '%', 'gauge', 0, 100, 'Battery charge'),
        ('frame_rate', 'fps', 'gauge', 0, NULL, 'Frames a second of a camera'),
        ('signal_strength', 'dBm', 'gauge', NULL, NULL, 'Received signal strength'),
        ('uptime', NULL, 'gauge', 0, 1, 'Uptime as the device itself reports it, a ratio')
    ON CONFLICT (metric) DO NOTHING;
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_seeds() IS
    'Step of create_store(): default settings and metric types; what is already there stays as it is';
