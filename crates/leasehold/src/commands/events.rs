//! `leasehold events`.

use std::process::ExitCode;

use leasehold_api::Timestamp;
use leasehold_api::events::{Event, FindEvents};
use leasehold_client::EventFilter;
use serde_json::Value;
use uuid::Uuid;

use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::session::Session;
use crate::commands::view::{Form, FormArg};
use crate::commands::who::{Who, from_where, who};
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::{self, Paint, Style};
use crate::time::{now, shown};

/// Tell what happened to limits, leases and waiters, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_help = help(super::READ_EXIT_CODES, "  leasehold events database --since 1h
  leasehold events --kind lease.expired --follow
  leasehold events --since 2026-11-27T03:00:00Z --until 2026-11-27T04:00:00Z
  leasehold events --follow --output json | jq -r .kind"))]
pub(crate) struct Args {
    /// The limit; all of them without it
    #[arg(value_name = "LIMIT", add = crate::complete::limits())]
    limit: Option<String>,

    /// The id of the holder
    #[arg(long, value_name = "ID")]
    holder: Option<String>,

    /// What happened: lease.expired, or lease for all that begins with it
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// The id of the lease
    #[arg(long, value_name = "ID")]
    lease: Option<Uuid>,

    /// Not before: a time, or how long ago, such as 90s or 2h
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    since: Option<String>,

    /// Before: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = point_in_time, conflicts_with = "follow")]
    until: Option<String>,

    /// How many at most, the newest ones [default: 50; all of them with --since]
    #[arg(long, short = 'n', value_name = "COUNT")]
    number: Option<usize>,

    /// Go on with each new event, until Ctrl-C
    #[arg(long, short)]
    follow: bool,

    #[command(flatten)]
    form: FormArg,
}

/// How many events are shown if nothing says how many.
const NUMBER: usize = 50;

fn point_in_time(text: &str) -> Result<String, String> {
    if let Ok(ago) = duration::parse(text) {
        let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        return Ok(Timestamp(now().0.saturating_sub(micros)).to_string());
    }
    // The server reads times, and says what is wrong with one.
    Ok(text.to_owned())
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    let find = FindEvents {
        limit: args.limit.clone(),
        holder: args.holder.clone(),
        kind: args.kind.clone(),
        lease: args.lease,
        since: args.since.clone(),
        until: args.until.clone(),
        after: None,
        newest_first: None,
        page_size: None,
    };
    let events = past(&api, &args, &find).await?;
    show_all(&args, &events);
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let after = match events.last() {
        Some(event) => Some(event.number),
        None => newest(&api).await?,
    };
    let mut stream = api.client().follow_events(EventFilter(FindEvents { after, ..find }));
    loop {
        tokio::select! {
            event = stream.next() => match event? {
                Some(event) => show(&args, &event),
                None => return Ok(ExitCode::SUCCESS),
            },
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted.into()),
        }
    }
}

/// The newest events that fit, oldest first.
async fn past(api: &Api, args: &Args, find: &FindEvents) -> Result<Vec<Event>, Failure> {
    let most = match (args.number, &args.since) {
        (Some(number), _) => number,
        (None, Some(_)) => usize::MAX,
        (None, None) => NUMBER,
    };
    let mut find = FindEvents { newest_first: Some(true), ..find.clone() };
    let mut events = Vec::new();
    while events.len() < most {
        let page = api.client().events(&find).await?;
        events.extend(page.events);
        find.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    events.truncate(most);
    events.reverse();
    Ok(events)
}

/// The number of the newest event of all, so that none is missed from here on.
async fn newest(api: &Api) -> Result<Option<u64>, Failure> {
    let EventFilter(find) = EventFilter::default();
    let find = FindEvents { newest_first: Some(true), page_size: Some(1), ..find };
    let page = api.client().events(&find).await?;
    Ok(page.events.first().map(|event| event.number))
}

/// JSON is one object a line if it goes on, and else a list.
fn show_all(args: &Args, events: &[Event]) {
    match args.form.form() {
        Form::Json | Form::Yaml if !args.follow => {
            let mut page = output::Page::new();
            match args.form.form() {
                Form::Yaml => page.yaml(&events),
                _ => page.json(&events),
            }
            page.print();
        }
        _ if events.is_empty() && !args.follow => output::line("No events found."),
        _ => events.iter().for_each(|event| show(args, event)),
    }
}

fn show(args: &Args, event: &Event) {
    match args.form.form() {
        Form::Table => line(event),
        Form::Json => output::json(event),
        Form::Yaml => {
            let mut page = output::Page::new();
            page.yaml(&[event]);
            page.print();
        }
    }
}

/// What an event that a client sent is about.
fn name_in(event: &Event) -> Option<String> {
    let sent: Value = serde_json::from_str(event.sent.as_ref()?.get()).ok()?;
    let resource = &sent["resource"];
    let name = &resource["prefect.resource.name"];
    name.as_str().or(resource["prefect.resource.id"].as_str()).map(str::to_owned)
}

fn line(event: &Event) {
    // The events in Prefect's form tell of a limit what `limit.…` tells.
    if event.kind.starts_with("prefect.concurrency-limit.") && event.holder.is_none() {
        return;
    }
    let kind_style = match event.kind.as_str() {
        "lease.expired" | "lease.revoked" | "lease.repossessed" | "waiter.stuck"
        | "log.dropped" => Style::Warning,
        "lease.granted" => Style::Good,
        _ => Style::Plain,
    };
    let about = event.limit.clone().or_else(|| name_in(event)).unwrap_or_default();
    let holder = event.holder.as_ref().map(Who::from);
    let by = match holder {
        Some(_) => who(holder, event.origin.as_ref()),
        None => from_where(event.origin.as_ref()).unwrap_or_default(),
    };
    let reason = event.reason.clone().unwrap_or_default();
    let words: Vec<_> = [about, by, reason].into_iter().filter(|word| !word.is_empty()).collect();
    Paint::detect().line(&[
        (Style::Plain, &shown(event.occurred)),
        (Style::Plain, "  "),
        (kind_style, &format!("{:<20}", event.kind)),
        (Style::Plain, "  "),
        (Style::Plain, &words.join("  ")),
    ]);
}
