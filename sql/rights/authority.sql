-- Whose rights the store's own work is done with, and which triggers stand aside for it: pg_iot_kpi/src/authority.rs says why that
-- is nothing that anybody could ask for.
--
-- What such a function does is in one of the same name with _work behind it, which can be called too: then as anybody's function is.

CREATE FUNCTION iot_kpi.as_owner() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_as_owner';
COMMENT ON FUNCTION iot_kpi.as_owner() IS
    'Trigger of the tables of the store: runs the trigger function that its argument names, as the owner of the store, but leaves alone what the store''s own functions write';

CREATE FUNCTION iot_kpi.quiet() RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'iot_kpi_quiet';
COMMENT ON FUNCTION iot_kpi.quiet() IS
    'Whether the statement whose trigger asks is one of the store''s own functions, which does the work of triggers itself';

CREATE FUNCTION iot_kpi.require_owner(what text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT iot_kpi.owns_store() THEN
        RAISE EXCEPTION '%, and not by role %', what, quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege', HINT = format('It takes the rights of the owner of the store, %I.', pg_get_userbyid(iot_kpi.store_owner()));
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.require_owner(text) IS 'Fails where this role has not the rights of the store''s owner';

-- Whom a trigger works for ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION iot_kpi.sees_all_devices_work() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN NOT row_security_active('iot.devices');
END
$$;
COMMENT ON FUNCTION iot_kpi.sees_all_devices_work() IS 'What sees_all_devices() does';

CREATE FUNCTION iot_kpi.sees_all_devices() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'iot_kpi_as_caller';
COMMENT ON FUNCTION iot_kpi.sees_all_devices() IS
    'Whether no row security hides devices from whom a trigger works for, or who else calls';

CREATE FUNCTION iot_kpi.hidden_devices_work(device_ids text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT u.id FROM unnest(device_ids) u (id) WHERE NOT EXISTS (SELECT FROM iot.devices d WHERE d.device_id = u.id));
END
$$;
COMMENT ON FUNCTION iot_kpi.hidden_devices_work(text[]) IS 'What hidden_devices() does';

CREATE FUNCTION iot_kpi.hidden_devices(device_ids text[]) RETURNS text[]
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'iot_kpi_as_caller';
COMMENT ON FUNCTION iot_kpi.hidden_devices(text[]) IS
    'Those of the devices that whom a trigger works for, or who else calls, does not see';

CREATE FUNCTION iot_kpi.refuse_tenant() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT iot_kpi.sees_all_devices() THEN
        RAISE EXCEPTION 'the settings of the store are everybody''s, and row security hides devices from role %', quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege', HINT = 'They are changed by who sees all devices, such as the owner of the store.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_tenant() IS 'Statement trigger of iot.settings: refuses roles from which row security hides devices';

CREATE FUNCTION iot_kpi.refuse_shared_devices(device_ids text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shared text;
BEGIN
    IF iot_kpi.sees_all_devices() THEN
        RETURN;
    END IF;
    SELECT o.collector_id INTO shared
    FROM iot.devices o
    WHERE o.collector_id = ANY (device_ids)
      AND o.device_id = ANY (iot_kpi.hidden_devices(ARRAY(SELECT d.device_id FROM iot.devices d WHERE d.collector_id = ANY (device_ids))))
    ORDER BY o.collector_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'device % also observes devices that row security hides', quote_literal(shared)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'What it was and what it sent is changed by who sees all devices, such as the owner of the store.';
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_shared_devices(text[]) IS
    'Fails where one of the devices is the collector of a device that is hidden from whom a trigger works for';

CREATE FUNCTION iot_kpi.refuse_shared_metrics(metrics text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shared text;
BEGIN
    IF iot_kpi.sees_all_devices() THEN
        RETURN;
    END IF;
    SELECT m.metric INTO shared
    FROM unnest(metrics) m (metric), unnest(iot_kpi.hidden_devices(ARRAY(SELECT d.device_id FROM iot.devices d))) h (device_id)
    WHERE EXISTS (SELECT FROM iot.device_metrics s WHERE s.device_id = h.device_id AND s.metric = m.metric)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'devices that row security hides have samples of metric % too', quote_literal(shared)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'What they mean is changed by who sees all devices, such as the owner of the store.';
    END IF;
END
$$;
COMMENT ON FUNCTION iot_kpi.refuse_shared_metrics(text[]) IS
    'Fails where a device has samples of one of the metrics that is hidden from whom a trigger works for';
