//! Which clients are held open, and which places are kept for them.

use super::*;

fn acquire(name: &str, lease: u128) -> Acquire {
    Acquire::new([(name, 1)], Hold::for_ttl(LeaseId(lease), Span::from_seconds(60)))
}

/// A client without cookies.
const PLAIN: Identity = Identity { client: None, said: 1, keeps_cookies: false };

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn millis(millis: u64) -> Span {
    Span::from_micros(millis * 1_000)
}

const FIRST: Standing = Standing::Refused { early: 0 };

/// A client, and the places that are kept for it.
struct Client {
    places: Places,
    caller: Caller,
    next_ticket: u64,
}

impl Client {
    fn new(identity: Identity) -> Self {
        let places = Places::default();
        let caller = places.caller(None, identity, &acquire("db", 1));
        Self { places, caller, next_ticket: 1 }
    }

    fn with_cookie() -> Self {
        let client = Some(ClientId::new().0);
        Self::new(Identity { client, keeps_cookies: true, ..PLAIN })
    }

    /// Sends a request, which is refused unless it is held open. Returns what the client showed,
    /// and how long it is asked to sleep.
    fn ask(&mut self, now: Timestamp) -> (Visit, Span) {
        let visit = self.places.claim(self.caller, now);
        let asked = visit.sleep.unwrap_or(millis(10));
        if visit.standing != Standing::Proven {
            let ticket = visit.place.unwrap_or_else(|| {
                self.next_ticket += 1;
                Ticket(self.next_ticket)
            });
            let kept =
                Kept { ticket, lease: None, standing: visit.standing, refused_at: now, asked };
            self.places.keep(self.caller, kept);
        }
        (visit, asked)
    }

    /// Whether a client that sleeps as it is asked to, and is `late` each time, is held open within
    /// `asks` requests.
    fn is_held_open_within(&mut self, asks: usize, late: Span) -> bool {
        let mut now = at(0);
        (0..asks).any(|_| {
            let (visit, asked) = self.ask(now);
            now = now + asked + late;
            visit.standing == Standing::Proven
        })
    }
}

#[test]
fn a_client_that_sleeps_as_it_is_asked_to_is_held_open_when_it_comes_back_twice() {
    for (late, asks) in [(0, 3), (2, 3), (10, 3), (30, 3), (50, 4), (110, 4), (300, 5), (700, 5)] {
        let mut client = Client::with_cookie();
        assert!(client.is_held_open_within(asks, millis(late)), "{late} ms late");
        assert!(Client::new(PLAIN).is_held_open_within(asks, millis(late)), "{late} ms late");
    }
}

#[test]
fn a_try_lock_is_never_held_open_however_often_it_is_repeated() {
    for pause in (0..200).chain((200..12_000).step_by(97)) {
        let mut client = Client::with_cookie();
        for nth in 0..200 {
            let (visit, _) = client.ask(at(pause * nth));
            assert_ne!(visit.standing, Standing::Proven, "after {pause} ms, the {nth}. time");
        }
    }
}

#[test]
fn a_try_lock_that_is_tried_twice_is_not_held_open_without_cookies_either() {
    for pause in (0..200).chain((200..12_000).step_by(97)) {
        let mut client = Client::new(PLAIN);
        assert_ne!(client.ask(at(0)).0.standing, Standing::Proven);
        assert_ne!(client.ask(at(pause)).0.standing, Standing::Proven, "after {pause} ms");
    }
}

#[test]
fn a_try_lock_with_pauses_that_a_person_would_choose_is_not_held_open() {
    let mut client = Client::with_cookie();
    let mut now = 0;
    for pause in [0, 8, 2, 24, 104, 104, 504, 1_004, 204, 2_004, 54, 304, 5_004, 12, 52, 252] {
        now += pause;
        assert_ne!(client.ask(at(now)).0.standing, Standing::Proven, "at {now} ms");
    }
}

