//! libFuzzer's entry to the target `parity`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::parity::run(data));
