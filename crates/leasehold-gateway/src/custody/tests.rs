//! Claims about who grants when, by a limit that moves step by step.

use leasehold_engine::{LimitId, Span, Timestamp};
use rustc_hash::FxHashMap;

use super::*;
use crate::counting::Count;

/// A custody with one limit `a`, a clock, and a count at the upstream.
struct Scene {
    custody: Custody,
    now: Timestamp,
    taken: u64,
    drains: bool,
}

fn a() -> Known {
    Known { name: "a".into(), id: LimitId(1) }
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

impl Scene {
    fn new(taken: u64) -> Self {
        Self { custody: Custody::default(), now: Timestamp::from_micros(0), taken, drains: false }
    }

    fn resumed(adopted: Adopted, taken: u64) -> Self {
        Self { custody: Custody::resumed([adopted]), ..Self::new(taken) }
    }

    fn pass(&mut self, seconds: f64) {
        self.now = self.now + Span::from_seconds_f64(seconds);
    }

    fn step(&mut self) -> Vec<Act> {
        self.custody.step(self.now)
    }

    fn count(&mut self) -> Vec<Act> {
        let counting = self.custody.begin_count().expect("no reading is under way");
        let count = Count { taken: self.taken, drains: self.drains };
        self.custody.counted(counting, &FxHashMap::from_iter([(LimitId(1), count)]))
    }

    /// Steps, expects one act, and reports it.
    fn act(&mut self, expected: &Act, done: Done) {
        assert_eq!(self.step(), std::slice::from_ref(expected));
        self.custody.done(expected, done, self.now);
    }

    fn adopt(&mut self) {
        self.custody.advance(a(), self.now).unwrap();
        assert_eq!(self.count(), []);
        let adopt = Act::Adopt { limit: "a".into(), foreign: self.taken, level: 0 };
        self.act(&adopt, Done::Yes);
    }

    fn stop(&mut self) {
        self.custody.roll_back("a", self.now).unwrap();
        self.act(&Act::SetReturning { limit: "a".into(), returning: true }, Done::Yes);
    }

    fn cover(&mut self, phantoms: u64, done: Done) {
        self.act(&Act::Cover { limit: "a".into(), phantoms }, done);
    }

    fn grants(&mut self) -> &'static str {
        match self.custody.route(&names(&["a"])) {
            Route::Here => "here",
            Route::There(passage) => {
                self.custody.came_back(passage);
                "there"
            }
            Route::Hold(held) => {
                self.custody.let_go(held);
                "nobody"
            }
            Route::Both { .. } => "both",
        }
    }

    fn phase(&self) -> Phase {
        self.custody.standing("a").phase
    }

    fn failure(&self) -> Option<Failure> {
        self.custody.standing("a").failure
    }
}

#[test]
fn a_limit_that_nobody_advanced_is_the_upstreams() {
    let mut scene = Scene::new(0);
    assert_eq!((scene.grants(), scene.phase()), ("there", Phase::Upstream));
    assert_eq!(scene.step(), []);
}

#[test]
fn the_count_at_the_hand_over_becomes_foreign() {
    let mut scene = Scene::new(2);
    scene.adopt();
    assert_eq!((scene.grants(), scene.phase()), ("here", Phase::Draining));
    scene.taken = 0;
    let set = Act::SetForeign { limit: "a".into(), slots: 0, rose: 0 };
    assert_eq!(scene.count(), [set]);
    assert_eq!((scene.grants(), scene.phase()), ("here", Phase::Leasehold));
}

#[test]
fn nobody_grants_during_a_hand_over() {
    let mut scene = Scene::new(0);
    scene.custody.advance(a(), scene.now).unwrap();
    assert_eq!(scene.grants(), "nobody");
    assert_eq!(scene.count(), []);
    assert_eq!(scene.grants(), "nobody");
    assert_eq!(scene.step().len(), 1);
    assert_eq!(scene.grants(), "nobody");
}

