//! A law: the wire and what stands behind it meet in a conversion. Then a change of the wire
//! touches the conversion, and a rule is read without the wire.

use super::Breach;
use super::source::{Kind, Source};

/// Crates that no file names together, but for conversions.
const APART: &[(&[&str], &str)] = &[(&["leasehold_api", "leasehold_prefect"], "leasehold_engine")];

/// Where they meet: a module named `convert`, or below one.
fn is_conversion(path: &str) -> bool {
    path.split(['/', '.']).any(|part| part == "convert")
}

/// Checks which crates a file names together.
pub(super) fn check(source: &Source) -> Vec<Breach> {
    if is_conversion(&source.path) {
        return Vec::new();
    }
    let line_of = |name: &str| {
        let mut product = source.tokens.iter().filter(|token| !token.is_test);
        product.find(|token| token.kind == Kind::Ident && token.text == name).map(|t| t.line)
    };
    let mut breaches = Vec::new();
    for (wire, behind) in APART {
        let Some(line) = line_of(behind) else { continue };
        if let Some(wire) = wire.iter().find(|name| line_of(name).is_some()) {
            breaches.push(Breach {
                law: "wire",
                place: source.at(line),
                why: format!(
                    "`{behind}` beside `{wire}`: move what knows both to a module named `convert`"
                ),
            });
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_and_engine_meet_in_a_conversion_only() {
        let text = "use leasehold_api::Body;\nuse leasehold_engine::Ledger;";
        let breaches = |path: &str| check(&Source::new(path, text.to_owned()).unwrap());
        let door = breaches("crates/leasehold-server/src/doors/native/leases.rs");
        assert_eq!(door[0].place, "crates/leasehold-server/src/doors/native/leases.rs:2");
        assert!(breaches("crates/leasehold-server/src/doors/native/convert.rs").is_empty());
        assert!(breaches("crates/leasehold-server/src/convert/leases.rs").is_empty());
    }
}
