//! What an operator asks for: limits move, and phantoms are dropped.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use leasehold_engine::LimitId;
use leasehold_gateway::{Failure, Known, Phase, Refused, Suspects};

use super::prefect::{self, PrefectError};
use super::{Migration, State};

/// How long an operator waits for moves. The custody gives them up much earlier.
const MOVE_MAX: Duration = Duration::from_secs(20);
const DEPLOYMENT: &str = "deployment:";

/// Which limits an operator wants to move.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// `None`: all that can.
    pub(crate) limits: Option<Vec<Arc<str>>>,
    /// Without those that were asked for together with them.
    pub(crate) alone: bool,
    /// Of phantoms: all that is unexplained.
    pub(crate) force: bool,
    pub(crate) dry_run: bool,
}

/// What became of a limit.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) name: Arc<str>,
    pub(crate) outcome: Outcome,
    pub(crate) before: Phase,
    pub(crate) now: Phase,
    pub(crate) dropped: u64,
}

/// Whether a limit moved.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Moved,
    Unchanged,
    Refused(String),
}

impl Migration {
    /// Takes limits over from the upstream.
    pub(crate) async fn advance(&self, wanted: &Wanted) -> Result<Vec<Moved>, PrefectError> {
        self.count_now().await;
        let pinned = self.pinned().await?;
        let names = self.wanted(wanted, |state| {
            let free = |name: &&Arc<str>| !pinned.contains_key(&***name);
            state.rows.keys().filter(free).cloned().collect()
        });
        let now = self.0.ledger.clock().now();
        let begun = self.begin(&names, wanted.dry_run, Phase::Leasehold, |state, name| {
            if let Some(why) = pinned.get(name) {
                return Err(why.clone());
            }
            let Some(row) = state.rows.get(name) else {
                return Err(format!(
                    "the Prefect server has no limit '{name}'; `leasehold migrate prefect status` \
                     lists what it has"
                ));
            };
            let known = Known { name: name.clone(), id: row.id() };
            if wanted.dry_run {
                return Ok(!state.custody.is_ours(name));
            }
            begun(state.custody.advance(known, now))
        });
        let is_here = |phase| matches!(phase, Phase::Draining | Phase::Leasehold);
        let mut moved = self.finish(begun, wanted.dry_run, is_here).await;
        if !wanted.dry_run {
            self.give_back_pinned(&mut moved).await?;
        }
        Ok(moved)
    }

    /// Gives limits back at once that a deployment has named while they moved.
    async fn give_back_pinned(&self, moved: &mut [Moved]) -> Result<(), PrefectError> {
        let pinned = self.pinned().await?;
        let now = self.0.ledger.clock().now();
        for it in moved.iter_mut().filter(|it| matches!(it.outcome, Outcome::Moved)) {
            if let Some(why) = pinned.get(&*it.name) {
                // It may be on its way back already.
                let _ = self.state().custody.roll_back(&it.name, now);
                it.outcome = Outcome::Refused(why.clone());
            }
        }
        self.0.wake.notify_one();
        Ok(())
    }

    /// Gives limits back to the upstream.
    pub(crate) async fn roll_back(&self, wanted: &Wanted) -> Vec<Moved> {
        let names = self.wanted(wanted, |state| {
            state.custody.known().into_iter().map(|known| known.name).collect()
        });
        let now = self.0.ledger.clock().now();
        let begun = self.begin(&names, wanted.dry_run, Phase::Returning, |state, name| {
            if wanted.dry_run {
                return Ok(state.custody.is_ours(name));
            }
            begun(state.custody.roll_back(name, now))
        });
        self.finish(begun, wanted.dry_run, |phase| {
            matches!(phase, Phase::Returning | Phase::Upstream)
        })
        .await
    }

    /// Drops phantoms: they stop to count here. The upstream goes on counting them.
    /// A caller that hangs up does not interrupt it.
    pub(crate) async fn drop_phantoms(&self, wanted: Wanted) -> Vec<Moved> {
        self.count_now().await;
        let migration = self.clone();
        let dropping = tokio::spawn(async move { migration.drop_counted(&wanted).await });
        dropping.await.unwrap_or_default()
    }

