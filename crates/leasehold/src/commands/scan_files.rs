//! The log of a scan or a cleanup, and undoing what it says.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leasehold_redis::{Redis, ScanError, ScanLine};

use crate::exit::{Exit, Failure};
use crate::output;

/// The exit codes of the commands that walk over keys and write a log.
pub(crate) const EXIT_CODES: &str = "\
    0  done
    1  some keys to put back are gone
   64  the command line is wrong
   65  the log to undo is no log
   69  Redis cannot be reached
   74  the log cannot be read or written
   77  Redis refused the login, or does not permit it to this user
   78  the file with the address cannot be used
  130  ended by Ctrl-C";

/// Whether deadlines are kept beside the log: its lines have whole seconds, and only for what was
/// left then.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadlines {
    /// No key loses a TTL.
    None,
    /// In `FILE.deadlines`, written when the first key loses one.
    Beside,
}

/// A log that is written as the scan goes.
pub(crate) struct LogFile {
    log: BufWriter<File>,
    deadlines_path: Option<PathBuf>,
    deadlines: Option<BufWriter<File>>,
}

impl LogFile {
    pub(crate) fn create(path: &Path, deadlines: Deadlines) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Exit::Io, format!("failed to create {}: {error}", path.display()))
        };
        let beside = deadlines_path(path);
        // Deadlines of an earlier scan do not belong to this one.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let log = BufWriter::new(File::create(path).map_err(failed)?);
        Ok(Self {
            log,
            deadlines_path: (deadlines == Deadlines::Beside).then_some(beside),
            deadlines: None,
        })
    }

    pub(crate) fn line(&mut self, line: &ScanLine, expires_at_ms: Option<i64>) -> io::Result<()> {
        if let Some(at_ms) = expires_at_ms
            && let Some(path) = &self.deadlines_path
        {
            let file = match &mut self.deadlines {
                Some(file) => file,
                None => self.deadlines.insert(BufWriter::new(File::create(path)?)),
            };
            // The same line with the deadline as its last field.
            writeln!(file, "{}", ScanLine { size: at_ms, ..line.clone() })?;
        }
        writeln!(self.log, "{line}")
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.log.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(deadlines) = &mut self.deadlines {
            deadlines.flush()?;
        }
        self.log.flush()
    }
}

fn deadlines_path(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".deadlines");
    PathBuf::from(name)
}

/// Puts back what the log says, and prints what was done.
pub(crate) async fn undo_from(redis: &Redis, path: &Path, json: bool) -> Result<ExitCode, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Io, format!("failed to read {}: {error}", path.display()))
    };
    let log = File::open(path).map_err(failed)?;
    let deadlines = read_deadlines(&deadlines_path(path)).map_err(failed)?;
    let report = leasehold_redis::undo(redis, BufReader::new(log), &deadlines)
        .await
        .map_err(|error| failure_of(error, path, ""))?;
    if json {
        output::json(&report);
    } else {
        output::line(&format!("{} keys are as they were", report.restored));
        if report.untouched > 0 {
            output::line(&format!(
                "{} left alone: unchanged then, or changed by others since",
                report.untouched
            ));
        }
        if report.gone > 0 {
            output::line(&format!("{} are gone and cannot be put back", report.gone));
        }
    }
    Ok(ExitCode::from(if report.gone > 0 { Exit::No as u8 } else { 0 }))
}

/// Why a walk over the keys ended early. `log` is the file of its log, and `so_far` says what is in
/// there if Redis failed.
pub(crate) fn failure_of(error: ScanError, log: &Path, so_far: &str) -> Failure {
    let log = log.display();
    match error {
        ScanError::Fault(fault) => Failure::new(Exit::from(&fault), format!("{fault}{so_far}")),
        ScanError::Write(error) => {
            Failure::new(Exit::Io, format!("failed to write {log}: {error}"))
        }
        ScanError::Read(error) => Failure::new(Exit::Io, format!("failed to read {log}: {error}")),
        other => Failure::new(Exit::Data, format!("{log}: {other}")),
    }
}

fn read_deadlines(path: &Path) -> io::Result<HashMap<Vec<u8>, i64>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let mut deadlines = HashMap::new();
    for line in BufReader::new(file).lines() {
        if let Ok(line) = line?.parse::<ScanLine>() {
            deadlines.insert(line.key, line.size);
        }
    }
    Ok(deadlines)
}

/// Becomes true with the first Ctrl-C; the second ends the program as usual.
pub(crate) fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stopping.store(true, Ordering::Relaxed);
            output::say("caught Ctrl-C; stopping after these keys");
        }
    });
    stop
}
