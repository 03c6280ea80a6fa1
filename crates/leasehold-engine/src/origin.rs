//! Where a request came from, as far as it is known. It is for people who look at a lease: no rule
//! depends on it, and it is not part of the holder.

use std::net::IpAddr;
use std::sync::Arc;

use crate::holder::Holder;

/// Where a request came from. Unlike with [`Notes`](crate::Notes), the ledger does not remember the
/// release of its lease.
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
    /// The runs in which the lease was asked for, if the client's own event names them.
    pub identified: Option<Arc<Identified>>,
}

/// An id and a name, each if it is known.
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
    /// How certain it is that these are the runs of this lease.
    pub certainty: Certainty,
}

/// How certain it is that an event is about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It cannot be about another lease.
    Certain,
    /// It can be about other leases, which match less well.
    Likely,
}

impl Origin {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The runs as holders of their kinds: the task run, and the flow run.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Holder> {
        let runs = self.identified.as_deref().map(|it| {
            [(Holder::TASK_RUN, it.task_run.id.clone()), (Holder::FLOW_RUN, it.flow_run.id.clone())]
        });
        let runs = runs.into_iter().flatten();
        runs.filter_map(|(kind, id)| Some(Holder::new(kind, id?)))
    }
}

impl Named {
    /// Whether neither its id nor its name is known.
    pub fn is_empty(&self) -> bool {
        self.id.is_none() && self.name.is_none()
    }
}