#[test]
fn a_count_is_worth_nothing_while_a_request_is_under_way() {
    let mut scene = Scene::new(1);
    let Route::There(passage) = scene.custody.route(&names(&["a"])) else {
        panic!("not passed on")
    };
    scene.custody.advance(a(), scene.now).unwrap();
    assert_eq!((scene.count(), scene.step()), (vec![], vec![]));
    let counting = scene.custody.begin_count().unwrap();
    assert!(scene.custody.came_back(passage), "the hand-over waits for it");
    let count = FxHashMap::from_iter([(LimitId(1), Count { taken: 1, drains: false })]);
    assert_eq!(scene.custody.counted(counting, &count), []);
    assert_eq!(scene.step(), [], "the reading began before the request had come back");
    scene.taken = 2;
    assert_eq!(scene.count(), []);
    assert_eq!(scene.step(), [Act::Adopt { limit: "a".into(), foreign: 2, level: 0 }]);
}

#[test]
fn a_hand_over_that_takes_too_long_is_given_up() {
    let mut scene = Scene::new(0);
    let Route::There(_passage) = scene.custody.route(&names(&["a"])) else { panic!() };
    scene.custody.advance(a(), scene.now).unwrap();
    scene.pass(1.6);
    assert_eq!(scene.step(), []);
    assert_eq!(scene.grants(), "there");
    assert_eq!(scene.failure(), Some(Failure::UnderWay(1)));
}

#[test]
fn a_limit_that_the_upstream_does_not_have_is_not_taken_over() {
    let mut scene = Scene::new(0);
    scene.custody.advance(a(), scene.now).unwrap();
    let counting = scene.custody.begin_count().unwrap();
    assert_eq!(scene.custody.counted(counting, &FxHashMap::default()), []);
    assert_eq!((scene.grants(), scene.failure()), ("there", Some(Failure::Gone)));
}

#[test]
fn an_adoption_that_may_have_happened_is_repeated_while_requests_are_held() {
    let mut scene = Scene::new(1);
    scene.custody.advance(a(), scene.now).unwrap();
    scene.count();
    let adopt = Act::Adopt { limit: "a".into(), foreign: 1, level: 0 };
    scene.act(&adopt, Done::Again);
    scene.pass(9.0);
    assert_eq!(scene.grants(), "nobody");
    scene.act(&adopt, Done::Yes);
    assert_eq!(scene.grants(), "here");
}

#[test]
fn a_rate_limit_takes_its_level_along_and_has_nothing_foreign() {
    let mut scene = Scene { drains: true, ..Scene::new(7) };
    scene.custody.advance(a(), scene.now).unwrap();
    scene.count();
    scene.act(&Act::Adopt { limit: "a".into(), foreign: 0, level: 7 }, Done::Yes);
    assert_eq!(scene.phase(), Phase::Leasehold);
    assert_eq!(scene.count(), []);
}

#[test]
fn a_count_that_rises_counts_at_once_and_is_said() {
    let mut scene = Scene::new(1);
    scene.adopt();
    scene.taken = 3;
    assert_eq!(scene.count(), [Act::SetForeign { limit: "a".into(), slots: 3, rose: 2 }]);
}

#[test]
fn a_number_that_the_ledger_may_not_have_is_said_again() {
    let mut scene = Scene::new(1);
    scene.adopt();
    scene.taken = 0;
    let set = Act::SetForeign { limit: "a".into(), slots: 0, rose: 0 };
    assert_eq!(scene.count(), std::slice::from_ref(&set));
    scene.custody.done(&set, Done::Again, scene.now);
    assert_eq!(scene.count(), [set]);
    assert_eq!(scene.count(), []);
}

