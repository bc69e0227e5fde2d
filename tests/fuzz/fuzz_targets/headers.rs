//! libFuzzer's entry to the target `headers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::headers::run(data));
