//! The decoders of all states, binary and text; see [`iot_kpi_fuzz::states`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iot_kpi_fuzz::states::run(data));
