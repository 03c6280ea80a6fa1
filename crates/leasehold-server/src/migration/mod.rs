//! The migration from an upstream Prefect server: which side grants each limit, what the upstream
//! counts, and how a limit moves. `leasehold-gateway` decides; this folder asks the upstream, the
//! ledger and the clock, and does what was decided. It knows no request of a client.

mod acts;
mod agree;
mod covers;
mod driver;
mod lost;
mod memory;
mod moves;
mod partners;
mod prefect;
mod report;
mod runs;
mod seen;
mod watching;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_engine::{LeaseId, LimitId, Timestamp};
use leasehold_gateway::{Custody, Held, Lost, Passage, Route, Suspects, Together, Watched};
use leasehold_node::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use uuid::Uuid;

use self::agree::{Edits, Warnings};
use self::memory::Memory;
pub(crate) use self::memory::MemoryFile;
pub(crate) use self::moves::{Moved, Outcome, Wanted};
pub(crate) use self::partners::{Paired, Partner};
pub(crate) use self::prefect::{PrefectError, Row};
pub(crate) use self::report::{LimitReport, Report};
use self::seen::Storing;
pub(crate) use self::watching::Granted;
use crate::upstream::Upstream;

/// How long a request is held while a limit moves. A move takes a second or two; one that a restart
/// interrupted waits for the upstream.
const HOLD_MAX: Duration = Duration::from_secs(10);

const COVERS_FILE: &str = "prefect-covers-asked.json";

/// The migration from an upstream server.
#[derive(Clone)]
pub(crate) struct Migration(Arc<Inner>);

struct Inner {
    ledger: Handle,
    upstream: Upstream,
    state: Mutex<State>,
    /// Counts the changes that may let held requests go.
    changed: watch::Sender<u64>,
    /// Wakes the driver: a move has begun, or a count is wanted.
    wake: Notify,
    /// Slots without a lease are given back one request at a time: how many of them are here and
    /// how many there is decided before they are given back.
    giving_back: AsyncMutex<()>,
    edits: Edits,
    memory: Memory,
    storing: Storing,
    /// How many slots were asked for as covers and are not known yet.
    covers_file: Memory,
}

#[derive(Default)]
struct State {
    /// The ledger's limits are known. Until then every request is held.
    is_ready: bool,
    custody: Custody,
    watched: Watched,
    together: Together,
    suspects: HashMap<Arc<str>, Suspects>,
    /// The limits of which the upstream was seen to grant slots without a lease.
    plain: HashSet<Arc<str>>,
    /// The leases of ours for which the upstream counts something.
    partners: HashMap<LeaseId, Vec<Paired>>,
    /// The leases of task runs whose tags the upstream takes and gives back with the run.
    runs: HashMap<Uuid, LeaseId>,
    /// When the upstream last said of a lease that is a cover that it lives.
    covers_seen: HashMap<LeaseId, Timestamp>,
    /// The upstream's limits as they were read last, by name.
    rows: BTreeMap<Arc<str>, Row>,
    /// The names of all limits that were ours since the start.
    names: HashMap<LimitId, Arc<str>>,
    /// Rate limits whose level was taken to the upstream.
    levelled: Vec<Arc<str>>,
    /// The limits that deployments refer to, as they were read last, and when.
    of_deployments: HashMap<LimitId, Arc<str>>,
    deployments_read: Option<Timestamp>,
    warnings: Warnings,
    lost: HashMap<LimitId, Lost>,
    is_count_wanted: bool,
    has_answered: bool,
}

/// Where a request for slots goes.
pub(crate) enum Way {
    /// All its limits are ours: these.
    Here(Vec<Arc<str>>),
    /// None is.
    There(UnderWay),
    /// Some are. Ours are taken first, then the rest upstream.
    Both { here: Vec<Arc<str>>, there: Vec<Arc<str>>, under_way: UnderWay },
}

/// A request that was passed on. When it is dropped, the upstream has answered or never will.
pub(crate) struct UnderWay {
    migration: Migration,
    passage: Option<Passage>,
}

/// A request that is held.
struct Holding {
    migration: Migration,
    held: Option<Held>,
}

/// A limit is still moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StillMoving;

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(passage) = self.passage.take() else { return };
        if self.migration.state().custody.came_back(passage) {
            self.migration.0.wake.notify_one();
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.migration.state().custody.let_go(held);
        }
    }
}

