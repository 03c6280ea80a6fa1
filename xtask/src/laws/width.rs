//! A law: a line has at most [`WIDTH`] characters, comments too, which rustfmt leaves alone. A line
//! that a string makes longer is left alone: to break it would hide it from a search.

use super::Breach;
use super::source::Source;

const WIDTH: usize = 100;

/// Checks the width of a file's lines.
pub(super) fn check(source: &Source) -> Vec<Breach> {
    let lines = source.text.lines().enumerate().map(|(at, line)| (at + 1, line.chars().count()));
    lines
        .filter(|(line, length)| *length > WIDTH && !source.literals.contains(line))
        .map(|(line, length)| Breach {
            law: "width",
            place: source.at(line),
            why: format!("{length} characters: wrap it at {WIDTH}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_comment_is_found_and_a_long_string_is_not() {
        let long = "x".repeat(200);
        let broken = |text: String| check(&Source::new("a.rs", text).unwrap()).len();
        assert_eq!(broken(format!("// {long}\n")), 1);
        assert_eq!(broken(format!("const A: &str = \"{long}\";\n")), 0);
        assert_eq!(broken(format!("#[error(\"{long}\")] struct A;\n")), 0);
    }
}
