//! The world: time, the network, a server, and clients. One seed determines everything that
//! happens.

mod faults;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use crate::clients::{self, Client, Heard, Manners, Turn};
use crate::history::{Answer, Exchange, History};
use crate::sabotage::Sabotage;
use crate::server::{Message, Moment, Replies, Server};
use crate::wire::{Connection, Reply, Request};

const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;
/// How long nothing fails after the start of the world.
const CALM: u64 = 2 * SECOND;
/// Longer than any message is in flight and any lease lives.
const AFTERMATH: u64 = 60 * SECOND;
/// How long a client waits for a reply before it retries.
const PATIENCE: u64 = SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A copy of a request reaches the server.
    Arrive {
        connection: Connection,
    },
    /// The server notices that a client has hung up.
    HangUp {
        connection: Connection,
    },
    /// A reply reaches its client.
    Receive {
        exchange: usize,
        answer: usize,
    },
    /// A client's timeout ends.
    Timeout {
        exchange: usize,
        tries_left: u32,
    },
    Wake {
        client: usize,
    },
    /// The commit that began in this life of the server ends.
    Committed {
        life: u64,
    },
    Tick {
        life: u64,
    },
    Start,
    Crash,
    PowerOff {
        life: u64,
        /// Whether the server closes its journal first.
        is_clean: bool,
    },
    StepClock,
    FillDisk,
}

struct Seat {
    client: Box<dyn Client>,
    rng: Rng,
    /// The exchange that the client waits for.
    waits_for: Option<usize>,
    is_alive: bool,
}

/// The client's side of an exchange.
#[derive(Clone, Copy)]
struct Call {
    client: usize,
    manners: Manners,
    /// The client no longer waits for a reply.
    is_over: bool,
    /// When the last copy reaches the server.
    arrives: u64,
}

