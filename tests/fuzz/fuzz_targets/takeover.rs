//! libFuzzer's entry to the target `takeover`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::takeover::run(data));