#[test]
fn the_upstream_grants_again_once_it_counts_what_is_held_here() {
    let mut scene = Scene::new(0);
    scene.adopt();
    scene.stop();
    assert_eq!((scene.grants(), scene.phase()), ("nobody", Phase::Returning));
    scene.cover(0, Done::Again);
    assert_eq!(scene.grants(), "nobody");
    scene.cover(0, Done::Yes);
    assert_eq!((scene.grants(), scene.phase()), ("there", Phase::Returning));
    let retire = Act::Retire { limit: "a".into() };
    scene.act(&retire, Done::Again);
    scene.act(&retire, Done::Yes);
    assert_eq!((scene.grants(), scene.phase()), ("there", Phase::Upstream));
}

#[test]
fn a_way_back_without_room_upstream_is_given_up_and_its_covers_are_given_back() {
    let mut scene = Scene::new(0);
    scene.adopt();
    scene.stop();
    scene.custody.cover_asked("a", 1);
    scene.custody.cover_taken("a", 1);
    scene.cover(0, Done::No(Failure::NoRoom(1)));
    assert_eq!(scene.grants(), "nobody");
    scene.pass(1.6);
    scene.cover(0, Done::No(Failure::NoRoom(1)));
    scene.act(&Act::SetReturning { limit: "a".into(), returning: false }, Done::Yes);
    assert_eq!((scene.grants(), scene.failure()), ("here", Some(Failure::NoRoom(1))));
    scene.taken = 1;
    assert_eq!(scene.count(), [], "the cover is ours");
    scene.act(&Act::Uncover { limit: "a".into() }, Done::Yes);
}

#[test]
fn a_way_back_that_a_restart_interrupted_is_never_given_up() {
    let limit = a();
    let adopted = Adopted { limit, foreign: 0, returning: true, covered: 0, dropped: 0 };
    let mut scene = Scene::resumed(adopted, 0);
    assert_eq!(scene.grants(), "nobody");
    scene.act(&Act::SetReturning { limit: "a".into(), returning: true }, Done::Yes);
    scene.pass(60.0);
    scene.cover(0, Done::No(Failure::NoAnswer));
    assert_eq!(scene.grants(), "nobody", "the upstream may have granted before");
    scene.cover(0, Done::Yes);
    assert_eq!(scene.grants(), "there");
}

#[test]
fn after_a_restart_on_the_way_back_a_full_upstream_is_counted_and_the_limit_stays_here() {
    let limit = a();
    let adopted = Adopted { limit, foreign: 0, returning: true, covered: 1, dropped: 0 };
    let mut scene = Scene::resumed(adopted, 3);
    scene.act(&Act::SetReturning { limit: "a".into(), returning: true }, Done::Yes);
    scene.cover(0, Done::No(Failure::NoRoom(1)));
    assert_eq!(scene.grants(), "nobody");
    scene.count();
    // One of them is a cover whose pairing was lost in the crash. Nobody can tell it from others.
    scene.act(&Act::Adopt { limit: "a".into(), foreign: 2, level: 0 }, Done::Yes);
    scene.act(&Act::SetReturning { limit: "a".into(), returning: false }, Done::Yes);
    assert_eq!((scene.grants(), scene.phase()), ("here", Phase::Draining));
}

#[test]
fn after_a_restart_on_the_way_back_nothing_is_granted_without_a_count() {
    let limit = a();
    let adopted = Adopted { limit, foreign: 0, returning: true, covered: 0, dropped: 0 };
    let mut scene = Scene::resumed(adopted, 3);
    scene.act(&Act::SetReturning { limit: "a".into(), returning: true }, Done::Yes);
    scene.cover(0, Done::No(Failure::NoRoom(1)));
    scene.pass(5.0);
    assert_eq!(scene.step(), [Act::Cover { limit: "a".into(), phantoms: 0 }]);
    assert_eq!(scene.grants(), "nobody");
}

