//! What was lost, or not given back, in words.

use std::fmt;

/// What became of slots or a lock that were not simply given back.
#[derive(Debug)]
pub(super) enum Loss {
    /// The lock with this id was lost.
    Lock(String, leasehold_redis::Lost),
    /// The slots of these limits were lost.
    Slots(Vec<String>, leasehold_client::Lost),
    /// It may not have been given back, and expires by itself.
    Unreleased(String),
}

impl Loss {
    /// Whether something else may have run beside the command.
    pub(super) fn is_a_loss(&self) -> bool {
        !matches!(self, Self::Unreleased(_))
    }

    /// What it is about.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Lock(id, _) => format!("lock {id:?}"),
            Self::Slots(names, _) => names_of(names),
            Self::Unreleased(_) => "something".to_owned(),
        }
    }

    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Slots(..) => "slots",
            Self::Lock(..) | Self::Unreleased(_) => "lock",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(_, lost) => write!(f, "{lost}"),
            Self::Slots(_, lost) => write!(f, "{lost}"),
            Self::Unreleased(why) => f.write_str(why),
        }
    }
}

/// `limit "a"`, or `limits "a", "b"`.
pub(super) fn names_of(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    let noun = if names.len() == 1 { "limit" } else { "limits" };
    format!("{noun} {}", quoted.join(", "))
}
