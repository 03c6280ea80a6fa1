//! From the engine's types to those of the log.

use std::sync::Arc;

use leasehold_api::origin::{
    Certainty as WireCertainty, Identified as WireIdentified, Named as WireNamed,
    Origin as WireOrigin,
};
use leasehold_engine::{Certainty, Named, Origin, Timestamp};

pub(crate) fn timestamp(at: Timestamp) -> leasehold_api::Timestamp {
    leasehold_api::Timestamp(at.as_micros())
}

/// Where the request for a lease came from.
pub(crate) fn origin(origin: &Origin) -> WireOrigin {
    WireOrigin {
        address: origin.address.map(|address| address.to_string()),
        client: origin.client.as_deref().map(str::to_owned),
        flow: named(&origin.flow),
        deployment: named(&origin.deployment),
        worker: named(&origin.worker),
        identified: origin.identified.as_deref().map(|identified| WireIdentified {
            flow_run: named(&identified.flow_run),
            task_run: named(&identified.task_run),
            certainty: match identified.certainty {
                Certainty::Certain => WireCertainty::Certain,
                Certainty::Likely => WireCertainty::Likely,
            },
        }),
    }
}

fn named(named: &Named) -> Option<WireNamed> {
    let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let known = WireNamed { id: owned(&named.id), name: owned(&named.name) };
    (!named.is_empty()).then_some(known)
}
