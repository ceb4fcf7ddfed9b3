//! The mathematics of device KPIs.
