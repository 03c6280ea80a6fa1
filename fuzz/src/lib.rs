//! What the fuzzer does with one input, and the inputs with which it begins. `cargo xtask fuzz` runs
//! it with random inputs, and the tests run it with the first ones.

pub mod body;
pub mod http;
pub mod seeds;
