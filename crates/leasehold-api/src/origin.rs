//! Where the request for a lease came from, as it is shown with leases, waiters and events. The
//! recorded API has nothing like it.

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::schema::{Shown, answer, choice, reference};

answer! {
    /// Where the request for a lease came from, as far as it is known. It does not tell one
    /// holder from another.
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
        /// The runs in which the lease was asked for, as the client's own event says.
        pub identified: Option<Identified>,
    }
}

answer! {
    /// Something with an id and a name, each if it is known.
    pub struct Named {
        /// Its id.
        pub id: Option<String>,
        /// Its name.
        pub name: Option<String>,
    }
}

answer! {
    /// The runs in which a lease was asked for.
    pub struct Identified {
        /// The flow run.
        pub flow_run: Option<Named>,
        /// The task run within it.
        pub task_run: Option<Named>,
        /// How sure it is that they are the runs of this lease.
        pub certainty: Certainty,
    }
}

choice! {
    /// How sure it is that an event is about a lease.
    pub enum Certainty {
        /// The event can be about no other lease.
        Certain = "certain",
        /// The event can be about other leases, which fit worse.
        Likely = "likely",
    }
}

/// An [`Origin`] as the log of events keeps it.
#[derive(Clone, Debug)]
pub struct LoggedOrigin(Box<RawValue>);

impl LoggedOrigin {
    /// What was written as a JSON text; nothing if it is none.
    pub fn new(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }
}

impl PartialEq for LoggedOrigin {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Serialize for LoggedOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Shown for LoggedOrigin {
    fn schema() -> Value {
        reference("Origin")
    }
}
