//! A question to the person at the terminal.

use std::io::{BufRead, IsTerminal, Write};

use super::plain;

/// Whether a person reads what is printed.
pub(crate) fn a_person_reads() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Asks for yes or no, where nothing means no. The end of the input is a no, too.
pub(crate) fn confirm(question: &str) -> bool {
    let mut lines = std::io::stdin().lock().lines();
    loop {
        let mut out = std::io::stdout();
        let _ = write!(out, "{} [y/n] (n): ", plain(question));
        let _ = out.flush();
        let Some(Ok(answer)) = lines.next() else {
            let _ = writeln!(out);
            return false;
        };
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return true,
            "" | "n" | "no" => return false,
            _ => {
                let _ = writeln!(out, "Please enter Y or N");
            }
        }
    }
}
