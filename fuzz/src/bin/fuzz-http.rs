//! libFuzzer for a connection of the whole server.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| leasehold_fuzz::http::run(data));
