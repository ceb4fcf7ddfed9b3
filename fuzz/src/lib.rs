//! What the fuzzers try. `make fuzz` runs them, `make test` for a few seconds.
//!
//! | module | what is read |
//! |---|---|
//! | [`states`] | the binary and text forms of every state of `kpi-core` |
//! | [`requests`] | the JSON of the plugin's queries, its macros and durations; the paths, parameters and bodies of its REST API |
//!
//! An input that made a fuzzer fail goes to `regressions/TARGET/`, from where every run tries it again.

#[path = "../../kpi-core/tests/common/counting.rs"]
mod counting;
pub mod requests;
pub mod states;
