//! libFuzzer's entry to the target `report`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::report::run(data));
