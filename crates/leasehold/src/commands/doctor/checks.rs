//! What the doctor looks at, in the order in which one thing needs the other.

use std::time::{Duration, Instant};

use leasehold_api::leases::Lease;
use leasehold_client::{Client, Error, Method, Source};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Check;
use crate::args::variable;
use crate::commands::api::Api;
use crate::commands::identity::{Kind, identify};
use crate::commands::status::{is_full, migration};
use crate::duration;
use crate::time::now;

/// The events of Prefect's clients tell which run holds a lease only if clocks agree this well.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);
/// A name that no limit has.
const NO_LIMIT: &str = "leasehold-doctor:no-limit";
/// How many full limits are named.
const NAMED_MAX: usize = 5;

pub(super) async fn all(api: &Api) -> Vec<Check> {
    let client = api.client();
    let mut checks = vec![address(client)];
    checks.extend(programs(client));
    let reached = reach(client).await;
    let is_reached = reached.verdict == super::Verdict::Well;
    checks.push(reached);
    if !is_reached {
        return checks;
    }
    let (kind, which) = server(client).await;
    checks.push(which);
    checks.push(ready(client).await);
    if kind == Some(Kind::Leasehold) {
        checks.push(clock(client).await);
    }
    checks.push(websockets(client).await);
    checks.extend(limits(api, kind).await);
    checks.extend(upstream(api).await);
    checks
}

fn address(client: &Client) -> Check {
    let settings = client.settings();
    let found = format!("{} ({})", client.url(), settings.url_from);
    let credentials = match settings.credentials {
        Some(_) => format!(", credentials {}", settings.credentials_from),
        None => String::new(),
    };
    let found = format!("{found}{credentials}");
    if !client.url().ends_with("/api") && !client.url().contains("/api/") {
        return Check::warning(
            "address",
            found,
            "the API is mostly below /api: let the variable end in it",
        );
    }
    match &settings.url_from {
        Source::Default => Check::warning(
            "address",
            found,
            "set LEASEHOLD_API_URL or PREFECT_API_URL if the server is elsewhere",
        ),
        _ => Check::well("address", found),
    }
}

/// Whether programs with Prefect's client, started from here, use the same server.
fn programs(client: &Client) -> Option<Check> {
    let theirs = variable("PREFECT_API_URL")?.to_string_lossy().into_owned();
    let same = theirs.trim_end_matches('/') == client.url();
    Some(if same {
        Check::well("Prefect's clients", "use the same address")
    } else {
        Check::warning(
            "Prefect's clients",
            format!("use {theirs}, by PREFECT_API_URL"),
            "set PREFECT_API_URL and LEASEHOLD_API_URL alike, or unset one of them",
        )
    })
}

async fn reach(client: &Client) -> Check {
    let began = Instant::now();
    let answer: Result<Value, _> = client.get("/health").await;
    let took = duration::show(began.elapsed());
    match answer {
        Ok(_) => Check::well("reach", format!("it answers in {took}")),
        Err(error) => Check::wrong(
            "reach",
            error.to_string(),
            match error {
                Error::Unreachable { .. } => {
                    "start it with `leasehold server start`, or correct the address; behind a \
                 firewall, open the port"
                }
                Error::Unauthorized { .. } => {
                    "a proxy wants credentials: set LEASEHOLD_API_AUTH_STRING"
                }
                Error::Unavailable { .. } => {
                    "the server, or a proxy before it, is down: see its log"
                }
                _ => "another program listens there: correct the address",
            },
        ),
    }
}

async fn server(client: &Client) -> (Option<Kind>, Check) {
    let identity = match identify(client).await {
        Ok(identity) => identity,
        Err(error @ Error::Unauthorized { .. }) => {
            let advice = "set LEASEHOLD_API_AUTH_STRING or PREFECT_API_AUTH_STRING to the server's \
                          --auth-string";
            return (None, Check::wrong("server", error.to_string(), advice));
        }
        Err(error) => {
            let advice = "another program listens there: correct the address";
            return (None, Check::wrong("server", error.to_string(), advice));
        }
    };
    let ours = env!("CARGO_PKG_VERSION");
    let check = match identity.kind {
        Kind::Leasehold if identity.version == ours => Check::well("server", identity.to_string()),
        Kind::Leasehold => Check::warning(
            "server",
            format!("{identity}; this program is {ours}"),
            "use the same version of both",
        ),
        Kind::Prefect => Check::warning(
            "server",
            format!("{identity}, which is no Leasehold"),
            "gcl, concurrency-limit, apply and export work with it; leases, waiters, why and \
             events need Leasehold, also in front of it (`leasehold server start --upstream`)",
        ),
    };
    (Some(identity.kind), check)
}

