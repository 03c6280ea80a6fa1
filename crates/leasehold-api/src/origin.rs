//! Where the request for a lease came from. Leases, waiters and events show it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the request for a lease came from, as far as that is known. It is no part of the holder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The address of the client.
    pub address: Option<String>,
    /// The client's name and version, such as `prefect/3.8.8`.
    pub client: Option<String>,
    /// The flow in which the client runs, as its headers say.
    pub flow: Option<Named>,
    /// The deployment in which the client runs, as its headers say.
    pub deployment: Option<Named>,
    /// The worker that started the client, as its headers say.
    pub worker: Option<Named>,
    /// The runs that asked for the lease, as the client's own event says.
    pub identified: Option<Identified>,
}

/// Something with an id and a name, as far as they are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// The runs that asked for a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Identified {
    /// The flow run.
    pub flow_run: Option<Named>,
    /// The task run within it.
    pub task_run: Option<Named>,
    /// How sure it is that these are the runs of this lease.
    pub certainty: Certainty,
}

/// How sure it is that an event is about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Certainty {
    /// The event can be about no other lease.
    Certain,
    /// The event can be about other leases, but they fit worse.
    Likely,
}
