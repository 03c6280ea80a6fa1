//! Wire types and their validation. Knows JSON and nothing of the engine, HTTP or time.
