//! The gateway moves limits: it carries out what the custody decides, reads the upstream's counts,
//! and takes, renews and gives back covers.

use std::sync::Arc;

use leasehold_engine::{
    Adopt, Command, CreateLimit, Created, LeaseId, Level, LimitRef, Outcome, Scope,
};
use leasehold_gateway::{Act, Count, Done, Failure, Known, Phase};

use super::{CoverAct, Gateway, Job, Step, clock};
use crate::owners::books::Crash;
use crate::owners::partners::{PLAIN, Paired, Partner, encode, id, lease_number};
use crate::owners::sabotage::Sabotage;
use crate::owners::wire::{Ask, COVER_TTL, LIMITS, LimitNo, SECOND, Said, name, number};

const COVERS_RENEWED_EVERY: u64 = 5 * SECOND;
const COUNTED_EVERY: u64 = SECOND;
const COUNT_TIMEOUT: u64 = SECOND;
const GIVE_UP_AGAIN_AFTER: u64 = SECOND;

impl Gateway {
    /// Begins to take a limit over.
    pub(crate) fn advance(&mut self, limit: LimitNo, now: u64) {
        let known = Known { name: name(limit), id: id(limit) };
        // It may be there already, or moving.
        let _ = self.custody.advance(known, clock(now));
    }

    /// Begins to give a limit back.
    pub(crate) fn roll_back(&mut self, limit: LimitNo, now: u64) {
        let _ = self.custody.roll_back(&name(limit), clock(now));
    }

    /// An operator drops so many phantoms.
    pub(crate) fn drop_phantoms(&mut self, limit: LimitNo, slots: u64, now: u64) -> Step {
        self.now = now;
        let name = name(limit);
        let standing = self.custody.standing(&name);
        let slots = slots.saturating_sub(standing.dropped).min(standing.foreign);
        if slots == 0 {
            return Ok(());
        }
        if let Some(act) = self.custody.drop_phantoms(&name, slots) {
            // Before they are free: after a crash they must not count as a rise.
            self.durable.dropped.insert(limit, self.custody.standing(&name).dropped);
            self.act(&act)?;
        }
        self.pump()
    }

    /// Whether everything that was ours is back, as far as the custody knows.
    pub(crate) fn phase(&self, limit: LimitNo) -> Phase {
        self.custody.standing(&name(limit)).phase
    }

    pub(super) fn drive(&mut self) -> Step {
        for act in self.custody.step(clock(self.now)) {
            self.act(&act)?;
        }
        self.count_if_due();
        if self.covers_renewed + COVERS_RENEWED_EVERY <= self.now {
            self.covers_renewed = self.now;
            let covers = self.partners.iter().flat_map(|(lease, partners)| {
                partners.iter().filter_map(|paired| match paired.partner {
                    Partner::Cover(_, PLAIN) | Partner::Lease(_) => None,
                    Partner::Cover(limit, cover) => Some((*lease, limit, cover)),
                })
            });
            for (lease, limit, cover) in covers.collect::<Vec<_>>() {
                let job = Job::RenewCover { lease, limit, cover };
                self.call(job, Ask::Renew { lease: cover, ttl: COVER_TTL });
            }
        }
        let now = self.now;
        let (due, later): (Vec<_>, _) =
            std::mem::take(&mut self.again).into_iter().partition(|(at, _)| *at <= now);
        self.again = later;
        for (_, paired) in due {
            self.give_back(paired);
        }
        Ok(())
    }

    fn count_if_due(&mut self) {
        let now = self.now;
        let late = self.jobs.iter().find_map(|(number, job)| match job {
            Job::Counting { began, .. } if began + COUNT_TIMEOUT <= now => Some(*number),
            _ => None,
        });
        if let Some(Job::Counting { counting, .. }) = late.and_then(|job| self.jobs.remove(&job)) {
            self.custody.count_failed(&counting);
        }
        let is_due = self.counted.is_none_or(|counted| counted + COUNTED_EVERY <= now);
        if self.custody.known().is_empty() && !self.custody.is_moving() {
            return;
        }
        if (is_due || self.custody.is_moving())
            && let Some(counting) = self.custody.begin_count()
        {
            self.counted = Some(now);
            self.call(Job::Counting { counting, began: now }, Ask::Counts);
        }
    }