async fn ready(client: &Client) -> Check {
    let answer: Result<Value, _> = client.get("/ready").await;
    match answer {
        Ok(_) => Check::well("journal", "the server is ready"),
        Err(error) => Check::wrong(
            "journal",
            error.to_string(),
            "see the server's log: mostly its disk is full or cannot be written",
        ),
    }
}

/// An acquire of no limit is answered with the server's time, and stores nothing.
async fn clock(client: &Client) -> Check {
    let body = json!({"limits": [{"name": NO_LIMIT}], "if_missing": "skip"});
    let sent = now();
    let answer: Result<Lease, Error> = client.post("/leases", &body).await;
    let came = now();
    let lease = match answer {
        Ok(lease) => lease,
        Err(error) => {
            let advice = "see the server's log, and its disk";
            return Check::wrong("clock", format!("it does not grant: {error}"), advice);
        }
    };
    let middle = sent.0 + (came.0 - sent.0) / 2;
    let apart = Duration::from_micros(lease.created.0.abs_diff(middle));
    let round_trip = Duration::from_micros(came.0.abs_diff(sent.0));
    let which = if lease.created.0 < middle { "behind" } else { "ahead of" };
    if apart <= CLOCK_TOLERANCE + round_trip {
        return Check::well(
            "clock",
            format!("the server's agrees within {}", duration::show(apart)),
        );
    }
    Check::warning(
        "clock",
        format!("the server's is {} {which} this machine's", duration::show(apart)),
        "set both by NTP. Leases last as long as they should; the times that you see are wrong",
    )
}

/// Prefect's clients send their events over WebSockets.
async fn websockets(client: &Client) -> Check {
    let mut request = client.request(Method::GET, "/events/in");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "prefect"),
        ("sec-websocket-key", "bGVhc2Vob2xkLWRvY3Rvcg=="),
    ] {
        request = request.header(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let advice = "let the proxy pass on the headers Upgrade and Connection (docs/proxy.md): without \
                  them the server does not see that a run is over";
    match request.send::<Value>().await {
        Err(Error::Unexpected { status: 101, .. }) => Check::well("WebSockets", "they pass"),
        Ok(_) => Check::wrong("WebSockets", "/events/in answers as if it were a page", advice),
        Err(error) => Check::wrong("WebSockets", error.to_string(), advice),
    }
}

async fn limits(api: &Api, kind: Option<Kind>) -> Option<Check> {
    kind?;
    let limits = match api.limits().await {
        Ok(limits) => limits,
        Err(error) => {
            let advice = "see the server's log";
            return Some(Check::wrong("limits", error.to_string(), advice));
        }
    };
    let full: Vec<_> = limits.iter().filter(|limit| is_full(limit)).collect();
    let Some(first) = full.first() else {
        return Some(Check::well("limits", format!("{}, none of them full", limits.len())));
    };
    let names: Vec<_> = full.iter().take(NAMED_MAX).map(|limit| limit.name.as_str()).collect();
    let more = if full.len() > NAMED_MAX { ", …" } else { "" };
    let found = format!("{} of {} are full: {}{more}", full.len(), limits.len(), names.join(", "));
    let advice = format!("`leasehold why {}` says who holds it", first.name);
    Some(Check::warning("limits", found, advice))
}

async fn upstream(api: &Api) -> Option<Check> {
    let migration = match migration(api).await {
        Ok(migration) => migration?,
        Err(failure) => {
            let advice = "see the server's log";
            return Some(Check::wrong("upstream", failure.to_string(), advice));
        }
    };
    Some(if migration.is_reachable {
        Check::well("upstream", format!("{} answers", migration.upstream))
    } else {
        Check::wrong(
            "upstream",
            format!("{} does not answer", migration.upstream),
            "start the Prefect server again; limits that are Leasehold's go on working",
        )
    })
}
