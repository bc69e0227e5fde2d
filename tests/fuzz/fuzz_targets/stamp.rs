//! libFuzzer's entry to the target `stamp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::stamp::run(data));
