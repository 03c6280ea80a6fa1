//! How the program ends. The numbers are those of `sysexits.h`, where it has one that fits.

use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 64: the command line is wrong.
    Usage = 64,
    /// 65: the journal is damaged, or is no journal.
    Data = 65,
    /// 69: the address cannot be listened on; mostly another program uses the port.
    Unavailable = 69,
    /// 70: something that should not happen.
    Software = 70,
    /// 73: the data directory cannot be written.
    CannotCreate = 73,
    /// 75: another server runs on the same data. It may work later.
    Busy = 75,
    /// 76: a newer version wrote the journal.
    Newer = 76,
    /// 78: the configuration file or an environment variable is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
