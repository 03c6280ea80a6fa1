//! The figures at a moment, and their names.
//!
//! Limits are bounded in number: the first ones that were used have series of their own, and all
//! others are summed under the empty name, which no limit has.

use std::fmt;
use std::sync::Arc;

use leasehold_engine::{LimitView, Span, Timestamp};
use leasehold_node::{Handle, Unavailable};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::process::Process;
use super::write::Writer;
use crate::app::App;
use crate::figures::{LimitFigures, RouteFigures};

/// All figures at a moment.
pub(super) struct Metrics {
    limits: Vec<Limit>,
    limit_count: u64,
    routes: Vec<Arc<RouteFigures>>,
    ledger: Handle,
    levels: Vec<(&'static str, &'static str, u64)>,
    missed_batches: u64,
    process: Option<Process>,
}

/// A limit, or several together.
#[derive(Default)]
pub(super) struct Limit {
    pub(super) name: Arc<str>,
    slots: u64,
    taken: u64,
    waiting: u64,
    oldest_lease: Span,
    oldest_waiter: Span,
    counted: LimitFigures,
}

impl Limit {
    fn new(name: Arc<str>, counted: LimitFigures) -> Self {
        Self { name, counted, ..Self::default() }
    }

    fn add(&mut self, view: &LimitView, now: Timestamp) {
        let age = |since: Option<Timestamp>| since.map_or(Span::ZERO, |since| now.since(since));
        // Slots beyond 2^64 are no figure of anybody.
        self.slots = self.slots.saturating_add(view.limit.slots);
        self.taken = self.taken.saturating_add(view.taken);
        self.waiting = self.waiting.saturating_add(view.waiting as u64);
        self.oldest_lease = self.oldest_lease.max(age(view.oldest_lease));
        self.oldest_waiter = self.oldest_waiter.max(age(view.oldest_waiter));
    }
}

impl Metrics {
    /// Reads all figures.
    pub(super) async fn read(app: &App) -> Result<Self, Unavailable> {
        let views = app.survey().limits().await?;
        let figures = app.figures();
        let now = app.ledger().clock().now();
        let (counted, others) = figures.limits(views.iter().map(|view| &view.limit.name));
        let mut others = Limit::new("".into(), others);
        let mut limits = Vec::new();
        for (view, counted) in views.iter().zip(counted) {
            match counted {
                None => others.add(view, now),
                Some(counted) => {
                    let mut limit = Limit::new(view.limit.name.clone(), counted);
                    limit.add(view, now);
                    limits.push(limit);
                }
            }
        }
        limits.push(others);
        Ok(Self {
            limits,
            limit_count: views.len() as u64,
            routes: figures.routes(),
            ledger: app.ledger().clone(),
            levels: levels(app),
            missed_batches: figures.missed_batches(),
            process: Process::read(),
        })
    }

    fn limits(&self, writer: &mut Writer<'_>) -> fmt::Result {
        type Of<T> = fn(&Limit) -> T;
        let gauges: [(&str, &str, Of<f64>); 5] = [
            ("leasehold_limit_slots", "Slots of the limit", |it| it.slots as f64),
            (
                "leasehold_limit_taken_slots",
                "Slots that are taken, with a lease or without",
                |it| it.taken as f64,
            ),
            ("leasehold_limit_waiting_requests", "Requests that wait", |it| it.waiting as f64),
            ("leasehold_limit_oldest_lease_seconds", "Age of the oldest lease", |it| {
                it.oldest_lease.as_seconds_f64()
            }),
            ("leasehold_limit_oldest_waiter_seconds", "Age of the oldest waiting request", |it| {
                it.oldest_waiter.as_seconds_f64()
            }),
        ];
        for (name, help, of) in gauges {
            let of_limits = self.limits.iter().map(|limit| ([("limit", &*limit.name)], of(limit)));
            writer.gauges(name, help, of_limits)?;
        }
        let counters: [(&str, &str, Of<u64>); 6] = [
            ("leasehold_limit_granted", "Grants", |it| it.counted.granted),
            ("leasehold_limit_refused", "Requests that got no slots, or not yet", |it| {
                it.counted.refused
            }),
            ("leasehold_limit_released", "Leases that their holder released", |it| {
                it.counted.released
            }),
            ("leasehold_limit_expired", "Leases that were not renewed", |it| it.counted.expired),
            ("leasehold_limit_revoked", "Leases that an operator took away", |it| {
                it.counted.revoked
            }),
            ("leasehold_limit_repossessed", "Leases of holders that were known to be gone", |it| {
                it.counted.repossessed
            }),
        ];
        for (name, help, of) in counters {
            let of_limits = self.limits.iter().map(|limit| ([("limit", &*limit.name)], of(limit)));
            writer.counters(name, help, of_limits)?;
        }
        let spans = |of: fn(&Limit) -> &crate::figures::Spans| {
            let limits = self.limits.iter();
            limits.map(move |limit| ([("limit", &*limit.name)], of(limit).into()))
        };
        let wait = "Time between the request and its grant";
        writer.histograms("leasehold_limit_wait_seconds", wait, spans(|it| &it.counted.wait))?;
        let hold = "Time between the grant of a lease and its end";
        writer.histograms("leasehold_limit_hold_seconds", hold, spans(|it| &it.counted.hold))
    }

