//! Gives the dead old keys a TTL, so that Redis removes them by itself, and time to undo it.

use std::io::Write;
use std::time::Duration;

use redis::Value;

use crate::fault::Fault;
use crate::keys::Keys;
use crate::redis_connection::Redis;
use crate::scan_log::ScanLine;
use crate::scripts::CLEANUP;

/// How to clean up.
#[derive(Clone, Debug)]
pub struct CleanupOptions {
    /// The TTL that dead keys get.
    pub ttl_seconds: u32,
    /// Live keys too. A lock whose key goes while it is held protects nothing any more.
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Pause between two SCAN calls.
    pub pace: Duration,
    /// How many keys Redis looks at in one SCAN call.
    pub count: usize,
}

impl Default for CleanupOptions {
    fn default() -> Self {
        Self {
            ttl_seconds: 300,
            force: false,
            dry_run: false,
            pace: Duration::from_millis(2),
            count: 1_000,
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CleanupReport {
    /// Keys that got the TTL, or would get it.
    pub changed: u64,
    /// Keys left alone because somebody holds them.
    pub alive: u64,
    /// Keys left alone because they have a TTL already.
    pub had_ttl: u64,
    /// Keys that are no strings and so no old locks.
    pub foreign: u64,
    /// Whether it was ended before the last key.
    pub interrupted: bool,
}

/// Why a cleanup ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CleanupError {
    /// Redis cannot be asked.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The log cannot be written. Nothing is changed that is not in the log.
    #[error("failed to write the log: {0}")]
    Log(#[from] std::io::Error),
}

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
) -> Result<CleanupReport, CleanupError> {
    let mut report = CleanupReport::default();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(keys.pattern("lock")).arg("COUNT").arg(options.count);
        let (next, found): (u64, Vec<Vec<u8>>) = redis.query(scan).await?;
        // Names that are no text are nobody's lock.
        let found: Vec<String> =
            found.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
        for chunk in found.chunks(500) {
            clean_chunk(redis, options, chunk, log, &mut report).await?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(report);
        }
        if !go_on(&report) {
            report.interrupted = true;
            return Ok(report);
        }
        tokio::time::sleep(options.pace).await;
    }
}

async fn clean_chunk(
    redis: &Redis,
    options: &CleanupOptions,
    chunk: &[String],
    log: &mut (impl Write + Send),
    report: &mut CleanupReport,
) -> Result<(), CleanupError> {
    let mode = if options.force { "force" } else { "dead" };
    let ask = |ttl: String| redis.run(&CLEANUP, chunk.to_vec(), vec![ttl, mode.to_owned()]);
    // First without changing anything: what is going to be changed has to be in the log before.
    let plan = answers(ask("0".to_owned()).await?)?;
    let mut lines = String::new();
    for (key, answer) in chunk.iter().zip(&plan) {
        if let Answer::Change { size } = answer {
            let line = ScanLine {
                key: key.clone().into_bytes(),
                kind: "string".to_owned(),
                ttl: -1,
                new_ttl: Some(i64::from(options.ttl_seconds)),
                size: *size,
            };
            lines.push_str(&format!("{line}\n"));
        }
    }
    log.write_all(lines.as_bytes())?;
    log.flush()?;
    let done =
        if options.dry_run { plan } else { answers(ask(options.ttl_seconds.to_string()).await?)? };
    for answer in done {
        match answer {
            Answer::Change { .. } => report.changed += 1,
            Answer::Alive => report.alive += 1,
            Answer::HasTtl => report.had_ttl += 1,
            Answer::Gone => {}
            Answer::Foreign => report.foreign += 1,
        }
    }
    Ok(())
}

enum Answer {
    Change { size: i64 },
    Alive,
    HasTtl,
    Gone,
    Foreign,
}

fn answers(value: Value) -> Result<Vec<Answer>, Fault> {
    let Value::Array(fields) = value else {
        return Err(Fault::unexpected(format!("{value:?}")));
    };
    let read = |field: Value| match field {
        Value::Int(size) if size >= 0 => Ok(Answer::Change { size }),
        Value::Int(-1) => Ok(Answer::HasTtl),
        Value::Int(-2) => Ok(Answer::Gone),
        Value::Int(-3) => Ok(Answer::Foreign),
        Value::Int(-4) => Ok(Answer::Alive),
        other => Err(Fault::unexpected(format!("{other:?}"))),
    };
    fields.into_iter().map(read).collect()
}