#[test]
fn a_limit_on_its_way_back_can_be_advanced_again() {
    let mut scene = Scene::new(0);
    scene.adopt();
    scene.stop();
    scene.custody.cover_asked("a", 1);
    scene.custody.cover_taken("a", 1);
    scene.cover(0, Done::Yes);
    scene.custody.advance(a(), scene.now).unwrap();
    scene.taken = 3;
    scene.count();
    scene.act(&Act::Adopt { limit: "a".into(), foreign: 2, level: 0 }, Done::Yes);
    assert_eq!(scene.grants(), "nobody");
    scene.act(&Act::SetReturning { limit: "a".into(), returning: false }, Done::Yes);
    assert_eq!((scene.grants(), scene.phase()), ("here", Phase::Draining));
}

#[test]
fn dropped_phantoms_stay_dropped_until_the_way_back_gives_them_back() {
    let mut scene = Scene::new(3);
    scene.adopt();
    let drop = scene.custody.drop_phantoms("a", 2);
    assert_eq!(drop, Some(Act::SetForeign { limit: "a".into(), slots: 1, rose: 0 }));
    assert_eq!(scene.count(), []);
    scene.taken = 4;
    assert_eq!(scene.count(), [Act::SetForeign { limit: "a".into(), slots: 2, rose: 1 }]);
    scene.stop();
    assert_eq!(scene.step(), [Act::Cover { limit: "a".into(), phantoms: 2 }]);
    scene.custody.phantoms_given_back("a", 2);
    let cover = Act::Cover { limit: "a".into(), phantoms: 2 };
    scene.custody.done(&cover, Done::Again, scene.now);
    scene.cover(0, Done::Yes);
}

#[test]
fn phantoms_that_went_away_upstream_are_not_given_back_twice() {
    let mut scene = Scene::new(3);
    scene.adopt();
    scene.custody.drop_phantoms("a", 2);
    scene.taken = 0;
    scene.count();
    scene.taken = 1;
    assert_eq!(scene.count(), [Act::SetForeign { limit: "a".into(), slots: 1, rose: 1 }]);
    assert_eq!(scene.custody.standing("a").dropped, 0);
}

#[test]
fn a_cover_under_way_is_no_rise() {
    let mut scene = Scene::new(0);
    scene.adopt();
    scene.custody.cover_asked("a", 1);
    scene.taken = 1;
    assert_eq!(scene.count(), []);
    scene.custody.cover_taken("a", 1);
    assert_eq!(scene.count(), []);
    scene.custody.cover_leaves("a", 1);
    assert_eq!(scene.count(), []);
    scene.custody.cover_over("a", 1);
    assert_eq!(scene.count(), [Act::SetForeign { limit: "a".into(), slots: 1, rose: 1 }]);
}

#[test]
fn a_request_over_both_sides_is_split() {
    let mut scene = Scene::new(0);
    scene.adopt();
    let route = scene.custody.route(&names(&["a", "b"]));
    let Route::Both { here, there, passage } = route else { panic!("{route:?}") };
    assert_eq!((here, there), (names(&["a"]), names(&["b"])));
    let b = Known { name: "b".into(), id: LimitId(2) };
    scene.custody.advance(b, scene.now).unwrap();
    assert_eq!(scene.custody.standing("b").under_way, 1);
    assert!(scene.custody.came_back(passage));
}

#[test]
fn a_limit_that_is_there_or_moves_is_refused() {
    let mut scene = Scene::new(0);
    assert_eq!(scene.custody.roll_back("a", scene.now), Err(Refused::There));
    scene.custody.advance(a(), scene.now).unwrap();
    assert_eq!(scene.custody.advance(a(), scene.now), Err(Refused::Moving));
    assert_eq!(scene.custody.roll_back("a", scene.now), Err(Refused::Moving));
    scene.count();
    scene.act(&Act::Adopt { limit: "a".into(), foreign: 0, level: 0 }, Done::Yes);
    assert_eq!(scene.custody.advance(a(), scene.now), Err(Refused::There));
}