    async fn drop_counted(&self, wanted: &Wanted) -> Vec<Moved> {
        let names = self.wanted(wanted, |state| {
            state.custody.known().into_iter().map(|known| known.name).collect()
        });
        let now = self.0.ledger.clock().now();
        let mut dropped = Vec::new();
        for name in names {
            let (before, act, slots) = {
                let mut state = self.state();
                let before = state.custody.standing(&name).phase;
                if !state.custody.is_ours(&name) {
                    let why =
                        "Leasehold does not grant this limit: advance it first, its phantoms \
                               then count here"
                            .to_owned();
                    let outcome = Outcome::Refused(why);
                    dropped.push(Moved { name, outcome, before, now: before, dropped: 0 });
                    continue;
                }
                let slots = if wanted.force {
                    state.suspects.get(&name).map_or(0, Suspects::unexplained)
                } else {
                    state.phantoms(&name, now)
                };
                let slots = slots.min(state.custody.standing(&name).foreign);
                let act = if wanted.dry_run || slots == 0 {
                    None
                } else {
                    state.custody.drop_phantoms(&name, slots)
                };
                (before, act, slots)
            };
            if let Some(act) = act {
                // Before they are free: after a crash they must not count as a rise.
                self.remember(&name).await;
                let done = self.act(&act).await;
                let at = self.0.ledger.clock().now();
                self.state().custody.done(&act, done, at);
                tracing::info!(limit = %name, slots, "an operator dropped phantoms");
            }
            let unjudged = match slots {
                0 => self.state().unjudged(&name, now),
                _ => None,
            };
            let outcome = match unjudged {
                Some(why) => Outcome::Refused(why),
                None if slots == 0 => Outcome::Unchanged,
                None => Outcome::Moved,
            };
            let now = self.state().custody.standing(&name).phase;
            dropped.push(Moved { name, outcome, before, now, dropped: slots });
        }
        dropped
    }

    /// Why limits have to stay at the upstream, by name.
    pub(crate) async fn pinned(&self) -> Result<HashMap<Arc<str>, String>, PrefectError> {
        let of_deployments = prefect::of_deployments(&self.0.upstream).await?;
        Ok(self.state().pinned(&of_deployments))
    }

    fn wanted(
        &self,
        wanted: &Wanted,
        all: impl FnOnce(&State) -> Vec<Arc<str>>,
    ) -> BTreeSet<Arc<str>> {
        let state = self.state();
        let Some(names) = &wanted.limits else { return all(&state).into_iter().collect() };
        let mut found: BTreeSet<_> = names.iter().cloned().collect();
        if !wanted.alone {
            let beside = names.iter().flat_map(|name| state.together.group(name));
            // What was asked for and has no limit does not move.
            let is_limit =
                |name: &Arc<str>| state.rows.contains_key(name) || state.custody.is_known(name);
            found.extend(beside.filter(is_limit).collect::<Vec<_>>());
        }
        found
    }

    /// Begins to move each limit, all in one moment. `begin` returns whether there is anything to
    /// do, or why not.
    fn begin(
        &self,
        names: &BTreeSet<Arc<str>>,
        dry_run: bool,
        then: Phase,
        mut begin: impl FnMut(&mut State, &Arc<str>) -> Result<bool, String>,
    ) -> Vec<Moved> {
        let mut state = self.state();
        let begun = names.iter().map(|name| {
            let before = state.custody.standing(name).phase;
            let outcome = match begin(&mut state, name) {
                Ok(true) => Outcome::Moved,
                Ok(false) => Outcome::Unchanged,
                Err(why) => Outcome::Refused(why),
            };
            let now = match outcome {
                Outcome::Moved if dry_run => then,
                _ => before,
            };
            Moved { name: name.clone(), outcome, before, now, dropped: 0 }
        });
        let begun = begun.collect();
        drop(state);
        self.0.wake.notify_one();
        begun
    }

    /// Waits until no limit of these moves, and says where each of them stands.
    async fn finish(
        &self,
        mut begun: Vec<Moved>,
        dry_run: bool,
        is_there: impl Fn(Phase) -> bool,
    ) -> Vec<Moved> {
        if dry_run {
            return begun;
        }
        let moving = begun.iter().filter(|moved| matches!(moved.outcome, Outcome::Moved));
        let moving: Vec<_> = moving.map(|moved| moved.name.clone()).collect();
        let _ = tokio::time::timeout(MOVE_MAX, async {
            loop {
                let mut changed = self.0.changed.subscribe();
                let is_moving = {
                    let state = self.state();
                    moving.iter().any(|name| state.custody.standing(name).is_moving)
                };
                if !is_moving || changed.changed().await.is_err() {
                    return;
                }
            }
        })
        .await;
        for moved in &mut begun {
            let standing = self.state().custody.standing(&moved.name);
            moved.now = standing.phase;
            if matches!(moved.outcome, Outcome::Moved) && !is_there(standing.phase) {
                let why = standing.failure.map_or_else(
                    || "it is still moving; `leasehold migrate prefect status` shows it".to_owned(),
                    why,
                );
                moved.outcome = Outcome::Refused(why);
            }
        }
        begun
    }
}

