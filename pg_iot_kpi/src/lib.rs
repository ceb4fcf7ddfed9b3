//! The PostgreSQL shell around kpi-core.
