//! A checksum over the columns of a row: SQLite itself has none for its main file.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, Row, Statement, params_from_iter};

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

/// Executes a statement whose parameters are the columns of a row, followed by their sum.
///
/// # Errors
///
/// If SQLite refuses.
pub fn execute_with_sum(
    statement: &mut Statement<'_>,
    columns: &[&dyn ToSql],
) -> rusqlite::Result<usize> {
    let mut sum = RowSum::new();
    for column in columns {
        match column.to_sql()? {
            ToSqlOutput::Borrowed(value) => sum.add(value),
            ToSqlOutput::Owned(value) => sum.add((&value).into()),
            _ => return Err(rusqlite::Error::ToSqlConversionFailure("no column".into())),
        }
    }
    let sum = sum.finish();
    statement.execute(params_from_iter(columns.iter().copied().chain([&sum as &dyn ToSql])))
}

/// Checks that the last of a row's columns is the sum of those before it.
///
/// # Errors
///
/// If it is not.
pub fn check_sum(row: &Row<'_>, columns: usize) -> rusqlite::Result<()> {
    let last = columns.saturating_sub(1);
    let mut sum = RowSum::new();
    for column in 0..last {
        sum.add(row.get_ref(column)?);
    }
    if row.get::<_, i64>(last)? == sum.finish() {
        return Ok(());
    }
    let reason = "its checksum is another one".into();
    Err(rusqlite::Error::FromSqlConversionFailure(last, Type::Integer, reason))
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
    fn a_row_that_is_written_with_its_sum_passes_the_check_until_it_changes() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE a (x, y, z, sum)").unwrap();
        let mut insert = connection.prepare("INSERT INTO a VALUES (?1, ?2, ?3, ?4)").unwrap();
        execute_with_sum(&mut insert, rusqlite::params![7, "db", None::<i64>]).unwrap();
        let check = || connection.query_row("SELECT * FROM a", [], |row| check_sum(row, 4));
        check().unwrap();
        connection.execute_batch("UPDATE a SET y = 'dc'").unwrap();
        check().unwrap_err();
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
