//! A naive doorman: one list of all waiters, searched from the beginning each time.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::fence_of;
use crate::scene::{Board, Scene, What};
use crate::wire::{Connection, Reply, Request};

/// How long slots stay reserved for a client that polls and was refused, as documented.
const ABSENCE_MAX: i64 = 2_000_000;
/// How often a waiter may be overtaken on one limit, as documented.
const OVERTAKES_MAX: u64 = 64;
const SLOT: u128 = 1_000_000_000_000_000;

/// The waiters, and the order in which they came.
#[derive(Default)]
pub(super) struct Doorman {
    waiting: BTreeMap<u64, Waiter>,
    /// The places of clients that poll and were refused.
    kept: HashMap<u64, Place>,
    /// Clients that poll, and when they were refused: slots may still be reserved for them.
    away: Vec<(i64, Waiter)>,
    arrivals: u64,
    /// The number of grants on each limit.
    grants: HashMap<u128, u64>,
    /// A lease with this fence or a greater one is new.
    next_fence: u64,
    boards: Vec<Board>,
    /// The runs that were granted tags and may hold some of them.
    runs: HashSet<u64>,
    /// The server is about to stop.
    is_stopping: bool,
    /// When the server has to wake up at the latest, and why.
    pub(super) due: Option<(i64, String)>,
}

/// A place that a client can come back to.
pub(super) struct Place {
    number: u64,
    /// The `grants_before` of the waiter that had it.
    grants_before: HashMap<u128, u64>,
}

struct Waiter {
    connection: Connection,
    /// Rises in the order in which waiters came.
    number: u64,
    priority: i32,
    caller: Option<u64>,
    run: Option<u64>,
    insists: bool,
    names: Vec<String>,
    /// The limits that had these names when it came. `None`: no limit had the name.
    limits: Vec<Option<u128>>,
    slots: u64,
    until: i64,
    /// How many requests that came later were granted before it, on each limit.
    overtaken: HashMap<u128, u64>,
    /// The number of grants on each limit when it came. Less if it came back to its place: then the
    /// number when the first waiter behind it came. Only grants after that can have overtaken it.
    grants_before: HashMap<u128, u64>,
}

/// A request that is granted.
struct Newcomer<'a> {
    number: u64,
    run: Option<u64>,
    /// `None`: the same as that of the waiter it is compared with.
    priority: Option<i32>,
    limits: &'a [Option<u128>],
    slots: u64,
    /// Whether slots may have been reserved for it.
    may_reserve: bool,
}

impl Doorman {
    /// The server started with an empty queue. The next lease gets this fence.
    pub(super) fn begins_anew(&mut self, next_fence: u64) {
        let runs = std::mem::take(&mut self.runs);
        *self = Self { next_fence, runs, ..Self::default() };
    }

    /// The server loaded its ledger from the journal: changes that were not durable and all waiters
    /// are gone. Places are kept, also those of waiters that poll. Their counts of overtakes are
    /// not.
    pub(super) fn forgets(&mut self, next_fence: u64) {
        self.next_fence = next_fence;
        self.away.clear();
        self.due = None;
        for place in self.kept.values_mut() {
            place.grants_before.clear();
        }
        for waiter in std::mem::take(&mut self.waiting).into_values() {
            if let Some(caller) = waiter.caller {
                let place = Place { number: waiter.number, grants_before: HashMap::new() };
                self.kept.insert(caller, place);
            }
        }
    }

    /// The server is about to stop: all waiters leave, and no later request waits.
    pub(super) fn stops(&mut self) {
        self.is_stopping = true;
        self.waiting.clear();
    }

    pub(super) fn leaves(&mut self, waiter: u64) {
        self.waiting.remove(&waiter);
    }

    pub(super) fn who_waits(&self) -> impl Iterator<Item = String> {
        self.waiting.values().map(|waiter| format!("request {}", waiter.connection.exchange))
    }

    /// Takes the place that was kept for the client of a request, if there is one.
    pub(super) fn claims(&mut self, request: &Request) -> Option<Place> {
        self.kept.remove(&request.patience()?.caller?)
    }

