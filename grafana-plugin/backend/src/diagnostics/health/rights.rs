//! What a role lacks, and the statements that give it.

use super::{Verdict, unhealthy};
use crate::statement::quote_literal;

/// Most rights that a message names; the details name all.
const NAMED: usize = 5;

/// The verdict on a role that lacks rights: `ungranted` ones the store's owner grants, `uncallable` functions everybody may call
/// unless that right was taken.
pub(super) fn lacking(role: &str, ungranted: &[String], uncallable: &[String]) -> Verdict {
    let missing: Vec<&str> = ungranted.iter().chain(uncallable).map(String::as_str).collect();
    let mut names = missing[..missing.len().min(NAMED)].join(", ");
    if missing.len() > NAMED {
        names.push_str(&format!(" and {} more", missing.len() - NAMED));
    }
    let mut remedies = Vec::new();
    if !ungranted.is_empty() {
        remedies.push(format!("as the store's owner, run: {}", grant_reader(role)));
    }
    if !uncallable.is_empty() {
        let role = quote_identifier(role);
        remedies.push(format!(
            "as who installed the extension, run: GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA iot_kpi TO {role};"
        ));
    }
    let message = format!(
        "Role \"{role}\" lacks rights that reports need ({names}); {}",
        remedies.join(" And ")
    );
    let mut verdict = unhealthy("no right to read", message, "");
    verdict.details["missing"] = serde_json::json!(missing);
    verdict
}

pub(super) fn grant_reader(role: &str) -> String {
    format!("SELECT iot_kpi.grant_reader({});", quote_literal(role))
}

pub(super) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
