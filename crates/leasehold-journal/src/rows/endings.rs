//! The row of a lease's ending.

use leasehold_engine::{EndReason, Ending, Fence, LeaseId};
use smallvec::smallvec;

use super::{Columns, Kind, Row, Shared, Stored, Table, Value};

impl Stored for Ending {
    const TABLE: Table = Table {
        name: "endings",
        columns: &[
            ("fence", Kind::Integer),
            ("lease", Kind::Id),
            ("at_micros", Kind::Integer),
            ("how", Kind::Text),
            ("reason", Kind::Text),
            ("revoked_by", Kind::Text),
        ],
    };

    fn to_row(&self) -> Row<'_> {
        let (how, reason, by) = match &self.how {
            EndReason::Expired => ("expired", None, None),
            EndReason::Revoked { reason, by } => ("revoked", reason.as_deref(), by.as_deref()),
            EndReason::Repossessed { evidence } => ("repossessed", Some(&**evidence), None),
            EndReason::Released => ("released", None, None),
        };
        smallvec![
            Value::natural(self.fence.0),
            Value::id(self.lease.0),
            Value::time(self.at),
            Value::text(how),
            Value::optional(reason, Value::text),
            Value::optional(by, Value::text),
        ]
    }

    fn from_row(row: &Columns<'_>, _: &mut Shared) -> Result<Self, String> {
        let how = match row.text(3)? {
            "expired" => EndReason::Expired,
            "repossessed" => EndReason::Repossessed { evidence: row.text(4)?.into() },
            "released" => EndReason::Released,
            "revoked" => EndReason::Revoked {
                reason: row.text_or_null(4)?.map(Into::into),
                by: row.text_or_null(5)?.map(Into::into),
            },
            word => return Err(format!("'{word}' is no kind of ending")),
        };
        Ok(Self {
            fence: Fence(row.natural(0)?),
            lease: LeaseId(row.id(1)?),
            at: row.time(2)?,
            how,
        })
    }
}
