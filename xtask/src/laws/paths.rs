//! The paths that a file of Rust names: in `use`, and in code.

use super::source::{Kind, Source, Token};

/// A path, such as `crate::queue::Ticket` or `std::time`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    pub(super) is_test: bool,
    /// Whether a `use` names it.
    pub(super) is_use: bool,
    /// Whether that `use` is visible from outside, with the name that it gives.
    pub(super) exported_as: Option<String>,
}

/// All paths of a file that have at least one `::`, and all that a `use` names.
pub(super) fn of(source: &Source) -> Vec<Named> {
    let tokens = &source.tokens;
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].text == "use" && tokens[at].kind == Kind::Ident {
            let is_exported = at > 0
                && (tokens[at - 1].text == "pub"
                    || (tokens[at - 1].text == ")" && is_visibility(&tokens[..at])));
            at = tree(tokens, at + 1, &[], is_exported, &mut found);
        } else if tokens[at].kind == Kind::Ident {
            let (segments, next) = path(tokens, at);
            if segments.len() > 1 {
                found.push(Named {
                    segments,
                    line: tokens[at].line,
                    is_test: tokens[at].is_test,
                    is_use: false,
                    exported_as: None,
                });
            }
            at = next;
        } else {
            at += 1;
        }
    }
    found
}

/// Whether the tokens end with `pub(…)`.
fn is_visibility(tokens: &[Token]) -> bool {
    tokens
        .iter()
        .rposition(|token| token.text == "(")
        .and_then(|open| open.checked_sub(1))
        .is_some_and(|before| tokens[before].text == "pub")
}

/// Reads segments joined by `::`, up to what is none. Answers where it stopped.
fn path(tokens: &[Token], mut at: usize) -> (Vec<String>, usize) {
    let mut segments = vec![tokens[at].text.clone()];
    at += 1;
    while is_joint(tokens, at) && tokens.get(at + 2).is_some_and(|next| next.kind == Kind::Ident) {
        segments.push(tokens[at + 2].text.clone());
        at += 3;
    }
    (segments, at)
}

fn is_joint(tokens: &[Token], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([a, b]) if a.text == ":" && b.text == ":")
}

/// Reads a tree of a `use` behind `prefix`. Answers where it ends.
fn tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    is_exported: bool,
    found: &mut Vec<Named>,
) -> usize {
    if is_joint(tokens, at) {
        at += 2;
    }
    let Some(first) = tokens.get(at) else { return at };
    let line = first.line;
    let mut segments = prefix.to_vec();
    if first.kind == Kind::Ident {
        let (more, next) = path(tokens, at);
        segments.extend(more);
        at = next;
        if is_joint(tokens, at) {
            at += 2;
        }
    }
    match tokens.get(at).map(|token| token.text.as_str()) {
        Some("{") => {
            at += 1;
            while tokens.get(at).is_some_and(|token| token.text != "}") {
                let end = tree(tokens, at, &segments, is_exported, found);
                let is_joined = tokens.get(end).is_some_and(|token| token.text == ",");
                // A macro may have here what is no path.
                at = (end + usize::from(is_joined)).max(at + 1);
            }
            return at + 1;
        }
        Some("*") => {
            segments.push("*".to_owned());
            at += 1;
        }
        _ => {}
    }
    if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
        segments.pop();
    }
    let mut name = segments.last().cloned();
    if tokens.get(at).is_some_and(|token| token.text == "as") {
        name = tokens.get(at + 1).map(|token| token.text.clone());
        at += 2;
    }
    found.push(Named {
        segments,
        line,
        is_test: first.is_test,
        is_use: true,
        exported_as: name.filter(|_| is_exported),
    });
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_names_each_leaf_of_its_tree() {
        let text = "pub(crate) use a::{self, b::{C, D as E}, f::*};\nfn g() { x!(h::i::<J>()) }";
        let source = Source::new("crates/a/src/lib.rs", text.to_owned()).unwrap();
        let found = of(&source);
        let paths: Vec<_> = found.iter().map(|named| named.segments.join("::")).collect();
        assert_eq!(paths, ["a", "a::b::C", "a::b::D", "a::f::*", "h::i"]);
        assert_eq!(found[2].exported_as.as_deref(), Some("E"));
        assert_eq!((found[4].is_use, found[4].line), (false, 2));
    }
}
