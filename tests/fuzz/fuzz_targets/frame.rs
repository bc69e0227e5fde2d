//! libFuzzer's entry to the target `frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::frame::run(data));
