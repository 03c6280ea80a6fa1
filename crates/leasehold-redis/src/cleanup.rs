//! Gives the dead old keys a TTL, so that Redis removes them later, and there is time to undo it.

use std::io::Write;

use crate::fault::Fault;
use crate::keys::Keys;
use crate::redis_connection::Redis;
use crate::scan_log::{ScanError, ScanLine};
use crate::scripts::CLEANUP;
use crate::walk::{BATCH, Pace, Walk};

/// How to clean up.
#[derive(Clone, Debug)]
pub struct CleanupOptions {
    /// The TTL that dead keys get.
    pub ttl_seconds: u32,
    /// Live keys too. When the key of a held lock expires, the lock protects nothing.
    pub force: bool,
    /// Change nothing; only report.
    pub dry_run: bool,
    /// How gently to walk over the keys.
    pub pace: Pace,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CleanupReport {
    /// Keys that got the TTL, or would get it.
    pub changed: u64,
    /// Keys left alone because their locks are held.
    pub alive: u64,
    /// Keys left alone because they have a TTL already.
    pub had_ttl: u64,
    /// Keys that are no strings and therefore no old locks.
    pub foreign: u64,
    /// Whether it ended before the last key.
    pub interrupted: bool,
}

/// What the script answers for a key instead of its size.
const HAS_TTL: i64 = -1;
const GONE: i64 = -2;
const NO_STRING: i64 = -3;
const ALIVE: i64 = -4;

/// Walks over the old keys. Each key that gets a TTL is in `log` before, as a line that
/// [`undo`](crate::undo()) reads.
///
/// # Errors
/// When Redis cannot be asked or the log cannot be written.
pub async fn cleanup(
    redis: &Redis,
    keys: &Keys,
    options: &CleanupOptions,
    log: &mut (impl Write + Send),
    mut go_on: impl FnMut(&CleanupReport) -> bool,
) -> Result<CleanupReport, ScanError> {
    let mut report = CleanupReport::default();
    let mut walk = Walk::start(redis, Some(keys.pattern("lock")), &options.pace)?;
    while let Some(found) = walk.next().await? {
        // A name that is no UTF-8 belongs to no lock.
        let found: Vec<String> =
            found.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
        for chunk in found.chunks(BATCH) {
            clean_chunk(redis, options, chunk, log, &mut report).await?;
        }
        if !walk.is_over() && !go_on(&report) {
            report.interrupted = true;
            break;
        }
    }
    Ok(report)
}

async fn clean_chunk(
    redis: &Redis,
    options: &CleanupOptions,
    chunk: &[String],
    log: &mut (impl Write + Send),
    report: &mut CleanupReport,
) -> Result<(), ScanError> {
    let mode = if options.force { "force" } else { "dead" };
    let ask =
        |ttl: u32| redis.run(&CLEANUP, chunk.to_vec(), vec![ttl.to_string(), mode.to_owned()]);
    // First without a change: what it is going to change has to be in the log before.
    let plan: Vec<i64> = ask(0).await?;
    let mut lines = String::new();
    for (key, size) in chunk.iter().zip(&plan).filter(|(_, answer)| **answer >= 0) {
        let line = ScanLine {
            key: key.clone().into_bytes(),
            kind: "string".to_owned(),
            ttl: -1,
            new_ttl: Some(i64::from(options.ttl_seconds)),
            size: *size,
        };
        lines.push_str(&format!("{line}\n"));
    }
    log.write_all(lines.as_bytes()).and_then(|()| log.flush()).map_err(ScanError::Write)?;
    let done = if options.dry_run { plan } else { ask(options.ttl_seconds).await? };
    for answer in done {
        match answer {
            0.. => report.changed += 1,
            HAS_TTL => report.had_ttl += 1,
            GONE => {}
            NO_STRING => report.foreign += 1,
            ALIVE => report.alive += 1,
            other => return Err(Fault::unexpected(other.to_string()).into()),
        }
    }
    Ok(())
}
