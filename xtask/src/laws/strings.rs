//! A law: a query names its columns. With `SELECT *` a column that a later version adds moves what
//! the program reads, and nothing says so.

use super::Breach;
use super::source::{Kind, Source};

/// Statements that stand in files of users and are never changed.
const OLD_STATEMENTS: &str = "crates/leasehold-journal/src/sqlite/schema.rs";

/// Checks the statements in a file.
pub(super) fn check(source: &Source) -> Vec<Breach> {
    if source.path == OLD_STATEMENTS {
        return Vec::new();
    }
    let literals = source.tokens.iter().filter(|token| token.kind == Kind::Literal);
    let wild = literals.filter(|token| !token.is_test && selects_all(&token.text));
    wild.map(|token| Breach {
        law: "columns",
        place: source.at(token.line),
        why: "`SELECT *`: name the columns, in the order in which they are read".to_owned(),
    })
    .collect()
}

fn selects_all(literal: &str) -> bool {
    let words: Vec<_> = literal.split_whitespace().map(|word| word.trim_matches('"')).collect();
    words.windows(2).any(|pair| {
        pair[0].eq_ignore_ascii_case("select") && pair[1].trim_end_matches(',').ends_with('*')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_for_all_columns_is_found() {
        let breaches =
            |text: &str| check(&Source::new("crates/a/src/lib.rs", text.to_owned()).unwrap()).len();
        assert_eq!(breaches("const A: &str = \"SELECT * FROM flows\";"), 1);
        assert_eq!(breaches("const A: &str = \"SELECT\n  runs.* FROM runs\";"), 1);
        assert_eq!(breaches("const A: &str = \"SELECT count(*), 2 * 3 FROM runs\";"), 0);
        assert_eq!(breaches("// SELECT * FROM flows"), 0);
    }
}
