//! The plugin as Grafana meets it: a process, spoken to by gRPC, over a real PostgreSQL with the extension.

// A test's panic is its verdict, and an error is what gRPC makes it.
#![allow(clippy::unwrap_used, clippy::result_large_err)]

mod alerts;
mod caller;
mod chosen;
mod columns;
mod dashboards;
mod described;
mod frames;
mod health;
mod host;
mod hostile;
mod load;
mod organisations;
mod pools;
mod process;
mod queries;
mod relay;
mod rest;
mod routes;
mod speed;
mod sql;
mod store;
mod stream;
mod tls;