    fn act(&mut self, act: &Act) -> Step {
        let sabotage = self.sabotage;
        let limit = number(act.limit());
        let done = match act {
            Act::Adopt { foreign, .. } => {
                self.durable.dropped.remove(&limit);
                let forgets = sabotage == Some(Sabotage::ForgetForeign);
                self.adopt(limit, if forgets { 0 } else { *foreign })?
            }
            Act::SetForeign { rose: 1.., .. } if sabotage == Some(Sabotage::IgnoreRise) => {
                Done::Yes
            }
            Act::SetForeign { slots, .. } => {
                self.ledger(Command::SetForeign { limit: id(limit), slots: *slots })?;
                Done::Yes
            }
            Act::SetReturning { returning: true, .. }
                if sabotage == Some(Sabotage::GrantWhileReturning) =>
            {
                Done::Yes
            }
            Act::SetReturning { returning, .. } => {
                let returning = *returning;
                self.ledger(Command::SetReturning { limit: id(limit), returning })?;
                Done::Yes
            }
            Act::Cover { phantoms, .. } => return self.cover(act.clone(), limit, *phantoms),
            Act::Uncover { .. } => self.uncover(limit)?,
            Act::Retire { .. } => self.retire(limit)?,
        };
        self.custody.done(act, done, clock(self.now));
        Ok(())
    }

    fn adopt(&mut self, limit: LimitNo, foreign: u64) -> Result<Done, Crash> {
        let (name, slots) = LIMITS[limit];
        let adopt = Adopt {
            limit: CreateLimit::new(id(limit), name, slots),
            foreign,
            occupancy_seconds_average: 2.0,
            level: Level::ZERO,
        };
        Ok(match self.ledger(Command::Adopt(adopt))? {
            Outcome::Created(Created::Made(_) | Created::Changed(_)) => Done::Yes,
            _ => Done::No(Failure::Ledger),
        })
    }

    fn retire(&mut self, limit: LimitNo) -> Result<Done, Crash> {
        if !self.leases_on(limit).is_empty() {
            return Ok(Done::Again);
        }
        let limit = LimitRef::Id(id(limit));
        self.ledger(Command::DeleteLimit { limit, scope: Scope::All })?;
        Ok(Done::Yes)
    }

    /// The leases on a limit, each with its slots.
    fn leases_on(&self, limit: LimitNo) -> Vec<(u64, u64)> {
        let leases = self.books.ledger().leases();
        let on = leases.filter_map(|lease| {
            let held = lease.holdings.iter().find(|held| held.limit == id(limit))?;
            Some((lease_number(lease.id), held.slots))
        });
        let mut on: Vec<_> = on.collect();
        on.sort_unstable();
        on
    }

    fn cover(&mut self, act: Act, limit: LimitNo, phantoms: u64) -> Step {
        let number = self.cover_acts.keys().last().copied().unwrap_or(0) + 1;
        self.cover_acts.insert(number, CoverAct { act, left: 0, refused: 0, failure: None });
        if phantoms == 0 {
            return self.cover_leases(number);
        }
        // Nobody may give them back twice, so they are forgotten first. If they were not given
        // back, they count as taken by others again.
        self.custody.phantoms_given_back(&name(limit), phantoms);
        self.durable.dropped.remove(&limit);
        self.call(
            Job::Phantoms { act: number },
            Ask::GiveBack { limit, slots: phantoms, is_cover: false },
        );
        Ok(())
    }

