//! libFuzzer's entry to the target `trace`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::trace::run(data));
