//! libFuzzer's entry to the target `handover`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::handover::run(data));
