//! Records the holders, and fails if two have one lock. Knows nothing of how locks work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::guard::Guard;

/// A claim to hold a lock: asked at any time, it says whether its holder still believes so.
pub(super) enum Claim {
    Ours(Arc<Guard>),
    /// A peer believes until its own release or until this instant passes.
    Peer(Arc<dyn Fn() -> bool + Send + Sync>),
}

impl Claim {
    fn is_held(&self) -> bool {
        match self {
            Self::Ours(guard) => guard.is_held(),
            Self::Peer(believes) => believes(),
        }
    }
}

/// A claim with its number and who made it.
type Numbered = (u64, String, Claim);

#[derive(Default)]
pub(super) struct Referee {
    claims: Mutex<HashMap<String, Vec<Numbered>>>,
    next: Mutex<u64>,
    grants: Mutex<u64>,
}

impl Referee {
    /// Records a claim, and fails if another holder has the same lock at this instant.
    pub(super) fn claim(&self, id: &str, who: &str, claim: Claim) -> u64 {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        let number = *next;
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let claims = claims.entry(id.to_owned()).or_default();
        claims.retain(|(_, _, claim)| claim.is_held());
        if claim.is_held() {
            // Peers with skewed clocks get into each other's way by themselves.
            let is_ours = matches!(claim, Claim::Ours(_));
            let counts = |other: &Claim| is_ours || matches!(other, Claim::Ours(_));
            let others = claims.iter().filter(|(_, _, other)| counts(other));
            let others: Vec<&str> = others.map(|(_, who, _)| who.as_str()).collect();
            assert!(others.is_empty(), "two holders of {id}: {who} beside {others:?}");
            *self.grants.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        claims.push((number, who.to_owned(), claim));
        number
    }

    /// The holder has stopped to rely on it.
    pub(super) fn withdraw(&self, id: &str, number: u64) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = claims.get_mut(id) {
            claims.retain(|(other, _, _)| *other != number);
        }
    }

    pub(super) fn grants(&self) -> u64 {
        *self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
