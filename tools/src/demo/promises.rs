//! What the demo's devices are held to: response times that satisfy, and objectives. The collector knows neither.

use anyhow::{Context, Result};
use postgres::Client;

/// Milliseconds within which a reply satisfies, by device type, and what was promised of uptime and availability.
const SQL: &str = "
UPDATE iot.devices AS d SET response_target = t.target
FROM (VALUES ('temperature', 120), ('humidity', 120), ('motion', 80), ('air_quality', 200), ('camera', 400)) AS t (device_type, target)
WHERE d.device_type = t.device_type AND d.response_target IS NULL;
INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective)
SELECT p.* FROM (VALUES ('all', NULL, 'uptime', 0.99), ('device_type', 'camera', 'uptime', 0.95), ('device_type', 'motion', 'availability', 0.98))
                AS p (scope_kind, scope_value, kpi, objective)
WHERE NOT EXISTS (SELECT FROM iot.slo_targets)";

/// Sets them where there are none yet.
///
/// # Errors
/// When the database refuses.
pub fn make(client: &mut Client) -> Result<()> {
    client.batch_execute(SQL).context("set the demo's objectives")
}
