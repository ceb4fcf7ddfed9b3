-- Which rule watches which table. Triggers are what ties the tables to the extension, and make a plain DROP EXTENSION refuse
-- while a store exists; CASCADE takes them and no row.

CREATE FUNCTION iot_kpi.create_store_triggers() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CREATE OR REPLACE TRIGGER check_setting BEFORE INSERT OR UPDATE ON iot.settings
        FOR EACH ROW EXECUTE FUNCTION iot_kpi.check_setting();
    CREATE OR REPLACE TRIGGER settings_for_all BEFORE INSERT OR UPDATE OR DELETE ON iot.settings
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.refuse_tenant();

    CREATE OR REPLACE TRIGGER check_device BEFORE INSERT OR UPDATE ON iot.devices
        FOR EACH ROW EXECUTE FUNCTION iot_kpi.check_device();
    CREATE OR REPLACE TRIGGER devices_inserted AFTER INSERT ON iot.devices
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('devices_inserted');
    CREATE OR REPLACE TRIGGER devices_updated AFTER UPDATE ON iot.devices
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('devices_updated');
    CREATE OR REPLACE TRIGGER devices_deleted AFTER DELETE ON iot.devices
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('devices_deleted');

    CREATE OR REPLACE TRIGGER metric_types_updated AFTER UPDATE ON iot.metric_types
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metric_types_updated');
    CREATE OR REPLACE TRIGGER metric_types_deleted AFTER DELETE ON iot.metric_types
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metric_types_deleted');

    CREATE OR REPLACE TRIGGER samples_inserted AFTER INSERT ON iot.device_metrics
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metrics_changed');
    CREATE OR REPLACE TRIGGER samples_updated AFTER UPDATE ON iot.device_metrics
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metrics_changed');
    CREATE OR REPLACE TRIGGER samples_deleted AFTER DELETE ON iot.device_metrics
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('metrics_changed');
    CREATE OR REPLACE TRIGGER samples_truncated AFTER TRUNCATE ON iot.device_metrics
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('everything_changed');

    CREATE OR REPLACE TRIGGER check_new_record BEFORE INSERT ON iot.device_status_history
        FOR EACH ROW WHEN (NEW.recorded_by IS NOT NULL) EXECUTE FUNCTION iot_kpi.check_record();
    CREATE OR REPLACE TRIGGER check_changed_record BEFORE UPDATE ON iot.device_status_history
        FOR EACH ROW WHEN (NEW.recorded_by IS NOT NULL AND NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION iot_kpi.check_record();
    CREATE OR REPLACE TRIGGER statuses_inserted AFTER INSERT ON iot.device_status_history
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('statuses_changed');
    CREATE OR REPLACE TRIGGER statuses_updated AFTER UPDATE ON iot.device_status_history
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('statuses_changed');
    CREATE OR REPLACE TRIGGER statuses_deleted AFTER DELETE ON iot.device_status_history
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('statuses_changed');
    CREATE OR REPLACE TRIGGER statuses_truncated AFTER TRUNCATE ON iot.device_status_history
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('everything_changed');

    CREATE OR REPLACE TRIGGER check_maintenance_window BEFORE INSERT OR UPDATE ON iot.maintenance_windows
        FOR EACH ROW EXECUTE FUNCTION iot_kpi.check_maintenance_window();
    CREATE OR REPLACE TRIGGER windows_inserted AFTER INSERT ON iot.maintenance_windows
        REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('maintenance_windows_changed');
    CREATE OR REPLACE TRIGGER windows_updated AFTER UPDATE ON iot.maintenance_windows
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('maintenance_windows_changed');
    CREATE OR REPLACE TRIGGER windows_deleted AFTER DELETE ON iot.maintenance_windows
        REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('maintenance_windows_changed');
    CREATE OR REPLACE TRIGGER windows_truncated AFTER TRUNCATE ON iot.maintenance_windows
        FOR EACH STATEMENT EXECUTE FUNCTION iot_kpi.as_owner('everything_changed');
END
$$;
COMMENT ON FUNCTION iot_kpi.create_store_triggers() IS
    'Step of create_store(): attaches the ingest rules; needed again after DROP EXTENSION ... CASCADE took them';