/// A world at a point in time.
pub(crate) struct World {
    rng: Rng,
    now: u64,
    /// By how much the wall clock is ahead of the world's time.
    wall_ahead: i64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events_made: u64,
    server: Server,
    life: u64,
    /// When the next tick is scheduled.
    tick_at: u64,
    /// The end of the running commit is scheduled.
    is_committing: bool,
    seats: Vec<Seat>,
    /// The client's side of each exchange, by its number.
    calls: Vec<Call>,
    history: History,
    is_faulty: bool,
    trace: Option<Vec<(u64, String)>>,
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Option<Sabotage>, is_traced: bool) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(seed),
            now: 0,
            wall_ahead: match sabotage {
                // After 2112, a start does not raise fences to the clock: only those in the journal
                // count.
                Some(Sabotage::ReuseFences) => 1 << 53,
                _ => 1_800_000_000 * 1_000_000,
            },
            events: BinaryHeap::new(),
            events_made: 0,
            server: Server::new(sabotage),
            life: 0,
            tick_at: u64::MAX,
            is_committing: false,
            seats: Vec::new(),
            calls: Vec::new(),
            history: History::default(),
            is_faulty: false,
            trace: is_traced.then(Vec::new),
        };
        world.start();
        world.join(Box::new(clients::Founder::default()), 0);
        world
    }

    /// Runs so many events, stops all clients and faults, and lets what they left behind expire.
    /// Returns the history and the trace.
    pub(crate) fn run(mut self, steps: u64) -> (History, Vec<(u64, String)>) {
        self.run_until(CALM);
        for client in clients::crowd(&mut self.rng) {
            let wait = self.rng.u64(0..SECOND);
            self.join(client, wait);
        }
        self.is_faulty = true;
        for event in [Event::Crash, Event::StepClock, Event::FillDisk] {
            self.schedule_fault(event);
        }
        for _ in 0..steps {
            self.step();
        }
        self.is_faulty = false;
        self.server.disk.full_until = 0;
        self.server.disk.unreadable_until = 0;
        for seat in &mut self.seats {
            seat.is_alive = false;
        }
        self.run_until(self.now + AFTERMATH);
        self.join(Box::new(clients::Janitor::default()), 0);
        self.run_until(self.now + AFTERMATH);
        self.history.scenes = self.server.seen.scenes;
        self.history.attempts = self.server.seen.attempts;
        (self.history, self.trace.unwrap_or_default())
    }

    fn run_until(&mut self, end: u64) {
        while self.events.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        let Some(Reverse((at, _, event))) = self.events.pop() else {
            return;
        };
        self.now = at;
        match event {
            Event::Arrive { connection } => self.arrive(connection),
            Event::HangUp { connection } => self.hang_up(connection),
            Event::Receive { exchange, answer } => self.receive(exchange, answer),
            Event::Timeout { exchange, tries_left } => self.time_out(exchange, tries_left),
            Event::Wake { client } => self.turn(client, &Heard::Awake),
            Event::Committed { life } if life == self.life => {
                self.is_committing = false;
                let replies = self.server.finish(self.moment());
                self.serve(replies);
            }
            Event::Tick { life } if life == self.life => {
                self.tick_at = u64::MAX;
                let replies = self.server.tick(self.moment());
                self.serve(replies);
            }
            Event::Start => self.start(),
            Event::Crash => self.crash(),
            Event::PowerOff { life, is_clean } if life == self.life => self.power_off(is_clean),
            Event::Committed { .. } | Event::Tick { .. } | Event::PowerOff { .. } => {}
            Event::StepClock => self.step_clock(),
            Event::FillDisk => self.fill_disk(),
        }
    }

    // The server's machine.

    fn start(&mut self) {
        self.life += 1;
        self.tick_at = u64::MAX;
        self.is_committing = false;
        let uptime = self.server.start(self.moment());
        self.history.uptimes.push(uptime);
        self.say(|| format!("the server starts; its clock shows {}", uptime.clock));
        self.work();
    }

    /// Lets the server take in its mailbox.
    fn work(&mut self) {
        let replies = self.server.work(self.moment());
        self.serve(replies);
    }

    /// Sends the replies, and schedules the end of a running commit or the next tick.
    fn serve(&mut self, replies: Replies) {
        if !replies.is_empty() {
            self.say(|| format!("{} replies leave", replies.len()));
        }
        self.answer(replies);
        if self.server.is_writing() && !std::mem::replace(&mut self.is_committing, true) {
            let duration = match self.rng.u8(0..20) {
                0 => self.rng.u64(20 * MILLISECOND..300 * MILLISECOND),
                _ => self.rng.u64(200..5 * MILLISECOND),
            };
            self.schedule(duration, Event::Committed { life: self.life });
        }
        let Some(wait) = self.server.wakes_in(self.moment()) else {
            return;
        };
        let at = self.now + wait.max(1);
        if at < self.tick_at {
            self.tick_at = at;
            self.schedule(at - self.now, Event::Tick { life: self.life });
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, wall: self.wall_ahead.saturating_add_unsigned(self.now) }
    }

    // The network.

    fn send(&mut self, exchange: usize) {
        // The network duplicates no request that waits without a key: it has a connection of its
        // own.
        let is_doubled = self.calls[exchange].manners.is_doubled && self.is_lucky(30);
        for _ in 0..if is_doubled { 2 } else { 1 } {
            let Some(known) = self.history.exchanges.get_mut(exchange) else { return };
            known.copies += 1;
            let connection = Connection { exchange, copy: known.copies };
            if self.is_lucky(30) {
                self.say(|| format!("request {exchange} is lost"));
                self.quiet(exchange);
            } else {
                let delay = self.delay();
                self.calls[exchange].arrives = self.now + delay;
                self.schedule(delay, Event::Arrive { connection });
            }
        }
    }

    fn arrive(&mut self, connection: Connection) {
        let exchange = connection.exchange;
        self.quiet(exchange);
        if !self.server.is_running() {
            return;
        }
        let now = self.now;
        let Some(known) = self.history.exchanges.get_mut(exchange) else {
            return;
        };
        known.arrived.push((connection.copy, now));
        let request = known.request.clone();
        self.say(|| format!("request {exchange} arrives"));
        self.server.receive(Message::Request(connection, request));
        self.work();
    }

    fn hang_up(&mut self, connection: Connection) {
        let now = self.now;
        self.say(|| format!("the server sees that {} is hung up", connection.exchange));
        if let Some(known) = self.history.exchanges.get_mut(connection.exchange) {
            known.hung_up.push((connection.copy, now));
        }
        self.quiet(connection.exchange);
        self.server.receive(Message::HangUp(connection));
        self.work();
    }

    fn answer(&mut self, replies: Replies) {
        for (Connection { exchange, copy }, reply) in replies {
            self.quiet(exchange);
            let Some(reply) = reply else { continue };
            let answer = Answer { copy, left: self.now, is_received: false, reply };
            let Some(known) = self.history.exchanges.get_mut(exchange) else {
                continue;
            };
            known.replies.push(answer);
            let answer = known.replies.len() - 1;
            if self.is_lucky(30) {
                self.say(|| format!("the reply to {exchange} is lost"));
            } else {
                let delay = self.delay();
                self.schedule(delay, Event::Receive { exchange, answer });
            }
        }
    }

    fn delay(&mut self) -> u64 {
        if self.is_lucky(50) {
            self.rng.u64(100 * MILLISECOND..20 * SECOND)
        } else {
            self.rng.u64(50..5 * MILLISECOND)
        }
    }

    /// True once in `one_in` times on average while there are faults, otherwise never.
    fn is_lucky(&mut self, one_in: u32) -> bool {
        self.is_faulty && self.rng.u32(0..one_in) == 0
    }

    /// Records that one more copy of a request can have no effect after now.
    fn quiet(&mut self, exchange: usize) {
        if let Some(exchange) = self.history.exchanges.get_mut(exchange) {
            exchange.quiet = self.now;
        }
    }

    // The clients.

    fn join(&mut self, client: Box<dyn Client>, wait: u64) {
        let rng = self.rng.fork();
        self.seats.push(Seat { client, rng, waits_for: None, is_alive: true });
        self.schedule(wait, Event::Wake { client: self.seats.len() - 1 });
    }

    fn turn(&mut self, client: usize, heard: &Heard<'_>) {
        let Some(seat) = self.seats.get_mut(client).filter(|seat| seat.is_alive) else {
            return;
        };
        seat.waits_for = None;
        match seat.client.turn(heard, &mut seat.rng) {
            Turn::Call(request, tries) => {
                self.call(client, request, Manners::asking(tries, PATIENCE));
            }
            Turn::Wait(request, manners) => self.call(client, request, manners),
            Turn::Sleep(span) => self.schedule(span, Event::Wake { client }),
            Turn::Die => seat.is_alive = false,
        }
    }

    fn call(&mut self, client: usize, request: Request, manners: Manners) {
        let exchange = self.history.exchanges.len();
        self.seats[client].waits_for = Some(exchange);
        self.say(|| format!("client {client} asks ({exchange}): {request:?}"));
        self.history.exchanges.push(Exchange {
            request,
            sent: self.now,
            copies: 0,
            quiet: self.now,
            arrived: Vec::new(),
            replies: Vec::new(),
            hung_up: Vec::new(),
        });
        self.calls.push(Call { client, manners, is_over: false, arrives: 0 });
        self.send(exchange);
        let tries_left = manners.tries - 1;
        self.schedule(manners.timeout, Event::Timeout { exchange, tries_left });
    }

    fn receive(&mut self, exchange: usize, answer: usize) {
        let Call { client, manners, is_over, .. } = self.calls[exchange];
        let answer = &mut self.history.exchanges[exchange].replies[answer];
        answer.is_received = self.seats[client].is_alive && !is_over;
        let reply = answer.reply.clone();
        self.say(|| format!("client {client} receives ({exchange}): {}", brief(&reply)));
        // `Unavailable` says that nothing was done: by default, a client retries after its timeout.
        let is_news = reply != Reply::Unavailable || manners.hears_unavailable;
        if self.seats[client].waits_for == Some(exchange) && is_news {
            self.turn(client, &Heard::Reply(&reply));
        }
    }

    fn time_out(&mut self, exchange: usize, tries_left: u32) {
        let Call { client, manners, arrives, .. } = self.calls[exchange];
        let seat = &self.seats[client];
        if seat.waits_for != Some(exchange) || !seat.is_alive {
            return;
        }
        if manners.hangs_up {
            let copy = self.history.exchanges[exchange].copies;
            // The hang-up follows the request, on the same connection.
            let delay = self.delay().max(arrives.saturating_sub(self.now) + 1);
            self.schedule(delay, Event::HangUp { connection: Connection { exchange, copy } });
        }
        if tries_left == 0 {
            self.calls[exchange].is_over = manners.hangs_up;
            self.turn(client, &Heard::Silence);
        } else {
            self.send(exchange);
            let event = Event::Timeout { exchange, tries_left: tries_left - 1 };
            self.schedule(manners.timeout, event);
        }
    }

    fn schedule(&mut self, wait: u64, event: Event) {
        self.events_made += 1;
        self.events.push(Reverse((self.now + wait, self.events_made, event)));
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push((self.now, what()));
        }
    }
}

fn brief(reply: &Reply) -> String {
    match reply {
        Reply::Picture { at, limits } => format!("Picture {{ at: {at}, {} limits }}", limits.len()),
        other => format!("{other:?}"),
    }
}