    /// A request enters the queue.
    pub(super) fn joins(
        &mut self,
        (id, kept): (u64, Option<Place>),
        connection: Connection,
        request: &Request,
        scene: &Scene,
        wrong: &mut dyn FnMut(String),
    ) {
        let (Some(patience), Some((names, slots))) = (request.patience(), request.wants()) else {
            wrong(format!("request {} waits, and did not ask to", connection.exchange));
            return;
        };
        let was_to_wait = patience.wait > 0 && (patience.caller.is_none() || kept.is_some());
        if !was_to_wait || self.is_stopping {
            wrong(format!("request {} waits, and must not", connection.exchange));
        }
        let Place { number, mut grants_before } = kept.unwrap_or_else(|| self.arrives());
        self.away.retain(|(_, other)| other.number != number);
        let limits = limits(names, &scene.boards);
        for limit in limits.iter().flatten() {
            let now = self.grants.get(limit).copied().unwrap_or(0);
            let own = *grants_before.entry(*limit).or_insert(now);
            let later = self.waiting.values().filter(|other| other.number > number);
            let before = later.filter_map(|other| other.grants_before.get(limit).copied()).min();
            let own = before.map_or(own, |before| before.min(own));
            grants_before.insert(*limit, own);
            // The same grants may have overtaken each waiter that came earlier.
            for other in self.waiting.values_mut().filter(|other| other.number < number) {
                if let Some(before) = other.grants_before.get_mut(limit) {
                    *before = own.min(*before);
                }
            }
        }
        let waiter = Waiter {
            connection,
            number,
            priority: patience.priority,
            caller: patience.caller,
            run: request.run(),
            insists: patience.insists,
            names: names.to_vec(),
            limits,
            slots,
            until: scene.clock.saturating_add_unsigned(patience.wait),
            overtaken: HashMap::new(),
            grants_before,
        };
        self.waiting.insert(id, waiter);
    }

    /// A request is answered at once.
    pub(super) fn answers_at_once(
        &mut self,
        kept: Option<Place>,
        (request, reply): (&Request, &Reply),
        scene: &Scene,
        wrong: &mut dyn FnMut(String),
    ) {
        let caller = request.patience().and_then(|patience| patience.caller);
        match reply {
            Reply::Refused { .. } => {
                let wait = request.patience().map_or(0, |patience| patience.wait);
                if wait > 0 && (caller.is_none() || kept.is_some()) {
                    wrong(format!("was refused at once, and would have waited: {request:?}"));
                }
                if let Some(caller) = caller {
                    let place = kept.unwrap_or_else(|| self.arrives());
                    self.kept.insert(caller, place);
                }
            }
            Reply::Elsewhere { .. } if !scene.boards.iter().any(|board| board.is_returning) => {
                wrong(format!("was sent elsewhere, and no limit returns: {request:?}"));
            }
            Reply::Granted { .. } => {
                let Some((names, slots)) = request.wants() else { return };
                let limits = limits(names, &scene.boards);
                let number = kept.map_or(u64::MAX, |place| place.number);
                let priority = request.patience().map(|patience| patience.priority);
                let (run, limits) = (request.run(), &limits);
                let newcomer =
                    Newcomer { number, run, priority, limits, slots, may_reserve: false };
                self.lets_in(&newcomer, reply, scene, wrong);
            }
            _ => {}
        }
    }

    /// A waiter is answered. Returns its connection.
    pub(super) fn called(
        &mut self,
        id: u64,
        reply: &Reply,
        scene: &Scene,
        wrong: &mut dyn FnMut(String),
    ) -> Option<Connection> {
        let waiter = self.waiting.remove(&id)?;
        let exchange = waiter.connection.exchange;
        match reply {
            Reply::Refused { .. } => {
                if scene.clock < waiter.until {
                    let early = waiter.until - scene.clock;
                    wrong(format!("request {exchange} was refused {early} µs too early"));
                }
                if let Some(caller) = waiter.caller {
                    let (number, grants_before) = (waiter.number, waiter.grants_before.clone());
                    self.kept.insert(caller, Place { number, grants_before });
                    let connection = waiter.connection;
                    self.away.push((scene.clock, waiter));
                    return Some(connection);
                }
            }
            Reply::Elsewhere { .. } if waiter.returns_on(&scene.boards).is_none() => {
                wrong(format!("request {exchange} was sent elsewhere, and no limit returns"));
            }
            Reply::Granted { .. } => {
                let Waiter { number, run, priority, limits, slots, .. } = &waiter;
                let (number, priority, slots) = (*number, Some(*priority), *slots);
                let newcomer = Newcomer {
                    number,
                    run: *run,
                    priority,
                    limits,
                    slots,
                    may_reserve: self.is_overtaken(&waiter),
                };
                self.lets_in(&newcomer, reply, scene, wrong);
            }
            _ => {}
        }
        Some(waiter.connection)
    }

