//! The file that records are in: one SQLite database beside the journal, with a connection of
//! its own. Whoever owns it writes many things into one [`Book`] and closes it once, so that
//! they share one `fsync`.

use std::cell::Cell;
use std::cmp::Ordering;
use std::path::Path;

use leasehold_sqlite::Unusable;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{OpenError, RecordsError};
use crate::event::{EventFilter, EventRow, Found, Rooms, ToldUntil};
use crate::room::Room;
use crate::run::{Flow, Identity, Run, RunKind};
use crate::schema::SCHEMA;
use crate::state::{State, StateType};
use crate::{event, rows};

/// How large the write-ahead log stays when it has been larger: more than SQLite lets it grow
/// before it writes it into the database.
const WAL_BYTES_KEPT: u32 = 8 << 20;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many runs at the most, flow runs and task runs together. Beyond, the one that has
    /// been over for longest goes first, and what others run in goes last.
    pub runs_max: u64,
    /// How many events of limits and leases at the most.
    pub events_max: u64,
    /// How many events that clients sent at the most.
    pub client_events_max: u64,
    /// How many bytes all events have at the most, half of them for what clients sent.
    pub events_bytes_max: u64,
    /// How long a run is kept after it last changed, and an event after it happened.
    pub age_seconds_max: u64,
}

/// The records of a server.
#[derive(Debug)]
pub struct Records {
    connection: Connection,
    bounds: Bounds,
    /// What is durable in the log.
    rooms: Rooms,
    /// `None` in memory.
    room: Option<Room>,
}

/// Records that are open for reading and writing. What is written is durable when it is
/// [closed](Self::close), and gone when it is dropped.
#[derive(Debug)]
pub struct Book<'records> {
    transaction: Transaction<'records>,
    bounds: Bounds,
    /// What is in the log with all that was written, and where that is noted once it is durable.
    rooms: Cell<Rooms>,
    durable_rooms: &'records mut Rooms,
    room: Option<&'records Room>,
}

/// Which runs are looked for; `None` is all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// With one of these ids.
    pub ids: Option<Vec<Uuid>>,
    /// Within one of these.
    pub parents: Option<Vec<Uuid>>,
    /// Of one of these flows.
    pub flows: Option<Vec<Uuid>>,
    /// With one of these names.
    pub names: Option<Vec<String>>,
    /// In a state of one of these kinds.
    pub states: Option<Vec<StateType>>,
    /// In a state with one of these names.
    pub state_names: Option<Vec<String>>,
    /// In which order they come.
    pub sort: Sort,
    /// How many to leave out first.
    pub offset: u64,
    /// How many at the most.
    pub limit: u64,
}

/// In which order runs come. What has no such time is less than what has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By id, the newest first.
    #[default]
    Id,
    /// By when they began, or are expected to.
    Start(Order),
    /// By when they are expected to begin.
    ExpectedStart(Order),
    /// By name.
    Name(Order),
    /// By when they are due.
    Due(Order),
    /// By when they were over.
    End(Order),
    /// By how long they have run until a point in time, in microseconds.
    Duration(Order, i64),
}

/// In which order flows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowSort {
    /// By when they were first heard of, the newest first.
    Newest,
    /// By name.
    Name(Order),
}

impl FlowSort {
    /// Which of two flows comes first.
    pub fn compare(self, a: &Flow, b: &Flow) -> Ordering {
        match self {
            Self::Newest => b.created_micros.cmp(&a.created_micros),
            Self::Name(Order::Ascending) => a.name.cmp(&b.name),
            Self::Name(Order::Descending) => b.name.cmp(&a.name),
        }
    }
}

/// Which end of an order comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            runs_max: 50_000,
            events_max: 100_000,
            client_events_max: 100_000,
            events_bytes_max: 512 << 20,
            age_seconds_max: 7 * 86_400,
        }
    }
}

impl Records {
    /// The name of the file in its directory.
    pub const FILE: &str = "records.db";

