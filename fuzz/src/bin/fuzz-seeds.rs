//! Writes the first inputs of the fuzzer into a folder.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| "seeds".into(), PathBuf::from);
    leasehold_fuzz::seeds::write(&folder)
}
