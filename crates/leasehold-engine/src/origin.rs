//! Where a request came from, as far as that is known. Words for people who look at a lease: no
//! rule depends on them, and they are no part of who holds it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::lease::LeaseId;
use crate::ledger::Ledger;

/// Where a request came from. Unlike [`Notes`](crate::Notes) it does not make the ledger remember
/// that a lease was released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The client's name and version, such as `prefect/3.8.8`.
    pub client: Option<Arc<str>>,
    /// The flow in which the client runs.
    pub flow: Named,
    /// The deployment in which the client runs.
    pub deployment: Named,
    /// The worker that started the client.
    pub worker: Named,
    /// The runs in which the lease was asked for, if the client's own event says it.
    pub identified: Option<Arc<Identified>>,
}

/// Something with an id and a name, each if it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: Option<Arc<str>>,
    /// Its name.
    pub name: Option<Arc<str>>,
}

/// The runs in which a lease was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The flow run.
    pub flow_run: Named,
    /// The task run within it.
    pub task_run: Named,
    /// How sure it is that they are the runs of this lease.
    pub certainty: Certainty,
}

/// How sure it is that an event is about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It can be about no other.
    Certain,
    /// It can be about others, which fit worse.
    Likely,
}

impl Origin {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Named {
    /// Whether neither its id nor its name is known.
    pub fn is_empty(&self) -> bool {
        self.id.is_none() && self.name.is_none()
    }
}

impl Ledger {
    /// Keeps with a lease in which runs it was asked for. Answers whether the lease lives.
    pub(crate) fn identify(&mut self, id: LeaseId, identified: Arc<Identified>) -> bool {
        let Some(lease) = self.lease_mut(id) else { return false };
        let origin = lease.origin.as_deref().cloned().unwrap_or_default();
        lease.origin = Some(Arc::new(Origin { identified: Some(identified), ..origin }));
        true
    }
}
