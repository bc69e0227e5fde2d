//! libFuzzer's entry to the target `keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proa_fuzz::keys::run(data));
