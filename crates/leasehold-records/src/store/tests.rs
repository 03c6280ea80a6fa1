//! What becomes of records on a disk that is full.

use super::*;

fn event() -> EventRow {
    EventRow { document: Some("x".repeat(60_000)), ..EventRow::new("x", 0) }
}

#[test]
fn on_a_full_disk_a_failure_is_that_the_disk_is_full() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let limit = |records: &Records, pages: u32| {
        records.connection.pragma_update(None, "max_page_count", pages).unwrap();
    };
    limit(&records, 40);
    let book = records.book().unwrap();
    let failed = book.wholly(|book| (0..10).try_for_each(|_| book.add_event(&event()).map(drop)));
    assert!(matches!(failed, Err(RecordsError::Full)), "{failed:?}");
    drop(book);

    limit(&records, 1_000);
    let book = records.book().unwrap();
    assert_eq!(book.last_event().unwrap(), 0);
    book.add_event(&event()).unwrap();
    book.close().unwrap();
}
