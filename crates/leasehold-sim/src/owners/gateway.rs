//! The gateway's process: it asks the custody that ships where a request goes, and answers it from
//! the ledger, from the upstream, or from both. Everything but [`Durable`] dies with it.

mod moving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leasehold_engine::{
    Acquire, Acquired, Command, Hold, LeaseId, LimitId, Missing, Outcome, Patience, Renewed, Span,
    Timestamp, WaiterId,
};
use leasehold_gateway::{Act, Adopted, Counting, Custody, Failure, Held, Known, Passage, Route};
use leasehold_journal::MemoryJournal;

use super::books::{Books, Crash, Fuse};
use super::partners::{Paired, Partner, decode, encode, id, lease_number};
use super::sabotage::Sabotage;
use super::wire::{
    Answer, Ask, LimitNo, MILLISECOND, Request, SECOND, Said, UPSTREAM_FIRST, name, number,
};

/// How long a request is held at most.
const HOLD_MAX: u64 = 10 * SECOND;

pub(crate) type Step = Result<(), Crash>;

/// What survives the end of the process.
#[derive(Default)]
pub(crate) struct Durable {
    pub(crate) journal: MemoryJournal,
    pub(crate) dropped: BTreeMap<LimitNo, u64>,
    leases_made: u64,
}

/// What the gateway wants from the world.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Questions to the upstream, each with the job that waits for the answer.
    pub(crate) calls: Vec<(u64, Ask)>,
    pub(crate) answers: Vec<(u64, Answer)>,
}

pub(crate) struct Gateway {
    pub(crate) durable: Durable,
    pub(crate) custody: Custody,
    pub(crate) books: Books,
    pub(crate) out: Outbox,
    pub(crate) sabotage: Option<Sabotage>,
    /// Requests that are asked again, and since when each was held.
    pub(crate) stalled: Vec<(u64, u64)>,
    now: u64,
    jobs: BTreeMap<u64, Job>,
    jobs_made: u64,
    cover_acts: BTreeMap<u64, CoverAct>,
    /// The leases of ours for which the upstream counts something.
    partners: BTreeMap<u64, Vec<Paired>>,
    held: Vec<HeldRequest>,
    /// Requests in the ledger's queue, by the number of their command.
    waiting: BTreeMap<u64, (u64, Request)>,
    /// When each open request came.
    pub(crate) arrived: BTreeMap<u64, u64>,
    counted: Option<u64>,
    covers_renewed: u64,
    /// Releases to try again.
    again: Vec<(u64, Paired)>,
}

struct HeldRequest {
    exchange: u64,
    request: Request,
    held: Option<Held>,
    since: u64,
}

/// What waits for an answer of the upstream.
enum Job {
    /// A request that is passed on.
    Passing {
        exchange: u64,
        passage: Option<Passage>,
    },
    /// The same, for a client that holds a lease of ours as well.
    Both {
        exchange: u64,
        lease: u64,
        passage: Passage,
    },
    /// A renewal of our lease waits for its partner.
    RenewBoth {
        exchange: u64,
    },
    /// A renewal or a release of a lease of the upstream.
    Theirs {
        exchange: u64,
        done: Answer,
    },
    Counting {
        counting: Counting,
        began: u64,
    },
    Phantoms {
        act: u64,
    },
    TakeCover {
        act: u64,
        limit: LimitNo,
        lease: u64,
        slots: u64,
    },
    GiveUp {
        paired: Paired,
    },
    RenewCover {
        lease: u64,
        limit: LimitNo,
        cover: u64,
    },
    /// Nobody cares for the answer.
    Forget,
}

/// A [`Act::Cover`] that is under way.
struct CoverAct {
    act: Act,
    left: usize,
    refused: u64,
    failure: Option<Failure>,
}

