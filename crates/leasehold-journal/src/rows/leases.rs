//! The row of a lease.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_engine::{
    Fence, Holder, Holding, Holdings, Lease, LeaseId, Level, LimitId, Notes, RequestDigest,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::{Columns, Kind, Row, Shared, Stored, Table, Value, origins};

impl Stored for Lease {
    const TABLE: Table = Table {
        name: "leases",
        columns: &[
            ("fence", Kind::Integer),
            ("id", Kind::Id),
            ("holder_kind", Kind::Text),
            ("holder_id", Kind::Text),
            ("holdings", Kind::Text),
            ("created_micros", Kind::Integer),
            ("deadline_micros", Kind::Integer),
            ("notes", Kind::Text),
            ("origin", Kind::Text),
            ("partners", Kind::Text),
        ],
    };

    fn to_row(&self) -> Row<'_> {
        let holder = self.holder.as_ref();
        let partners = Some(&self.partners).filter(|partners| !partners.is_empty());
        smallvec![
            Value::natural(self.fence.0),
            Value::id(self.id.0),
            Value::optional(holder, |holder| Value::text(&*holder.kind)),
            Value::optional(holder, |holder| Value::text(&*holder.id)),
            Value::text(holdings_to_text(&self.holdings)),
            Value::time(self.created),
            Value::optional(self.deadline, Value::time),
            Value::optional(self.notes.as_deref(), |notes| Value::text(notes_to_text(notes))),
            Value::optional(self.origin.as_deref(), |it| Value::text(origins::to_text(it))),
            Value::optional(partners, |partners| Value::text(partners_to_text(partners))),
        ]
    }

    fn from_row(row: &Columns<'_>, shared: &mut Shared) -> Result<Self, String> {
        let holder = match (row.text_or_null(2)?, row.text_or_null(3)?) {
            (Some(kind), Some(id)) => Some(Holder { kind: kind.into(), id: id.into() }),
            (None, None) => None,
            _ => return Err("it has half a holder".to_owned()),
        };
        let notes = row.text_or_null(7)?.map(notes_from_text).transpose()?;
        Ok(Self {
            fence: Fence(row.natural(0)?),
            id: LeaseId(row.id(1)?),
            holder,
            holdings: holdings_from_text(row.text(4)?)?,
            created: row.time(5)?,
            deadline: row.integer_or_null(6)?.map(Timestamp::from_micros),
            notes: notes.map(Arc::new),
            origin: row.text_or_null(8)?.map(|text| shared.origins.read(text)).transpose()?,
            partners: row.text_or_null(9)?.map_or(Ok(Vec::new()), partners_from_text)?,
        })
    }
}

/// A holding as it stands in a lease's row.
#[derive(Serialize, Deserialize)]
struct StoredHolding {
    /// The limit's id, in hex.
    limit: String,
    slots: u64,
    /// What has drained of the slots, in 10⁻¹⁵ slots; mostly nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    drained: String,
}

/// A lease's notes as they stand in its row.
#[derive(Serialize, Deserialize)]
struct StoredNotes<'a> {
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// The digest of the request, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

fn is_zero(drained: &str) -> bool {
    drained.is_empty()
}

fn holdings_to_text(holdings: &Holdings) -> String {
    let stored: Vec<_> = holdings
        .iter()
        .map(|holding| StoredHolding {
            limit: format!("{:032x}", holding.limit.0),
            slots: holding.slots,
            drained: match Level::from_slots(holding.slots).saturating_sub(holding.level) {
                Level::ZERO => String::new(),
                drained => drained.as_units().to_string(),
            },
        })
        .collect();
    serde_json::to_string(&stored).unwrap_or_default()
}

fn holdings_from_text(text: &str) -> Result<Holdings, String> {
    let stored: Vec<StoredHolding> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    stored
        .into_iter()
        .map(|stored| {
            let limit = u128::from_str_radix(&stored.limit, 16).map_err(|e| e.to_string())?;
            let drained = match stored.drained.as_str() {
                "" => 0,
                units => units.parse().map_err(|_| format!("no amount of slots: {units}"))?,
            };
            let level = Level::from_slots(stored.slots).saturating_sub(Level::from_units(drained));
            Ok(Holding { limit: LimitId(limit), slots: stored.slots, level })
        })
        .collect()
}

fn partners_to_text(partners: &[LeaseId]) -> String {
    let ids: Vec<_> = partners.iter().map(|partner| format!("{:032x}", partner.0)).collect();
    ids.join(",")
}

fn partners_from_text(text: &str) -> Result<Vec<LeaseId>, String> {
    let ids = text.split(',').map(|id| u128::from_str_radix(id, 16).map(LeaseId));
    ids.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn notes_to_text(notes: &Notes) -> String {
    let labels = notes.labels.iter().map(|(name, value)| ((&**name).into(), (&**value).into()));
    let request = notes.request.map(|request| format!("{:032x}", request.0));
    let stored = StoredNotes { labels: labels.collect(), request };
    serde_json::to_string(&stored).unwrap_or_default()
}

fn notes_from_text(text: &str) -> Result<Notes, String> {
    let stored: StoredNotes<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let request = stored.request.map(|digits| u128::from_str_radix(&digits, 16)).transpose();
    let labels = stored.labels.into_iter();
    Ok(Notes {
        labels: labels.map(|(name, value)| (Arc::from(&*name), Arc::from(&*value))).collect(),
        request: request.map_err(|error| error.to_string())?.map(RequestDigest),
    })
}
