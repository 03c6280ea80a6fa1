//! Defects of the systems before us, by their numbers. What is a matter of rules alone is also
//! tested in the engine; here it is what a client sees.

mod operation;
mod over_admission;
mod rates;
mod zombies;
