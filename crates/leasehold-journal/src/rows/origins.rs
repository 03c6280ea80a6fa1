//! Where leases come from, as JSON in their rows. Unknown fields are left out, and leases with the
//! same origin share it in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use leasehold_engine::{Certainty, Identified, Named, Origin};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredOrigin {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Text>,
    #[serde(skip_serializing_if = "StoredNamed::is_empty")]
    flow: StoredNamed,
    #[serde(skip_serializing_if = "StoredNamed::is_empty")]
    deployment: StoredNamed,
    #[serde(skip_serializing_if = "StoredNamed::is_empty")]
    worker: StoredNamed,
    #[serde(skip_serializing_if = "Option::is_none")]
    identified: Option<StoredIdentified>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredNamed {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Text>,
}

#[derive(Serialize, Deserialize)]
struct StoredIdentified {
    #[serde(default, skip_serializing_if = "StoredNamed::is_empty")]
    flow_run: StoredNamed,
    #[serde(default, skip_serializing_if = "StoredNamed::is_empty")]
    task_run: StoredNamed,
    certainty: StoredCertainty,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredCertainty {
    Certain,
    Likely,
}

/// Shared text, which serde reads and writes as text.
#[derive(Clone)]
struct Text(Arc<str>);

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// The origins that were read, each once.
#[derive(Default)]
pub(super) struct Origins(HashMap<String, Arc<Origin>>);

impl Origins {
    /// The origin in a lease's row.
    pub(super) fn read(&mut self, text: &str) -> Result<Arc<Origin>, String> {
        if let Some(known) = self.0.get(text) {
            return Ok(known.clone());
        }
        let stored: StoredOrigin = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let origin = Arc::new(Origin::from(stored));
        self.0.insert(text.to_owned(), origin.clone());
        Ok(origin)
    }
}

pub(super) fn to_text(origin: &Origin) -> String {
    serde_json::to_string(&StoredOrigin::from(origin)).unwrap_or_default()
}

impl StoredNamed {
    fn is_empty(&self) -> bool {
        self.id.is_none() && self.name.is_none()
    }
}

impl From<&Origin> for StoredOrigin {
    fn from(origin: &Origin) -> Self {
        Self {
            address: origin.address,
            client: origin.client.clone().map(Text),
            flow: StoredNamed::from(&origin.flow),
            deployment: StoredNamed::from(&origin.deployment),
            worker: StoredNamed::from(&origin.worker),
            identified: origin.identified.as_deref().map(|identified| StoredIdentified {
                flow_run: StoredNamed::from(&identified.flow_run),
                task_run: StoredNamed::from(&identified.task_run),
                certainty: match identified.certainty {
                    Certainty::Certain => StoredCertainty::Certain,
                    Certainty::Likely => StoredCertainty::Likely,
                },
            }),
        }
    }
}

impl From<&Named> for StoredNamed {
    fn from(named: &Named) -> Self {
        Self { id: named.id.clone().map(Text), name: named.name.clone().map(Text) }
    }
}

impl From<StoredOrigin> for Origin {
    fn from(stored: StoredOrigin) -> Self {
        Self {
            address: stored.address,
            client: stored.client.map(|text| text.0),
            flow: stored.flow.into(),
            deployment: stored.deployment.into(),
            worker: stored.worker.into(),
            identified: stored.identified.map(|identified| {
                Arc::new(Identified {
                    flow_run: identified.flow_run.into(),
                    task_run: identified.task_run.into(),
                    certainty: match identified.certainty {
                        StoredCertainty::Certain => Certainty::Certain,
                        StoredCertainty::Likely => Certainty::Likely,
                    },
                })
            }),
        }
    }
}

impl From<StoredNamed> for Named {
    fn from(stored: StoredNamed) -> Self {
        Self { id: stored.id.map(|text| text.0), name: stored.name.map(|text| text.0) }
    }
}
