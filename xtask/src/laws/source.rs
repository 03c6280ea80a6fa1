//! A file of Rust as the laws read it: tokens, so that comments, strings and macros are what they
//! are and not text that looks like code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::{Delimiter, Literal, TokenStream, TokenTree};

use crate::environment::root;

/// A file of Rust.
pub(super) struct Source {
    /// Its path from the workspace's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// Its tokens without attributes and comments. A group stands as its brackets around its
    /// content.
    pub(super) tokens: Vec<Token>,
    /// What each `#[derive(…)]` names, and on which line.
    pub(super) derives: Vec<(usize, Vec<String>)>,
    /// On which lines there are literals, those of attributes included.
    pub(super) literals: BTreeSet<usize>,
}

/// A token that knows where it stands.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) kind: Kind,
    /// Whether it is compiled for tests alone.
    pub(super) is_test: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ident,
    Literal,
    Punct,
}

/// Reads every file of Rust in the workspace.
pub(super) fn read_all() -> Result<Vec<Source>> {
    let root = root();
    let mut paths = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root.join(folder), &mut paths)?;
    }
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let text = fs::read_to_string(root.join(&path)).with_context(|| path.clone())?;
        sources.push(Source::new(&path, text)?);
    }
    mark_modules_for_tests(&mut sources);
    Ok(sources)
}

impl Source {
    /// Reads `text` as the file at `path`.
    pub(super) fn new(path: &str, text: String) -> Result<Self> {
        let stream: TokenStream =
            text.parse().map_err(|error| anyhow!("{path} is no Rust: {error}"))?;
        let mut source = Self {
            path: path.to_owned(),
            text,
            tokens: Vec::new(),
            derives: Vec::new(),
            literals: BTreeSet::new(),
        };
        source.flatten(stream, is_for_tests(path));
        Ok(source)
    }

    /// The place of a line, for a message.
    pub(super) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    fn flatten(&mut self, stream: TokenStream, is_test: bool) {
        let trees: Vec<_> = stream.into_iter().collect();
        let mut at = 0;
        let mut test_until = 0;
        while at < trees.len() {
            if let Some((attribute, length)) = attribute(&trees[at..]) {
                at += length;
                let words = words(attribute.stream());
                if words.first().is_some_and(|word| word == "derive") {
                    let line = attribute.span_open().start().line;
                    self.derives.push((line, names(&words[1..])));
                }
                if words.first().is_none_or(|word| word != "doc") {
                    self.note_literals(attribute.stream());
                }
                if is_cfg_test(&words) {
                    test_until = at + length_of_item(&trees[at..]);
                }
                continue;
            }
            self.push(&trees[at], is_test || at < test_until);
            at += 1;
        }
    }

    fn note_literals(&mut self, stream: TokenStream) {
        for tree in stream {
            match tree {
                TokenTree::Group(group) => self.note_literals(group.stream()),
                TokenTree::Literal(literal) => self.note_literal(&literal),
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }

    fn note_literal(&mut self, literal: &Literal) {
        let span = literal.span();
        self.literals.extend(span.start().line..=span.end().line);
    }

    fn push(&mut self, tree: &TokenTree, is_test: bool) {
        if let TokenTree::Literal(literal) = tree {
            self.note_literal(literal);
        }
        let line = tree.span().start().line;
        let mut token = |text: &str, line, kind| {
            self.tokens.push(Token { text: text.to_owned(), line, kind, is_test });
        };
        match tree {
            TokenTree::Ident(ident) => token(&ident.to_string(), line, Kind::Ident),
            TokenTree::Punct(punct) => token(&punct.to_string(), line, Kind::Punct),
            TokenTree::Literal(literal) => token(&literal.to_string(), line, Kind::Literal),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace | Delimiter::None => ("{", "}"),
                };
                token(open, line, Kind::Punct);
                self.flatten(group.stream(), is_test);
                let end = group.span_close().end().line;
                self.tokens.push(Token {
                    text: close.into(),
                    line: end,
                    kind: Kind::Punct,
                    is_test,
                });
            }
        }
    }
}