#[test]
fn a_try_lock_with_a_backoff_is_not_held_open() {
    for first in [10, 50, 100, 250, 1_000] {
        let mut client = Client::with_cookie();
        let (mut now, mut pause) = (0, first);
        for _ in 0..8 {
            assert_ne!(client.ask(at(now)).0.standing, Standing::Proven, "first {first} ms");
            now += pause;
            pause *= 2;
        }
    }
}

#[test]
fn a_client_that_was_held_open_and_comes_back_as_a_try_lock_does_is_held_open_no_more() {
    for late in [11, 90, 490, 990, 5_000] {
        let mut client = Client::with_cookie();
        assert!(client.is_held_open_within(3, millis(0)));
        let refused_at = at(21_000);
        client.places.keep(client.caller, kept(1, refused_at));
        let now = refused_at + millis(10 + late);
        let (visit, _) = client.ask(now);
        assert_ne!(visit.standing, Standing::Proven, "{late} ms late");
        assert_eq!(visit.place, Some(Ticket(1)), "{late} ms late");
        let (visit, _) = client.ask(now + millis(10 + late));
        assert_ne!(visit.standing, Standing::Proven, "{late} ms late again");
    }
}

#[test]
fn a_client_that_came_too_late_keeps_its_place_in_line() {
    let mut client = Client::with_cookie();
    client.ask(at(0));
    let (visit, _) = client.ask(at(9_000));
    assert_eq!((visit.place, visit.standing), (Some(Ticket(2)), FIRST));
    let (visit, _) = client.ask(at(9_000 + 10_010));
    assert_eq!(visit.place, None);
}

fn kept(ticket: u64, refused_at: Timestamp) -> Kept {
    let (standing, asked) = (Standing::Proven, millis(10));
    Kept { ticket: Ticket(ticket), lease: None, standing, refused_at, asked }
}

#[test]
fn a_place_is_kept_for_its_caller_and_claimed_once() {
    let places = Places::default();
    let mine = places.caller(None, PLAIN, &acquire("mine", 1));
    let yours = places.caller(None, PLAIN, &acquire("yours", 1));
    places.keep(mine, kept(7, at(0)));
    assert_eq!(places.claim(yours, at(1_000)).place, None);
    assert_eq!(places.claim(mine, at(1_000)).place, Some(Ticket(7)));
    assert_eq!(places.claim(mine, at(1_000)).place, None);
}

#[test]
fn a_place_is_given_up_when_its_client_does_not_come_back() {
    let places = Places::default();
    let caller = places.caller(None, PLAIN, &acquire("mine", 1));
    places.keep(caller, kept(1, at(0)));
    places.keep(caller, kept(2, at(5_000)));
    assert_eq!(places.claim(caller, at(10_010)).place, Some(Ticket(2)));
    assert_eq!(places.claim(caller, at(10_010)).place, None);
    assert!(places.lock().live.is_empty() && places.lock().kept.len() <= 1);
}

#[test]
fn callers_that_request_the_same_claim_their_places_in_order() {
    let places = Places::default();
    let caller = places.caller(None, PLAIN, &acquire("same", 1));
    assert_eq!(caller, places.caller(None, PLAIN, &acquire("same", 2)));
    places.keep(caller, kept(1, at(0)));
    places.keep(caller, kept(2, at(0)));
    assert_eq!(places.claim(caller, at(1_000)).place, Some(Ticket(1)));
    assert_eq!(places.claim(caller, at(1_000)).place, Some(Ticket(2)));
}

#[test]
fn clients_with_cookies_never_take_each_others_places() {
    let places = Places::default();
    let keeps = Identity { keeps_cookies: true, ..PLAIN };
    let unknown = places.caller(None, keeps, &acquire("db", 1));
    let (mine, yours) = (ClientId::new().0, ClientId::new().0);
    places.keep(places.known_as(unknown, mine), kept(1, at(0)));
    let caller =
        |client| places.caller(None, Identity { client: Some(client), ..keeps }, &acquire("db", 2));
    assert_eq!(places.claim(unknown, at(100)).place, None);
    assert_eq!(places.claim(caller(yours), at(100)).place, None);
    assert_eq!(places.claim(caller(mine), at(100)).place, Some(Ticket(1)));
}

