//! Makes the ledger's changes durable: the Journal trait and its SQLite implementation.
