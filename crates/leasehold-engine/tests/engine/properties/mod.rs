//! The invariants of the design as properties.
