//! The JSON of the plugin's queries; see [`iot_kpi_fuzz::requests`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iot_kpi_fuzz::requests::query(data));