impl Gateway {
    /// Starts with what the last process left behind.
    pub(crate) fn start(mut durable: Durable, sabotage: Option<Sabotage>, now: u64) -> Self {
        let books = Books::open(&mut durable.journal, clock(now));
        let mut covered = BTreeMap::<LimitId, u64>::new();
        let mut partners = BTreeMap::new();
        for lease in books.ledger().leases().filter(|lease| !lease.partners.is_empty()) {
            let own = decode(&lease.partners, |limit| {
                lease.holdings.iter().find(|held| held.limit == limit).map_or(1, |held| held.slots)
            });
            for paired in &own {
                if let Partner::Cover(limit, _) = paired.partner {
                    *covered.entry(id(limit)).or_default() += paired.slots;
                }
            }
            partners.insert(lease_number(lease.id), own);
        }
        let forgets = sabotage == Some(Sabotage::ForgetWayBack);
        let limits = books.ledger().limits().map(|limit| Adopted {
            limit: Known { name: limit.name.clone(), id: limit.id },
            foreign: limit.foreign,
            returning: limit.returning && !forgets,
            covered: covered.get(&limit.id).copied().unwrap_or(0),
            dropped: durable.dropped.get(&number(&limit.name)).copied().unwrap_or(0),
        });
        let custody = Custody::resumed(limits.collect::<Vec<_>>());
        Self {
            durable,
            custody,
            books,
            out: Outbox::default(),
            sabotage,
            stalled: Vec::new(),
            now,
            jobs: BTreeMap::new(),
            jobs_made: 0,
            cover_acts: BTreeMap::new(),
            partners,
            held: Vec::new(),
            waiting: BTreeMap::new(),
            arrived: BTreeMap::new(),
            counted: None,
            covers_renewed: now,
            again: Vec::new(),
        }
    }

    pub(crate) fn burn(&mut self, fuse: Fuse) {
        self.books.fuse = Some(fuse);
    }

    /// A client asks.
    pub(crate) fn request(&mut self, exchange: u64, request: Request, now: u64) -> Step {
        self.now = now;
        self.arrived.insert(exchange, now);
        match request {
            Request::Acquire { .. } => self.acquire(exchange, request, None)?,
            Request::Renew { lease, ttl } => self.renew(exchange, lease, ttl)?,
            Request::Release { lease } => self.release(exchange, lease)?,
        }
        self.pump()
    }

    /// The upstream answers. `None`: the connection broke.
    pub(crate) fn heard(&mut self, job: u64, said: Option<Said>, now: u64) -> Step {
        self.now = now;
        match self.jobs.remove(&job) {
            None => {}
            Some(Job::Passing { exchange, passage }) => {
                // If the connection broke, the upstream may grant it later, to nobody.
                if let Some(passage) = passage {
                    self.custody.came_back(passage);
                }
                self.answer(exchange, granted(said.as_ref()));
            }
            Some(Job::Both { exchange, lease, passage }) => {
                self.custody.came_back(passage);
                self.both_heard(exchange, lease, said.as_ref())?;
            }
            Some(Job::RenewBoth { exchange }) => {
                self.answer(exchange, done(said.as_ref(), Answer::Renewed));
            }
            Some(Job::Theirs { exchange, done: then }) => {
                self.answer(exchange, done(said.as_ref(), then));
                self.counted = None;
            }
            Some(other) => self.heard_of_moves(other, said)?,
        }
        self.pump()
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, now: u64) -> Step {
        self.now = now;
        self.books.wake(&mut self.durable.journal, clock(now));
        self.pump()?;
        if self.sabotage == Some(Sabotage::ForgetWayBack) {
            self.forget_way_back()?;
        }
        self.drive()?;
        self.retry_held()?;
        self.pump()
    }

    /// `since`: since when it is held without a break.
    fn acquire(&mut self, exchange: u64, request: Request, since: Option<u64>) -> Step {
        self.stalled.extend(since.map(|since| (exchange, since)));
        let Request::Acquire { limits, slots, ttl, .. } = &request else { return Ok(()) };
        let (slots, ttl) = (*slots, *ttl);
        let names: Vec<_> = limits.iter().map(|limit| name(*limit)).collect();
        match self.custody.route(&names) {
            Route::Hold(held) => {
                let are_known = names.iter().all(|name| self.custody.is_known(name));
                if self.sabotage == Some(Sabotage::GrantWhileReturning) && are_known {
                    self.custody.let_go(held);
                    return self.here(exchange, request);
                }
                let since = since.unwrap_or(self.now);
                self.held.push(HeldRequest { exchange, request, held: Some(held), since });
                return Ok(());
            }
            Route::Here => self.here(exchange, request)?,
            Route::There(passage) => {
                let ask = Ask::Acquire { limits: limits.clone(), slots, ttl };
                let mut passage = Some(passage);
                if self.sabotage == Some(Sabotage::CountBeforeReturn)
                    && let Some(passage) = passage.take()
                {
                    self.custody.came_back(passage);
                }
                self.call(Job::Passing { exchange, passage }, ask);
            }
            Route::Both { here, there, passage } => {
                // Ours are taken first, and a hand-over of theirs need not wait for that.
                self.custody.came_back(passage);
                self.both(exchange, request, &here, &there)?;
            }
        }
        Ok(())
    }

