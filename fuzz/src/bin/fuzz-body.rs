//! libFuzzer for the readers of bodies.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| leasehold_fuzz::body::run(data));