    /// Takes a cover for each lease on the limit that has none.
    fn cover_leases(&mut self, act: u64) -> Step {
        let Some(cover_act) = self.cover_acts.get(&act) else { return Ok(()) };
        let limit = number(cover_act.act.limit());
        let mut uncovered = self.leases_on(limit);
        uncovered.retain(|(lease, _)| {
            let partners = self.partners.get(lease).into_iter().flatten();
            !partners
                .into_iter()
                .any(|it| matches!(it.partner, Partner::Cover(on, _) if on == limit))
        });
        if self.sabotage == Some(Sabotage::ForgetCovers) {
            uncovered.clear();
        }
        if let Some(cover_act) = self.cover_acts.get_mut(&act) {
            cover_act.left = uncovered.len();
        }
        for (lease, slots) in uncovered {
            self.custody.cover_asked(&name(limit), slots);
            let job = Job::TakeCover { act, limit, lease, slots };
            self.call(job, Ask::Acquire { limits: vec![limit], slots, ttl: COVER_TTL });
        }
        self.end_cover(act);
        Ok(())
    }

    /// Ends the act once nothing of it is under way.
    fn end_cover(&mut self, number: u64) {
        if self.cover_acts.get(&number).is_none_or(|act| act.left > 0) {
            return;
        }
        let Some(CoverAct { act, refused, failure, .. }) = self.cover_acts.remove(&number) else {
            return;
        };
        let done = match failure {
            None if refused > 0 => Done::No(Failure::NoRoom(refused)),
            None => Done::Yes,
            Some(failure) => Done::No(failure),
        };
        self.custody.done(&act, done, clock(self.now));
    }

    fn uncover(&mut self, limit: LimitNo) -> Result<Done, Crash> {
        for (lease, _) in self.leases_on(limit) {
            let partners = self.partners.get(&lease).cloned().unwrap_or_default();
            let is_cover = |it: &Paired| matches!(it.partner, Partner::Cover(on, _) if on == limit);
            let (covers, kept): (Vec<_>, _) = partners.into_iter().partition(is_cover);
            if covers.is_empty() {
                continue;
            }
            self.pair(lease, kept)?;
            covers.into_iter().for_each(|cover| self.give_up(cover));
        }
        Ok(Done::Yes)
    }

    /// Sets what the upstream counts for a lease of ours. Returns whether the lease lives.
    pub(super) fn pair(&mut self, lease: u64, partners: Vec<Paired>) -> Result<bool, Crash> {
        let pair = Command::Pair { lease: LeaseId(lease.into()), partners: encode(&partners) };
        let lives = self.ledger(pair)? == Outcome::Paired(true);
        if lives && partners.is_empty() {
            self.partners.remove(&lease);
        } else if lives {
            self.partners.insert(lease, partners);
        }
        Ok(lives)
    }

    /// Gives back what the upstream counts for a lease of ours.
    pub(super) fn give_up(&mut self, paired: Paired) {
        if let Partner::Cover(limit, _) = paired.partner {
            self.custody.cover_leaves(&name(limit), paired.slots);
        }
        self.give_back(paired);
    }

    fn give_back(&mut self, paired: Paired) {
        let slots = paired.slots;
        let ask = match paired.partner {
            Partner::Cover(limit, PLAIN) => Ask::GiveBack { limit, slots, is_cover: true },
            Partner::Lease(lease) | Partner::Cover(_, lease) => Ask::Release { lease },
        };
        self.call(Job::GiveUp { paired }, ask);
    }

