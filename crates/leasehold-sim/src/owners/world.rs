//! The world of two owners: time, the network, crashes, and an operator who moves limits.

mod calls;
mod end;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use fastrand::Rng;
use leasehold_gateway::Phase;

use super::books::{Crash, Fuse};
use super::clients::{Client, Turn};
use super::gateway::{Durable, Gateway, Step, TICK};
use super::observer::Observer;
use super::upstream::Upstream;
use super::wire::{
    Answer, Ask, LIMITS, LONGEST, MILLISECOND, Request, SECOND, Said, UPSTREAM_FIRST,
};
use super::{Plan, Report};
use crate::Event;

/// Longer than all leases of clients and all covers live, sweeps included.
const AFTERMATH: u64 = 60 * SECOND;
/// How long a client waits for an answer.
const PATIENCE: u64 = 12 * SECOND;
const PATIENCE_SHORT: u64 = SECOND;
/// How long a limit that moves holds requests at most, as long as nobody is down.
const STALL_MAX: u64 = 2_500 * MILLISECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    ClientWakes { client: usize },
    GatewayGets { exchange: u64 },
    ClientGets { exchange: u64, is_answered: bool },
    UpstreamGets { call: u64 },
    UpstreamWrites { call: u64, life: u64 },
    CallReturns { call: u64 },
    CallBreaks { call: u64 },
    Tick { life: u64 },
    Sweep,
    GatewayStarts,
    GatewayDies,
    UpstreamStops,
    UpstreamStarts,
    Operator,
}

/// A request of a client.
struct Exchange {
    client: usize,
    request: Request,
    sent: u64,
    answer: Option<Answer>,
}

/// A request to the upstream.
struct Call {
    from: Caller,
    ask: Ask,
    said: Option<Said>,
    /// It was answered, or its connection broke.
    is_over: bool,
    /// The upstream stopped before it arrived.
    is_cut: bool,
}

#[derive(Clone, Copy)]
enum Caller {
    Gateway { life: u64, job: u64 },
    Past { exchange: u64 },
}

pub(crate) struct World {
    plan: Plan,
    rng: Rng,
    now: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    happenings: u64,
    upstream: Upstream,
    gateway: Option<Gateway>,
    durable: Option<Durable>,
    life: u64,
    starts: usize,
    clients: Vec<Client>,
    exchanges: BTreeMap<u64, Exchange>,
    exchanges_made: u64,
    calls: BTreeMap<u64, Call>,
    calls_made: u64,
    observer: Observer,
    is_faulty: bool,
    /// Connections break often, the upstream is slow, and it stops often.
    is_stormy: bool,
    /// The network is slow, and limits move often.
    is_slow: bool,
    is_open: bool,
    /// Where each limit stands, and whether the ledger grants it.
    stands: [(Phase, bool); LIMITS.len()],
    trace: Option<Vec<(u64, String)>>,
}

impl World {
    pub(crate) fn new(plan: Plan, is_traced: bool) -> Self {
        let mut world = Self {
            plan,
            rng: Rng::with_seed(plan.seed),
            now: 0,
            queue: BinaryHeap::new(),
            happenings: 0,
            // Prefect keeps its leases in memory unless it is told otherwise.
            upstream: Upstream::new(plan.seed % 2 == 1),
            gateway: None,
            durable: Some(Durable::default()),
            life: 0,
            starts: 0,
            clients: Vec::new(),
            exchanges: BTreeMap::new(),
            exchanges_made: 0,
            calls: BTreeMap::new(),
            calls_made: 0,
            observer: Observer::default(),
            is_faulty: true,
            is_stormy: plan.seed % 4 == 1,
            is_slow: plan.seed % 4 == 3,
            is_open: true,
            stands: [(Phase::Upstream, false); LIMITS.len()],
            trace: is_traced.then(Vec::new),
        };
        let past = if plan.seed.is_multiple_of(3) { 2 } else { 0 };
        for nth in 0..14 + past {
            let client = Client::new(world.rng.fork(), nth >= 14);
            world.clients.push(client);
            let wait = world.rng.u64(0..SECOND);
            world.schedule(wait, Happening::ClientWakes { client: nth });
        }
        world.schedule(0, Happening::GatewayStarts);
        world.schedule(2 * SECOND, Happening::Sweep);
        world.schedule(SECOND, Happening::Operator);
        world.schedule(5 * SECOND, Happening::GatewayDies);
        world.schedule(9 * SECOND, Happening::UpstreamStops);
        world
    }