    fn journal(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let figures = self.ledger.figures();
        let time = "Time that a commit of the journal takes";
        let micros = (&figures.commit_micros, 1e-6).into();
        writer.histograms("leasehold_journal_commit_seconds", time, [([], micros)])?;
        let rows = (&figures.commit_rows, 1.0).into();
        writer.histograms("leasehold_journal_commit_rows", "Rows in a commit", [([], rows)])?;
        let failed = figures.failed_commits.load(std::sync::atomic::Ordering::Relaxed);
        let help = "Commits of the journal that failed";
        writer.counters("leasehold_journal_failed_commits", help, [([], failed)])
    }

    fn http(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let codes: Vec<_> = self
            .routes
            .iter()
            .flat_map(|route| route.counts().map(|counted| (&*route.path, counted)))
            .filter(|(_, (_, _, count))| *count > 0)
            .map(|(path, (method, status, count))| (path, method, status.to_string(), count))
            .collect();
        let labelled = codes.iter().map(|(path, method, status, count)| {
            ([("route", *path), ("method", method), ("status", &**status)], *count)
        });
        writer.counters("leasehold_http_requests", "Answered requests", labelled)?;
        let used = self.routes.iter().filter(|route| route.counts().any(|(.., count)| count > 0));
        let timed = used.filter(|route| !route.path.is_empty());
        let times = timed.map(|route| ([("route", &*route.path)], (&route.micros, 1e-6).into()));
        let help = "Time between the head of a request and that of its answer";
        writer.histograms("leasehold_http_request_duration_seconds", help, times)
    }

    fn all(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        let build = [([("version", env!("CARGO_PKG_VERSION"))], 1.0)];
        writer.gauges("leasehold_build", "The version that runs", build)?;
        let count = [([], self.limit_count as f64)];
        writer.gauges("leasehold_limits", "Limits that there are", count)?;
        self.limits(&mut writer)?;
        self.journal(&mut writer)?;
        self.http(&mut writer)?;
        for (name, help, level) in &self.levels {
            writer.gauges(name, help, [([], *level as f64)])?;
        }
        let help = "Batches of events that the figures lack, as the ledger was too fast";
        writer.counters("leasehold_missed_event_batches", help, [([], self.missed_batches)])?;
        match &self.process {
            Some(process) => process.write(&mut writer),
            None => Ok(()),
        }
    }
}

/// How full the queues of the server are.
fn levels(app: &App) -> Vec<(&'static str, &'static str, u64)> {
    let sockets = app.sockets();
    let (connections, connections_max) = app.connections();
    let figures = [
        (
            "leasehold_commands_waiting",
            "Commands that wait to be stepped",
            app.ledger().commands_waiting(),
        ),
        ("leasehold_connections_open", "Connections", connections),
        ("leasehold_connections_max", "Connections that are served at most", connections_max),
        ("leasehold_websockets_open", "WebSockets", sockets.count()),
        ("leasehold_event_streams_open", "Streams of events", app.streams().count()),
        (
            "leasehold_held_open_requests",
            "Requests that are held open while they wait",
            app.acquirer().held_open(),
        ),
    ];
    figures.into_iter().map(|(name, help, level)| (name, help, level as u64)).collect()
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.all(encoder)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