    /// The upstream answers a question about moves.
    pub(super) fn heard_of_moves(&mut self, job: Job, said: Option<Said>) -> Step {
        match (job, said) {
            (Job::Counting { counting, .. }, Some(Said::Counts(counts))) => {
                let count = |taken| Count { taken, drains: false };
                let counts = (0..).map(id).zip(counts.into_iter().map(count)).collect();
                for act in self.custody.counted(counting, &counts) {
                    self.act(&act)?;
                }
            }
            (Job::Counting { counting, .. }, _) => self.custody.count_failed(&counting),
            (Job::Phantoms { act }, Some(_)) => self.cover_leases(act)?,
            (Job::Phantoms { act }, None) if self.sabotage == Some(Sabotage::RepeatGiveBacks) => {
                if let Some(cover) = self.cover_acts.get(&act) {
                    let limit = number(cover.act.limit());
                    self.call(
                        Job::Phantoms { act },
                        Ask::GiveBack { limit, slots: 1, is_cover: false },
                    );
                }
            }
            (Job::Phantoms { act }, None) => {
                if let Some(cover) = self.cover_acts.get_mut(&act) {
                    cover.failure = Some(Failure::NoAnswer);
                }
                self.end_cover(act);
            }
            (Job::TakeCover { act, limit, lease, slots }, said) => {
                self.cover_heard(act, (limit, lease, slots), said.as_ref())?;
            }
            (Job::RenewCover { lease, limit, cover }, Some(Said::Gone)) => {
                self.cover_is_lost(lease, limit, cover)?;
            }
            // A second time it could be a slot of somebody else.
            (
                Job::GiveUp { paired: Paired { partner: Partner::Cover(limit, PLAIN), slots } },
                None,
            ) if self.sabotage != Some(Sabotage::RepeatGiveBacks) => {
                self.custody.cover_over(&name(limit), slots);
            }
            (Job::GiveUp { paired }, None) => {
                self.again.push((self.now + GIVE_UP_AGAIN_AFTER, paired));
            }
            (Job::GiveUp { paired }, Some(_)) => {
                if let Partner::Cover(limit, _) = paired.partner {
                    self.custody.cover_over(&name(limit), paired.slots);
                    if self.sabotage == Some(Sabotage::GiveBackTwice) {
                        let (slots, is_cover) = (paired.slots, true);
                        self.call(Job::Forget, Ask::GiveBack { limit, slots, is_cover });
                    }
                }
                self.counted = None;
            }
            _ => {}
        }
        Ok(())
    }

    fn cover_heard(
        &mut self,
        act: u64,
        (limit, lease, slots): (LimitNo, u64, u64),
        said: Option<&Said>,
    ) -> Step {
        let name: Arc<str> = name(limit);
        let mut failure = None;
        let mut refused = 0;
        match said {
            Some(Said::Granted(cover)) => {
                let paired = Paired { partner: Partner::Cover(limit, *cover), slots };
                let mut partners = self.partners.get(&lease).cloned().unwrap_or_default();
                partners.push(paired);
                let lives = self.pair(lease, partners)?;
                self.custody.cover_taken(&name, slots);
                if !lives {
                    self.give_up(paired);
                }
            }
            Some(_) => {
                self.custody.cover_over(&name, slots);
                refused = 1;
            }
            None => {
                self.custody.cover_over(&name, slots);
                failure = Some(Failure::NoAnswer);
            }
        }
        if let Some(cover) = self.cover_acts.get_mut(&act) {
            cover.left -= 1;
            cover.refused += refused;
            cover.failure = cover.failure.or(failure);
        }
        self.end_cover(act);
        Ok(())
    }

    /// The upstream has lost the lease of a cover in a restart, and still counts its slots.
    fn cover_is_lost(&mut self, lease: u64, limit: LimitNo, cover: u64) -> Step {
        let mut partners = self.partners.get(&lease).cloned().unwrap_or_default();
        let lost = partners.iter_mut().find(|it| it.partner == Partner::Cover(limit, cover));
        let Some(lost) = lost else { return Ok(()) };
        lost.partner = Partner::Cover(limit, PLAIN);
        self.pair(lease, partners)?;
        Ok(())
    }

    /// The sabotage: every limit that is on its way back grants again.
    pub(super) fn forget_way_back(&mut self) -> Step {
        let ledger = self.books.ledger();
        let back: Vec<_> = ledger
            .limits()
            .filter(|limit| limit.returning && self.custody.is_ours(&limit.name))
            .map(|limit| limit.id)
            .collect();
        for limit in back {
            self.ledger(Command::SetReturning { limit, returning: false })?;
        }
        Ok(())
    }
}
