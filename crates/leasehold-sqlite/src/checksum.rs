//! A checksum over the columns of a row, as a function of SQL: SQLite itself has none for what is in
//! its main file.

use crc32fast::Hasher;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

/// Adds `row_sum(column, …)` to a connection: CRC-32 over the columns, each with its place and its
/// kind. It stands in files, so it never changes. A column that is NULL counts for nothing, so that one
/// that is added behind the others leaves the sums of older rows as they are.
///
/// # Errors
///
/// If SQLite refuses.
pub fn add_row_sum(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("row_sum", -1, flags, |columns| {
        let mut hasher = Hasher::new();
        for place in 0..columns.len() {
            let mut add = |kind: u8, bytes: &[u8]| {
                hasher.update(&[u8::try_from(place).unwrap_or(u8::MAX), kind]);
                hasher.update(&(bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            };
            match columns.get_raw(place) {
                ValueRef::Null => {}
                ValueRef::Integer(number) => add(1, &number.to_le_bytes()),
                ValueRef::Real(number) => add(2, &number.to_bits().to_le_bytes()),
                ValueRef::Text(text) => add(3, text),
                ValueRef::Blob(bytes) => add(4, bytes),
            }
        }
        Ok(i64::from(hasher.finalize()))
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
    fn every_column_its_place_and_its_kind_count() {
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

    /// By `zlib.crc32` of Python over the same bytes.
    const SUM: i64 = 2_860_544_781;
}
