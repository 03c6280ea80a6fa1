//! The real program, end to end, with a real Redis and real peers. One binary, so that it is
//! linked once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alive;
mod chaos;
mod cleanup;
mod client;
mod foreign_text;
mod limits;
mod locks_json;
mod migrate_prefect;
mod migration;
#[path = "../../../leasehold-journal/tests/postgres/server/mod.rs"]
#[expect(dead_code, reason = "shared with the tests of leasehold-journal, which use more of it")]
mod postgres_server;
mod program;
mod run;
mod run_limit;
mod run_loss;
mod run_secrets;
mod run_waiting;
mod scan;
mod server;
mod standstill;
#[path = "../../../leasehold-redis/tests/it/support.rs"]
#[expect(dead_code, reason = "shared with the tests of leasehold-redis, which use more of it")]
mod support;
mod tls;
mod top;