impl Migration {
    /// The migration from `upstream` to `ledger`. Call it within a tokio runtime: it works until
    /// the ledger stops.
    pub(crate) fn start(ledger: Handle, upstream: Upstream, file: Option<MemoryFile>) -> Self {
        let migration = Self(Arc::new(Inner {
            ledger,
            upstream,
            state: Mutex::default(),
            changed: watch::Sender::default(),
            wake: Notify::default(),
            giving_back: AsyncMutex::default(),
            edits: Edits::default(),
            covers_file: Memory::new(file.as_ref().map(|file| file.beside(COVERS_FILE))),
            memory: Memory::new(file),
            storing: Storing::default(),
        }));
        migration.clone().drive();
        migration
    }

    /// Where a request for slots of these limits goes. It waits while one of them moves.
    pub(crate) async fn route(&self, names: &[Arc<str>]) -> Result<Way, StillMoving> {
        self.state().together.note(names);
        let routed = tokio::time::timeout(HOLD_MAX, async {
            loop {
                let mut changed = self.0.changed.subscribe();
                let Some(holding) = self.try_route(names) else {
                    // Not ready.
                    let _ = changed.changed().await;
                    continue;
                };
                match holding {
                    Ok(way) => return way,
                    Err(_holding) => {
                        let _ = changed.changed().await;
                    }
                }
            }
        });
        routed.await.map_err(|_| StillMoving)
    }

    fn try_route(&self, names: &[Arc<str>]) -> Option<Result<Way, Holding>> {
        let mut state = self.state();
        if !state.is_ready {
            return None;
        }
        let route = match state.custody.route(names) {
            // Clients name every tag of a task, and most tags have no limit.
            Route::Both { here, there, passage } if state.are_nowhere(&there) => {
                state.custody.came_back(passage);
                return Some(Ok(Way::Here(here)));
            }
            route => route,
        };
        drop(state);
        let under_way = |passage| UnderWay { migration: self.clone(), passage: Some(passage) };
        Some(match route {
            Route::Here => Ok(Way::Here(names.to_vec())),
            Route::There(passage) => Ok(Way::There(under_way(passage))),
            Route::Both { here, there, passage } => {
                Ok(Way::Both { here, there, under_way: under_way(passage) })
            }
            Route::Hold(held) => Err(Holding { migration: self.clone(), held: Some(held) }),
        })
    }

    /// Whether the ledger grants the limit with this name.
    pub(crate) fn is_ours(&self, name: &str) -> bool {
        self.state().custody.is_ours(name)
    }

    /// Whether the upstream counts slots of a limit of ours.
    pub(crate) fn has_foreign(&self, name: &str) -> bool {
        self.state().custody.standing(name).foreign > 0
    }

    /// The limit of the ledger with this id or this name, in whichever phase: its name, and whether
    /// the ledger grants it.
    pub(crate) fn find(&self, id: Option<LimitId>, name: &str) -> Option<(Arc<str>, bool)> {
        let state = self.state();
        let known = state.custody.known();
        let by_id = known.iter().find(|known| id == Some(known.id));
        // Deleted at the upstream and made again, it has another id there.
        let made_again = state.rows.values().find(|row| id == Some(row.id()));
        let name = made_again.map_or(name, |row| &*row.name);
        let found = by_id.or_else(|| known.iter().find(|known| &*known.name == name))?;
        Some((found.name.clone(), state.custody.is_ours(&found.name)))
    }

    /// A limit was renamed on both sides.
    pub(crate) fn renamed(&self, from: &str, to: &str) {
        let mut state = self.state();
        state.custody.renamed(from, to.into());
        for name in state.names.values_mut().filter(|name| &***name == from) {
            *name = to.into();
        }
    }

    /// A limit was deleted on both sides.
    pub(crate) fn deleted(&self, name: &str) {
        self.state().custody.deleted(name);
    }

    /// What the upstream counts for a lease of ours.
    pub(crate) fn partners(&self, lease: LeaseId) -> Vec<Partner> {
        let paired = self.state().partners_of(lease);
        paired.into_iter().map(|paired| paired.partner).collect()
    }

    /// The name of the limit with this id, if the ledger has it in whichever phase.
    pub(crate) fn ours_with_id(&self, id: Uuid) -> Option<Arc<str>> {
        self.find(Some(LimitId(id.as_u128())), "").map(|(name, _)| name)
    }

    /// The ledger.
    pub(crate) fn ledger(&self) -> &Handle {
        &self.0.ledger
    }

    /// Ensures that slots without a lease are given back one request at a time.
    pub(crate) async fn give_back_in_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.giving_back.lock().await
    }

    /// Something was given back upstream: its count is read soon.
    pub(crate) fn count_soon(&self) {
        self.state().is_count_wanted = true;
        self.0.wake.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets held requests ask again.
    fn let_go(&self) {
        self.0.changed.send_modify(|number| *number += 1);
    }
}
