//! `leasehold redis locks status`: a census, the processes that follow the phase, and the verdict.

use std::process::ExitCode;
use std::time::Duration;

use leasehold_redis::{Census, Fleet, LockEntry, Mechanism, Observation, Verdict, rfc3339};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::verdict::{self, left_until};
use super::{Place, Where, guidance};
use crate::duration;
use crate::exit::{Failure, or_json};
use crate::output::{self, Paint, Style};

/// Show which locks are live, who holds them, and whether it is safe to go on.
///
/// Walks over the keys with SCAN and never blocks Redis. Live are old locks whose time has not
/// come, token locks, and both for dual. The holder is known from the programs that follow the
/// phase and from TaskTiger's active tasks.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
    0  shown; whether it is safe to go on is in the verdict
   64  the command line is wrong
   69  Redis cannot be reached
   77  Redis refused the login, or does not permit it to this user
   78  the file with the address cannot be used

Examples:
  leasehold redis locks status --redis redis://localhost
  leasehold redis locks status --redis redis://localhost --watch
  leasehold redis locks status --redis redis://localhost --json | jq .verdict")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,

    /// Look again and again, until Ctrl-C
    #[arg(long)]
    watch: bool,

    /// Pause between two looks
    #[arg(long, default_value = "2s", value_parser = duration::parse_positive)]
    interval: Duration,

    /// The longest timeout of any lock: it is safe when no lock stood in the way for so long
    #[arg(long, default_value = "60s", value_parser = duration::parse_positive)]
    longest_timeout: Duration,

    /// One JSON object per look
    #[arg(long)]
    json: bool,

    /// Show at most so many locks
    #[arg(long, default_value_t = 20)]
    show: usize,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let json = args.json;
    or_json(json, look(args).await)
}

async fn look(args: Args) -> Result<ExitCode, Failure> {
    let place = args.place.connect().await?;
    let mut observation: Option<(u64, Observation)> = None;
    loop {
        let (fleet, census) = place.look().await?;
        let judged = judge(&fleet, &census, args.longest_timeout, &mut observation);
        if args.json {
            output::json(&to_json(&place, &fleet, &census, judged.as_ref()));
        } else {
            print(&args, &place, &fleet, &census, judged.as_ref());
        }
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(args.interval) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
        if !args.json {
            output::line("");
        }
    }
}

/// The verdict on the next phase. Watching starts anew when the phase changes.
fn judge(
    fleet: &Fleet,
    census: &Census,
    longest: Duration,
    observation: &mut Option<(u64, Observation)>,
) -> Option<(Mechanism, Verdict)> {
    // Without a phase key the fleet is not ours: what counts for it is whether old locks are left.
    let from = if fleet.phase.epoch == 0 { Mechanism::Dual } else { fleet.phase.phase };
    let to = from.next()?;
    if observation.as_ref().is_none_or(|(epoch, _)| *epoch != fleet.phase.epoch) {
        *observation = Some((fleet.phase.epoch, Observation::new(from, to, longest)));
    }
    let (_, observation) = observation.as_mut()?;
    Some((to, observation.judge(fleet, census, Instant::now())))
}

fn print(
    args: &Args,
    place: &Place,
    fleet: &Fleet,
    census: &Census,
    judged: Option<&(Mechanism, Verdict)>,
) {
    let paint = Paint::detect();
    paint.labelled("Phase", Style::Plain, &phase_in_words(fleet, census.at));
    let counts = Mechanism::ALL.map(|mechanism| format!("{} {mechanism}", census.count(mechanism)));
    paint.labelled("Live locks", Style::Plain, &counts.join(", "));
    let old = &census.old;
    let with_ttl = if old.dead_with_ttl > 0 {
        format!(", {} with a TTL", old.dead_with_ttl)
    } else {
        String::new()
    };
    paint.labelled("Dead old", Style::Plain, &format!("{}{with_ttl}", old.dead));
    paint.labelled("Workers", Style::Plain, guidance::workers(census));
    print_semaphores(census, paint);
    print_processes(fleet, paint);
    print_locks(args.show, census, paint);
    match judged {
        None => paint.labelled("Verdict", Style::Plain, "this is the last phase"),
        Some((to, verdict)) => verdict::print(*to, verdict, census.at, paint),
    }
    if fleet.alive().next().is_none() {
        paint.labelled("Next", Style::Plain, &guidance::next_step(fleet, census));
    }
    if let Some(until) = last_live_old(census) {
        let text = format!(
            "the last live old lock under {} expires in {} unless it is renewed",
            place.keys.prefix(),
            duration::show(left_until(until, census.at))
        );
        paint.labelled("Old locks", Style::Plain, &text);
    }
}

