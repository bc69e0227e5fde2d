//! libFuzzer's entry to the target `sync`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::sync::run(data));
