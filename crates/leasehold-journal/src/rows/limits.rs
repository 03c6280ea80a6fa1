//! The row of a limit.

use std::borrow::Cow;

use leasehold_engine::{Level, Limit, LimitId, Rate, TakenBy, Timestamp, Unheld, Unleased};
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::{Columns, Kind, Row, Shared, Stored, Table, Value};

impl Stored for Limit {
    const TABLE: Table = Table {
        name: "limits",
        columns: &[
            ("id", Kind::Id),
            ("name", Kind::Text),
            ("slots", Kind::Integer),
            ("active", Kind::Integer),
            ("decay_nanos_per_second", Kind::Integer),
            ("created_micros", Kind::Integer),
            ("updated_micros", Kind::Integer),
            ("denied_slots", Kind::Integer),
            ("occupancy_seconds_average", Kind::Real),
            ("settled_micros", Kind::Integer),
            ("unleased", Kind::Text),
            ("foreign_slots", Kind::Integer),
            ("is_returning", Kind::Integer),
        ],
    };

    fn to_row(&self) -> Row<'_> {
        smallvec![
            Value::id(self.id.0),
            Value::text(&*self.name),
            Value::natural(self.slots),
            Value::Integer(self.active.into()),
            Value::natural(self.decay.as_units()),
            Value::time(self.created),
            Value::time(self.updated),
            Value::natural(self.denied_slots),
            Value::Real(self.occupancy_seconds_average),
            Value::time(self.settled),
            Value::Text(unleased_to_text(&self.unleased)),
            Value::optional((self.foreign > 0).then_some(self.foreign), Value::natural),
            Value::optional(self.returning.then_some(1), Value::Integer),
        ]
    }

    fn from_row(row: &Columns<'_>, _: &mut Shared) -> Result<Self, String> {
        Ok(Self {
            id: LimitId(row.id(0)?),
            name: row.text(1)?.into(),
            slots: row.natural(2)?,
            active: row.integer(3)? != 0,
            decay: Rate::from_units(row.natural(4)?),
            created: row.time(5)?,
            updated: row.time(6)?,
            denied_slots: row.natural(7)?,
            occupancy_seconds_average: row.real(8)?,
            settled: row.time(9)?,
            unleased: unleased_from_text(row.text(10)?)?,
            foreign: row.natural_or_null(11)?.unwrap_or(0),
            returning: row.integer_or_null(12)?.is_some_and(|returning| returning != 0),
        })
    }
}

/// Slots that no lease holds, as they stand in a limit's row.
#[derive(Serialize, Deserialize)]
struct StoredUnheld {
    by: StoredTakenBy,
    /// Microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    slots: u64,
    /// What there is beyond whole slots, in 10⁻¹⁵ slots.
    #[serde(default)]
    fraction: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredTakenBy {
    Created,
    Incremented,
    Spent,
    Reset,
    Unknown,
}

fn unleased_to_text(unleased: &Unleased) -> Cow<'static, str> {
    if unleased.parts().is_empty() {
        return "[]".into();
    }
    let parts = unleased.parts().iter().map(|part| {
        let whole = part.level.floor();
        StoredUnheld {
            by: part.taken_by.into(),
            since: part.since.map(Timestamp::as_micros),
            slots: whole.slots_taken(),
            fraction: u64::try_from((part.level - whole).as_units()).unwrap_or(0),
        }
    });
    serde_json::to_string(&parts.collect::<Vec<_>>()).unwrap_or_default().into()
}

fn unleased_from_text(text: &str) -> Result<Unleased, String> {
    let stored: Vec<StoredUnheld> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Unleased::from_parts(stored.into_iter().map(|stored| Unheld {
        taken_by: stored.by.into(),
        since: stored.since.map(Timestamp::from_micros),
        level: Level::from_slots(stored.slots) + Level::from_units(stored.fraction.into()),
    })))
}

impl From<TakenBy> for StoredTakenBy {
    fn from(taken_by: TakenBy) -> Self {
        match taken_by {
            TakenBy::Created => Self::Created,
            TakenBy::Incremented => Self::Incremented,
            TakenBy::Spent => Self::Spent,
            TakenBy::Reset => Self::Reset,
            TakenBy::Unknown => Self::Unknown,
        }
    }
}

impl From<StoredTakenBy> for TakenBy {
    fn from(stored: StoredTakenBy) -> Self {
        match stored {
            StoredTakenBy::Created => Self::Created,
            StoredTakenBy::Incremented => Self::Incremented,
            StoredTakenBy::Spent => Self::Spent,
            StoredTakenBy::Reset => Self::Reset,
            StoredTakenBy::Unknown => Self::Unknown,
        }
    }
}
