//! What goes to people: messages on stderr, tables on stdout, colours only on a terminal.

use std::io::{IsTerminal, Write};

/// A message of the program itself, beside what its command prints.
pub(crate) fn say(message: &str) {
    // Where stderr is gone, there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "leasehold: {message}");
}

/// A line of the answer. A reader that has gone, as with `| head`, is no failure.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Colours for stdout, or none where it is no terminal or the user wants none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) fn detect() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { on: wanted && std::io::stdout().is_terminal() }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether progress can be redrawn in place.
pub(crate) fn progress_is_seen() -> bool {
    std::io::stderr().is_terminal()
}

/// Redraws the line of progress.
pub(crate) fn progress(text: &str) {
    if progress_is_seen() {
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        let _ = std::io::stderr().flush();
    }
}

/// Removes the line of progress.
pub(crate) fn progress_end() {
    progress("");
}
