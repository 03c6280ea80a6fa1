//! Exit codes, after sysexits.h where it has a fitting one. `leasehold run` exits with its command's code instead; codes
//! above 128 are 128 plus the number of the signal that ended it.

use std::process::ExitCode;

/// The answer is no: it is not safe to go on, or not everything could be done.
pub(crate) const NO: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 64;
/// A file that was to be read is not what it should be.
pub(crate) const BAD_DATA: u8 = 65;
/// Redis cannot be reached, or gave an answer that makes no sense.
pub(crate) const UNAVAILABLE: u8 = 69;
/// The operating system refused something.
pub(crate) const OS: u8 = 71;
/// A file cannot be read or written.
pub(crate) const IO: u8 = 74;
/// The lock was not to be had in time.
pub(crate) const NOT_IN_TIME: u8 = 75;
/// The lock was lost while the command ran, and the command ended with 0 all the same.
pub(crate) const LOCK_LOST: u8 = 76;
/// Redis refused the login, or does not permit it to this user.
pub(crate) const NOT_PERMITTED: u8 = 77;
/// As in a shell: the command was found and cannot be run.
pub(crate) const CANNOT_RUN: u8 = 126;
/// As in a shell: there is no such command.
pub(crate) const NOT_FOUND: u8 = 127;

/// Help and versions were asked for and are no failure; anything else about the command line is.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Where the terminal is gone, there is nobody left to tell.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

/// Why the program ends without having done what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The one place where a failure is told.
    pub(crate) fn report(&self) -> ExitCode {
        crate::output::say(&self.message);
        ExitCode::from(self.code)
    }
}

impl From<leasehold_redis::Fault> for Failure {
    fn from(fault: leasehold_redis::Fault) -> Self {
        Self::new(code_of(&fault), fault.to_string())
    }
}

pub(crate) fn code_of(fault: &leasehold_redis::Fault) -> u8 {
    use leasehold_redis::Fault;
    match fault {
        Fault::LoginRefused { .. } | Fault::NotPermitted { .. } => NOT_PERMITTED,
        _ => UNAVAILABLE,
    }
}