impl State {
    /// Why limits have to stay at the upstream, by name.
    pub(super) fn pinned(
        &self,
        of_deployments: &HashMap<LimitId, Arc<str>>,
    ) -> HashMap<Arc<str>, String> {
        let why = |row: &prefect::Row| {
            if row.name.starts_with(DEPLOYMENT) {
                return Some(
                    "it limits the runs of a deployment, which the Prefect server starts"
                        .to_owned(),
                );
            }
            let deployment = of_deployments.get(&row.id())?;
            Some(format!(
                "the deployment '{deployment}' has this limit, and the Prefect server \
                          starts its runs"
            ))
        };
        let rows = self.rows.values();
        rows.filter_map(|row| Some((row.name.clone(), why(row)?))).collect()
    }

    /// How many slots of a limit are phantoms. A lease whose limits are unknown may explain one.
    pub(super) fn phantoms(&self, name: &str, now: leasehold_engine::Timestamp) -> u64 {
        if self.plain.contains(name) {
            return 0;
        }
        let longest = self.watched.longest();
        let phantoms = self.suspects.get(name).map_or(0, |it| it.phantoms(longest, now));
        phantoms.saturating_sub(self.watched.slots_of_strangers(now))
    }

    /// Why the unexplained slots of a limit are not judged, if there are any.
    pub(super) fn unjudged(&self, name: &str, now: leasehold_engine::Timestamp) -> Option<String> {
        let suspects = self.suspects.get(name).filter(|it| it.unexplained() > 0)?;
        let slots = suspects.unexplained();
        if self.phantoms(name, now) > 0 {
            return None;
        }
        if self.plain.contains(name) {
            return Some(format!(
                "{slots} slots are unexplained, and clients took slots of this limit without a \
                 lease: no age tells those from phantoms. If you know that nobody holds them, use \
                 --force"
            ));
        }
        let after = suspects.judged_after(self.watched.longest())?;
        if now <= after {
            let seconds = after.since(now).as_seconds_f64().ceil();
            return Some(format!(
                "{slots} slots are unexplained, and cannot be judged yet: their holders may renew \
                 them within the next {seconds} s"
            ));
        }
        let leases = self.watched.strangers(now);
        Some(format!(
            "{slots} slots are unexplained, and cannot be judged yet: {leases} leases that were \
             granted before Leasehold watched are still renewed, and may hold them"
        ))
    }

    /// What an operator should know of a limit.
    pub(super) fn warning(
        &self,
        name: &str,
        is_gone: bool,
        now: leasehold_engine::Timestamp,
    ) -> Option<String> {
        if is_gone && self.has_answered {
            return Some(
                "the Prefect server does not have this limit any more, and Leasehold goes on \
                 granting it: create it there again, or delete it here"
                    .to_owned(),
            );
        }
        self.unjudged(name, now)
    }
}

/// Whether a move began, or why not.
fn begun(result: Result<(), Refused>) -> Result<bool, String> {
    match result {
        Ok(()) => Ok(true),
        Err(Refused::There) => Ok(false),
        Err(Refused::Moving) => Err("it is moving; ask again in a few seconds".to_owned()),
    }
}

/// Why a move was given up, and what to do.
pub(super) fn why(failure: Failure) -> String {
    match failure {
        Failure::UnderWay(requests) => format!(
            "{requests} requests for its slots did not come back from the Prefect server within \
             1.5 s, and nothing has changed; try again"
        ),
        Failure::NoAnswer => "the Prefect server did not answer within 1.5 s, and nothing has \
                              changed; try again when it answers"
            .to_owned(),
        Failure::NoRoom(leases) => format!(
            "the Prefect server has no room for {leases} leases that are held here, and nothing has \
             changed; look for slots that nobody holds (`leasehold migrate prefect status`), or \
             wait until leases have ended"
        ),
        Failure::Ledger => "the ledger refused it: another limit here has this name; rename or \
                            delete that one"
            .to_owned(),
        Failure::Gone => "the Prefect server does not have it any more".to_owned(),
    }
}