    fn here(&mut self, exchange: u64, request: Request) -> Step {
        let Request::Acquire { limits, slots, ttl, wait } = &request else { return Ok(()) };
        let names: Vec<_> = limits.iter().map(|limit| name(*limit)).collect();
        let mut acquire = self.command(&names, *slots, *ttl);
        if *wait > 0 {
            let until = clock(self.now) + Span::from_micros(*wait);
            acquire.patience = Some(Patience::new(WaiterId(exchange), until));
        }
        let command = Command::Acquire(acquire);
        match self.books.tell(command, &mut self.durable.journal, clock(self.now))? {
            Ok(outcome) => self.acquired(exchange, request, outcome),
            Err(number) => {
                self.waiting.insert(number, (exchange, request));
            }
        }
        Ok(())
    }

    fn acquired(&mut self, exchange: u64, request: Request, outcome: Outcome) {
        let Outcome::Acquired(acquired) = outcome else { return };
        match acquired {
            Acquired::Granted(grant) => {
                let lease = grant.lease.map_or(0, |lease| lease_number(lease.id));
                self.answer(exchange, Answer::Granted(lease));
            }
            // It has moved meanwhile.
            Acquired::Elsewhere(_) | Acquired::Missing(_) => self.asks_again(exchange, request),
            _ => self.answer(exchange, Answer::Refused),
        }
    }

    /// Takes slots of our limits, and then of the upstream's.
    fn both(
        &mut self,
        exchange: u64,
        request: Request,
        here: &[Arc<str>],
        there: &[Arc<str>],
    ) -> Step {
        let Request::Acquire { slots, ttl, .. } = request else { return Ok(()) };
        let acquire = self.command(here, slots, ttl);
        let outcome = self.ledger(Command::Acquire(acquire))?;
        let Outcome::Acquired(Acquired::Granted(grant)) = outcome else {
            self.acquired(exchange, request, outcome);
            return Ok(());
        };
        let lease = grant.lease.map_or(0, |lease| lease_number(lease.id));
        match self.custody.route(there) {
            Route::There(passage) => {
                let limits = there.iter().map(|name| number(name)).collect();
                let ask = Ask::Acquire { limits, slots, ttl };
                self.call(Job::Both { exchange, lease, passage }, ask);
            }
            moved => {
                match moved {
                    Route::Hold(held) => self.custody.let_go(held),
                    Route::Both { passage, .. } => {
                        self.custody.came_back(passage);
                    }
                    Route::Here | Route::There(_) => {}
                }
                self.ledger(Command::Release { lease: LeaseId(lease.into()) })?;
                self.asks_again(exchange, request);
            }
        }
        Ok(())
    }

    /// A limit has moved while a request waited: it asks again, and waits for the rest of its time.
    fn asks_again(&mut self, exchange: u64, mut request: Request) {
        let arrived = self.arrived.get(&exchange).copied().unwrap_or(self.now);
        if let Request::Acquire { wait, .. } = &mut request {
            *wait = wait.saturating_sub(self.now - arrived);
        }
        self.held.push(HeldRequest { exchange, request, held: None, since: self.now });
    }

    fn both_heard(&mut self, exchange: u64, lease: u64, said: Option<&Said>) -> Step {
        if let Some(Said::Granted(partner)) = said {
            let paired = Paired { partner: Partner::Lease(*partner), slots: 1 };
            let lives = self.pair(lease, vec![paired])?;
            if !lives {
                self.give_up(paired);
            }
            self.answer(exchange, if lives { Answer::Granted(lease) } else { Answer::Failed });
            return Ok(());
        }
        self.ledger(Command::Release { lease: LeaseId(lease.into()) })?;
        self.answer(exchange, granted(said));
        Ok(())
    }

