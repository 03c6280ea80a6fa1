//! Covers: what the upstream counts for leases of ours. They are taken on the way back, renewed
//! while our lease lives, and given back when it ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use leasehold_engine::{
    Event, EventKind, GiveBack, HeldView, LeaseId, Level, LimitId, LimitRef, Page, Timestamp,
};
use leasehold_gateway::{Done, Failure};
use leasehold_node::Events;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::Migration;
use super::partners::{Kind, Paired, Partner, encode};
use super::prefect::{self, PrefectError, Renewed, Row, Taken};

/// How many requests of ours are under way at once.
const AT_ONCE: usize = 16;
const PAGE: usize = 1_000;
/// How often giving a lease back is tried. Afterwards it has run out by itself.
const ATTEMPTS_MAX: u32 = 600;
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);

/// A lease of ours for which the upstream counts nothing yet.
struct Uncovered {
    lease: LeaseId,
    slots: u64,
    /// The id to be added to the upstream's list, if it counts by one.
    listed: Option<Uuid>,
}

impl Migration {
    /// Takes a cover for each lease on a limit that has none.
    pub(super) async fn cover(&self, name: &Arc<str>, phantoms: u64) -> Done {
        let Some(id) = self.id_of(name) else { return Done::Yes };
        let Ok(rows) = self.rows().await else {
            return Done::No(Failure::NoAnswer);
        };
        // A name without a limit is granted to everybody.
        let by_id = rows.iter().find(|row| row.id() == id);
        let Some(row) = by_id.or_else(|| rows.iter().find(|row| row.name == *name)) else {
            return Done::No(Failure::Gone);
        };
        if phantoms > 0 {
            // They are forgotten first: nobody may give them back twice, after a crash neither.
            self.state().custody.phantoms_given_back(name, phantoms);
            self.remember(name).await;
            if let Err(error) = self.give_phantoms_back(row, phantoms).await {
                if error.was_not_sent() {
                    self.state().custody.phantoms_stayed(name, phantoms);
                    self.remember(name).await;
                }
                return Done::No(Failure::NoAnswer);
            }
        }
        let held = match self.held(name).await {
            Ok(Some(held)) => held,
            Ok(None) => return Done::Yes,
            Err(()) => return Done::Again,
        };
        if let Err(done) = self.cover_plain(name, &held, row).await {
            return done;
        }
        let uncovered = self.uncovered(id, row, &held);
        let asked = uncovered.iter().map(|wanted| wanted.slots).sum();
        self.covers_asked(id, asked).await;
        let taken: Vec<_> = stream::iter(uncovered)
            .map(|wanted| async move { (wanted.slots, self.take_cover(name, id, wanted).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let is_known = |taken| matches!(taken, Ok(()) | Err(Failure::NoRoom(_)));
        let known = taken.iter().filter(|(_, taken)| is_known(*taken)).map(|(slots, _)| slots);
        self.covers_known(id, known.sum()).await;
        let taken: Vec<_> = taken.into_iter().map(|(_, taken)| taken).collect();
        let refused = taken.iter().filter(|taken| **taken == Err(Failure::NoRoom(1))).count();
        match taken.into_iter().find_map(Result::err) {
            None => Done::Yes,
            Some(_) if refused > 0 => Done::No(Failure::NoRoom(refused as u64)),
            Some(failure) => Done::No(failure),
        }
    }

    /// The covers that leases on a limit still need.
    fn uncovered(&self, limit: LimitId, row: &Row, held: &HeldView) -> Vec<Uncovered> {
        let state = self.state();
        let has_cover = |lease: &LeaseId| {
            let partners = state.partners.get(lease);
            partners.is_some_and(|all| all.iter().any(|paired| paired.partner.covers(limit)))
        };
        let mut listed = row.listed.clone();
        let leases = held.leases.iter().map(|view| &view.lease);
        let uncovered = leases.filter(|lease| !has_cover(&lease.id)).flat_map(|lease| {
            let slots = lease.holdings.iter().find(|held| held.limit == limit)?.slots;
            let listed = listed.as_mut().map(|taken| {
                let run = lease.holder.as_ref().and_then(|holder| holder.id.parse().ok());
                // An id is in the list once. The upstream lists a run already whose slot there
                // is another one.
                let run = run.filter(|run| !taken.contains(run));
                let run = run.unwrap_or(Uuid::from_u128(lease.id.0));
                taken.push(run);
                run
            });
            Some(Uncovered { lease: lease.id, slots, listed })
        });
        uncovered.collect()
    }

    /// Gives phantoms back that an operator dropped. Of a list, these are ids that no request named
    /// and that are no covers of ours.
    async fn give_phantoms_back(&self, row: &Row, phantoms: u64) -> Result<(), PrefectError> {
        let upstream = &self.0.upstream;
        let Some(listed) = &row.listed else {
            return prefect::give_back(upstream, &row.name, phantoms).await;
        };
        let dropped: Vec<_> = {
            let (state, now) = (self.state(), self.0.ledger.clock().now());
            let seen = state.watched.on(&row.name, now);
            let is_seen = |run: &Uuid| seen.iter().any(|seen| seen.lease.0 == run.as_u128());
            let is_cover = |run: &Uuid| {
                let cover = Partner::Cover(row.id(), Kind::Listed(*run));
                state.partners.values().flatten().any(|paired| paired.partner == cover)
                    || state.runs.contains_key(run)
            };
            let unknown = listed.iter().filter(|run| !is_seen(run) && !is_cover(run));
            unknown.take(usize::try_from(phantoms).unwrap_or(usize::MAX)).copied().collect()
        };
        for run in dropped {
            prefect::give_back_listed(upstream, &row.name, run).await?;
        }
        Ok(())
    }

    /// Moves the slots to the upstream that no lease here holds. Of a rate limit the upstream still
    /// has the level from which it came over, drained until now.
    async fn cover_plain(&self, name: &Arc<str>, held: &HeldView, row: &Row) -> Result<(), Done> {
        let drains = !held.decay.is_none();
        let level = held.unleased.iter().map(|part| part.level).sum::<Level>();
        let known = if drains { row.active_slots } else { 0 };
        let slots = level.slots_taken().saturating_sub(known);
        if slots == 0 || (drains && self.state().levelled.contains(name)) {
            return Ok(());
        }
        if row.listed.is_some() {
            // A list has no slots without a task run.
            return Err(Done::No(Failure::NoRoom(slots)));
        }
        match prefect::take_plain(&self.0.upstream, name, slots).await {
            Ok(Taken::Refused) => return Err(Done::No(Failure::NoRoom(slots))),
            Ok(_) => {}
            Err(_) => return Err(Done::No(Failure::NoAnswer)),
        }
        if drains {
            self.state().levelled.push(name.clone());
            return Ok(());
        }
        let give_back =
            GiveBack { names: [name.clone()].into_iter().collect(), slots, occupancy: None };
        // If it fails the upstream counts them twice, and gives them back as phantoms.
        self.0.ledger.give_back(give_back).await.map(drop).map_err(|_| Done::Again)
    }

    async fn take_cover(
        &self,
        name: &Arc<str>,
        limit: LimitId,
        Uncovered { lease, slots, listed }: Uncovered,
    ) -> Result<(), Failure> {
        self.state().custody.cover_asked(name, slots);
        let upstream = &self.0.upstream;
        let taken = match listed {
            None => prefect::take(upstream, name, slots).await,
            Some(run) if slots == 1 => prefect::take_listed(upstream, name, run).await,
            // An id in a list is one slot.
            Some(_) => Ok(Taken::Refused),
        };
        let kind = match taken {
            Ok(Taken::Lease(cover)) => {
                let now = self.0.ledger.clock().now();
                self.state().covers_seen.insert(cover, now);
                Kind::Lease(cover)
            }
            Ok(Taken::Plain) => Kind::Plain,
            Ok(Taken::Listed(run)) => Kind::Listed(run),
            Ok(Taken::Refused) => {
                self.state().custody.cover_over(name, slots);
                return Err(Failure::NoRoom(1));
            }
            Err(_) => {
                self.state().custody.cover_over(name, slots);
                return Err(Failure::NoAnswer);
            }
        };
        let cover = Paired { partner: Partner::Cover(limit, kind), slots };
        let mut partners = self.state().partners_of(lease);
        partners.push(cover);
        self.state().custody.cover_taken(name, slots);
        // If the lease has ended, its cover ends with it.
        if self.pair(lease, partners).await.is_ok() {
            return Ok(());
        }
        self.give_up(cover);
        Err(Failure::Ledger)
    }

    /// Sets what the upstream counts for a lease of ours. Returns whether the lease lives. If it
    /// does not, what is new of it is given up.
    pub(crate) async fn pair(&self, lease: LeaseId, partners: Vec<Paired>) -> Result<bool, ()> {
        let is_there = self.0.ledger.pair(lease, encode(&partners)).await.map_err(drop)?;
        if is_there {
            self.state().set_partners(lease, partners);
            // It may have ended before its partners were known here.
            if let Ok(Err(_)) = self.0.ledger.lease(lease).await {
                let partners = self.state().partners.remove(&lease).unwrap_or_default();
                partners.into_iter().for_each(|paired| self.give_up(paired));
                return Ok(false);
            }
        } else {
            let known = self.state().partners_of(lease);
            // What the upstream takes with a task run, it gives back with it.
            let with_run =
                |paired: &Paired| matches!(paired.partner, Partner::Cover(_, Kind::WithTaskRun));
            let new = partners.into_iter().filter(|it| !known.contains(it) && !with_run(it));
            new.for_each(|paired| self.give_up(paired));
        }
        Ok(is_there)
    }

    /// Gives back all covers of a limit whose way back was given up.
    pub(super) async fn uncover(&self, name: &Arc<str>) -> Done {
        let Some(id) = self.id_of(name) else { return Done::Yes };
        let Ok(Some(held)) = self.held(name).await else { return Done::Again };
        for view in &held.leases {
            let lease = view.lease.id;
            let is_cover = |paired: &Paired| {
                paired.partner.covers(id) && paired.partner != Partner::Cover(id, Kind::WithTaskRun)
            };
            let (covers, kept): (Vec<_>, Vec<_>) =
                self.state().partners_of(lease).into_iter().partition(is_cover);
            if covers.is_empty() {
                continue;
            }
            if self.pair(lease, kept).await.is_err() {
                return Done::Again;
            }
            for cover in covers {
                self.give_up(cover);
            }
        }
        Done::Yes
    }

    /// What holds a limit here, all of it.
    async fn held(&self, name: &Arc<str>) -> Result<Option<HeldView>, ()> {
        let mut all: Option<HeldView> = None;
        loop {
            let offset = all.as_ref().map_or(0, |all| all.leases.len());
            let page = Page { offset, limit: PAGE };
            let held =
                self.0.ledger.held(LimitRef::Name(name.clone()), page).await.map_err(drop)?;
            let Some(held) = held else { return Ok(None) };
            let is_last = held.leases.len() < PAGE;
            match &mut all {
                None => all = Some(held),
                Some(all) => {
                    all.leases.extend(held.leases);
                    all.unleased = held.unleased;
                }
            }
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Gives a cover or a lease of the upstream back, in the background and until it succeeds.
    pub(crate) fn give_up(&self, paired: Paired) {
        let Paired { partner, slots } = paired;
        let (name, is_cover) = match partner {
            Partner::Lease(_) => (None, false),
            Partner::Cover(limit, _) => (self.state().names.get(&limit).cloned(), true),
        };
        let name = name.unwrap_or_else(|| "".into());
        if is_cover {
            self.state().custody.cover_leaves(&name, slots);
        }
        let seen = match partner {
            Partner::Cover(_, Kind::Lease(cover)) => self.state().covers_seen.remove(&cover),
            _ => None,
        };
        let migration = self.clone();
        tokio::spawn(async move {
            let partner = migration.as_counted(partner, seen).await;
            let is_plain = matches!(partner, Partner::Cover(_, Kind::Plain));
            let runs_out = !is_plain && !matches!(partner, Partner::Cover(_, Kind::Listed(_)));
            for attempt in 0_u32.. {
                // Slots without a lease do not run out.
                if attempt >= ATTEMPTS_MAX && runs_out {
                    break;
                }
                match migration.give_back_once(&name, partner, slots).await {
                    Ok(()) => break,
                    // A second time it could be a slot of somebody else. One that stays counted is
                    // seen as a phantom.
                    Err(error) if is_plain && !error.was_not_sent() => {
                        tracing::warn!(%error, limit = %name, slots, "slots may stay counted there");
                        break;
                    }
                    Err(error) => tracing::debug!(%error, "what a lease held is given back later"),
                }
                tokio::time::sleep(ATTEMPT_INTERVAL).await;
            }
            if is_cover {
                migration.state().custody.cover_over(&name, slots);
            }
            migration.count_soon();
        });
    }

    /// What the upstream counts for a cover. A release says 204 of a lease that was lost in a
    /// restart, and its slots stay counted, so that the lease is renewed first: if it is gone
    /// before its time, the slots are there without one.
    async fn as_counted(&self, partner: Partner, seen: Option<Timestamp>) -> Partner {
        let (Partner::Cover(limit, Kind::Lease(cover)), Some(seen)) = (partner, seen) else {
            return partner;
        };
        for _ in 0..ATTEMPTS_MAX {
            let now = self.0.ledger.clock().now();
            let is_young = now.since(seen).as_seconds_f64() < prefect::COVER_SECONDS;
            match prefect::renew(&self.0.upstream, cover).await {
                Ok(Renewed::Gone) if is_young => return Partner::Cover(limit, Kind::Plain),
                Ok(_) => return partner,
                Err(_) => tokio::time::sleep(ATTEMPT_INTERVAL).await,
            }
        }
        partner
    }

    async fn give_back_once(
        &self,
        name: &str,
        partner: Partner,
        slots: u64,
    ) -> Result<(), PrefectError> {
        let upstream = &self.0.upstream;
        match partner {
            Partner::Lease(lease) | Partner::Cover(_, Kind::Lease(lease)) => {
                prefect::release(upstream, lease).await
            }
            Partner::Cover(_, Kind::Plain) => prefect::give_back(upstream, name, slots).await,
            Partner::Cover(_, Kind::Listed(run)) => {
                prefect::give_back_listed(upstream, name, run).await
            }
            Partner::Cover(_, Kind::WithTaskRun) => Ok(()),
        }
    }

    /// Gives back what the upstream counts for leases that have ended.
    pub(super) async fn settle_ended(self, mut events: broadcast::Receiver<Events>) {
        loop {
            match events.recv().await {
                Ok(events) => {
                    for lease in events.iter().filter_map(ended) {
                        if self.state().partners.contains_key(&lease) {
                            self.settle(lease).await;
                        }
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    let all: Vec<_> = self.state().partners.keys().copied().collect();
                    for lease in all {
                        self.settle(lease).await;
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Gives back what a lease no longer needs: everything if it has ended, else the covers on
    /// limits that it no longer holds.
    async fn settle(&self, lease: LeaseId) {
        let holdings = match self.0.ledger.lease(lease).await {
            Ok(Ok(view)) => Some(view.lease.holdings),
            Ok(Err(_)) => None,
            Err(_) => return,
        };
        let Some(holdings) = holdings else {
            let partners = self.state().partners.remove(&lease).unwrap_or_default();
            partners.into_iter().for_each(|paired| self.give_up(paired));
            return;
        };
        let is_held = |paired: &Paired| match paired.partner {
            Partner::Lease(_) => true,
            Partner::Cover(limit, _) => holdings.iter().any(|held| held.limit == limit),
        };
        let (kept, over): (Vec<_>, Vec<_>) =
            self.state().partners_of(lease).into_iter().partition(is_held);
        if over.is_empty() {
            return;
        }
        if self.pair(lease, kept).await.is_ok() {
            over.into_iter().for_each(|paired| self.give_up(paired));
        }
    }

    /// Renews the covers while our leases live.
    pub(super) async fn renew_covers(self, interval: Duration) {
        let mut changed = self.0.changed.subscribe();
        while !self.state().is_ready {
            if changed.changed().await.is_err() {
                return;
            }
        }
        loop {
            let leases: Vec<_> = {
                let state = self.state();
                let all = state.partners.iter().flat_map(|(lease, partners)| {
                    partners.iter().filter_map(|paired| match paired.partner {
                        Partner::Cover(limit, Kind::Lease(cover)) => Some((*lease, limit, cover)),
                        _ => None,
                    })
                });
                all.collect()
            };
            stream::iter(leases)
                .for_each_concurrent(AT_ONCE, |(lease, limit, cover)| {
                    self.renew_cover(lease, limit, cover)
                })
                .await;
            tokio::time::sleep(interval).await;
        }
    }

    async fn renew_cover(&self, lease: LeaseId, limit: LimitId, cover: LeaseId) {
        let now = self.0.ledger.clock().now();
        match prefect::renew(&self.0.upstream, cover).await {
            Ok(Renewed::Yes) => {
                self.state().covers_seen.insert(cover, now);
                return;
            }
            Ok(Renewed::Gone) => {}
            Err(_) => return,
        }
        let is_cover =
            |paired: &Paired| paired.partner == Partner::Cover(limit, Kind::Lease(cover));
        let (covers, mut partners): (Vec<_>, Vec<_>) =
            self.state().partners_of(lease).into_iter().partition(is_cover);
        let Some(Paired { slots, .. }) = covers.first().copied() else { return };
        let seen = self.state().covers_seen.remove(&cover);
        if seen.is_some_and(|seen| now.since(seen).as_seconds_f64() < prefect::COVER_SECONDS) {
            // Its time is not over: the upstream has lost its leases in a restart, and still counts
            // the slots. From now on they are slots without a lease.
            partners.push(Paired { partner: Partner::Cover(limit, Kind::Plain), slots });
            let _ = self.pair(lease, partners).await;
            return;
        }
        // It ran out while this server was down, and the upstream counts nothing for it.
        let name = self.state().names.get(&limit).cloned();
        let Some(name) = name else { return };
        if self.pair(lease, partners).await == Ok(true) {
            self.state().custody.cover_leaves(&name, slots);
            self.state().custody.cover_over(&name, slots);
            let again = Uncovered { lease, slots, listed: None };
            self.covers_asked(limit, slots).await;
            let taken = self.take_cover(&name, limit, again).await;
            if matches!(taken, Ok(()) | Err(Failure::NoRoom(_))) {
                self.covers_known(limit, slots).await;
            }
        }
    }
}

/// The lease that an event ended, or that lost a limit by it.
fn ended(event: &Event) -> Option<LeaseId> {
    match event.kind {
        EventKind::Released | EventKind::Ended(_) | EventKind::Lost(_) => event.lease,
        _ => None,
    }
}
