//! The rules: limits, slots, leases and their deadlines. Pure: no I/O, no clock, no randomness, no async.
