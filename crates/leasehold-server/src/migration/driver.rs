//! The loop that moves limits and reads the upstream's counts.

use std::sync::Arc;
use std::time::Duration;

use leasehold_engine::{
    Lease, LeaseFilter, LeaseId, LimitId, LimitView, Page, Scope, Span, Timestamp,
};
use leasehold_gateway::{Adopted, Count, Custody, Done, Known};
use leasehold_node::Unavailable;
use rustc_hash::FxHashMap;

use super::partners::{Kind, Paired, Partner, decode};
use super::prefect::{self, PrefectError};
use super::{Migration, State};
use crate::upstream::UpstreamError;

/// How often the counts are read while a limit is ours.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// How often they are read while none is: they show what nobody holds.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);
/// How long the loop sleeps while a limit moves.
const MOVING_INTERVAL: Duration = Duration::from_millis(30);
/// How often the covers are renewed.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(60);
/// How long a reading may take while a limit moves: requests are held meanwhile.
const MOVING_READ_MAX: Duration = Duration::from_secs(1);
const PAGE: usize = 1_000;

impl Migration {
    pub(super) fn drive(self) {
        let events = self.0.ledger.subscribe();
        tokio::spawn(self.clone().settle_ended(events));
        tokio::spawn(self.clone().renew_covers(RENEWAL_INTERVAL));
        tokio::spawn(async move {
            while let Err(error) = self.resume().await {
                if error == Unavailable::Stopping {
                    return;
                }
                tokio::time::sleep(COUNT_INTERVAL).await;
            }
            let mut counted: Option<Timestamp> = None;
            loop {
                let is_moving = self.step().await;
                if self.is_count_due(counted, is_moving) {
                    counted = Some(self.0.ledger.clock().now());
                    self.count().await;
                    self.give_back_named().await;
                    self.give_back_lost().await;
                    self.step().await;
                }
                self.store_seen().await;
                let pause = if is_moving { MOVING_INTERVAL } else { COUNT_INTERVAL };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.0.wake.notified() => {}
                }
            }
        });
    }

    /// Reads from the ledger what was ours when the last process ended.
    async fn resume(&self) -> Result<(), Unavailable> {
        let limits = self.limits_here().await?;
        let names = limits.iter().map(|view| (view.limit.id, view.limit.name.clone())).collect();
        let now = self.0.ledger.clock().now();
        let (watched, plain) = self.load_seen(now);
        let mut state = State { names, watched, plain, ..State::default() };
        let mut offset = 0;
        loop {
            let page = Page { offset, limit: PAGE };
            let leases = self.0.ledger.find_leases(LeaseFilter::default(), page).await?;
            let leases = leases.unwrap_or_default();
            offset += leases.len();
            leases.iter().for_each(|view| state.resume(&view.lease));
            if leases.len() < PAGE {
                break;
            }
        }
        for (limit, slots, asked) in self.load_lost(now) {
            state.lost.entry(limit).or_default().asked(slots, asked);
        }
        let dropped = self.0.memory.load();
        let adopted = limits.iter().map(|view| Adopted {
            limit: Known { name: view.limit.name.clone(), id: view.limit.id },
            foreign: view.limit.foreign,
            returning: view.limit.returning,
            covered: state.covered(view.limit.id),
            dropped: dropped.get(&view.limit.id).copied().unwrap_or(0),
        });
        state.custody = Custody::resumed(adopted.collect::<Vec<_>>());
        state.is_ready = true;
        *self.state() = state;
        self.let_go();
        Ok(())
    }

    /// All limits of the ledger.
    pub(super) async fn limits_here(&self) -> Result<Vec<LimitView>, Unavailable> {
        let mut limits = Vec::new();
        loop {
            let page = Page { offset: limits.len(), limit: PAGE };
            let views = self.0.ledger.limits(Scope::All, page).await?;
            let is_last = views.len() < PAGE;
            limits.extend(views);
            if is_last {
                return Ok(limits);
            }
        }
    }

    /// Does what is due. Returns whether a limit moves.
    async fn step(&self) -> bool {
        loop {
            let now = self.0.ledger.clock().now();
            let acts = self.state().custody.step(now);
            if acts.is_empty() {
                // A hold may have been given up.
                self.let_go();
                return self.state().custody.is_moving();
            }
            let mut is_progress = false;
            for act in acts {
                let done = self.act(&act).await;
                is_progress |= done == Done::Yes;
                let now = self.0.ledger.clock().now();
                self.state().custody.done(&act, done, now);
                self.let_go();
            }
            if !is_progress {
                return self.state().custody.is_moving();
            }
        }
    }

    /// A request was routed to the ledger, and the ledger does not have its limit. A
    /// reading brings both to agree.
    pub(crate) async fn until_agreed(&self) {
        self.count_soon();
        tokio::time::sleep(MOVING_INTERVAL).await;
    }

    fn is_count_due(&self, counted: Option<Timestamp>, is_moving: bool) -> bool {
        let now = self.0.ledger.clock().now();
        let mut state = self.state();
        let is_wanted = std::mem::take(&mut state.is_count_wanted);
        let interval = if state.custody.has_any() { COUNT_INTERVAL } else { WATCH_INTERVAL };
        // The sleep before may have ended a little early.
        let interval = Span::from_seconds_f64((interval - MOVING_INTERVAL).as_secs_f64());
        is_wanted || is_moving || counted.is_none_or(|counted| now.since(counted) >= interval)
    }

    /// As [`Self::count`], to the end even if the caller hangs up, and from now on: a reading that
    /// is under way does not know what is new.
    pub(crate) async fn count_now(&self) {
        let migration = self.clone();
        let counting = tokio::spawn(async move {
            while !migration.count().await {
                tokio::time::sleep(MOVING_INTERVAL).await;
            }
        });
        let _ = counting.await;
    }

    /// Reads the upstream's counts, and does what follows from them. `false` if another reading is
    /// under way.
    async fn count(&self) -> bool {
        let Some(counting) = self.state().custody.begin_count() else { return false };
        let edits = self.0.edits.number();
        let rows = match self.rows().await {
            Ok(rows) => rows,
            Err(error) => {
                let mut state = self.state();
                state.custody.count_failed(&counting);
                state.has_answered = error.is_silence() && self.0.upstream.has_answered_lately();
                if matches!(error, PrefectError::Unexpected { .. }) {
                    tracing::warn!(%error, "the counts of the Prefect server cannot be read");
                }
                return true;
            }
        };
        let now = self.0.ledger.clock().now();
        let acts = {
            let mut state = self.state();
            state.has_answered = true;
            state.rows = rows.into_iter().map(|row| (row.name.clone(), row)).collect();
            let counts = state.counts();
            let acts = state.custody.counted(counting, &counts);
            state.watched.forget_overdue(now);
            state.suspect(now);
            acts
        };
        for act in acts {
            let done = self.act(&act).await;
            self.state().custody.done(&act, done, self.0.ledger.clock().now());
        }
        self.agree(edits).await;
        true
    }

    /// The upstream's limits. While requests are held, it is given up after a second.
    pub(super) async fn rows(&self) -> Result<Vec<prefect::Row>, PrefectError> {
        let upstream = &self.0.upstream;
        tokio::select! {
            rows = prefect::rows(upstream) => rows,
            () = self.has_moved_for(MOVING_READ_MAX) => {
                Err(UpstreamError::silent(upstream.url(), MOVING_READ_MAX).into())
            }
        }
    }

    /// Ends when a limit has been moving all through this time.
    async fn has_moved_for(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            tokio::time::sleep(MOVING_INTERVAL).await;
            let is_moving = self.state().custody.is_moving();
            left = if is_moving { left.saturating_sub(MOVING_INTERVAL) } else { time };
        }
    }
}