/// Whether a file at this path belongs to tests: below `tests/`, or a module named so.
fn is_for_tests(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Marks the files of modules that their parent declares for tests alone: `#[cfg(test)] mod x;`.
fn mark_modules_for_tests(sources: &mut [Source]) {
    let mut folders = Vec::new();
    for source in sources.iter() {
        let folder = folder_of_modules(&source.path);
        for window in source.tokens.windows(3) {
            if let [keyword, name, end] = window
                && keyword.is_test
                && keyword.text == "mod"
                && end.text == ";"
            {
                folders.push(format!("{folder}/{}", name.text));
            }
        }
    }
    for source in sources {
        let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if folders.iter().any(|folder| Path::new(stem).starts_with(folder)) {
            source.tokens.iter_mut().for_each(|token| token.is_test = true);
        }
    }
}

/// Where the modules that a file declares have their files.
pub(super) fn folder_of_modules(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder.to_owned(),
        _ => stem.to_owned(),
    }
}

/// The attribute that stands first, and how many trees it takes.
fn attribute(trees: &[TokenTree]) -> Option<(&proc_macro2::Group, usize)> {
    let is = |tree: Option<&TokenTree>, wanted| {
        let Some(TokenTree::Punct(punct)) = tree else { return false };
        punct.as_char() == wanted
    };
    if !is(trees.first(), '#') {
        return None;
    }
    let at = if is(trees.get(1), '!') { 2 } else { 1 };
    match trees.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            Some((group, at + 1))
        }
        _ => None,
    }
}

/// How many trees belong to the item, field or arm that stands first.
fn length_of_item(trees: &[TokenTree]) -> usize {
    let mut rest = 0;
    while let Some((_, length)) = attribute(&trees[rest..]) {
        rest += length;
    }
    let first = trees.get(rest).map(ToString::to_string).unwrap_or_default();
    let is_item = ITEMS.contains(&first.as_str());
    let last = trees[rest..].iter().position(|tree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';' || (!is_item && punct.as_char() == ','),
        _ => false,
    });
    rest + last.map_or(trees.len() - rest, |last| last + 1)
}

const ITEMS: [&str; 15] = [
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "let",
    "macro_rules",
    "mod",
    "pub",
    "static",
    "struct",
    "trait",
    "type",
    "use",
];

/// `cfg(test)`, and `cfg(all(test, …))`.
fn is_cfg_test(words: &[String]) -> bool {
    words.first().is_some_and(|word| word == "cfg")
        && words.iter().any(|word| word == "test")
        && !words.iter().any(|word| word == "not")
}

/// The identifiers and the punctuation of an attribute.
fn words(stream: TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    for tree in stream {
        match tree {
            TokenTree::Group(group) => words.extend(self::words(group.stream())),
            other => words.push(other.to_string()),
        }
    }
    words
}

/// The last segments of paths that commas separate: `Debug`, `Error` of `thiserror::Error`.
fn names(words: &[String]) -> Vec<String> {
    words.split(|word| word == ",").filter_map(|path| path.last().cloned()).collect()
}

fn collect(folder: &Path, paths: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let path = path.strip_prefix(root())?;
            paths.push(path.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idents(text: &str) -> Vec<(String, bool)> {
        let source = Source::new("crates/a/src/lib.rs", text.to_owned()).unwrap();
        let idents = source.tokens.into_iter().filter(|token| token.kind == Kind::Ident);
        idents.map(|token| (token.text, token.is_test)).collect()
    }

    #[test]
    fn comments_strings_and_attributes_hold_no_names() {
        let text = "//! Uuid\n/// Uuid\n#[doc = \"Uuid\"]\nconst A: &str = \"Uuid\"; // Uuid";
        assert!(idents(text).iter().all(|(name, _)| name != "Uuid"));
    }

    #[test]
    fn code_for_tests_ends_with_its_item() {
        let text = "#[cfg(test)] #[expect(x)] mod tests { fn a() {} } fn b() {}
            struct C { #[cfg(test)] d: u8, e: u8 } #[cfg(not(test))] fn f() {}";
        let tests = |name: &str| {
            let idents = idents(text);
            idents.iter().find(|(ident, _)| ident == name).unwrap().1
        };
        assert!(tests("a") && tests("d"));
        assert!(!tests("b") && !tests("e") && !tests("f"));
    }
}
