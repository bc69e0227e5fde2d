//! libFuzzer's entry to the target `linkstate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::linkstate::run(data));
