//! libFuzzer's entry to the target `bfd`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::bfd::run(data));
