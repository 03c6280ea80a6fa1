//! The bounds of the recorder: an idle server prunes, and waiting work is bounded in bytes.

use leasehold_engine::Timestamp;
use leasehold_records::{Bounds, EventFilter, EventRow};

use super::*;
use crate::ids;

fn event(number: u64) -> EventRow {
    EventRow::new(ids::at(0), number.to_string(), 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_prunes_all_excess() {
    const COUNT: u64 = 9_500;
    let directory = tempfile::tempdir().unwrap();
    let bounds = Bounds { events_max: 10, ..Bounds::default() };
    let open = || Records::open(directory.path(), bounds).unwrap();
    let clock = Clock::manual(Timestamp::from_micros(0));
    let (recorder, recording) =
        Recorder::start_with(open(), clock.clone(), Duration::from_millis(10));
    let written = recorder
        .write(|records| records.add_events(&mut (0..COUNT).map(event).collect::<Vec<_>>()));
    written.await.unwrap();

    // Reads through another connection, without a request to the thread.
    let mut seen = open();
    let too_many = EventFilter { limit_count: 11, ..EventFilter::default() };
    let since = std::time::Instant::now();
    while seen.begin().unwrap().events(&too_many).unwrap().events.len() > 10 {
        assert!(since.elapsed() < Duration::from_secs(60), "still too many");
        clock.advance(Span::from_micros(10_000));
        tokio::task::yield_now().await;
    }
    drop(recorder);
    tokio::task::spawn_blocking(|| recording.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_clients_that_wait_for_the_records_are_bounded_in_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let records = Records::open(directory.path(), Bounds::default()).unwrap();
    let clock = Clock::manual(Timestamp::from_micros(0));
    let (recorder, recording) = Recorder::start(records, clock);
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let busy = move |_: &Transaction<'_>| {
        let _ = wait.recv();
        Ok(())
    };
    recorder.write_behind(1, busy, || ()).await;
    recorder.write_behind(BEHIND_BYTES_MAX - 1, |_| Ok(()), || ()).await;
    let mut next = Box::pin(recorder.write_behind(1, |_| Ok(()), || ()));
    assert!(futures_util::FutureExt::now_or_never(next.as_mut()).is_none());
    drop(go_on);
    next.await;
    drop(recorder);
    tokio::task::spawn_blocking(|| recording.stop()).await.unwrap();
}
