//! What can go wrong between us and Redis; a refusal is none of it.

/// A request to Redis without a useful answer. A lost lock is none of these: D28.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No connection, a broken one, or no answer in time. The request may have been executed.
    #[error("redis cannot be reached: {cause}")]
    Unreachable {
        /// What the network said.
        cause: String,
    },
    /// The user or the password is wrong, or one is needed.
    #[error("redis refused the login: {cause}")]
    LoginRefused {
        /// What Redis said.
        cause: String,
    },
    /// The ACL of the user does not allow a command or a key.
    #[error("redis does not permit this to its user: {cause}")]
    NotPermitted {
        /// What Redis said.
        cause: String,
    },
    /// Keys of one step are on different nodes of a cluster.
    #[error(
        "{cause}; on a cluster, use a prefix with a hash tag, such as {{t}}, so that all its keys share a slot"
    )]
    CrossSlot {
        /// What Redis said.
        cause: String,
    },
    /// Any other error answer.
    #[error("redis answered with an error: {cause}")]
    Refused {
        /// What Redis said.
        cause: String,
    },
    /// The phase key holds something that is no phase.
    #[error(
        "the key {key} holds {found:?}, which is no phase that this version knows; use the version \
         that wrote it"
    )]
    PhaseUnknown {
        /// The name of the phase key.
        key: String,
        /// What stands there, or where the phase would stand.
        found: String,
    },
    /// An answer of another shape than the protocol has.
    #[error("redis gave an unexpected answer: {cause}")]
    Unexpected {
        /// What came instead.
        cause: String,
    },
}

impl Fault {
    pub(crate) fn unexpected(cause: impl Into<String>) -> Self {
        Self::Unexpected { cause: cause.into() }
    }

    /// Whether trying again later can help although nothing is changed.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl From<redis::RedisError> for Fault {
    fn from(error: redis::RedisError) -> Self {
        use redis::{ErrorKind, ServerErrorKind};
        let cause = error.to_string();
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::LoginRefused { cause },
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::NotPermitted { cause },
            ErrorKind::Server(ServerErrorKind::CrossSlot) => Self::CrossSlot { cause },
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ReadOnly,
            ) => Self::Unreachable { cause },
            ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
                Some("NOAUTH" | "WRONGPASS") => Self::LoginRefused { cause },
                _ => Self::Refused { cause },
            },
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Self::Unexpected { cause },
            _ => Self::Unreachable { cause },
        }
    }
}
