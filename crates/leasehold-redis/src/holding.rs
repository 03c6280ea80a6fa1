//! A lock that is held: its halves, and how they follow the phase of the fleet.

use tokio::time::Instant;

use crate::fault::Fault;
use crate::follower::Entry;
use crate::guard::{Held, Lost, Renewal};
use crate::half::{ANY_PHASE, Allowed, Half, Kind, LockSpec, Obstacle, fresh_token};
use crate::phase::{Mechanism, Phase};

/// The halves that we hold of one lock.
pub(crate) struct Holding {
    spec: LockSpec,
    pub(crate) token: String,
    pub(crate) old_half: Option<Half>,
    pub(crate) token_half: Option<Half>,
    /// This lock in what its process reports; `None` for a lock of a fixed mechanism.
    entry: Option<Entry>,
}

/// Phases in which every other holder is excluded by the old half alone, and by the token half
/// alone.
const GOOD_FOR_OLD: Allowed = &[Phase::Old, Phase::Dual];
const GOOD_FOR_TOKEN: Allowed = &[Phase::Dual, Phase::Token];
const DUAL_ONLY: Allowed = &[Phase::Dual];

impl Holding {
    /// Without halves yet.
    pub(crate) fn new(spec: LockSpec, token: String, entry: Option<Entry>) -> Self {
        Self { spec, token, old_half: None, token_half: None, entry }
    }

    fn mechanism(&self) -> Mechanism {
        match (&self.old_half, &self.token_half) {
            (Some(_), Some(_)) => Mechanism::Dual,
            (Some(_), None) => Mechanism::Old,
            (None, _) => Mechanism::Token,
        }
    }

    /// The phases in which Redis may renew it. A dual lock is good in all of them, and a lock of a
    /// fixed mechanism does not ask.
    fn good_in(&self) -> Allowed {
        match (&self.entry, self.mechanism()) {
            (None, _) | (_, Mechanism::Dual) => ANY_PHASE,
            (Some(_), Mechanism::Old) => GOOD_FOR_OLD,
            (Some(_), Mechanism::Token) => GOOD_FOR_TOKEN,
        }
    }

    fn half_mut(&mut self, kind: Kind) -> &mut Option<Half> {
        match kind {
            Kind::Old => &mut self.old_half,
            Kind::Token => &mut self.token_half,
        }
    }

    /// Takes or gives back a half as the phase asks for. `false` if that has to be tried again.
    async fn adapt(&mut self) -> Result<bool, Fault> {
        let Some(phase) = self.entry.as_ref().map(Entry::phase) else {
            return Ok(true);
        };
        match phase {
            Phase::Dual => {
                let missing = match self.mechanism() {
                    Mechanism::Dual => return Ok(true),
                    Mechanism::Old => Kind::Token,
                    Mechanism::Token => Kind::Old,
                };
                match self.spec.take(missing, &self.token, DUAL_ONLY).await {
                    Ok(half) => *self.half_mut(missing) = Some(half),
                    // An attempt that is going to be refused has it for a moment.
                    Err(Obstacle::Held { .. }) => return Ok(false),
                    Err(Obstacle::PhaseMoved(_)) => {
                        self.refresh();
                        return Ok(false);
                    }
                    Err(Obstacle::Fault(fault)) => return Err(fault),
                }
            }
            Phase::Old if self.old_half.is_some() => self.drop_half(Kind::Token).await,
            Phase::Token if self.token_half.is_some() => self.drop_half(Kind::Old).await,
            Phase::Old | Phase::Token => {}
        }
        self.report();
        Ok(true)
    }

    /// Reports the loss of the half before it gives the half back: the process never claims a half
    /// that may be gone.
    async fn drop_half(&mut self, kind: Kind) {
        let Some(half) = self.half_mut(kind).take() else {
            return;
        };
        self.token = fresh_token();
        self.report();
        if let Err(fault) = self.spec.give_back(kind, &half.value).await {
            tracing::debug!(%fault, "an unused half was not released; it expires by itself");
        }
    }

    /// Reports the lock with its present mechanism to the fleet.
    pub(crate) fn report(&self) {
        if let Some(entry) = &self.entry {
            entry.holds(&self.spec.id, self.mechanism());
        }
    }

    fn refresh(&self) {
        if let Some(entry) = &self.entry {
            entry.refresh();
        }
    }
}

impl Held for Holding {
    fn until(&self) -> Option<Instant> {
        let halves = [&self.old_half, &self.token_half];
        halves.into_iter().flatten().filter_map(|half| half.until).min()
    }

    async fn renew(&mut self) -> Result<Renewal, Fault> {
        let adapted = self.adapt().await?;
        let kept = if adapted { Renewal::Kept } else { Renewal::KeptForNow };
        if self.spec.ttl.is_none() {
            return Ok(kept);
        }
        let good_in = self.good_in();
        for kind in [Kind::Token, Kind::Old] {
            let Some(half) = self.half_mut(kind).clone() else {
                continue;
            };
            match self.spec.renew(&half, good_in).await {
                Ok(half) => *self.half_mut(kind) = Some(half),
                Err(Obstacle::Held { .. }) => return Ok(Renewal::Lost(Lost::TakenAway)),
                Err(Obstacle::PhaseMoved(phase)) => {
                    self.refresh();
                    return Ok(Renewal::Lost(Lost::PhaseMoved { phase }));
                }
                Err(Obstacle::Fault(fault)) => return Err(fault),
            }
        }
        Ok(kept)
    }

    async fn woken(&mut self) {
        match &mut self.entry {
            Some(entry) => entry.phase_changed().await,
            None => std::future::pending().await,
        }
    }

    /// The old half first, then the token half: the order in which peers release a dual lock.
    async fn release(&mut self) -> Result<bool, Fault> {
        let mut ours = true;
        let mut first_fault = None;
        for kind in [Kind::Old, Kind::Token] {
            let Some(half) = self.half_mut(kind).take() else {
                continue;
            };
            match self.spec.give_back(kind, &half.value).await {
                Ok(released) => ours &= released,
                Err(fault) => first_fault = first_fault.or(Some(fault)),
            }
        }
        self.entry = None;
        first_fault.map_or(Ok(ours), Err)
    }
}