    fn arrives(&mut self) -> Place {
        self.arrivals += 1;
        Place { number: self.arrivals, grants_before: HashMap::new() }
    }

    /// A request is granted slots, and overtakes each earlier waiter on its limits. Checks that it
    /// may.
    fn lets_in(
        &mut self,
        newcomer: &Newcomer<'_>,
        reply: &Reply,
        scene: &Scene,
        wrong: &mut dyn FnMut(String),
    ) {
        let is_grant = |reply: &Reply| matches!(reply, Reply::Granted { .. });
        let asked = matches!(&scene.what, What::Asked { reply: Some(r), .. } if is_grant(r));
        let called = scene.called.iter().filter(|(_, reply)| is_grant(reply)).count();
        let is_alone = called + usize::from(asked) == 1;
        match fence_of(reply) {
            // The lease existed already: its key was used again.
            Some(fence) if fence < self.next_fence => return,
            Some(fence) => self.next_fence = fence + 1,
            // The run already held everything.
            None if newcomer.run.is_some() => return,
            None => {}
        }
        // A run that may hold some of the tags may need less than an earlier waiter for the same.
        let may_need_less = newcomer.run.is_some_and(|run| !self.runs.insert(run));
        for waiter in self.waiting.values() {
            let (one, other) = (newcomer.number, waiter.number);
            if let Some(how) = self.jumps(newcomer, waiter).filter(|_| !may_need_less) {
                let exchange = waiter.connection.exchange;
                wrong(format!("number {one} was granted before {other} ({exchange}), which {how}"));
            }
        }
        for limit in newcomer.limits.iter().flatten() {
            if !is_in_use(*limit, &scene.boards) || !is_in_use(*limit, &self.boards) {
                continue;
            }
            *self.grants.entry(*limit).or_default() += 1;
            let earlier = self.waiting.values_mut().filter(|w| w.number < newcomer.number);
            for waiter in earlier.filter(|waiter| waiter.limits.contains(&Some(*limit))) {
                // The grant may overtake the waiter if room is left for it. If one step grants
                // several requests, the room in between cannot be seen.
                let leaves_room = waiter.has_room_on(*limit, scene);
                let overtaken = waiter.overtaken.entry(*limit).or_default();
                *overtaken += 1;
                if *overtaken > OVERTAKES_MAX && !leaves_room && is_alone {
                    let exchange = waiter.connection.exchange;
                    wrong(format!("request {exchange} was overtaken {overtaken} times"));
                }
            }
        }
    }

