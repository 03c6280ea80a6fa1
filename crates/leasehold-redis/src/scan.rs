//! Walks over the keys of a Redis and says what they are; gives TTLs to those that have none, or
//! takes TTLs away.

use std::collections::BTreeMap;
use std::io;

use crate::fault::Fault;
use crate::redis_connection::Redis;
use crate::scan_log::{ScanError, ScanLine};
use crate::walk::{Pace, Walk};

/// What to walk over, and what to do on the way.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Which keys; all of them without it.
    pub pattern: Option<String>,
    /// The TTL in seconds for keys that have none; −1 takes TTLs away; nothing is changed without
    /// it.
    pub ttl: Option<i64>,
    /// How gently to walk over the keys.
    pub pace: Pace,
    /// Change nothing; only report.
    pub dry_run: bool,
}

/// Keys and their sizes of one type or one prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TypeTotal {
    /// How many keys.
    pub keys: u64,
    /// The sum of their sizes: bytes of strings, members of anything else.
    pub size: u64,
}

/// What a scan saw and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScanSummary {
    /// Keys seen.
    pub keys: u64,
    /// Keys whose TTL was changed, or would be.
    pub changed: u64,
    /// By type, as Redis names it.
    pub by_type: BTreeMap<String, TypeTotal>,
    /// By the first two parts of the name, and the type.
    pub by_prefix: BTreeMap<String, TypeTotal>,
    /// Whether it ended before the last key.
    pub interrupted: bool,
}

/// Called on the way.
pub trait ScanProgress {
    /// A key, before it is changed. `expires_at_ms` is the deadline that it loses, for a key whose
    /// TTL is taken away.
    ///
    /// # Errors
    /// When it cannot be written; the scan ends and changes nothing more.
    fn key(&mut self, line: &ScanLine, expires_at_ms: Option<i64>) -> io::Result<()>;

    /// The end of one SCAN call. `false` ends the scan.
    ///
    /// # Errors
    /// When what was written so far cannot be kept.
    fn batch(&mut self, so_far: &ScanSummary) -> io::Result<bool>;
}

/// More prefixes than this are counted together, as `(other)`.
const PREFIXES_MAX: usize = 10_000;

/// Walks over the keys.
///
/// # Errors
/// When Redis cannot be asked, or `progress` cannot write.
pub async fn scan(
    redis: &Redis,
    options: &ScanOptions,
    progress: &mut impl ScanProgress,
) -> Result<ScanSummary, ScanError> {
    let mut summary = ScanSummary::default();
    let mut walk = Walk::start(redis, options.pattern.clone(), &options.pace)?;
    while let Some(keys) = walk.next().await? {
        if !keys.is_empty() {
            scan_batch(redis, options, keys, progress, &mut summary).await?;
        }
        let go_on = progress.batch(&summary).map_err(ScanError::Write)?;
        if !walk.is_over() && !go_on {
            summary.interrupted = true;
            break;
        }
    }
    Ok(summary)
}

async fn scan_batch(
    redis: &Redis,
    options: &ScanOptions,
    keys: Vec<Vec<u8>>,
    progress: &mut impl ScanProgress,
    summary: &mut ScanSummary,
) -> Result<(), ScanError> {
    let mut ask = redis::pipe();
    ask.cmd("TIME");
    for key in &keys {
        ask.cmd("TYPE").arg(key);
        ask.cmd("TTL").arg(key);
        ask.cmd("PTTL").arg(key);
    }
    let mut answers = redis.pipeline(ask).await?;
    let (seconds, micros): (i64, i64) = answers.next()?;
    let now_ms = seconds * 1_000 + micros / 1_000;
    let mut seen = Vec::with_capacity(keys.len());
    for key in keys {
        let kind: String = answers.next()?;
        let (ttl, left_ms): (i64, i64) = (answers.next()?, answers.next()?);
        // A key that is gone since the SCAN has the type `none`.
        if kind != "none" {
            let line = ScanLine { key, kind, ttl, new_ttl: new_ttl(options.ttl, ttl), size: -1 };
            seen.push((line, now_ms + left_ms));
        }
    }
    sizes(redis, &mut seen).await?;
    let mut change = redis::pipe();
    let mut changes = 0;
    for (line, expires_at_ms) in &seen {
        let takes_away = line.new_ttl == Some(-1) && line.ttl != -1;
        progress.key(line, takes_away.then_some(*expires_at_ms)).map_err(ScanError::Write)?;
        count(line, summary);
        match line.new_ttl {
            Some(-1) if takes_away => change.cmd("PERSIST").arg(&line.key),
            Some(ttl) if ttl != -1 => change.cmd("EXPIRE").arg(&line.key).arg(ttl),
            _ => continue,
        };
        changes += 1;
    }
    summary.changed += changes;
    if changes > 0 && !options.dry_run {
        // A change has to be in the log before it is made.
        progress.batch(summary).map_err(ScanError::Write)?;
        redis.pipeline(change).await?;
    }
    Ok(())
}

/// As in the Python script: −1 for every key when TTLs are taken away, and the TTL for keys
/// without one.
fn new_ttl(wanted: Option<i64>, ttl: i64) -> Option<i64> {
    match wanted {
        Some(-1) => Some(-1),
        Some(wanted) if ttl == -1 => Some(wanted),
        _ => None,
    }
}

async fn sizes(redis: &Redis, seen: &mut [(ScanLine, i64)]) -> Result<(), Fault> {
    let mut ask = redis::pipe();
    // A key whose type changes meanwhile does not end the scan.
    ask.ignore_errors();
    let mut asked = Vec::new();
    for (line, _) in seen.iter_mut() {
        let command = match line.kind.as_str() {
            "string" => "STRLEN",
            "list" => "LLEN",
            "set" => "SCARD",
            "zset" => "ZCARD",
            "hash" => "HLEN",
            "stream" => "XLEN",
            _ => continue,
        };
        ask.cmd(command).arg(&line.key);
        asked.push(&mut line.size);
    }
    if asked.is_empty() {
        return Ok(());
    }
    let mut answers = redis.pipeline(ask).await?;
    for size in asked {
        if let Ok(answer) = answers.next() {
            *size = answer;
        }
    }
    Ok(())
}

fn count(line: &ScanLine, summary: &mut ScanSummary) {
    let size = u64::try_from(line.size).unwrap_or(0);
    summary.keys += 1;
    let mut add = |totals: fn(&mut ScanSummary) -> &mut BTreeMap<String, TypeTotal>,
                   name: String| {
        let totals = totals(summary);
        let is_known = totals.contains_key(&name) || totals.len() < PREFIXES_MAX;
        let total = totals.entry(if is_known { name } else { "(other)".to_owned() }).or_default();
        total.keys += 1;
        total.size += size;
    };
    add(|summary| &mut summary.by_type, line.kind.clone());
    add(|summary| &mut summary.by_prefix, prefix(&line.key));
}

/// `t:lock` of `t:lock:abc`; the whole name where it has fewer than three parts would be one row
/// per key, so that is `t:*`, and `*` for a name of one part.
fn prefix(key: &[u8]) -> String {
    let name = String::from_utf8_lossy(key);
    let mut parts = name.split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(first), Some(second), Some(_)) => format!("{first}:{second}:*"),
        (Some(first), Some(_), None) => format!("{first}:*"),
        _ => "*".to_owned(),
    }
}
