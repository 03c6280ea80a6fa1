//! `cargo xtask laws`: what the architecture promises, read from the sources.
//!
//! Each law is a module with a table and a test that shows that the law bites. A breach names the
//! law, the file and the line, and says what to do. An exception stands in a table, with the
//! reason why it lasts.

mod circles;
mod claims;
mod crates;
mod exceptions;
mod floors;
mod links;
mod names;
mod order;
mod paths;
mod python;
mod source;
mod strings;
mod together;
mod tree;
mod width;

use std::fmt;

use anyhow::{Result, bail};

/// A line that breaks a law.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    /// The law, as the table in `CONTRIBUTING.md` names it.
    law: &'static str,
    /// Where: `path:line`, or the path alone.
    place: String,
    /// What stands there, and what to do.
    why: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{}] {}", self.place, self.law, self.why)
    }
}

/// Checks all laws.
pub(crate) fn check() -> Result<()> {
    let sources = source::read_all()?;
    let mut breaches = Vec::new();
    breaches.extend(crates::check(&crates::read()?));
    breaches.extend(floors::check(&sources));
    breaches.extend(circles::check(&sources));
    for source in &sources {
        breaches.extend(names::check(source));
        breaches.extend(together::check(source));
        breaches.extend(strings::check(source));
        breaches.extend(order::check(source));
        breaches.extend(width::check(source));
    }
    breaches.extend(claims::check(&sources)?);
    breaches.extend(python::check()?);
    breaches.extend(links::check()?);
    let unused = exceptions::take_out(&mut breaches);
    breaches.extend(unused.into_iter().map(|(law, within)| Breach {
        law: "exceptions",
        place: within.to_owned(),
        why: format!("nothing here needs its exception from [{law}]: remove it"),
    }));
    if breaches.is_empty() {
        println!("{} files of Rust keep the laws", sources.len());
        return Ok(());
    }
    for breach in &breaches {
        println!("{breach}");
    }
    bail!("{} breaches of the laws; xtask/src/laws says what each law is for", breaches.len())
}
