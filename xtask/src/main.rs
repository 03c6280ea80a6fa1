//! `cargo xtask`: what CI runs and what a newcomer runs.

fn main() {}