#[test]
fn two_clients_in_one_program_are_both_held_open_though_they_share_a_cookie() {
    fastrand::seed(7);
    let client = Client::with_cookie();
    // When each of them sends its next request.
    let mut next = vec![at(0), at(1)];
    for _ in 0..200 {
        let Some((nth, now)) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at) else {
            return;
        };
        let visit = client.places.claim(client.caller, now);
        if visit.standing == Standing::Proven {
            next.remove(nth);
            continue;
        }
        let early = match visit.standing {
            Standing::Refused { early } => early.min(7),
            Standing::Tested | Standing::Proven => 0,
        };
        let shared = fastrand::u64(0..=10 * (1 << early) - 10);
        let asked = visit.sleep.unwrap_or(millis(10 + shared));
        let ticket = visit.place.unwrap_or(Ticket(9));
        client.places.keep(
            client.caller,
            Kept { ticket, lease: None, standing: visit.standing, refused_at: now, asked },
        );
        next[nth] = now + asked + millis(2);
    }
    panic!("not held open: {next:?}");
}

/// A client that keeps cookies, whose cookies a proxy drops.
const ROBBED: Identity = Identity { client: None, said: 1, keeps_cookies: true };

#[test]
fn a_client_whose_cookies_get_lost_polls_ever_more_slowly() {
    let places = Places::default();
    let caller = places.caller(None, ROBBED, &acquire("db", 1));
    let mut early_max = 0;
    for nth in 0..2_048 {
        let mut visit = places.claim(caller, at(nth));
        assert_eq!(visit.place, None);
        let are_lost = places.refuse(caller, &mut visit, at(nth));
        assert_eq!(are_lost, nth >= 255);
        let Standing::Refused { early } = visit.standing else { panic!("{visit:?}") };
        assert!(early >= early_max);
        early_max = early;
    }
    assert_eq!(early_max, 8);
    // Clients that request something else do not count.
    let other = places.caller(None, ROBBED, &acquire("other", 1));
    let mut visit = places.claim(other, at(2_048));
    assert!(!places.refuse(other, &mut visit, at(2_048)));
    assert_eq!(visit.standing, FIRST);
    // A client that comes back with its cookie shows that cookies arrive.
    let known = places.known_as(caller, ClientId::new().0);
    places.claim(known, at(2_049));
    let mut visit = places.claim(caller, at(2_050));
    places.refuse(caller, &mut visit, at(2_050));
    assert_eq!(visit.standing, FIRST);
}

#[test]
fn a_request_that_names_its_holder_is_identified_without_a_cookie() {
    let places = Places::default();
    let mut asks = acquire("tag:gpu", 1);
    asks.hold =
        Hold::Holder { id: LeaseId(1), holder: leasehold_engine::Holder::new("task_run", "a") };
    let caller = places.caller(None, ROBBED, &asks);
    places.keep(caller, kept(3, at(0)));
    let visit = places.claim(places.caller(None, ROBBED, &asks), at(12));
    assert_eq!((visit.place, visit.standing), (Some(Ticket(3)), Standing::Proven));
}

#[test]
fn kept_places_are_bounded() {
    let places = Places::default();
    let callers: Vec<_> = (1..=100_001_u64)
        .map(|said| places.caller(None, Identity { said, ..PLAIN }, &acquire("db", 1)))
        .collect();
    for (caller, number) in callers.iter().zip(1..) {
        places.keep(*caller, kept(number, at(0)));
    }
    assert_eq!(places.lock().live.len(), PLACES_MAX);
    assert_eq!(places.claim(callers[0], at(20)).place, None);
    assert_eq!(places.claim(callers[100_000], at(20)).place, Some(Ticket(100_001)));
}