fn phase_in_words(fleet: &Fleet, at: f64) -> String {
    let phase = &fleet.phase;
    let since = phase.changed_at_ms.map(|changed_ms| {
        let ago = left_until(at, Duration::from_millis(changed_ms).as_secs_f64());
        format!(", for {}, by {}", duration::show(ago), phase.by.as_deref().unwrap_or("unknown"))
    });
    let since = since.unwrap_or_else(|| ", because no phase was ever set".to_owned());
    format!("{}{since}", phase.phase)
}

fn print_semaphores(census: &Census, paint: Paint) {
    let members = census.live_members().count();
    if !census.semaphores.is_empty() {
        let queues = census.semaphores.len();
        let text = format!("{queues} queue(s), {members} live holder(s)");
        paint.labelled("Semaphores", Style::Plain, &text);
        for (queue, member) in census.live_members().take(10) {
            let left = duration::show(left_until(member.until, census.at));
            paint.labelled("", Style::Plain, &format!("{queue}: {} for {left}", member.id));
        }
    }
}

fn print_processes(fleet: &Fleet, paint: Paint) {
    let alive = fleet.alive().count();
    let gone = fleet.processes.len() - alive;
    paint.labelled("Processes", Style::Plain, &format!("{alive} alive, {gone} gone"));
    for process in fleet.alive() {
        let confirmed = if process.confirmed == fleet.phase.epoch {
            (Style::Good, "confirmed")
        } else {
            (Style::Warning, "not confirmed yet")
        };
        let who = format!(
            "            {}, pid {} on {}: applies {}, ",
            process.name, process.pid, process.host, process.applies,
        );
        let holds = format!(", holds {}", process.holding.len());
        paint.line(&[(Style::Plain, &who), confirmed, (Style::Plain, &holds)]);
    }
}

fn print_locks(show: usize, census: &Census, paint: Paint) {
    if census.live.is_empty() || show == 0 {
        return;
    }
    paint.line(&[(Style::Strong, "  lock                      with   left     holder")]);
    for entry in census.live.iter().take(show) {
        let holder =
            entry.holder.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        // Ids are hashes mostly: their beginning says enough for people.
        output::line(&format!(
            "  {:<24}  {:<5}  {:<7}  {holder}",
            output::shortened(&entry.id, 24),
            entry.mechanism,
            left(entry, census.at)
        ));
    }
    if census.live.len() > show {
        output::line(&format!("  and {} more; --show N shows more", census.live.len() - show));
    }
}

fn left(entry: &LockEntry, at: f64) -> String {
    entry.until.map_or_else(|| "for ever".to_owned(), |until| duration::show(left_until(until, at)))
}

/// When the last live lock with an old half expires.
fn last_live_old(census: &Census) -> Option<f64> {
    let old = census.live.iter().filter(|entry| entry.mechanism != Mechanism::Token);
    old.filter_map(|entry| entry.until).reduce(f64::max)
}

fn to_json(
    place: &Place,
    fleet: &Fleet,
    census: &Census,
    judged: Option<&(Mechanism, Verdict)>,
) -> Value {
    let changed_at = fleet.phase.changed_at_ms;
    json!({
        "prefix": place.keys.prefix(),
        "phase": {
            "phase": fleet.phase.phase.as_str(),
            "epoch": fleet.phase.epoch,
            "changed_at": changed_at.map(|ms| rfc3339(Duration::from_millis(ms).as_secs_f64())),
            "by": fleet.phase.by,
        },
        "processes": fleet.processes,
        "census": census,
        "counts": {
            "old": census.count(Mechanism::Old),
            "dual": census.count(Mechanism::Dual),
            "token": census.count(Mechanism::Token),
        },
        "last_live_old_until": last_live_old(census).map(rfc3339),
        "workers": guidance::workers(census),
        "verdict": judged.map(|(to, verdict)| verdict::to_json(*to, verdict)),
        "next": guidance::next_step(fleet, census),
    })
}
