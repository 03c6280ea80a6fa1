//! Defects of earlier systems, by their numbers. These tests check what a client sees. The engine's
//! tests check the rules themselves.

mod operation;
mod over_admission;
mod rates;
mod zombies;
