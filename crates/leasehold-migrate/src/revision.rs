//! The revisions of Prefect's database, and where limits are in each.

use serde::Serialize;

/// Where a database has its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Limits of tags in `concurrency_limit`, and no others: before 2.11.3.
    TagsOnly,
    /// Limits of tags in `concurrency_limit`, all others in `concurrency_limit_v2`: up to 3.4.18.
    TwoTables,
    /// All in `concurrency_limit_v2`, those of tags as `tag:<tag>`: from 3.4.19 on.
    OneTable,
}

/// The shape of a revision of Alembic, in SQLite or PostgreSQL; `None` if it is newer than those of
/// Prefect 3.9.1, or none of Prefect's.
pub(crate) fn shape_of(revision: &str) -> Option<Shape> {
    let known = [
        (Shape::OneTable, include_str!("revisions/after.txt")),
        (Shape::TwoTables, include_str!("revisions/both.txt")),
        (Shape::TagsOnly, include_str!("revisions/before.txt")),
    ];
    let is_in = |text: &str| text.split_whitespace().any(|known| known == revision);
    known.into_iter().find(|(_, text)| is_in(text)).map(|(shape, _)| shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_its_shape() {
        for (revision, shape) in [
            ("9725c1cbee35", Some(Shape::TagsOnly)),
            ("25f4b90a7a42", Some(Shape::TagsOnly)),
            ("5b0bd3b41a23", Some(Shape::TwoTables)),
            ("5f623ddbf7fe", Some(Shape::TwoTables)),
            ("20fbd53b3cef", Some(Shape::TwoTables)),
            ("9e83011d1f2a", Some(Shape::OneTable)),
            ("27d8f4e1a6c9", Some(Shape::OneTable)),
            ("91e2b8f3d6a4", Some(Shape::OneTable)),
            ("ffffffffffff", None),
            ("", None),
        ] {
            assert_eq!(shape_of(revision), shape, "{revision}");
        }
    }
}