    /// Runs for so long, stops clients and faults, lets everything expire, and gives all limits
    /// back. Returns what was broken and the trace.
    pub(crate) fn run(mut self, seconds: u64) -> (Report, Vec<Event>, Vec<Event>) {
        self.run_until(seconds * SECOND);
        self.is_faulty = false;
        self.is_open = false;
        if let Some(gateway) = &mut self.gateway {
            gateway.books.fuse = None;
        }
        self.run_until(self.now + AFTERMATH);
        self.check_rest();
        for limit in 0..LIMITS.len() {
            self.with_gateway(|gateway, now| {
                gateway.roll_back(limit, now);
                Ok(())
            });
        }
        self.run_until(self.now + AFTERMATH / 2);
        self.check_end();
        let report = Report {
            grants_here: self.observer.grants_here,
            grants_there: self.observer.grants_there,
            grants_on_both: self.observer.grants_on_both,
            handed_over: self.observer.handed_over,
            handed_back: self.observer.handed_back,
            starts: self.starts,
        };
        (report, self.observer.violations, self.trace.unwrap_or_default())
    }

    fn run_until(&mut self, end: u64) {
        while let Some(Reverse((at, _, happening))) = self.queue.peek().copied()
            && at <= end
        {
            self.queue.pop();
            self.now = at;
            self.happens(happening);
        }
        self.now = end;
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::ClientWakes { client } => {
                let turn = self.clients[client].wakes(&mut self.observer, self.now);
                self.turn(client, turn);
            }
            Happening::GatewayGets { exchange } => self.gateway_gets(exchange),
            Happening::ClientGets { exchange, is_answered } => {
                self.client_gets(exchange, is_answered);
            }
            Happening::UpstreamGets { call } => self.upstream_gets(call),
            Happening::UpstreamWrites { call, life } if life == self.upstream.life => {
                let said = self.upstream.write_lease(call).map(Said::Granted);
                self.say(|| format!("the upstream grants call {call}: {said:?}"));
                self.returns(call, said);
            }
            Happening::CallReturns { call } => self.call_ends(call, true),
            Happening::CallBreaks { call } => self.call_ends(call, false),
            Happening::Tick { life } if life == self.life => {
                self.with_gateway(Gateway::tick);
                self.schedule(TICK, Happening::Tick { life });
                self.note_phases();
                if !self.upstream.is_up {
                    self.observer.last_fault = self.now;
                }
            }
            Happening::Tick { .. } | Happening::UpstreamWrites { .. } => {}
            Happening::Sweep => {
                if self.upstream.is_up {
                    self.upstream.sweep(self.now);
                }
                self.schedule(2 * SECOND, Happening::Sweep);
            }
            Happening::GatewayStarts => self.gateway_starts(),
            Happening::GatewayDies => self.gateway_dies(),
            Happening::UpstreamStops => self.upstream_stops(),
            Happening::UpstreamStarts => {
                self.say(|| "the upstream starts".to_owned());
                self.observer.last_fault = self.now;
                self.upstream.is_up = true;
            }
            Happening::Operator => self.operate(),
        }
        for fault in std::mem::take(&mut self.upstream.faults) {
            self.observer.report(self.now, fault);
        }
    }

    // The gateway.

    fn with_gateway(&mut self, act: impl FnOnce(&mut Gateway, u64) -> Step) {
        let Some(gateway) = &mut self.gateway else { return };
        let crashed = act(gateway, self.now).is_err();
        let out = std::mem::take(&mut gateway.out);
        for (exchange, since) in std::mem::take(&mut gateway.stalled) {
            let span = self.now - since.max(self.observer.last_fault).min(self.now);
            let limits = match self.exchanges.get(&exchange).map(|known| &known.request) {
                Some(Request::Acquire { limits, .. }) => limits.len() as u64,
                _ => 1,
            };
            // They can move one after the other.
            if span > STALL_MAX * limits {
                self.observer
                    .report(self.now, format!("request {exchange} was held for {span} µs"));
            }
        }
        // What was sent before the crash is on its way; an answer may be or not.
        for (job, ask) in out.calls {
            self.call(Caller::Gateway { life: self.life, job }, ask);
        }
        for (exchange, answer) in out.answers {
            self.gateway_answers(exchange, answer);
        }
        if crashed {
            self.crash();
        }
    }

    fn gateway_starts(&mut self) {
        let Some(durable) = self.durable.take() else { return };
        self.life += 1;
        self.starts += 1;
        self.observer.last_fault = self.now;
        self.say(|| "the gateway starts".to_owned());
        self.gateway = Some(Gateway::start(durable, self.plan.sabotage, self.now));
        self.schedule(0, Happening::Tick { life: self.life });
    }

    fn gateway_dies(&mut self) {
        if !self.is_faulty {
            return;
        }
        if self.gateway.is_some() && self.rng.bool() {
            self.crash();
        } else if let Some(gateway) = &mut self.gateway {
            let fuse = Fuse { commands: self.rng.u64(1..12), is_durable: self.rng.bool() };
            gateway.burn(fuse);
        }
        let wait = self.rng.u64(2 * SECOND..14 * SECOND);
        self.schedule(wait, Happening::GatewayDies);
    }

    fn crash(&mut self) {
        let Some(gateway) = self.gateway.take() else { return };
        self.say(|| "the gateway dies".to_owned());
        self.observer.last_fault = self.now;
        let open: Vec<_> = gateway.arrived.keys().copied().collect();
        self.durable = Some(gateway.durable);
        for exchange in open {
            self.schedule(MILLISECOND, Happening::ClientGets { exchange, is_answered: false });
        }
        for call in self.calls.values_mut() {
            call.is_over |= matches!(call.from, Caller::Gateway { .. });
        }
        let wait = self.rng.u64(10 * MILLISECOND..2 * SECOND);
        self.schedule(wait, Happening::GatewayStarts);
    }

    fn gateway_gets(&mut self, exchange: u64) {
        let Some(Exchange { request, .. }) = self.exchanges.get(&exchange) else { return };
        let request = request.clone();
        if self.gateway.is_none() {
            self.schedule(MILLISECOND, Happening::ClientGets { exchange, is_answered: false });
            return;
        }
        self.with_gateway(|gateway, now| gateway.request(exchange, request, now));
    }

    fn gateway_answers(&mut self, exchange: u64, answer: Answer) {
        if let Some(gateway) = &mut self.gateway {
            gateway.arrived.remove(&exchange);
        }
        let Some(known) = self.exchanges.get_mut(&exchange) else { return };
        known.answer = Some(answer);
        if self.is_lucky(50) {
            self.say(|| format!("the answer to {exchange} is lost: {answer:?}"));
            return;
        }
        let delay = self.delay();
        self.schedule(delay, Happening::ClientGets { exchange, is_answered: true });
    }

    // The clients.

    fn turn(&mut self, client: usize, turn: Turn) {
        match turn {
            Turn::Sleep(span) => self.schedule(span, Happening::ClientWakes { client }),
            Turn::Ask(Request::Acquire { .. }) if !self.is_open => {}
            Turn::Ask(request) => self.ask(client, request),
        }
    }

    fn ask(&mut self, client: usize, request: Request) {
        self.exchanges_made += 1;
        let exchange = self.exchanges_made;
        self.say(|| format!("client {client} asks ({exchange}): {request:?}"));
        self.clients[client].waits_for = Some(exchange);
        let is_acquire = matches!(request, Request::Acquire { .. });
        let ask = match &request {
            Request::Acquire { limits, slots, ttl, .. } => {
                Ask::Acquire { limits: limits.clone(), slots: *slots, ttl: *ttl }
            }
            Request::Renew { lease, ttl } => Ask::Renew { lease: *lease, ttl: *ttl },
            Request::Release { lease } => Ask::Release { lease: *lease },
        };
        self.exchanges.insert(exchange, Exchange { client, request, sent: self.now, answer: None });
        let patience = if is_acquire { PATIENCE } else { PATIENCE_SHORT };
        self.schedule(patience, Happening::ClientGets { exchange, is_answered: false });
        if self.clients[client].is_past {
            self.call(Caller::Past { exchange }, ask);
        } else if !self.is_lucky(50) {
            let delay = self.delay();
            self.schedule(delay, Happening::GatewayGets { exchange });
        }
    }

    fn client_gets(&mut self, exchange: u64, is_answered: bool) {
        let Some(known) = self.exchanges.get(&exchange) else { return };
        let client = known.client;
        if self.clients[client].waits_for != Some(exchange) {
            return;
        }
        self.clients[client].waits_for = None;
        let answer = known.answer.filter(|_| is_answered);
        let (request, sent) = (known.request.clone(), known.sent);
        self.say(|| format!("client {client} hears ({exchange}): {answer:?}"));
        if let (Some(Answer::Released), Request::Release { lease }) = (answer, &request)
            && *lease < UPSTREAM_FIRST
            && self.gateway.as_ref().is_some_and(|gateway| {
                gateway.books.ledger().leases().any(|it| it.id.0 == u128::from(*lease))
            })
        {
            let what = format!("lease {lease} is held after its release was answered");
            self.observer.report(self.now, what);
        }
        let (now, observer) = (self.now, &mut self.observer);
        let turn = self.clients[client].hears(answer, (&request, sent), observer, now);
        self.turn(client, turn);
    }

    // The operator.

    fn operate(&mut self) {
        if !self.is_open {
            return;
        }
        let limit = self.rng.usize(0..LIMITS.len());
        // Who lives would have renewed by now.
        let phantoms = self.upstream.phantoms(limit, self.now.saturating_sub(LONGEST));
        let drops = self.rng.u8(0..4) == 0 || (phantoms > 0 && self.rng.bool());
        let is_there = self.gateway.as_ref().is_some_and(|gateway| {
            matches!(gateway.phase(limit), Phase::Upstream | Phase::Returning)
        });
        self.say(|| format!("the operator moves {}, drops: {drops}", LIMITS[limit].0));
        self.with_gateway(|gateway, now| {
            match (drops, is_there) {
                (true, false) => gateway.drop_phantoms(limit, phantoms, now)?,
                (_, true) => gateway.advance(limit, now),
                (false, false) => gateway.roll_back(limit, now),
            }
            Ok::<(), Crash>(())
        });
        let most = if self.is_slow { 1 } else { 4 };
        let wait = self.rng.u64(300 * MILLISECOND..most * SECOND);
        self.schedule(wait, Happening::Operator);
    }

    fn note_phases(&mut self) {
        let Some(gateway) = &self.gateway else { return };
        for (limit, (name, _)) in LIMITS.into_iter().enumerate() {
            let phase = gateway.phase(limit);
            let is_ours = gateway.custody.is_ours(name);
            let (before, was_ours) = std::mem::replace(&mut self.stands[limit], (phase, is_ours));
            self.observer.handed_over += usize::from(is_ours && !was_ours);
            let is_back = phase == Phase::Upstream && before == Phase::Returning;
            self.observer.handed_back += usize::from(is_back);
            if let Some(trace) = self.trace.as_mut().filter(|_| phase != before) {
                trace.push((self.now, format!("{name}: {before:?} → {phase:?}")));
            }
        }
    }

    // Chance.

    fn delay(&mut self) -> u64 {
        let slow = match (self.is_slow, self.is_stormy) {
            (true, _) => 3,
            (_, true) => 8,
            _ => 40,
        };
        if self.is_lucky(slow) {
            self.rng.u64(10 * MILLISECOND..400 * MILLISECOND)
        } else {
            self.rng.u64(100..3 * MILLISECOND)
        }
    }

    /// True once in `one_in` times on average while there are faults, otherwise never.
    fn is_lucky(&mut self, one_in: u32) -> bool {
        self.is_faulty && self.rng.u32(0..one_in) == 0
    }

    fn schedule(&mut self, wait: u64, happening: Happening) {
        self.happenings += 1;
        self.queue.push(Reverse((self.now + wait, self.happenings, happening)));
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push((self.now, what()));
        }
    }
}