    /// Opens the records in `directory`, making both if they are not there, and brings an older
    /// schema up to date.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(directory: &Path, bounds: Bounds) -> Result<Self, OpenError> {
        leasehold_sqlite::make_directory(directory)
            .map_err(|source| OpenError::Directory { path: directory.to_owned(), source })?;
        let path = directory.join(Self::FILE);
        let room = Room::new(&path);
        Self::prepare(leasehold_sqlite::open(&path), &path, bounds, Some(room))
    }

    /// Records that last as long as the process. For tests.
    ///
    /// # Errors
    ///
    /// If SQLite cannot make them.
    pub fn in_memory(bounds: Bounds) -> Result<Self, OpenError> {
        Self::prepare(Connection::open_in_memory(), Path::new(":memory:"), bounds, None)
    }

    fn prepare(
        connection: rusqlite::Result<Connection>,
        path: &Path,
        bounds: Bounds,
        room: Option<Room>,
    ) -> Result<Self, OpenError> {
        let prepared = connection.map_err(Unusable::from).and_then(|mut connection| {
            SCHEMA.prepare(&mut connection)?;
            // What one large transaction needed does not stay taken.
            connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
            let rooms = Rooms::count(&connection)?;
            Ok((connection, rooms))
        });
        let (connection, rooms) = prepared.map_err(|error| OpenError::new(error, path))?;
        Ok(Self { connection, bounds, rooms, room })
    }

    /// Opens the book.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn book(&mut self) -> Result<Book<'_>, RecordsError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let room = self.room.as_ref();
        if let Some(room) = room {
            room.look(&transaction)?;
        }
        let rooms = Cell::new(self.rooms);
        Ok(Book { transaction, bounds: self.bounds, rooms, durable_rooms: &mut self.rooms, room })
    }

    /// If the disk had no room for records when it was looked at last: how many bytes of it are
    /// left for the journal.
    pub fn lack_room(&self) -> Option<u64> {
        self.room.as_ref()?.lacks()
    }

    /// Whether the log is so much beyond its bounds that it has to be [pruned](Book::prune) now.
    pub fn overflow(&self) -> bool {
        self.rooms.overflow(self.bounds)
    }
}