impl State {
    /// What the upstream counts of each limit. One that was deleted there and made again has
    /// another id there, and is the same limit.
    fn counts(&self) -> FxHashMap<LimitId, Count> {
        let count = |row: &prefect::Row| {
            let drains = row.slot_decay_per_second > 0.0;
            Count { taken: row.active_slots, drains }
        };
        let mut counts: FxHashMap<_, _> =
            self.rows.values().map(|row| (row.id(), count(row))).collect();
        for Known { name, id } in self.custody.known() {
            if let Some(row) = self.rows.get(&name) {
                counts.entry(id).or_insert_with(|| count(row));
            }
        }
        counts
    }

    /// Notes what the upstream counts for a lease that a process before this one left.
    fn resume(&mut self, lease: &Lease) {
        let names = &self.names;
        let partners = decode(&lease.partners, |id| names.contains_key(&id));
        if partners.is_empty() {
            return;
        }
        let is_of_run = |it: &Partner| matches!(it, Partner::Cover(_, Kind::WithTaskRun));
        if partners.iter().any(is_of_run)
            && let Some(run) = lease.holder.as_ref().and_then(|holder| holder.id.parse().ok())
        {
            self.runs.insert(run, lease.id);
        }
        let paired = |partner: Partner| {
            let held = lease.holdings.iter().find(|held| partner.covers(held.limit));
            Paired { partner, slots: held.map_or(1, |held| held.slots) }
        };
        self.partners.insert(lease.id, partners.into_iter().map(paired).collect());
    }

    /// Whether the upstream is known to have no limits with these names.
    pub(super) fn are_nowhere(&self, names: &[Arc<str>]) -> bool {
        !self.rows.is_empty() && !names.iter().any(|name| self.rows.contains_key(name))
    }

    /// How many slots of a limit the upstream counts for leases of ours.
    fn covered(&self, limit: LimitId) -> u64 {
        let all = self.partners.values().flatten();
        all.filter(|paired| paired.partner.covers(limit)).map(|paired| paired.slots).sum()
    }

    /// Notes how many slots of each limit nobody is known to hold.
    fn suspect(&mut self, now: Timestamp) {
        let rows = &self.rows;
        self.suspects.retain(|name, _| rows.contains_key(name));
        for row in self.rows.values() {
            let standing = self.custody.standing(&row.name);
            let of_others = if row.slot_decay_per_second > 0.0 {
                0
            } else {
                row.active_slots.saturating_sub(standing.covered + standing.dropped)
            };
            let unexplained = of_others.saturating_sub(self.watched.explained(&row.name, now));
            self.suspects.entry(row.name.clone()).or_default().note(unexplained, now);
        }
    }

    pub(super) fn adopted(&mut self, id: LimitId, name: &Arc<str>) {
        self.names.insert(id, name.clone());
        self.levelled.retain(|other| other != name);
    }

    pub(super) fn set_partners(&mut self, lease: LeaseId, partners: Vec<Paired>) {
        if partners.is_empty() {
            self.partners.remove(&lease);
        } else {
            self.partners.insert(lease, partners);
        }
    }

    /// The covers and leases upstream that a lease of ours has.
    pub(super) fn partners_of(&self, lease: LeaseId) -> Vec<Paired> {
        self.partners.get(&lease).cloned().unwrap_or_default()
    }
}
