//! The book on a time of its own.

use leasehold_api::Timestamp;
use leasehold_api::leases::{EndedLease, RenewedLease, Status};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(60);

struct Test {
    book: Book,
    start: Instant,
}

impl Test {
    fn new() -> Self {
        Self { book: Book::default(), start: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + SECOND * u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn keep(&mut self, id: u128, granted: u64) -> watch::Receiver<Held> {
        let until = self.at(granted) + TTL;
        let (state, receiver) = watch::channel(Held::until(Some(until - SECOND)));
        let entry = Entry { ttl: TTL, notice: SECOND, until, state };
        let now = self.at(granted);
        self.book.keep(Uuid::from_u128(id), entry, now);
        receiver
    }

    fn due(&mut self, seconds: u64) -> Vec<Vec<u128>> {
        let now = self.at(seconds);
        let batches = self.book.due(now).into_iter();
        batches.map(|batch| batch.leases.iter().map(Uuid::as_u128).collect()).collect()
    }

    fn answer(&mut self, ids: &[u128], sent: u64, now: u64, answer: Result<Status, Error>) {
        let leases: Vec<_> = ids.iter().map(|id| Uuid::from_u128(*id)).collect();
        let of = |id: &Uuid, status| match status {
            Status::Renewed => Renewal::Renewed(RenewedLease { id: *id, status, deadline: None }),
            _ => Renewal::Ended(EndedLease {
                detail: "It ended.".to_owned(),
                id: *id,
                status,
                at: Some(Timestamp(0)),
                reason: None,
                by: None,
            }),
        };
        let answer = answer
            .map(|status| Renewals { leases: leases.iter().map(|id| of(id, status)).collect() });
        let (sent_at, now) = (self.at(sent), self.at(now));
        self.book.answered(&Batch { ttl: TTL, leases }, sent_at, answer, now);
    }
}

fn outage() -> Error {
    let (url, cause) = ("http://a/api".to_owned(), "connection refused".to_owned());
    Error::Unreachable { url, cause, is_unsent: true }
}

#[test]
fn leases_that_are_due_soon_are_renewed_together() {
    let mut test = Test::new();
    let _states = [test.keep(1, 0), test.keep(2, 8), test.keep(3, 15)];
    assert_eq!(test.due(19), [] as [Vec<u128>; 0]);
    assert_eq!(test.due(20), [[1, 2]], "the third is due at 35, more than 10 s later");
}

#[test]
fn time_counts_from_before_the_request() {
    let mut test = Test::new();
    let state = test.keep(1, 0);
    assert_eq!(test.due(20).len(), 1);
    test.answer(&[1], 20, 29, Ok(Status::Renewed));
    assert_eq!(state.borrow().deadline, Some(test.at(79)));
}

#[test]
fn a_renewal_without_an_answer_is_sent_again() {
    let mut test = Test::new();
    let _state = test.keep(1, 0);
    assert_eq!(test.due(20).len(), 1);
    assert_eq!(test.due(29).len(), 0);
    assert_eq!(test.due(30).len(), 1);
}

#[test]
fn silence_is_a_loss_by_the_notice_and_a_late_answer_takes_it_back() {
    let mut test = Test::new();
    let state = test.keep(1, 0);
    test.due(20);
    test.answer(&[1], 20, 21, Err(outage()));
    assert!(state.borrow().lost.is_none() && state.borrow().trouble.is_some());
    let now = test.at(58);
    test.book.note_silence(now);
    assert!(state.borrow().lost.is_none());
    let now = test.at(59);
    test.book.note_silence(now);
    assert!(matches!(state.borrow().lost, Some(Lost::Unreachable(_))));
    assert_eq!(test.due(61).len(), 1, "its renewals go on");
    test.answer(&[1], 61, 62, Ok(Status::Renewed));
    assert!(state.borrow().lost.is_none() && state.borrow().trouble.is_none());
}

#[test]
fn a_lease_that_ended_is_lost_at_once_and_renewed_no_more() {
    let mut test = Test::new();
    let state = test.keep(1, 0);
    test.due(20);
    test.answer(&[1], 20, 20, Ok(Status::Revoked));
    assert!(
        matches!(&state.borrow().lost, Some(Lost::Ended(ended)) if ended.status == Status::Revoked)
    );
    assert_eq!(test.book.wake(), None);
}

#[test]
fn a_process_that_did_not_run_says_so() {
    let mut test = Test::new();
    let state = test.keep(1, 0);
    let now = test.at(100);
    test.book.note_silence(now);
    assert!(matches!(state.borrow().lost, Some(Lost::Overslept)));
}

#[test]
fn a_long_retry_after_leaves_time_for_another_attempt() {
    let mut test = Test::new();
    let _state = test.keep(1, 0);
    test.due(20);
    let (url, detail) = ("http://a/api".to_owned(), String::new());
    let retry_after = Some(SECOND * 3600);
    let busy = Error::Unavailable { url, status: 503, detail, retry_after };
    test.answer(&[1], 20, 20, Err(busy));
    assert!(test.book.wake().is_some_and(|wake| wake < test.at(40)));
}

#[test]
fn a_thousand_and_one_leases_take_two_requests() {
    let mut test = Test::new();
    let _states: Vec<_> = (0..1001).map(|id| test.keep(id, 0)).collect();
    let sizes: Vec<_> = test.due(20).iter().map(Vec::len).collect();
    assert_eq!(sizes, [1000, 1]);
}