impl Book<'_> {
    /// Makes everything that was written durable.
    ///
    /// # Errors
    ///
    /// If that fails; nothing is durable then.
    pub fn close(self) -> Result<(), RecordsError> {
        self.transaction.commit()?;
        *self.durable_rooms = self.rooms.get();
        Ok(())
    }

    /// Does something wholly or not at all, whatever else is written into this book.
    ///
    /// # Errors
    ///
    /// What the work answers, and if the storage fails. After [`RecordsError::Storage`] and
    /// [`RecordsError::Full`] nothing more can be written.
    pub fn wholly<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, RecordsError>,
    ) -> Result<T, RecordsError> {
        let run = |statement| self.transaction.prepare_cached(statement)?.execute([]);
        run("SAVEPOINT work")?;
        let rooms = self.rooms.get();
        let done = work(self);
        if done.is_err() {
            self.rooms.set(rooms);
            // On a full disk SQLite rolls back the whole transaction, and the savepoint with it.
            if self.transaction.is_autocommit() {
                return done;
            }
            run("ROLLBACK TO work")?;
        }
        run("RELEASE work")?;
        done
    }

    /// Refuses what would take room that the disk does not have.
    fn needs_room(&self) -> Result<(), RecordsError> {
        let Some(room) = self.room else { return Ok(()) };
        room.glance(&self.transaction)?;
        room.lacks().map_or(Ok(()), |reserve| Err(RecordsError::Reserved { reserve }))
    }

    /// The flow with an id.
    ///
    /// # Errors
    ///
    /// If the storage fails, here and below; what writes fails as well if the disk has no room.
    pub fn flow(&self, id: Uuid) -> Result<Option<Flow>, RecordsError> {
        rows::flow_by_id(&self.transaction, id)
    }

    /// The flow with a name.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn flow_by_name(&self, name: &str) -> Result<Option<Flow>, RecordsError> {
        rows::flow_by_name(&self.transaction, name)
    }

    /// A page of all flows.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn flows(
        &self,
        sort: FlowSort,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<Flow>, RecordsError> {
        rows::flows(&self.transaction, sort, offset, limit)
    }

    /// Writes a flow that is new.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn add_flow(&self, flow: &Flow) -> Result<(), RecordsError> {
        self.needs_room()?;
        rows::add_flow(&self.transaction, flow)
    }

    /// The run with an id, if it is of that kind.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn run(&self, kind: RunKind, id: Uuid) -> Result<Option<Run>, RecordsError> {
        rows::run(&self.transaction, kind, id)
    }

    /// The run that was asked for before under the same identity.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn run_like(&self, identity: &Identity) -> Result<Option<Run>, RecordsError> {
        rows::run_like(&self.transaction, identity)
    }

    /// The runs that pass a filter, in its order.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn runs(&self, kind: RunKind, filter: &Filter) -> Result<Vec<Run>, RecordsError> {
        rows::runs(&self.transaction, kind, filter)
    }

    /// How many runs pass a filter, whatever its page.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn run_count(&self, kind: RunKind, filter: &Filter) -> Result<u64, RecordsError> {
        rows::run_count(&self.transaction, kind, filter)
    }

    /// Writes a run as it is now. A state that is new to it joins its history. Nothing is written
    /// under the id of a run of the other kind.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn put(&self, run: &Run) -> Result<(), RecordsError> {
        self.needs_room()?;
        rows::put_run(&self.transaction, run)
    }

    /// A run with all that runs in it, itself first; nothing if it is not there.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn within(&self, kind: RunKind, id: Uuid) -> Result<Vec<(RunKind, Uuid)>, RecordsError> {
        rows::within(&self.transaction, kind, id)
    }

    /// Deletes a run, and a flow run's task runs with it. Answers whether it was there.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn delete(&self, kind: RunKind, id: Uuid) -> Result<bool, RecordsError> {
        rows::delete_run(&self.transaction, kind, id)
    }

    /// The states that a run was in, oldest first.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn states(&self, run: Uuid) -> Result<Vec<State>, RecordsError> {
        rows::states(&self.transaction, run)
    }

    /// Notes that a flow run gave a sign of life. Answers whether it is known. Takes no room.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn heard_of(&self, flow_run: Uuid, at_micros: i64) -> Result<bool, RecordsError> {
        rows::heard_of(&self.transaction, flow_run, at_micros)
    }

    /// The flow runs that gave a sign of life and are not over.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn with_heartbeat(&self) -> Result<Vec<Run>, RecordsError> {
        rows::with_heartbeat(&self.transaction)
    }

    /// The part of a block with an id.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn block(&self, id: Uuid) -> Result<Option<Value>, RecordsError> {
        rows::block(&self.transaction, id)
    }

    /// The part of a block with a key.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn block_by_key(&self, key: &str) -> Result<Option<Value>, RecordsError> {
        rows::block_by_key(&self.transaction, key)
    }

    /// Writes a part of a block: where clients before version 3 keep results.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn put_block(&self, id: Uuid, key: &str, block: &Value) -> Result<(), RecordsError> {
        self.needs_room()?;
        rows::put_block(&self.transaction, id, key, block)
    }

    /// Writes an event at the end of the log. Answers its number.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn add_event(&self, event: &EventRow) -> Result<u64, RecordsError> {
        self.needs_room()?;
        let mut rooms = self.rooms.get();
        let number = event::add(&self.transaction, event, &mut rooms)?;
        self.rooms.set(rooms);
        Ok(number)
    }

    /// How many events of limits and leases are kept at the most.
    pub fn events_max(&self) -> u64 {
        self.bounds.events_max
    }

    /// The number of the last event, 0 without any.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn last_event(&self) -> Result<u64, RecordsError> {
        event::last(&self.transaction)
    }

    /// The events that pass a filter, in its order.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn events(&self, filter: &EventFilter) -> Result<Found, RecordsError> {
        event::find(&self.transaction, filter)
    }

    /// Of each lease on each limit the event that came last, in their order. What is told of who
    /// waits does not count.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn last_events_of_leases(&self) -> Result<Vec<EventRow>, RecordsError> {
        event::last_of_leases(&self.transaction)
    }

    /// When that happened which the log tells last, but for what clients and the log itself say.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn told_until(&self) -> Result<ToldUntil, RecordsError> {
        event::told_until(&self.transaction)
    }

    /// Forgets what is too much or too old, some of it at a time. Answers whether there may be
    /// more.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn prune(&self, now_micros: i64) -> Result<bool, RecordsError> {
        let runs = rows::prune(&self.transaction, self.bounds, now_micros)?;
        let mut rooms = self.rooms.get();
        let events = event::prune(&self.transaction, self.bounds, &mut rooms, now_micros)?;
        self.rooms.set(rooms);
        Ok(runs || events)
    }
}

#[cfg(test)]
mod tests;