    /// Why a request may not be granted before a waiter that wants the same.
    fn jumps(&self, newcomer: &Newcomer<'_>, waiter: &Waiter) -> Option<&'static str> {
        if waiter.limits != newcomer.limits || waiter.slots != newcomer.slots {
            return None;
        }
        let priority = newcomer.priority.unwrap_or(waiter.priority);
        if priority == waiter.priority && newcomer.number > waiter.number {
            return Some("came earlier for the same");
        }
        let is_kept_for_another = || {
            let away = self.away.iter().map(|(_, other)| other);
            newcomer.may_reserve
                || self.waiting.values().chain(away).any(|other| self.may_reserve(other, waiter))
        };
        (priority < waiter.priority && !is_kept_for_another()).then_some("goes first")
    }

    /// Whether slots that `waiter` wants may be reserved for `other`, which came earlier.
    fn may_reserve(&self, other: &Waiter, waiter: &Waiter) -> bool {
        let meets = |limit: &Option<u128>| limit.is_some() && waiter.limits.contains(limit);
        other.number < waiter.number && other.limits.iter().any(meets) && self.is_overtaken(other)
    }

    /// Whether a waiter may have been overtaken so often that slots are reserved for it.
    fn is_overtaken(&self, waiter: &Waiter) -> bool {
        waiter.limits.iter().flatten().any(|limit| {
            let grants = self.grants.get(limit).copied().unwrap_or(0);
            let before = waiter.grants_before.get(limit).copied().unwrap_or(0);
            grants - before >= OVERTAKES_MAX
        })
    }

    /// Checks at the end of a step that no waiter could be granted, and computes when the server
    /// has to wake up.
    pub(super) fn looks(&mut self, scene: &Scene, wrong: &mut dyn FnMut(String)) {
        self.boards.clone_from(&scene.boards);
        self.away.retain(|(since, _)| scene.clock <= since + ABSENCE_MAX);
        let mut due: Option<(i64, String)> = None;
        let mut is_due = |at: i64, what: &dyn Fn() -> String| {
            if due.as_ref().is_none_or(|(first, _)| at < *first) {
                due = Some((at, what()));
            }
        };
        for waiter in self.waiting.values() {
            let exchange = waiter.connection.exchange;
            is_due(waiter.until, &|| format!("the wait of request {exchange} was over"));
            for board in waiter.boards(&scene.boards) {
                if let Some(deadline) = board.first_deadline {
                    is_due(deadline, &|| format!("a lease on {} was over", board.name));
                }
            }
            if waiter.returns_on(&scene.boards).is_some() {
                wrong(format!("request {exchange} waits for a limit that is on its way back"));
            }
            if waiter.insists && waiter.misses_any(&scene.boards) {
                wrong(format!("request {exchange} waits for a limit that does not exist"));
            }
            if waiter.boards(&scene.boards).any(|board| waiter.slots > board.slots) {
                wrong(format!("request {exchange} waits for more slots than there are"));
            }
            let others = || {
                let away = self.away.iter().map(|(_, other)| other);
                self.waiting.values().chain(away).filter(|other| self.may_reserve(other, waiter))
            };
            let kept = |limit| {
                let there = others().filter(|other| other.limits.contains(&Some(limit)));
                there.map(|other| other.slots).sum()
            };
            match waiter.room_at(scene.clock, &scene.boards, kept) {
                Some(at) if at <= scene.clock => {
                    let names = waiter.names.join(" and ");
                    wrong(format!("request {exchange} waits, and there is room on {names}"));
                }
                Some(at) => is_due(at, &|| format!("there was room for request {exchange}")),
                None => {}
            }
        }
        self.due = due;
    }
}

impl Waiter {
    /// Its active limits.
    fn boards<'a>(&'a self, boards: &'a [Board]) -> impl Iterator<Item = &'a Board> {
        boards.iter().filter(|board| board.is_active && self.limits.contains(&Some(board.id)))
    }

    /// One of its limits that is on its way back to another server.
    fn returns_on<'a>(&self, boards: &'a [Board]) -> Option<&'a Board> {
        let mut own = boards.iter().filter(|board| self.limits.contains(&Some(board.id)));
        own.find(|board| board.is_returning)
    }

    fn misses_any(&self, boards: &[Board]) -> bool {
        let is_there = |limit: &Option<u128>| {
            limit.is_some_and(|limit| boards.iter().any(|board| board.id == limit))
        };
        !self.limits.iter().all(is_there)
    }

    /// Whether there is room for it on one limit.
    fn has_room_on(&self, limit: u128, scene: &Scene) -> bool {
        let board = scene.boards.iter().find(|board| board.id == limit);
        board.is_some_and(|board| {
            let wanted = u128::from(self.slots + board.foreign) * SLOT;
            board.level + wanted <= u128::from(board.slots) * SLOT
        })
    }

    /// When all its limits have room for it and for the slots reserved on each, if they only drain
    /// until then. `None` if draining does not suffice.
    fn room_at(&self, now: i64, boards: &[Board], kept: impl Fn(u128) -> u64) -> Option<i64> {
        self.boards(boards).try_fold(now, |latest, board| {
            let slots = self.slots + kept(board.id) + board.foreign;
            let wanted = board.level + u128::from(slots) * SLOT;
            let excess = wanted.saturating_sub(u128::from(board.slots) * SLOT);
            let wait = match (excess, board.nanos_per_second) {
                (0, _) => 0,
                (_, 0) => return None,
                (excess, _) if excess > board.level => return None,
                (excess, nanos) => u64::try_from(excess.div_ceil(nanos.into())).unwrap_or(u64::MAX),
            };
            Some(latest.max(now.saturating_add_unsigned(wait)))
        })
    }
}

fn limits(names: &[String], boards: &[Board]) -> Vec<Option<u128>> {
    let id = |name: &String| boards.iter().find(|board| board.name == *name).map(|board| board.id);
    names.iter().map(id).collect()
}

fn is_in_use(limit: u128, boards: &[Board]) -> bool {
    boards.iter().any(|board| board.id == limit && board.is_active)
}
