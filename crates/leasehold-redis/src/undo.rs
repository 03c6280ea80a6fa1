//! Puts TTLs back as they were, from the log of a scan or a cleanup.

use std::collections::HashMap;
use std::io::BufRead;

use crate::fault::Fault;
use crate::redis_connection::Redis;
use crate::scan_log::{ScanError, ScanLine};
use crate::walk::BATCH;

/// What was put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct UndoReport {
    /// Keys that are again as they were.
    pub restored: u64,
    /// Keys that were left alone then, or that others have changed since.
    pub untouched: u64,
    /// Keys that are gone.
    pub gone: u64,
}

/// Puts back what the log says was changed. A key that was given a TTL loses it, unless others have
/// set a longer one since. A key whose TTL was taken away gets it back: to the millisecond if
/// `deadlines` has it, else in full from now on.
///
/// # Errors
/// When the log or Redis cannot be read. The whole log is read before anything is changed.
pub async fn undo(
    redis: &Redis,
    log: impl BufRead,
    deadlines: &HashMap<Vec<u8>, i64>,
) -> Result<UndoReport, ScanError> {
    let mut changed = Vec::new();
    let mut report = UndoReport::default();
    for (index, line) in log.lines().enumerate() {
        let line = line.map_err(ScanError::Read)?;
        if line.is_empty() {
            continue;
        }
        let line: ScanLine =
            line.parse().map_err(|cause| ScanError::Line { number: index + 1, cause })?;
        match line.new_ttl {
            Some(new_ttl) if new_ttl != line.ttl && line.ttl >= -1 => changed.push((line, new_ttl)),
            _ => report.untouched += 1,
        }
    }
    for chunk in changed.chunks(BATCH) {
        undo_chunk(redis, chunk, deadlines, &mut report).await?;
    }
    Ok(report)
}

async fn undo_chunk(
    redis: &Redis,
    chunk: &[(ScanLine, i64)],
    deadlines: &HashMap<Vec<u8>, i64>,
    report: &mut UndoReport,
) -> Result<(), Fault> {
    let mut ask = redis::pipe();
    for (line, _) in chunk {
        ask.cmd("PTTL").arg(&line.key);
    }
    let mut answers = redis.pipeline(ask).await?;
    let mut change = redis::pipe();
    let mut changes = 0;
    for (line, new_ttl) in chunk {
        let left_ms: i64 = answers.next()?;
        let was_given = *new_ttl >= 0 && line.ttl == -1;
        match left_ms {
            -2 => {
                report.gone += 1;
                continue;
            }
            0.. if was_given && left_ms <= new_ttl.saturating_mul(1_000) => {
                change.cmd("PERSIST").arg(&line.key);
            }
            -1 if *new_ttl == -1 => match deadlines.get(&line.key) {
                Some(at_ms) => {
                    change.cmd("PEXPIREAT").arg(&line.key).arg(at_ms);
                }
                None => {
                    change.cmd("EXPIRE").arg(&line.key).arg(line.ttl);
                }
            },
            _ => {
                report.untouched += 1;
                continue;
            }
        }
        changes += 1;
    }
    if changes > 0 {
        redis.pipeline(change).await?;
    }
    report.restored += changes;
    Ok(())
}
