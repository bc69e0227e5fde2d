//! libFuzzer's entry to the target `wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::wire::run(data));
