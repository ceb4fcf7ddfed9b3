//! The description of the REST API, and a page that shows it without asking anybody else.

use super::reply::Reply;

/// OpenAPI 3.1.
pub(crate) const OPENAPI: &str = include_str!("../../openapi.json");

pub(crate) fn openapi() -> Reply {
    Reply::text(200, "application/json", OPENAPI)
}

/// The page, with the description in it.
pub(crate) fn page() -> Reply {
    // In a script element only this could end it early.
    let description = OPENAPI.replace("</", "<\\/");
    let page = include_str!("../../docs.html").replace("{{openapi}}", &description);
    Reply::text(200, "text/html; charset=utf-8", page)
}
