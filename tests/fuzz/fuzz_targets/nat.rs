//! libFuzzer's entry to the target `nat`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::nat::run(data));
