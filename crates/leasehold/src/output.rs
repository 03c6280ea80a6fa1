//! What goes to people: messages on stderr, tables on stdout, colours only on a terminal. Whatever
//! is printed here may have come from outside, so that nothing of it reaches a terminal as anything
//! but text.

mod ask;
mod page;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use self::ask::{a_person_reads, confirm};
pub(crate) use self::page::Page;

/// The width that lines are laid out for.
const WIDTH: usize = 80;
/// Where the text of a labelled line begins.
const INDENT: usize = 12;

/// A text without anything that a terminal acts on, or that makes it look like another one: control
/// characters, ends of lines, and the marks that turn the direction of what follows or cannot be
/// seen.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_unsafe(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A message of the program itself, beside what its command prints.
pub(crate) fn say(message: &str) {
    // A closed stderr is no reason to end.
    let _ = writeln!(std::io::stderr(), "leasehold: {}", plain(message));
}

/// Why the program ends.
pub(crate) fn error(message: &str) {
    let _ = writeln!(std::io::stderr(), "error: {}", plain(message));
}

/// A line of the answer. A reader that has gone, as with `| head`, is no failure.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", plain(text));
}

/// What was done. Green on a terminal.
pub(crate) fn success(text: &str) {
    Paint::detect().line(&[(Style::Good, text)]);
}

/// A name in quotes, as Python shows it: Prefect's users know messages in this form.
pub(crate) fn quoted(name: &str) -> String {
    let quote = if name.contains('\'') && !name.contains('"') { '"' } else { '\'' };
    format!("{quote}{name}{quote}")
}

/// Lines of our own, as they are.
pub(crate) fn verbatim(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The answer for programs, on one line. What a terminal would act on is escaped here too, as JSON
/// has it.
pub(crate) fn json(answer: &impl serde::Serialize) {
    let text = serde_json::to_string(answer).unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "{}", plain_json(&text));
}

/// Such characters stand in strings only: between them JSON has none.
fn plain_json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_unsafe(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// How a part of a line looks on a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Plain,
    Good,
    Warning,
    Strong,
}

/// Colours for stdout, or none where it is no terminal or the user wants none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
    is_terminal: bool,
}

impl Paint {
    pub(crate) fn detect() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let is_terminal = std::io::stdout().is_terminal();
        Self { on: wanted && is_terminal, is_terminal }
    }

    /// A line of the answer in several styles.
    pub(crate) fn line(self, parts: &[(Style, &str)]) {
        let shown: String =
            parts.iter().map(|(style, text)| self.wrap(*style, &plain(text))).collect();
        verbatim(&shown);
    }

    /// A line that begins with what it is about. On a terminal it is broken between words.
    pub(crate) fn labelled(self, label: &str, style: Style, text: &str) {
        let label = format!("{label:<INDENT$}");
        let text = plain(text);
        let lines =
            if self.is_terminal { broken(&text, WIDTH - INDENT) } else { vec![text.as_ref()] };
        for (number, text) in lines.into_iter().enumerate() {
            let begin =
                if number == 0 { self.wrap(Style::Strong, &label) } else { " ".repeat(INDENT) };
            verbatim(&format!("{begin}{}", self.wrap(style, text)));
        }
    }

    fn wrap(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Good => "32",
            Style::Warning => "33",
            Style::Strong => "1",
            Style::Plain => return text.to_owned(),
        };
        if self.on && !text.trim().is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Lines of at most this width, broken at spaces; a word that is longer has a line of its own.
fn broken(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.chars().count() > width {
        let fits = rest.char_indices().nth(width + 1).map_or(rest.len(), |(at, _)| at);
        let space = rest[..fits].rfind(' ').or_else(|| rest.find(' '));
        let Some(space) = space else { break };
        lines.push(&rest[..space]);
        rest = rest[space..].trim_start();
    }
    lines.push(rest);
    lines
}

/// Whether progress can be redrawn in place.
pub(crate) fn progress_is_seen() -> bool {
    std::io::stderr().is_terminal()
}

/// Redraws the line of progress. A longer one would be broken by the terminal, and could not be
/// drawn over.
pub(crate) fn progress(text: &str) {
    if progress_is_seen() {
        IS_DRAWN.store(true, Ordering::Relaxed);
        redraw(&shortened(text, WIDTH - 1));
    }
}

/// Removes the line of progress, if there is one: what else stands on the line is not ours.
pub(crate) fn progress_end() {
    if IS_DRAWN.swap(false, Ordering::Relaxed) {
        redraw("");
    }
}

static IS_DRAWN: AtomicBool = AtomicBool::new(false);

fn redraw(text: &str) {
    let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    let _ = std::io::stderr().flush();
}

/// The beginning of a text, as people see it.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let shown = plain(text);
    if shown.chars().count() <= width {
        return shown.into_owned();
    }
    shown.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        for (text, shown) in [
            ("plain: é, 日本, \\n", "plain: é, 日本, \\n"),
            ("\x1b[2Ja", r"\u{1b}[2Ja"),
            ("a\nVerdict     safe", r"a\nVerdict     safe"),
            ("\u{9b}31m\u{7f}\r\t\0", r"\u{9b}31m\u{7f}\r\t\u{0}"),
            ("\u{202e}lanoitcerid\u{2066}\u{200b}", r"\u{202e}lanoitcerid\u{2066}\u{200b}"),
        ] {
            assert_eq!(plain(text), shown);
            assert!(!plain(text).contains(is_unsafe));
        }
        assert_eq!(shortened("a\nbcdef", 5), r"a\nb…");
    }

    #[test]
    fn json_stays_json_and_says_the_same() {
        let text = "\x1b\n\u{7f}\u{9b}\u{202e}\u{e0041}é";
        let written = serde_json::to_string(text).unwrap_or_default();
        let shown = plain_json(&written);
        assert!(!shown.contains(is_unsafe), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).ok().as_deref(), Some(text));
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("one", 7), ["one"]);
        assert_eq!(broken("incomprehensible so", 7), ["incomprehensible", "so"]);
    }
}
