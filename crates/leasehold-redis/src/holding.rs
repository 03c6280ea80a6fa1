//! A lock that is held: its halves, and how they follow the phase of the fleet.

use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Fault;
use crate::follower::Entry;
use crate::guard::{Held, Lost, Renewal};
use crate::half::{ANY_PHASE, Allowed, Half, Kind, Renewed, Spot, Taken};
use crate::lock::fresh_token;
use crate::phase::{Mechanism, Phase};

pub(crate) struct Holding {
    pub(crate) spot: Spot,
    pub(crate) token: String,
    pub(crate) old_half: Option<Half>,
    pub(crate) token_half: Option<Half>,
    /// This lock's line in what its process tells; `None` for a lock of a fixed mechanism.
    pub(crate) entry: Option<Entry>,
}

/// Phases in which a holder with the old half alone is excluded by everyone, and with the token
/// half alone.
const GOOD_FOR_OLD: Allowed = &[Phase::Old, Phase::Dual];
const GOOD_FOR_TOKEN: Allowed = &[Phase::Dual, Phase::Token];
const DUAL_ONLY: Allowed = &[Phase::Dual];

impl Holding {
    fn mechanism(&self) -> Mechanism {
        match (&self.old_half, &self.token_half) {
            (Some(_), Some(_)) => Mechanism::Dual,
            (Some(_), None) => Mechanism::Old,
            (None, _) => Mechanism::Token,
        }
    }

    /// In which phases a renewal may be granted. A dual lock is good in all of them, and a fixed
    /// one does not ask.
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

    /// Takes or gives back a half as the phase wants it. `false` when that has to be tried again.
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
                match self.spot.take(missing, &self.token, DUAL_ONLY).await? {
                    Taken::Yes(half) => *self.half_mut(missing) = Some(half),
                    // Somebody on the way to a refusal has it for a moment.
                    Taken::Busy { .. } => return Ok(false),
                    Taken::PhaseMoved(_) => {
                        self.refresh();
                        return Ok(false);
                    }
                }
            }
            Phase::Old if self.old_half.is_some() => self.drop_half(Kind::Token).await,
            Phase::Token if self.token_half.is_some() => self.drop_half(Kind::Old).await,
            Phase::Old | Phase::Token => {}
        }
        self.tell();
        Ok(true)
    }

    /// Told before it is done: we never claim a half that may already be gone.
    async fn drop_half(&mut self, kind: Kind) {
        let Some(half) = self.half_mut(kind).take() else {
            return;
        };
        self.token = fresh_token();
        self.tell();
        if let Err(fault) = self.spot.give_back(kind, &half.value).await {
            tracing::debug!(%fault, "a half that is not needed any more runs out by itself");
        }
    }

    fn tell(&self) {
        if let Some(entry) = &self.entry {
            entry.holds(&self.spot.id, self.mechanism());
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
        if self.spot.ttl.is_none() {
            return Ok(if adapted { Renewal::Kept } else { Renewal::KeptForNow });
        }
        let good_in = self.good_in();
        for kind in [Kind::Token, Kind::Old] {
            let Some(half) = self.half_mut(kind).clone() else {
                continue;
            };
            match self.spot.renew(&half, good_in).await? {
                Renewed::Yes(half) => *self.half_mut(kind) = Some(half),
                Renewed::NotOurs => return Ok(Renewal::Lost(Lost::TakenAway)),
                Renewed::PhaseMoved(phase) => {
                    self.refresh();
                    return Ok(Renewal::Lost(Lost::PhaseMoved { phase }));
                }
            }
        }
        Ok(if adapted { Renewal::Kept } else { Renewal::KeptForNow })
    }

    async fn woken(&mut self) {
        match &mut self.entry {
            Some(entry) => entry.phase_changed().await,
            None => std::future::pending().await,
        }
    }

    /// The old half first, then the token half, as a dual lock does it.
    async fn release(&mut self) -> Result<bool, Fault> {
        let mut ours = true;
        let mut first_fault = None;
        for kind in [Kind::Old, Kind::Token] {
            let Some(half) = self.half_mut(kind).take() else {
                continue;
            };
            match self.spot.give_back(kind, &half.value).await {
                Ok(released) => ours &= released,
                Err(fault) => first_fault = first_fault.or(Some(fault)),
            }
        }
        self.entry = None;
        first_fault.map_or(Ok(ours), Err)
    }
}

/// How long before anyone else can have a lock its holder is told, unless the caller says
/// otherwise: a tenth of the ttl, a second at most. It also covers peers whose clocks are ahead of
/// Redis's.
pub(crate) fn default_notice(ttl: Option<Duration>) -> Duration {
    ttl.map_or(Duration::ZERO, |ttl| (ttl / 10).min(Duration::from_secs(1)))
}
