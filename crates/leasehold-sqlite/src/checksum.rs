//! A checksum over the columns of a row: SQLite itself has none for its main file.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

/// CRC-32 over the columns of a row, each with its place and its kind. It is stored in files, so it
/// never changes. NULL columns are left out, so that a column added at the end leaves the sums of
/// older rows valid.
struct RowSum {
    place: u8,
    bytes: Vec<u8>,
}

impl RowSum {
    fn new() -> Self {
        Self { place: 0, bytes: Vec::with_capacity(512) }
    }

    fn add(&mut self, column: ValueRef<'_>) {
        let place = self.place;
        self.place = place.saturating_add(1);
        let mut add = |kind: u8, bytes: &[u8]| {
            self.bytes.extend([place, kind]);
            self.bytes.extend((bytes.len() as u64).to_le_bytes());
            self.bytes.extend(bytes);
        };
        match column {
            ValueRef::Null => {}
            ValueRef::Integer(number) => add(1, &number.to_le_bytes()),
            ValueRef::Real(number) => add(2, &number.to_bits().to_le_bytes()),
            ValueRef::Text(text) => add(3, text),
            ValueRef::Blob(bytes) => add(4, bytes),
        }
    }

    fn finish(self) -> i64 {
        i64::from(crc32fast::hash(&self.bytes))
    }
}

/// The checksum of a row's columns.
pub fn row_sum<'a>(columns: impl IntoIterator<Item = ValueRef<'a>>) -> i64 {
    let mut sum = RowSum::new();
    columns.into_iter().for_each(|column| sum.add(column));
    sum.finish()
}

/// Adds `row_sum(column, …)` to a connection, for statements that change rows without reading them.
///
/// # Errors
///
/// If SQLite refuses.
pub fn add_row_sum(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("row_sum", -1, flags, |columns| {
        let mut sum = RowSum::new();
        for place in 0..columns.len() {
            sum.add(columns.get_raw(place));
        }
        Ok(sum.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(columns: &str) -> i64 {
        let connection = Connection::open_in_memory().unwrap();
        add_row_sum(&connection).unwrap();
        let sql = format!("SELECT row_sum({columns})");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_statement_sums_as_the_program_does() {
        let columns = [ValueRef::Integer(7), ValueRef::Text(b"db"), ValueRef::Null];
        assert_eq!(sum("7, 'db', NULL"), row_sum(columns));
        assert_ne!(sum("7, 'dc', NULL"), row_sum(columns));
    }

    #[test]
    fn the_sum_depends_on_each_column_its_place_and_its_kind() {
        let all = ["1, 2", "2, 1", "1.0, 2", "'1', 2", "x'31', 2", "12", "'12'", "NULL, 12"];
        let mut sums: Vec<_> = all.into_iter().map(sum).collect();
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), all.len());
    }

    #[test]
    fn the_sum_of_a_row_never_changes() {
        assert_eq!(sum("7, 'db', NULL, 0.5, x'00ff'"), SUM);
        assert_eq!(sum("7, 'db', NULL, 0.5, x'00ff', NULL"), SUM, "a new column that is empty");
    }

    /// Computed by Python's `zlib.crc32` over the same bytes.
    const SUM: i64 = 2_860_544_781;
}