    fn renew(&mut self, exchange: u64, lease: u64, ttl: u64) -> Step {
        if lease >= UPSTREAM_FIRST {
            if self.sabotage == Some(Sabotage::AnswerForUpstream) {
                self.answer(exchange, Answer::Gone);
                return Ok(());
            }
            let job = Job::Theirs { exchange, done: Answer::Renewed };
            self.call(job, Ask::Renew { lease, ttl });
            return Ok(());
        }
        let renew = Command::Renew { lease: LeaseId(lease.into()), ttl: Span::from_micros(ttl) };
        if !matches!(self.ledger(renew)?, Outcome::Renewed(Renewed::Renewed(_))) {
            self.answer(exchange, Answer::Gone);
            return Ok(());
        }
        let partners = self.partners.get(&lease).cloned().unwrap_or_default();
        let partner = partners.iter().find_map(|paired| match paired.partner {
            Partner::Lease(partner) => Some(partner),
            Partner::Cover(..) => None,
        });
        match partner {
            Some(lease) => self.call(Job::RenewBoth { exchange }, Ask::Renew { lease, ttl }),
            None => self.answer(exchange, Answer::Renewed),
        }
        Ok(())
    }

    fn release(&mut self, exchange: u64, lease: u64) -> Step {
        if lease >= UPSTREAM_FIRST || self.sabotage == Some(Sabotage::PassReleasesOn) {
            let job = Job::Theirs { exchange, done: Answer::Released };
            self.call(job, Ask::Release { lease });
            return Ok(());
        }
        self.ledger(Command::Release { lease: LeaseId(lease.into()) })?;
        self.answer(exchange, Answer::Released);
        Ok(())
    }

    fn retry_held(&mut self) -> Step {
        for HeldRequest { exchange, request, held, since } in std::mem::take(&mut self.held) {
            held.into_iter().for_each(|held| self.custody.let_go(held));
            if self.now - since > HOLD_MAX {
                self.answer(exchange, Answer::Failed);
            } else {
                self.acquire(exchange, request, Some(since))?;
            }
        }
        Ok(())
    }

    /// Answers waiters, and gives back what the upstream counts for leases that have ended.
    fn pump(&mut self) -> Step {
        loop {
            let woken = std::mem::take(&mut self.books.woken);
            let events = std::mem::take(&mut self.books.events);
            if woken.is_empty() && events.is_empty() {
                return Ok(());
            }
            for (number, outcome) in woken {
                if let Some((exchange, request)) = self.waiting.remove(&number) {
                    self.acquired(exchange, request, outcome);
                }
            }
            let ended: BTreeSet<_> = events
                .iter()
                .filter(|event| !event.partners.is_empty())
                .filter_map(|event| Some((lease_number(event.lease?), event.partners.clone())))
                .collect();
            for (lease, partners) in ended {
                let known = self.partners.remove(&lease).unwrap_or_default();
                assert_eq!(encode(&known), partners, "the end of lease {lease} names its partners");
                known.into_iter().for_each(|paired| self.give_up(paired));
            }
        }
    }

    /// Runs a command that does not wait.
    fn ledger(&mut self, command: Command) -> Result<Outcome, Crash> {
        let told = self.books.tell(command, &mut self.durable.journal, clock(self.now))?;
        Ok(told.unwrap_or(Outcome::Ticked))
    }

    fn call(&mut self, job: Job, ask: Ask) {
        self.jobs_made += 1;
        self.jobs.insert(self.jobs_made, job);
        self.out.calls.push((self.jobs_made, ask));
    }

    fn answer(&mut self, exchange: u64, answer: Answer) {
        self.out.answers.push((exchange, answer));
    }

    fn command(&mut self, names: &[Arc<str>], slots: u64, ttl: u64) -> Acquire {
        self.durable.leases_made += 1;
        let id = LeaseId((1_000 + self.durable.leases_made).into());
        let hold = Hold::for_ttl(id, Span::from_micros(ttl));
        let wants = names.iter().map(|name| (name.clone(), slots));
        // A limit that moved away meanwhile must not be skipped.
        Acquire { missing: Missing::Refuse, ..Acquire::new(wants, hold) }
    }
}

fn granted(said: Option<&Said>) -> Answer {
    match said {
        Some(Said::Granted(lease)) => Answer::Granted(*lease),
        Some(_) => Answer::Refused,
        None => Answer::Failed,
    }
}

fn done(said: Option<&Said>, done: Answer) -> Answer {
    match said {
        Some(Said::Gone) => Answer::Gone,
        Some(_) => done,
        None => Answer::Failed,
    }
}

/// The time that the gateway's clock shows.
pub(crate) fn clock(now: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000) + Span::from_micros(now)
}

/// How often time passes for the gateway.
pub(crate) const TICK: u64 = 25 * MILLISECOND;
