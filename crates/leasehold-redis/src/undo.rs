//! Puts TTLs back as they were, from the log of a scan or a cleanup.

use std::collections::HashMap;
use std::io::BufRead;

use redis::Value;

use crate::fault::Fault;
use crate::redis_connection::Redis;
use crate::scan_log::{ScanLine, ScanLineError};

/// What was put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct UndoReport {
    /// Keys that are again as they were.
    pub restored: u64,
    /// Keys that had been left alone, or that somebody has changed since.
    pub untouched: u64,
    /// Keys that are gone.
    pub gone: u64,
}

/// Why an undo ended early. It can be started again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UndoError {
    /// Redis cannot be asked.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The log cannot be read.
    #[error("failed to read the log: {0}")]
    Log(#[from] std::io::Error),
    /// A line of the log is none.
    #[error("line {number} of the log: {cause}")]
    Line {
        /// Which line, from 1.
        number: usize,
        /// What is wrong with it.
        cause: ScanLineError,
    },
}

const BATCH: usize = 500;

/// Puts back what the log says was changed. A key that was given a TTL loses it, unless somebody
/// has set a longer one since; a key whose TTL was taken away gets it back, to the millisecond
/// where `deadlines` has it, else in full from now on.
///
/// # Errors
/// When the log or Redis cannot be read. The whole log is read before anything is changed.
pub async fn undo(
    redis: &Redis,
    log: impl BufRead,
    deadlines: &HashMap<Vec<u8>, i64>,
) -> Result<UndoReport, UndoError> {
    let mut changed = Vec::new();
    let mut report = UndoReport::default();
    for (index, line) in log.lines().enumerate() {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        let line: ScanLine =
            line.parse().map_err(|cause| UndoError::Line { number: index + 1, cause })?;
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
    let lefts = redis.pipeline(ask).await?;
    let mut change = redis::pipe();
    let mut changes = 0;
    for ((line, new_ttl), left_ms) in chunk.iter().zip(lefts) {
        let Value::Int(left_ms) = left_ms else {
            return Err(Fault::unexpected(format!("{left_ms:?}")));
        };
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
