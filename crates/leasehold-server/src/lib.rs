//! The server: one coordinator that owns the ledger, and the HTTP routes in front of it.
